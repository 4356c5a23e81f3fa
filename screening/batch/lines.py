"""Look at lines of CSV where Spark's rows tell too little: a last cell that was cut off, ragged rows."""

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


@dataclass(frozen=True, slots=True)
class RaggedLines:
    """Takes lines of CSV apart that have more or fewer cells than the header.

    Args:
        delimiter: between cells.
        header: the names of the files' columns.
    """

    delimiter: str
    header: tuple[str, ...]

    @property
    def beyond(self) -> str:
        """Name that messages give the cells that no column of the header has."""
        return f"number {len(self.header) + 1}"

    def cells(self, lines: Iterable[str]) -> dict[int, list[str]]:
        """Return the cells of lines by their places; those beyond the header have the place behind its last."""
        found: dict[int, list[str]] = {}
        for line in lines:
            try:
                row = next(csv.reader([line], delimiter=self.delimiter), [])
            except csv.Error:
                # too long a cell, above all
                row = [line]
            for place, cell in enumerate(row):
                found.setdefault(min(place, len(self.header)), []).append(cell)
        return found
