"""Evidence from one column of a text table of how its cells are written, whatever kind they are of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from screening.intake.evidence import NumberEvidence, TimeEvidence, added
from screening.intake.numbers import take_apart
from screening.intake.text.plain_numbers import take_numbers
from screening.intake.text.typed_cells import Sign
from screening.transactions import times
from screening.transactions.composition import OF_AMOUNTS, PartKind, ValuePart, direction_of
from screening.transactions.missing import missing
from screening.transactions.schema import CellKind
from screening.transactions.sources import DIRECTION_KINDS, Source


@dataclass(slots=True)
class ColumnEvidence:
    """Evidence from the cells of one column."""

    source: Source
    name: str
    numbers: NumberEvidence = field(default_factory=NumberEvidence)
    times: TimeEvidence = field(default_factory=TimeEvidence)
    signs: Counter[tuple[float, bool]] = field(default_factory=Counter)
    """Of a part of an amount: which way the money goes, and whether the number is negative; without zeros."""
    digits: dict[int, str] = field(default_factory=dict)
    """Of times of day that are digits alone: one of each length."""
    shortened: str | None = None
    ways: set[float] = field(default_factory=set)
    """Of words for debit or credit: which ways they say."""
    blanks: bool = False
    """Whether there are cells without a word."""

    def add_all(self, cells: Any) -> None:
        """Look at some cells: an Arrow array of texts, or a list."""
        kind = self.source.kind
        if not isinstance(cells, list):
            if kind is CellKind.NUMBER and self.source.part is None:
                take_numbers(self.numbers, cells)
                return
            compute: Any = import_module("pyarrow.compute")
            # of texts only shortened ones tell anything, and hardly any cell has what these have
            if kind is CellKind.TEXT and not compute.any(compute.match_substring(cells, "E+")).as_py():
                return
            cells = cells.to_pylist()
        for text, count in Counter(cells).items():
            self.add(text, count)

    def add(self, text: str, count: int) -> None:
        """Look at a cell that stands so many times."""
        kind = self.source.kind
        if kind is CellKind.NUMBER:
            self.numbers.add(text, count)
            if self.source.part in (ValuePart.DEBIT, ValuePart.CREDIT):
                self.sign(text, 1.0 if self.source.part is ValuePart.DEBIT else -1.0, count)
        elif kind is CellKind.TIME:
            self.times.add(text, count)
        elif kind is PartKind.CLOCK:
            self.times.add_clock(text)
            if text.strip().isdecimal():
                self.digits.setdefault(len(text.strip()), text.strip())
        elif kind in DIRECTION_KINDS:
            way = direction_of(text)
            self.blanks |= way is None
            self.ways |= set() if way is None else {way}
        elif self.shortened is None and kind is CellKind.TEXT and times.SHORTENED.fullmatch(text.strip()):
            self.shortened = text.strip()

    def sign(self, text: str, direction: float | None, count: int) -> None:
        """Note the sign of a number whose direction another column says."""
        written = None if direction is None or missing(text) else take_apart(text)
        if direction is not None and written is not None and written.digits.strip("0.,"):
            self.signs[direction, written.negative] += count

    def merged(self, other: ColumnEvidence) -> ColumnEvidence:
        """Return the evidence of a column of which these cells come first and those of ``other`` behind them."""
        return replace(
            self,
            numbers=self.numbers.merged(other.numbers),
            times=self.times.merged(other.times),
            signs=added(self.signs, other.signs),
            digits={**self.digits, **other.digits, **self.digits},
            shortened=self.shortened or other.shortened,
            ways=self.ways | other.ways,
            blanks=self.blanks or other.blanks,
        )

    @property
    def meaning(self) -> Sign:
        """Meaning of a minus in the column."""
        if self.source.part not in OF_AMOUNTS:
            return Sign.KEPT
        ways = {direction for direction, _ in self.signs}
        one_sign = all((way, True) not in self.signs or (way, False) not in self.signs for way in ways)
        negative = any(minus for _, minus in self.signs)
        return Sign.DROPPED if negative and one_sign else Sign.REFUSED
