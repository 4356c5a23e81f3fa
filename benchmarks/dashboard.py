"""The dashboard over a million transactions: what its figures cost, and how long a browser waits for the last chart.

``python -m benchmarks.dashboard [MILLIONS]`` prints processor milliseconds of the figures; milliseconds of the page in
a chromium, until what is on the screen is drawn and until all charts are, for the first person who opens it in a
process and for the next; milliseconds after a change of filters that somebody has asked for and of one that nobody
has; and what importing Dash adds to a web process.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.browsing import served, signed_in
from screening.explore.board import board
from screening.ledger.filters import DecisionFilter, TrendInterval
from screening.ledger.ledger import Ledger

RUNS = 5
READY_SECONDS = 5
"""So long somebody looks at the home page before they open the dashboard."""
SETTLE_MS = 500
IMPORT = """
import os, time
import flask, sqlalchemy
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
before, begun = resident(), time.process_time()
import dash
print((time.process_time() - begun) * 1000, resident() - before)
"""


def measure(millions: int = 1) -> dict[str, float]:
    """Return milliseconds and megabytes by what they are of."""
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    found = dict(
        zip(("import_dash_cpu_ms", "import_dash_megabytes"), map(float, done.stdout.split()), strict=True)
    )
    with served(millions) as (url, ledger):
        found["figures_cpu_ms"] = statistics.median(_cpu(ledger, day) for day in range(1, RUNS + 1))
        with signed_in(url) as page:
            found |= _browse(page, url)
    return found


def _cpu(ledger: Ledger, day: int) -> float:
    """Count everything, by a filter of its own each time: what was answered is kept."""
    chosen = DecisionFilter(start=datetime(2024, 12, day, tzinfo=UTC))
    begun = time.process_time()
    board(ledger.questions, chosen, TrendInterval.DAY)
    return (time.process_time() - begun) * 1000


def _browse(page: Any, url: str) -> dict[str, float]:
    found: dict[str, float] = {}
    time.sleep(READY_SECONDS)
    for part, milliseconds in _opened(url, page).items():
        found[f"first_load_{part}"] = milliseconds
    opened = [_opened(url, page) for _ in range(RUNS)]
    for part in opened[0]:
        found[f"next_load_{part}"] = statistics.median(each[part] for each in opened)
    changed = [_changed(page, ("confirmed", "flagged")[turn % 2]) for turn in range(2 * RUNS)]
    found["filter_asked_before_ms"] = statistics.median(changed[2:])
    changed = []
    for day in range(1, RUNS + 1):
        page.get_by_label("From", exact=True).fill(f"2025-01-{day:02}")
        changed.append(_answered(page))
    found["filter_anew_ms"] = statistics.median(changed)
    page.goto(f"{url}/dashboard/")
    _drawn(page)
    if not re.search(r"\d,\d{3},\d{3}", page.locator("#summary").inner_text()):
        raise RuntimeError("the dashboard doesn't show the million")
    return found


def _opened(url: str, page: Any) -> dict[str, float]:
    """Return milliseconds until what is on the screen is drawn and answers, and until all eight charts are."""
    begun = time.perf_counter()
    page.goto(f"{url}/dashboard/", wait_until="commit")
    page.locator("#react-entry-point[aria-busy=false]").wait_for()
    page.locator("#trends-box .bars path").first.wait_for()
    seen = time.perf_counter()
    _drawn(page)
    return {"seen_ms": (seen - begun) * 1000, "all_drawn_ms": (time.perf_counter() - begun) * 1000}


def _changed(page: Any, basis: str) -> float:
    page.get_by_label("Fraud cases are").select_option(basis)
    return _answered(page)


def _answered(page: Any) -> float:
    """Return milliseconds from a change of filters until the figures and what is on the screen are of these."""
    begun = time.perf_counter()
    page.locator("#react-entry-point[aria-busy=true]").wait_for()
    page.locator("#react-entry-point[aria-busy=false]").wait_for()
    page.evaluate("() => new Promise((then) => requestAnimationFrame(() => setTimeout(then, 0)))")
    answered = (time.perf_counter() - begun) * 1000
    _drawn(page)
    page.wait_for_timeout(SETTLE_MS)
    return answered


def _drawn(page: Any) -> None:
    for name in ("trends", "devices", "browsers", "amounts", "scores", "detectors"):
        page.locator(f"#{name}-box .bars path").first.wait_for()
    page.locator("#geography-box .choroplethlayer path").first.wait_for(state="attached")


if __name__ == "__main__":
    for title, value in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1).items():
        print(f"{title:<40} {value:>10,.1f}")
