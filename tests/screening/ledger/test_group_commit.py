"""Those who wait share a commit: each gets its own result, and a failure is told to all who shared it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from screening.ledger import group_commit
from screening.ledger.group_commit import GroupCommit

THREADS = 12


class Disk:
    """Takes its time, and notes what it was given at once."""

    def __init__(self) -> None:
        self.commits: list[list[int]] = []
        self.go_on = threading.Event()

    def commit(self, given: Sequence[int]) -> list[str]:
        self.commits.append(list(given))
        assert self.go_on.wait(30)
        if 13 in given:
            raise OSError("full")
        return [f"kept {each}" for each in given]


def together(group: GroupCommit[int, str], disk: Disk, given: list[list[int]]) -> list[object]:
    """Add all of it at once: the first waits for the disk until all others are queued."""
    found: list[object] = [None] * len(given)

    def add(place: int) -> None:
        try:
            found[place] = group.add(given[place])
        except OSError as problem:
            found[place] = problem

    threads = [threading.Thread(target=add, args=(place,)) for place in range(len(given))]
    threads[0].start()
    while not disk.commits:
        pass
    for thread in threads[1:]:
        thread.start()
    while len(group._queue) < len(given) - 1:
        pass
    disk.go_on.set()
    for thread in threads:
        thread.join()
    return found


def test_all_who_wait_meanwhile_share_the_next_commit() -> None:
    disk = Disk()
    given = [[100 * place, 100 * place + 1] for place in range(THREADS)]
    found = together(GroupCommit(disk.commit), disk, given)
    assert found == [[f"kept {each}" for each in own] for own in given]
    assert len(disk.commits) == 2
    assert sorted(each for commit in disk.commits for each in commit) == sorted(
        each for own in given for each in own
    )


def test_a_failure_is_told_to_those_who_shared_it_and_the_next_go_on() -> None:
    disk = Disk()
    group: GroupCommit[int, str] = GroupCommit(disk.commit)
    found = together(group, disk, [[1], [13], [2]])
    assert found[0] == ["kept 1"]
    assert all(isinstance(each, OSError) for each in found[1:])
    assert group.add([3, 4]) == ["kept 3", "kept 4"]


def test_a_commit_takes_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MOST", 4)
    disk = Disk()
    found = together(GroupCommit(disk.commit), disk, [[place] * 2 for place in range(9)] + [[7] * 10])
    assert found == [[f"kept {place}"] * 2 for place in range(9)] + [["kept 7"] * 10]
    assert sorted(map(len, disk.commits)) == [2, 4, 4, 4, 4, 10]
