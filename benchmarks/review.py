"""Review: what opening the cases of 100,000 flagged rows costs, and how soon the next case is there after a decision.

``python -m benchmarks.review`` prints seconds for two files of 142,000 rows with 50,000 flags each, the longest write
that everybody else would have waited for, and milliseconds over a real server: taking and deciding without a browser
(median and 95th percentile of 100), and in chromium, from the key until the next case stands on the page (of 40).
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa

from screening.infra.database import Database
from screening.ledger.identity import new_origin
from screening.ledger.ledger import Ledger
from screening.ledger.rows import DecisionBatch, table_of
from screening.ledger.tables import FILE
from screening.review.opening import Opener
from tests.browser.next_case import TOOK, WATCH
from tests.served import PASSWORD, Server

ROWS, FLAGS, FILES = 142_000, 50_000, 2
DECISIONS, IN_BROWSER = 100, 40


def decisions(number: int) -> DecisionBatch:
    """Return the rows of one file: a third of them flagged, each of another customer."""
    chance = np.random.default_rng(number)
    probability = chance.uniform(0, 0.79, ROWS).astype(np.float32)
    probability[:FLAGS] = chance.uniform(0.8, 1, FLAGS)
    chance.shuffle(probability)
    customers = np.arange(ROWS) + number * ROWS
    said = ["Amount 375.32 is 6.2 × this customer's 30-day median (60.70)"]
    reasons = [said if each else None for each in probability >= 0.8]
    return DecisionBatch(
        origin=new_origin(int(time.time() * 1000)),
        numbers=np.arange(1, ROWS + 1, dtype=np.uint32),
        source=FILE,
        screening=f"{number:032x}",
        owner="ana",
        decided_at=datetime.now(UTC),
        detector="payments",
        fingerprint="f" * 64,
        threshold=0.8,
        probability=probability,
        amount=np.round(chance.gamma(2, 60, ROWS), 2),
        seconds=datetime.now(UTC).timestamp() - chance.uniform(0, 30 * 86_400, ROWS),
        label=None,
        fields={
            "customer": pa.array([f"C{each}" for each in customers]),
            "terminal": pa.array([f"T{each % 500}" for each in customers]),
            "device": pa.array([f"D{each % 40_000}" for each in customers]),
        },
        reasons=pa.array(reasons, pa.list_(pa.string())),
    )


class Timed(Database):
    """A database that notes how long each write held its lock."""

    held: list[float]

    @contextmanager
    def write(self) -> Iterator[Any]:
        with super().write() as session:
            begun = time.perf_counter()
            yield session
        self.held.append(time.perf_counter() - begun)


def measure() -> dict[str, float]:
    """Return seconds and milliseconds."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiled = folder / "shared" / "compiled"
        compiled.mkdir(parents=True)
        server = Server(folder, compiled)
        try:
            server.log_in()
            server.stop()
            found |= _open(folder / "instance")
            server.start()
            found |= _decide(server)
            found |= _in_browser(server)
        finally:
            server.stop()
    return found


def _open(instance: Path) -> dict[str, float]:
    database = Timed(f"sqlite:///{instance / 'screening.sqlite3'}")
    database.held = []
    ledger = Ledger.open(instance, str(database.engine.url))
    for number in range(FILES):
        ledger.segments.add(f"{number:032x}", FILE, table_of(decisions(number)))
    opener = Opener(database, ledger, 30, set)
    wall, cpu, longest = time.perf_counter(), time.process_time(), 0.0
    while True:
        begun = time.perf_counter()
        more = opener.step()
        longest = max(longest, time.perf_counter() - begun)
        if not more:
            break
    found = {
        "open_100000_cases_seconds": time.perf_counter() - wall,
        "open_100000_cases_cpu_seconds": time.process_time() - cpu,
        "longest_step_seconds": longest,
        "longest_write_ms": 1000 * max(database.held),
    }
    database.engine.dispose()
    ledger.tables.engine.dispose()
    return found


def _decide(server: Server) -> dict[str, float]:
    token = server.token("/review")
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def post(path: str, **fields: str) -> str:
        status, headers, _ = server.request("POST", path, urlencode({"csrf_token": token, **fields}), **form)
        assert status == 303, (path, status)
        return str(headers["Location"])

    here, waits = post("/review/next"), []
    for _ in range(DECISIONS):
        begun = time.perf_counter()
        here = post(f"{here}/decision", decision="fraud", note="as benchmarks have it")
        assert re.fullmatch(r"/review/\d+", here)
        assert server.get(here)[0] == 200
        waits.append(1000 * (time.perf_counter() - begun))
    begun = time.perf_counter()
    assert server.get("/review")[0] == 200
    listed = 1000 * (time.perf_counter() - begun)
    begun = time.perf_counter()
    assert server.get(f"{here}/around")[0] == 200
    around = 1000 * (time.perf_counter() - begun)
    return {
        "next_case_ms_median": statistics.median(waits),
        "next_case_ms_p95": statistics.quantiles(waits, n=20)[-1],
        "queue_page_ms": listed,
        "around_a_case_ms": around,
    }


def _in_browser(server: Server) -> dict[str, float]:
    from shutil import which

    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import NAMES

    with sync_playwright() as driver:
        path = next(filter(None, map(which, NAMES)))
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"http://127.0.0.1:{server.port}/login")
        page.fill("#username", "ana")
        page.fill("#password", PASSWORD)
        page.get_by_role("main").get_by_role("button", name="Log in").click()
        page.goto(f"http://127.0.0.1:{server.port}/review")
        page.keyboard.press("t")
        page.wait_for_url(re.compile(r"/review/\d+$"))
        waits = []
        for _ in range(IN_BROWSER):
            page.get_by_role(
                "heading", name="Similar cases"
            ).wait_for()  # who looks before deciding has waited for it
            here = page.url.rsplit("/", 1)[1]
            page.evaluate(WATCH)
            page.keyboard.press("f")
            page.locator(f"#undo a[href='/review/{here}']").wait_for()
            waits.append(page.evaluate(TOOK))
        browser.close()
    return {
        "key_to_next_case_ms_median": statistics.median(waits),
        "key_to_next_case_ms_p95": statistics.quantiles(waits, n=20)[-1],
    }


if __name__ == "__main__":
    for name, value in measure().items():
        sys.stdout.write(f"{name:<40} {value:>12,.3f}\n")
