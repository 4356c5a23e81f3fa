"""What the columns of a labelled file are guessed to be: by their values as well as by their names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from screening.columns.role_inference import guess_roles
from screening.transactions.schema import CellKind, Role
from tests.screening.columns.labelled_files import ROWS, guesses, past


def draw() -> np.random.Generator:
    return np.random.default_rng(11)


def role_of(values: object, name: str) -> Role:
    return guesses(past().assign(**{name: values}))[name].column.role


@pytest.mark.parametrize(
    "name",
    [
        "device_distinct_emails_8w",
        "address_months",
        "device_age_days",
        "ip_risk",
        "number_of_cards",
        "num_logins",
        "user_age",
        "phone_verified",
        "card_txn_count_24h",
        "accounts_per_device",
        "customer_avg_amount_30d",
    ],
)
def test_what_is_counted_of_somebody_is_a_number_and_not_somebody(name: str) -> None:
    assert role_of(draw().integers(0, 90, ROWS), name) is Role.NUMBER


@pytest.mark.parametrize("name", ["card1", "account_number", "cc_num", "user", "sender_id", "customerNo"])
def test_numbers_that_come_back_and_are_named_after_somebody_are_somebody(name: str) -> None:
    guess = guesses(past().assign(**{name: draw().integers(1000, 1300, ROWS)}))[name]
    assert (guess.column.role, guess.column.kind) == (Role.ENTITY, CellKind.TEXT)


def test_long_whole_numbers_that_come_back_are_somebody_whatever_the_name() -> None:
    assert role_of(draw().integers(0, 200, ROWS) * 7_919_123_457 - 10**12, "Merchant Name") is Role.ENTITY
    assert role_of(draw().integers(0, 200, ROWS) * 7_919_123_457, "x") is Role.ENTITY
    assert role_of(draw().gamma(1, 1e9, ROWS).astype(np.int64), "balance") is Role.NUMBER


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("nameOrig", lambda at: f"C{1_000_000_000 + at}"),
        ("token", lambda at: hashlib.sha256(str(at).encode()).hexdigest()[:12]),
        ("pan_hash", lambda at: hashlib.sha256(str(at).encode()).hexdigest()),
        ("account", lambda at: f"DE{at:020d}"),
        ("merchant", lambda at: f"'M{100_000_000 + at % 50}'"),
    ],
)
def test_tokens_that_come_back_are_somebody_before_they_are_a_category(
    name: str, write: Callable[[int], str]
) -> None:
    assert role_of([write(at) for at in draw().integers(0, 180, ROWS).tolist()], name) is Role.ENTITY


@pytest.mark.parametrize("name", ["Unnamed: 0", "index", "whatever"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_column_that_counts_the_rows_is_left_out_and_told(name: str, first: int) -> None:
    guess = guesses(past().assign(**{name: np.arange(ROWS) + first}))[name]
    assert (guess.column.role, guess.reason) == (Role.IGNORE, "it counts the rows")


def test_the_index_of_a_part_of_a_frame_is_left_out_by_its_name() -> None:
    assert role_of(draw().permutation(ROWS * 9)[:ROWS], "Unnamed: 0") is Role.IGNORE
    assert role_of(draw().permutation(ROWS * 9)[:ROWS], "distance_m") is Role.NUMBER


def test_a_date_that_is_the_only_one_is_the_time_whatever_it_is_called() -> None:
    found = guesses(past().rename(columns={"tx_time": "valid_since"}))
    assert found["valid_since"].column.role is Role.TIME
    assert "the only date" in found["valid_since"].reason
    assert guesses(past().rename(columns={"tx_time": "TransactionStartTime"}))[
        "TransactionStartTime"
    ].column.role is (Role.TIME)


@pytest.mark.parametrize(
    ("cells", "role", "kind"),
    [
        (
            [f"Nr {n} asks for help with parcel {n * 7} at once" for n in range(200)],
            Role.NUMBER,
            CellKind.LENGTH,
        ),
        ([f"Nr {n} asks for help" if n % 3 else "" for n in range(200)], Role.NUMBER, CellKind.LENGTH),
        ([f"{'x' * (90 + n % 60)}{n // 2}" for n in range(200)], Role.NUMBER, CellKind.LENGTH),
        ([f"person.{n}@mail{n % 5}.example" for n in range(200)], Role.CATEGORY, CellKind.DOMAIN),
        ([f"person.{n % 50}@mail{n % 5}.example" for n in range(200)], Role.ENTITY, CellKind.TEXT),
        ([f"REF-{n}-{n * 31 % 97}" for n in range(200)], Role.CARRY, CellKind.TEXT),
        ([f"{n % 30} Long Street" for n in range(200)], Role.CATEGORY, CellKind.TEXT),
    ],
    ids=["sentences", "blanks", "long", "mail", "mail that comes back", "references", "few"],
)
def test_a_text_that_names_nobody_counts_by_its_length_and_a_mail_address_by_its_domain(
    cells: list[str], role: Role, kind: CellKind
) -> None:
    name = "email" if "@" in cells[0] else "said"
    found = guess_roles([name, "y"], [[cell, "0"] for cell in cells])[0].column
    assert (found.role, found.kind) == (role, kind)
    if kind is CellKind.LENGTH:
        assert found.optional


def test_of_two_dates_the_later_one_is_the_time() -> None:
    frame = past()
    frame["since_date"] = frame["tx_time"] - pd.to_timedelta(draw().integers(1, 400, ROWS), unit="D")
    found = guesses(frame.rename(columns={"tx_time": "a_date", "since_date": "b_date"}))
    assert (found["a_date"].column.role, found["b_date"].column.role) == (Role.TIME, Role.MOMENT)


def births() -> list[str]:
    return [f"{1930 + at % 75}-03-{1 + at % 28:02d}" for at in range(ROWS)]


def test_dates_of_birth_before_1970_are_dates_beside_a_time_and_left_out_without_one() -> None:
    found = guesses(past().assign(dob=births()))
    assert (found["dob"].column.role, found["dob"].column.kind) == (Role.MOMENT, CellKind.TIME)
    alone = guesses(past().drop(columns="tx_time").assign(dob=births()))["dob"]
    assert alone.column.role is Role.IGNORE
    assert "date of birth" in alone.reason


def test_the_time_once_more_is_left_out() -> None:
    frame = past()
    seconds = (frame["tx_time"] - pd.Timestamp(1970, 1, 1)).dt.total_seconds().astype(int)
    days = (frame["tx_time"] - frame["tx_time"].min()).dt.days
    found = guesses(frame.assign(unix_time=seconds, tx_time_days=days, hour_of_the_day=seconds // 3600 % 24))
    assert found["unix_time"].reason == found["tx_time_days"].reason == "another form of tx_time"
    assert found["hour_of_the_day"].column.role is Role.NUMBER


def test_a_time_of_day_without_its_day_is_no_time_and_told_and_an_amount_with_a_point_is_an_amount() -> None:
    clock = guesses(past().assign(tx_time=[f"{at % 24:02d}:{at % 60:02d}" for at in range(ROWS)]))["tx_time"]
    assert clock.column.role is Role.IGNORE
    assert "without its day" in clock.reason
    assert role_of([f"{10 + at % 13}.50" for at in range(ROWS)], "price") is Role.NUMBER


def test_texts_that_an_entity_always_has_are_left_out_but_not_the_kinds_of_merchants() -> None:
    frame = past()
    customer = frame["customer_id"].str[1:].astype(int)
    found = guesses(
        frame.assign(
            street=[f"street {at % 140}" for at in customer], trade=[f"trade {at % 3}" for at in customer]
        )
    )
    assert found["street"].column.role is Role.IGNORE
    assert "each customer_id always has the same one" in found["street"].reason
    assert found["trade"].column.role is Role.CATEGORY


@pytest.mark.parametrize(
    "name", ["fraud_score_vendor", "avg_chargeback_amount", "prior_chargebacks", "reason_code"]
)
def test_one_rule_holds_for_all_columns_that_are_named_after_fraud(name: str) -> None:
    honest = guesses(past().assign(**{name: draw().integers(0, 9, ROWS)}))[name]
    assert honest.column.role in (Role.NUMBER, Role.CATEGORY)
    assert "doesn't give it away" in honest.remark
    frame = past()
    some = (frame["fraud"] == 1) & (frame.index % 40 == 7)  # half of the frauds, and no other row
    leak = guesses(frame.assign(**{name: np.where(some, 1 + frame.index % 3, 0)}))[name]
    assert leak.column.role is Role.IGNORE
    assert "at frauds alone" in leak.reason


def test_a_form_of_the_label_is_left_out_whatever_it_is_called_and_whatever_the_label_says() -> None:
    frame = past()
    frame["status"] = np.where(frame["fraud"] == 1, "blocked", "settled")
    assert guesses(frame)["status"].column.role is Role.IGNORE
    named = frame.assign(fraud=np.where(frame["fraud"] == 1, "stolen", "none"))
    found = guesses(named, fraud=("stolen",))["status"]
    assert "alone tells fraud from the rest" in found.reason


def test_what_is_there_or_blank_says_something_and_is_judged_as_any_column() -> None:
    frame = past()
    some = np.where(frame.index % 7 == 2, "2025-06-01", "")
    assert guesses(frame.assign(gift=some))["gift"].column.role is Role.CATEGORY
    leak = guesses(frame.assign(chargeback_date=np.where(frame["fraud"] == 1, "2025-06-01", "")))
    assert "alone tells fraud" in leak["chargeback_date"].reason
    assert leak["tx_time"].column.role is Role.TIME


def test_a_hexadecimal_token_with_one_e_is_no_infinite_number() -> None:
    tokens = [f"{at % 9}{at % 7}e{900 + at % 90}" for at in range(ROWS)]
    assert guesses(past().assign(token=tokens, ip=tokens))["token"].column.kind is not CellKind.TIME
