"""The producing side: answers, each of which is acknowledged by the brokers before its message counts as done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from screening.streams.inlet import made
from screening.streams.options import StreamOptions

log = logging.getLogger("screening.stream")
FLUSH_SECONDS = 0.25
# Pause before what the brokers refused is sent again: they may be choosing another leader.
AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """An answer on its way: topic, key of the message that it answers, JSON, and headers."""

    topic: str
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]


class Outlet:
    """Sends answers.

    Args:
        options: of the stream.
        tell: is given each error of the client.
    """

    def __init__(self, options: StreamOptions, tell: Callable[[Any], None]) -> None:
        from confluent_kafka import Producer

        self._producer = made(Producer, {**options.producer(), "error_cb": tell})

    def send(
        self,
        answers: Sequence[PendingAnswer],
        wait: Callable[[], bool],
        instead: Callable[[int], PendingAnswer],
    ) -> bool:
        """Send answers, and return whether the brokers have acknowledged all of them.

        Args:
            answers: in order.
            wait: is called again and again while they haven't, and returns whether to go on waiting.
            instead: returns what is sent in the place of an answer that is larger than a message may be.
        """
        left = dict(enumerate(answers))
        while left:
            tried = _Attempt(left, instead)
            for place in list(left):
                if not self._queue(place, tried, wait):
                    return False
            while self._producer.flush(FLUSH_SECONDS):
                if not wait():
                    return False
            if tried.problems:
                why = "; ".join(dict.fromkeys(tried.problems))
                log.warning("%d answers weren't taken and are sent again: %s", len(left), why)
                until = time.monotonic() + AGAIN_SECONDS
                while time.monotonic() < until:
                    if not wait():
                        return False
                    self._producer.poll(FLUSH_SECONDS)
        return True

    def _queue(self, place: int, tried: _Attempt, wait: Callable[[], bool]) -> bool:
        """Give an answer to the client; ``False`` if nobody waits any longer until there is room."""
        from confluent_kafka import KafkaException

        while True:
            one = tried.left[place]
            try:
                self._producer.produce(
                    one.topic,
                    value=one.value,
                    key=one.key,
                    headers=one.headers,
                    on_delivery=lambda error, _message: tried.told(place, error),
                )
            except BufferError:  # the brokers are slower than we are
                self._producer.poll(FLUSH_SECONDS)
                if not wait():
                    return False
            except KafkaException as problem:
                tried.told(place, problem.args[0])
                return True
            else:
                return True


class _Attempt:
    """An attempt to send what is left.

    Args:
        left: answers that aren't acknowledged, by their places; those that are leave it.
        instead: as of :meth:`Outlet.send`.
    """

    def __init__(self, left: dict[int, PendingAnswer], instead: Callable[[int], PendingAnswer]) -> None:
        self.left, self._instead = left, instead
        self.problems: list[str] = []
        """Reasons for which others than too large ones weren't taken."""

    def told(self, place: int, error: Any) -> None:
        """Note what became of an answer."""
        from confluent_kafka import KafkaError

        if error is None:
            self.left.pop(place, None)
        elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self.left[place] = self._instead(place)
        else:
            self.problems.append(error.str())
