"""Which features a definition has, in order, with their names and words; nothing is calculated here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from screening.features.feature import Feature, Shape, window_name, window_words
from screening.schema import CellKind, Column, ColumnContract, Role

if TYPE_CHECKING:
    from screening.features.definition import Definition

Key = tuple[str, ...]


def catalogue(definition: Definition) -> tuple[Feature, ...]:
    """All features of a definition; names are made different where columns are called alike."""
    found: list[Feature] = []
    for column in definition.contract.parts():
        found.extend(_of_column(definition, column))
    if definition.looks_back:
        for entity in definition.tracked:
            found.extend(_of_entity(definition, entity))
        for pair in pairs(definition):
            found.extend(_of_pair(definition, pair))
    return tuple(_with_own_names(found))


def _with_own_names(features: list[Feature]) -> Iterator[Feature]:
    from dataclasses import replace

    taken: set[str] = set()
    for feature in features:
        name = feature.name
        while name in taken:
            name += "'"
        taken.add(name)
        yield feature if name == feature.name else replace(feature, name=name)


def is_category(column: Column, contract: ColumnContract) -> bool:
    """Whether a column's levels are inputs: a category, a text of any other kind, or an entity without a time."""
    if column.role is Role.ENTITY:
        return contract.time is None
    return column.role is Role.CATEGORY or (
        column.role is Role.NUMBER and column.kind in (CellKind.TEXT, CellKind.ADDRESS)
    )


def pairs(definition: Definition) -> tuple[tuple[str, str], ...]:
    """Entities that are looked at together."""
    entities = [column.name for column in definition.of_role(Role.ENTITY)]
    return tuple(
        (one, other)
        for one, other in combinations(entities, 2)
        if one in definition.tracked and other in definition.tracked
    )


def linked_pairs(definition: Definition) -> tuple[tuple[str, str], ...]:
    """Entities of which at least one counts the other."""
    entities = [column.name for column in definition.of_role(Role.ENTITY)]
    return tuple(pair for pair in combinations(entities, 2) if set(pair) & set(definition.tracked))


def partners(definition: Definition, entity: str) -> tuple[str, ...]:
    """The entities that are counted by this one."""
    return tuple(column.name for column in definition.of_role(Role.ENTITY) if column.name != entity)


def distinct_windows(definition: Definition) -> tuple[float, ...]:
    """The windows in which different partners are counted: fewer, where there are many pairs of entities."""
    options = definition.options
    entities = len(definition.of_role(Role.ENTITY))
    chosen = options.windows if entities == 2 else options.long_windows[::2] if entities == 3 else ()
    return (*chosen, *_memory(definition))


def count_windows(definition: Definition) -> tuple[float, ...]:
    """The windows in which rows are counted."""
    return (*definition.options.windows, *_memory(definition))


def fraud_windows(definition: Definition) -> tuple[float, ...]:
    """The windows before the label delay in which known frauds are counted."""
    return definition.options.long_windows


def _memory(definition: Definition) -> tuple[float, ...]:
    options = definition.options
    return (options.memory,) if options.memory > options.windows[-1] else ()


def _of_column(definition: Definition, column: Column) -> Iterator[Feature]:
    name, kind = column.name, column.kind
    if column.role is Role.TIME:
        yield from _of_clock(name, "the transaction", with_days=kind is CellKind.TIME)
    elif column.role is Role.MOMENT:
        yield from _of_moment(definition, name)
    elif column.role is Role.AMOUNT:
        yield Feature(
            f"log({name})", (name,), f"{name}", Shape.AMOUNT, ("log", name), name, scale=definition.unit
        )
        yield Feature(name, (name,), f"{name}", Shape.PLAIN, ("plain", name), name)
    elif is_category(column, definition.contract):
        yield from _of_category(definition, name, name)
    elif column.role is not Role.ENTITY:
        yield Feature(name, (name,), f"{name}", Shape.PLAIN, ("plain", name), name)
    if column.optional:
        yield Feature(f"missing({name})", (name,), f"{name} is missing", Shape.FLAG, ("missing", name), name)
    if kind is CellKind.ADDRESS and definition.ranges is not None:
        yield from _of_country(definition, name)


def _of_clock(name: str, what: str, *, with_days: bool) -> Iterator[Feature]:
    hour = f"the hour of {what}"
    topic = f"hour of {name}"
    yield Feature(f"hour({name})", (name,), hour, Shape.HOUR, ("hour", name), topic)
    yield Feature(f"hour sine({name})", (name,), hour, Shape.CYCLE, ("sine", name), topic)
    yield Feature(f"hour cosine({name})", (name,), hour, Shape.CYCLE, ("cosine", name), topic)
    if with_days:
        night = f"{name} is at night, from 22 to 6"
        yield Feature(f"night({name})", (name,), night, Shape.FLAG, ("night", name), topic)
        topic = f"day of {name}"
        words = f"the weekday of {what}"
        yield Feature(f"weekday({name})", (name,), words, Shape.WEEKDAY, ("weekday", name), topic)
        weekend = f"{name} is on a weekend"
        yield Feature(f"weekend({name})", (name,), weekend, Shape.FLAG, ("weekend", name), topic)


def _of_moment(definition: Definition, name: str) -> Iterator[Feature]:
    if definition.contract.time is not None:
        words = f"the time since {name}"
        yield Feature(f"since({name})", (name,), words, Shape.DURATION, ("since", name), f"since {name}")
        words = f"{name} is less than an hour before"
        yield Feature(f"just({name})", (name,), words, Shape.FLAG, ("just", name), f"since {name}")
    yield from _of_clock(name, name, with_days=False)


def _of_category(definition: Definition, column: str, name: str) -> Iterator[Feature]:
    """Of the levels that are known by ``name``: a column's own, or the countries of its addresses."""
    for number, level in enumerate(one_hot(definition, name)):
        words = f"{name} {_level_words(definition, column, name, level)}"
        key = ("level", name, str(number))
        yield Feature(f"{name}#{number + 1}", (column,), words, Shape.FLAG, key, name)
    words = f"{name} has a rare or new value"
    yield Feature(f"other({name})", (column,), words, Shape.FLAG, ("other", name), name)
    words = f"the share of this value of {name} in the training data"
    yield Feature(f"frequency({name})", (column,), words, Shape.FREQUENCY, ("frequency", name), name)


def _level_words(definition: Definition, column: str, name: str, level: float) -> str:
    if name == column or definition.ranges is None:
        return "has this value, a usual one"
    return f"is {definition.ranges.names[int(level)]}"


def _of_country(definition: Definition, column: str) -> Iterator[Feature]:
    name = country_of(column)
    yield from _of_category(definition, column, name)
    words = f"no country is known for this {column}"
    yield Feature(f"unknown {name}", (column,), words, Shape.FLAG, ("missing", name), name)


def country_of(column: str) -> str:
    """What the countries of a column of addresses are called."""
    return f"country({column})"


def one_hot(definition: Definition, name: str) -> tuple[float, ...]:
    """The levels of a category that have an input of their own."""
    return tuple(level for level, _ in definition.levels.get(name, ()))[: definition.shown.get(name, 0)]


def _of_entity(definition: Definition, name: str) -> Iterator[Feature]:
    yield from _of_last(definition, (name,), f"the last transaction with this {name}", f"this {name} has")
    for window in count_windows(definition):
        yield _windowed("count", name, window, f"the number of transactions with this {name}", Shape.COUNT)
    if definition.contract.amount is not None:
        yield from _of_amount(definition, name, definition.contract.amount)
    for partner in partners(definition, name):
        words = f"the number of different {partner} with this {name}"
        for window in distinct_windows(definition):
            yield _windowed("distinct", name, window, words, Shape.COUNT, partner)
    yield from _of_frauds(definition, name)
    yield from _of_known_frauds(definition, name)


def _windowed(
    statistic: str,
    name: str,
    window: float,
    words: str,
    shape: Shape,
    other: str | None = None,
    **more: float,
) -> Feature:
    columns = (name,) if other is None else (name, other)
    return Feature(
        f"{statistic}({', '.join(columns)}, {window_name(window)})",
        columns,
        f"{words} in the {window_words(window)} before",
        shape,
        (statistic, *columns, str(window)),
        unit="times its standard deviation" if shape is Shape.SCORE else "",
        **more,
    )


def _of_last(definition: Definition, columns: tuple[str, ...], what: str, who: str) -> Iterator[Feature]:
    listed = ", ".join(columns)
    topic = f"last {listed}"
    yield Feature(
        f"since({listed})", columns, f"the time since {what}", Shape.DURATION, ("last", *columns), topic
    )
    memory = window_words(definition.options.memory)
    yield Feature(
        f"new({listed})",
        columns,
        f"{who} not been seen in the {memory} before",
        Shape.FLAG,
        ("new", *columns),
        topic,
    )


def _of_amount(definition: Definition, name: str, amount: str) -> Iterator[Feature]:
    plain = {
        "sum": f"the sum of {amount} with this {name}",
        "mean": f"the mean {amount} with this {name}",
        "median": f"the median {amount} with this {name}",
        "max": f"the largest {amount} with this {name}",
    }
    for statistic, words in plain.items():
        for window in definition.options.windows:
            yield _windowed(statistic, name, window, words, Shape.AMOUNT, scale=definition.unit)
    for statistic in ("mean", "median", "max"):
        words = f"{amount} against {plain[statistic]}".replace(
            f"the {statistic} {amount}", f"the {statistic}"
        )
        for window in definition.options.long_windows:
            yield _windowed(f"against {statistic}", name, window, words, Shape.RATIO)
    for window in definition.options.long_windows:
        words = f"the distance of {amount} from the mean with this {name}"
        yield _windowed("score", name, window, words, Shape.SCORE)


def _of_frauds(definition: Definition, name: str) -> Iterator[Feature]:
    delay = definition.options.label_delay
    known = f", of what was known {window_words(delay)} earlier" if delay else ""
    for window in fraud_windows(definition):
        words = f"the number of frauds with this {name}"
        feature = _windowed("frauds", name, window, words, Shape.COUNT)
        share = _windowed("share", name, window, f"the share of frauds with this {name}", Shape.SHARE)
        from dataclasses import replace

        yield replace(feature, words=feature.words + known)
        yield replace(share, words=share.words + known)


def _of_known_frauds(definition: Definition, name: str) -> Iterator[Feature]:
    """How long ago the frauds were, and whether there was good business since."""
    topic, columns = f"known frauds {name}", (name,)
    words = f"the time since the last known fraud with this {name}"
    yield Feature(f"since fraud({name})", columns, words, Shape.DURATION, ("fraud", name), topic)
    window = window_words(definition.options.windows[-1])
    words = f"the time since the first of the known frauds with this {name} within {window}"
    yield Feature(f"since first fraud({name})", columns, words, Shape.DURATION, ("first fraud", name), topic)
    words = f"the number of transactions known to be good with this {name} since its last known fraud"
    yield Feature(f"good since fraud({name})", columns, words, Shape.COUNT, ("good", name), f"good {name}")


def _of_pair(definition: Definition, pair: tuple[str, str]) -> Iterator[Feature]:
    one, other = pair
    yield from _of_last(
        definition,
        pair,
        f"this {one} and this {other} last met",
        f"this {one} and this {other} have together",
    )
