"""A sender who is refused while still sending gets to read why: its line isn't cut as long as it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from screening.web.http import arriving
from screening.web.http.arriving import ArrivingBody, Message


class Clock:
    """The loop's time, which pieces move on."""

    def __init__(self) -> None:
        self.now = 0.0


def linger(seconds_before: Callable[[int], float], *, pieces: int) -> tuple[int, float]:
    """Discard a body, and return how many of its pieces were read and at what time it ended.

    Args:
        seconds_before: how long the sender waits before each piece, by its number.
        pieces: how many there are; the last one ends the body.
    """
    clock, read = Clock(), 0

    async def receive() -> Message:
        nonlocal read
        clock.now += seconds_before(read)
        # a bound that was passed is noticed between two turns of the loop
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        read += 1
        return {"type": "http.request", "body": b"x", "more_body": read < pieces}

    async def scenario() -> None:
        asyncio.get_running_loop().time = lambda: clock.now  # type: ignore[method-assign]
        await ArrivingBody(receive).discard()

    asyncio.run(scenario())
    return read, clock.now


def test_a_sender_who_goes_on_is_read_to_the_end() -> None:
    read, at = linger(lambda _: 0.2, pieces=100)
    assert read == 100
    assert at == pytest.approx(20.0)


def test_one_who_falls_silent_is_left() -> None:
    read, at = linger(lambda number: 0.1 if number < 3 else 2 * arriving.LINGER_SILENT_SECONDS, pieces=100)
    assert read == 3
    assert at == pytest.approx(0.3 + 2 * arriving.LINGER_SILENT_SECONDS)


def test_one_who_never_ends_is_left_at_last() -> None:
    read, at = linger(lambda _: 1.0, pieces=10_000)
    assert read < 2 * arriving.LINGER_SECONDS
    assert at == pytest.approx(arriving.LINGER_SECONDS, abs=2.0)
