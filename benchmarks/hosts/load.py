"""The load: files and pages; transactions are those of :mod:`benchmarks.kills`."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.hosts.network import FRONT, PATIENCE, PROXY, Host
from screening.settings import ROOT
from tests.served import PASSWORD

PIECES = 20
# Between two files of an uploader, so that job workers keep up.
REST_SECONDS = 1.0
PAGE_SECONDS = 0.1
AGAIN = (429, 502, 503, 504)
LIMIT, BURST, LIMIT_SECONDS = 10, 20, 20
"""Requests a second, and at once, of a key whose limit is tried, and for how long."""


@dataclass
class Uploads:
    """Sends files, each in pieces over a second, and keeps which of them were acknowledged."""

    key: str
    body: bytes
    acknowledged: list[str] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Send one after the other."""
        while not self.ending.is_set():
            try:
                found = self.send()
            except (OSError, http.client.HTTPException):
                found = None
            if found is None:
                self.refused.append(time.monotonic())
                time.sleep(0.1)
            else:
                self.acknowledged.append(found)
                self.ending.wait(REST_SECONDS)

    def send(self) -> str | None:
        """Send one; return its id once it is acknowledged."""
        edge = "a-boundary-of-the-benchmark"
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        whole = head.encode() + self.body + f"\r\n--{edge}--\r\n".encode()
        line = http.client.HTTPConnection(PROXY, FRONT, timeout=PATIENCE)
        line.putrequest("POST", "/upload")
        for name, value in (
            ("Authorization", f"Bearer {self.key}"),
            ("Content-Type", f"multipart/form-data; boundary={edge}"),
            ("Content-Length", str(len(whole))),
            ("Prefer", "wait=0"),
        ):
            line.putheader(name, value)
        line.endheaders()
        step = -(-len(whole) // PIECES)
        for begin in range(0, len(whole), step):
            line.send(whole[begin : begin + step])
            time.sleep(1 / PIECES)
        answer = line.getresponse()
        content = answer.read()
        line.close()
        if answer.status in (201, 202):
            return str(json.loads(content)["id"])
        if answer.status not in AGAIN:
            raise AssertionError(f"{answer.status}: {content[:300]!r}")
        return None


@dataclass
class Pages:
    """Asks for a page ten times a second, on a connection of its own each time."""

    refused: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask again and again."""
        while not self.ending.wait(PAGE_SECONDS):
            begun = time.monotonic()
            try:
                line = http.client.HTTPConnection(PROXY, FRONT, timeout=PATIENCE)
                line.request("GET", "/login")
                answer = line.getresponse()
                answer.read()
                line.close()
                good = answer.status == 200
            except (OSError, http.client.HTTPException):
                good = False
            if good:
                self.waits.append(time.monotonic() - begun)
            else:
                self.refused.append(time.monotonic())


def new_key(one: Host, name: str, *more: str) -> str:
    """Make a key on the command line of a host, and its owner if there is none.

    Args:
        one: the host.
        name: of the key.
        more: how much it may send a minute, and at once.
    """
    told = [sys.executable, "-m", "flask", "--app", "app"]
    limits = [word for pair in zip(("--per-minute", "--burst"), more, strict=False) for word in pair]
    said: list[list[str]] = [["keys", "create", name, "--owner", "ana", "--scope", "score", *limits]]
    if "ana@bank.example" not in Path(one.environ["USERS_FILE"]).read_text("utf-8"):
        said.insert(0, ["users", "add", "ana", "ana@bank.example"])
    for words in said:
        made = subprocess.run(
            [*told, *words], cwd=ROOT, env=one.environ, check=True, capture_output=True, text=True,
            input=PASSWORD,
        )  # fmt: skip
    return made.stdout.splitlines()[-1]


def limit_of_a_key(one: Host) -> str:
    """Ask as fast as it goes with a key that may send 10 a second and 20 at once; return how many were let in."""
    key = new_key(one, "limited", str(60 * LIMIT), str(BURST))
    statuses: Counter[int] = Counter()
    lock = threading.Lock()

    def ask(until: float) -> None:
        while time.monotonic() < until:
            line = http.client.HTTPConnection(PROXY, FRONT, timeout=PATIENCE)
            # nothing to be scored: a key's limit counts that, too
            sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            line.request("POST", "/detect_fraud", b"{}", sent)
            answer = line.getresponse()
            answer.read()
            line.close()
            with lock:
                statuses[answer.status] += 1

    end = time.monotonic() + LIMIT_SECONDS
    threads = [threading.Thread(target=ask, args=(end,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = statuses.pop(429, 0)
    return (
        f"a key's limit lets {BURST + LIMIT * LIMIT_SECONDS} in within {LIMIT_SECONDS} s: "
        f"{statuses.total()} were let in, {refused} refused ({dict(statuses)})"
    )
