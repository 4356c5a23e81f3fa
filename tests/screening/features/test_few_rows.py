"""A few rows told of one by one get the very bits that they get among many, for any definition and any past."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.detectors.registry import Detectors
from screening.features import Definition, Options, Past, PastIndex, compute, iterate
from screening.features.computation import few_rows, per_definition, row_layout
from screening.features.computation.matrix import Sheet
from screening.features.computation.per_definition import PerDefinition
from screening.features.computation.row_layout import RowLayout
from screening.features.computation.timeline import Timeline
from screening.features.definitions.feature import Feature, Shape
from screening.features.definitions.lookback import looking_back
from screening.settings import Settings
from screening.transactions.schema import CellKind, Column, Matrix, Role
from tests.screening.features.tables import COLUMNS, DAY, DEVICE, EPOCH, HOUR, payments
from tests.screening.features.ways import both_ways, one_by_one

MANY = settings(max_examples=60, deadline=None)
SHIPPED = ("card", "ecommerce", "payments")
ODD_AMOUNTS = np.array([0.0, -0.0, 1e-9, -1e-9, 0.25, 1e6, -1e6, 1e15, 3e38, -3e38])


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> list[Definition]:
    """The definitions of the detectors that come with the project; that of card columns has none."""
    registry = Detectors(Settings(instance=tmp_path_factory.mktemp("registry")))
    found = [registry.get(name).vectorizer.definition for name in SHIPPED]
    return [definition for definition in found if definition is not None]


@st.composite
def options(draw: st.DrawFn) -> Options:
    """Windows that end where others begin, and delays from none to longer than anything is remembered."""
    spans = st.sampled_from([1.0, 90.0, HOUR, 5 * HOUR, DAY, 2 * DAY, 7 * DAY])
    windows = tuple(sorted(draw(st.sets(spans, min_size=1, max_size=4))))
    return Options(
        windows=windows,
        label_delay=draw(st.sampled_from([0.0, 1.0, HOUR, DAY, 30 * DAY])),
        memory=draw(st.sampled_from([windows[-1], windows[-1] + HOUR, 20 * DAY])),
        levels=3,
        known=5,
        least=2,
    )


@st.composite
def drawn(draw: st.DrawFn) -> Definition:
    """Definitions of one to three entities, with and without an amount, a blank time, or a profile."""
    time = Column("when", Role.TIME, CellKind.TIME, optional=draw(st.booleans()))
    columns = [time, *COLUMNS[1:]]
    if draw(st.booleans()):
        columns.append(DEVICE)
    for name in ("shop", "amount"):
        if draw(st.integers(0, 4)) == 0:
            columns = [column for column in columns if column.name != name]
    table = payments(draw(st.sampled_from([5, 60])), draw(st.integers(0, 99)), tuple(columns))
    return table.definition(draw(options()))


def rows_for(definition: Definition, rng: np.random.Generator, count: int, days: float) -> Matrix:
    """Rows of few entities, of which many are of one time or stand twice; any amount, and blanks where they may be."""
    parts = definition.contract.parts()
    time = EPOCH + np.round(rng.uniform(0, days * DAY, count) / rng.choice([1e-6, 1, HOUR])) * 1.0
    time = np.where(time > EPOCH + days * DAY, EPOCH + np.round(rng.uniform(0, days * DAY, count), 6), time)
    if count:
        again = rng.random(count) < 0.3
        time[again] = time[rng.integers(0, count, again.sum())]
        snapped = rng.random(count) < 0.3  # so that windows end on rows
        time[snapped] = np.round(time[snapped] / HOUR) * HOUR
    made: dict[Role, Callable[[], np.ndarray]] = {
        Role.TIME: lambda: time,
        Role.MOMENT: lambda: time - np.round(rng.exponential(DAY, count)),
        Role.ENTITY: lambda: rng.integers(0, rng.integers(1, 5), count).astype(float),
        Role.AMOUNT: lambda: np.round(rng.lognormal(3, 1, count) * rng.choice([1, 1, 1, -1, 40], count), 2),
        Role.CATEGORY: lambda: rng.integers(0, 7, count).astype(float),
        Role.NUMBER: lambda: rng.normal(40, 10, count),
    }
    values = np.empty((count, len(parts)))
    for place, column in enumerate(parts):
        values[:, place] = made[column.role]()
        if column.role is Role.AMOUNT:
            odd = rng.random(count) < 0.1
            values[odd, place] = rng.choice(ODD_AMOUNTS, odd.sum())
        if column.optional:
            values[rng.random(count) < 0.15, place] = np.nan
    if count:
        twice = rng.random(count) < 0.1
        values[twice] = values[rng.integers(0, count, twice.sum())]
    return values


def agree(definition: Definition, rng: np.random.Generator, before: int, asked: int, days: float) -> None:
    """See that rows get the same in both ways: all together, some of them, after a past and after an index of it."""
    names = definition.names
    past, values = (rows_for(definition, rng, count, days) for count in (before, asked))
    chances = rng.dirichlet([1, 1, 1])
    of_past, labels = (rng.choice(np.array([-1, 0, 1], np.int8), n, p=chances) for n in (before, asked))
    earlier = Past(past, of_past)
    plain = both_ways(names, lambda: compute(definition, values, labels=labels, past=earlier))
    index = PastIndex(definition, earlier)
    indexed = both_ways(names, lambda: compute(definition, values, labels=labels, past=index))
    assert indexed.tobytes() == plain.tobytes()
    start, stop = sorted(rng.integers(0, asked + 1, 2).tolist())
    some = both_ways(
        names,
        lambda: compute(definition, values, labels=labels, past=earlier, start=start, stop=stop),
    )
    assert some.tobytes() == plain[start:stop].tobytes()
    both_ways(names, lambda: compute(definition, values))  # nothing is known of anything


SEEDS = st.integers(0, 2**32 - 1)
SIZES = {"before": st.sampled_from([0, 1, 3, 20, 120]), "asked": st.integers(1, 20)}
LENGTHS = st.sampled_from([0.05, 2.0, 15.0, 80.0])


@MANY
@given(definition=drawn(), seed=SEEDS, days=LENGTHS, **SIZES)
def test_drawn_definitions(definition: Definition, seed: int, days: float, before: int, asked: int) -> None:
    agree(definition, np.random.default_rng(seed), before, asked, days)


@MANY
@given(which=st.integers(0, len(SHIPPED)), seed=SEEDS, days=LENGTHS, **SIZES)
def test_shipped_definitions(
    shipped: list[Definition], which: int, seed: int, days: float, before: int, asked: int
) -> None:
    agree(shipped[which % len(shipped)], np.random.default_rng(seed), before, asked, days)


@MANY
@given(definition=drawn(), seed=SEEDS)
def test_rows_that_wait_together_see_each_other_as_rows_of_a_past_do(
    definition: Definition, seed: int
) -> None:
    """By time alone: which of them are asked about, and in which order, changes nothing."""
    rng = np.random.default_rng(seed)
    values = rows_for(definition, rng, 12, 3.0)
    labels = rng.integers(-1, 2, 12).astype(np.int8)
    with one_by_one(True):
        together = compute(definition, values, labels=labels)
        for row in range(len(values)):
            others = np.arange(len(values)) != row
            earlier = PastIndex(definition, Past(values[others], labels[others]))
            own = slice(row, row + 1)
            alone = compute(definition, values[own], labels=labels[own], past=earlier)
            assert alone.tobytes() == together[own].tobytes()


@pytest.mark.parametrize(("back", "high"), [(0.0, 1.0), (0.000001, 0.0)])
def test_what_was_usual_reaches_back_to_the_very_edge_of_the_longest_window(back: float, high: float) -> None:
    """Three amounts make a usual one; the earliest of them is the whole window before the high one, or longer."""
    table = payments(200)
    definition = table.definition()
    name = "high(card, 1d)"
    time = EPOCH + 10 * DAY
    values = np.repeat(table.values[:1], 5, axis=0)
    longest = definition.options.windows[-1]
    column = table.contract.columns.index
    values[:, column("when")] = [time - longest - back, time - 2 * HOUR, time - HOUR, time, time + HOUR]
    values[:, column("card")] = 1.0
    values[:, column("amount")] = [10.0, 10.0, 10.0, 1000.0, 10.0]
    found = both_ways(definition.names, lambda: compute(definition, values, start=4))
    assert found[0, definition.names.index(name)] == np.float32(np.log1p(high))


def test_few_rows_are_told_of_one_by_one_and_many_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    fill = few_rows.fill_few

    def noting(definition: Definition, timeline: Timeline, start: int, stop: int, sheet: Sheet) -> None:
        asked.append(stop - start)
        fill(definition, timeline, start, stop, sheet)

    monkeypatch.setattr("screening.features.computation.engine.fill_few", noting)
    table = payments(few_rows.ROWS, days=60)
    definition = table.definition()

    def past(rows: int) -> Past:
        return Past(table.values[:rows], table.labels[:rows])

    most = few_rows.ROWS // (few_rows.ASKED + 1)
    compute(definition, table.values[:1], past=past(few_rows.ROWS - few_rows.ASKED - 1))
    list(iterate(definition, table.values[:most]))
    assert asked == [1, most]
    compute(definition, table.values[:1], past=past(few_rows.ROWS - few_rows.ASKED))
    compute(definition, table.values[: most + 1])
    assert asked == [1, most]


def test_a_statistic_that_nothing_is_said_of_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new feature can't be zero for one row, and something else in a file."""
    new = Feature("novelty(card)", ("card",), "novelty", Shape.PLAIN, ("novelty", "card"))
    definition = payments(50).definition()
    monkeypatch.setattr(row_layout, "looking_back", lambda given: [*looking_back(given), new])
    monkeypatch.setitem(definition.places, new.key, 0)
    with pytest.raises(KeyError, match="novelty"):
        RowLayout(definition)


def test_what_is_made_of_a_definition_is_of_the_very_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(per_definition, "KEPT", 2)
    first = payments(50).definition()
    units = PerDefinition(lambda definition: [definition.unit])
    assert units.of(first) is units.of(first)
    others = [dataclasses.replace(first, unit=first.unit * 2**power) for power in range(1, 6)]
    assert [units.of(each) for each in (*others, first)] == [[each.unit] for each in (*others, first)]
