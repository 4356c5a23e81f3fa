"""Numbers of one unit that belong together: which of them are exactly the sum of others now and then, and ratios.

Of a payment that empties an account the amount is what the account held, to the cent, and a balance that should have
changed by the amount didn't. No tree asks for such a thing: it would need a question for each amount. Neither do nets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from screening.features.definitions.places import plain_name

Floats = NDArray[np.float64]
LEAST_ROWS, LEAST_SHARE = 10, 0.005
"""Rows, and which share of them, in which a relation must hold to be one."""
# A relation that holds for more rows than this always holds, so it says nothing about a row.
ALWAYS = 0.999
# A relation must hold so many times as often as for shuffled rows, or it is chance.
BY_CHANCE = 5
# With fewer different values (counts, ages, days) numbers are equal by chance all the time.
LEAST_DIFFERENT = 50
PAIR_ROWS, TRIPLE_ROWS = 20_000, 2_500
# The number of triples grows with the third power of the columns.
MOST_COLUMNS = 30
MOST_RELATIONS = 8
"""Of two columns, and of three: those that hold most often."""
MOST_RATIOS = 6
# Share of the sizes that is rounding: sums of cents aren't exact in binary.
ROUNDED = 1e-12
MONEY = frozenset({
    "balance", "bal", "limit", "income", "salary", "credit", "debit", "average", "avg", "mean", "median", "premium",
    "price", "fee", "claim", "loan", "payment", "paid", "invoice", "order", "saldo", "kontostand", "solde",
    "ingreso", "einkommen",
})  # fmt: skip
"""Words of amounts that an amount is held against."""


class Relation(NamedTuple):
    """Columns whose sum, each with its sign, is zero now and then; the first one counts positive."""

    columns: tuple[str, ...]
    """Two or three."""
    signs: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the difference: ``oldbalance - amount - newbalance``."""
        more = zip(self.columns[1:], self.signs[1:], strict=True)
        return self.columns[0] + "".join(f" {'+' if sign > 0 else '-'} {name}" for name, sign in more)

    @property
    def words(self) -> str:
        """The difference for a person."""
        more = zip(self.columns[1:], self.signs[1:], strict=True)
        return self.columns[0] + "".join(f" {'plus' if sign > 0 else 'minus'} {name}" for name, sign in more)


def gap(cells: Sequence[Floats], signs: Sequence[int]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return how far numbers are from a relation, and where it holds exactly but for rounding; (rows,) both.

    Where one is blank there is no gap, and it doesn't hold.

    Args:
        cells: the columns of the relation, (rows,) each, NaN for a blank.
        signs: 1 or -1 for each.
    """
    total = sum(sign * column for sign, column in zip(signs, cells, strict=True))
    size = sum(np.abs(column) for column in cells)
    blank = np.isnan(total)
    exact = (np.abs(total) <= ROUNDED * size) & ~blank
    return np.where(blank | exact, 0.0, total), exact


def relations_of(names: Sequence[str], columns: Mapping[str, Floats]) -> tuple[Relation, ...]:
    """Return the relations that hold in some rows, not in all, and more often than by chance; no label is needed.

    Args:
        names: the columns of numbers, in order.
        columns: their cells, (rows,), NaN for a blank.
    """
    candidates = [name for name in names if _various(columns[name])][:MOST_COLUMNS]
    if len(candidates) < 2:
        return ()
    return (*pairs_alike(candidates, columns), *sums_of_two(candidates, columns))


def ratios_of(
    amount: str | None, names: Sequence[str], columns: Mapping[str, Floats]
) -> tuple[tuple[str, str], ...]:
    """Return the columns of money that the amount is held against, as (amount, other): balances, limits, averages."""
    if amount is None:
        return ()
    others = [
        name
        for name in names
        if name != amount and MONEY & set(plain_name(name).split("_")) and _various(columns[name])
    ]
    return tuple((amount, other) for other in others[:MOST_RATIOS])


def _various(cells: Floats) -> bool:
    some = spread_over(cells, PAIR_ROWS)
    some = some[np.isfinite(some) & (some != 0)]
    return len(some) >= LEAST_ROWS and len(np.unique(some)) >= min(LEAST_DIFFERENT, max(len(some) // 2, 2))


def spread_over(cells: Floats, most: int) -> Floats:
    """Return at most so many cells, evenly from all rows."""
    if len(cells) <= most:
        return cells
    return cells[np.linspace(0, len(cells) - 1, most).astype(np.int64)]


def pairs_alike(names: Sequence[str], columns: Mapping[str, Floats]) -> list[Relation]:
    """Return pairs of columns that are equal in many rows."""
    some = {name: spread_over(columns[name], PAIR_ROWS) for name in names}
    found = []
    for one, other in combinations(names, 2):
        share = holding_share([some[one], some[other]], (1, -1))
        if share:
            found.append((share, Relation((one, other), (1, -1))))
    return _most(found)


def sums_of_two(names: Sequence[str], columns: Mapping[str, Floats]) -> list[Relation]:
    """Return columns of which one is the sum of two others; each three are looked at from each side."""
    some = {name: spread_over(columns[name], TRIPLE_ROWS) for name in names}
    table = np.stack([some[name] for name in names])
    table[~np.isfinite(table) | (table == 0)] = np.nan  # equal to nothing
    bound = ROUNDED * np.nan_to_num(np.abs(table))
    found = []
    for one, other in combinations(range(len(names)), 2):
        rest = np.abs(table - (table[one] + table[other])) <= 2 * (bound + bound[one] + bound[other])
        for place in np.flatnonzero(rest.sum(axis=1) >= LEAST_ROWS).tolist():
            if place in {one, other}:
                continue
            three = (names[place], names[one], names[other])
            share = holding_share([some[name] for name in three], (1, -1, -1))
            if share:
                found.append((share, Relation(three, (1, -1, -1))))
    return _most(found)


def holding_share(cells: Sequence[Floats], signs: Sequence[int]) -> float:
    """Return in which share of the rows a relation holds with nothing zero in it; 0 if it is none worth asking for."""
    shown = np.logical_and.reduce([np.isfinite(column) & (column != 0) for column in cells])
    if shown.sum() < LEAST_ROWS:
        return 0.0
    kept = [column[shown] for column in cells]
    holds = gap(kept, signs)[1]
    share = float(holds.sum() / len(cells[0]))
    if holds.sum() < LEAST_ROWS or share < LEAST_SHARE or holds.mean() >= ALWAYS:
        return 0.0
    shuffled = np.random.default_rng(0).permutation(kept[0])
    by_chance = gap([shuffled, *kept[1:]], signs)[1].sum()
    return share if holds.sum() > BY_CHANCE * by_chance else 0.0


def _most(found: list[tuple[float, Relation]]) -> list[Relation]:
    # of the same share the first: the order stays
    ranked = sorted(found, key=lambda pair: -pair[0])
    return [relation for _, relation in ranked[:MOST_RELATIONS]]
