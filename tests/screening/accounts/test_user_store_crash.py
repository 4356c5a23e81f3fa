"""Many processes write users.txt at once, and some of them are killed."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from screening.accounts.passwords import Hasher
from screening.accounts.user_store import UserStore
from screening.settings import ROOT

PASSWORD = "a long river of words 7"
FAST = Hasher("scrypt:1024:8:1")
WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from screening.errors import Conflict
    from screening.accounts.passwords import Hasher
    from screening.accounts.user_store import UserStore
    path, names = sys.argv[1], sys.argv[2:]
    store = UserStore(Path(path), hasher=Hasher("scrypt:1024:8:1"))
    sys.stdin.readline()  # all begin together
    for name in names:
        try:
            store.add(name, f"{name}@bank.example", "a long river of words 7")
            print(name, flush=True)  # the acknowledgement
        except Conflict:
            print("taken", flush=True)
""")


def writer(path: Path, names: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), *names],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def start(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def finish(process: subprocess.Popen[str]) -> list[str]:
    out, _ = process.communicate(timeout=60)
    return out.split()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    users = tmp_path / "users.txt"
    users.write_bytes(b"# accounts\n")
    return users


@pytest.mark.security(15)
def test_eight_processes_with_25_sign_ups_each_leave_200_lines(path: Path) -> None:
    processes = [writer(path, [f"p{number}n{count}" for count in range(25)]) for number in range(8)]
    for process in processes:
        start(process)
    told = [name for process in processes for name in finish(process)]
    text = path.read_text("utf-8")
    store = UserStore(path, hasher=FAST)

    assert len(told) == len(set(told)) == 200
    assert text.startswith("# accounts\n")
    assert len(text.splitlines()) == 201
    assert {account.username for account in store.accounts()} == set(told)
    assert store.problems() == ()
    assert sum(account.role == "admin" for account in store.accounts()) == 1


@pytest.mark.security(15)
def test_fifty_at_once_for_one_name_leave_one_line(path: Path) -> None:
    processes = [writer(path, ["same"] * 13) for _ in range(4)]
    for process in processes:
        start(process)
    told = [word for process in processes for word in finish(process)]
    assert sorted(told) == ["same"] + ["taken"] * 51
    assert path.read_text("utf-8").count("same,") == 1


@pytest.mark.security(15, 16)
def test_sixty_kills_in_mid_write_lose_no_account_that_was_told(path: Path) -> None:
    """Three writers at a time are killed at a random moment of their work, twenty times over."""
    chance = random.Random(15)
    told: set[str] = set()
    for storm in range(20):
        processes = [
            writer(path, [f"s{storm}w{number}n{count}" for count in range(400)]) for number in range(3)
        ]
        for process in processes:
            start(process)
        lines = [
            process.stdout.readline().strip() for process in processes if process.stdout
        ]  # all are at work
        told.update(lines)
        time.sleep(chance.uniform(0, 0.06))
        for process in processes:
            process.kill()
        for process in processes:
            # what came through the pipe was told; a last word without its line end was not
            rest = process.communicate(timeout=30)[0]
            told.update(rest[: rest.rfind("\n") + 1].split())
    store = UserStore(path, hasher=FAST)
    names = {account.username for account in store.accounts()}

    assert store.problems() == ()
    assert told <= names
    assert len(told) >= 60
    store.prepare()
    assert list(path.parent.glob(".users*.tmp")) == []
    assert store.add("after", "after@bank.example", PASSWORD).role == "analyst"
