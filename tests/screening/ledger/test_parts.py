"""Ids, money and fields of the ledger."""

from __future__ import annotations

import uuid
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.ledger import fields, identity, money
from screening.transactions.schema import CellKind, Column, Role


@given(st.integers(0, 2**48 - 1), st.integers(0, identity.MOST_NUMBER))
def test_an_id_is_a_uuid_of_version_7_that_gives_its_parts_back(milliseconds: int, number: int) -> None:
    given_id = identity.TransactionId(identity.new_origin(milliseconds), number)
    read = uuid.UUID(str(given_id))
    assert (read.version, read.variant) == (7, uuid.RFC_4122)
    assert read.int >> 80 == milliseconds
    assert identity.parse(str(given_id)) == given_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "{01a21646-8871-7f9a-9dfa-511300000005}",
        "0" * 32,
        "1" * 400,
    ],
)
def test_what_is_no_such_id_is_none(text: str) -> None:
    assert identity.parse(text) is None


@given(st.integers(-(10**12), 10**12), st.sampled_from([None, "EUR", "JPY", "KWD"]))
def test_amounts_written_with_the_currencys_digits_come_back_exactly(
    units: int, currency: str | None
) -> None:
    digits = money.exponent(currency)
    written = Decimal(units).scaleb(-digits)
    found, there = money.minor(np.array([float(written)]), digits)
    assert there.all()
    assert found.tolist() == [units]
    assert money.major(units, currency) == float(written)


def test_half_a_unit_goes_to_the_even_neighbour_and_what_there_is_not_stays_away() -> None:
    given_amounts = np.array([0.125, 0.375, -0.125, np.nan, np.inf, 1e30])
    found, there = money.minor(given_amounts, 2)
    wanted = [
        int((Decimal(str(each)) * 100).quantize(1, ROUND_HALF_EVEN)) for each in given_amounts[:3].tolist()
    ]
    assert found[:3].tolist() == wanted == [12, 38, -12]
    assert there.tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT", {"customer": 1, "terminal": 2}),
        (
            "user_id,signup_time,device_id,source,browser,ip_address,class",
            {"customer": 0, "device": 2, "channel": 3, "browser": 4, "address": 5},
        ),
        ("device_distinct_emails_8w,num_customers,card_age,merchant_country", {"country": 3}),
        (
            "Country,country_code,currency,fraud_type,cc_num",
            {"country": 0, "currency": 2, "fraud_type": 3, "card": 4},
        ),
        ("Time,V1,V2,Amount", {}),
        ("user_device_id,customer_card_number", {"device": 0, "card": 1}),
        ("nameOrig,nameDest", {"customer": 0, "merchant": 1}),
    ],
)
def test_columns_are_fields_by_their_names(header: str, found: dict[str, int]) -> None:
    assert fields.assign(header.split(",")) == found


def test_a_detectors_entity_needs_one_word_of_a_field_and_goes_before_other_columns() -> None:
    columns = [
        Column("shopper_card_ref", Role.ENTITY, CellKind.TEXT),
        Column("addr", Role.ENTITY, CellKind.ADDRESS),
    ]
    assert fields.assign(["card", "shopper_card_ref"], columns) == {"card": 1}
    assert fields.called(columns[0], {"shopper_card_ref": "Karte"}).name == "Karte"
