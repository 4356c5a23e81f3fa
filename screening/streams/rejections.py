"""Messages that were rejected: counted by reason, and sent again once the cause is fixed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from screening.errors import NotReady
from screening.streams.client import END_OF_PARTITION, ErrorLog, new_client, require_topics
from screening.streams.inlet import MOST_BYTES
from screening.streams.messages import HEADER, MessageHeader, MessagePlace, headers_of
from screening.streams.options import StreamOptions
from screening.streams.outlet import Outlet, PendingAnswer

SECONDS = 30.0
"""So long each step waits for the brokers."""
AT_ONCE = 500
"""Messages that are read, sent again and committed together."""
SUFFIX = ".again"
"""End of the name of the group whose position says what was sent again."""
DECIDED = 413
"""Status of a problem whose transactions were decided on: only the answer was too large."""


class RejectionBody(msgspec.Struct):
    """Problem of a message as JSON, as far as it is told here."""

    status: int
    title: str
    what: str
    instance: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message that was rejected: its place, and why."""

    status: int
    what: str
    place: MessagePlace


_decode = msgspec.json.Decoder(RejectionBody).decode


@dataclass(frozen=True, slots=True)
class RejectionReason:
    """Messages that were rejected for one reason."""

    status: int
    what: str
    count: int
    last: MessagePlace


@dataclass(slots=True)
class SentAgain:
    """Messages that were sent again, and those of which that can't be done."""

    sent: int = 0
    gone: int = 0
    """That their topic has no more."""
    decided: int = 0
    """That were decided on; only their answers were too large."""
    unsendable: int = 0
    """That the client can't send: they are larger than its ``message.max.bytes``, or it can't read their headers."""


class RejectedMessages:
    """Problems that nobody has dealt with yet: those behind the position of the group ``STREAM_GROUP.again``.

    Args:
        options: of the stream.

    Raises:
        BadSetting: the brokers don't take what the settings say.
        NotReady: Kafka's client can't be made, or no broker answers.
    """

    def __init__(self, options: StreamOptions) -> None:
        self._options = options
        self._errors = ErrorLog()
        given = {**options.consumer(), "error_cb": self._errors.tell, "auto.offset.reset": "earliest"}
        group = {"group.id": f"{options.group}{SUFFIX}"}
        self._problems: Consumer = new_client(Consumer, {**given, **group}, options.secrets())
        self._messages: Consumer = new_client(Consumer, {**given, **group}, options.secrets())
        try:
            require_topics(self._problems, options, self._errors)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let the brokers go."""
        self._problems.close()
        self._messages.close()

    def reasons(self) -> list[RejectionReason]:
        """Return what is wrong with the messages, the most frequent first. No key and no value is told.

        Raises:
            NotReady: the brokers don't answer.
        """
        counts: Counter[tuple[int, str]] = Counter()
        last: dict[tuple[int, str], MessagePlace] = {}
        for some in self._unread():
            for _, problem in some:
                key = problem.status, problem.what
                counts[key] += 1
                last[key] = problem.place
        return [RejectionReason(*key, count, last[key]) for key, count in counts.most_common()]

    def send_again(self) -> SentAgain:
        """Send the messages to their topic again, each under the key that it was known by, so that it counts once.

        What is rejected again is among the problems again.

        Raises:
            NotReady: the brokers don't answer; what was sent by then is noted, but for the last few.
        """
        found = SentAgain()
        outlet = Outlet(self._options, self._errors.tell)
        for some in self._unread():
            wanted = {}
            for message, problem in some:
                if problem.status == DECIDED:
                    found.decided += 1
                else:
                    wanted[problem.place] = dict(headers_of(message) or ()).get(HEADER)
            waiting: list[PendingAnswer] = []
            size = 0
            for place, original in self._originals(wanted):
                headers = None if original is None else headers_of(original)
                if original is None:
                    found.gone += 1
                elif headers is None:
                    found.unsendable += 1
                else:
                    waiting.append(message_again(original, headers, wanted[place]))
                    size += len(original)
                if size >= MOST_BYTES:
                    self._send(outlet, waiting, found)
                    waiting, size = [], 0
            self._send(outlet, waiting, found)
            self._commit([message for message, _ in some])
        return found

    @staticmethod
    def _send(outlet: Outlet, messages: Sequence[PendingAnswer], found: SentAgain) -> None:
        deadline = time.monotonic() + SECONDS
        too_large: list[int] = []
        if not outlet.send(
            messages, lambda: time.monotonic() < deadline, lambda place, _: too_large.append(place)
        ):
            raise NotReady(
                f"The brokers didn't take all messages within {SECONDS:.0f} s; they say: {outlet.why}.",
                remedy="See that this user may write to STREAM_TOPIC, and run it again.",
            )
        found.unsendable += len(too_large)
        found.sent += len(messages) - len(too_large)

    def _unread(self) -> Iterator[list[tuple[Any, Rejection]]]:
        """Yield the problems behind the position, up to where their topic ends now, some at a time."""
        ends = self._begin()
        left, deadline = set(ends), time.monotonic() + SECONDS
        some: list[tuple[Any, Rejection]] = []
        while left:
            for message in self._problems.consume(AT_ONCE, 0.5):
                if self._is_trouble(message):
                    continue
                deadline = time.monotonic() + SECONDS
                partition = message.partition()
                if message.error() is None and message.offset() < ends[partition]:
                    some.append((message, problem_of(message)))
                if is_last(message, ends[partition]):
                    left.discard(partition)
            if time.monotonic() >= deadline:
                raise self._nothing_of(self._options.rejected)
            if len(some) >= AT_ONCE:
                yield some
                some, deadline = [], time.monotonic() + SECONDS
        if some:
            yield some

    def _begin(self) -> dict[int, int]:
        """Begin to read behind the position, and return where each partition ends that has anything there."""
        topic = self._options.rejected
        ends = {}
        try:
            numbers = sorted(self._problems.list_topics(topic, timeout=SECONDS).topics[topic].partitions)
            known = self._problems.committed(
                [TopicPartition(topic, each) for each in numbers], timeout=SECONDS
            )
            for each in known:
                first, end = self._problems.get_watermark_offsets(each, timeout=SECONDS)
                each.offset = max(each.offset, first)
                if each.offset < end:
                    ends[each.partition] = end
        except KafkaException as problem:
            raise NotReady(f"Kafka says: {problem.args[0].str()}.") from None
        self._problems.assign([each for each in known if each.partition in ends])
        return ends

    def _originals(self, places: Iterable[MessagePlace]) -> Iterator[tuple[MessagePlace, Any]]:
        """Yield each message, one after another in its partition; ``None`` for one that isn't there any more."""
        for each in sorted(places, key=lambda place: (place.topic, place.partition, place.offset)):
            yield each, self._message_at(TopicPartition(each.topic, each.partition, each.offset))

    def _message_at(self, place: TopicPartition) -> Any:
        self._messages.assign([place])
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message = self._messages.poll(1.0)
            if message is None or self._is_trouble(message):
                continue
            # otherwise it is the end, or lies behind: what was asked for isn't kept any more
            return message if message.error() is None and message.offset() == place.offset else None
        raise self._nothing_of(place.topic)

    def _is_trouble(self, message: Any) -> bool:
        """Return whether it is no message but an error, other than that of a partition's end; note it."""
        error = message.error()
        if error is None or error.code() in (END_OF_PARTITION, KafkaError.OFFSET_OUT_OF_RANGE):
            return False
        self._errors.tell(error)
        return True

    def _nothing_of(self, topic: str) -> NotReady:
        return NotReady(
            f"The brokers don't send {topic}; Kafka's client says: {self._errors.words}.",
            remedy="See that they run, and that this user may read it; then run it again.",
        )

    def _commit(self, messages: Sequence[Any]) -> None:
        reached: dict[int, int] = {}
        for message in messages:
            reached[message.partition()] = message.offset() + 1
        offsets = [TopicPartition(self._options.rejected, *each) for each in reached.items()]
        try:
            self._problems.commit(offsets=offsets, asynchronous=False)
        except KafkaException as problem:
            raise NotReady(f"Kafka says: {problem.args[0].str()}.", remedy="Run it again.") from None


def message_again(original: Any, headers: Sequence[MessageHeader], key: bytes | None) -> PendingAnswer:
    """Return what is sent to the topic of a message again.

    Args:
        original: the message.
        headers: its own.
        key: what it was known by; ``None`` where its problem doesn't say it.
    """
    others = [each for each in headers if key is None or each[0].lower() != HEADER]
    known = () if key is None else ((HEADER, key),)
    return PendingAnswer(original.topic(), original.key(), original.value(), (*others, *known))


def is_last(message: Any, end: int) -> bool:
    """Return whether nothing comes behind what was read before an end: it is the last message, or tells of the end."""
    error = message.error()
    if error is None:
        return bool(message.offset() >= end - 1)
    return bool(error.code() == END_OF_PARTITION)


def problem_of(message: Any) -> Rejection:
    """Return the problem that a message of the topic of problems is. Raises :class:`NotReady` where it is none."""
    try:
        found = _decode(message.value() or b"")
        topic, partition, offset = found.instance.lstrip("/").rsplit("/", 2)
        return Rejection(found.status, found.what, MessagePlace(topic, int(partition), int(offset)))
    except ValueError:
        raise NotReady(
            f"{message.topic()}-{message.partition()}-{message.offset()} is no problem of a stream.",
            remedy="STREAM_REJECTED must be a topic that streams alone write to.",
        ) from None
