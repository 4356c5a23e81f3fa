"""A definition is plain JSON that comes back the same, or is refused with one line that says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from screening.errors import BadArtefact
from screening.features import Definition, Options, Ranges, Shape, compute, define
from screening.features.definitions.feature import duration, window_name, window_words
from screening.transactions.schema import CellKind, Column, ColumnContract, Role
from tests.screening.features.tables import COLUMNS, DAY, HOUR, Table, payments, tables

ROOT = Path(__file__).parents[3]
RANGES = Ranges(np.array([0, 100]), np.array([9, 199]), np.array([1, 0]), ("Austria", "Brazil"))
ADDRESS = Column("address", Role.ENTITY, CellKind.ADDRESS, optional=True)


def with_countries(rows: int = 200) -> Definition:
    contract = ColumnContract.of((*COLUMNS, ADDRESS))
    table = payments(rows)
    addresses = np.random.default_rng(0).integers(0, 300, rows)
    return define(contract, np.column_stack([table.values, addresses]), Options(), RANGES)


def written(definition: Definition) -> Any:
    return json.loads(json.dumps(definition.as_dict(), allow_nan=False))


@settings(max_examples=50, deadline=None)
@given(tables())
def test_a_definition_comes_back_from_json_and_makes_the_same_features(table: Table) -> None:
    definition = table.definition()
    again = Definition.from_dict(written(definition))
    assert again == definition
    assert again.names == definition.names
    assert np.array_equal(compute(again, table.values), compute(definition, table.values))


def test_countries_come_back_too() -> None:
    definition = with_countries()
    assert Definition.from_dict(written(definition)) == definition
    assert "country(address) is Austria" in {feature.words for feature in definition.features}


def test_every_feature_has_its_own_name_and_one_group() -> None:
    definition = with_countries()
    assert len(set(definition.names)) == len(definition.features)
    assert sorted(place for group in definition.groups for place in group) == list(
        range(len(definition.names))
    )
    together = next(group for group in definition.groups if definition.names.index("weekend(when)") in group)
    assert definition.names.index("weekday(when)") in together


def test_columns_that_are_called_alike_give_different_names() -> None:
    contract = ColumnContract.of((Column("amount", Role.AMOUNT), Column("log(amount)", Role.NUMBER)))
    definition = define(contract, np.ones((3, 2)))
    assert definition.names == ("log(amount)", "amount", "log(amount)'")


def test_two_entities_a_time_and_an_amount_give_as_many_features_as_the_docs_say() -> None:
    contract = ColumnContract.of([replace(column, optional=False) for column in COLUMNS[:4]])
    found = define(contract, payments(100, blanks=0.0).values[:, :4]).names
    said = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    assert f"Two entities, a time and an amount give {len(found)} features" in said


def test_columns_and_words_are_of_the_file() -> None:
    definition = with_countries()
    for feature in definition.features:
        assert set(feature.columns) <= set(definition.contract.columns)
        assert any(column in feature.words for column in feature.columns) or feature.shape in (
            Shape.HOUR,
            Shape.CYCLE,
            Shape.WEEKDAY,
        )


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("count(card, 7d)", np.log1p(14), "14"),
        ("sum(card, 7d)", np.log1p(64.0), "64 units"),
        ("against mean(card, 7d)", np.log(3.2), "3.2 times"),
        ("score(card, 7d)", np.arcsinh(4.14), "4.1 standard deviations"),
        ("share(shop, 30d)", 0.125, "12.5 %"),
        ("since(card)", np.log1p(2 * HOUR + 300), "2 h 5 min"),
        ("since(joined)", -np.log1p(90), "1 min 30 s ahead"),
        ("frequency(browser)", 1.0, "100 %"),
        ("hour(when)", 23.5, "23:30"),
        ("weekday(when)", 0.0, "Monday"),
        ("age", 41.5, "41.5"),
        ("amount", 1234.5, "1,234"),
        ("new(card)", 1.0, None),
        ("browser#1", 1.0, None),
        ("hour sine(when)", 0.5, None),
    ],
)
def test_values_are_shown_as_people_say_them(name: str, value: float, said: str | None) -> None:
    definition = with_countries()
    feature = definition.features[definition.names.index(name)]
    if said == "64 units":
        said = f"{64 * definition.unit:g}"
    assert feature.show(float(value)) == said


@pytest.mark.parametrize(
    ("name", "never"),
    [
        ("since(card)", "this card has not been seen in the 90 days before"),
        ("since(card, shop)", "this card and this shop have not been seen together in the 90 days before"),
        ("since fraud(shop)", "no fraud with this shop is known of the 90 days before"),
        ("since known good(shop)", "no transaction with this shop of the 90 days before is known to be good"),
    ],
)
def test_what_is_not_remembered_is_no_length_of_time(name: str, never: str) -> None:
    definition = with_countries()
    feature = definition.features[definition.names.index(name)]
    memory = float(np.float32(np.log1p(definition.options.memory)))
    assert feature.never == never
    assert feature.is_never(memory)
    assert not feature.is_never(float(np.log1p(definition.options.memory - HOUR)))
    count = definition.features[definition.names.index("count(card, 7d)")]
    assert not count.is_never(memory)


def test_lengths_of_time_are_words() -> None:
    assert [duration(seconds) for seconds in (0, 59, 60, HOUR, DAY, 3 * DAY)] == [
        *("0 s", "59 s", "1 min", "1 h", "24 h", "3 days")
    ]
    assert [window_name(seconds) for seconds in (0.5, 90, 60, HOUR, 7 * DAY)] == [
        "0.5s",
        "90s",
        "1min",
        "1h",
        "7d",
    ]
    assert [window_words(seconds) for seconds in (90, HOUR, 2 * HOUR, 7 * DAY)] == [
        *("90 seconds", "hour", "2 hours", "7 days")
    ]


def test_levels_and_fills_are_of_the_training_rows_only() -> None:
    contract = ColumnContract.of(
        (
            Column("browser", Role.CATEGORY, CellKind.TEXT, optional=True),
            Column("age", Role.NUMBER, optional=True),
        )
    )
    training = np.array([[1.0, 20], [1, 30], [1, np.nan], [2, 70], [2, 80], [3, 90], [np.nan, 10]])
    definition = define(contract, training, Options(least=2, levels=1))
    assert definition.levels == {"browser": ((1.0, 3 / 7), (2.0, 2 / 7))}
    assert definition.fills == {"age": 50.0}
    found = compute(definition, np.array([[1.0, np.nan], [2, 1], [9, 1], [np.nan, 1]]))
    columns = {name: found[:, place].tolist() for place, name in enumerate(definition.names)}
    assert columns["browser#1"] == [1, 0, 0, 0]
    assert columns["other(browser)"] == [0, 1, 1, 0]
    assert columns["missing(browser)"] == [0, 0, 0, 1]
    assert columns["frequency(browser)"][2:] == [0, 0]
    assert columns["age"][0] == 50
    assert columns["missing(age)"] == [1, 0, 0, 0]


def test_an_entity_that_never_comes_back_is_only_a_partner() -> None:
    contract = ColumnContract.of(COLUMNS[:4])
    values = payments(50, blanks=0.0).values[:, :4]
    values[:, 1] = np.arange(50)
    definition = define(contract, values)
    assert definition.tracked == ("shop",)
    assert "distinct(shop, card, 7d)" in definition.names
    assert "count(card, 7d)" not in definition.names


def test_the_amounts_of_an_entity_that_seldom_comes_back_are_not_looked_at() -> None:
    contract = ColumnContract.of(COLUMNS[:4])
    values = payments(60, blanks=0.0).values[:, :4]
    values[:, 1] = np.arange(60) // 1.5
    definition = define(contract, values)
    assert definition.tracked == ("card", "shop")
    assert "count(card, 7d)" in definition.names
    assert "mean(card, 7d)" not in definition.names
    assert "mean(shop, 7d)" in definition.names


def test_times_that_are_no_dates_have_no_weekday() -> None:
    contract = ColumnContract.of((Column("step", Role.TIME), Column("card", Role.ENTITY)))
    definition = define(contract, np.ones((4, 2)))
    assert "hour(step)" in definition.names
    assert "weekday(step)" not in definition.names


def change(*path: Any, to: Any) -> Callable[[Any], None]:
    def damage(given: Any) -> None:
        for part in path[:-1]:
            given = given[part]
        given[path[-1]] = to

    return damage


DAMAGED: dict[str, Callable[[Any], Any]] = {
    "no version": lambda given: given.pop("version"),
    "another version": change("version", to=99),
    "an unknown key": change("surprise", to=1),
    "no contract": lambda given: given.pop("contract"),
    "a contract that is a list": change("contract", to=[]),
    "an unknown role": change("contract", "roles", 0, to="king"),
    "too few roles": lambda given: given["contract"]["roles"].pop(),
    "a column twice": change("contract", "columns", 1, to="when"),
    "a column that is no text": change("contract", "columns", 1, to=7),
    "a time that is no time": change("contract", "time", to="card"),
    "an unknown key in the contract": change("contract", "more", to=1),
    "an optional column that isn't there": change("contract", "optional", to=["nobody"]),
    "no windows": change("options", "windows", to=[]),
    "windows that don't ascend": change("options", "windows", to=[10.0, 5.0]),
    "a window that is text": change("options", "windows", to=["1h"]),
    "a negative delay": change("options", "label_delay", to=-1),
    "a delay that is true": change("options", "label_delay", to=True),
    "a memory shorter than a window": change("options", "memory", to=1.0),
    "a part of a level": change("options", "levels", to=1.5),
    "an unknown option": change("options", "colour", to="blue"),
    "a unit of nothing": change("unit", to=0.0),
    "a unit that isn't a number": change("unit", to=float("nan")),
    "a fill that is text": change("fills", "age", to="old"),
    "a fill of an unknown column": change("fills", "nobody", to=1.0),
    "fills that are a list": change("fills", to=[1]),
    "a level twice": change("levels", "browser", to=[[1.0, 0.5], [1.0, 0.5]]),
    "a level without a share": change("levels", "browser", to=[[1.0]]),
    "a share above one": change("levels", "browser", to=[[1.0, 2.0]]),
    "more shown than there are": change("shown", "browser", to=900),
    "a tracked column that is no entity": change("tracked", to=["age"]),
    "a profiled column that isn't tracked": change("profiled", to=["age"]),
    "tracked twice": change("tracked", to=["card", "card"]),
    "a country table that can't be unpacked": change("ranges", "table", to="AAAA"),
    "a country table that is no text": change("ranges", "table", to=5),
    "a country table that isn't base 64": change("ranges", "table", to="é"),
    "more ranges than there are": change("ranges", "ranges", to=3),
    "a country that isn't named": change("ranges", "names", to=["Austria"]),
    "a level of no country": change("levels", "country(address)", to=[[7.0, 0.5]]),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_damaged_definitions_are_refused_with_one_line(damage: Callable[[Any], Any]) -> None:
    given = written(with_countries())
    damage(given)
    with pytest.raises(BadArtefact) as refused:
        Definition.from_dict(given)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("given", [None, [], "definition", 7, {}])
def test_what_is_no_definition_at_all_is_refused(given: object) -> None:
    with pytest.raises(BadArtefact):
        Definition.from_dict(given)


def test_the_clock_counts_from_a_thursday() -> None:
    contract = ColumnContract.of((Column("when", Role.TIME, CellKind.TIME),))
    definition = define(contract, np.zeros((1, 1)))
    saturday_night = 2 * DAY + 23 * HOUR
    found = dict(zip(definition.names, compute(definition, np.array([[saturday_night]]))[0], strict=True))
    assert (
        definition.features[definition.names.index("weekday(when)")].show(found["weekday(when)"])
        == "Saturday"
    )
    assert found["weekend(when)"] == 1
    assert found["night(when)"] == 1
