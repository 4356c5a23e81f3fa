"""Transactions of a Kafka topic: the API's decisions, each message answered, none kept twice, whatever dies."""

from __future__ import annotations

import csv
import errno
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
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from screening.accounts.users_text import Account
from screening.errors import BadArtefact, BadSetting, Conflict, NotReady
from screening.ledger.filters import DecisionFilter
from screening.ledger.tables import STREAM
from screening.ledger.tail import Tail
from screening.monitoring import stream_lag
from screening.monitoring.stream_lag import PartitionProgress
from screening.realtime.decide import Busy
from screening.settings import ROOT, Settings
from screening.streams.messages import MessagePlace
from screening.streams.options import StreamOptions
from screening.web.api.streaming import StreamDesk
from screening.web.services import Services
from tests.kafka_broker import Broker, broker
from tests.served import PASSWORD
from tests.tls_proxy import TestAuthority, encrypted

pytest.importorskip("confluent_kafka", reason="Kafka's client isn't installed: make stream")

from confluent_kafka import Consumer

from screening.streams.client import committed
from screening.streams.inlet import Inlet
from screening.streams.rejections import RejectedMessages, SentAgain
from screening.streams.stream import Stream, StreamServices, is_final, passes
from tests.waiting import wait_until

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
PRODUCE, TOO_LARGE = 0, 10
"""Kafka's numbers of a kind of request and of an error."""


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
    desk = StreamDesk(services, options.account, options.detector)
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
    # before they are sealed and after
    counted = [
        f'fraud_transactions_total{{detector="{name}",source="{each}"}} 40.0' for each in ("api", "stream")
    ]
    assert not set(counted) - set(client.get("/metrics").get_data(as_text=True).splitlines())
    assert decided(services) == 2 * len(rows)
    assert not set(counted) - set(client.get("/metrics").get_data(as_text=True).splitlines())
    streamed = services.ledger.questions.ask("SELECT request FROM chosen", DecisionFilter(source=STREAM)).rows
    assert {each["request"].rsplit("-", 2)[0] for each in streamed} == {options.topic}
    assert len(streamed) == len(rows)


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
    poison: dict[str, tuple[bytes | None, int]] = {
        "nothing": (b"", 422),
        "no value": (None, 422),
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
    assert "has no value" in problems["no value"]["detail"]
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


def test_what_was_rejected_is_told_by_reason_and_sent_again_once_the_cause_is_fixed(
    app: Flask,
    settings: Settings,
    services: Services,
    broker: Broker,
    options: StreamOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = cards(2)
    wrong = json.dumps({**one, "V1": CARD_NUMBER}).encode()
    named = json.dumps({"detector": "later", "transaction": two}).encode()
    # by their places, as messages without keys are known
    broker.send(options.topic, [(None, wrong), (None, named), (None, json.dumps(one).encode())])
    assert until_end(services, options).rejected == 2
    told = RejectedMessages(options)
    try:
        reasons = told.reasons()
        assert {(each.status, each.count) for each in reasons} == {(422, 1), (404, 1)}
        assert CARD_NUMBER not in repr(reasons)
        said = (
            app.test_cli_runner().invoke(args=["stream", "rejected"], env=environ(settings, options)).output
        )
        assert re.search(r"^ +1  404  There is no detector 'later'.*\(as /payments", said, re.MULTILINE), said
        assert said.endswith("2  messages in all\n")
        # now there is a detector of that name
        known_to = services.detectors.known_to
        monkeypatch.setattr(
            services.detectors, "known_to", lambda name, *args, **more: known_to("card", *args, **more)
        )
        assert told.send_again() == SentAgain(sent=2)
        done = until_end(services, options)
        assert (done.consumed, done.rejected) == (2, 1)
        # what is still wrong is there again, and what was decided isn't
        assert [each.status for each in told.reasons()] == [422]
        # who sends the same again, as after a crash before the position was noted, has it counted once
        monkeypatch.setattr(RejectedMessages, "_commit", lambda *_: None)
        assert told.send_again() == told.send_again() == SentAgain(sent=1)
    finally:
        told.close()
    until_end(services, options)
    assert decided(services) == 2


def test_a_message_that_the_client_can_not_read_or_send_again_stops_nothing(
    app: Flask, settings: Settings, services: Services, broker: Broker, options: StreamOptions
) -> None:
    # once the interpreter has got used to reading headers
    broker.send(options.topic, [(None, b"x" * 3000), *sent(cards(60))])
    broker.send_with_odd_header(options.topic, json.dumps(cards(1)[0]).encode())
    done = until_end(services, options)
    assert (done.consumed, done.rejected) == (62, 2)
    problems = [json.loads(each.value()) for each in broker.read(options.rejected, 2)]
    assert {each["status"] for each in problems} == {422}
    assert "has a header whose name isn't UTF-8" in "".join(each["detail"] for each in problems)
    # its sender may send larger messages than we do
    small = environ(settings, options) | {"STREAM_OPTIONS": "message.max.bytes=2000"}
    said = app.test_cli_runner().invoke(args=["stream", "rejected", "--again"], env=small)
    assert said.exit_code == 1
    assert "messages can be sent again: 2 (they are larger than message.max.bytes, or" in said.output
    told = RejectedMessages(options)
    try:
        assert told.reasons() == [], "whoever sends them is told, once"
    finally:
        told.close()


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


def test_a_stop_does_not_wait_for_brokers_that_are_away(
    services: Services, broker: Broker, options: StreamOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.send(options.topic, sent(cards(1)))
    # members are missed after 45 seconds
    inlet = Inlet(replace(options, more={}), dict)
    taken: list[Any] = []
    while not taken:
        taken += inlet.take(SECONDS)
    broker.go_down()
    try:
        inlet.done(list(map(place_of, taken)), ())
        monkeypatch.setattr("screening.streams.inlet.CLOSE_SECONDS", 0.5)
        began = time.monotonic()
        inlet.close()
        assert time.monotonic() - began < 30
    finally:
        broker.come_up()


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

    def retired(name: str) -> None:
        raise Conflict("It is retired.")

    def stale(*_args: Any, **_more: Any) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    broker.send(options.topic, sent(cards(3)))
    services.users.set_state("mia", active=False)
    with (
        monkeypatch.context() as quick,
        running(services, replace(options, detector="card")) as stream,
    ):
        quick.setattr("screening.streams.stream.LONGEST_PAUSE", 0.1)
        wait_until(lambda: "isn't active" in caplog.text)
        monkeypatch.setattr(services.detectors, "require_in_use", retired)
        services.users.set_state("mia", active=True)
        wait_until(lambda: "STREAM_DETECTOR can't decide: It is retired." in caplog.text)
        monkeypatch.setattr(services.detectors, "known_to", stale)
        wait_until(lambda: "Stale file handle" in caplog.text)
        monkeypatch.undo()
        monkeypatch.setattr(Tail, "add", failing)
        wait_until(lambda: stream.consumed == 3)
    assert "the database is locked" in caplog.text
    assert stream.rejected == 0
    assert len(broker.read(options.decisions, 3)) == 3
    assert decided(services) == 3


def test_an_error_of_ours_is_tried_again_and_then_rejected(
    services: Services, broker: Broker, options: StreamOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(f"screening.streams.stream.{name}", 0.01)
    decide = StreamDesk.decide
    tried: Counter[bytes | None] = Counter()
    # how often all of them wait before doesn't count
    away = [NotReady("The database is away.")] * 6

    def broken(self: StreamDesk, asked: Any) -> Any:
        if away:
            return [away.pop()] * len(asked)
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


def test_what_is_large_in_a_message_stops_nothing(
    services: Services, broker: Broker, options: StreamOptions, caplog: pytest.LogCaptureFixture
) -> None:
    # a batch that a broker finds too large is refused as a whole: what is small is sent again by itself
    good = sent(cards(3))
    broker.send(options.topic, good)
    broker.refuse(PRODUCE, [TOO_LARGE])
    assert until_end(services, options).rejected == 0
    assert {each.key() for each in broker.read(options.decisions, 3)} == {b"pay-0", b"pay-1", b"pay-2"}
    # neither the answer to it nor what is said instead fits beside a key as large as this one
    (_, body) = sent(cards(1))[0]
    broker.send(options.topic, [("k" * 3000, body), ("k" * 3000, b"{}")])
    small = replace(options, more={**QUICK, "message.max.bytes": "2000"})
    done = until_end(services, small)
    assert (done.consumed, done.rejected) == (2, 2)
    told = broker.read(options.rejected, 2)
    assert {each.key() for each in told} == {None}
    assert {json.loads(each.value())["status"] for each in told} == {413, 422}
    assert {dict(each.headers())["request-id"].decode() for each in told} == {
        json.loads(each.value())["request_id"] for each in told
    }


def test_what_is_decided_together_is_bounded_in_bytes(
    services: Services, broker: Broker, options: StreamOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.streams.inlet.MOST_BYTES", 200_000)
    monkeypatch.setattr("screening.streams.inlet.CHUNK", 2)
    broker.send(options.topic, [(f"pay-{number}", b"x" * 90_000) for number in range(20)])
    inlet = Inlet(options, dict)
    try:
        sizes: list[int] = []
        while sum(sizes) < 20:
            sizes.append(answer_all(inlet, 1.0))
        assert max(sizes) <= 4
    finally:
        inlet.close()


def answer_all(inlet: Inlet, seconds: float) -> int:
    """Take messages and count them as answered; their number."""
    places = [place_of(each) for each in inlet.take(seconds)]
    inlet.done(places, ())
    return len(places)


def answer_until_end(inlet: Inlet) -> int:
    """Count all messages as answered that are there; their number."""
    count = 0
    deadline = time.monotonic() + SECONDS
    while not inlet.is_at_end():
        assert time.monotonic() < deadline
        count += answer_all(inlet, 0.1)
    return count


def place_of(message: Any) -> MessagePlace:
    return MessagePlace(message.topic(), message.partition(), message.offset())


def test_a_position_never_goes_back_behind_that_of_another_member(
    services: Services, broker: Broker, options: StreamOptions
) -> None:
    first = Inlet(options, dict)
    broker.send(options.topic, sent(cards(10)))
    assert answer_until_end(first) == 10
    broker.send(options.topic, sent(cards(50))[10:])
    taken: list[Any] = []
    while len({each.partition() for each in taken}) < 2:
        taken += first.take(SECONDS)
    # another one takes a partition over, answers all of it and leaves: here nothing was answered meanwhile
    second = Inlet(options, dict)
    while not second.is_at_end():
        first.keep_alive()
        answer_all(second, 0.1)
    ((_, moved),) = second._held
    second.close()
    while (options.topic, moved) not in first._held:
        first.keep_alive()
        time.sleep(0.02)
    assert not first.holds(options.topic, moved)
    # what it had counted before it gave the partition up isn't written yet
    assert sum(each.consumed for each in first.progress()) == 10
    first.written()
    assert sum(each.consumed for each in first.progress()) == 0
    first.done([place_of(each) for each in taken], ())
    first.close()
    assert committed_by(broker, options)[moved] == broker.ends(options.topic)[moved]


def committed_by(broker: Broker, options: StreamOptions) -> dict[int, int]:
    """Positions of the group that the brokers have, by partition."""
    asking = Consumer({"bootstrap.servers": broker.address, "group.id": options.group})
    try:
        return {
            number: offset
            for (_, number), offset in committed(
                asking, [(options.topic, 0), (options.topic, 1)], SECONDS
            ).items()
        }
    finally:
        asking.close()


def test_a_group_that_begins_at_the_end_keeps_that_place_before_its_first_message(
    services: Services, broker: Broker, options: StreamOptions
) -> None:
    broker.send(options.topic, sent(cards(2)))
    late = replace(options, start="latest")
    assert until_end(services, late).consumed == 0
    broker.send(options.topic, sent(cards(5))[2:])
    assert until_end(services, late).consumed == 3


def test_progress_is_recent_only_while_the_brokers_answer(
    services: Services, broker: Broker, options: StreamOptions
) -> None:
    broker.send(options.topic, sent(cards(4)))
    inlet = Inlet(options, dict)
    try:
        assert answer_until_end(inlet) == 4
        stream_lag.write(services.database, options.group, inlet.progress())
        inlet.written()
        before = stream_lag.positions(services.database, options.group)
        broker.go_down()
        try:
            assert {each.recent for each in inlet.progress()} == {False}
        finally:
            broker.come_up()
    finally:
        inlet.close()
    # who had the partition before adds its counts, and changes nothing else
    place = next(iter(before))
    gone = PartitionProgress(*place, position=0, end=0, consumed=7, rejected=1, recent=False)
    seen = stream_lag.oldest(services.database)
    stream_lag.write(services.database, options.group, [gone])
    assert stream_lag.positions(services.database, options.group) == before
    assert stream_lag.oldest(services.database) == seen
    samples = [sample for metric in stream_lag.metrics(services.database) for sample in metric.samples]
    consumed = [each.value for each in samples if each.name == "fraud_stream_consumed_total"]
    assert sum(consumed) == 4 + 7


def test_a_start_says_what_the_brokers_lack(
    services: Services, broker: Broker, options: StreamOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadSetting, match=r"no topic nowhere.*STREAM_REJECTED"):
        stream_of(services, replace(options, rejected="nowhere"))
    monkeypatch.setattr("screening.streams.client.START_SECONDS", 0.5)
    monkeypatch.setattr("screening.streams.client.ASK_SECONDS", 0.2)
    with pytest.raises(NotReady, match=r"No broker of STREAM_BROKERS \(127\.0\.0\.1:1\) answers; .*refused"):
        stream_of(services, replace(options, brokers="127.0.0.1:1"))
    with pytest.raises(NotReady) as caught:
        stream_of(services, replace(options, more={"sasl.password": "s3cret", "debug": "s3cret"}))
    assert "s3cret" not in str(caught.value)


def test_the_way_to_the_brokers_is_encrypted_and_wrong_certificates_are_told(
    services: Services,
    broker: Broker,
    options: StreamOptions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bank, other = TestAuthority(tmp_path, "bank"), TestAuthority(tmp_path, "other")
    broker.send(options.topic, sent(cards(2)))
    mine = bank.issue("mine")
    with encrypted(broker.address, bank.issue("broker"), clients=bank.certificate) as address:
        closed = replace(
            options,
            brokers=address,
            security="ssl",
            ca_file=bank.certificate,
            certificate=mine,
            certificate_key=mine,
        )
        assert until_end(services, closed).consumed == 2
        monkeypatch.setattr("screening.streams.client.ASK_SECONDS", 0.2)
        for wrong, words in (
            (replace(closed, ca_file=other.certificate), "STREAM_CA_FILE"),
            (replace(closed, certificate=None, certificate_key=None), "STREAM_CERTIFICATE"),
        ):
            with pytest.raises(BadSetting, match="No encrypted connection") as caught:
                stream_of(services, wrong)
            assert words in str(caught.value)
    assert len(broker.read(options.decisions, 2)) == 2


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (OperationalError("INSERT", {}, Exception("locked")), False),
        (InterfaceError("INSERT", {}, Exception("connection already closed")), False),
        (NoConnection("no connection was free"), False),
        (OSError("no room"), False),
        (NotReady("Redis is away."), False),
        (Busy.now(), False),
        (BadArtefact("The net is damaged."), True),
        (IntegrityError("INSERT", {}, Exception("twice")), True),
        (RuntimeError("ours"), True),
    ],
)
def test_what_passes_by_itself_is_waited_for(error: Exception, final: bool) -> None:
    assert passes(error) is not final
    assert final is (is_final(error, 100) and not passes(error))
    assert not is_final(error, 1)


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
    broker.send(options.topic, sent(cards(5)))
    with monkeypatch.context() as patched:
        # as if they had been committed long ago: brokers keep them for seven days
        patched.setattr("screening.streams.inlet.Inlet._commit", lambda *_args, **_more: None)
        assert until_end(services, options).consumed == 5
    assert committed_by(broker, options) == {}
    broker.send(options.topic, sent(cards(8))[5:])
    # as they are noted when it gets a partition, which may be long after it started
    known: dict[tuple[str, int], int] = {}
    late = Inlet(options, lambda: known)
    known |= stream_lag.positions(services.database, options.group)
    try:
        assert answer_until_end(late) == 3
    finally:
        late.close()
    # where they have one it is theirs that counts
    inlet = Inlet(options, lambda: {(options.topic, 0): 0, (options.topic, 1): 0})
    try:
        assert answer_until_end(inlet) == 0
    finally:
        inlet.close()


def test_a_stream_that_can_not_look_up_where_it_was_ends(
    services: Services, broker: Broker, options: StreamOptions
) -> None:
    def away() -> dict[tuple[str, int], int]:
        raise OperationalError("SELECT", {}, Exception("the database is away"))

    lost = Inlet(options, away)
    try:
        with pytest.raises(NotReady, match="neither with the brokers nor in the database"):
            answer_until_end(lost)
    finally:
        lost.close()


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
