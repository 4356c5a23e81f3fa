"""A disk that fails now and then: what was acknowledged is there afterwards, whole, and the server goes on serving."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from screening.settings import ROOT
from tests.served import PASSWORD, Server

PERCENT = 5
"""Of the writes, syncs, renames and locks."""
ACCOUNTS, DECISIONS, FILES = 12, 90, 4
SENDERS = 3
COMPILER = shutil.which("cc")
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or COMPILER is None,
    reason="faults are put between the server and libc: needs Linux and a C compiler (cc)",
)


class Faulty:
    """A server below which the disk can be made to fail."""

    def __init__(self, folder: Path, compiled: Path, library: Path) -> None:
        self.switch = folder / "switch"
        self.switch.write_bytes(b"\0")
        self.server = Server(
            folder,
            compiled,
            LD_PRELOAD=str(library),
            FAULTS_SWITCH=str(self.switch),
            FAULTS_BELOW=str(folder),
        )

    def fail(self, percent: int) -> None:
        """Have so many of the calls fail from now on."""
        with self.switch.open("r+b") as file:
            file.write(bytes([percent]))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faults") / "faults.so"
    source = ROOT / "tests" / "faults" / "faults.c"
    assert COMPILER
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True)
    return made


@pytest.fixture
def faulty(tmp_path: Path, compiled: Path, library: Path) -> Iterator[Faulty]:
    made = Faulty(tmp_path, compiled, library)
    try:
        yield made
    finally:
        made.fail(0)
        made.server.stop()
        made.server.close()


class Senders:
    """Accounts, decisions and files at a time; keeps what was acknowledged."""

    def __init__(self, server: Server, sample: bytes) -> None:
        self._server, self._sample, self._visitor = server, sample, Visitor(server)
        first = next(csv.DictReader(io.StringIO(sample.decode())))
        self._row = {name: float(cell) for name, cell in first.items() if name != "Class"}
        self._token = server.token("/upload")
        self._lock = threading.Lock()
        self.statuses: Counter[int] = Counter()
        self.accounts: list[str] = []
        self.decided: dict[str, float] = {}
        """Amounts by the ids of decisions."""
        self.screened: list[str] = []
        """Where the screenings are."""

    def run(self) -> None:
        """Send everything."""
        works = [threading.Thread(target=self._decide, args=(number,)) for number in range(SENDERS)]
        works += [threading.Thread(target=self._sign_up), threading.Thread(target=self._send_files)]
        for work in works:
            work.start()
        for work in works:
            work.join()

    def _count(self, status: int) -> int:
        with self._lock:
            self.statuses[status] += 1
        return status

    def _sign_up(self) -> None:
        for number in range(ACCOUNTS):
            name = f"user{number}"
            fields = {"username": name, "email": f"{name}@bank.example", "password": PASSWORD}
            with suppress(OSError, HTTPException, AssertionError):  # no page to take a token from: not sent
                if self._count(self._visitor.form("/signup", **fields)[0]) == 303:
                    self.accounts.append(name)

    def _decide(self, sender: int) -> None:
        for number in range(DECISIONS // SENDERS):
            amount = sender * 1000 + number
            body = json.dumps({"transaction": {**self._row, "Amount": amount}})
            headers = {"X-CSRFToken": self._token, "Content-Type": "application/json"}
            with suppress(OSError, HTTPException):
                status, _, answer = self._server.request("POST", "/detect_fraud", body, **headers)
                if self._count(status) == 200:
                    self.decided[json.loads(answer)["id"]] = amount

    def _send_files(self) -> None:
        for _ in range(FILES):
            with suppress(OSError, HTTPException, AssertionError):
                status, headers, _ = self._server.upload(self._sample)
                if self._count(status) == 303:
                    self.screened.append(str(headers["Location"]))


@pytest.mark.security(42)
def test_no_acknowledged_write_is_lost_where_the_disk_fails_now_and_then(
    faulty: Faulty, sample: bytes
) -> None:
    server = faulty.server
    server.log_in()
    senders = Senders(server, sample)
    faulty.fail(PERCENT)
    senders.run()
    faulty.fail(0)
    statuses = senders.statuses
    assert statuses.keys() & {503, 507}, f"the faults don't reach the server: {statuses}"
    assert statuses.keys() & {500, 502} == set(), statuses
    assert senders.accounts, statuses
    assert len(senders.decided) > DECISIONS / 4, statuses
    assert server.get("/healthz")[0] == 200
    server.stop()
    server.start()
    server.cookies.clear()
    assert server.form("/login", username="ana", password=PASSWORD)[0] == 303
    assert server.get("/readyz")[0] == 200, server.get("/readyz")
    lines = (server.folder / "users.txt").read_text().splitlines()
    assert set(senders.accounts) <= {line.split(",")[0] for line in lines}
    for transaction, amount in senders.decided.items():
        status, _, answer = server.get(f"/transactions/{transaction}")
        assert (status, json.loads(answer)["amount"]) == (200, amount)
    rows = sample.count(b"\n") - 1
    for location in senders.screened:
        assert ended(server, location) == ("done", rows)
    for name in ("screening.sqlite3", "ledger.sqlite3"):
        with closing(sqlite3.connect(server.folder / "instance" / name)) as store:
            assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)


class Visitor(Server):
    """Another client of the same server, without its cookies."""

    def __init__(self, of: Server) -> None:
        self.port, self.cookies = of.port, {}


def ended(server: Server, location: str) -> tuple[str, Any]:
    """The state of a screening when it has ended, and its rows."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status, _, answer = server.get(f"{location}.json")
        if status == 200 and json.loads(answer)["state"] != "running":
            break
        time.sleep(0.2)
    return json.loads(answer)["state"], json.loads(answer)["rows"]
