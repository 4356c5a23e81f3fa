"""Look at the lines of CSV of which Spark's rows tell too little: those with a cut cell, and those of ragged rows."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from screening.errors import BadFile


@dataclass(frozen=True, slots=True)
class CutCells:
    """Finds lines of CSV in whose last cell a line break stands.

    Such a line has as many cells as the header, and a part of the last one. (Where it stands in another cell, the line
    has fewer, and is rejected.)

    Args:
        delimiter: between cells.
        cells: in a row.
    """

    delimiter: str
    cells: int

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield one row for each batch that has such lines, with their number."""
        for batch in batches:
            count = sum(map(self.is_cut, batch.column(0).to_pylist()))
            if count:
                yield pa.RecordBatch.from_arrays([pa.array([count], pa.int64())], names=["lines"])

    def is_cut(self, line: str) -> bool:
        """Return whether a line is one."""
        try:
            list(csv.reader([line], delimiter=self.delimiter, strict=True))
        except csv.Error as problem:
            ends = "unexpected end" in str(problem)
            return ends and len(next(csv.reader([line], delimiter=self.delimiter))) == self.cells
        return False

    def check(self, spark: Any, path: str) -> None:
        """Refuse a folder that has some.

        Raises:
            BadFile: it has.
        """
        quotes = "length(value) - length(replace(value, '\"', ''))"
        lines = spark.read.text(path).where(f"({quotes}) % 2 = 1").select("value")
        found = lines.mapInArrow(self.__call__, "lines long").collect()
        if found:
            raise BadFile(
                f"{sum(row[0] for row in found):,} rows have a line break in their last cell.",
                where=path,
                remedy="A row of a folder is one line. Write line breaks as spaces, or the folder as Parquet.",
            )


def cells_of(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line, however it is quoted; the whole line where it can't be taken apart."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return [line]
