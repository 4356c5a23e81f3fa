"""The text of users.txt: what is read, what is reported, and what comes back unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.accounts.users_text import ROLES, Account, UsersText, write

HASH = "scrypt:32768:8:3$abcdefgh$" + "0" * 128
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True)
accounts = st.builds(
    Account,
    username=names,
    email=names.map(lambda name: f"{name}@bank.example"),
    password_hash=st.just(HASH),
    role=st.sampled_from(ROLES),
    active=st.booleans(),
)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_and_come_back_unchanged(data: bytes) -> None:
    assert bytes(UsersText.parse(data)) == data


@given(
    st.lists(accounts, max_size=8, unique_by=lambda account: account.username.casefold()),
    st.sampled_from(["\n", "\r\n"]),
)
def test_written_accounts_are_read_again(made: list[Account], ending: str) -> None:
    text = UsersText.parse("".join(write(account) + ending for account in made).encode())
    assert list(text.accounts) == made
    assert text.problems == ()


@given(
    st.lists(
        st.sampled_from(["# note", "", "   ", "not a line", "ana,ana@bank.example," + HASH]), max_size=8
    ),
    accounts,
)
def test_adding_changes_nothing_that_is_there(lines: list[str], account: Account) -> None:
    data = "\r\n".join(lines).encode()
    after = bytes(UsersText.parse(data).adding(account))
    assert after.startswith(data)
    assert write(account).encode() in after[len(data) :]


@pytest.mark.security(17)
def test_a_byte_order_mark_crlf_blank_lines_and_comments_are_read_and_kept() -> None:
    data = b"\xef\xbb\xbf# people\r\n\r\nana,ana@bank.example," + HASH.encode() + b",manager  # on leave\r\n"
    text = UsersText.parse(data)
    (ana,) = text.accounts
    assert (ana.username, ana.role, ana.active) == ("ana", "manager", True)

    changed = bytes(
        text.changing(Account("ana", ana.email, HASH, "admin")).adding(Account("bo", "bo@x.example", HASH))
    )
    assert changed.startswith(b"\xef\xbb\xbf# people\r\n\r\nana,")
    assert b",admin,active  # on leave\r\nbo," in changed
    assert changed.endswith(b"analyst,active\r\n")


@pytest.mark.security(17)
def test_each_bad_line_is_reported_by_its_number_and_the_others_serve() -> None:
    lines = [
        b"# fine",
        b"only two,fields",
        b"ana,ana@bank.example," + HASH.encode(),
        b"b\xc3\xb6b,bob@bank.example," + HASH.encode(),
        b"cy,no address," + HASH.encode(),
        b"dee,dee@bank.example,",
        b"eli,eli@bank.example," + HASH.encode() + b",emperor",
        b"fay,fay@bank.example," + HASH.encode() + b",analyst,asleep",
        b"\xff\xfe latin or worse",
        b"ANA,other@bank.example," + HASH.encode(),
        b"gus,gus@bank.example," + HASH.encode() + b",analyst,active,more",
        b"hal,hal@bank\x00.example," + HASH.encode(),
        b"ida,ida@bank.example," + HASH.encode() + b",auditor,disabled",
    ]
    text = UsersText.parse(b"\n".join(lines))

    assert [(account.username, account.active) for account in text.accounts] == [
        ("ana", True),
        ("ida", False),
    ]
    assert [problem.number for problem in text.problems] == [2, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert "stands on line 3" in str(text.problems[7])
    assert not any("scrypt" in str(problem) for problem in text.problems)


@pytest.mark.parametrize("bare", ["hunter2", "pa$word", "with#sign", "$5 for lunch", "a$b"])
def test_a_line_of_the_old_format_is_seen_as_such(bare: str) -> None:
    (line,) = UsersText.parse(f"ana,ana@bank.example,{bare}\n".encode()).lines
    assert line.bare
    assert line.account is not None
    assert line.account.password_hash == bare


@pytest.mark.security(7)
@pytest.mark.parametrize(
    "damaged",
    ["scrypt:32768:8:3$nosecondpart", "rot13$salt$abc", "pbkdf2:sha256:1", "$2b$12$abc", "{SSHA}abc"],
)
def test_a_damaged_hash_is_not_taken_for_a_password_in_the_clear(damaged: str) -> None:
    (line,) = UsersText.parse(f"ana,ana@bank.example,{damaged}\n".encode()).lines
    assert not line.bare


def test_a_password_in_the_clear_before_a_comment_is_not_guessed() -> None:
    text = UsersText.parse(b"ana,ana@bank.example,secret # or is this part of it\n")
    assert text.accounts == ()
    assert "can't be told" in str(text.problems[0])


@pytest.mark.security(17)
def test_a_file_of_bad_lines_is_not_an_empty_one() -> None:
    assert UsersText.parse(b"# nobody yet\n\n").is_empty
    assert not UsersText.parse(b"damaged\n").is_empty


@pytest.mark.security(17)
def test_a_file_whose_lines_end_in_carriage_returns_alone_is_not_an_empty_one() -> None:
    """Its first line is a comment, and so all of it would be."""
    text = UsersText.parse(b"# people\rana,ana@bank.example," + HASH.encode() + b",admin,active\r")
    assert not text.is_empty
    assert [str(problem) for problem in text.problems] == [
        "line 1: lines that end in a carriage return alone; save the file with LF or CRLF"
    ]
