"""Sessions on the server: how long they last and what ends them."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from screening.accounts.sessions import LONGEST_SECONDS, SKEW_SECONDS, SessionRow, SessionStore, proof_of
from screening.accounts.users_text import Account
from screening.infra.database import Database
from tests.clock import Clock

pytestmark = pytest.mark.both_databases

ADA = Account("ada", "ada@bank.example", "scrypt:32768:8:3$salt$00", "manager")
IDLE = 15 * 60


@pytest.fixture
def clock() -> Clock:
    return Clock(1_700_000_000.0)


@pytest.fixture
def store(database: Database, clock: Clock) -> SessionStore:
    return SessionStore(database, IDLE, clock)


def use(store: SessionStore, token: str) -> None:
    found = store.find(token)
    assert found is not None
    store.touch(token, found)


@pytest.mark.security(10)
def test_a_token_has_256_random_bits_and_only_its_digest_is_kept(
    store: SessionStore, database: Database
) -> None:
    tokens = {store.begin(ADA) for _ in range(20)}
    assert len(tokens) == 20
    assert all(len(base64.urlsafe_b64decode(token + "=")) == 32 for token in tokens)
    with database.read() as session:
        rows = session.scalars(select(SessionRow)).all()
    kept = " ".join(f"{row.digest} {row.proof} {row.data}" for row in rows)
    assert not any(token in kept for token in tokens)
    assert ADA.password_hash not in kept


@pytest.mark.security(10)
def test_an_idle_session_ends_after_fifteen_minutes(store: SessionStore, clock: Clock) -> None:
    token = store.begin(ADA)
    clock.now += IDLE - 1
    use(store, token)
    clock.now += IDLE - 1
    assert store.find(token) is not None
    clock.now += 2
    assert store.find(token) is None


@pytest.mark.security(10)
def test_a_busy_session_ends_after_twelve_hours(store: SessionStore, clock: Clock) -> None:
    token = store.begin(ADA)
    for _ in range(int(LONGEST_SECONDS // 600)):
        clock.now += 600
        use(store, token)
    clock.now += 1
    assert store.find(token) is None


@pytest.mark.security(10)
@pytest.mark.security(59)
@pytest.mark.parametrize("column", ["created", "last_seen"])
def test_a_session_from_the_future_is_none(
    store: SessionStore, clock: Clock, database: Database, column: str
) -> None:
    token = store.begin(ADA)
    for ahead, counts in ((SKEW_SECONDS / 2, True), (365 * 86_400.0, False)):
        with database.write() as session:
            session.execute(update(SessionRow).values({column: clock.now + ahead}))
        assert (store.find(token) is not None) == counts


@pytest.mark.security(10)
def test_an_ended_session_is_not_revived_by_a_request_that_was_under_way(
    store: SessionStore, clock: Clock
) -> None:
    token = store.begin(ADA)
    found = store.find(token)
    assert found is not None
    store.end(token)
    clock.now += 60
    store.touch(token, found)
    assert store.find(token) is None


def test_all_sessions_of_one_account_end_together(store: SessionStore) -> None:
    first, second = store.begin(ADA), store.begin(ADA, must_change=True)
    other = store.begin(replace(ADA, username="bo"))
    found = [store.find(token) for token in (first, second, other)]
    assert [one and (one.username, one.must_change) for one in found] == [
        ("ada", False),
        ("ada", True),
        ("bo", False),
    ]
    assert store.end_all("Ada") == 2  # as the operator writes it by now
    assert (store.find(first), store.find(second)) == (None, None)
    assert store.find(other) is not None


@pytest.mark.security(10)
def test_the_proof_changes_with_password_and_role_only() -> None:
    assert proof_of(ADA) != proof_of(replace(ADA, password_hash="scrypt:32768:8:3$salt$01"))
    assert proof_of(ADA) != proof_of(replace(ADA, role="admin"))
    assert proof_of(ADA) == proof_of(replace(ADA, email="other@bank.example"))


def test_rows_that_are_too_old_are_cleared(store: SessionStore, clock: Clock, database: Database) -> None:
    store.begin(ADA)
    clock.now += LONGEST_SECONDS + 1
    store.begin(ADA)
    with database.read() as session:
        assert len(session.scalars(select(SessionRow)).all()) == 1


@pytest.mark.security(56)
def test_an_account_has_so_many_sessions_and_another_one_ends_the_longest_idle(
    database: Database, clock: Clock
) -> None:
    store = SessionStore(database, IDLE, clock, most=3)
    other = store.begin(replace(ADA, username="bob"))
    tokens = []
    for _ in range(3):
        clock.now += 60
        tokens.append(store.begin(ADA))
    clock.now += 60
    use(store, tokens[0])
    tokens.append(store.begin(ADA))
    assert [store.find(token) is not None for token in tokens] == [True, False, True, True]
    assert store.find(other) is not None
