"""Sentences about features: each value beside what is usual, in a person's words, and with the right numbers."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.columns.display_names import display_names
from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.features.definitions.feature import Shape
from screening.scoring.reason_words import FeatureValue, Sentences, two_decimals
from screening.settings import Settings
from screening.transactions.schema import ColumnContract, Role
from tests.shared import share_compiled

TWICE = re.compile(r"\b(\S+(?: \S+)?) to \1(?!\S)")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> dict[str, Detector]:
    """The shipped detectors that look at features."""
    instance = tmp_path_factory.mktemp("instance")
    share_compiled(instance, compiled)
    found = Detectors(
        Settings(instance=instance, users_file=instance / "users.txt", database_url="sqlite://")
    )
    return {name: found.get(name) for name in ("payments", "ecommerce")}


def said_of(detector: Detector, key: tuple[str, ...], value: float, **more: Any) -> str:
    definition = detector.vectorizer.definition
    assert definition is not None
    place = next(at for at, one in enumerate(definition.features) if one.key == key)
    low, high = detector.typical[detector.vectorizer.inputs[place]]
    given: dict[str, Any] = {"low": low, "high": high, "amount": None, **more}
    return Sentences(definition).of(FeatureValue(definition.features[place], value, **given))


def test_an_amount_is_beside_this_customers_own(shipped: dict[str, Detector]) -> None:
    payments = shipped["payments"]
    window = str(30 * 86_400.0)
    definition = payments.vectorizer.definition
    assert definition is not None
    key = next(
        one.key
        for one in definition.features
        if one.key[:2] == ("against median", "CUSTOMER_ID") and float(one.key[2]) == float(window)
    )
    assert said_of(payments, key, math.log(6.7), amount=577.6) == (
        "Amount 577.60 is 6.7 × this customer's 30-day median (86.21)"
    )
    count = next(
        one.key
        for one in definition.features
        if one.key[:2] == ("count", "TERMINAL_ID") and float(one.key[2]) == 3600
    )
    assert said_of(payments, count, math.log1p(14), low=0.0, high=0.0) == (
        "14 transactions with this terminal in the last hour; usually none"
    )
    assert said_of(payments, count, math.log1p(1), low=0.0, high=math.log1p(0)) == (
        "1 transaction with this terminal in the last hour; usually none"
    )
    assert said_of(payments, ("plain", "TX_AMOUNT"), 1000.0, low=10.0, high=20.0) == (
        "Amount 1,000.00, far above the usual 10.00 to 20.00"
    )


def test_what_was_never_seen_is_said_so(shipped: dict[str, Detector]) -> None:
    shop = shipped["ecommerce"]
    never = math.log1p(90 * 86_400)
    assert said_of(shop, ("last", "device_id"), never, low=0.0, high=1.0) == (
        "This device has never been seen before in 90 days"
    )
    assert said_of(shop, ("last", "device_id"), math.log1p(60), low=never, high=never) == (
        "This device was last seen 1 min ago; usually never before"
    )
    assert (
        said_of(shop, ("just", "signup_time"), 1.0)
        == "Sign-up time is less than an hour before the transaction"
    )


@given(
    name=st.sampled_from(("payments", "ecommerce")),
    place=st.integers(0, 10_000),
    value=st.floats(-30, 30),
    ends=st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
    same=st.booleans(),
    amount=st.one_of(st.none(), st.floats(0, 1e6)),
)
@settings(max_examples=400, deadline=None)
def test_no_sentence_has_a_range_with_equal_ends_or_a_name_from_the_file(
    shipped: dict[str, Detector],
    name: str,
    place: int,
    value: float,
    ends: tuple[float, float],
    same: bool,
    amount: float | None,
) -> None:
    definition = shipped[name].vectorizer.definition
    assert definition is not None
    feature = definition.features[place % len(definition.features)]
    if feature.shape is Shape.COUNT:
        value, ends = abs(value) / 3, (abs(ends[0]) / 3, abs(ends[1]) / 3)
    low, high = min(ends), min(ends) if same else max(ends)
    said = FeatureValue(feature, 1.0 if feature.shape is Shape.FLAG else value, low, high, amount)
    if said.inside:
        return
    text = Sentences(definition).of(said)
    assert text[:1] == text[:1].upper() != ""
    assert not TWICE.search(text), text
    assert "a usual one" not in text
    assert "nan" not in text
    for column in definition.contract.columns:
        if column not in ("source", "browser", "sex", "age"):  # words as they are
            assert column not in text


def test_features_that_say_one_thing_are_one_family(shipped: dict[str, Detector]) -> None:
    definition = shipped["payments"].vectorizer.definition
    assert definition is not None
    sentences = Sentences(definition)
    families = {one.key: sentences.family(one) for one in definition.features}
    by_customer = {
        family for key, family in families.items() if key[0].startswith("against") and key[1] == "CUSTOMER_ID"
    }
    assert len(by_customer) == 1
    assert {families[key] for key in families if key[0] in ("log", "plain") and key[1] == "TX_AMOUNT"} == {
        ("amount",)
    }
    assert (
        families["last", "CUSTOMER_ID"] == families["new", "CUSTOMER_ID"] != families["last", "TERMINAL_ID"]
    )


def test_names_of_columns_are_spoken_unless_two_would_be_called_alike() -> None:
    contract = ColumnContract(
        ("TX_DATETIME", "ip_address", "V14", "merch_lat", "customer_id", "customer_key"),
        time="TX_DATETIME",
        roles=(Role.TIME, *[Role.CATEGORY] * 5),
    )
    assert display_names(contract) == {
        "TX_DATETIME": "time",
        "ip_address": "IP address",
        "V14": "V14",
        "merch_lat": "merchant latitude",
        "customer_id": "customer_id",
        "customer_key": "customer_key",
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [(-0.001, "0.00"), (-0.0, "0.00"), (0.004, "0.00"), (-0.006, "-0.01"), (1234.5, "1,234.50")],
)
def test_what_rounds_to_zero_has_no_sign(value: float, shown: str) -> None:
    assert two_decimals(value) == shown
