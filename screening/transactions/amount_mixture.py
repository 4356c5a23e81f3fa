"""Amounts of two systems in one column: one writes whole cents, ``1250``, the other ``12.50``.

Within one system the whole amounts are about as large as the others: by at most 0.6 powers of ten apart in the
quartiles of 200 payments (public card, mobile-money and point-of-sale data, five files of 10,000 to 1.5 million rows).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from screening.transactions.amount_evidence import AmountEvidence
from screening.transactions.amount_units import whole

Floats = NDArray[np.float64]
# Powers of ten from which on two groups of amounts count different units; cents are 2 apart.
APART = 1.3
# Fewer amounts, or fewer different ones, may lie apart by chance.
FEWEST, FEWEST_VALUES = 10, 5
# Shares of whole amounts above which a part of a file counts as whole, and below which the other doesn't: a
# quarter of card payments is whole anyway.
ALL, HALF = 0.98, 0.5
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class AmountMixture:
    """Two groups of amounts of one file, one many times as large as the other."""

    whole: int
    """Number of amounts that are whole numbers."""
    others: int
    """Number of amounts that have decimals."""
    power: float
    """By how many powers of ten the whole ones are larger."""
    row: int | None
    """About the first row of the second part, from 1, where one follows the other."""

    def words(self, name: str) -> str:
        """Return what was found in a column of this name, without a stop."""
        where = "" if self.row is None else f", from about row {self.row:,} on"
        return (
            f"{name} has {self.others:,} amounts with decimals and {self.whole:,} whole ones about "
            f"{rounded(self.power)} times as large{where}"
        )


@dataclass(frozen=True, slots=True)
class ScaleTurn:
    """A row from which on amounts are many times as large, or as small, as before."""

    row: int
    """From 1; some rows too early or late where the parts overlap."""
    power: float
    """By how many powers of ten they are larger from there on."""

    @classmethod
    def at(cls, row: int, before: Floats, after: Floats) -> Self | None:
        """Return the turn between two parts of a file, sizes in powers of ten; ``None`` where there is none."""
        if not (are_enough(before) and are_enough(after)):
            return None
        power = distance(after, before)
        low, high = (before, after) if power > 0 else (after, before)
        parted = np.quantile(low, 0.9) < np.quantile(high, 0.1)  # not only on the average
        return cls(row, power) if abs(power) >= APART and parted else None

    def words(self, name: str) -> str:
        """Return what was found in a column of this name, without a stop."""
        than = "as large as" if self.power > 0 else "smaller than"
        return f"{name} is about {rounded(self.power)} times {than} before from about row {self.row:,} on"


def unlike(name: str, amounts: Floats) -> list[str]:
    """Say where some amounts are so much larger than the others that they may be counted in another unit.

    Args:
        name: of their column.
        amounts: as of :func:`mixture`.
    """
    return note_unlike(name, mixture(amounts) or turn(amounts))


def note_unlike(name: str, found: AmountMixture | ScaleTurn | None) -> list[str]:
    """Return the note on amounts of which some are so much larger than the others, if there are such."""
    if found is None:
        return []
    return [
        f"{found.words(name)}; all were read in one unit. If two systems wrote them, one of both is wrong."
    ]


def mixture(amounts: Floats) -> AmountMixture | None:
    """Find whole amounts that are many times as large as those with decimals, and the row at which they begin.

    Args:
        amounts: all of a file's, (rows,), as it writes them; NaN where a row is set aside.
    """
    return placed(mixture_of(AmountEvidence.of(amounts)), amounts)


def placed(found: AmountMixture | None, amounts: Floats) -> AmountMixture | None:
    """Return what was found of amounts with the row at which the second part begins, if one follows the other."""
    if found is None:
        return None
    rows = np.flatnonzero(np.isfinite(amounts) & (amounts != 0))
    kinds = whole(amounts[rows])
    split = turn_of(kinds.astype(np.float64))
    shares = kinds[:split].mean(), kinds[split:].mean()
    parted = min(shares) <= HALF and max(shares) >= ALL
    return replace(found, row=int(rows[split]) + 1 if parted else None)


def mixture_of(amounts: AmountEvidence) -> AmountMixture | None:
    """Find whole amounts that are many times as large as those with decimals, wherever they stand."""
    kinds, others = (each.other_than_zero().without_signs() for each in (amounts.whole, amounts.parts))
    if min(kinds.total, others.total) < FEWEST or min(len(kinds.values), len(others.values)) < FEWEST_VALUES:
        return None
    powers = (np.log10(each.quantiles(QUARTILES)) for each in (kinds, others))
    power = float(np.median(np.subtract(*powers)))
    return AmountMixture(kinds.total, others.total, power, None) if power >= APART else None


def turn(amounts: Floats) -> ScaleTurn | None:
    """Find a row from which on the amounts are many times as large as before, in a file that isn't sorted by them.

    Args:
        amounts: as of :func:`mixture`.
    """
    rows, powers = sizes_of(amounts)
    steps = np.diff(powers)
    if len(powers) < 2 * FEWEST or (steps >= 0).all() or (steps <= 0).all():
        return None
    split = turn_of(powers)
    return ScaleTurn.at(int(rows[split]) + 1, powers[:split], powers[split:])


def sizes_of(amounts: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Return the rows with an amount other than zero, from 0, and how large each is, in powers of ten."""
    rows = np.flatnonzero(np.isfinite(amounts) & (amounts != 0))
    return rows, np.log10(np.abs(amounts[rows]))


def are_enough(powers: Floats) -> bool:
    """Return whether amounts are many and different enough to tell anything by."""
    return len(powers) >= FEWEST and len(np.unique(powers[: 100 * FEWEST])) >= FEWEST_VALUES


def distance(some: Floats, others: Floats) -> float:
    """Return how far some amounts lie above others: the middle one of their quartiles' distances."""
    return float(np.median(np.quantile(some, QUARTILES) - np.quantile(others, QUARTILES)))


def turn_of(values: Floats) -> int:
    """Return where a sequence changes its level: where the sum of deviations from its mean turns (CUSUM; Page 1954).

    Args:
        values: (n,), n ≥ 2.

    Returns:
        The place of the first value of the second part, 1 to n - 1.
    """
    return int(np.argmax(np.abs(np.cumsum(values - values.mean())[:-1]))) + 1


def rounded(power: float) -> str:
    """Return how many times that is, to one digit: ``100``."""
    return f"{float(f'{10 ** abs(power):.1g}'):,.0f}"
