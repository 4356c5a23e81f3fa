"""The consuming side: messages of the partitions that this process holds, and how far each has been answered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from screening.errors import NotReady
from screening.monitoring.stream_lag import PartitionProgress
from screening.streams.messages import MessagePlace
from screening.streams.options import StreamOptions

log = logging.getLogger("screening.stream")
Partition = tuple[str, int]
ASK_SECONDS, SHORT_SECONDS = 10.0, 1.0
# An error of the connection is repeated with each attempt, several a second.
QUIET_SECONDS = 30.0
UNKNOWN = -1
"""Highest offset below those that mean something."""
EARLIEST = "earliest"


class Inlet:
    """Reads the topic as a member of its group.

    Args:
        options: of the stream.
        kept: the positions that this installation has noted, for partitions of which the brokers have none: they
            forget those of a group that was away for long.

    Raises:
        NotReady: Kafka's client can't be made.
    """

    def __init__(self, options: StreamOptions, kept: Mapping[Partition, int]) -> None:
        from confluent_kafka import Consumer

        self._options = options
        self._told: dict[str, float] = {}
        given = {
            **options.consumer(),
            "error_cb": self.tell,
            "on_commit": self._on_commit,
            "enable.partition.eof": False,
        }
        self._consumer = made(Consumer, given)
        self._progress: dict[Partition, PartitionProgress] = {}
        """Progress of the partitions that this process holds, and of those that it gave up and that aren't written."""
        self._held: set[Partition] = set()
        self._done: dict[Partition, int] = {}
        """Positions that aren't known to be committed."""
        self._ahead: list[Any] = []
        self._paused = False
        self._lost = self._forgotten({key: each for key, each in kept.items() if key[0] == options.topic})
        self._consumer.subscribe(
            [options.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def take(self, seconds: float) -> list[Any]:
        """Return the messages that are there, in the order of each partition, up to as many as are decided together.

        Args:
            seconds: how long to wait for the first one.
        """
        self._go_on()
        found, self._ahead = self._ahead, []
        if not found:
            first = self._consumer.poll(seconds)
            found = [] if first is None else [first]
        if found:
            found += self._consumer.consume(max(self._options.most - len(found), 1), timeout=0)
        return [
            each for each in found if self._is_message(each) and self.holds(each.topic(), each.partition())
        ]

    def keep_alive(self) -> None:
        """Stay in the group while nothing can be taken: partitions may come and go meanwhile."""
        if not self._paused:
            self._consumer.pause(self._consumer.assignment())
            self._paused = True
        stray = self._consumer.poll(0)
        if stray is not None:  # it was on its way to us
            self._ahead.append(stray)

    def holds(self, topic: str, partition: int) -> bool:
        """Return whether a partition is this process's."""
        return (topic, partition) in self._held

    def done(self, places: Sequence[MessagePlace], rejected: Collection[MessagePlace]) -> None:
        """Note that messages were answered, and tell the brokers how far their partitions are.

        Args:
            places: of all.
            rejected: of those among them that weren't decided.
        """
        now = time.time()
        for place in places:
            key = place.topic, place.partition
            if key not in self._held:  # whoever has it now answers and counts them, too
                continue
            each = self._progress_of(key)
            each.consumed += 1
            each.rejected += place in rejected
            each.last_message = now
            self._done[key] = each.position = max(each.position, place.offset + 1)
        self._commit(self._done, wait=False)

    def progress(self) -> list[PartitionProgress]:
        """Return the progress of all partitions, as far as the brokers told with the last messages."""
        from confluent_kafka import KafkaException, TopicPartition

        self._learn(SHORT_SECONDS)
        for key in self._held:
            each = self._progress_of(key)
            with suppress(KafkaException):
                _, end = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
                each.end = end if end > UNKNOWN else None
        # one that nothing was read of yet has no position worth telling
        return [each for each in self._progress.values() if each.position > UNKNOWN]

    def written(self) -> None:
        """Forget what was counted: it is written."""
        self._progress = {key: each for key, each in self._progress.items() if key in self._held}
        for each in self._progress.values():
            each.consumed = each.rejected = 0

    def is_at_end(self) -> bool:
        """Return whether partitions are held, and all that was sent to them by now was answered."""
        from confluent_kafka import KafkaException, TopicPartition

        if not self._held:
            return False
        self._learn(ASK_SECONDS)
        for key in self._held:
            try:
                first, end = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=ASK_SECONDS)
            except KafkaException:
                return False
            begins = first if self._options.start == EARLIEST else end
            position = self._progress_of(key).position
            if end > (position if position > UNKNOWN else begins):
                return False
        return True

    def close(self) -> None:
        """Commit what was answered, and leave the group."""
        self._commit(self._done, wait=True)
        self._consumer.close()

    def tell(self, error: Any) -> None:
        """Log an error of the client; the same one again only after a while.

        Raises:
            NotReady: the client can't be used any more.
        """
        now = time.monotonic()
        if now - self._told.get(error.name(), -QUIET_SECONDS) >= QUIET_SECONDS:
            self._told[error.name()] = now
            log.warning("Kafka says %s: %s", error.name(), error.str())
        if error.fatal():
            raise NotReady(f"Kafka's client gave up: {error.str()}.", remedy="Start the stream again.")

    def _forgotten(self, kept: Mapping[Partition, int]) -> dict[Partition, int]:
        """Return those of our own positions which the brokers don't have any more."""
        try:
            known = self._committed(list(kept), ASK_SECONDS)
        except NotReady as problem:
            log.warning("Positions can't be looked up: %s", problem)
            return {}
        return {key: offset for key, offset in kept.items() if key not in known}

    def _learn(self, seconds: float) -> None:
        """Ask for the positions of partitions of which nothing was read yet."""
        unknown = [key for key in self._held if self._progress_of(key).position <= UNKNOWN]
        with suppress(NotReady):  # another time
            for key, offset in self._committed(unknown, seconds).items():
                self._progress_of(key).position = offset

    def _committed(self, keys: Sequence[Partition], seconds: float) -> dict[Partition, int]:
        """Return the positions that the brokers have, of those partitions of which they have one.

        Raises:
            NotReady: they don't answer.
        """
        from confluent_kafka import KafkaException, TopicPartition

        if not keys:
            return {}
        try:
            found = self._consumer.committed([TopicPartition(*key) for key in keys], timeout=seconds)
        except KafkaException as problem:
            raise NotReady(f"Kafka says: {problem.args[0].str()}.") from None
        for each in found:
            if each.error is not None:
                raise NotReady(f"Kafka says: {each.error.str()}.")
        return {(each.topic, each.partition): each.offset for each in found if each.offset > UNKNOWN}

    def _progress_of(self, key: Partition) -> PartitionProgress:
        return self._progress.setdefault(key, PartitionProgress(*key, position=UNKNOWN, end=None))

    def _is_message(self, message: Any) -> bool:
        error = message.error()
        if error is not None:
            self.tell(error)
        return error is None

    def _go_on(self) -> None:
        if self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False

    def _commit(self, done: Mapping[Partition, int], *, wait: bool) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        if not done:
            return
        offsets = [TopicPartition(*key, offset) for key, offset in done.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=not wait)
        except KafkaException as problem:
            # answered again, under the same keys, by whoever has the partition next
            log.warning("How far the stream is wasn't committed: %s", problem.args[0].str())

    def _on_commit(self, error: Any, partitions: Sequence[Any]) -> None:
        if error is not None:
            self.tell(error)
            return
        for each in partitions:
            key = each.topic, each.partition
            if each.error is None and self._done.get(key) == each.offset:
                del self._done[key]

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        for each in partitions:
            key = each.topic, each.partition
            own = self._lost.pop(key, None)
            if own is not None:
                log.warning(
                    "The brokers have no position of %s-%d: it goes on at %d, as was noted here", *key, own
                )
                each.offset = self._progress_of(key).position = self._done[key] = own
        consumer.incremental_assign(partitions)
        self._held |= {(each.topic, each.partition) for each in partitions}
        if self._paused:
            consumer.pause(partitions)
        log.info("partitions that this process reads: %s", named(self._held))

    def _on_revoke(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        gone = {(each.topic, each.partition) for each in partitions}
        self._commit({key: offset for key, offset in self._done.items() if key in gone}, wait=True)
        self._drop(gone)

    def _on_lost(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        log.warning(
            "The brokers took %d partitions away: this process was too slow, or cut off", len(partitions)
        )
        self._drop({(each.topic, each.partition) for each in partitions})

    def _drop(self, gone: set[Partition]) -> None:
        self._held -= gone
        for key in gone:
            self._done.pop(key, None)
        log.info("partitions that this process reads: %s", named(self._held))


def named(held: set[Partition]) -> str:
    """Return partitions in words."""
    return ", ".join(f"{topic}-{number}" for topic, number in sorted(held)) or "none"


def made(kind: Callable[[dict[str, Any]], Any], given: dict[str, Any]) -> Any:
    """Return a client of Kafka's.

    Raises:
        NotReady: it can't be made of what it is told; the message has no value of an option that may be a secret.
    """
    from confluent_kafka import KafkaException

    try:
        return kind({**given, "logger": log})
    except KafkaException as problem:
        said = str(problem.args[0].str())
        for name, value in given.items():
            if (
                isinstance(value, str)
                and value
                and ("password" in name or "secret" in name or "." not in name)
            ):
                said = said.replace(value, "…")
        raise NotReady(
            f"Kafka's client can't be made: {said}.",
            remedy="Look at STREAM_SECURITY, the settings of its certificates, and STREAM_OPTIONS.",
        ) from None
