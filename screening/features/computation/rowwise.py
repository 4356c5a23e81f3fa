"""Features of a row by itself: its amount, its clock, its categories."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from screening.features.computation.matrix import Sheet
from screening.features.computation.per_definition import PerDefinition
from screening.features.definitions.catalogue import country_of, is_category, one_hot
from screening.features.definitions.definition import Definition
from screening.features.definitions.feature import DAY, HOUR, PER
from screening.features.definitions.places import kilometres
from screening.features.definitions.rates import Rates
from screening.features.definitions.relations import gap
from screening.transactions.schema import CellKind, Column, Matrix, Role

Floats = NDArray[np.float64]
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday
EVENING, MORNING = 22, 6
SATURDAY = 5


def signed_log(units: Floats) -> Floats:
    """Return log1p of the size, with the sign; the same shape."""
    return np.copysign(np.log1p(np.abs(units)), units)


def fill_rows(definition: Definition, values: Matrix, sheet: Sheet) -> None:
    """Write the features that need no other row.

    Args:
        definition: what the features are.
        values: float64 (n, columns of the contract).
        sheet: takes them, for n rows.
    """
    clock = definition.contract.time
    time = None if clock is None else values[:, definition.contract.columns.index(clock)]
    for column, cells in zip(definition.contract.parts(), values.T, strict=True):
        if column.optional:
            sheet.put(("missing", column.name), np.isnan(cells))
        if column.kind is CellKind.ADDRESS and definition.ranges is not None:
            put_country(definition, definition.ranges.country(cells), country_of(column.name), sheet)
        if is_category(column, definition.contract):
            put_category(definition, column.name, cells, sheet)
        elif column.role in (Role.TIME, Role.MOMENT):
            put_clock(column.name, cells, sheet)
            if time is not None and column.role is Role.MOMENT:
                since = time - cells
                sheet.put(("since", column.name), signed_log(since))
                sheet.put(("just", column.name), (since >= 0) & (since < HOUR))
        elif column.role is not Role.ENTITY:
            put_number(definition, column, cells, sheet)
    for places in definition.distances:
        ends = (values[:, definition.contract.columns.index(name)] for name in places)
        # of a blank there is none, and its own feature says so
        apart = kilometres(*ends)
        sheet.put(("distance", *places), np.log1p(np.nan_to_num(apart)))
    put_relations(definition, values, sheet)
    for name in definition.rates:
        sheet.put(
            ("rate", name), RATES.of(definition)[name].of(values[:, definition.contract.columns.index(name)])
        )


def put_relations(definition: Definition, values: Matrix, sheet: Sheet) -> None:
    """Put the features of columns that add up, and of ratios, into the sheet."""
    place = definition.contract.columns.index
    pairs = list(definition.ratios)
    for columns, signs in definition.relations:
        far, exact = gap([values[:, place(name)] for name in columns], signs)
        sheet.put(("gap", *columns), signed_log(far / definition.unit))
        sheet.put(("exact", *columns), exact)
        if len(columns) == 2:
            pairs.append((columns[0], columns[1]))
    for one, other in pairs:
        logs = [signed_log(values[:, place(name)] / definition.unit) for name in (one, other)]
        sheet.put(("ratio", one, other), np.nan_to_num(logs[0] - logs[1]))


def put_number(definition: Definition, column: Column, cells: Floats, sheet: Sheet) -> None:
    """Put a number, and the logarithm of an amount, into the sheet; blanks have the usual value."""
    filled = np.where(np.isnan(cells), definition.fills.get(column.name, 0.0), cells)
    sheet.put(("plain", column.name), filled)
    if column.role is Role.AMOUNT:
        sheet.put(("log", column.name), signed_log(filled / definition.unit))


def put_clock(name: str, seconds: Floats, sheet: Sheet) -> None:
    """Put hour, night and weekday of a time into the sheet."""
    hour = np.mod(seconds, DAY) / HOUR
    sheet.put(("hour", name), hour)
    sheet.put(("sine", name), np.sin(hour * (2 * np.pi / 24)))
    sheet.put(("cosine", name), np.cos(hour * (2 * np.pi / 24)))
    sheet.put(("night", name), (hour >= EVENING) | (hour < MORNING))
    weekday = np.mod(np.floor(seconds / DAY) + EPOCH_WEEKDAY, 7)
    sheet.put(("weekday", name), weekday)
    sheet.put(("weekend", name), weekday >= SATURDAY)


def put_country(definition: Definition, places: NDArray[np.int64], name: str, sheet: Sheet) -> None:
    """Put the country of an address into the sheet; ``places`` are those of the table, below 0 for none."""
    known = np.where(places >= 0, places, np.nan)
    sheet.put(("missing", name), np.isnan(known))
    put_category(definition, name, known, sheet)


def put_category(definition: Definition, name: str, cells: Floats, sheet: Sheet) -> None:
    """Put the levels of a category into the sheet."""
    levels = LEVELS.of(definition).get(name, NO_LEVELS)
    rank = np.full(len(cells), len(levels.cells))
    share = np.zeros(len(cells))
    if len(levels.cells):
        place = np.minimum(np.searchsorted(levels.cells, cells), len(levels.cells) - 1)
        found = levels.cells[place] == cells
        rank[found] = levels.ranks[place[found]]
        share[found] = levels.shares[place[found]]
    shown = len(levels.features)
    own = np.flatnonzero(rank < shown)
    sheet.mark(levels.features[rank[own]], own)
    sheet.put(("other", name), (rank >= shown) & ~np.isnan(cells))
    sheet.put(("frequency", name), np.log1p(share * PER) / np.log1p(PER))


class _Levels(NamedTuple):
    """The known levels of a category, ascending, (k,) each."""

    cells: Floats
    ranks: NDArray[np.int64]
    """Number of levels that are more frequent."""
    shares: Floats
    features: NDArray[np.int64]
    """The places of the features that are 1 for a level, by its rank: of the first ones only, (shown,)."""


NO_LEVELS = _Levels(np.empty(0), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))


def _levels(definition: Definition) -> dict[str, _Levels]:
    made = {}
    for name, known in definition.levels.items():
        cells, shares = np.array(known, np.float64).reshape(-1, 2).T
        order = np.argsort(cells)
        shown = range(len(one_hot(definition, name)))
        places = [definition.places["level", name, str(number)] for number in shown]
        made[name] = _Levels(cells[order], order, shares[order], np.array(places, np.int64))
    return made


LEVELS = PerDefinition(_levels)
RATES = PerDefinition(
    lambda definition: {name: Rates.read(levels) for name, levels in definition.rates.items()}
)
