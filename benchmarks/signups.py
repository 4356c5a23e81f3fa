"""Ten processes sign up 50 accounts each at once, one is killed in the middle: ``python -m benchmarks.signups``.

Every account that was told "created" must be in users.txt, and no line may be broken.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from screening.accounts.user_store import UserStore
from screening.settings import ROOT

PROCESSES, ACCOUNTS = 10, 50
KILL_AFTER = 20
"""Accounts that the killed process has made when the signal comes: it dies in the middle of the next one."""

WRITER = """
import sys
from pathlib import Path
from screening.accounts.user_store import UserStore
store = UserStore(Path(sys.argv[1]))
sys.stdin.readline()
for count in range(int(sys.argv[3])):
    name = f"{sys.argv[2]}n{count}"
    store.add(name, f"{name}@bank.example", f"a long river of words {name}")
    print(name, flush=True)
"""


def measure() -> dict[str, float]:
    """The figures of one run, with the hash that the app uses."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "users.txt"
        path.write_text("# accounts\n", encoding="utf-8")
        writers = [_writer(path, number) for number in range(PROCESSES)]
        begun = time.perf_counter()
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        told = _kill_in_the_middle(writers[0])
        for writer in writers[1:]:
            told += writer.communicate(timeout=600)[0].split()
        seconds = time.perf_counter() - begun
        store = UserStore(path)
        names = {account.username for account in store.accounts()}
        return {
            "told created": len(told),
            "in users.txt": len(names),
            "told but missing": len(set(told) - names),
            "broken lines": len(store.problems()),
            "seconds": round(seconds, 1),
            "sign-ups a second": round(len(told) / seconds, 1),
        }


def _writer(path: Path, number: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), f"p{number}", str(ACCOUNTS)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _kill_in_the_middle(writer: subprocess.Popen[str]) -> list[str]:
    assert writer.stdout is not None
    told = [writer.stdout.readline().strip() for _ in range(KILL_AFTER)]
    writer.kill()
    rest = writer.communicate(timeout=60)[0]
    return told + rest[: rest.rfind("\n") + 1].split()


def main() -> None:
    """Print the figures; fail when an account was lost."""
    figures = measure()
    for name, value in figures.items():
        print(f"{name:20} {value:g}")
    sys.exit(bool(figures["told but missing"] or figures["broken lines"]))


if __name__ == "__main__":
    main()
