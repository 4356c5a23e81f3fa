"""Read the cells of Arrow batches by the functions that read a file: rows are written as CSV first, as Parquet is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from screening.errors import CellProblem
from screening.intake.conversion.arrow_csv import csv_of, written_schema
from screening.intake.text.parse import Layout, Parsed
from screening.intake.text.rows import read_rows
from screening.transactions.schema import Matrix

RAW = "raw_record"
"""The column of a row of CSV that has more or fewer cells than the header: the row as it appears in the file."""
RAGGED = "has another number of cells than the header, or a quotation mark that isn't closed in its line"
REPLACED = "\ufffd"
NOT_UTF8 = "holds bytes that aren't UTF-8"
Problems = dict[int, list[str]]
"""What is wrong with rows, by their places."""


@dataclass(slots=True)
class ReadRows:
    """Rows as numbers: ``values`` (rows, columns of the contract), NaN in a rejected row; ``labels`` (rows,), -1 where
    unknown, ``None`` where a cell of the label is none.
    """

    values: Matrix
    labels: NDArray[np.int8] | None
    rejected: NDArray[np.bool_]
    problems: Problems


def read_cells(batch: Any, layout: Layout) -> ReadRows:
    """Return the rows of an Arrow batch as numbers.

    Args:
        batch: the rows, with the columns of the layout among others.
        layout: the columns that are needed, and how they are written.
    """
    needed, ragged = whole_rows(batch, layout.header)
    if not ragged.any():
        return _read(needed, layout)
    whole = np.flatnonzero(~ragged)
    read = _read(needed, layout)
    values = np.full((batch.num_rows, read.values.shape[1]), np.nan)
    labels = np.full(batch.num_rows, -1, np.int8)
    rejected = ragged.copy()
    values[whole], rejected[whole] = read.values, read.rejected
    if read.labels is not None:
        labels[whole] = read.labels
    problems = {int(whole[row]): said for row, said in read.problems.items()}
    problems.update({row: [RAGGED] for row in np.flatnonzero(ragged).tolist()})
    return ReadRows(values, None if read.labels is None else labels, rejected, problems)


def whole_rows(batch: Any, names: Sequence[str]) -> tuple[Any, NDArray[np.bool_]]:
    """Return some columns without ragged rows, whose cells may appear in other columns: nothing of them counts, labels
    included. And which rows are ragged, (rows,).
    """
    needed = batch.select(list(names))
    if RAW not in batch.schema.names:
        return needed, np.zeros(batch.num_rows, bool)
    ragged = batch.column(RAW).is_valid().to_numpy(zero_copy_only=False)
    return (needed.filter(pa.array(~ragged)) if ragged.any() else needed), ragged


def _read(needed: Any, layout: Layout) -> ReadRows:
    parsed = read_rows(csv_of(needed, written_schema(needed.schema)), layout, needed.num_rows)
    problems = _problems(parsed)
    for name in layout.header:
        for row in places_with(needed.column(name), REPLACED):
            problems.setdefault(row, []).append(f"{name.strip()} {NOT_UTF8}")
    rejected = parsed.bad.copy()
    rejected[list(problems)] = True
    values = parsed.values
    if rejected.any():
        values = np.where(rejected[:, np.newaxis], np.nan, values)
    return ReadRows(values, parsed.labels, rejected, problems)


def _problems(parsed: Parsed) -> Problems:
    found: Problems = {}
    for each in parsed.problems:
        if each.row is not None:
            found.setdefault(each.row - 1, []).append(in_words(each))
    return found


def in_words(problem: CellProblem) -> str:
    """Return what is wrong with a row, as its output says it."""
    return f"{problem.column} {problem.problem}" if problem.column else problem.problem


def places_with(column: Any, mark: str) -> Sequence[int]:
    """Return the places of the cells of a column of texts that hold a character."""
    if not pa.types.is_string(column.type):
        return ()
    found: Sequence[int] = np.flatnonzero(
        pc.match_substring(column, mark).fill_null(False).to_numpy(zero_copy_only=False)
    ).tolist()
    return found
