"""The tail keeps what it has acknowledged: once, also when many write at once, and a bad entry harms no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from screening.infra import postgresql
from screening.infra.database import DriverWrite
from screening.ledger import tail
from screening.ledger.ledger import Ledger
from screening.ledger.tables import IdempotentAnswer, TailRow
from screening.ledger.tail import Entry, Kept, OtherRequest, Repeatable
from tests.postgres_server import Postgres

pytestmark = pytest.mark.both_databases


@pytest.fixture
def ledger(tmp_path: Path, database_url: str) -> Iterator[Ledger]:
    made = Ledger.open(tmp_path, database_url)
    yield made
    made.tables.engine.dispose()


def entry(number: int, key: str | None = None, body: bytes = b"body") -> Entry:
    kept = Kept(1, {"origin": "00" * 12, "owner": "ana"}, {"number": [number]}, [{"a": number}])
    request = None if key is None else Repeatable("ana", key, body)
    return Entry.of("ana", kept, f"answer {number}".encode(), request)


def numbers(ledger: Ledger) -> list[int]:
    with ledger.tables.read() as session:
        found: list[int] = ledger.sealing.rows(session)["number"].to_pylist()
    return sorted(found)


def test_one_key_twice_in_one_commit_counts_once(ledger: Ledger) -> None:
    found = ledger.tail.add([entry(1, "b"), entry(2, "a"), entry(3, "b"), entry(4), entry(5, "a", b"other")])
    assert found[:4] == [b"answer 1", b"answer 2", b"answer 1", b"answer 4"]
    assert isinstance(found[4], OtherRequest)
    assert numbers(ledger) == [1, 2, 4]
    assert ledger.tail.answered(Repeatable("ana", "b", b"body")) == b"answer 1"
    assert ledger.tail.answered(Repeatable("mia", "b", b"body")) is None
    with pytest.raises(OtherRequest):
        ledger.tail.answered(Repeatable("ana", "b", b"another"))


def test_an_entry_that_cant_be_written_harms_no_other(ledger: Ledger) -> None:
    broken: Any = Entry(None, 1, b"{}", b"answer")  # type: ignore[arg-type]
    found = ledger.tail.add([entry(1, "a"), broken, entry(2)])
    assert found[0] == b"answer 1"
    assert isinstance(found[1], Exception)
    assert found[2] == b"answer 2"
    assert numbers(ledger) == [1, 2]
    with ledger.tables.read() as session:
        assert len(session.scalars(select(IdempotentAnswer)).all()) == 1


def test_many_threads_of_several_processes_lose_and_double_nothing(
    ledger: Ledger, tmp_path: Path, database_url: str
) -> None:
    ledgers = [ledger, Ledger.open(tmp_path, database_url, "normal")]
    answers: dict[int, bytes | Exception] = {}

    def write(thread: int) -> None:
        for number in range(thread * 100, thread * 100 + 20):
            (answers[number],) = ledgers[thread % 2].tail.add([entry(number, f"key {number % 100}")])

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = numbers(ledger)
    assert len(kept) == 20  # each key once, whoever came first
    for number, answer in answers.items():
        (first,) = [each for each in kept if each % 100 == number % 100]
        assert answer == f"answer {first}".encode()
    with ledger.tables.read() as session:
        assert len(session.scalars(select(TailRow)).all()) == 20


def test_a_commit_that_says_nothing_for_too_long_is_ended_and_made_once_more(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """So long others would wait for a host that is cut off. A slow one has as long as it takes the second time."""
    monkeypatch.setattr(postgresql, "BRIEF_MILLISECONDS", 20)
    name = postgres.new()
    ledger = Ledger.open(tmp_path, postgres.url(name))
    quick = tail.first_answer

    def slow(write: DriverWrite, *given: Any) -> bytes | OtherRequest | None:
        write.one(text("SELECT pg_sleep(0.1)"), {})  # the server works, which is no silence
        time.sleep(0.1)
        return quick(write, *given)

    monkeypatch.setattr(tail, "first_answer", slow)
    assert ledger.tail.add([entry(1, "a"), entry(2)]) == [b"answer 1", b"answer 2"]
    assert "a commit is made once more: the database had ended that of 2 requests" in caplog.text
    assert numbers(ledger) == [1, 2]
    ledger.tables.engine.dispose()
    postgres.drop(name)


def test_values_stand_in_a_segment_as_they_came(ledger: Ledger) -> None:
    values = [{"a": 0.1, "Ä": "“x”\\", "n": 10**30}, {"a": -0.0, "l": [1, {"b": None}]}]
    kept = Kept(2, {"origin": "00" * 12, "owner": "ana"}, {"number": [0, 1], "label": [1, None]}, values)
    ledger.tail.add([Entry.of("ana", kept, b"")])
    with ledger.tables.read() as session:
        table = ledger.sealing.rows(session)
    assert table["values"].to_pylist() == [
        '{"a":0.1,"Ä":"“x”\\\\","n":1000000000000000000000000000000}',
        '{"a":-0.0,"l":[1,{"b":null}]}',
    ]
    assert table["label"].to_pylist() == [1, None]
    assert table["owner"].to_pylist() == ["ana", "ana"]
    assert table["device"].to_pylist() == [None, None]
