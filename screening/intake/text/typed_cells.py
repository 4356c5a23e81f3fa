"""Cells of columns that aren't plain numbers: texts, times and addresses, and blanks where they are allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.intake import numbers
from screening.intake.numbers import NumberForm
from screening.transactions import encoding, times
from screening.transactions.amount_units import AmountUnit
from screening.transactions.composition import PartKind, direction_of
from screening.transactions.missing import SHEET_ERROR, WORDS, missing
from screening.transactions.schema import CellKind
from screening.transactions.sources import DIRECTION_KINDS, ReadKind, Source
from screening.transactions.times import TimeForm

Floats = NDArray[np.float64]
BLANKS = {
    "",
    *(form(word) for word in WORDS for form in (str.lower, str.upper, str.title)),
    "NaN",
    "NaT",
    r"\N",
}
"""Cells that Arrow takes for a blank in a column of numbers; others go the exact way."""
SHORTENED = "was shortened by a spreadsheet: its last digits are lost"


DATE_LENGTH = 10
"""Of 2025-12-31: what is longer has a time of day."""


class TimeOfDay(IntEnum):
    """Ways to write a time of day."""

    ZONED = 1
    """With its zone."""
    BARE = 2
    """By its digits."""
    HALVED = 3
    """With AM or PM."""


_SAYS = np.zeros(256, np.uint8)
"""Meaning of the last byte of a time: digits end bare ones, ``Z``, ``UTC`` and ``GMT`` zones, ``AM`` and ``PM``
halves; 0 nothing."""
_SAYS[list(b"zZcCtT")] = TimeOfDay.ZONED
_SAYS[list(b"0123456789")] = TimeOfDay.BARE
_SAYS[list(b"mM")] = TimeOfDay.HALVED


class Sign(StrEnum):
    """Meanings of a minus in a column of numbers."""

    KEPT = "kept"
    REFUSED = "refused"
    """Another column says which way the money goes: a minus beside it means two things."""
    DROPPED = "dropped"
    """Every number of the column has it where the other column says so: it says the same once more."""


@dataclass(frozen=True, slots=True)
class CellReader:
    """Reader of the cells of one column.

    Without forms only cells of one meaning are read: plain numbers, dates of ISO 8601 without an offset from UTC. What
    else appears in a column is read by the form that the whole column was found to have
    (:mod:`screening.intake.forms`).
    """

    kind: ReadKind = CellKind.NUMBER
    optional: bool = False
    numbers: NumberForm | None = None
    times: TimeForm | None = None
    scale: float = 1.0
    """Factor that a number is multiplied by: a time that counts hours becomes seconds."""
    least: float | None = None
    """The least that a cell can mean, if there is such a bound."""
    sign: Sign = Sign.KEPT
    unit: AmountUnit = AmountUnit.WHOLE
    """Unit of the amounts."""

    @classmethod
    def of(cls, source: Source) -> CellReader:
        """Return the reader of a file's column, without the form that it may be found to have."""
        return cls(source.kind, source.optional, scale=source.scale, least=source.least, unit=source.unit)

    @property
    def decimal(self) -> str:
        """The decimal mark."""
        return self.numbers.decimal if self.numbers else "."

    @property
    def turned(self) -> bool:
        """Return whether numbers are read with the other sign."""
        return self.numbers is not None and self.numbers.turned

    @property
    def may_mix_clocks(self) -> bool:
        """Return whether cells with ``Z``, with ``AM`` and with neither are all read: then the whole column must be
        seen.
        """
        return self.kind is CellKind.TIME and self.times is None

    def read(self, text: str) -> float | None:
        """Return the number that stands for a cell; NaN for an allowed blank, ``None`` for what can't be used."""
        if self.kind in DIRECTION_KINDS:  # where a minus is a word, too
            return direction_of(text, DIRECTION_KINDS[self.kind])
        if missing(text):
            return math.nan if self.optional else None
        if self.kind is CellKind.NUMBER:
            found = numbers.plain(text) if self.numbers is None else numbers.number(text, self.numbers)
            return self._signed(None if found is None else self.unit.of(found) * self.scale)
        if self.kind is CellKind.TEXT:
            plain = text.strip()
            spoiled = times.SHORTENED.fullmatch(plain) or SHEET_ERROR.fullmatch(plain)
            return None if spoiled else encoding.text_code(text)
        if self.kind is CellKind.TIME:
            plain = text.strip()
            if self.times is None and (plain[4:5] != "-" or times.iso_offset(plain)):
                # the whole column must be seen: other cells may have no offset
                return None
            moment = times.time_of(text, self.times or times.AUTO)
            return None if moment is None or self.early(moment) else moment
        return _ONE_FORM[self.kind](text)

    def early(self, found: float) -> bool:
        """Return whether a cell means less than it can."""
        return self.least is not None and found < self.least

    def _signed(self, value: float | None) -> float | None:
        if value is None or abs(value) > numbers.LARGEST:
            return None
        if value >= 0 or self.sign is Sign.KEPT:
            return value
        return None if self.sign is Sign.REFUSED else -value

    def doubtful(self, text: str) -> bool:
        """Return whether a cell that :meth:`read` refuses means something by another form than the reader's."""
        if missing(text) or isinstance(self.kind, PartKind):
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
        """Explain in words why :meth:`read` refuses a cell."""
        if self.kind in DIRECTION_KINDS:
            return "is no word for debit or credit that is known here" if text.strip() else NO_WORD
        form = self.numbers or numbers.PLAIN
        if (
            self.kind is CellKind.NUMBER
            and self.sign is Sign.REFUSED
            and numbers.number(text, form) is not None
        ):
            return "is negative, and another column says which way the money went: it can mean two things"
        if self.kind is CellKind.NUMBER or missing(text):
            return numbers.explain(text, form)
        if SHEET_ERROR.fullmatch(text.strip()):
            return "is an error of the spreadsheet"
        if times.SHORTENED.fullmatch(text.strip()):
            return SHORTENED
        if self.kind is CellKind.TIME:
            moment = times.time_of(text, self.times or times.AUTO)
            if moment is not None and self.early(moment):
                return "is before 1970"
        return _NOTHING[self.kind]


_ONE_FORM: dict[ReadKind, Callable[[str], float | None]] = {
    CellKind.ADDRESS: encoding.address_code,
    CellKind.LENGTH: encoding.text_length,
    CellKind.DOMAIN: encoding.domain_code,
    PartKind.CLOCK: times.clock_of,
    PartKind.MONTH: times.month_of,
}
"""Readers of the kinds of cells that are written in one way, or in ways that say the same."""
NO_WORD = (
    "is blank: it doesn't say which way the money went; write a word in every row, or say what a blank means"
)
_NOTHING: dict[ReadKind, str] = {
    CellKind.TIME: "is not a date and time that is read here",
    CellKind.ADDRESS: "is not an IP address",
    PartKind.CLOCK: "is not a time of day that is read here; write 23:59 or 23:59:00",
    PartKind.MONTH: "is not a month; write 1 to 12, or its name",
}


def readers_of(sources: Sequence[Source]) -> tuple[CellReader, ...] | None:
    """Return the readers of the columns of a file; ``None`` where all are numbers that must be there: no more is
    needed.
    """
    plain = CellReader()
    if all(CellReader.of(one) == plain for one in sources):
        return None
    return tuple(map(CellReader.of, sources))


def arrow_type(pa: Any, reader: CellReader) -> Any:
    """Return the type as which Arrow reads a column."""
    if reader.kind is CellKind.NUMBER:
        return pa.float64()
    repeated = reader.kind is CellKind.TEXT or isinstance(reader.kind, PartKind)
    return pa.dictionary(pa.int32(), pa.string()) if repeated else pa.string()


def from_arrow(column: Any, reader: CellReader) -> Floats | None:
    """Return a column that Arrow read, as numbers; ``None`` when a cell can't be used."""
    if reader.kind is CellKind.NUMBER:
        if column.null_count and not reader.optional:
            return None
        found: Floats = column.combine_chunks().to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        if reader.turned:
            found = 0.0 - found  # no negative zero
        found = reader.unit.of_all(found)
        if reader.scale != 1.0:
            # Arrow's own numbers can't be written to
            found = found * reader.scale
        if reader.sign is Sign.DROPPED:
            found = np.abs(found)
        usable = np.abs(found) <= numbers.LARGEST
        if reader.sign is Sign.REFUSED:
            usable &= found >= 0
        return found if (usable | (np.isnan(found) & reader.optional)).all() else None
    parts = [_texts(chunk, reader) for chunk in column.chunks]
    read = [part for part in parts if part is not None]
    return np.concatenate(read) if len(read) == len(parts) else None


def clocks(column: Any) -> set[TimeOfDay]:
    """Return the clock of each time that was read without a form: by the last byte of each cell.

    Offsets from UTC end with a digit, too; they aren't read without a form.
    """
    found: set[TimeOfDay] = set()
    for chunk in column.chunks:
        _, offsets, data = chunk.buffers()
        if data is None:
            continue
        stops = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        long = np.diff(stops) > DATE_LENGTH
        last = _SAYS[np.frombuffer(data, np.uint8)[stops[1:][long] - 1]]
        found |= {clock for clock in TimeOfDay if (last == clock).any()}
        for text in {chunk[place].as_py() for place in np.flatnonzero(long)[last == 0].tolist()}:
            found |= clock_of(text)
    return found


def clock_of(text: str) -> set[TimeOfDay]:
    """Return the way a cell writes its time of day; empty for a cell without one."""
    plain = times.bare(text)
    zone = times.has_zone(plain)
    if zone is None:
        return set()
    return {
        TimeOfDay.ZONED if zone else TimeOfDay.HALVED if times.half_of_day(plain) is True else TimeOfDay.BARE
    }


def _texts(chunk: Any, reader: CellReader) -> Floats | None:
    if reader.kind is CellKind.TEXT or isinstance(reader.kind, PartKind):
        known = [reader.read(text) for text in chunk.dictionary.to_pylist()]
        if None in known:
            return None
        found: Floats = np.array(known, np.float64)[chunk.indices.to_numpy()]
        return found
    texts = chunk.to_pylist()
    found = encoding.codes(texts, reader.read)
    unread = [texts[place] for place in np.flatnonzero(np.isnan(found))]
    if unread and not (reader.optional and all(map(missing, unread))):
        return None
    return found
