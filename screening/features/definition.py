"""How the inputs of a net are made of the columns of a file: everything that is chosen or learned, as plain JSON.

The features themselves follow from it (:mod:`screening.features.catalogue`), so that a definition which was read from
a file can't name one thing and mean another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

from screening.errors import BadArtefact
from screening.features import reading
from screening.features.catalogue import catalogue, country_of
from screening.features.countries import Ranges
from screening.features.feature import Feature
from screening.features.options import DEFAULTS, Options
from screening.schema import Column, ColumnContract, Role

VERSION = 2
Levels = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Definition:
    """What makes features of columns; the same for training, for a file, and for one transaction."""

    contract: ColumnContract
    options: Options = DEFAULTS
    unit: float = 1.0
    """About a 64th of a usual amount, a power of two: logarithms of amounts are of multiples of it."""
    fills: Mapping[str, float] = field(default_factory=dict)
    """What stands for a blank, by column."""
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

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The columns of the matrix, in order."""
        return catalogue(self)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What the features are called; each name once."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def places(self) -> dict[tuple[str, ...], int]:
        """Where each statistic stands in the matrix."""
        return {feature.key: place for place, feature in enumerate(self.features)}

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Places of features that say one thing together; each feature is in one group."""
        numbered = groupby(enumerate(self.features), lambda pair: pair[1].topic or pair[1].name)
        return tuple(tuple(place for place, _ in group) for _, group in numbered)

    @property
    def looks_back(self) -> bool:
        """Whether a row's features tell of earlier rows."""
        return self.contract.time is not None and bool(self.tracked)

    @property
    def horizon(self) -> float:
        """How far back anything looks, in seconds: rows that are older change nothing."""
        return self.options.horizon if self.looks_back else 0.0

    def of_role(self, *roles: Role) -> tuple[Column, ...]:
        """The columns that have one of the roles, in order."""
        return tuple(column for column in self.contract.parts() if column.role in roles)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types; :meth:`from_dict` reads them."""
        return {
            "version": VERSION,
            "contract": self.contract.as_dict(),
            "options": self.options.as_dict(),
            "unit": self.unit,
            "fills": dict(self.fills),
            "levels": {name: [list(pair) for pair in levels] for name, levels in self.levels.items()},
            "shown": dict(self.shown),
            "tracked": list(self.tracked),
            "profiled": list(self.profiled),
            "ranges": None if self.ranges is None else self.ranges.as_dict(),
        }

    @classmethod
    def from_dict(cls, given: object) -> Definition:
        """The definition that :meth:`as_dict` wrote.

        Raises:
            BadArtefact: it isn't one; the message says what is wrong.
        """
        try:
            return _read(given)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
            said = f"{problem.args[0]} is missing" if isinstance(problem, KeyError) else str(problem)
            raise BadArtefact(
                f"The definition of the features can't be used: {said[:200]}.",
                remedy="Train the detector again, or bring the file that the training wrote.",
            ) from None


KEYS = {"version", "contract", "options", "unit", "fills", "levels", "shown", "tracked", "profiled", "ranges"}


def _read(given: object) -> Definition:
    found = reading.record(given, "it", KEYS)
    if found["version"] != VERSION:
        raise ValueError(f"its version is {found['version']!r}, and this project reads {VERSION}")
    contract = reading.contract(found["contract"])
    levels = reading.mapping(found["levels"], "the levels", reading.level_shares)
    shown = reading.mapping(
        found["shown"], "the shown levels", lambda value, what: reading.count(value, what, reading.MOST)
    )
    definition = Definition(
        contract,
        Options.from_dict(found["options"]),
        reading.number(found["unit"], "the unit", 2.0**-200, 2.0**100),
        reading.mapping(found["fills"], "the fills", reading.number),
        levels,
        shown,
        reading.names(found["tracked"], "the tracked entities"),
        reading.names(found["profiled"], "the profiled entities"),
        None if found["ranges"] is None else Ranges.from_dict(found["ranges"]),
    )
    _check_names(definition)
    return definition


def _check_names(definition: Definition) -> None:
    entities = {column.name for column in definition.of_role(Role.ENTITY)}
    if not set(definition.tracked) <= entities:
        raise ValueError("a tracked column is no entity of the contract")
    if not set(definition.profiled) <= set(definition.tracked):
        raise ValueError("a profiled column isn't a tracked one")
    known = set(definition.contract.columns)
    if definition.ranges is not None:
        known |= set(map(country_of, definition.contract.columns))
        _check_countries(definition, len(definition.ranges.names))
    for part in (definition.fills, definition.levels, definition.shown):
        if not set(part) <= known:
            raise ValueError("it tells of a column that the contract doesn't have")
    for name, count in definition.shown.items():
        if count > len(definition.levels.get(name, ())):
            raise ValueError(f"more levels of {name} are shown than it has")


def _check_countries(definition: Definition, count: int) -> None:
    for column in definition.contract.columns:
        for level, _ in definition.levels.get(country_of(column), ()):
            if level != int(level) or not 0 <= level < count:
                raise ValueError(f"a country of {column} isn't in the table")
