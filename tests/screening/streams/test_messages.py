"""Messages as requests of the API: which body they have, and under which key they count."""

from __future__ import annotations

from screening.streams.messages import NO_VALUE, MessageReader
from screening.streams.options import StreamOptions

GOOD = {"STREAM_BROKERS": "one:9092", "STREAM_TOPIC": "payments", "STREAM_ACCOUNT": "mia"}
CARD_NUMBER = "4111111111111111"


class Message:
    """A message as the client gives it."""

    def __init__(self, value: bytes | None, key: bytes | None = None) -> None:
        self._value, self._key = value, key

    def topic(self) -> str:
        return "payments"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 17

    def headers(self) -> None:
        return None

    def value(self) -> bytes | None:
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


def test_only_the_fields_at_the_top_say_that_a_message_is_a_request() -> None:
    read = MessageReader(StreamOptions.from_environ({**GOOD, "STREAM_DETECTOR": "card"}), b"k" * 32).read
    told = b'{"type": "transaction", "Time": 1, "of": {"transactions": 2, "detector": 3}}'
    assert read(Message(told)).body == b'{"detector":"card","transaction":' + told + b"}"
    # a column that is called so names no detector of a request
    inner = b'{"transaction": {"detector": "x", "Time": 1}}'
    assert read(Message(inner)).body == b'{"detector":"card","transaction": {"detector": "x", "Time": 1}}'
    named = b'{"transaction": {"Time": 1}, "detector": "payments"}'
    assert read(Message(named)).body == named
    assert read(Message(None)).body is NO_VALUE
    for nothing in (b"", b"1", b"[]", b'{"Time": 1}, "x": {}', b'{"a": [1}]', b"\xff"):
        assert read(Message(nothing)).body == nothing


def test_an_empty_key_is_none_since_every_message_would_be_the_same() -> None:
    for counts_by, value, key in (("key", b"{}", b""), ("field:ID", b'{"ID": ""}', b"a")):
        read = MessageReader(StreamOptions.from_environ({**GOOD, "STREAM_ID": counts_by}), b"k" * 32).read
        by_place = MessageReader(StreamOptions.from_environ({**GOOD, "STREAM_ID": "offset"}), b"k" * 32).read
        assert read(Message(value, key)).idempotency_key == by_place(Message(value, key)).idempotency_key
