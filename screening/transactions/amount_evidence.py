"""Evidence from the amounts of a table as a whole, of however many rows: how large they are, how many are whole, their
signs.

It can be put together of parts, and tells the same however the table was cut. Sizes are kept in bins of a thousandth:
whole numbers up to 2,048 as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from screening.transactions.amount_units import AmountUnit, whole

Floats = NDArray[np.float64]
DROPPED = 42
"""Bits of a float64 that a bin doesn't tell apart: of 52 behind the leading one, ten stay."""
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers in bins: the end of each that is nearer to zero, (bins,) ascending, and how many are in it."""

    values: Floats
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, numbers: Floats) -> Self:
        """Return numbers in bins, (n,) without NaN."""
        bins = (np.ascontiguousarray(numbers).view(np.int64) >> DROPPED) << DROPPED
        found, counts = np.unique(bins.view(np.float64) + 0.0, return_counts=True)
        return cls(found, counts)

    @classmethod
    def gathered(cls, values: Floats, counts: NDArray[np.int64]) -> Self:
        """Return numbers that stand so many times each, (n,) both, with each value once."""
        found, places = np.unique(values, return_inverse=True)
        sums = np.zeros(len(found), np.int64)
        np.add.at(sums, places, counts)
        return cls(found, sums)

    def merged(self, other: Sizes) -> Sizes:
        """Return the numbers of both."""
        return self.gathered(
            np.concatenate([self.values, other.values]), np.concatenate([self.counts, other.counts])
        )

    @property
    def total(self) -> int:
        """Number of all of them."""
        return int(self.counts.sum())

    def without_signs(self) -> Sizes:
        """Return how large they are, whatever their signs."""
        return self.gathered(np.abs(self.values), self.counts)

    def in_unit(self, unit: AmountUnit) -> Sizes:
        """Return amounts of a file in a detector's unit."""
        return Sizes(unit.of_all(self.values), self.counts)

    def other_than_zero(self) -> Sizes:
        """Return those that aren't zero."""
        kept = self.values != 0
        return Sizes(self.values[kept], self.counts[kept])

    def quantiles(self, shares: Sequence[float]) -> Floats:
        """Return quantiles, (shares,), as ``numpy.quantile`` does of the numbers themselves; of none, zeros."""
        if not len(self.values):
            return np.zeros(len(shares))
        places = np.asarray(shares) * (self.total - 1)
        low, high = (self._at(each) for each in (np.floor(places), np.ceil(places)))
        found: Floats = low + (high - low) * (places - np.floor(places))
        return found

    def _at(self, ranks: Floats) -> Floats:
        found: Floats = self.values[np.searchsorted(np.cumsum(self.counts), ranks, side="right")]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountEvidence:
    """Evidence from amounts as a whole, as a file writes them; rows without one don't count."""

    whole: Sizes
    """Those that are whole numbers."""
    parts: Sizes
    """The others."""
    first: tuple[float, ...]
    """Some as they stand; here and below the first ones."""
    different: tuple[float, ...]
    """Different ones other than zero."""
    some_whole: tuple[float, ...]
    """Whole ones other than zero."""
    some_parts: tuple[float, ...]

    @classmethod
    def of(cls, amounts: Floats) -> Self:
        """Return what amounts tell, (rows,), NaN where there is none."""
        there = amounts[~np.isnan(amounts)]
        kinds = whole(there)
        rest = there[there != 0]
        return cls(
            whole=Sizes.of(there[kinds]),
            parts=Sizes.of(there[~kinds]),
            first=tuple(there[:EXAMPLES].tolist()),
            different=first_different(rest),
            some_whole=tuple(rest[whole(rest)][:EXAMPLES].tolist()),
            some_parts=tuple(there[~kinds][:EXAMPLES].tolist()),
        )

    def merged(self, other: AmountEvidence) -> AmountEvidence:
        """Return what they tell where those of ``other`` stand behind these."""
        return AmountEvidence(
            whole=self.whole.merged(other.whole),
            parts=self.parts.merged(other.parts),
            first=(*self.first, *other.first)[:EXAMPLES],
            different=tuple(dict.fromkeys((*self.different, *other.different)))[:EXAMPLES],
            some_whole=(*self.some_whole, *other.some_whole)[:EXAMPLES],
            some_parts=(*self.some_parts, *other.some_parts)[:EXAMPLES],
        )

    @property
    def sizes(self) -> Sizes:
        """All of them."""
        return self.whole.merged(self.parts)

    @property
    def rows(self) -> int:
        """Number of rows that have one."""
        return self.whole.total + self.parts.total

    @property
    def negative(self) -> int:
        """Number of those below zero."""
        return sum(int(each.counts[each.values < 0].sum()) for each in (self.whole, self.parts))

    @property
    def zeros(self) -> int:
        """Number of zeros."""
        return self.rows - sum(each.other_than_zero().total for each in (self.whole, self.parts))


def first_different(amounts: Floats) -> tuple[float, ...]:
    """Return the first different ones of some amounts."""
    for some in (amounts[: 4 * EXAMPLES], amounts):
        found, places = np.unique(some, return_index=True)
        if len(found) >= EXAMPLES or len(some) == len(amounts):
            break
    return tuple(amounts[np.sort(places)][:EXAMPLES].tolist())
