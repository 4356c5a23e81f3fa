"""A large instance that goes from SQLite to PostgreSQL, and its backup and restoration there.

``python -m benchmarks.move_database [MILLIONS]`` makes an instance with so many decisions of files and as many of the
API, all of which detectors look back on, a tenth of them with a label and with an answer that is kept, and prints
seconds of the clock and of the processor, megabytes of memory and sizes. PostgreSQL flushes as it does by itself; its
own time isn't counted as the command's.
"""

from __future__ import annotations

import secrets
import sqlite3
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.backup import told
from benchmarks.files import card_file
from benchmarks.ledger import FILE_ROWS, month_of
from screening.ledger.ledger import Ledger
from screening.ledger.rows import table_of
from screening.ledger.tables import FILE
from screening.settings import ROOT
from tests.postgres_server import MISSING, Postgres, programs, running
from tests.served import Server

SUBJECT, CUSTOMERS, TERMINALS = 1, 50_000, 10_000
BEGIN = 1_767_225_600.0
ANSWER = b'{"id":"%s","fraud":false,"fraud_probability":0.0012,"threshold":0.8,"detector":"payments"}'


def fill(file: Path, rows: int) -> None:
    """Add so many decisions of the API to what detectors look back on, with labels and answers to a tenth."""

    def ids() -> Iterator[str]:
        for number in range(rows):
            yield f"019b7600-0000-7000-8000-{number:012x}"

    def velocity() -> Iterator[tuple[Any, ...]]:
        for number, each in enumerate(ids()):
            cells = struct.pack("4d", BEGIN + number, number % CUSTOMERS, number % TERMINALS, number % 977)
            yield SUBJECT, number + 1, each, "ada", number % 2, BEGIN + number, -1, cells

    def entities() -> Iterator[tuple[Any, ...]]:
        for number in range(rows):
            for place, many in ((1, CUSTOMERS), (2, TERMINALS)):
                yield SUBJECT, place, float(number % many), BEGIN + number, number + 1

    day = datetime(2026, 1, 31, tzinfo=UTC).replace(tzinfo=None).isoformat(" ")
    with closing(sqlite3.connect(file)) as ledger, ledger:
        ledger.execute(
            "INSERT INTO ledger_velocity_subjects VALUES (?, 'payments', ?, 7776000, ?, 0, 0, ?, 1)",
            (SUBJECT, "f" * 64, rows, BEGIN + rows),
        )
        ledger.executemany("INSERT INTO ledger_velocity_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", velocity())
        ledger.executemany("INSERT INTO ledger_velocity_entities VALUES (?, ?, ?, ?, ?)", entities())
        some = [each for number, each in enumerate(ids()) if number % 10 == 0]
        ledger.executemany(
            "INSERT INTO ledger_labels (id, label, at, source, by, written) VALUES (?, 0, ?, 'api', 'ada', ?)",
            ((each, day, day) for each in some),
        )
        ledger.executemany(
            "INSERT INTO ledger_requests (owner, key, body, answer, written) VALUES ('ada', ?, ?, ?, ?)",
            ((each, secrets.token_bytes(32), ANSWER % each.encode(), time.time()) for each in some),
        )


def measure(postgres: Postgres, millions: int = 1) -> dict[str, float]:
    """Return seconds, megabytes and sizes by what was done."""
    cache = ROOT / "build" / "compiled"
    cache.mkdir(parents=True, exist_ok=True)
    found: dict[str, float] = {}
    rows = millions * 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "there"
        there.mkdir()
        server = Server(there, cache)
        try:
            server.log_in()
            screening = server.upload(card_file().read_bytes())[1]["Location"].rsplit("/", 1)[-1]
            assert server.wait_for(screening)["state"] == "done"
            before = server.get(f"/results/{screening}.json")[2], server.get("/summary")[2]
            server.stop()
            instance = there / "instance"
            ledger = Ledger.open(instance, f"sqlite:///{instance / 'screening.sqlite3'}")
            for number in range(-(-rows // FILE_ROWS)):
                ledger.segments.add(f"{number:032x}", FILE, table_of(month_of(number)))
            ledger.tables.engine.dispose()
            fill(instance / "ledger.sqlite3", rows)
            found["sqlite_megabytes"] = sum(each.stat().st_size for each in instance.glob("*.sqlite3*")) / 1e6
            url = postgres.url(postgres.empty())
            told(found, "move", server.environ, "move-database", url)
            found["postgresql_megabytes"] = size_of(url)
            server.environ["DATABASE_URL"] = url
            server.start()
            assert server.get(f"/results/{screening}.json")[2] == before[0]
            assert server.get("/summary")[0] == 200
            for ending in ("tar", "tar.gz"):
                file = Path(folder) / f"saved.{ending}"
                told(found, f"{ending}_backup", server.environ, "backup", str(file))
                found[f"{ending}_megabytes"] = file.stat().st_size / 1e6
        finally:
            server.close()
        for ending in ("tar", "tar.gz"):
            new = Path(folder) / ending
            (new / "instance").mkdir(parents=True)
            places = {
                "INSTANCE_PATH": str(new / "instance"),
                "USERS_FILE": str(new / "users.txt"),
                "DATABASE_URL": postgres.url(postgres.empty()),
            }
            file = Path(folder) / f"saved.{ending}"
            told(found, f"{ending}_restore", {**server.environ, **places}, "restore", str(file))
    return found


def size_of(url: str) -> float:
    """Return the megabytes of a database."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return float(row[0]) / 1e6


if __name__ == "__main__":
    there = programs()
    assert there is not None, MISSING
    with running(there, settings=("shared_buffers=256MB", "max_wal_size=4GB")) as server:
        for name, value in measure(server, *(int(word) for word in sys.argv[1:])).items():
            print(f"{name:<40} {value:>12,.1f}")
