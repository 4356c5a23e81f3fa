"""The same rows through a folder, a file and the API: ``python -m benchmarks.batch_equal``, a part of docs/batch.md.

Generated payments and card rows. The API is a server that is asked over HTTP: all rows, in the order of their times,
many in a request, with their labels; what lay before each of them it remembers by itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.batch import RESULTS, Job, keep, made, written
from screening.settings import ROOT
from tests.served import PASSWORD, Server

KEY = ("--scope", "score", "--per-minute", "60000")
DETECTORS = ("card", "payments")
TOLERANCE = 1e-6


def main() -> int:
    """The command line; returns 1 where anything differs by more than ``TOLERANCE``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch_equal", description=__doc__)
    parser.add_argument("--detector", choices=DETECTORS, nargs="*", default=DETECTORS)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--request", type=int, default=2_000, help="transactions in a request")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "batch-bench")
    options = parser.parse_args()
    options.scratch.mkdir(exist_ok=True)
    found: dict[str, float] = {}
    for detector in options.detector:
        found.update(compare(detector, options.rows, options.request, options.scratch))
        print(found, file=sys.stderr, flush=True)
    keep("equal", (json.loads(RESULTS.read_text()).get("equal", {}) if RESULTS.exists() else {}) | found)
    return int(max(found.values()) > TOLERANCE)


def compare(detector: str, rows: int, request: int, scratch: Path) -> dict[str, float]:
    """Return the largest differences between the probabilities of all rows."""
    source, target = made(detector, rows, scratch), scratch / f"{detector}-out"
    Job(source, target, detector, "local[2]").result()
    out = written(target)
    assert out.column("number").to_pylist() == list(range(rows)), "rows are missing, or there twice"
    folder = out.column("fraud_probability").to_numpy().astype(np.float64)
    ways = {"file": by_file(source, detector), "API": by_api(source, detector, request)}
    return {
        f"{detector}: folder and {way}, {rows:,} rows": float(np.abs(folder - each).max())
        for way, each in ways.items()
    }


def by_file(source: Path, detector: str) -> Any:
    """Return the probabilities that the file path gives, (rows,)."""
    from pyarrow import csv

    from app import create_app
    from screening.intake import FileKind
    from screening.scoring.thresholds import always
    from screening.uploads.line.order import ScreeningOrder
    from screening.uploads.line.screen import screen
    from screening.uploads.results import ScreeningOutcome
    from screening.uploads.upload_folder import UploadFolder
    from screening.web.services import services

    with create_app().app_context(), tempfile.TemporaryDirectory() as scratch:
        folder = UploadFolder(Path(scratch), "one")
        folder.create()
        with folder.input.open("wb") as out:
            csv.write_csv(pq.read_table(source), out)
        folder.complete()
        order = ScreeningOrder(limits=always(0.8), wanted=detector)
        done = screen(folder, FileKind.CSV, services().detectors, order)
        return np.array(ScreeningOutcome(folder, done.threshold).probability, np.float64)


def by_api(source: Path, detector: str, request: int) -> Any:
    """Return the probabilities that a server answers, (rows,)."""
    table = pq.read_table(source).sort_by("number").drop_columns("number")
    moments = [place for place, field in enumerate(table.schema) if pa.types.is_timestamp(field.type)]
    for place in moments:
        name = table.schema.names[place]
        table = table.set_column(place, name, table.column(place).cast(pa.string()))
    found = np.empty(table.num_rows)
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(Path(scratch), None)
        try:
            key, begun = new_key(server), time.perf_counter()
            for begin in range(0, table.num_rows, request):
                rows = table.slice(begin, request).to_pylist()
                body = json.dumps({"detector": detector, "transactions": rows})
                given = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
                status, _, content = server.request("POST", "/detect_fraud", body, **given)
                if status != 200:
                    raise SystemExit(f"{status}: {content[:500]!r}")
                results = json.loads(content)["results"]
                found[begin : begin + len(rows)] = [each["fraud_probability"] for each in results]
            seconds = time.perf_counter() - begun
            print(f"{detector}: {table.num_rows / seconds:,.0f} rows a second by the API", file=sys.stderr)
        finally:
            server.stop()
            server.close()
    return found


def new_key(server: Server) -> str:
    """Make an account and a key of it, and return the key."""
    told = [sys.executable, "-m", "flask", "--app", "app"]
    for words in (
        ("users", "add", "ana", "ana@bank.example"),
        ("keys", "create", "till", "--owner", "ana", *KEY),
    ):
        made_by = subprocess.run(
            [*told, *words], cwd=ROOT, env=server.environ, check=True, capture_output=True, text=True,
            input=PASSWORD,
        )  # fmt: skip
    return made_by.stdout.splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
