"""A job that enters its decisions in the ledger, killed on the way: ``python -m benchmarks.batch_ledger [ROWS]``.

The whole job is killed (SIGKILL) when the first file lies in the ledger's folder. Then it is run again, and once more:
nothing may count of the first, and each row once of the others.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.batch import cards
from screening.settings import ROOT

PASSWORD = "of a benchmark, 4 words"


def main() -> int:
    """Print what was found as JSON; return 1 if a row counts that mustn't, or doesn't that must."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(prefix="batch-ledger-") as scratch:
        root = Path(scratch)
        cards(rows, root / "in")
        (root / "instance").mkdir()
        (root / "users.txt").write_text("# accounts\n", encoding="utf-8")
        os.environ |= {"INSTANCE_PATH": str(root / "instance"), "USERS_FILE": str(root / "users.txt")}
        found = measured(root, rows)
    print(json.dumps(found, indent=1))
    return 0 if all(each["right"] for each in found) else 1


def measured(root: Path, rows: int) -> list[dict[str, Any]]:
    """Return what was in the ledger after each of three jobs."""
    from app import create_app
    from screening.web.services import services

    found = []
    with create_app().app_context():
        services().users.add("ana", "ana@bank.example", PASSWORD)
        begin = time.perf_counter()
        killed, ledger = job(root, "killed"), root / "instance" / "ledger"
        while killed.poll() is None and not any(ledger.glob("*.parquet")):
            time.sleep(0.02)
        os.killpg(killed.pid, signal.SIGKILL)
        complete = (root / "killed" / "_SUCCESS").exists()
        right = killed.wait() == -signal.SIGKILL and standing() == (0, 0)
        seconds = round(time.perf_counter() - begin, 1)
        found.append({"job": "killed", "after seconds": seconds, "output complete": complete, "right": right})
        for target in ("again", "once more"):
            begin = time.perf_counter()
            code = job(root, target).wait()
            counted, different = standing()
            right = (code, counted, different) == (0, rows, rows)
            seconds = round(time.perf_counter() - begin, 1)
            found.append({"job": target, "seconds": seconds, "rows": counted, "right": right})
        kept = services().ledger.segments.all()
        faults, size = services().ledger.segments.verify(), sum(each.size for each in kept)
        found.append({"segments": len(kept), "bytes a row": round(size / rows, 1), "right": not faults})
    return found


def job(root: Path, target: str) -> subprocess.Popen[bytes]:
    """Begin a job, in a group of processes of its own."""
    command = [
        "-m",
        "flask",
        "--app",
        "app",
        "batch",
        str(root / "in"),
        str(root / target),
        "--detector",
        "card",
    ]
    return subprocess.Popen(
        [sys.executable, *command, "--ledger", "ana", "--master", "local[2]"],
        cwd=ROOT,
        stdout=sys.stderr,
        start_new_session=True,
    )


def standing() -> tuple[int, int]:
    """Return the number of rows that count in the ledger, and of their ids."""
    from screening.ledger.filters import DecisionFilter
    from screening.web.services import services

    query = "SELECT count(*) AS rows, count(DISTINCT (origin, number)) AS ids FROM chosen"
    found = services().ledger.questions.ask(query, DecisionFilter(source="batch")).rows
    return (found[0]["rows"], found[0]["ids"]) if found else (0, 0)


if __name__ == "__main__":
    sys.exit(main())
