"""List the features of earlier rows, with their names and words; nothing is calculated here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

from screening.features.definitions.feature import Feature, Shape, window_name, window_words
from screening.features.definitions.specification import Specification
from screening.transactions.schema import Role

TWO, THREE = 2, 3


def looking_back(definition: Specification) -> Iterator[Feature]:
    """Yield the features of a definition's entities and of their pairs."""
    if definition.looks_back:
        for entity in definition.tracked:
            yield from features_of_entity(definition, entity)
        for one, other in pairs(definition):
            what = f"this {one} and this {other} were last seen together"
            yield from features_of_last(
                definition, (one, other), what, f"this {one} and this {other} have not been seen together"
            )


def pairs(definition: Specification) -> tuple[tuple[str, str], ...]:
    """Return entities that are looked at together."""
    return tuple(pair for pair in linked_pairs(definition) if set(pair) <= set(definition.tracked))


def linked_pairs(definition: Specification) -> tuple[tuple[str, str], ...]:
    """Return entities of which at least one counts the other."""
    entities = [column.name for column in definition.of_role(Role.ENTITY)]
    return tuple(pair for pair in combinations(entities, 2) if set(pair) & set(definition.tracked))


def partners(definition: Specification, entity: str) -> tuple[str, ...]:
    """Return the entities that are counted by this one."""
    return tuple(column.name for column in definition.of_role(Role.ENTITY) if column.name != entity)


def usual_of(definition: Specification, entity: str) -> tuple[str, ...]:
    """Return the partners of an entity whose own amounts tell how unusual its frauds were."""
    return tuple(partner for partner in partners(definition, entity) if partner in definition.profiled)


def count_windows(definition: Specification) -> tuple[float, ...]:
    """Return the windows in which rows are counted, "ever" among them."""
    options = definition.options
    return with_memory(definition, options.windows)


def distinct_windows(definition: Specification) -> tuple[float, ...]:
    """Return the windows in which different partners are counted: fewer, where there are many pairs of entities."""
    options = definition.options
    entities = len(definition.of_role(Role.ENTITY))
    if entities <= TWO:
        return count_windows(definition)
    chosen = options.long_windows[::2] if entities == THREE else ()
    return (*(window for window in chosen if window != options.memory), options.memory)


def fraud_windows(definition: Specification) -> tuple[float, ...]:
    """Return the windows before the label delay in which known frauds are counted."""
    return definition.options.long_windows


def features_of_entity(definition: Specification, name: str) -> Iterator[Feature]:
    """Yield the features of an entity: how often, with how many others, how long ago."""
    this = f"this {name} was last seen"
    yield from features_of_last(definition, (name,), this, f"this {name} has not been seen")
    words = f"the number of transactions with this {name}"
    for window in count_windows(definition):
        yield windowed_feature("count", (name,), window, words, Shape.COUNT)
    if definition.contract.amount is not None and name in definition.profiled:
        yield from features_of_amount(definition, name, definition.contract.amount)
    for partner in partners(definition, name):
        words = f"the number of different {partner} with this {name}"
        for window in distinct_windows(definition):
            yield windowed_feature("distinct", (name, partner), window, words, Shape.COUNT)
    yield from features_of_frauds(definition, name)
    yield from features_of_known_frauds(definition, name)


def features_of_last(
    definition: Specification, columns: tuple[str, ...], when: str, never: str
) -> Iterator[Feature]:
    """Yield how long ago the last transaction was, and whether there was none."""
    listed = ", ".join(columns)
    topic = f"last {listed}"
    words = f"{never} in the {window_words(definition.options.memory)} before"
    since = Feature(
        f"since({listed})", columns, f"the time since {when}", Shape.DURATION, ("last", *columns), topic=topic
    )
    yield duration_or_never(definition, since, words)
    yield Feature(f"new({listed})", columns, words, Shape.FLAG, ("new", *columns), topic=topic)


def duration_or_never(definition: Specification, feature: Feature, never: str) -> Feature:
    """Return a duration that is as long as what is remembered where there was nothing, and what is said then."""
    return replace(feature, never=never, memory=definition.options.memory)


def windowed_feature(
    statistic: str, columns: tuple[str, ...], window: float, words: str, shape: Shape
) -> Feature:
    """Return the feature of a statistic over a window of time."""
    return Feature(
        f"{statistic}({', '.join(columns)}, {window_name(window)})",
        columns,
        f"{words} in the {window_words(window)} before",
        shape,
        (statistic, *columns, str(window)),
    )


def features_of_amount(definition: Specification, name: str, amount: str) -> Iterator[Feature]:
    """Yield what the amount is to the earlier ones of an entity."""
    of = f"with this {name}"
    kinds = {"sum": f"the sum of {amount}", "mean": f"the mean {amount}"}
    kinds |= {"median": f"the median {amount}", "max": f"the largest {amount}"}
    for statistic, words in kinds.items():
        for window in with_memory(definition, definition.options.windows, statistic == "mean"):
            feature = windowed_feature(statistic, (name,), window, f"{words} {of}", Shape.AMOUNT)
            yield replace(feature, scale=definition.unit)
    for statistic, words in (("mean", "the mean"), ("median", "the median"), ("max", "the largest")):
        for window in with_memory(definition, definition.options.long_windows, statistic == "mean"):
            against = f"{amount} against {words} {of}"
            yield windowed_feature(f"against {statistic}", (name,), window, against, Shape.RATIO)
    for window in with_memory(definition, definition.options.long_windows):
        words = f"the distance of {amount} from the mean {of}"
        yield windowed_feature("score", (name,), window, words, Shape.SCORE)
    yield from features_of_high(definition, name, amount)


def with_memory(
    definition: Specification, windows: tuple[float, ...], wanted: bool = True
) -> tuple[float, ...]:
    """Return some windows, and all that is remembered."""
    memory = definition.options.memory
    return windows if memory in windows or not wanted else (*windows, memory)


def features_of_high(definition: Specification, name: str, amount: str) -> Iterator[Feature]:
    """Yield the features of transactions with unusually high amounts."""
    usual = f"{amount} far above the median of this {name}"
    for window in definition.options.long_windows:
        words = f"the number of transactions with {usual}"
        yield windowed_feature("high", (name,), window, words, Shape.COUNT)
    words = f"the time since the last transaction with {usual}"
    since = Feature(f"since high({name})", (name,), words, Shape.DURATION, ("last high", name))
    month = window_words(definition.options.windows[-1])
    yield duration_or_never(definition, since, f"no transaction of the {month} before had {usual}")


def features_of_frauds(definition: Specification, name: str) -> Iterator[Feature]:
    """Yield the numbers of known frauds of an entity, and their share."""
    delay = definition.options.label_delay
    known = f", as known {window_words(delay)} earlier" if delay else ""
    for window in fraud_windows(definition):
        for statistic, words, shape in (
            ("frauds", f"the number of frauds with this {name}", Shape.COUNT),
            ("share", f"the share of frauds with this {name}", Shape.SHARE),
        ):
            feature = windowed_feature(statistic, (name,), window, words, shape)
            yield replace(feature, words=feature.words + known)


def features_of_known_frauds(definition: Specification, name: str) -> Iterator[Feature]:
    """Yield the features of the age of known frauds, and of good business since."""
    topic, columns = f"known frauds {name}", (name,)
    words = f"the time since the last known fraud with this {name}"
    since = Feature(f"since fraud({name})", columns, words, Shape.DURATION, ("fraud", name), topic=topic)
    memory = window_words(definition.options.memory)
    yield duration_or_never(definition, since, f"no fraud with this {name} is known of the {memory} before")
    window = window_words(definition.options.windows[-1])
    words = f"the time since the first known fraud with this {name} within {window}"
    yield Feature(
        f"since first fraud({name})", columns, words, Shape.DURATION, ("first fraud", name), topic=topic
    )
    window = window_words(definition.options.memory)
    words = f"the time since the first known fraud with this {name} within {window}"
    yield Feature(
        f"since first fraud ever({name})", columns, words, Shape.DURATION, ("first ever", name), topic=topic
    )
    words = f"the number of transactions known to be good with this {name} since its last known fraud"
    yield Feature(f"good since fraud({name})", columns, words, Shape.COUNT, ("good", name))
    for partner in usual_of(definition, name) if definition.contract.amount else ():
        window = window_words(definition.options.windows[-1])
        words = (
            f"the least unusual amount of the known frauds with this {name} within {window}, "
            f"against the median of its {partner}"
        )
        key = ("least fraud", name, partner)
        yield Feature(f"least fraud({name}, {partner})", columns, words, Shape.RATIO, key, topic=topic)
    words = f"the time since the last transaction known to be good with this {name}"
    since = Feature(f"since known good({name})", columns, words, Shape.DURATION, ("known good", name))
    yield duration_or_never(
        definition, since, f"no transaction with this {name} of the {memory} before is known to be good"
    )
    topic = f"run of frauds {name}"
    words = f"the time since the first of the known frauds in a row with this {name}"
    yield Feature(f"since run({name})", columns, words, Shape.DURATION, ("run", name), topic=topic)
    words = f"the number of known frauds in a row with this {name}"
    yield Feature(f"frauds in a row({name})", columns, words, Shape.COUNT, ("in a row", name), topic=topic)
