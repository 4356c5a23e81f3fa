"""Commits for all who wait: of threads that have something to write, one commits what all of them have by then.

A durable commit waits for the disk, and the next one begins when it is done: eight requests that wait meanwhile share
the next commit, instead of seven of them waiting for one another's.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")
# Entries of one commit: it holds the database's lock meanwhile.
MOST = 256


class GroupCommit(Generic[Given, Made]):
    """The thread that holds the lock leads: it commits what is queued, its own and that of those who wait for the lock.

    Args:
        commit: writes some things in one transaction, and returns what became of each.
    """

    def __init__(self, commit: Callable[[Sequence[Given]], Sequence[Made]]) -> None:
        self._commit = commit
        self._turn = threading.Lock()
        self._queue: deque[_Share[Given, Made]] = deque()

    def add(self, given: Sequence[Given]) -> list[Made]:
        """Return what became of each thing, once all of them are committed.

        Raises:
            whatever ``commit`` raises: nothing of that commit was written, also of those who shared it.
        """
        mine: _Share[Given, Made] = _Share(given)
        self._queue.append(mine)
        with self._turn:
            # whoever gets the turn commits for all that wait, mostly for its own share too
            while not mine.done:
                self._lead()
        if mine.failure is not None:
            raise mine.failure
        return mine.made

    def _lead(self) -> None:
        shares: list[_Share[Given, Made]] = []
        count = 0
        # the first share is taken whatever its size, or a large one would wait for ever
        while self._queue and (not shares or count + len(self._queue[0].given) <= MOST):
            shares.append(self._queue.popleft())
            count += len(shares[-1].given)
        try:
            made = iter(self._commit([each for share in shares for each in share.given]))
            for share in shares:
                share.made = [next(made) for _ in share.given]
        except BaseException as failure:  # noqa: BLE001 -- each of them is told in its own thread
            for share in shares:
                share.failure = failure
        finally:
            for share in shares:
                share.done = True


@dataclass(slots=True, eq=False)
class _Share(Generic[Given, Made]):
    """One thread's share of a commit."""

    given: Sequence[Given]
    made: list[Made] = field(default_factory=list)
    failure: BaseException | None = None
    done: bool = False
