"""A Kafka broker of the tests' own: librdkafka's, which speaks the real protocol and keeps messages in memory.

The library comes with confluent-kafka. Its broker is called as C has it, because Python's names for it can't take it
down and up again.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from screening.errors import NotReady
from screening.streams.options import require_kafka

SECONDS = 120.0
PRODUCER = 0
JOIN_MILLISECONDS = 50
"""A broker waits three seconds for further members before a new group begins."""


PART_TOPIC, PART_VALUE, PART_HEADERS = 1, 4, 10


class MessagePart(ctypes.Structure):
    """A part of a message that is sent, as C has it (``rd_kafka_vu_t``)."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("pointer", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("unused", ctypes.c_char * 48),
    )


class Broker:
    """A broker that runs in the tests' process; other processes reach it by :attr:`address`."""

    def __init__(self) -> None:
        self._library = library()
        said = ctypes.create_string_buffer(512)
        quiet = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(quiet, b"log_level", b"0", None, 0)
        self._client = self._library.rd_kafka_new(PRODUCER, quiet, said, len(said))
        assert self._client, said.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        assert self._cluster
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, JOIN_MILLISECONDS)
        self.address = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        self._names = 0

    def topic(self, partitions: int = 2) -> str:
        """Make a topic with the two that answers go to, and return its name."""
        self._names += 1
        name = f"payments.{self._names}"
        for each in (name, f"{name}.decisions", f"{name}.rejected"):
            assert not self._library.rd_kafka_mock_topic_create(self._cluster, each.encode(), partitions, 1)
        return name

    def go_down(self) -> None:
        """Close all connections and take no more."""
        assert not self._library.rd_kafka_mock_broker_set_down(self._cluster, 1)

    def come_up(self) -> None:
        assert not self._library.rd_kafka_mock_broker_set_up(self._cluster, 1)

    def refuse(self, api: int, errors: Sequence[int]) -> None:
        """Answer the next requests of a kind with errors, both by Kafka's numbers."""
        codes = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api, len(errors), codes)

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    def send(self, topic: str, messages: Sequence[tuple[str | None, bytes | None]], **headers: str) -> None:
        """Send messages, each with its key, and wait until they are there."""
        from confluent_kafka import Producer

        problems: list[Any] = []
        producer = Producer({"bootstrap.servers": self.address, "linger.ms": 0})
        for key, value in messages:
            producer.produce(
                topic,
                value=value,
                key=key,
                headers={name.replace("_", "-"): text for name, text in headers.items()},
                on_delivery=lambda error, _: problems.append(error) if error else None,
            )
            producer.poll(0)
        assert producer.flush(SECONDS) == 0
        assert problems == []

    def send_with_odd_header(self, topic: str, value: bytes) -> None:
        """Send a message that has a header whose name isn't UTF-8, which Python's client can't send."""
        api = self._library
        told = api.rd_kafka_conf_new()
        said = ctypes.create_string_buffer(512)
        api.rd_kafka_conf_set(told, b"bootstrap.servers", self.address.encode(), said, len(said))
        producer = api.rd_kafka_new(PRODUCER, told, said, len(said))
        headers = api.rd_kafka_headers_new(1)
        api.rd_kafka_header_add(headers, b"\xff", -1, b"1", 1)
        name, body = (ctypes.create_string_buffer(each) for each in (topic.encode(), value))
        parts = (MessagePart * 3)(
            MessagePart(PART_TOPIC, ctypes.addressof(name)),
            MessagePart(PART_VALUE, ctypes.addressof(body), len(value)),
            MessagePart(PART_HEADERS, headers),
        )
        assert not api.rd_kafka_produceva(producer, parts, len(parts))
        assert not api.rd_kafka_flush(producer, int(SECONDS * 1000))
        api.rd_kafka_destroy(producer)

    def read(self, topic: str, count: int) -> list[Any]:
        """Return all messages of a topic once there are so many; more of them are returned, too."""
        from confluent_kafka import TopicPartition

        with self._reader(topic) as (reader, partitions):
            there = self._wait_for(reader, partitions, count)
            reader.assign([TopicPartition(each.topic, each.partition, 0) for each in partitions])
            found: list[Any] = []
            deadline = time.monotonic() + SECONDS
            while len(found) < there:
                assert time.monotonic() < deadline, f"{len(found)} of {there} messages of {topic} were read"
                found += [each for each in reader.consume(1000, 0.1) if each.error() is None]
        return found

    def wait_for(self, topic: str, count: int) -> int:
        """Wait until a topic has so many messages, and return how many it has."""
        with self._reader(topic) as (reader, partitions):
            return self._wait_for(reader, partitions, count)

    def ends(self, topic: str) -> list[int]:
        """Return the offset that the next message of each partition will get."""
        with self._reader(topic) as (reader, partitions):
            return [int(reader.get_watermark_offsets(each)[1]) for each in partitions]

    @contextmanager
    def _reader(self, topic: str) -> Iterator[tuple[Any, list[Any]]]:
        from confluent_kafka import Consumer, TopicPartition

        reader = Consumer(
            {"bootstrap.servers": self.address, "group.id": "tests", "enable.auto.commit": False}
        )
        try:
            numbers = reader.list_topics(topic, timeout=SECONDS).topics[topic].partitions
            yield reader, [TopicPartition(topic, each) for each in sorted(numbers)]
        finally:
            reader.close()

    def _wait_for(self, reader: Any, partitions: list[Any], count: int) -> int:
        deadline = time.monotonic() + SECONDS
        while (found := sum(int(reader.get_watermark_offsets(each)[1]) for each in partitions)) < count:
            assert time.monotonic() < deadline, f"{found} of {count} messages are there"
            time.sleep(0.01)
        return found


def library() -> Any:
    """Return librdkafka as C has it, with the types of what is called."""
    import confluent_kafka

    folder = Path(confluent_kafka.__file__).parent.parent
    there = sorted(folder.glob("confluent_kafka.libs/librdkafka-*.so*"))
    if not there:
        pytest.skip("this confluent-kafka brings no librdkafka of its own, whose broker the tests use")
    found = ctypes.CDLL(str(there[0]))
    pointer = ctypes.c_void_p
    types: dict[str, tuple[Any, list[Any]]] = {
        "rd_kafka_new": (pointer, [ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (
            ctypes.c_int,
            [pointer, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t],
        ),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, ctypes.c_int]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [pointer]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_topic_create": (
            ctypes.c_int,
            [pointer, ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
        ),
        "rd_kafka_mock_push_request_errors_array": (
            None,
            [pointer, ctypes.c_int16, ctypes.c_size_t, pointer],
        ),
        "rd_kafka_headers_new": (pointer, [ctypes.c_size_t]),
        "rd_kafka_header_add": (
            ctypes.c_int,
            [pointer, ctypes.c_char_p, ctypes.c_ssize_t, ctypes.c_char_p, ctypes.c_ssize_t],
        ),
        "rd_kafka_produceva": (pointer, [pointer, pointer, ctypes.c_size_t]),
        "rd_kafka_flush": (ctypes.c_int, [pointer, ctypes.c_int]),
        "rd_kafka_mock_broker_set_down": (ctypes.c_int, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_broker_set_up": (ctypes.c_int, [pointer, ctypes.c_int32]),
    }
    for name, (returned, taken) in types.items():
        function = getattr(found, name)
        function.restype, function.argtypes = returned, taken
    return found


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """The broker; skips where Kafka's client isn't installed."""
    try:
        require_kafka()
    except NotReady as problem:
        pytest.skip(str(problem))
    found = Broker()
    yield found
    found.close()
