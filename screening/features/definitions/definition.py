"""Define how the inputs of a net are made of the columns of a file: everything that is chosen or learned, as plain
JSON.

The features themselves follow from it (:mod:`screening.features.definitions.catalogue`), so that a definition which was
read from a file can't name one thing and mean another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from screening.errors import BadArtefact
from screening.features import json_reading
from screening.features.countries.ranges import Ranges
from screening.features.definitions.catalogue import catalogue, country_of
from screening.features.definitions.feature import Feature
from screening.features.definitions.options import Options
from screening.features.definitions.places import Distance
from screening.features.definitions.relations import Relation
from screening.features.definitions.specification import Specification
from screening.transactions.schema import CellKind, Role

VERSION = 2


@dataclass(frozen=True)
class Definition(Specification):
    """Definition of the features of some columns; the same for training, for a file, and for one transaction."""

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The columns of the matrix, in order."""
        return catalogue(self)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the features; each name once."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def places(self) -> dict[tuple[str, ...], int]:
        """Place of each statistic in the matrix."""
        return {feature.key: place for place, feature in enumerate(self.features)}

    @cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Places of features that say one thing together; each feature is in one group."""
        numbered = groupby(enumerate(self.features), lambda pair: pair[1].topic or pair[1].name)
        return tuple(tuple(place for place, _ in group) for _, group in numbered)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types; :meth:`from_dict` reads them."""
        found = {
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
        if self.distances:
            found["distances"] = [list(places) for places in self.distances]
        if self.relations:
            found["relations"] = [[list(one.columns), list(one.signs)] for one in self.relations]
        if self.ratios:
            found["ratios"] = [list(pair) for pair in self.ratios]
        if self.rates:
            found["rates"] = {name: [list(pair) for pair in levels] for name, levels in self.rates.items()}
        return found

    @classmethod
    def from_dict(cls, given: object) -> Definition:
        """Return the definition that :meth:`as_dict` wrote.

        Raises:
            BadArtefact: it isn't one; the message says what is wrong.
        """
        try:
            return read_definition(given)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
            said = f"{problem.args[0]} is missing" if isinstance(problem, KeyError) else str(problem)
            raise BadArtefact(
                f"The definition of the features can't be used: {said[:200]}.",
                remedy="Train the detector again, or bring the file that the training wrote.",
            ) from None


KEYS = {"version", "contract", "options", "unit", "fills", "levels", "shown", "tracked", "profiled", "ranges"}


LATER_KEYS = {"distances", "relations", "ratios", "rates"}
"""Those that only some definitions have."""


def read_definition(given: object) -> Definition:
    """Read a definition as a vectorizer keeps it.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    there = set(given) & LATER_KEYS if isinstance(given, Mapping) else set()
    found = json_reading.record(given, "it", KEYS | there)
    if found["version"] != VERSION:
        raise ValueError(f"its version is {found['version']!r}, and this project reads {VERSION}")
    contract = json_reading.contract(found["contract"])
    levels = json_reading.mapping(found["levels"], "the levels", json_reading.level_shares)
    shown = json_reading.mapping(
        found["shown"],
        "the shown levels",
        lambda value, what: json_reading.count(value, what, json_reading.MOST),
    )
    definition = Definition(
        contract,
        Options.from_dict(found["options"]),
        json_reading.number(found["unit"], "the unit", 2.0**-200, 2.0**100),
        json_reading.mapping(found["fills"], "the fills", json_reading.number),
        levels,
        shown,
        json_reading.names(found["tracked"], "the tracked entities"),
        json_reading.names(found["profiled"], "the profiled entities"),
        None if found["ranges"] is None else Ranges.from_dict(found["ranges"]),
        tuple(map(_distance, json_reading.listed(found.get("distances", []), "the distances"))),
        tuple(map(_relation, json_reading.listed(found.get("relations", []), "the relations"))),
        tuple(map(_ratio, json_reading.listed(found.get("ratios", []), "the ratios"))),
        json_reading.mapping(found.get("rates", {}), "the rates", json_reading.level_numbers),
    )
    check_names(definition)
    return definition


def _distance(given: object) -> Distance:
    found = json_reading.names(given, "a distance")
    if len(found) != len(Distance._fields):
        raise ValueError("a distance isn't of two places")
    return Distance(*found)


def _relation(given: object) -> Relation:
    # more or fewer than two are a ValueError
    columns, signs = json_reading.listed(given, "a relation")
    names = json_reading.names(columns, "a relation")
    kept = tuple(json_reading.listed(signs, "the signs of a relation"))
    if len(names) not in (2, 3) or len(kept) != len(names) or kept[0] != 1 or not set(kept) <= {1, -1}:
        raise ValueError("a relation isn't of two or three columns with a sign each")
    return Relation(names, kept)


def _ratio(given: object) -> tuple[str, str]:
    one, other = json_reading.names(given, "a ratio")
    return one, other


def check_names(definition: Definition) -> None:
    """Raise ``ValueError`` for a definition that names columns which its contract hasn't."""
    entities = {column.name for column in definition.of_role(Role.ENTITY)}
    if not set(definition.tracked) <= entities:
        raise ValueError("a tracked column is no entity of the contract")
    if not set(definition.profiled) <= set(definition.tracked):
        raise ValueError("a profiled column isn't a tracked one")
    known = set(definition.contract.columns)
    numbers = {part.name for part in definition.contract.parts() if part.kind is CellKind.NUMBER}
    told = (*definition.distances, *(one.columns for one in definition.relations), *definition.ratios)
    if not {name for columns in told for name in columns} <= numbers:
        raise ValueError("a distance, a relation or a ratio is of a column that is no number of the contract")
    if definition.ranges is not None:
        known |= set(map(country_of, definition.contract.columns))
        check_countries(definition, len(definition.ranges.names))
    for part in (definition.fills, definition.levels, definition.shown, definition.rates):
        if not set(part) <= known:
            raise ValueError("it tells of a column that the contract doesn't have")
    for name, count in definition.shown.items():
        if count > len(definition.levels.get(name, ())):
            raise ValueError(f"more levels of {name} are shown than it has")


def check_countries(definition: Definition, count: int) -> None:
    """Raise ``ValueError`` for a level of a country that isn't among the ``count`` of the table."""
    for column in definition.contract.columns:
        for level, _ in definition.levels.get(country_of(column), ()):
            if level != int(level) or not 0 <= level < count:
                raise ValueError(f"a country of {column} isn't in the table")
