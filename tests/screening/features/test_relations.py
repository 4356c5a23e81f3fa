"""Columns that add up now and then: found without labels, exact but for rounding, for one row as for all."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from screening.errors import BadArtefact
from screening.features import Definition, compute, define
from screening.features.definitions.relations import Relation, gap, ratios_of, relations_of
from screening.transactions.schema import Column, ColumnContract, Role

NAMES = ("amount", "held", "left", "noise")
ROWS = 400


def cells() -> dict[str, np.ndarray]:
    """Cents; every tenth row takes all that was held, every other row leaves what it should, the rest is unrelated."""
    draw = np.random.default_rng(0)
    amount, held = (np.round(draw.lognormal(6, 1, ROWS), 2) for _ in range(2))
    held += amount
    amount[::10] = held[::10]
    left = np.round(held - amount, 2)
    left[1::2] = np.round(draw.lognormal(6, 1, ROWS // 2), 2)
    return {"amount": amount, "held": held, "left": left, "noise": np.round(draw.lognormal(6, 1, ROWS), 2)}


def contract(optional: tuple[str, ...] = ()) -> ColumnContract:
    return ColumnContract.of(
        [
            Column(name, Role.AMOUNT if name == "amount" else Role.NUMBER, optional=name in optional)
            for name in NAMES
        ]
    )


def test_what_adds_up_in_some_rows_is_found_and_nothing_else() -> None:
    assert relations_of(NAMES, cells()) == (
        Relation(("amount", "held"), (1, -1)),
        Relation(("held", "amount", "left"), (1, -1, -1)),
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["left"].__setitem__(
            slice(None), found["held"] - found["amount"]
        ),  # always: tells nothing
        lambda found: found["left"].__setitem__(slice(None), found["noise"]),
    ],
)
def test_what_always_or_never_adds_up_is_no_relation(change: Callable[[dict[str, np.ndarray]], None]) -> None:
    found = cells()
    change(found)
    assert all(
        len(relation.columns) == 2 or "left" not in relation.columns
        for relation in relations_of(NAMES, found)
    )


def test_small_whole_numbers_are_equal_by_chance_and_so_unrelated() -> None:
    draw = np.random.default_rng(1)
    counts = {name: draw.integers(0, 40, 5_000).astype(float) for name in "abc"}
    assert relations_of("abc", counts) == ()
    years = {name: draw.integers(1900, 2000, 5_000).astype(float) for name in "abc"}
    assert relations_of("abc", years) == (), (
        "a hundredth of the rows are equal, and as many when they are shuffled"
    )


def test_sums_of_cents_hold_though_they_are_not_exact_in_binary() -> None:
    far, exact = gap(
        [np.array([0.3, 1e7, np.nan]), np.array([0.1, 1e7, 1.0]), np.array([0.2, 0.01, 2.0])], (1, -1, -1)
    )
    np.testing.assert_array_equal(exact, [True, False, False])
    assert far.tolist() == [0.0, pytest.approx(-0.01), 0.0], "of a blank there is no gap"


def test_features_come_back_from_json_and_are_the_same_for_one_row() -> None:
    found = cells()
    values = np.column_stack([found[name] for name in NAMES])
    values[7, 1] = np.nan
    definition = define(contract(optional=("held",)), values)
    back = Definition.from_dict(json.loads(json.dumps(definition.as_dict())))
    assert back == definition
    whole = compute(back, values)
    for row in (0, 1, 2, 7, 11):
        np.testing.assert_array_equal(compute(back, values[row : row + 1])[0], whole[row])
    exact = definition.names.index("exact(amount - held)")
    assert np.flatnonzero(whole[:, exact]).tolist() == list(range(0, ROWS, 10))
    assert definition.features[exact].words == "amount is exactly held"
    ratio = definition.features[definition.names.index("ratio(amount, held)")]
    assert ratio.show(float(whole[0, definition.names.index("ratio(amount, held)")])) == "1 times"


def test_the_amount_is_held_against_columns_of_money() -> None:
    found = cells()
    named = {
        "amount": found["amount"],
        "accountBalance": found["held"],
        "daily_limit": found["left"],
        "age": found["noise"],
    }
    assert ratios_of("amount", list(named), named) == (
        ("amount", "accountBalance"),
        ("amount", "daily_limit"),
    )
    assert ratios_of(None, list(named), named) == ()


def test_a_definition_without_relations_is_written_as_it_always_was() -> None:
    one = ColumnContract.of([Column("x", Role.NUMBER), Column("y", Role.NUMBER)])
    told = define(one, np.random.default_rng(0).standard_normal((200, 2))).as_dict()
    assert not {"relations", "ratios", "rates"} & set(told)


@pytest.mark.parametrize(
    ("key", "damage"),
    [
        ("relations", [["amount", "held"]]),
        ("relations", [["amount", "held"], [1, 2]]),
        ("relations", [["amount"], [1]]),
        ("relations", [["amount", "unknown"], [1, -1]]),
        ("ratios", ["amount"]),
        ("ratios", ["amount", "unknown"]),
    ],
)
def test_damaged_relations_are_refused(key: str, damage: object) -> None:
    found = cells()
    given = define(contract(), np.column_stack([found[name] for name in NAMES])).as_dict()
    with pytest.raises(BadArtefact):
        Definition.from_dict({**given, key: [damage]})
