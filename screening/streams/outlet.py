"""The producing side: answers, each of which is acknowledged by the brokers before its message counts as done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from screening.streams.client import new_client
from screening.streams.messages import MessageHeader
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
    value: bytes | None
    headers: tuple[MessageHeader, ...]


class Outlet:
    """Sends answers.

    Args:
        options: of the stream.
        tell: is given each error of the client.

    Raises:
        NotReady: Kafka's client can't be made.
    """

    def __init__(self, options: StreamOptions, tell: Callable[[Any], None]) -> None:
        given = {**options.producer(), "error_cb": tell}
        self._producer: Producer = new_client(Producer, given, options.secrets())
        self.why = "nothing"
        """What the brokers said when they didn't take an answer last."""

    def send(
        self,
        answers: Sequence[PendingAnswer],
        wait: Callable[[], bool],
        instead: Callable[[int, PendingAnswer], PendingAnswer | None],
    ) -> bool:
        """Send answers, and return whether the brokers have acknowledged all of them.

        Args:
            answers: in order.
            wait: is called again and again while they haven't, and returns whether to go on waiting.
            instead: returns what is sent in the place of an answer that is larger than a message may be, given its
                place and what was too large: the same where nothing smaller can be said, ``None`` to send nothing.
        """
        left = dict(enumerate(answers))
        alone: set[int] = set()
        """Places of answers that brokers found too large in company: they refuse all that was sent together then."""
        while left:
            attempt = SendAttempt(left)
            for place in sorted(left, key=lambda each: (each in alone, each)):
                if place in alone and not self._is_flushed(wait):
                    return False
                if not self._is_queued(place, attempt, wait):
                    return False
            if not self._is_flushed(wait):
                return False
            for place, by_broker in attempt.too_large.items():
                if by_broker and place not in alone:
                    alone.add(place)
                else:
                    attempt.put_instead(place, instead(place, left[place]))
            if attempt.problems and not self._pause(len(left), attempt.problems, wait):
                return False
        return True

    def _pause(self, left: int, problems: Sequence[str], wait: Callable[[], bool]) -> bool:
        """Wait a while before what wasn't taken is sent again; ``False`` if nobody waits any longer."""
        self.why = "; ".join(dict.fromkeys(problems))
        log.warning("%d messages weren't taken and are sent again: %s", left, self.why)
        until = time.monotonic() + AGAIN_SECONDS
        while time.monotonic() < until:
            if not wait():
                return False
            self._producer.poll(FLUSH_SECONDS)
        return True

    def _is_flushed(self, wait: Callable[[], bool]) -> bool:
        """Wait until it is known what became of all answers; ``False`` if nobody waits any longer."""
        while self._producer.flush(FLUSH_SECONDS):
            if not wait():
                return False
        return True

    def _is_queued(self, place: int, attempt: SendAttempt, wait: Callable[[], bool]) -> bool:
        """Give an answer to the client; ``False`` if nobody waits any longer until there is room."""
        one = attempt.left[place]
        while True:
            try:
                self._producer.produce(
                    one.topic,
                    value=one.value,
                    key=one.key,
                    headers=list(one.headers),
                    on_delivery=partial(attempt.tell, place),
                )
            except BufferError:  # the brokers are slower than we are
                self._producer.poll(FLUSH_SECONDS)
                if not wait():
                    return False
            except KafkaException as problem:
                attempt.tell(place, problem.args[0], by_broker=False)
                return True
            else:
                return True


class SendAttempt:
    """An attempt to send what is left.

    Args:
        left: answers that aren't acknowledged, by their places; those that are leave it.
    """

    def __init__(self, left: dict[int, PendingAnswer]) -> None:
        self.left = left
        self.too_large: dict[int, bool] = {}
        """Places of answers that are too large, and whether it was a broker who said so."""
        self.problems: list[str] = []
        """Other reasons for which some weren't taken."""

    def tell(self, place: int, error: Any, _message: object = None, *, by_broker: bool = True) -> None:
        """Note what became of an answer."""
        if error is None:
            self.left.pop(place, None)
        elif error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self.too_large[place] = by_broker
        else:
            self.problems.append(error.str())

    def put_instead(self, place: int, smaller: PendingAnswer | None) -> None:
        """Have a smaller answer sent in the place of one that is too large, or none."""
        if smaller is None:
            del self.left[place]
        elif smaller == self.left[place]:
            self.problems.append("a message may not even be as large as what is said of one")
        else:
            self.left[place] = smaller
