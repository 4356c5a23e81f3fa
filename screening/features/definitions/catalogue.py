"""List the features of a definition, in order, with their names and words; nothing is calculated here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from screening.features.definitions.feature import Feature, Shape
from screening.features.definitions.lookback import looking_back
from screening.features.definitions.places import Distance
from screening.features.definitions.relations import Relation
from screening.features.definitions.specification import Specification
from screening.transactions.schema import CellKind, Column, ColumnContract, Role
from screening.transactions.times import StartUnit


def catalogue(definition: Specification) -> tuple[Feature, ...]:
    """Return all features of a definition; names are made different where columns are called alike."""
    found = [
        feature
        for column in definition.contract.parts()
        for feature in features_of_column(definition, column)
    ]
    found += [feature_of_distance(places) for places in definition.distances]
    found += [
        feature for relation in definition.relations for feature in features_of_relation(definition, relation)
    ]
    found += [feature_of_ratio(*pair) for pair in definition.ratios]
    # the last ones: they are added once labels are known
    rates = [feature_of_rate(name) for name in definition.rates]
    return tuple(_with_own_names([*found, *looking_back(definition), *rates]))


def feature_of_distance(places: Distance) -> Feature:
    """Return the distance of two places as a feature."""
    one, other = (
        f"{places.latitude}, {places.longitude}",
        f"{places.other_latitude}, {places.other_longitude}",
    )
    words = f"the distance from {one} to {other}"
    return Feature(places.name, tuple(places), words, Shape.DISTANCE, ("distance", *places))


def features_of_relation(definition: Specification, relation: Relation) -> Iterator[Feature]:
    """Yield the features of columns that add up, whether they do, and of two what the one is to the other."""
    columns, name = relation.columns, relation.name
    far = Feature(f"gap({name})", columns, relation.words, Shape.AMOUNT, ("gap", *columns), topic=name)
    yield replace(far, scale=definition.unit)
    first, *others = columns
    words = f"{first} is exactly {' plus '.join(others)}"
    yield Feature(f"exact({name})", columns, words, Shape.FLAG, ("exact", *columns), topic=name)
    if len(columns) == 2 and columns not in definition.ratios:
        yield feature_of_ratio(*columns)


def feature_of_rate(name: str) -> Feature:
    """Return the rate of fraud of a column's values as a feature."""
    words = f"the share of fraud at this {name} in the training data, against that of all rows,"
    return Feature(f"rate({name})", (name,), words, Shape.RATIO, ("rate", name))


def feature_of_ratio(one: str, other: str) -> Feature:
    """Return what one column is to another as a feature."""
    words = f"the ratio of {one} to {other}"
    return Feature(f"ratio({one}, {other})", (one, other), words, Shape.RATIO, ("ratio", one, other))


def _with_own_names(features: Iterable[Feature]) -> Iterator[Feature]:
    taken: set[str] = set()
    for feature in features:
        name = feature.name
        while name in taken:
            name += "'"
        taken.add(name)
        yield feature if name == feature.name else replace(feature, name=name)


def is_category(column: Column, contract: ColumnContract) -> bool:
    """Return whether a column's levels are inputs: a category, any other text, or an entity without a time."""
    if column.role is Role.ENTITY:
        return contract.time is None
    return column.role is Role.CATEGORY or (
        column.role is Role.NUMBER and column.kind in (CellKind.TEXT, CellKind.ADDRESS)
    )


def one_hot(definition: Specification, name: str) -> tuple[float, ...]:
    """Return the levels of a category that have an input of their own."""
    return tuple(level for level, _ in definition.levels.get(name, ()))[: definition.shown.get(name, 0)]


def country_of(column: str) -> str:
    """Return the name of the countries of a column of addresses."""
    return f"country({column})"


def features_of_column(definition: Specification, column: Column) -> Iterator[Feature]:
    """Yield the features of a column by its role."""
    name = column.name
    if column.role is Role.TIME:
        yield from features_of_clock(column, "the transaction", days=True)
    elif column.role is Role.MOMENT:
        yield from features_of_moment(definition, column)
    elif is_category(column, definition.contract):
        yield from features_of_category(definition, name, name)
    elif column.role is not Role.ENTITY:
        if column.role is Role.AMOUNT:
            log = Feature(f"log({name})", (name,), name, Shape.AMOUNT, ("log", name), topic=name)
            yield replace(log, scale=definition.unit)
        words = f"the length of {name}" if column.kind is CellKind.LENGTH else name
        yield Feature(name, (name,), words, Shape.PLAIN, ("plain", name), topic=name)
    if column.optional:
        words = f"{name} is missing"
        yield Feature(f"missing({name})", (name,), words, Shape.FLAG, ("missing", name), topic=name)
    if column.kind is CellKind.ADDRESS and definition.ranges is not None:
        yield from features_of_country(definition, name)


def features_of_clock(column: Column, what: str, *, days: bool) -> Iterator[Feature]:
    """Yield the hour, and the day of the week; night and week mean something for dates only, not for a count of
    seconds.
    """
    if column.since is not None:
        yield from features_of_count(column)
        return
    name, words, topic = column.name, f"the hour of {what}", f"hour of {column.name}"
    yield Feature(f"hour({name})", (name,), words, Shape.HOUR, ("hour", name), topic=topic)
    if column.kind is CellKind.TIME:
        night = f"{name} is at night, from 22 to 6"
        yield Feature(f"night({name})", (name,), night, Shape.FLAG, ("night", name), topic=topic)
    yield Feature(f"hour sine({name})", (name,), words, Shape.CYCLE, ("sine", name), topic=topic)
    yield Feature(f"hour cosine({name})", (name,), words, Shape.CYCLE, ("cosine", name), topic=topic)
    if days and column.kind is CellKind.TIME:
        words, topic = f"the weekday of {what}", f"day of {name}"
        yield Feature(f"weekday({name})", (name,), words, Shape.WEEKDAY, ("weekday", name), topic=topic)
        words = f"{name} is on a weekend"
        yield Feature(f"weekend({name})", (name,), words, Shape.FLAG, ("weekend", name), topic=topic)


def features_of_count(column: Column) -> Iterator[Feature]:
    """Yield the features of a count's place in a day of 24 hours. Which hour of a clock that is nobody knows, and no
    name says so.
    """
    if column.since is StartUnit.DAYS:
        return
    name, topic = column.name, f"part of day {column.name}"
    words = f"the time since {name} last completed a day of 24 hours from its start"
    yield Feature(f"part of day({name})", (name,), words, Shape.DAY_PART, ("hour", name), topic=topic)
    yield Feature(f"part of day sine({name})", (name,), words, Shape.CYCLE, ("sine", name), topic=topic)
    yield Feature(f"part of day cosine({name})", (name,), words, Shape.CYCLE, ("cosine", name), topic=topic)


def features_of_moment(definition: Specification, column: Column) -> Iterator[Feature]:
    """Yield the features of a moment beside the time: how long before it was."""
    name, topic = column.name, f"since {column.name}"
    if definition.contract.time is not None:
        words = f"the time since {name}"
        yield Feature(f"since({name})", (name,), words, Shape.DURATION, ("since", name), topic=topic)
        words = f"{name} is less than an hour before"
        yield Feature(f"just({name})", (name,), words, Shape.FLAG, ("just", name), topic=topic)
    yield from features_of_clock(column, name, days=False)


def features_of_category(definition: Specification, column: str, name: str) -> Iterator[Feature]:
    """Yield the features of the levels known by ``name``: a column's own, or the countries of its addresses."""
    for number, level in enumerate(one_hot(definition, name)):
        words = f"{name} {_level_words(definition, column, name, level)}"
        key = ("level", name, str(number))
        yield Feature(f"{name}#{number + 1}", (column,), words, Shape.FLAG, key, topic=name)
    words = f"{name} has a rare or new value"
    yield Feature(f"other({name})", (column,), words, Shape.FLAG, ("other", name), topic=name)
    words = f"the share of this value of {name} in the training data"
    yield Feature(f"frequency({name})", (column,), words, Shape.FREQUENCY, ("frequency", name), topic=name)


def _level_words(definition: Specification, column: str, name: str, level: float) -> str:
    if name == column or definition.ranges is None:
        return "has this value, a usual one"
    return f"is {definition.ranges.names[int(level)]}"


def features_of_country(definition: Specification, column: str) -> Iterator[Feature]:
    """Yield the features of the country of an address."""
    name = country_of(column)
    yield from features_of_category(definition, column, name)
    words = f"no country is known for this {column}"
    yield Feature(f"unknown {name}", (column,), words, Shape.FLAG, ("missing", name), topic=name)
