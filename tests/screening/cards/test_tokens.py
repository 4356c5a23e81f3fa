"""Tokens: the same one for the same card, another one for another key, and no way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.cards.finding import passes_luhn
from screening.cards.tokens import TOKEN, Tokens

TOKENS = Tokens(b"s" * 32, "5e")


def number(prefix: str, rest: str, length: int) -> str:
    stem = (prefix + rest)[: length - 1]
    return next(stem + digit for digit in "0123456789" if passes_luhn(stem + digit))


NUMBERS = st.one_of(
    st.builds(number, st.sampled_from(["4", "51", "55", "2221", "2720", "6011", "62", "50"]),
              st.text("0123456789", min_size=16, max_size=16), st.just(16)),
    st.builds(number, st.sampled_from(["34", "37"]), st.text("0123456789", min_size=16, max_size=16), st.just(15)),
)  # fmt: skip
BETWEEN = st.sampled_from(["", " ", "-", ".", "_", "\u00a0", "\u202f", "\u2009", "–", " - ", "\u2011", "·"])


@st.composite
def writings(draw: st.DrawFn) -> tuple[str, str]:
    """A card's number, and one of its writings as a cell."""
    digits = draw(NUMBERS)
    sizes = draw(st.sampled_from([(4, 4, 4, 4), (4, 6, 5), (8, 8), (6, 10), (16,)]))
    parts, at = [], 0
    for size in (*sizes[:-1], len(digits)):
        parts.append(digits[at : at + size])
        at += size
    between = draw(BETWEEN)
    if between == "." and sum(map(bool, parts)) == 2:
        between = " "  # 41111111.11111111 is a number with a fraction
    text = between.join(part for part in parts if part)
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    bare = draw(st.sampled_from([text, text.translate(wide)]))
    around = draw(st.sampled_from(["{}", " {} ", "'{}", '="{}"', "\t{}\n"]))
    if draw(st.booleans()):
        bare = draw(
            st.sampled_from([f"{digits}.0", f"{digits}.00", f"{digits[0]}.{digits[1:]}E+{len(digits) - 1}"])
        )
        around = "{}"
    return digits, around.format(bare)


@pytest.mark.security(54)
@given(writings())
def test_a_card_has_one_token_however_it_is_written(written: tuple[str, str]) -> None:
    digits, cell = written
    assert TOKENS.replaced(cell) == TOKENS.token(digits)


@given(writings(), st.sampled_from(["{}|12|27", "card {} exp 12/27", "paid: {}", "{} 12/27"]))
def test_in_a_text_the_rest_stays(written: tuple[str, str], frame: str) -> None:
    digits, cell = written
    if "E+" in cell or digits + "." in cell or not frame.format(cell).strip():
        return
    before, _, after = frame.partition("{}")
    found = TOKENS.replaced(frame.format(cell))
    assert TOKENS.token(digits) in found
    assert found.startswith(before)
    assert found.endswith(after)
    assert digits[:-4] not in found


def test_the_form_of_a_token() -> None:
    token = TOKENS.token("4111111111111111")
    assert TOKEN.fullmatch(token)
    assert token.endswith("_1111")
    assert TOKENS.replaced(token) == token
    assert TOKENS.replaced("unknown") == "unknown"
    assert TOKENS.replaced("") == ""


def test_a_number_with_a_slip_is_no_number_that_stays() -> None:
    assert TOKENS.replaced("4111111111111112") == TOKENS.token("4111111111111112")
    assert TOKENS.replaced("4111 1111 1111 1112") == TOKENS.token("4111111111111112")


def test_two_numbers_in_a_cell_get_two_tokens() -> None:
    first, second = "4111111111111111", "378282246310005"
    assert TOKENS.replaced(f"{first} and {second}") == f"{TOKENS.token(first)} and {TOKENS.token(second)}"


def test_bytes_that_are_a_text_get_the_token_of_the_text() -> None:
    """Parquet of older programs doesn't say that its bytes are texts: they are read as hexadecimal digits."""
    number = "4012-8888-8888-1881"
    assert TOKENS.replaced(f"0x{number.encode().hex()}") == TOKENS.replaced(number)
    for other in ("paid", "4012", "ü 4012888888881881"):
        assert TOKENS.replaced(f"0x{other.encode().hex()}") == f"0x{other.encode().hex()}"
