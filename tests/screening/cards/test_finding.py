"""Card numbers are found in every writing, and numbers that aren't cards' are let be."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from screening.cards.evidence import CHANCE, CardColumns, CardEvidence, by_chance
from screening.cards.finding import candidates, card_numbers, number_text, passes_luhn, says_card
from screening.cards.masking import masked
from screening.errors import CardNumbersFound

PAN = "4111111111111111"
FORMS = [
    "4111111111111111",
    " 4111111111111111 ",
    "'4111111111111111",
    '="4111111111111111"',
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "4111.1111.1111.1111",
    "4111_1111_1111_1111",
    "4111·1111·1111·1111",
    "4111•1111•1111•1111",
    "4111 - 1111 - 1111 - 1111",
    "4111  1111  1111  1111",
    "4111\t1111\t1111\t1111",
    "4111\n1111\n1111\n1111",
    "4111\u00a01111\u00a01111\u00a01111",
    "4111\u202f1111\u202f1111\u202f1111",
    "4111\u20091111\u20091111\u20091111",
    "4111\u20071111\u20071111\u20071111",
    "4111\u30001111\u30001111\u30001111",
    "4111\u20111111\u20111111\u20111111",
    "4111–1111–1111–1111",
    "4111—1111—1111—1111",
    "4111−1111−1111−1111",
    "4111\u200b1111\u200b1111\u200b1111",
    "4111\u00ad1111\u00ad1111\u00ad1111",
    "41111111 11111111",
    "411111 1111111111",
    "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    "4,111,111,111,111,111",
    "4'111'111'111'111'111",
    "4111111111111111.0",
    "4111111111111111,00",
    "4111111111111111.",
    "4.111111111111111E+15",
    "4.111111111111111e15",
    "4,111111111111111E+15",
    "４１１１１１１１１１１１１１１１",
    "٤١١١١١١١١١١١١١١١",
    "4111111111111111|12|27",
    "4111111111111111;12/27;123",
    "4111111111111111 12/27",
    "4111 1111 1111 1111 12 27",
    "%B4111111111111111^DOE/J^2712101",
    ";4111111111111111=27121010000?",
    "card 4111 1111 1111 1111 exp",
    "paid with VISA 4111111111111111, thanks",
    "2026-11-21_4111111111111111.csv",
    "pan:4111111111111111",
    "<pan>4111111111111111</pan>",
    "x4111111111111111y",
    '{"pan": "4111-1111-1111-1111"}',
]


@pytest.mark.security(54)
@pytest.mark.parametrize("text", FORMS)
def test_a_card_number_is_found_however_it_is_written(text: str) -> None:
    assert PAN in [one.digits for one in card_numbers(text)]
    assert [one.digits for one in card_numbers(text)] == [PAN]


@pytest.mark.security(54)
@pytest.mark.parametrize(
    "number",
    [
        "4222222222222", "4000000000000000006", "5555555555554444", "2223003122003222", "378282246310005",
        "371449635398431", "6011111111111117", "30569309025904", "36227206271667", "3530111333300000",
        "6200000000000005", "6200000000000000000", "6759649826438453", "5018000000000009", "2201382000000013",
        "9792030000000000", "6521111111111110", "341111111111111",
    ],
)  # fmt: skip
def test_numbers_of_every_network_are_known(number: str) -> None:
    assert [one.digits for one in card_numbers(number)] == [number]


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112", "4.234567890123456", "1.4111111111111111", "4111111111111111.5", "4.11111E+15",
        "20261121073200", "1700000000000", "1700000000000000000", "411111111111", "4111111111111111" * 2,
        "DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "2018-06-08 07:52:16",
        "356938035643809", "8944500102198304826", "+49 1512 3456789", "", "card", "192.168.100.200",
    ],
)  # fmt: skip
def test_other_numbers_are_none(text: str) -> None:
    assert card_numbers(text) == []


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pan", True), ("PAN", True), ("card_number", True), ("cardNumber", True), ("cc_num", True), ("CC", True),
        ("Kartennummer", True), ("credit card", True), ("tarjeta", True), ("device", False), ("discard", False),
        ("company", False), ("account", False), ("", False),
    ],
)  # fmt: skip
def test_names_that_say_card(name: str, says: bool) -> None:
    assert says_card(name) is says


def with_check_digit(stem: str) -> str:
    return next(stem + digit for digit in "0123456789" if passes_luhn(stem + digit))


def ean(stem: str) -> str:
    total = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(stem))
    return stem + str(-total % 10)


def iban(country: str, account: str) -> str:
    number = int(account + "".join(str(int(sign, 36)) for sign in country) + "00")
    text = f"{country}{98 - number % 97:02d}{account}"
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))


OTHERS: dict[str, Callable[[random.Random, int], str]] = {
    "order ids of 16 digits": lambda rng, _: digits(rng, 16),
    "order ids that begin with 4": lambda rng, _: "4" + digits(rng, 15),
    "ids in a row": lambda _, at: str(4_000_000_000_000_000 + at),
    "ids in steps of ten": lambda _, at: str(5_100_000_000_000_000 + 10 * at),
    "ids of 19 digits": lambda rng, _: "62" + digits(rng, 17),
    "EANs from Germany": lambda rng, _: ean("4" + digits(rng, 11)),
    "EANs from Britain": lambda rng, _: ean("50" + digits(rng, 10)),
    "IMEIs": lambda rng, _: with_check_digit("35" + digits(rng, 12)),
    "IMEIs of China": lambda rng, _: with_check_digit("86" + digits(rng, 12)),
    "SIM cards": lambda rng, _: with_check_digit("8949" + digits(rng, 14)),
    "phones": lambda rng, _: f"+49 15{digits(rng, 1)} {digits(rng, 8)}",
    "phones without signs": lambda rng, _: "4915" + digits(rng, 9),
    "IBANs": lambda rng, _: iban("DE", digits(rng, 18)),
    "milliseconds": lambda _, at: str(1_700_000_000_000 + 997 * at),
    "microseconds": lambda _, at: str(1_700_000_000_000_000 + 997 * at),
    "nanoseconds": lambda _, at: str(1_700_000_000_000_000_000 + 997 * at),
    "moments": lambda rng, _: f"2026112107{digits(rng, 4)}",
    "measurements": lambda rng, _: repr(rng.uniform(1, 10)),
    "amounts": lambda rng, _: f"{rng.lognormvariate(4, 2):.2f}",
    "hashes": lambda rng, _: f"{rng.getrandbits(128):032x}",
    "vouchers": lambda rng, _: "-".join(digits(rng, 4) for _ in range(4)),
    "texts with a reference": lambda rng, _: f"invoice 4{digits(rng, 15)} of May",
}
LENGTHS = (6, 10, 30, 300, 5000)
LEAST_GROUPED = 30
"""A voucher in groups of four is written as a card is: where one is alone in a small file, it may be taken for one."""


@pytest.mark.security(54)
@pytest.mark.parametrize("what", OTHERS)
def test_columns_of_other_numbers_are_let_be(what: str) -> None:
    """Forty columns of six cells to five thousand, asked after each block and at the end."""
    rng = random.Random(what)
    wrong = 0
    for number in range(40):
        seen = CardEvidence(named=False)
        flagged = False
        for at in range(max(LENGTHS[number % len(LENGTHS)], LEAST_GROUPED if what == "vouchers" else 0)):
            seen.add(OTHERS[what](rng, number * 10_000 + at))
            flagged = flagged or (at % 64 == 0 and seen.holds_cards(at_end=False))
        wrong += flagged or seen.holds_cards(at_end=True)
    assert wrong == 0


@pytest.mark.security(54)
@pytest.mark.parametrize("share", [0.25, 0.4, 1.0])
@pytest.mark.parametrize("other", ["unknown", "order ids of 16 digits", "order ids that begin with 4"])
def test_a_column_of_which_some_cells_are_cards_is_found(share: float, other: str) -> None:
    rng = random.Random(7)

    def unknown(_rng: random.Random, _at: int) -> str:
        return "unknown"

    make = OTHERS.get(other, unknown)
    seen = CardEvidence(named=False)
    for at in range(500):
        seen.add(with_check_digit("51" + digits(rng, 13)) if rng.random() < share else make(rng, at))
    assert seen.holds_cards(at_end=False)


@pytest.mark.security(54)
def test_cards_that_begin_far_down_are_found() -> None:
    rng = random.Random(3)
    seen = CardEvidence(named=False)
    for _ in range(20_000):
        seen.add("4" + digits(rng, 15))
    assert not seen.holds_cards(at_end=False)
    for _ in range(3000):
        seen.add(with_check_digit("4" + digits(rng, 14)))
    assert seen.holds_cards(at_end=False)


@pytest.mark.parametrize(
    ("named", "cells", "held"),
    [
        (True, [PAN], True),
        (True, [PAN, "4111111111111112"], False),
        (False, [PAN], False),
        (False, [PAN] * 50, False),
        (False, ["card 4111 1111 1111 1111 exp"], True),
        (False, [f"{PAN}|12|27"], True),
        (False, [PAN, "5555555555554444"], False),
        (False, [PAN, "5555555555554444", "378282246310005"], True),
    ],
)
def test_few_numbers_need_a_word_that_says_card(named: bool, cells: list[str], held: bool) -> None:
    seen = CardEvidence(named=named)
    for cell in cells:
        seen.add(cell)
    assert seen.holds_cards(at_end=True) is held
    assert not seen.holds_cards(at_end=False)


def test_the_chance_is_the_binomial_one() -> None:
    assert by_chance(3, 3) == pytest.approx(CHANCE**3)
    assert by_chance(2, 1) == pytest.approx(1 - 0.9**2)
    assert by_chance(5, 0) == pytest.approx(1)
    assert by_chance(100, 40) == pytest.approx(2.95e-15, rel=0.01)
    assert 0 < by_chance(4096, 4096) < 1e-300 or by_chance(4096, 4096) == 0


def test_what_is_said_names_the_column_and_no_digit() -> None:
    seen = CardColumns(["a", "pan 4111111111111111"], [0, 1])
    seen.add_rows([["x", PAN]])
    with pytest.raises(CardNumbersFound) as error:
        seen.check()
    assert error.value.places == (1,)
    assert "4111" not in str(error.value.as_dict())


@pytest.mark.security(46)
@pytest.mark.parametrize(
    "text", ["4 " * 20_000, "4111 1111 1111 1112 " * 2000, "1" * 40_000, "4-" * 20_000, "AA11 " * 8000]
)
def test_a_long_cell_takes_time_by_its_length(text: str) -> None:
    def seconds(given: str) -> float:
        began = time.process_time()
        assert sum(1 for _ in candidates(given)) >= 0
        return time.process_time() - began

    short = min(seconds(text[: len(text) // 8]) for _ in range(3))
    assert seconds(text) < 8 * 4 * max(short, 0.001)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (4111111111111111, PAN), (4111111111111111.0, PAN), (12.5, None), (True, None), (None, None), (1e300, None),
        (10**30, None), (float("inf"), None), (float("nan"), None), ("short", None), ([PAN], f"['{PAN}']"),
    ],
)  # fmt: skip
def test_values_of_json_as_texts(value: object, text: str | None) -> None:
    assert number_text(value) == text


@pytest.mark.security(33)
@pytest.mark.parametrize("text", FORMS)
def test_no_form_is_left_in_what_is_shown(text: str) -> None:
    assert not card_numbers(masked(text)) or masked(text) != text
    assert "1111111" not in "".join(sign for sign in masked(text) if sign.isdigit())
