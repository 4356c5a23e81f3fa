"""What 10,000 transactions in one request cost: ``python -m benchmarks.long_list``.

In process: from the bytes of the body to the bytes of the answer, every decision kept in the ledger. The processor time
of the thread counts, since other work on the machine isn't in it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.realtime import sample
from screening.settings import Settings
from screening.web.api.deciding import Decider, ScoringRequest
from screening.web.app_factory import create_app
from screening.web.services import Services

ROWS = 10_000


def body(*, labels: bool) -> bytes:
    """Return a request of transactions that aren't flagged, each with a time of its own."""
    usual = [row for row in sample("card") if not row["Class"]]
    kept = [row if labels else {name: row[name] for name in row if name != "Class"} for row in usual]
    rows = [{**kept[number % len(kept)], "Time": float(number)} for number in range(ROWS)]
    return json.dumps({"transactions": rows}).encode()


def main() -> None:
    """Print a line for requests with labels and one for those without."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        users = Path(scratch) / "users.txt"
        users.write_text("# accounts\n", encoding="utf-8")
        given = {**os.environ, "INSTANCE_PATH": scratch, "USERS_FILE": str(users)}
        mine: Services = create_app(Settings.from_environ(given)).extensions["screening"]
        mine.users.add("ada", "ada@bank.example", "a long river of words 7")
        account, decider = mine.users.by_name()["ada"], Decider(mine)
        for labels in (False, True):
            request: dict[str, Any] = {"account": account, "key": "key", "request": "request"}
            sent = ScoringRequest(body=body(labels=labels), idempotency_key=None, **request)
            taken = []
            for _ in range(rounds + 2):
                begun = time.thread_time()
                (answer,) = decider.answer([sent])
                taken.append(time.thread_time() - begun)
                if not isinstance(answer, bytes):
                    raise answer
            median, least = statistics.median(taken[2:]), min(taken[2:])
            print(
                f"{'with' if labels else 'without'} labels: {median * 1e3:.0f} ms, at least {least * 1e3:.0f}: "
                f"{ROWS / median:,.0f} rows a second of processor time, at most {ROWS / least:,.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
