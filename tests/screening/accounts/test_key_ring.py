"""The ring: what it lets in, what it refuses, how soon it knows, and what the use of keys leaves behind."""

from __future__ import annotations

import hashlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from screening.accounts import key_ring, key_text
from screening.accounts.key_refusals import Refusal
from screening.accounts.key_ring import KeyHolder
from screening.settings import ROOT
from tests.clock import Clock
from tests.screening.accounts.keys_fixture import TEAM, Desk

LONG = 60.0
SOON = 1.0
"""Seconds within which a change must hold everywhere."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


@pytest.fixture
def timed(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, Clock())
    yield made
    made.close()


def outcome(found: KeyHolder | Refusal) -> str:
    return found.reason if isinstance(found, Refusal) else "in"


def ask(desk: Desk, text: str, scope: str = "score", address: str = "192.0.2.1") -> str:
    return outcome(desk.ring.check(f"Bearer {text}", scope, address))


def seconds_until(expected: str, act: Callable[[], str | None]) -> float:
    """How long it takes until ``act`` says so, and keeps saying it."""
    begun = time.monotonic()
    while act() != expected:
        assert time.monotonic() - begun < 5, act()
        time.sleep(0.005)
    taken = time.monotonic() - begun
    assert all(act() == expected for _ in range(20))
    return taken


def test_a_key_lets_in_as_its_owner(desk: Desk) -> None:
    text = desk.make("score", "read")
    found = desk.ring.check(f"Bearer {text}", "read")
    assert isinstance(found, KeyHolder)
    assert (found.account.username, found.account.role, found.key_name) == ("ana", "analyst", "a program")
    assert found.scopes == {"score", "read"}
    assert outcome(desk.ring.check(f"bEARER   {text} ", "score")) == "in"
    assert text[15:] not in repr(found)
    assert "scrypt" not in repr(found)


@pytest.mark.security(14)
def test_refusals_have_their_status_and_their_header(timed: Desk) -> None:
    text = timed.make(days=1)
    ring, wrong = timed.ring, key_text.make().text
    cases = {
        "none": ring.check(None, "score"),
        "damaged": ring.check(f"Bearer {text[:-1]}_", "score"),
        "unknown": ring.check(f"Bearer {wrong}", "score"),
        "scope": ring.check(f"Bearer {text}", "read"),
        "in the address": ring.check_url(f"/results?key={text}"),
    }
    timed.clock.now += 86_400  # type: ignore[attr-defined]
    cases["expired"] = ring.check(f"Bearer {text}", "score")
    for reason, found in cases.items():
        assert isinstance(found, Refusal), reason
        assert found.reason == reason
        assert found.status == (403 if reason == "scope" else 401)
        assert found.headers()["WWW-Authenticate"].startswith('Bearer realm="fraud-screening"')
        assert found.remedy
        assert text[15:40] not in str(found.as_dict()) + str(found.headers())
    said = cases["scope"].as_dict()  # type: ignore[union-attr]
    assert said["scope"] == "read"
    assert "read" in said["what"]
    assert "error=" not in cases["none"].headers()["WWW-Authenticate"], "RFC 6750, 3.1"  # type: ignore[union-attr]


KEY = key_text.make().text


@pytest.mark.security(14)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.text(max_size=200),
        st.text(max_size=80).map("Bearer {}".format),
        st.text(st.characters(codec="latin-1"), min_size=64, max_size=64).map("Bearer {}".format),
        st.binary(max_size=90).map(lambda raw: "Bearer fsk_" + raw.decode("latin-1")),
        st.tuples(st.integers(0, 63), st.characters()).map(
            lambda given: f"Bearer {KEY[: given[0]]}{given[1]}{KEY[given[0] + 1 :]}"
        ),
    )
)
@example("Bearer " + "\ud800" * 64)
@example("Bearer " + "é" * 64)
@example("Bearer fsk_" + "\x00" * 60)
@example("Bearer " + "a" * 1_000_000)
@example("Bearer")
@example("Bearer ")
@example("Basic YTpi")
@example(f"Bearer {KEY}, Bearer {KEY}")
@example(f"Bearer {KEY}\n")
@example(f"Bearer {KEY.lower()}")
def test_a_malformed_header_is_refused_and_never_an_error(desk: Desk, header: str) -> None:
    found = desk.ring.check(header, "score", "192.0.2.1")
    assert isinstance(found, Refusal)
    assert found.status == 401
    assert all(sign.isprintable() for value in found.headers().values() for sign in value)
    desk.ring.tend()


@pytest.mark.security(14)
def test_a_right_id_with_another_secret_is_unknown_and_says_nothing_of_the_key(desk: Desk) -> None:
    text, other = desk.make(name="hush"), key_text.make().text
    body = text[:15] + other[15:58]
    forged = body + key_text.checksum(body)
    found = desk.ring.check(f"Bearer {forged}", "score")
    assert outcome(found) == "unknown"
    assert "hush" not in str(found)
    desk.keys.revoke(text, by="ada")
    desk.ring.tend()
    assert ask(desk, forged) == "unknown", "and not that it was revoked"
    assert ask(desk, text) == "revoked"


OTHER = """
import sys
from pathlib import Path
from tests.screening.accounts.keys_fixture import Desk
from screening.accounts.key_refusals import Refusal
desk = Desk(Path(sys.argv[1]))
for line in sys.stdin:
    scope, text = line.split()
    found = desk.ring.check(f"Bearer {text}", scope, "192.0.2.9")
    print(found.reason if isinstance(found, Refusal) else "in", flush=True)
desk.close()
"""


class Other:
    """A ring in another process, which is asked through a pipe."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-c", OTHER, str(folder)]
        self.process = Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True)

    def ask(self, text: str, scope: str = "score") -> str:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{scope} {text}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.wait(timeout=30) == 0


@pytest.mark.security(14)
def test_a_revoked_key_is_refused_by_another_process_within_a_second(desk: Desk) -> None:
    other = Other(desk.folder)
    taken = []
    for number in range(5):
        text = desk.make(name=f"key {number}")
        time.sleep(2 * key_ring.NEW_SECONDS)
        assert other.ask(text) == ask(desk, text) == "in"
        desk.keys.revoke(text, by="ada")
        taken.append(seconds_until("revoked", partial(other.ask, text)))
        assert seconds_until("revoked", partial(ask, desk, text)) < SOON
    assert max(taken) < SOON, taken
    other.close()


@pytest.mark.security(14)
def test_a_key_that_was_idle_is_refused_at_the_first_request_after_its_revocation(desk: Desk) -> None:
    text = desk.make()
    assert ask(desk, text) == "in"
    desk.ring.close()  # no keeper: as after a minute without a request
    time.sleep(key_ring.LOOK_SECONDS + 0.05)
    desk.keys.revoke(text, by="ada")
    assert ask(desk, text) == "revoked"


@pytest.mark.security(14)
def test_what_happens_to_the_owner_holds_for_the_key_within_a_second(desk: Desk) -> None:
    text = desk.make("score", "read", owner="mia")
    assert ask(desk, text) == "in"
    changes = [
        ({**TEAM, "mia": "auditor"}, (), "scope", "in"),
        (TEAM, (), "in", "in"),
        (TEAM, ("mia",), "owner closed", "owner closed"),
        ({**TEAM, "mia": "admin"}, (), "in", "in"),
        ({name: role for name, role in TEAM.items() if name != "mia"}, (), "owner closed", "owner closed"),
    ]
    for roles, disabled, score, read in changes:
        desk.hire(disabled=disabled, **roles)
        assert seconds_until(score, lambda: ask(desk, text)) < SOON
        assert seconds_until(read, lambda: ask(desk, text, "read")) < SOON
    said = desk.ring.check(f"Bearer {text}", "score")
    assert isinstance(said, Refusal)
    assert said.status == 401


@pytest.mark.security(14)
def test_a_new_key_is_known_at_once_and_strangers_cannot_make_the_ring_look_all_the_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        text = desk.make(name=f"key {number}")
        time.sleep(2 * key_ring.NEW_SECONDS)
        assert ask(desk, text) == "in"
    looks, whole = [], desk.ring._reload

    def reload() -> bool:
        looks.append(1)
        return whole()

    monkeypatch.setattr(desk.ring, "_reload", reload)
    begun, strangers = time.monotonic(), [key_text.make().text for _ in range(2_000)]
    for stranger in strangers:
        assert ask(desk, stranger) == "unknown"
    taken = time.monotonic() - begun
    assert len(looks) <= 2 + taken / key_ring.NEW_SECONDS + taken / key_ring.KEEPER_SECONDS


@pytest.mark.security(14)
def test_a_key_expires_at_once(timed: Desk) -> None:
    text, ever = timed.make(days=1), timed.make(name="for ever", days=None)
    timed.clock.now += 86_400 - 0.001  # type: ignore[attr-defined]
    assert ask(timed, text) == "in"
    timed.clock.now += 0.001  # type: ignore[attr-defined]
    assert ask(timed, text) == "expired"
    timed.clock.now += 20 * 365 * 86_400  # type: ignore[attr-defined]
    assert ask(timed, ever) == "in"


def test_a_row_that_was_changed_by_hand_is_seen_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "REREAD_SECONDS", 0.3)
    text = desk.make()
    assert ask(desk, text) == "in"
    with desk.database.engine.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql("UPDATE api_keys SET revoked = 1.0, revoked_by = 'a hand'")
    assert seconds_until("revoked", lambda: ask(desk, text)) < SOON


@pytest.mark.security(14)
def test_without_the_accounts_or_the_database_nothing_is_let_in(desk: Desk) -> None:
    text = desk.make()
    assert ask(desk, text) == "in"
    away = desk.users_file.rename(desk.folder / "away")
    assert seconds_until("unavailable", lambda: ask(desk, text)) < SOON
    found = desk.ring.check(f"Bearer {text}", "score")
    assert isinstance(found, Refusal)
    assert (found.status, found.headers()) == (503, {"Retry-After": "1"})
    away.rename(desk.users_file)
    assert seconds_until("in", lambda: ask(desk, text)) < SOON
    with desk.database.engine.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE api_keys RENAME TO gone")
    assert seconds_until("unavailable", lambda: ask(desk, text)) < SOON
    with desk.database.engine.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO api_keys")
    assert seconds_until("in", lambda: ask(desk, text)) < SOON


def test_a_store_that_hangs_does_not_let_old_knowledge_in(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = desk.make()
    assert ask(desk, text) == "in"
    with desk.ring._turn:  # as long as somebody waits for the database
        monkeypatch.setattr(key_ring, "LOOK_SECONDS", -1.0)
        monkeypatch.setattr(key_ring, "OLDEST_SECONDS", LONG)
        assert ask(desk, text) == "in", "young enough, and nobody waits"
        monkeypatch.setattr(key_ring, "OLDEST_SECONDS", -1.0)
        assert ask(desk, text) == "unavailable"
    monkeypatch.undo()
    assert seconds_until("in", lambda: ask(desk, text)) < SOON


def test_a_check_costs_some_microseconds(desk: Desk) -> None:
    """3.8 µs on a quiet machine, seven times the SHA-256 in it; the bound leaves room for a loaded one."""
    if sys.gettrace() is not None:
        pytest.skip("what traces each line, as coverage does, costs more than the check: run make test")
    text = desk.make(per_minute=10_000_000, burst=1_000_000)
    header, data = f"Bearer {text}", text.encode()
    assert ask(desk, text) == "in"
    ratios = []
    for _ in range(15):
        begun = time.thread_time()
        for _ in range(2_000):
            desk.ring.check(header, "score", "192.0.2.1")
        middle = time.thread_time()
        for _ in range(2_000):
            hashlib.sha256(data).digest()
        ratios.append((middle - begun) / (time.thread_time() - middle))
    assert statistics.median(ratios) < 20, ratios


def test_the_keeper_ends_when_nobody_asks_and_begins_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr("screening.accounts.key_usage.EVERY_SECONDS", 0.0)
    text = desk.make()
    assert ask(desk, text) == "in"
    first = desk.ring._keeper
    assert first is not None
    first.join(timeout=5)
    assert not first.is_alive()
    assert desk.keys.all()[0].last_used is not None, "it wrote before it ended"
    assert ask(desk, text) == "in"
    assert desk.ring._keeper is not first


def test_a_ring_that_is_forgotten_takes_its_keeper_along(desk: Desk) -> None:
    text = desk.make()
    ring = desk.new_ring()
    assert outcome(ring.check(f"Bearer {text}", "score")) == "in"
    keeper = ring._keeper
    del ring
    assert keeper is not None
    keeper.join(timeout=5)
    assert not keeper.is_alive()


# ---- the last use and the networks


def test_the_last_use_is_written_at_most_once_a_minute(timed: Desk) -> None:
    text, begun = timed.make(per_minute=100_000, burst=1000), timed.clock.now  # type: ignore[attr-defined]
    seen = set()
    for second in range(0, 185, 5):
        timed.clock.now = begun + second  # type: ignore[attr-defined]
        assert ask(timed, text) == "in"
        timed.ring.tend()
        last = timed.keys.all()[0].last_used
        assert last is not None
        seen.add(round(last.timestamp() - begun))
    assert seen == {0, 60, 120, 180}


def test_a_last_use_that_could_not_be_written_is_written_later(timed: Desk) -> None:
    text = timed.make()
    with timed.database.engine.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE api_key_networks RENAME TO gone")
    assert ask(timed, text) == "in"
    timed.ring.tend()
    assert timed.keys.all()[0].last_used is None, "the transaction is one"
    with timed.database.engine.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO api_key_networks")
    timed.clock.now += 2  # type: ignore[attr-defined]
    timed.ring.tend()
    assert timed.keys.all()[0].last_used is not None
    assert [line["event"] for line in timed.audit()] == ["key_new_network"]


def test_processes_and_threads_that_use_one_key_at_once_write_a_later_time_and_one_network(
    desk: Desk,
) -> None:
    text = desk.make(per_minute=1_000_000, burst=10_000)
    others = [Other(desk.folder) for _ in range(2)]
    begun = time.time()

    def many(asked: Callable[[str], str | None], times: int) -> list[str | None]:
        return [asked(text) for _ in range(times)]

    with ThreadPoolExecutor(6) as pool:
        pending = [pool.submit(many, partial(ask, desk), 200) for _ in range(4)]
        pending += [pool.submit(many, one.ask, 50) for one in others]
        assert {word for done in pending for word in done.result()} == {"in"}
    for one in others:
        one.close()
    desk.ring.close()
    last = desk.keys.all()[0].last_used
    assert last is not None
    assert begun - 1 <= last.timestamp() <= time.time()
    found = [line["address"] for line in desk.audit() if line["event"] == "key_new_network"]
    assert sorted(found) == ["192.0.2.1", "192.0.2.9"]


@pytest.mark.security(33)
def test_the_first_use_from_another_network_is_in_the_audit_log(desk: Desk) -> None:
    text = desk.make(name="core", burst=1000)
    for address in ("192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2", "198.51.100.7"):
        assert ask(desk, text, address=address) == "in"
    desk.ring.close()
    again = desk.new_ring()
    for address in ("192.0.2.1", "2001:db8::ffff"):
        assert outcome(again.check(f"Bearer {text}", "score", address)) == "in"
    again.close()
    lines = [line for line in desk.audit() if line["event"] == "key_new_network"]
    assert [line["address"] for line in lines] == ["192.0.2.1", "2001:db8::1", "198.51.100.7"]
    assert {(line["user"], line["key"], line["key_name"]) for line in lines} == {("ana", text[4:14], "core")}
    assert text[15:] not in str(desk.audit())


def test_networks_of_a_key_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screening.accounts.key_usage.MOST_NETWORKS", 5)
    monkeypatch.setattr("screening.accounts.key_usage.MOST_ADDRESSES", 3)
    text = desk.make(burst=1000)
    for number in range(20):
        assert ask(desk, text, address=f"192.0.2.{number}") == "in"
    desk.ring.close()
    with desk.database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM api_key_networks").scalar() == 5


@pytest.mark.security(33)
def test_refusals_are_told_in_sums_and_not_one_by_one(timed: Desk) -> None:
    text = timed.make(name="core", per_minute=1, burst=1)
    forged = text[:-1] + ("a" if text[-1] != "a" else "b")
    for _ in range(300):
        ask(timed, text)
        ask(timed, forged)
        timed.ring.check(None, "score", "192.0.2.1")  # nobody's key: nothing to tell
    timed.ring.tend()
    for _ in range(50):
        ask(timed, forged)
    timed.ring.tend()
    lines = [line for line in timed.audit() if line["event"] == "key_refused"]
    assert sorted((line["reason"], line["count"]) for line in lines) == [("damaged", 300), ("throttled", 299)]
    assert {(line["key"], line["key_name"], line["address"]) for line in lines} == {
        (text[4:14], "core", "192.0.2.1")
    }
    timed.clock.now += 61  # type: ignore[attr-defined]
    timed.ring.tend()
    lines = [line for line in timed.audit() if line["event"] == "key_refused"]
    assert [(line["reason"], line["count"]) for line in lines[2:]] == [("damaged", 50)]
    assert text[15:50] not in str(timed.audit())


def test_a_flood_of_wrong_keys_from_everywhere_stays_bounded(
    timed: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.accounts.key_usage.MOST_KINDS", 10)
    for number in range(200):
        ask(timed, key_text.make().text, address=f"192.0.2.{number}")
    timed.ring.tend()
    lines = [line for line in timed.audit() if line["event"] == "key_refused"]
    assert len(lines) == 11
    assert sum(line["count"] for line in lines) == 200
    assert max(line["count"] for line in lines) == 190
