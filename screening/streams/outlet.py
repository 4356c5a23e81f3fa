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
class Answered:
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

    def send(self, answers: Sequence[Answered], wait: Callable[[], bool]) -> bool:
        """Send answers, and return whether the brokers have acknowledged all of them.

        Args:
            answers: in order.
            wait: is called again and again while they haven't, and returns whether to go on waiting.
        """
        left = dict(enumerate(answers))
        while left:
            problems: list[str] = []
            for place, each in list(left.items()):
                if not self._queue(each, self._told(place, left, problems), wait):
                    return False
            while self._producer.flush(FLUSH_SECONDS):
                if not wait():
                    return False
            if left:
                why = "; ".join(dict.fromkeys(problems))
                log.warning("%d answers weren't taken and are sent again: %s", len(left), why)
                until = time.monotonic() + AGAIN_SECONDS
                while time.monotonic() < until:
                    if not wait():
                        return False
                    self._producer.poll(FLUSH_SECONDS)
        return True

    def _queue(self, one: Answered, told: Callable[[Any, Any], None], wait: Callable[[], bool]) -> bool:
        """Give an answer to the client; ``False`` if nobody waits any longer until there is room."""
        while True:
            try:
                self._producer.produce(
                    one.topic, value=one.value, key=one.key, headers=one.headers, on_delivery=told
                )
            except BufferError:  # the brokers are slower than we are
                self._producer.poll(FLUSH_SECONDS)
                if not wait():
                    return False
            else:
                return True

    @staticmethod
    def _told(place: int, left: dict[int, Answered], problems: list[str]) -> Callable[[Any, Any], None]:
        """Return what takes an acknowledged answer from those that are left, or notes why it wasn't."""

        def told(error: Any, _message: Any) -> None:
            if error is None:
                left.pop(place, None)
            else:
                problems.append(error.str())

        return told
