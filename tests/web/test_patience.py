"""Time limits with one timer for all: they end what waits, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from screening.web.http.patience import Patience


async def soon(value: int) -> int:
    await asyncio.sleep(0)
    return value


def test_what_comes_in_time_is_given_and_leaves_nothing_behind() -> None:
    async def all_at_once() -> list[int]:
        return await asyncio.gather(*(patience.at_most(soon(value), 5.0) for value in range(100)))

    patience = Patience()
    assert asyncio.run(all_at_once()) == list(range(100))
    assert not patience._until


def test_what_doesnt_come_is_ended_and_the_others_go_on() -> None:
    async def both() -> tuple[object, int]:
        never = asyncio.ensure_future(patience.at_most(asyncio.sleep(60), 0.2))
        later = asyncio.ensure_future(patience.at_most(asyncio.sleep(0.4, 7), 30.0))
        return (await asyncio.gather(never, return_exceptions=True))[0], await later

    patience = Patience()
    for _ in range(2):  # each in a loop of its own
        ended, value = asyncio.run(both())
        assert isinstance(ended, TimeoutError)
        assert value == 7


def test_who_is_cancelled_by_somebody_else_is_told_so() -> None:
    async def cancelled() -> None:
        task = asyncio.ensure_future(patience.at_most(asyncio.sleep(60), 30.0))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    patience = Patience()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert not patience._until
