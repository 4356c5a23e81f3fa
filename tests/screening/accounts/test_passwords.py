"""What a password may be, and how its hash is kept."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.security import generate_password_hash

from screening.accounts import passwords
from screening.accounts.passwords import Hasher, WeakPassword, check_new, is_common

FAST = Hasher("scrypt:1024:8:1")
NAMES = ("hamiltonia", "m.hamilton@bank.example")


@pytest.mark.real_hashes
@pytest.mark.security(1)
def test_a_new_hash_is_scrypt_at_the_floor() -> None:
    assert Hasher().hash("seven rivers, one boat").startswith("scrypt:32768:8:3$")


@pytest.mark.real_hashes
@pytest.mark.security(1)
@pytest.mark.parametrize(
    ("method", "weak"),
    [
        ("scrypt:32768:8:3", False),
        ("scrypt:131072:8:1", False),
        ("scrypt:65536:8:2", False),
        ("scrypt:32768:8:1", True),
        ("scrypt:16384:8:1", True),
        ("scrypt:131072:1:1", True),
        ("scrypt", True),
        ("pbkdf2:sha256:1000000", True),
        ("md5", True),
        ("", True),
    ],
)
def test_a_hash_below_the_floor_is_known_as_weak(method: str, weak: bool) -> None:
    assert Hasher().is_weak(f"{method}$salt$00") is weak


@pytest.mark.security(2)
@pytest.mark.parametrize("length", [1, 11])
def test_a_short_password_is_refused_and_the_least_length_named(length: int) -> None:
    with pytest.raises(WeakPassword, match="at least 12"):
        check_new("wandering otters"[:length], minimum=12)


@pytest.mark.security(2)
def test_twelve_and_128_characters_pass_and_129_do_not() -> None:
    long = ("forty-two quiet otters " * 9)[:128]
    check_new("wan-dert-ott", minimum=12)
    check_new(long, minimum=12)
    with pytest.raises(WeakPassword, match="at most 128"):
        check_new(long + "x", minimum=12)


@pytest.mark.security(2)
@pytest.mark.parametrize(
    "password", ["  spaces at both ends  ", "🦦🚲🌧️🥾🗻🧊🧵🪁🛶🏕️🌵🦔", "ключ от старой лодки", "тире — и…"]
)
def test_spaces_emoji_and_other_scripts_are_taken(password: str) -> None:
    check_new(password, minimum=8)
    assert FAST.check(FAST.hash(password), password)


@pytest.mark.security(2)
@settings(max_examples=40, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=128),
    st.data(),
)
def test_every_character_counts(password: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(password) - 1))
    other = password[:at] + ("x" if password[at] != "x" else "y") + password[at + 1 :]
    kept = FAST.hash(password)
    assert FAST.check(kept, password)
    if unicodedata.normalize("NFC", other) != unicodedata.normalize("NFC", password):
        assert not FAST.check(kept, other)
    assert not FAST.check(kept, password + "\0")


@pytest.mark.security(2)
def test_an_accent_typed_as_one_sign_or_as_two_is_the_same_password() -> None:
    assert FAST.check(FAST.hash("cafe\u0301 au lait noir"), "caf\u00e9 au lait noir")


@pytest.mark.security(2)
def test_the_list_of_common_passwords_holds_three_thousand_that_are_long_enough_to_matter() -> None:
    long = [word for word in passwords._common() if len(word) >= 12]
    assert len(long) >= 3000
    assert all(is_common(word) for word in passwords._common())


@pytest.mark.security(2)
@pytest.mark.parametrize(
    "password",
    [
        "password1234",
        "Password123!",
        "P@ssw0rd2026!",
        "passwordpassword",
        "123456789012",
        "098765432109",
        "qwertyuiop12",
        "qwerty123456",
        "1q2w3e4r5t6y",
        "q1w2e3r4t5y6",
        "1qaz2wsx3edc",
        "zaq12wsxcde3",
        "qwe123qwe123",
        "asdfghjkl123",
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "112233445566",
        "iloveyou1234",
        "letmein12345",
        "Welcome2026!!",
        "trustno1trustno1",
        "administrator",
        "changeme1234",
        "christopher1",
        "basketball12",
        "unbelievable",
        "abcdefghijkl",
        "147258369147",
        "!!!monkey!!!!",
        "liverpool2025",
        "monkeymonkey",
        "adminadmin123",
    ],
)
def test_what_guessers_try_first_is_refused(password: str) -> None:
    with pytest.raises(WeakPassword, match="guessers"):
        check_new(password, minimum=12)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "a long river of words 7",
        "violet-kettle-rain-42",
        "monkey7f$9Kq2!xZ",
        "Xk29-fjqw-0981",
        "hamiltonia walks to the harbour",
        "the screening of old films",
    ],
)
def test_a_password_with_something_of_its_own_is_taken(password: str) -> None:
    check_new(password, minimum=12, names=NAMES)


@pytest.mark.security(2)
@pytest.mark.parametrize(
    "password",
    [
        "hamiltonia-hamiltonia",
        "Hamiltonia-12345",
        "m.hamilton-2026",
        "m.hamilton@bank.example",
        "fraudscreening",
        "Fraud Screening 1",
    ],
)
def test_the_username_the_address_and_the_product_are_refused(password: str) -> None:
    with pytest.raises(WeakPassword, match="name that anybody can see"):
        check_new(password, minimum=12, names=NAMES)


@pytest.mark.security(7)
@pytest.mark.parametrize(
    "kept",
    [
        "",
        "nonsense",
        "md5:x$y$z",
        "scrypt:0:8:1$salt$00",
        "scrypt:32768:8$salt$00",
        "scrypt:x:y:z$salt$00",
        "$$",
        "pbkdf2:$a$b",
        "scrypt:1099511627776:8:1$salt$00",
        "pbkdf2:sha256:-1$salt$00",
        "pbkdf2:nothing:1$salt$00",
        "argon2$salt$00",
    ],
)
def test_a_malformed_hash_fits_nothing_and_is_logged(kept: str, caplog: pytest.LogCaptureFixture) -> None:
    assert not FAST.check(kept, "whatever it was", whose="mallory")
    for line in caplog.messages:
        assert "mallory" in line
        assert "whatever" not in line


@pytest.mark.security(7)
def test_an_unknown_method_leaves_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert not FAST.check("rot13$salt$uryyb", "hello", whose="mallory")
    assert "the password hash of 'mallory' in users.txt can't be used" in caplog.text


def test_a_hash_of_another_method_still_fits_its_password() -> None:
    assert FAST.check(generate_password_hash("an old one", "pbkdf2:sha256:1000"), "an old one")


def test_one_time_passwords_pass_the_rules_and_differ() -> None:
    made = {passwords.one_time() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        check_new(password, minimum=12)
