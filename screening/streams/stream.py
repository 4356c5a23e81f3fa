"""The work of a stream: messages are taken, decided on together, answered, and only then counted as done.

A process may die at any moment. What it had taken and not committed is delivered again, to it or to another one of its
group, and is answered as before: the ledger keeps the answer under the key of the message, in the transaction that
keeps the decision.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from screening.errors import BadArtefact, ScreeningError
from screening.infra.database import Database, is_unusable
from screening.monitoring import stream_lag
from screening.streams.inlet import Inlet
from screening.streams.messages import HEADER, MessagePlace, MessageReader, MessageRequest
from screening.streams.options import StreamOptions
from screening.streams.outlet import Outlet, PendingAnswer

log = logging.getLogger("screening.stream")
Decide = Callable[[Sequence[MessageRequest]], Sequence[bytes | Exception]]
"""Decides on requests, and keeps the decisions: of each its answer, or why there is none."""
Word = Callable[[Exception, MessageRequest], bytes]
"""Words an error as the API does."""
REQUEST_ID = "request-id"
"""Header of an answer that names its message."""
TAKE_SECONDS = 0.5
WRITE_SECONDS = 5.0
# An error of ours is tried again before its message is rejected: what is wrong may pass.
MOST_ATTEMPTS = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
WAITS = (503, 507)
"""Statuses of errors that pass: a part isn't ready or too busy, the disk is full."""
# So long a stop waits for answers that the brokers haven't acknowledged.
LAST_SECONDS = 10.0
# A partition must be asked for now and then, or the group takes it away; not for each short wait.
KEEP_ALIVE_SECONDS = 2.0


class AnswerTooLarge(ScreeningError):
    """An answer is larger than a message of Kafka may be."""

    status = 413
    title = "This answer is too large"

    @classmethod
    def now(cls) -> AnswerTooLarge:
        """Return what is said of a message whose answer is."""
        return cls(
            "The transactions were decided on, and the answer is larger than a message may be (message.max.bytes).",
            remedy="The decisions are in the ledger. Send fewer transactions in one message, or raise the limit.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamServices:
    """The app as a stream needs it."""

    decide: Decide
    word: Word
    database: Database
    """Database in which progress is written."""
    secret: bytes
    """Secret that keys of messages are hashed with."""


class Stream:
    """Reads a topic until it is told to stop.

    Args:
        options: of the stream.
        work: what decides.

    Raises:
        BadSetting: the brokers don't take what the settings say.
        NotReady: Kafka's client can't be made, or no broker answers.
    """

    def __init__(self, options: StreamOptions, work: StreamServices) -> None:
        self._options, self._work = options, work
        self._stop = threading.Event()
        self._reader = MessageReader(options, work.secret)
        self._inlet = Inlet(options, partial(stream_lag.positions, work.database, options.group))
        self._outlet = Outlet(options, self._inlet.errors.tell)
        self._written = 0.0
        self.consumed = self.rejected = 0
        """Messages that were answered, and those of them that were rejected."""

    def stop(self) -> None:
        """Stop after the messages in hand. May be called by a signal."""
        self._stop.set()

    def run(self, *, until_end: bool = False) -> None:
        """Work until told to stop, or until everything that was sent is answered.

        Raises:
            NotReady: Kafka's client can't be used any more.
        """
        try:
            while not self._stop.is_set():
                found = [self._reader.read(message) for message in self._inlet.take(TAKE_SECONDS)]
                if found:
                    self._answer(found)
                elif until_end and self._inlet.is_at_end():
                    break
                if time.monotonic() - self._written >= WRITE_SECONDS:
                    self._write()
        finally:
            try:
                self._write()
            finally:
                self._inlet.close()

    def _answer(self, asked: Sequence[MessageRequest]) -> None:
        decided = self._decided(asked)
        if decided is None:  # it is time to stop, and they are delivered again
            return
        rejected: set[MessagePlace] = set()

        def reject(one: MessageRequest, error: Exception) -> PendingAnswer:
            rejected.add(one.place)
            return self._to(self._options.rejected, one, self._work.word(error, one))

        def instead(place: int, too_large: PendingAnswer) -> PendingAnswer:
            one = decided[place][0]
            if one.place not in rejected:
                return reject(one, AnswerTooLarge.now())
            # what is large may be the key, or the header that came with it
            return replace(too_large, key=None, headers=((REQUEST_ID, one.place.number.encode()),))

        answers = [
            reject(one, answer)
            if isinstance(answer, Exception)
            else self._to(self._options.decisions, one, answer)
            for one, answer in decided
        ]
        patience = StreamPatience(self._inlet.keep_alive, self._stop, LAST_SECONDS)
        # else it was told to stop, and they are delivered again
        if self._outlet.send(answers, patience, instead):
            self._inlet.done([one.place for one, _ in decided], rejected)
            self.consumed += len(decided)
            self.rejected += len(rejected)

    @staticmethod
    def _to(topic: str, one: MessageRequest, value: bytes) -> PendingAnswer:
        headers = (REQUEST_ID, one.place.number.encode()), (HEADER, one.idempotency_key.encode())
        return PendingAnswer(topic, one.key, value, headers)

    def _decided(
        self, asked: Sequence[MessageRequest]
    ) -> list[tuple[MessageRequest, bytes | Exception]] | None:
        """Return messages with their answers, or the errors that they are rejected for; ``None`` if it is time to stop.

        Those are left out that went to another process meanwhile.
        """
        answers: dict[int, bytes | Exception] = {}
        left = dict(enumerate(asked))
        pause = FIRST_PAUSE
        failed: Counter[int] = Counter()
        """Attempts of each message that ended with an error of its own: what all wait for is nobody's."""
        while left:
            error: Exception | None = None
            for place, answer in zip(list(left), self._work.decide(list(left.values())), strict=True):
                if isinstance(answer, Exception) and passes(answer):
                    error = answer
                    continue
                failed[place] += 1
                if isinstance(answer, Exception) and not is_final(answer, failed[place]):
                    error = answer
                else:
                    answers[place] = answer
                    del left[place]
            if error is None:
                break
            log.warning(
                "%d messages wait, to be tried again: %s", len(left), str(error) or type(error).__name__
            )
            patience = StreamPatience(self._inlet.keep_alive, self._stop, 0.0)
            until = time.monotonic() + pause
            while time.monotonic() < until:
                if not patience():
                    return None
                self._stop.wait(FIRST_PAUSE)
            pause = min(2 * pause, LONGEST_PAUSE)
            left = {
                place: one
                for place, one in left.items()
                if self._inlet.holds(one.place.topic, one.place.partition)
            }
        return [(one, answers[place]) for place, one in enumerate(asked) if place in answers]

    def _write(self) -> None:
        self._written = time.monotonic()
        found = self._inlet.progress()
        if not found:
            return
        try:
            stream_lag.write(self._work.database, self._options.group, found)
        except SQLAlchemyError as problem:
            log.warning("How far the stream is can't be written: %s", getattr(problem, "orig", problem))
        else:
            self._inlet.written()


class StreamPatience:
    """Says whether to wait longer, and keeps a process that waits in its group.

    Args:
        keep_alive: keeps it there.
        stop: set when it is time to stop.
        last: so many seconds of waiting are left from then on.
    """

    def __init__(self, keep_alive: Callable[[], None], stop: threading.Event, last: float) -> None:
        self._keep_alive, self._stop, self._last = keep_alive, stop, last
        self._began = time.monotonic()
        self._told: float | None = None

    def __call__(self) -> bool:
        """Return whether to wait longer."""
        now = time.monotonic()
        if now - self._began >= KEEP_ALIVE_SECONDS:
            self._keep_alive()
        if not self._stop.is_set():
            return True
        self._told = self._told or now
        return now - self._told < self._last


def passes(error: Exception) -> bool:
    """Return whether an error passes by itself, however long that takes: it would be the same with every message."""
    # what was sent is worth waiting for
    if is_unusable(error) or isinstance(error, OSError):
        return True
    # a net that can't be loaded is the business of those only that name it
    return isinstance(error, ScreeningError) and error.status in WAITS and not isinstance(error, BadArtefact)


def is_final(error: Exception, attempts: int) -> bool:
    """Return whether a message is rejected for an error that is its own, or tried again.

    Args:
        error: why it has no answer.
        attempts: so often it was tried.
    """
    return attempts >= MOST_ATTEMPTS or (isinstance(error, ScreeningError) and error.status < 500)
