"""A server over a ledger of a million transactions, and a chromium whose person is logged in: for what pages cost."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.ledger import FILE_ROWS, month_of
from screening.ledger.ledger import Ledger
from screening.ledger.rows import table_of
from screening.ledger.tables import FILE
from screening.settings import ROOT

SECONDS = 120
PASSWORD = "quiet river stone 42"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def served(millions: int) -> Iterator[tuple[str, Ledger]]:
    """Serve an instance of its own, with one web process; gives its address, and its ledger with so many rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        instance = folder / "instance"
        instance.mkdir()
        (folder / "users.txt").touch()
        server, url = _serve(folder)
        try:
            ledger = Ledger.open(instance, f"sqlite:///{instance / 'screening.sqlite3'}")
            for number in range(-(-millions * 1_000_000 // FILE_ROWS)):
                ledger.segments.add(f"{number:032x}", FILE, table_of(month_of(number)))
            yield url, ledger
        finally:
            server.terminate()
            server.wait(timeout=30)


@contextmanager
def signed_in(url: str) -> Iterator[Any]:
    """Open a page of Playwright's for the first account: the administrator's, who sees everybody's rows."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        path = next(filter(None, map(shutil.which, BROWSERS)), None)
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(SECONDS * 1000)
        page.goto(f"{url}/signup")
        page.fill("#username", "ada")
        page.fill("#email", "ada@bank.example")
        page.fill("#password", PASSWORD)
        page.get_by_role("button", name="Create account").click()
        page.get_by_role("heading", name="Home").wait_for()
        yield page
        browser.close()


def _serve(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    surroundings = {
        "PORT": str(port),
        "INSTANCE_PATH": str(folder / "instance"),
        "USERS_FILE": str(folder / "users.txt"),
        "WORKERS": "1",
    }
    server = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=os.environ | surroundings,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return server, url
        except OSError:
            time.sleep(0.2)
    server.terminate()
    raise RuntimeError("the server didn't start")
