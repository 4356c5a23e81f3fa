"""A bucket as the home of what is finished, beside the folder alone: segments of a million decisions, and an upload.

``python -m benchmarks.bucket [PAIRS]`` runs a server that speaks S3 on this machine, so the seconds are those of the
work, not of a way to somewhere. Both homes take turns: entering four files of 284,807 rows into the ledger, and
uploading one of them to a server. Then what comes back: a question and a page with an empty disk, and with a full one.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.files import card_file
from benchmarks.ledger import month_of
from screening.bucket.storage import KEPT, Storage
from screening.ledger.filters import DecisionFilter
from screening.ledger.ledger import Ledger
from screening.ledger.rows import table_of
from screening.ledger.tables import FILE
from screening.settings import ROOT
from screening.uploads.storage_quota import bytes_in
from tests.s3_server import CREDENTIALS, free_port, start
from tests.served import Server

FILES, PAIRS = 4, 5
FOLDER, BUCKET = "folder", "bucket"


def measure(pairs: int = PAIRS) -> dict[str, float]:
    """Return medians of seconds over the pairs, after one of each that isn't counted, and megabytes in the bucket."""
    with tempfile.TemporaryDirectory() as made:
        place, port = Path(made), free_port()
        (place / "s3" / "fraud").mkdir(parents=True)
        objects = start(port, place / "s3")
        os.environ |= {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        try:
            return _segments(place, pairs) | _uploads(place, pairs)
        finally:
            objects.terminate()
            objects.wait()


def _segments(place: Path, pairs: int) -> dict[str, float]:
    tables = [table_of(month_of(number)) for number in range(FILES)]
    ledgers = {}
    for home, url in ((FOLDER, None), (BUCKET, "s3://fraud/segments")):
        (place / home).mkdir()
        ledgers[home] = Ledger.open(place / home, "sqlite:///unused", storage=Storage(place / home, url))

    def enter(ledger: Ledger) -> None:
        for number, table in enumerate(tables):
            ledger.segments.add(f"{number:032x}", FILE, table)

    found = _in_turn("enter_segments", {home: partial(enter, each) for home, each in ledgers.items()}, pairs)
    ledger = ledgers[BUCKET]
    found["segments_megabytes"] = bytes_in(place / "s3" / "fraud" / "segments" / "ledger") / 1e6
    cold, warm = list[float](), list[float]()
    for _ in range(pairs):
        shutil.rmtree(ledger.segments.folder)
        for times in (cold, warm):
            times.append(_seconds(lambda: ledger.questions.summary(DecisionFilter())))
    found["question_empty_disk_seconds"] = statistics.median(cold)
    found["question_full_disk_seconds"] = statistics.median(warm)
    return found


def _uploads(place: Path, pairs: int) -> dict[str, float]:
    cache = ROOT / "build" / "compiled"
    cache.mkdir(parents=True, exist_ok=True)
    content = card_file().read_bytes()
    servers: dict[str, Server] = {}
    try:
        for home, more in ((FOLDER, {}), (BUCKET, {"STORAGE_URL": "s3://fraud/uploads"})):
            (place / f"{home}-server").mkdir()
            servers[home] = Server(place / f"{home}-server", cache, ROOT, **more)
            servers[home].log_in()
        last: dict[str, str] = {}

        def upload(home: str) -> None:
            status, headers, _ = servers[home].upload(content)
            assert status == 303
            last[home] = headers["Location"]
            assert servers[home].get(last[home])[0] == 200

        found = _in_turn("upload", {home: partial(upload, home) for home in servers}, pairs)
        folder = place / f"{BUCKET}-server" / "instance" / "screenings" / last[BUCKET].rsplit("/", 1)[-1]
        while not (folder / KEPT).exists():
            time.sleep(0.05)
        stored = place / "s3" / "fraud" / "uploads" / "screenings" / folder.name
        found |= {"upload_megabytes": len(content) / 1e6, "screening_megabytes": bytes_in(stored) / 1e6}
        cold, warm = list[float](), list[float]()
        for _ in range(pairs):
            shutil.rmtree(folder)
            for times in (cold, warm):
                times.append(_seconds(lambda: servers[BUCKET].get(last[BUCKET])))
        found["page_empty_disk_seconds"] = statistics.median(cold)
        found["page_full_disk_seconds"] = statistics.median(warm)
        return found
    finally:
        for server in servers.values():
            server.stop()
            server.close()


def _in_turn(name: str, work: dict[str, Callable[[], Any]], pairs: int) -> dict[str, float]:
    times: dict[str, list[float]] = {home: [] for home in work}
    for _ in range(pairs + 1):
        for home, do in work.items():
            times[home].append(_seconds(do))
    return {f"{name}_{home}_seconds": statistics.median(some[1:]) for home, some in times.items()}


def _seconds(do: Callable[[], Any]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


if __name__ == "__main__":
    for name, value in measure(*map(int, sys.argv[1:])).items():
        print(f"{name:<40} {value:>10,.3f}")
