"""Learns what features need to know of the training rows, and of nothing else: fills, levels, units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.features.countries.ranges import Ranges
from screening.features.definitions.catalogue import country_of, is_category
from screening.features.definitions.definition import Definition
from screening.features.definitions.options import DEFAULTS, Options
from screening.features.definitions.places import distances_of
from screening.features.definitions.relations import ratios_of, relations_of
from screening.features.definitions.specification import Levels
from screening.transactions.schema import CellKind, ColumnContract, Matrix, Role

# With fewer training rows an entity has no usual amount to compare with.
PROFILE = 2
# Units per usual amount: the logarithm of one plus this resolves amounts that are a hundred times smaller.
UNITS = 64.0


def define(
    contract: ColumnContract, values: Matrix, options: Options = DEFAULTS, ranges: Ranges | None = None
) -> Definition:
    """Return the definition of features for a contract.

    Args:
        contract: which columns there are, and what they are.
        values: float64 (rows, columns) of the training rows; a blank is NaN.
        options: what is chosen.
        ranges: the countries of addresses, where the operator has a table of them.
    """
    fills: dict[str, float] = {}
    levels: dict[str, Levels] = {}
    shown: dict[str, int] = {}
    tracked: list[str] = []
    profiled: list[str] = []
    unit = 1.0
    for column, cells in zip(contract.parts(), np.asarray(values).T, strict=True):
        present = cells[np.isfinite(cells)]
        if is_category(column, contract):
            levels[column.name], shown[column.name] = learn_levels(present, len(cells), options)
        elif column.role is Role.ENTITY:
            different = max(len(np.unique(present)), 1)
            tracked += [column.name] if different < len(present) else []
            profiled += [column.name] if different * PROFILE <= len(present) else []
        elif column.role not in (Role.TIME, Role.MOMENT):
            fills[column.name] = float(np.median(present)) if len(present) else 0.0
        if column.kind is CellKind.ADDRESS and ranges is not None:
            places = ranges.country(cells)
            name = country_of(column.name)
            levels[name], shown[name] = learn_levels(places[places >= 0], len(cells), options)
        if column.role is Role.AMOUNT:
            unit = _unit(present)
    # those that are neither names nor times, the amount among them
    numbers = {
        column.name: cells
        for column, cells in zip(contract.parts(), np.asarray(values).T, strict=True)
        if column.role in (Role.NUMBER, Role.AMOUNT) and column.kind is CellKind.NUMBER
    }
    plain = [name for name in numbers if name != contract.amount]
    return Definition(
        contract,
        options,
        unit,
        fills,
        levels,
        shown,
        tuple(tracked),
        tuple(profiled),
        ranges,
        distances_of(plain, numbers),
        relations_of(list(numbers), numbers),
        ratios_of(contract.amount, list(numbers), numbers),
    )


def learn_levels(present: NDArray[Any], rows: int, options: Options) -> tuple[Levels, int]:
    """Return levels that occur more than once, by frequency; and how many get an input of their own."""
    level, count = np.unique(present, return_counts=True)
    order = np.lexsort((level, -count))[: options.known]
    order = order[count[order] > 1]
    own = int(np.count_nonzero(count[order] >= options.least))
    shares = count[order] / max(rows, 1)
    found = tuple(zip(level[order].astype(float).tolist(), shares.tolist(), strict=True))
    return found, min(own, options.levels)


def _unit(amounts: NDArray[np.float64]) -> float:
    usual = np.abs(amounts[amounts != 0])
    if not len(usual):
        return 1.0
    return float(2.0 ** np.clip(np.floor(np.log2(np.median(usual) / UNITS)), -150, 90))
