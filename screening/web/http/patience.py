"""Time limits for what nearly always comes at once: one timer looks after all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
# Looks in the time that something may take, so it overruns its limit by a twentieth at most.
LOOKS = 20


class Patience:
    """Ends what takes too long, as :func:`asyncio.timeout` does; that has a timer for each, which takes longer to make
    and to cancel than most bodies take to come.
    """

    def __init__(self) -> None:
        self._until: dict[asyncio.Task[Any], tuple[float, float]] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._looking: asyncio.AbstractEventLoop | None = None

    async def at_most(self, coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
        """Return what a coroutine gives.

        Raises:
            TimeoutError: it took longer than so many seconds.
        """
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is None:
            raise RuntimeError("time limits are for tasks")
        cancelled = task.cancelling()
        self._until[task] = loop.time() + seconds, seconds
        if self._looking is not loop:
            self._looking = loop
            loop.call_later(seconds / LOOKS, self._look, loop)
        try:
            return await coroutine
        except asyncio.CancelledError:
            if task in self._late and task.uncancel() <= cancelled:
                raise TimeoutError from None
            raise
        finally:
            del self._until[task]
            self._late.discard(task)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, (until, _) in list(self._until.items()):
            if now >= until and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._looking = loop if self._until else None
        if self._until:
            loop.call_later(min(seconds for _, seconds in self._until.values()) / LOOKS, self._look, loop)
