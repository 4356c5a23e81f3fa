"""A real server with its worker on a free port, and a real chromium that reports whatever the pages do wrong."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from screening.settings import ROOT

WHY_NOT = "needs a chromium: `make .venv/.test`, then `apt install chromium` or `.venv/bin/playwright install chromium`"
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is the same engine without the windows of a browser around its pages, which nobody sees here: what
Playwright itself takes, and three quarters of the processor time.
"""
WITHOUT = (
    # the lists below the address bar, which nobody sees here: each page had them drawn, for a second of a core
    "WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup",
    # of Playwright's own list, in whose place this one is
    "AimEnabled", "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "NetworkTimeServiceQuerying",
    "OptimizationHints", "PaintHolding", "PreconnectToSearch", "ThirdPartyStoragePartitioning", "Translate",
)  # fmt: skip
QUIET = (
    "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", f"--disable-features={','.join(WITHOUT)}",
)  # fmt: skip
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
PASSWORD = "quiet river stone 42"
START_SECONDS = 90
LARGEST_MB = 64
SETTLE_SECONDS = 15
LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(
                pytest.mark.timeout(240)
            )  # one of them trains a detector, beside others that work


@dataclass
class Site:
    """The server under test."""

    url: str
    folder: Path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, compiled: Path, chromium: Any) -> Iterator[Site]:
    """`python app.py` as an operator starts it, on a folder of its own."""
    del chromium  # first of all: without a browser no server is started
    folder = tmp_path_factory.mktemp("site")
    (folder / "users.txt").touch()
    (folder / "instance").mkdir()
    (folder / "instance" / "compiled").symlink_to(compiled)
    found = Site(f"http://127.0.0.1:{_free_port()}", folder)
    surroundings = os.environ | {
        "PORT": found.url.rpartition(":")[2],
        "INSTANCE_PATH": str(folder / "instance"),
        "USERS_FILE": str(folder / "users.txt"),
        "WORKERS": "1",
        "MAX_UPLOAD_MB": str(LARGEST_MB),
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=surroundings, stdout=log, stderr=log
        )
        try:
            _wait(found, server)
            yield found
        finally:
            server.terminate()
            server.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(site: Site, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(site.url + "/readyz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail("the server didn't start:\n" + (site.folder / "log").read_text(errors="replace"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all tests; skips them where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason=WHY_NOT)
    with playwright.sync_playwright() as driver:
        own = Path(driver.chromium.executable_path)
        path = next(filter(None, map(shutil.which, NAMES)), str(own) if own.exists() else None)
        if path is None:
            pytest.skip(WHY_NOT)
        arguments = [*QUIET, *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]
        browser = driver.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page, and what it did that it must not do."""

    page: Any
    site: Site
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> Any:
        """Go to a page of the site."""
        return self.page.goto(self.site.url + path)

    def becomes(self, read: Callable[[], Any], wanted: Any = True) -> None:
        """Read a value again and again until it is the one that is wanted; the last one read fails the test.

        For what Playwright's ``expect`` has no word for. An event of the page (a fetch, a swap, a dialog that closes,
        the address, the focus) is seen a task or more after the act that causes it, and on a busy machine much later.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        while read() != wanted and time.monotonic() < deadline:
            self.page.wait_for_timeout(30)
        assert read() == wanted

    def check(self) -> None:
        """No script error, no breach of the content security policy, no request to another host."""
        self.gather()
        assert self.faults == []

    def gather(self) -> None:
        """Add the breaches of the page that is shown to the faults; with the next page they are gone."""
        self.faults += self.page.evaluate("window.violations ?? []")

    def watch(self) -> None:
        page, home = self.page, self.site.url + "/"
        page.on("pageerror", lambda error: self.faults.append(f"script error: {error}\n{error.stack}"))
        page.on("console", self._hear)
        page.on("request", lambda request: self._ask(request.url, home))

    def _ask(self, url: str, home: str) -> None:
        if not url.startswith((home, "data:", "blob:")):
            self.faults.append(url)

    def _hear(self, message: Any) -> None:
        refusal = message.text.startswith("Failed to load resource")  # a 400 that the test asked for
        if message.type in ("error", "warning") and not refusal:
            self.faults.append(f"console: {message.text}")


def new_page(chromium: Any, site: Site, **options: Any) -> Watched:
    """A page in a fresh profile, watched from its first request."""
    context = chromium.new_context(**{"viewport": DESK, "accept_downloads": True, **options})
    context.add_init_script(LISTEN)
    context.set_default_timeout(20_000)
    watched = Watched(context.new_page(), site)
    watched.watch()
    return watched


@pytest.fixture
def browser(chromium: Any, site: Site, state: Any) -> Iterator[Watched]:
    """A visitor's page; whatever it did wrong fails the test at its end."""
    del state  # the first account of all is the administrator's
    watched = new_page(chromium, site)
    yield watched
    watched.check()
    watched.page.context.close()


def sign_up(watched: Watched, name: str) -> None:
    """Make an account through the page, which logs in."""
    page = watched.page
    watched.open("/signup")
    page.fill("#username", name)
    page.fill("#email", f"{name}@bank.example")
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Create account").click()
    page.get_by_role("heading", name="Home").wait_for()
    page.wait_for_load_state()


def log_in(watched: Watched, name: str) -> None:
    """Log in through the page."""
    watched.open("/login")
    watched.page.fill("#username", name)
    watched.page.fill("#password", PASSWORD)
    watched.page.get_by_role("main").get_by_role("button", name="Log in").click()
    watched.page.get_by_role("heading", name="Home").wait_for()
    watched.page.wait_for_load_state()


@pytest.fixture(scope="session")
def state(chromium: Any, site: Site) -> Any:
    """The cookies of an account that is logged in (the first one, so it is admin) and has one result."""
    watched = new_page(chromium, site)
    sign_up(watched, "first.clerk")
    send(watched, ROOT / "transactions_data.csv")
    watched.page.get_by_role("link", name="Admin").wait_for()
    watched.check()
    kept = watched.page.context.storage_state()
    watched.page.context.close()
    return kept


@pytest.fixture
def clerk(chromium: Any, site: Site, state: Any) -> Iterator[Watched]:
    """A page of somebody who is logged in."""
    watched = new_page(chromium, site, storage_state=state)
    yield watched
    watched.check()
    watched.page.context.close()


def send(watched: Watched, file: Path) -> None:
    """Upload with the button and wait for the result: all of it, and its scripts."""
    watched.open("/upload")
    watched.page.set_input_files("#file", file)
    watched.page.click("#send")
    watched.page.wait_for_selector("#flagged-title")
    watched.page.wait_for_load_state()


def entered(watched: Watched) -> None:
    """Open the first flagged row of a result beside the list, and wait until the ledger has it."""
    watched.page.locator("dialog.drawer").wait_for(
        state="attached"
    )  # till then the link leads to another page
    watched.page.locator("#rows .row-link").first.click()
    watched.page.locator(".drawer h2", has_text="Customer").wait_for()


def check(watched: Watched, file: Path) -> None:
    """Have a file checked and wait for what was found."""
    watched.open("/upload")
    watched.page.get_by_text("More options").click()
    watched.page.check("#check")
    watched.page.set_input_files("#file", file)
    watched.page.get_by_role("button", name="Check this file").click()
    watched.page.wait_for_url("**/check")


def keep(watched: Watched, name: str) -> None:
    """With PICTURES=1, leave a picture below build/screenshots, for people to look at; not committed."""
    if not os.environ.get("PICTURES"):
        return
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    watched.page.screenshot(path=folder / f"{name}.png")
