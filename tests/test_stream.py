"""Transactions of a Kafka topic: the API's decisions, each message answered, none kept twice, whatever dies."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from screening.accounts.users_text import Account
from screening.errors import BadSetting
from screening.ledger.tail import Tail
from screening.settings import ROOT, Settings
from screening.streams.messages import MessageReader
from screening.streams.options import StreamOptions
from screening.streams.stream import Stream, StreamServices
from screening.web.api.streaming import StreamDesk
from screening.web.services import Services
from tests.kafka_broker import Broker, broker
from tests.served import PASSWORD

__all__ = ["broker"]  # a fixture
Row = dict[str, Any]
SECONDS = 120.0
# A member that was killed is missed after so long, and by the tests' broker also one that has left.
QUICK = {
    "session.timeout.ms": "3000",
    "heartbeat.interval.ms": "500",
    "reconnect.backoff.max.ms": "500",
}
CARD_NUMBER = "4111111111111111"


def sample(name: str) -> list[Row]:
    folder = ROOT / "model" / "detectors" / name
    file = ROOT / "transactions_data.csv" if name == "card" else folder / "sample.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        return [
            {key: number_of(cell) for key, cell in row.items()} for row in list(csv.DictReader(lines))[:40]
        ]


def number_of(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell


def cards(count: int) -> list[Row]:
    """So many card transactions, no two the same."""
    rows = sample("card")
    return [{**rows[number % len(rows)], "Time": float(number)} for number in range(count)]


def sent(rows: Sequence[Row]) -> list[tuple[str | None, bytes]]:
    return [(f"pay-{number}", json.dumps(row).encode()) for number, row in enumerate(rows)]


@pytest.fixture
def mia(services: Services) -> Account:
    """A manager."""
    services.users.add("mia", "mia@bank.example", PASSWORD, role="manager")
    found = services.users.get("mia")
    assert found is not None
    return found


@pytest.fixture
def options(broker: Broker, mia: Account) -> StreamOptions:
    topic = broker.topic()
    return StreamOptions(
        brokers=broker.address,
        topic=topic,
        decisions=f"{topic}.decisions",
        rejected=f"{topic}.rejected",
        account=mia.username,
        group=f"of {topic}",
        more=QUICK,
    )


def stream_of(services: Services, options: StreamOptions) -> Stream:
    desk = StreamDesk(services, options.account)
    work = StreamServices(decide=desk.decide, word=desk.word, database=services.database, secret=b"k" * 32)
    return Stream(options, work)


@contextmanager
def running(services: Services, options: StreamOptions) -> Iterator[Stream]:
    """A stream that goes on in a thread of its own."""
    made = stream_of(services, options)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.stop()
        thread.join(SECONDS)
        assert not thread.is_alive()


def until_end(services: Services, options: StreamOptions) -> Stream:
    made = stream_of(services, options)
    made.run(until_end=True)
    return made


def wait_until(there: Any) -> None:
    deadline = time.monotonic() + SECONDS
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def keys(broker: Broker, options: StreamOptions) -> set[bytes]:
    """Keys of the messages that are answered."""
    return {each.key() for each in broker.read(options.decisions, 0)}


def decided(services: Services) -> int:
    """Rows of the ledger."""
    services.ledger.sealing.seal()
    return sum(each.rows for each in services.ledger.segments.all())


def without_id(answer: bytes) -> Row:
    found: Row = json.loads(answer)
    assert found.pop("id")
    return found


@pytest.mark.parametrize("name", ["card", "payments"])
def test_decisions_are_the_apis(
    app: Flask, services: Services, broker: Broker, options: StreamOptions, name: str
) -> None:
    velocity, detector = services.ledger.velocity, services.detectors.get(name)

    def forget() -> None:
        """As if nothing had been asked before."""
        velocity.forget(name)
        subject = velocity.subject(detector)
        if subject is not None:
            velocity.is_built(subject)

    rows = sample(name)
    key = services.keys.create(owner="mia", name="till", scopes=("score",), by="ada")[1]
    client = app.test_client()
    forget()
    asked = [
        client.post(
            "/detect_fraud",
            json={"detector": name, "transaction": row},
            headers={"Authorization": f"Bearer {key}"},
        )
        for row in rows
    ]
    assert {each.status_code for each in asked} == {200}
    forget()
    # in one partition they keep their order; half of them as the API takes them, half as they are
    wrapped = [
        json.dumps({"transaction": row} if number % 2 else row).encode() for number, row in enumerate(rows)
    ]
    broker.send(options.topic, [("one card", each) for each in wrapped])
    done = until_end(services, replace(options, detector=name, counts_by="offset"))
    assert (done.consumed, done.rejected) == (len(rows), 0)
    answers = broker.read(options.decisions, len(rows))
    assert [without_id(each.value()) for each in answers] == [without_id(each.data) for each in asked]
    assert {each.key() for each in answers} == {b"one card"}
    assert decided(services) == 2 * len(rows)


@pytest.mark.both_databases
def test_what_is_delivered_twice_counts_once_and_is_answered_the_same(
    app: Flask, services: Services, broker: Broker, options: StreamOptions
) -> None:
    first, second = map(json.dumps, cards(2))
    broker.send(options.topic, [("a", first.encode()), ("a", first.encode()), ("b", second.encode())])
    until_end(services, options)
    again = until_end(services, replace(options, group="another group"))
    assert again.consumed == 3
    answers = broker.read(options.decisions, 6)
    by_key = {key: {each.value() for each in answers if each.key() == key} for key in (b"a", b"b")}
    assert [len(each) for each in by_key.values()] == [1, 1]
    # a header has the key of the API: who got no answer here may ask there
    body = json.dumps({"transaction": cards(3)[2]})
    broker.send(options.topic, [("c", body.encode())], Idempotency_Key="order 7")
    until_end(services, options)
    key = services.keys.create(owner="mia", name="till", scopes=("score",), by="ada")[1]
    asked = app.test_client().post(
        "/detect_fraud", data=body, headers={"Authorization": f"Bearer {key}", "Idempotency-Key": "order 7"}
    )
    (streamed,) = {each.value() for each in broker.read(options.decisions, 7) if each.key() == b"c"}
    assert asked.data == streamed
    assert decided(services) == 3
    # the same transaction without a key of its own is another one, each time
    broker.send(options.topic, [(None, second.encode()), (None, second.encode())])
    until_end(services, options)
    assert decided(services) == 5


def test_what_cant_be_decided_is_rejected_in_the_apis_words_and_stops_nothing(
    app: Flask, services: Services, broker: Broker, options: StreamOptions
) -> None:
    good = json.dumps(cards(1)[0]).encode()
    one = cards(1)[0]
    poison: dict[str, tuple[bytes, int]] = {
        "nothing": (b"", 422),
        "no JSON": (b"\x00\xff{", 422),
        "a list": (b"[1, 2]", 422),
        "more than one": (b'{"Time": 1}, "detector": "card"', 422),
        "no column": (json.dumps({**one, "V1": None}).encode(), 422),
        "no number": (json.dumps({**one, "V1": "many"}).encode(), 422),
        "not finite": (good.replace(b"{", b'{"V1": NaN, ', 1), 422),
        "a column twice": (good.replace(b"{", b'{"V1": 1, ', 1), 422),
        "deep": (b'{"a":' * 5000 + b"1" + b"}" * 5000, 422),
        "no detector": (json.dumps({"detector": "nobody", "transaction": one}).encode(), 404),
        "too many": (json.dumps({"transactions": []}).encode(), 422),
        "a card": (json.dumps({**one, "V1": CARD_NUMBER}).encode(), 422),
    }
    broker.send(options.topic, [(key, value) for key, (value, _) in poison.items()])
    broker.send(options.topic, [("good", good)])
    # the key of another message
    broker.send(options.topic, [("good", json.dumps(cards(2)[1]).encode())])
    done = until_end(services, options)
    assert (done.consumed, done.rejected) == (len(poison) + 2, len(poison) + 1)
    (answer,) = broker.read(options.decisions, 1)
    assert answer.key() == b"good"
    told = {each.key().decode(): each for each in broker.read(options.rejected, done.rejected)}
    problems = {key: json.loads(each.value()) for key, each in told.items()}
    assert {key: problems[key]["status"] for key in poison} == {
        key: want for key, (_, want) in poison.items()
    }
    assert problems["good"]["title"] == "This Idempotency-Key was used for another request"
    assert "V1" in problems["no column"]["detail"]
    assert CARD_NUMBER.encode() not in b"".join(each.value() for each in told.values())
    for key, each in told.items():
        number = dict(each.headers())["request-id"].decode()
        assert number == problems[key]["request_id"]
        assert problems[key]["instance"] == "/" + "/".join(number.rsplit("-", 2))
    assert decided(services) == 1
    # what a separate process has done is seen here
    metrics = app.test_client().get("/metrics").get_data(as_text=True)
    found = {
        name: [line for line in metrics.splitlines() if line.startswith(f"fraud_stream_{name}{{")]
        for name in ("consumed_total", "rejected_total", "lag", "idle_seconds", "timestamp_seconds")
    }
    totals = {name: sum(float(line.split()[-1]) for line in lines) for name, lines in found.items()}
    assert (totals["consumed_total"], totals["rejected_total"], totals["lag"]) == (
        done.consumed,
        done.rejected,
        0,
    )
    assert f'group="{options.group}"' in found["lag"][0]
    assert 0 <= totals["idle_seconds"] < 2 * SECONDS


def test_brokers_that_go_and_come_back_lose_nothing(
    services: Services, broker: Broker, options: StreamOptions
) -> None:
    rows = cards(600)
    broker.send(options.topic, sent(rows))
    with running(services, replace(options, most=20)) as stream:
        wait_until(lambda: stream.consumed >= 100)
        broker.go_down()
        try:
            # what was taken before is decided, and waits for its acknowledgement
            before = stream.consumed
            time.sleep(1.0)
            assert stream.consumed <= before + 20
        finally:
            broker.come_up()
        # some may be answered twice
        wait_until(lambda: len(keys(broker, options)) == len(rows))
    answers = {each.key(): each.value() for each in broker.read(options.decisions, len(rows))}
    assert len(answers) == len(rows)
    assert decided(services) == len(rows)


def test_messages_wait_while_the_database_is_away_or_the_account_is_disabled(
    services: Services,
    broker: Broker,
    options: StreamOptions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = [OperationalError("INSERT", {}, Exception("the database is locked"))] * 3
    add = Tail.add

    def failing(self: Tail, entries: Any) -> Any:
        if away:
            raise away.pop()
        return add(self, entries)

    monkeypatch.setattr(Tail, "add", failing)
    broker.send(options.topic, sent(cards(3)))
    services.users.set_state("mia", active=False)
    with running(services, options) as stream:
        wait_until(lambda: "isn't active" in caplog.text)
        services.users.set_state("mia", active=True)
        wait_until(lambda: stream.consumed == 3)
    assert "the database is locked" in caplog.text
    assert stream.rejected == 0
    assert len(broker.read(options.decisions, 3)) == 3
    assert decided(services) == 3


def test_an_error_of_ours_is_tried_again_and_then_rejected(
    services: Services, broker: Broker, options: StreamOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = StreamDesk.decide
    tried: Counter[bytes | None] = Counter()

    def broken(self: StreamDesk, asked: Any) -> Any:
        tried.update(each.key for each in asked)
        answers = list(decide(self, [each for each in asked if each.key != b"pay-1"]))
        return [RuntimeError("broken") if each.key == b"pay-1" else answers.pop(0) for each in asked]

    monkeypatch.setattr(StreamDesk, "decide", broken)
    broker.send(options.topic, sent(cards(3)))
    done = until_end(services, options)
    assert (done.consumed, done.rejected, tried[b"pay-1"], tried[b"pay-0"]) == (3, 1, 5, 1)
    (problem,) = broker.read(options.rejected, 1)
    assert json.loads(problem.value())["status"] == 500


def test_an_answer_that_is_too_large_for_a_message_is_told_of_and_stops_nothing(
    services: Services, broker: Broker, options: StreamOptions
) -> None:
    several = json.dumps({"transactions": cards(20)}).encode()
    broker.send(options.topic, [("several", several), *sent(cards(2))])
    small = replace(options, more={**QUICK, "message.max.bytes": "2000"})
    done = until_end(services, small)
    assert (done.consumed, done.rejected) == (3, 1)
    (problem,) = broker.read(options.rejected, 1)
    assert (problem.key(), json.loads(problem.value())["status"]) == (b"several", 413)
    assert len(broker.read(options.decisions, 2)) == 2
    assert decided(services) == 22


def test_members_share_the_partitions_and_take_over_from_each_other(
    services: Services, broker: Broker, options: StreamOptions
) -> None:
    rows = cards(900)
    quick = replace(options, most=10)
    broker.send(options.topic, sent(rows[:400]))
    with running(services, quick) as first:
        wait_until(lambda: first.consumed >= 50)
        with running(services, quick) as second:
            wait_until(lambda: any(second._inlet.holds(options.topic, number) for number in range(2)))
            broker.send(options.topic, sent(rows)[400:])
            wait_until(lambda: second.consumed >= 50)
        # some are answered twice
        wait_until(lambda: len(keys(broker, options)) == len(rows))
    answers = {each.key(): each.value() for each in broker.read(options.decisions, len(rows))}
    assert len(answers) == len(rows)
    assert decided(services) == len(rows)


def test_positions_that_the_brokers_forgot_are_known_here(
    services: Services, broker: Broker, options: StreamOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    from confluent_kafka import Consumer

    broker.send(options.topic, sent(cards(5)))
    with monkeypatch.context() as patched:
        # as if they had been committed long ago: brokers keep them for seven days
        patched.setattr("screening.streams.inlet.Inlet._commit", lambda *_args, **_more: None)
        assert until_end(services, options).consumed == 5
    asking = Consumer({"bootstrap.servers": broker.address, "group.id": options.group})
    try:
        from confluent_kafka import TopicPartition

        found = asking.committed([TopicPartition(options.topic, each) for each in range(2)], timeout=SECONDS)
        assert {each.offset for each in found} == {-1001}
    finally:
        asking.close()
    broker.send(options.topic, sent(cards(8))[5:])
    assert until_end(services, options).consumed == 3


def environ(settings: Settings, options: StreamOptions) -> dict[str, str]:
    return {
        **os.environ,
        "INSTANCE_PATH": str(settings.instance),
        "USERS_FILE": str(settings.users_file),
        "DATABASE_URL": settings.database_url,
        "STREAM_BROKERS": options.brokers,
        "STREAM_TOPIC": options.topic,
        "STREAM_ACCOUNT": options.account,
        "STREAM_GROUP": options.group,
        "STREAM_BATCH": "25",
        "STREAM_OPTIONS": ", ".join(f"{name}={value}" for name, value in QUICK.items()),
    }


def start(settings: Settings, options: StreamOptions, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "app", "stream", *words],
        cwd=ROOT,
        env=environ(settings, options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_process_that_is_killed_again_and_again_answers_every_message_and_keeps_none_twice(
    settings: Settings, services: Services, broker: Broker, options: StreamOptions
) -> None:
    rows = cards(3_500)
    messages = sent(rows)
    drawn = random.Random(7)
    for turn, how in enumerate((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)):
        process = start(settings, options)
        try:
            assert process.stdout is not None
            assert any(f"this process reads: {options.topic}" in line for line in process.stdout)
            before = broker.wait_for(options.decisions, 0)
            broker.send(options.topic, messages[1_000 * turn : 1_000 * (turn + 1)])
            # it is somewhere in the middle of them
            broker.wait_for(options.decisions, before + drawn.randrange(50, 300))
        finally:
            process.send_signal(how)
            said, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == (0 if how == signal.SIGTERM else -how), said
    broker.send(options.topic, messages[3_000:])
    # what was told to stop has committed what it answered, so nothing of it is answered again
    assert re.search(r"^[0-9,]+ messages answered, 0 of them rejected$", said, re.MULTILINE), said
    answered = broker.wait_for(options.decisions, 0)
    rest = until_end(services, options).consumed
    assert rest >= 500
    answers = broker.read(options.decisions, answered + rest)
    assert len(answers) == answered + rest
    by_key: dict[bytes, set[bytes]] = {}
    for each in answers:
        by_key.setdefault(each.key(), set()).add(each.value())
    assert len(by_key) == len(rows)
    assert {len(each) for each in by_key.values()} == {1}
    ids = {json.loads(value)["id"] for (value,) in by_key.values()}
    assert len(ids) == len(rows) == decided(services)


GOOD = {"STREAM_BROKERS": "one:9092, two:9092", "STREAM_TOPIC": "payments", "STREAM_ACCOUNT": "mia"}


def test_settings_are_read() -> None:
    found = StreamOptions.from_environ(GOOD)
    assert (found.brokers, found.decisions, found.rejected, found.most) == (
        "one:9092,two:9092",
        "payments.decisions",
        "payments.rejected",
        500,
    )
    sasl = {"STREAM_SECURITY": "SASL_SSL", "STREAM_USER": "fraud", "STREAM_PASSWORD": "s3cret-s3cret"}
    closed = StreamOptions.from_environ({**GOOD, **sasl, "STREAM_MECHANISM": "SCRAM-SHA-256"})
    told = closed.consumer()
    assert (told["security.protocol"], told["sasl.mechanism"]) == ("sasl_ssl", "SCRAM-SHA-256")
    assert told["enable.auto.commit"] is False
    assert closed.producer()["acks"] == "all"
    assert "s3cret" not in repr(closed)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"STREAM_BROKERS": ""}, "STREAM_BROKERS isn't set"),
        ({"STREAM_BROKERS": "kafka"}, "STREAM_BROKERS is 'kafka'"),
        ({"STREAM_TOPIC": "a b"}, "name of a topic"),
        ({"STREAM_DECISIONS": "payments"}, "three topics"),
        ({"STREAM_ACCOUNT": ""}, "STREAM_ACCOUNT isn't set"),
        ({"STREAM_ID": "name"}, "STREAM_ID is 'name'"),
        ({"STREAM_BATCH": "0"}, "STREAM_BATCH is '0'"),
        ({"STREAM_START": "now"}, "STREAM_START is 'now'"),
        ({"STREAM_CA_FILE": "/nowhere"}, "must be a file"),
        ({"STREAM_SECURITY": "sasl_ssl"}, "STREAM_USER or STREAM_PASSWORD isn't set"),
        ({"STREAM_USER": "fraud"}, "wouldn't be used"),
        ({"STREAM_OPTIONS": "acks=0"}, "STREAM_OPTIONS must not have acks"),
        ({"STREAM_OPTIONS": "s3cret"}, "STREAM_OPTIONS must be options"),
    ],
)
def test_settings_that_cant_be_used_are_named(given: dict[str, str], words: str) -> None:
    with pytest.raises(BadSetting) as caught:
        StreamOptions.from_environ({**GOOD, **given})
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


class Message:
    """A message as the client gives it."""

    def __init__(self, value: bytes, key: bytes | None = None) -> None:
        self._value, self._key = value, key

    def topic(self) -> str:
        return "payments"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 17

    def headers(self) -> None:
        return None

    def value(self) -> bytes:
        return self._value

    def key(self) -> bytes | None:
        return self._key


def test_a_field_of_the_transaction_can_be_the_key_and_no_key_is_kept_as_it_is() -> None:
    options = StreamOptions.from_environ({**GOOD, "STREAM_ID": "field:ID", "STREAM_DETECTOR": "card"})
    read = MessageReader(options, b"k" * 32).read
    plain = read(Message(b'{"ID": 7, "Time": 1}', b"a"))
    wrapped = read(Message(b' {"transaction": {"Time": 1, "ID": 7}}', b"b"))
    assert plain.idempotency_key == wrapped.idempotency_key
    assert plain.body == b'{"detector":"card","transaction":{"ID": 7, "Time": 1}}'
    assert wrapped.body == b'{"detector":"card","transaction": {"Time": 1, "ID": 7}}'
    other = read(Message(b'{"ID": "7"}', b"a"))
    # one without it is known by its place
    without = [read(Message(b'{"Time": 1}', b"a")), read(Message(b"no JSON", b"b"))]
    assert len({each.idempotency_key for each in (plain, other, without[0])}) == 3
    assert without[0].idempotency_key == without[1].idempotency_key
    by_key = MessageReader(StreamOptions.from_environ(GOOD), b"k" * 32).read
    found = by_key(Message(b"{}", CARD_NUMBER.encode()))
    assert found.idempotency_key is not None
    assert CARD_NUMBER not in found.idempotency_key
    assert found.place.number == "payments-3-17"
