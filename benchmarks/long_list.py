"""What many transactions in one request cost: ``python -m benchmarks.long_list``, a part of docs/realtime.md.

In process: from the bytes of the body to the bytes of the answer, every decision kept in the ledger. Processor time
counts, since other work on the machine isn't in it. ``--remembered``: payments, which are compared with what so many
earlier ones tell, in place of card transactions.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.batch import made
from benchmarks.realtime import sample
from screening.ledger.velocity.entries import VelocityEntry, Viewer
from screening.settings import Settings
from screening.transactions.json_records import from_mappings
from screening.web.api.deciding import Decider, ScoringRequest
from screening.web.app_factory import create_app
from screening.web.services import Services

ROWS = 10_000
SIZES = (1, 10, 100, 500, 2_000)
SENT, LEAST_SENT = 40_000, 5
"""Payments that are there to be sent, and how often each size is at least."""
FILLED_BY = 10_000
Row = dict[str, Any]


@contextmanager
def opened(folder: Path) -> Iterator[Services]:
    """Open an instance with one account."""
    users = folder / "users.txt"
    users.touch()
    given = {**os.environ, "INSTANCE_PATH": str(folder), "USERS_FILE": str(users)}
    mine: Services = create_app(Settings.from_environ(given)).extensions["screening"]
    if "ada" not in mine.users.by_name():
        mine.users.add("ada", "ada@bank.example", "a long river of words 7")
    yield mine
    mine.ledger.tables.engine.dispose()


def asked(mine: Services, decider: Decider, body: bytes) -> float:
    """Return the processor time that a request took, in seconds."""
    account, given = mine.users.by_name()["ada"], {"key": "key", "request": "request"}
    sent = ScoringRequest(body=body, idempotency_key=None, account=account, **given)
    begun = time.process_time()
    (answer,) = decider.answer([sent])
    taken = time.process_time() - begun
    if not isinstance(answer, bytes):
        raise answer
    return taken


def cards(*, labels: bool) -> bytes:
    """Return a request of transactions that aren't flagged, each with a time of its own."""
    usual = [row for row in sample("card") if not row["Class"]]
    kept = [row if labels else {name: row[name] for name in row if name != "Class"} for row in usual]
    rows = [{**kept[number % len(kept)], "Time": float(number)} for number in range(ROWS)]
    return json.dumps({"transactions": rows}).encode()


def ask_cards(rounds: int) -> None:
    """Print a line for requests with labels and one for those without."""
    with tempfile.TemporaryDirectory() as scratch, opened(Path(scratch)) as mine:
        decider = Decider(mine)
        for labels in (False, True):
            body = cards(labels=labels)
            taken = [asked(mine, decider, body) for _ in range(rounds + 2)]
            median, least = statistics.median(taken[2:]), min(taken[2:])
            print(
                f"{'with' if labels else 'without'} labels: {median * 1e3:.0f} ms, at least {least * 1e3:.0f}: "
                f"{ROWS / median:,.0f} rows a second of processor time, at most {ROWS / least:,.0f}",
                flush=True,
            )


def payments(remembered: int, scratch: Path) -> list[Row]:
    """Return generated payments in the order of time, as a program sends them."""
    table = (
        pq.read_table(made("payments", remembered + SENT, scratch)).sort_by("number").drop_columns("number")
    )
    names = table.schema.names
    moments = np.datetime_as_string(table.column("TX_DATETIME").to_numpy(), unit="s").tolist()
    columns = [moments, *(table.column(name).to_pylist() for name in names[1:])]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def remember(mine: Services, rows: list[Row]) -> None:
    """Put payments into the velocity state, as if they had been decided."""
    detector, velocity = mine.detectors.get("payments"), mine.ledger.velocity
    subject = velocity.subject(detector)
    assert subject is not None
    for begin in range(0, len(rows), FILLED_BY):
        some = rows[begin : begin + FILLED_BY]
        with velocity.reading() as read:
            last, _ = read.last(subject)
        entry = VelocityEntry(
            subject=subject,
            viewer=Viewer("ada"),
            shared=False,
            values=detector.vectorizer.select(from_mappings(some, detector.contract)),
            labels=np.array([row["TX_FRAUD"] for row in some], np.int8),
            ids=tuple(f"{begin + number:036d}" for number in range(len(some))),
            read_at=last,
        )
        with mine.ledger.tables.driver_write() as write:
            velocity.begin(write)
            velocity.add(write, [entry])


def ask_payments(remembered: int, sizes: list[int], rounds: int, scratch: Path) -> None:
    """Print a line for each size of a request; what is remembered is made once, and grows by what is asked."""
    rows = payments(remembered, scratch)
    filled = scratch / f"remembered-{remembered}"
    if "DATABASE_URL" in os.environ or "STATE_URL" in os.environ:
        shutil.rmtree(filled, ignore_errors=True)
    if not filled.exists():
        part = filled.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        with opened(part) as mine:
            remember(mine, rows[:remembered])
        part.rename(filled)
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(filled, copy, dirs_exist_ok=True)
        with opened(Path(copy)) as mine:
            decider, at = Decider(mine), remembered
            for size in sizes:
                taken = []
                for _ in range(max(rounds // size, LEAST_SENT) + 1):
                    body = json.dumps({"detector": "payments", "transactions": rows[at : at + size]}).encode()
                    taken.append(asked(mine, decider, body))
                    at += size
                median = statistics.median(taken[1:]) / size
                print(
                    f"{remembered:,} remembered, {size:,} a request: {median * 1e6:,.0f} µs of processor time a row, "
                    f"{1 / median:,.0f} rows a second",
                    flush=True,
                )


def main() -> None:
    """Ask as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_list", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--remembered", type=int, nargs="*", help="payments that came before")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="payments in a request")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "batch-bench")
    options = parser.parse_args()
    options.scratch.mkdir(exist_ok=True)
    if options.remembered is None:
        ask_cards(options.rounds)
    for remembered in options.remembered or ():
        ask_payments(remembered, list(options.sizes), options.rounds, options.scratch)


if __name__ == "__main__":
    main()
