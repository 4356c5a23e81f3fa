"""Specify the features of a file's columns, chosen or learned, as plain values; nothing follows from it here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from screening.features.countries.ranges import Ranges
from screening.features.definitions.options import DEFAULTS, Options
from screening.features.definitions.places import Distance
from screening.features.definitions.relations import Relation
from screening.transactions.schema import Column, ColumnContract, Role

Levels = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Specification:
    """The values that a :class:`screening.features.definitions.definition.Definition` is made of."""

    contract: ColumnContract
    options: Options = DEFAULTS
    unit: float = 1.0
    """About a 64th of a usual amount, a power of two: logarithms of amounts are of multiples of it."""
    fills: Mapping[str, float] = field(default_factory=dict)
    """Fillers of blanks, by column."""
    levels: Mapping[str, Levels] = field(default_factory=dict)
    """By column: each known level with its share of the training rows, the most frequent first."""
    shown: Mapping[str, int] = field(default_factory=dict)
    """By column: how many of its levels, the first ones, get an input of their own."""
    tracked: tuple[str, ...] = ()
    """The entities that come back, and so have a past."""
    profiled: tuple[str, ...] = ()
    """Those of them that come back often enough for their amounts to tell what is usual."""
    ranges: Ranges | None = None
    """The countries of addresses."""
    distances: tuple[Distance, ...] = ()
    """Two places each, whose distance is a feature."""
    relations: tuple[Relation, ...] = ()
    """Columns of which one is exactly the sum of others now and then."""
    ratios: tuple[tuple[str, str], ...] = ()
    """Two columns of money each, of which the first is held against the second."""
    rates: Mapping[str, Levels] = field(default_factory=dict)
    """By column: each known level with how much more often than usual it was fraud in the training data, as a
    logarithm. Unlike all else here it was learned from labels."""

    @property
    def looks_back(self) -> bool:
        """Return whether a row's features tell of earlier rows."""
        return self.contract.time is not None and bool(self.tracked)

    @property
    def horizon(self) -> float:
        """Longest time that anything looks back, in seconds: rows that are older change nothing."""
        return self.options.horizon if self.looks_back else 0.0

    def of_role(self, *roles: Role) -> tuple[Column, ...]:
        """Return the columns that have one of the roles, in order."""
        return tuple(column for column in self.contract.parts() if column.role in roles)
