"""Cells of columns that aren't plain numbers: texts, times and addresses, and blanks where they are allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.intake import numbers
from screening.intake.numbers import NumberForm
from screening.transactions import encoding, times
from screening.transactions.missing import SHEET_ERROR, WORDS, missing
from screening.transactions.schema import CellKind, Column, ColumnContract
from screening.transactions.times import TimeForm

Floats = NDArray[np.float64]
BLANKS = {
    "",
    *(form(word) for word in WORDS for form in (str.lower, str.upper, str.title)),
    "NaN",
    "NaT",
    r"\N",
}
"""What Arrow takes for a blank in a column of numbers; others go the exact way."""
SHORTENED = "was shortened by a spreadsheet: its last digits are lost"


@dataclass(frozen=True, slots=True)
class CellReader:
    """How the cells of one column are read.

    Without forms only cells of one meaning are read: plain numbers, dates of ISO 8601 without an offset from UTC. What
    else stands in a column is read by the form that the whole column was found to have
    (:mod:`screening.intake.forms`).
    """

    kind: CellKind = CellKind.NUMBER
    optional: bool = False
    numbers: NumberForm | None = None
    times: TimeForm | None = None
    scale: float = 1.0
    """What a number is multiplied with: a time that counts hours becomes seconds."""
    least: float | None = None
    """The least that a cell can mean, if there is such a bound."""

    @classmethod
    def of(
        cls, column: Column, numbers: NumberForm | None = None, times: TimeForm | None = None
    ) -> CellReader:
        """The reader of a contract's column, with the form that the file's column was found to have."""
        return cls(column.kind, column.optional, numbers, times, column.scale, column.least)

    @property
    def decimal(self) -> str:
        """The decimal mark."""
        return self.numbers.decimal if self.numbers else "."

    @property
    def turned(self) -> bool:
        """Whether numbers are read with the other sign."""
        return self.numbers is not None and self.numbers.turned

    def read(self, text: str) -> float | None:
        """The number that stands for a cell; NaN for a blank that is allowed, ``None`` for what can't be used."""
        if missing(text):
            return math.nan if self.optional else None
        if self.kind is CellKind.NUMBER:
            found = numbers.plain(text) if self.numbers is None else numbers.number(text, self.numbers)
            return None if found is None else found * self.scale
        if self.kind is CellKind.TEXT:
            plain = text.strip()
            spoiled = times.SHORTENED.fullmatch(plain) or SHEET_ERROR.fullmatch(plain)
            return None if spoiled else encoding.text_code(text)
        if self.kind is CellKind.TIME:
            plain = text.strip()
            if self.times is None and (plain[4:5] != "-" or times.iso_offset(plain)):
                return None  # the whole column must be seen: other cells may have no offset
            moment = times.time_of(text, self.times or times.AUTO)
            return None if moment is None or self.early(moment) else moment
        return encoding.address_code(text)

    def early(self, found: float) -> bool:
        """Whether a cell means less than it can."""
        return self.least is not None and found < self.least

    def doubtful(self, text: str) -> bool:
        """Whether a cell that :meth:`read` refuses means something by another form than the reader's."""
        if missing(text):
            return False
        if self.kind is CellKind.NUMBER:
            if self.numbers is None:
                return numbers.plain_form(text) is None and numbers.take_apart(text) is not None
            return numbers.contrary(text, self.numbers)
        if times.SHORTENED.fullmatch(text.strip()):
            return True
        if self.kind is not CellKind.TIME or times.family_of(text) is None:
            return False
        moment = times.time_of(text, self.times or times.AUTO)
        return moment is None or not self.early(moment)

    def explain(self, text: str) -> str:
        """What is wrong with a cell that :meth:`read` refuses, in words."""
        if self.kind is CellKind.NUMBER or missing(text):
            return numbers.explain(text, self.numbers or numbers.PLAIN)
        if SHEET_ERROR.fullmatch(text.strip()):
            return "is an error of the spreadsheet"
        if times.SHORTENED.fullmatch(text.strip()):
            return SHORTENED
        if self.kind is CellKind.TIME:
            moment = times.time_of(text, self.times or times.AUTO)
            if moment is not None and self.early(moment):
                return "is before 1970"
            return "is not a date and time that is read here"
        return "is not an IP address"


def readers_of(contract: ColumnContract) -> tuple[CellReader, ...] | None:
    """How the columns of a contract are read; ``None`` where all are numbers that must be there: no more is needed."""
    if contract.plain:
        return None
    return tuple(map(CellReader.of, contract.parts()))


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
        if reader.turned:
            found = 0.0 - found  # no negative zero
        if reader.scale != 1.0:
            found = found * reader.scale  # Arrow's own numbers can't be written to
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
    if np.isnan(found).any() and (not reader.optional or not all(map(missing, _at(texts, np.isnan(found))))):
        return None
    return found


def _at(texts: list[str], where: NDArray[np.bool_]) -> list[str]:
    return [texts[place] for place in np.flatnonzero(where)]
