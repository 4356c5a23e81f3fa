"""The consuming side: messages of the partitions that this process holds, and how far each has been answered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from sqlalchemy.exc import SQLAlchemyError

from screening.errors import NotReady
from screening.monitoring.stream_lag import PartitionProgress
from screening.streams.client import (
    END_OF_PARTITION,
    ErrorLog,
    Partition,
    committed,
    new_client,
    require_topics,
)
from screening.streams.messages import MessagePlace
from screening.streams.options import StreamOptions

log = logging.getLogger("screening.stream")
ASK_SECONDS, SHORT_SECONDS = 10.0, 1.0
# So long a stop waits for brokers that don't answer: less than service managers wait for it.
CLOSE_SECONDS = 10.0
# What is decided together is in memory at once, several times over. Messages are taken so many at a time until they
# are so large together.
MOST_BYTES, CHUNK = 4 * 1024 * 1024, 16
UNKNOWN = -1
"""Offset of no message."""


class Inlet:
    """Reads the topic as a member of its group.

    Args:
        options: of the stream.
        noted: looks up the positions that this installation has noted, for partitions of which the brokers have none:
            they forget those of a group that was away for long.

    Raises:
        BadSetting: the brokers don't take what the settings say.
        NotReady: Kafka's client can't be made, or no broker answers.
    """

    def __init__(self, options: StreamOptions, noted: Callable[[], Mapping[Partition, int]]) -> None:
        self._options, self._noted = options, noted
        self.errors = ErrorLog()
        given = {**options.consumer(), "error_cb": self.errors.tell, "on_commit": self._on_commit}
        self._consumer: Consumer = new_client(Consumer, given, options.secrets())
        self._progress: dict[Partition, PartitionProgress] = {}
        """Progress of the partitions that this process holds."""
        self._given_up: list[PartitionProgress] = []
        """The same of those that it gave up, and that isn't written."""
        self._assignments = 0
        self._held: dict[Partition, int] = {}
        """Partitions that this process holds, each with the number of the assignment that gave it."""
        self._in_hand: dict[Partition, int] = {}
        """The same, as of the moment when messages were taken last."""
        self._ends: dict[Partition, int] = {}
        """Ends that were reached behind the messages that were taken last."""
        self._uncommitted: dict[Partition, int] = {}
        """Positions that aren't known to be committed."""
        self._asked = 0
        """Commits that the brokers haven't answered."""
        self._ahead: list[tuple[Any, int]] = []
        """Messages that came while nothing was taken, each with the assignment that it came by."""
        self._paused = False
        try:
            require_topics(self._consumer, options, self.errors)
        except BaseException:
            self._consumer.close()
            raise
        self._consumer.subscribe(
            [options.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def take(self, seconds: float) -> list[Any]:
        """Return the messages that are there, in the order of each partition, up to as many as are decided together.

        Args:
            seconds: how long to wait for the first one.
        """
        if self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False
        came, self._ahead = self._ahead, []
        self._ends.clear()
        if not came:
            first = self._consumer.poll(seconds)
            came = [] if first is None else [self._marked(first)]
        size = sum(len(message) for message, _ in came)
        while came and len(came) < self._options.most and size < MOST_BYTES:
            more = self._consumer.consume(min(self._options.most - len(came), CHUNK), timeout=0)
            if not more:
                break
            came += map(self._marked, more)
            size += sum(map(len, more))
        self._in_hand = dict(self._held)
        found = [message for message, turn in came if self._is_ours(message, turn)]
        if not found and self._ends:  # nothing waits before these ends
            self.done((), ())
        return found

    def keep_alive(self) -> None:
        """Stay in the group while nothing can be taken: partitions may come and go meanwhile."""
        if not self._paused:
            self._consumer.pause(self._consumer.assignment())
            self._paused = True
        stray = self._consumer.poll(0)
        if stray is not None:  # it was on its way to us
            self._ahead.append(self._marked(stray))

    def holds(self, topic: str, partition: int) -> bool:
        """Return whether a partition has been this process's without a break since messages were taken last."""
        turn = self._held.get((topic, partition))
        return turn is not None and turn == self._in_hand.get((topic, partition))

    def done(self, places: Sequence[MessagePlace], rejected: Collection[MessagePlace]) -> None:
        """Note that all messages that were taken last were answered, and tell the brokers how far the partitions are.

        Args:
            places: of all of them, but for those of partitions that went to another process meanwhile.
            rejected: of those among them that weren't decided.
        """
        now = time.time()
        for place in places:
            key = place.topic, place.partition
            # whoever has it now answers and counts them, too; and a position of ours would lie behind theirs
            if not self.holds(*key):
                continue
            each = self._progress[key]
            each.consumed += 1
            each.rejected += place in rejected
            each.last_message = now
            self._uncommitted[key] = each.position = place.offset + 1
        for key, end in self._ends.items():
            # marks of transactions, and what was compacted away, are no messages
            if end > self._progress[key].position:
                self._uncommitted[key] = self._progress[key].position = end
        self._ends.clear()
        self._commit(self._uncommitted, wait=False)

    def progress(self) -> list[PartitionProgress]:
        """Return the progress of all partitions whose position is known, as the brokers told it with the last messages.

        Where they don't answer now, it is none that is known of late.
        """
        answered = False
        with suppress(KafkaException):
            for key in list(self._held)[:1]:
                self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=SHORT_SECONDS)
                answered = True
        for key, each in self._progress.items():
            each.recent = answered
            if answered:
                with suppress(KafkaException):
                    _, end = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
                    each.end = end if end > UNKNOWN else None
        return [*self._given_up, *(each for each in self._progress.values() if each.position > UNKNOWN)]

    def written(self) -> None:
        """Forget what was counted: it is written."""
        self._given_up.clear()
        for each in self._progress.values():
            each.consumed = each.rejected = 0

    def is_at_end(self) -> bool:
        """Return whether partitions are held, and all that was sent to them by now was answered."""
        for key in self._held:
            try:
                _, end = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=ASK_SECONDS)
            except KafkaException:
                return False
            if self._progress[key].position < end:
                return False
        return bool(self._held)

    def close(self) -> None:
        """Commit what was answered, and leave the group; brokers that don't answer are left as they are."""
        self._commit(self._uncommitted, wait=False)
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._asked:
            # the client would wait for them as long as the group does
            if time.monotonic() >= deadline:
                log.warning("The brokers don't answer: what wasn't committed is delivered again")
                return
            self.keep_alive()
            time.sleep(0.01)
        self._consumer.close()

    def _marked(self, message: Any) -> tuple[Any, int]:
        return message, self._held.get((message.topic(), message.partition()), UNKNOWN)

    def _is_ours(self, message: Any, turn: int) -> bool:
        """Return whether what came is a message of a partition that this process still has; note what else it is."""
        error, key = message.error(), (message.topic(), message.partition())
        if error is not None and error.code() != END_OF_PARTITION:
            self.errors.tell(error)
            return False
        if turn != self._held.get(key):
            return False
        if error is not None:
            self._ends[key] = message.offset()
        return error is None

    def _commit(self, positions: Mapping[Partition, int], *, wait: bool) -> None:
        if not positions:
            return
        offsets = [TopicPartition(*key, offset) for key, offset in positions.items()]
        try:
            if wait:
                self._consumer.commit(offsets=offsets, asynchronous=False)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=True)
                self._asked += 1
        except KafkaException as problem:
            # answered again, under the same keys, by whoever has the partition next
            log.warning("How far the stream is wasn't committed: %s", problem.args[0].str())

    def _on_commit(self, error: Any, partitions: Sequence[Any]) -> None:
        self._asked = max(self._asked - 1, 0)
        if error is not None:
            self.errors.tell(error)
            return
        for each in partitions:
            key = each.topic, each.partition
            if each.error is None and self._uncommitted.get(key) == each.offset:
                del self._uncommitted[key]

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        self._assignments += 1
        given = {(each.topic, each.partition): each for each in partitions}
        for key in given:
            self._held[key] = self._assignments
            # another process may have been further since we had it
            self._progress[key] = PartitionProgress(*key, position=UNKNOWN, end=None)
        for key, offset in self._forgotten(given).items():
            log.warning(
                "The brokers have no position of %s-%d: it goes on at %d, as was noted here", *key, offset
            )
            given[key].offset = self._progress[key].position = self._uncommitted[key] = offset
        consumer.incremental_assign(partitions)
        if self._paused:
            consumer.pause(partitions)
        log.info("partitions that this process reads: %s", names_of(self._held))

    def _forgotten(self, keys: Collection[Partition]) -> dict[Partition, int]:
        """Return the positions that are noted here, of those partitions of which the brokers have none.

        Raises:
            NotReady: neither the brokers nor the database can be asked for one.
        """
        try:
            noted = {key: offset for key, offset in self._noted().items() if key in keys}
        except SQLAlchemyError as problem:
            log.warning("Positions can't be looked up here: %s", getattr(problem, "orig", problem))
            noted = dict.fromkeys(keys, UNKNOWN)
        try:
            known = committed(self._consumer, noted, ASK_SECONDS)
        except NotReady as problem:
            # a position that lies behind theirs has messages answered once more; none at all may lose some
            log.warning("Positions can't be looked up: %s", problem)
            known = {}
        forgotten = {key: offset for key, offset in noted.items() if key not in known}
        if UNKNOWN in forgotten.values():
            raise NotReady(
                f"How far {names_of(forgotten)} was read is known neither with the brokers nor in the database, which "
                "can't be asked.",
                remedy="Start the stream again once the database can be reached.",
            )
        return forgotten

    def _on_revoke(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        gone = {(each.topic, each.partition) for each in partitions}
        self._commit({key: offset for key, offset in self._uncommitted.items() if key in gone}, wait=True)
        self._drop(gone)

    def _on_lost(self, _consumer: Any, partitions: Sequence[Any]) -> None:
        log.warning(
            "The brokers took %d partitions away: this process was too slow, or cut off", len(partitions)
        )
        self._drop({(each.topic, each.partition) for each in partitions})

    def _drop(self, gone: set[Partition]) -> None:
        for key in gone:
            for known in (self._held, self._uncommitted, self._ends):
                known.pop(key, None)
            left = self._progress.pop(key, None)
            if left is not None and left.consumed:
                left.recent = False
                self._given_up.append(left)
        log.info("partitions that this process reads: %s", names_of(self._held))


def names_of(held: Collection[Partition]) -> str:
    """Return partitions in words."""
    return ", ".join(f"{topic}-{number}" for topic, number in sorted(held)) or "none"
