"""Messages that were rejected: counted by reason, and sent again once the cause is fixed."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from screening.errors import NotReady
from screening.streams.client import END_OF_PARTITION, ErrorLog, new_client, require_topics
from screening.streams.messages import HEADER, MessagePlace
from screening.streams.options import StreamOptions

SECONDS = 30.0
"""So long each step waits for the brokers."""
AT_ONCE = 500
"""Messages that are read, sent again and committed together."""
SUFFIX = ".again"
"""End of the name of the group whose position says what was sent again."""
DECIDED = 413
"""Status of a problem whose transactions were decided on: only the answer was too large."""


class RejectionBody(msgspec.Struct):
    """Problem of a message, as far as it is told here."""

    status: int
    title: str
    what: str
    instance: str

    @property
    def place(self) -> MessagePlace:
        """Place of the message."""
        topic, partition, offset = self.instance.lstrip("/").rsplit("/", 2)
        return MessagePlace(topic, int(partition), int(offset))


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
        errors = ErrorLog()
        given = {**options.consumer(), "error_cb": errors.tell, "auto.offset.reset": "earliest"}
        group = {"group.id": f"{options.group}{SUFFIX}"}
        self._problems: Consumer = new_client(Consumer, {**given, **group}, options.secrets())
        self._messages: Consumer = new_client(Consumer, {**given, **group}, options.secrets())
        try:
            require_topics(self._problems, options, errors)
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
        producer: Producer = new_client(Producer, self._options.producer(), self._options.secrets())
        for some in self._unread():
            wanted = {}
            for message, problem in some:
                if problem.status == DECIDED:
                    found.decided += 1
                else:
                    wanted[problem.place] = dict(message.headers() or ()).get(HEADER)
            originals = self._originals(list(wanted))
            refused: list[Any] = []
            note = partial(note_refusal, refused)
            for place, original in originals.items():
                headers = [each for each in original.headers() or () if each[0].lower() != HEADER]
                key = wanted[place]
                producer.produce(
                    place.topic,
                    value=original.value(),
                    key=original.key(),
                    headers=[*headers, *([] if key is None else [(HEADER, key)])],
                    on_delivery=note,
                )
            if producer.flush(SECONDS) or refused:
                why = refused[0].str() if refused else "no answer"
                raise NotReady(f"Messages weren't taken: {why}.", remedy="Run it again.")
            found.sent += len(originals)
            found.gone += len(wanted) - len(originals)
            self._commit([message for message, _ in some])
        return found

    def _unread(self) -> Iterator[list[tuple[Any, RejectionBody]]]:
        """Yield the problems behind the position, up to where their topic ends now, some at a time."""
        ends = self._begin()
        left, deadline = set(ends), time.monotonic() + SECONDS
        some: list[tuple[Any, RejectionBody]] = []
        while left:
            for message in self._problems.consume(AT_ONCE, 0.5):
                deadline = time.monotonic() + SECONDS
                partition = message.partition()
                if message.error() is None and message.offset() < ends[partition]:
                    some.append((message, problem_of(message)))
                if is_last(message, ends[partition]):
                    left.discard(partition)
            if time.monotonic() >= deadline:
                raise NotReady(f"The brokers don't send {self._options.rejected}.", remedy="Try again.")
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

    def _originals(self, places: Sequence[MessagePlace]) -> dict[MessagePlace, Any]:
        """Return those messages that are still there."""
        by_partition: dict[tuple[str, int], list[int]] = defaultdict(list)
        for place in places:
            by_partition[place.topic, place.partition].append(place.offset)
        found = {}
        for (topic, partition), offsets in by_partition.items():
            for offset in sorted(offsets):
                message = self._message_at(TopicPartition(topic, partition, offset))
                if message is not None:
                    found[MessagePlace(topic, partition, offset)] = message
        return found

    def _message_at(self, place: TopicPartition) -> Any:
        self._messages.assign([place])
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message = self._messages.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is not None and error.code() in (END_OF_PARTITION, KafkaError.OFFSET_OUT_OF_RANGE):
                return None
            if error is None:
                # behind it: what was asked for isn't kept any more
                return message if message.offset() == place.offset else None
        raise NotReady(f"The brokers don't send {place.topic}.", remedy="Try again.")

    def _commit(self, messages: Sequence[Any]) -> None:
        reached: dict[int, int] = {}
        for message in messages:
            reached[message.partition()] = message.offset() + 1
        offsets = [TopicPartition(self._options.rejected, *each) for each in reached.items()]
        try:
            self._problems.commit(offsets=offsets, asynchronous=False)
        except KafkaException as problem:
            raise NotReady(f"Kafka says: {problem.args[0].str()}.", remedy="Run it again.") from None


def note_refusal(refused: list[Any], error: Any, _message: object) -> None:
    """Note why the brokers didn't take a message, if they didn't."""
    if error is not None:
        refused.append(error)


def is_last(message: Any, end: int) -> bool:
    """Return whether nothing comes behind what was read before an end: it is the last message, or tells of the end."""
    error = message.error()
    if error is None:
        return bool(message.offset() >= end - 1)
    return bool(error.code() == END_OF_PARTITION)


def problem_of(message: Any) -> RejectionBody:
    """Return a message of the topic of problems as one. Raises :class:`NotReady` for anything else."""
    try:
        found = _decode(message.value() or b"")
        found.place  # noqa: B018 -- raises where it names none
    except ValueError:
        raise NotReady(
            f"{message.topic()}-{message.partition()}-{message.offset()} is no problem of a stream.",
            remedy="STREAM_REJECTED must be a topic that streams alone write to.",
        ) from None
    return found
