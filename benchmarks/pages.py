"""Every page over a million transactions in the ledger: how long until it stands there and takes what is typed.

``python -m benchmarks.pages [MILLIONS]`` prints milliseconds (the median of three visits, and the first) of each page
in a chromium, of a row that opens beside its list, and of the dashboard until what is on the screen is drawn.
"""

from __future__ import annotations

import re
import statistics
import sys
import time
from typing import Any

from benchmarks.browsing import served, signed_in
from screening.ledger.identity import TransactionId
from screening.ledger.ledger import Ledger
from screening.settings import ROOT

VISITS = 3
SETTLED = 15.0
"""Seconds in which the worker enters the files of the run, and opens cases."""
PLAIN = (
    "/", "/upload", "/results", "/review", "/review?state=decided", "/review/missed", "/explore/transactions",
    "/explore/transactions?flagged=true&min_amount=100", "/entities/customer/c77", "/entities/device/d7",
    "/search?q=c77", "/rules", "/rules/new", "/rules/lists", "/detectors", "/detectors/payments", "/monitoring",
    "/shadow",
    "/reports", "/reports/documents", "/reports/scheduled", "/admin/users", "/admin/keys", "/status", "/account",
    "/styleguide", "/docs",
)  # fmt: skip
USABLE = "() => new Promise((then) => requestAnimationFrame(() => setTimeout(then, 0)))"
"""After what is loaded is painted, and the page's own scripts had their turn."""


def measure(millions: int = 1) -> dict[str, tuple[float, float]]:
    """Return the milliseconds of the first visit and the median of all, by page."""
    with served(millions) as (url, ledger), signed_in(url) as page:
        paths = {path: path for path in PLAIN} | _made(page, url) | _of_the_ledger(ledger)
        time.sleep(SETTLED)
        page.goto(f"{url}/review")
        case = page.locator("a[href^='/review/']").filter(has_text=re.compile(r"\d"))
        if case.count():
            paths["a case"] = str(case.first.get_attribute("href"))
        found = {name: _visits(page, url + path) for name, path in paths.items()}
        found["a row beside its list"] = _drawer(page, url + paths["a screening: queue"])
        found["/dashboard/"] = _several(lambda: _dashboard(page, f"{url}/dashboard/"))
    return found


def _made(page: Any, url: str) -> dict[str, str]:
    """Screen a file; gives the paths of its views, and of a rule that is tried."""
    page.goto(f"{url}/upload")
    page.set_input_files("#file", ROOT / "model" / "detectors" / "payments" / "sample.csv")
    page.click("#send")
    page.wait_for_selector("#flagged-title")
    result = page.url.removeprefix(url)
    row = str(page.locator("#rows .row-link").first.get_attribute("href"))
    paths = {"a screening: queue": result, "a row": row}
    for view in ("rows", "overview", "performance", "receipt"):
        paths[f"a screening: {view}"] = f"{result}?view={view}"
    page.goto(f"{url}/rules")
    page.get_by_role("button", name="Add as drafts").click()
    page.get_by_role("link", name="Small amount, doubtful").click()
    paths["a rule"] = page.url.removeprefix(url)
    paths["a rule that is tried"] = f"{paths['a rule']}?try=1"
    return paths


def _of_the_ledger(ledger: Ledger) -> dict[str, str]:
    segment = next(each for each in ledger.segments.all() if each.rows > 100_000)
    return {"a decision": f"/decisions/{TransactionId(bytes.fromhex(str(segment.origin)), 777)}"}


def _visits(page: Any, url: str) -> tuple[float, float]:
    def visit() -> float:
        begun = time.perf_counter()
        answer = page.goto(url, wait_until="load")
        page.evaluate(USABLE)
        if answer.status != 200:
            raise RuntimeError(f"{url} answered {answer.status}")
        return (time.perf_counter() - begun) * 1000

    return _several(visit)


def _several(visit: Any) -> tuple[float, float]:
    times = [visit() for _ in range(VISITS)]
    return times[0], statistics.median(times)


def _drawer(page: Any, url: str) -> tuple[float, float]:
    def opened() -> float:
        page.goto(url, wait_until="load")
        page.locator("dialog.drawer").wait_for(state="attached")
        link = page.locator("#rows .row-link").first
        begun = time.perf_counter()
        link.click()
        page.locator(".drawer h2", has_text="Customer").wait_for()
        return (time.perf_counter() - begun) * 1000

    return _several(opened)


def _dashboard(page: Any, url: str) -> float:
    begun = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator("#react-entry-point[aria-busy=false]").wait_for()
    page.locator("#trends-box .bars path").first.wait_for()
    return (time.perf_counter() - begun) * 1000


if __name__ == "__main__":
    print(f"{'page':<56} {'first':>10} {'median':>10}")
    for title, (first, median) in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1).items():
        print(f"{title:<56} {first:>10,.0f} {median:>10,.0f}")
