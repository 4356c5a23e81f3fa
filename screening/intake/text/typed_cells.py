"""Cells of columns that aren't plain numbers: texts, times and addresses, and blanks where they are allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.intake import numbers
from screening.transactions import encoding
from screening.transactions.encoding import TimeFormat
from screening.transactions.schema import CellKind, ColumnContract

Floats = NDArray[np.float64]
BLANKS = {
    "",
    *(form(word) for word in numbers.MISSING for form in (str.lower, str.upper, str.title)),
    "NaN",
}
"""What Arrow takes for a blank in a column of numbers; others go the exact way."""


@dataclass(frozen=True, slots=True)
class CellReader:
    """How the cells of one column are read."""

    kind: CellKind = CellKind.NUMBER
    optional: bool = False
    decimal: str = "."
    form: TimeFormat = TimeFormat.AUTO

    def read(self, text: str) -> float | None:
        """The number that stands for a cell; NaN for a blank that is allowed, ``None`` for what can't be used."""
        if blank(text):
            return math.nan if self.optional else None
        if self.kind is CellKind.NUMBER:
            return numbers.number(text, self.decimal)
        if self.kind is CellKind.TEXT:
            return encoding.text_code(text)
        if self.kind is CellKind.TIME:
            return encoding.time_of(text, self.form)
        return encoding.address_code(text)

    def explain(self, text: str) -> str:
        """What is wrong with a cell that :meth:`read` refuses, in words."""
        if self.kind is CellKind.NUMBER or blank(text):
            return numbers.explain(text, self.decimal)
        if self.kind is CellKind.TIME:
            return "is not a date and time"
        return "is not an IP address"


def readers_of(contract: ColumnContract) -> tuple[CellReader, ...] | None:
    """How the columns of a contract are read; ``None`` where all are numbers that must be there: no more is needed."""
    if contract.plain:
        return None
    return tuple(CellReader(column.kind, column.optional) for column in contract.parts())


def with_forms(
    readers: tuple[CellReader, ...], names: tuple[str, ...], columns: list[list[str]]
) -> tuple[tuple[CellReader, ...], list[str]]:
    """The readers with the form of their dates, learned from some cells of each column; and what was assumed."""
    found, notes = [], []
    for reader, name, texts in zip(readers, names, columns, strict=True):
        if reader.kind is CellKind.TIME:
            form, is_open = encoding.form_of(texts)
            found.append(replace(reader, form=form))
            if is_open:
                notes.append(
                    f"The dates in {name} are taken as day before month, as 31/12/2025; nothing in the file's first "
                    "rows tells."
                )
        else:
            found.append(reader)
    return tuple(found), notes


def blank(text: str) -> bool:
    """Whether a cell says nothing: empty, or a word for it."""
    bare = text.strip()
    return not bare or bare.casefold() in numbers.MISSING


def arrow_type(pa: Any, reader: CellReader) -> Any:
    """What Arrow shall read a column as."""
    if reader.kind is CellKind.NUMBER:
        return pa.float64()
    return pa.dictionary(pa.int32(), pa.string()) if reader.kind is CellKind.TEXT else pa.string()


def from_arrow(column: Any, reader: CellReader) -> Floats | None:
    """A column that Arrow read, as numbers; ``None`` when a cell can't be used."""
    if reader.kind is CellKind.NUMBER:
        if column.null_count and not reader.optional:
            return None
        found: Floats = column.combine_chunks().to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        usable = np.abs(found) <= numbers.LARGEST
        return found if (usable | (np.isnan(found) & reader.optional)).all() else None
    parts = [_texts(chunk, reader) for chunk in column.chunks]
    read = [part for part in parts if part is not None]
    return np.concatenate(read) if len(read) == len(parts) else None


def _texts(chunk: Any, reader: CellReader) -> Floats | None:
    if reader.kind is CellKind.TEXT:
        known = [reader.read(text) for text in chunk.dictionary.to_pylist()]
        if None in known:
            return None
        found: Floats = np.array(known, np.float64)[chunk.indices.to_numpy()]
        return found
    texts = chunk.to_pylist()
    found = encoding.codes(texts, reader.read)
    if np.isnan(found).any() and (not reader.optional or not all(map(blank, _at(texts, np.isnan(found))))):
        return None
    return found


def _at(texts: list[str], where: NDArray[np.bool_]) -> list[str]:
    return [texts[place] for place in np.flatnonzero(where)]
