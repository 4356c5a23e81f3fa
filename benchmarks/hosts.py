"""Two hosts that answer and two that do jobs, killed and cut off under load: ``python -m benchmarks.hosts``.

Each host is a network namespace with processes of its own (root, ``ip``), behind nginx with
``deploy/nginx/hosts.conf``; they share one PostgreSQL and a folder of this machine. Meanwhile transactions are sent,
each with an ``Idempotency-Key`` until it is answered, files are uploaded, and a page is asked for. At the end what was
acknowledged is compared with the ledger and the history.

``--roll FOLDER`` begins with the code that is there, and upgrades one host after another instead.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
from sqlalchemy import select

from benchmarks.kills import Senders, ids_of
from screening.infra.audit.log import KEY_PURPOSE, AuditLog
from screening.infra.audit.verification import verify
from screening.infra.database import Database
from screening.infra.instance_secret import InstanceSecret
from screening.ledger.ledger import Ledger
from screening.settings import ROOT
from screening.uploads.screenings import DONE, OPEN_STATES, Screening
from tests.postgres_server import programs, running
from tests.served import PASSWORD

BRIDGE, NETWORK, HERE, PROXY = "fraud-bridge", "10.77.0.0/24", "10.77.0.1", "10.77.0.2"
PORT, FRONT = 5000, 8080
PATIENCE = 60.0
QUIET_SECONDS, AWAY_SECONDS = 4.0, 8.0
"""Between two events, and for how long a host is cut off, or off."""
UPLOADERS, UPLOAD_ROWS = 2, 4_000
PIECES = 20
# Between two files of an uploader, so that job workers keep up.
REST_SECONDS = 1.0
PAGE_SECONDS = 0.1
KEY = ("--scope", "score", "--per-minute", "60000")
AGAIN = (429, 502, 503, 504)


def ip(*words: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def namespace(name: str, number: int, address: str) -> Iterator[str]:
    """A namespace with a line to the bridge; gives the name of the line's end on our side."""
    line = f"fraud-{number}"
    ip("netns", "add", name)
    try:
        ip("link", "add", line, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", line, "master", BRIDGE, "up")
        ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield line
    finally:
        kill_in(name)
        ip("netns", "del", name)


def kill_in(name: str) -> None:
    """Kill all processes of a namespace."""
    found = subprocess.run(["ip", "netns", "pids", name], check=True, capture_output=True, text=True)
    for each in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(each), signal.SIGKILL)


@dataclass
class Host:
    """A host: its namespace, its line, and what runs there."""

    name: str
    role: str
    address: str
    line: str
    environ: Mapping[str, str]
    log: Path
    code: Path = ROOT
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it answers or works."""
        own = {"HOST": self.address, "PORT": str(PORT), "HOST_NAME": self.name, "ROLE": self.role}
        with self.log.open("ab") as log:
            began = log.tell()
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, sys.executable, "app.py"],
                cwd=self.code, env={**self.environ, **own}, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 2 * PATIENCE
        while not self._works(began):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} doesn't start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def _works(self, began: int) -> bool:
        if self.role == "worker":
            return b"Working on jobs" in self.log.read_bytes()[began:]
        with suppress(OSError, http.client.HTTPException):
            line = http.client.HTTPConnection(self.address, PORT, timeout=2)
            line.request("GET", "/healthz")
            return line.getresponse().status == 200
        return False

    def kill(self) -> None:
        """Kill everything on it at once."""
        kill_in(self.name)
        if self.process is not None:
            self.process.wait()

    def stop(self) -> None:
        """Let it finish what it has in hand."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE)

    def cut_off(self) -> None:
        """Take its line away; its processes go on."""
        ip("link", "set", self.line, "down")

    def join(self) -> None:
        """Give its line back."""
        ip("link", "set", self.line, "up")


@dataclass(frozen=True, slots=True)
class Event:
    """What was done to a host of which role, and when."""

    what: str
    role: str
    moment: float

    def __str__(self) -> str:
        return f"{self.what} ({self.role})"


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


def main() -> None:
    """Run it and print what was found; the exit status is 1 where something was lost or twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="kills, and as many cuts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--roll", type=Path, help="a folder with the code of the version before")
    parser.add_argument("--logs", type=Path, help="a folder that gets the logs of all hosts and of nginx")
    chosen = parser.parse_args()
    found = programs()
    if os.geteuid() or found is None or not shutil.which("nginx") or not shutil.which("ip"):
        sys.exit("This needs root, and: apt-get install postgresql nginx iproute2")
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        if chosen.logs is not None:
            held.callback(lambda: [shutil.copy(each, chosen.logs) for each in folder.glob("*.log")])
        ip("link", "add", BRIDGE, "type", "bridge")
        held.callback(ip, "link", "del", BRIDGE)
        ip("addr", "add", f"{HERE}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        server = held.enter_context(running(found, HERE, [NETWORK]))
        url = server.url(server.empty(), HERE)
        hosts = [held.enter_context(host(folder, url, each)) for each in HOSTS]
        held.enter_context(namespace("fraud-proxy", 9, PROXY))
        for each in hosts:
            each.code = chosen.roll or ROOT
            each.start()
        begin_nginx(folder)
        wrong = attack(hosts, None if chosen.roll else chosen.rounds, random.Random(chosen.seed))
    print("\n".join(wrong) or "nothing acknowledged was lost, nothing is twice")
    sys.exit(bool(wrong))


HOSTS = (
    ("web-1", "web", "10.77.0.11", 1),
    ("web-2", "web", "10.77.0.12", 2),
    ("jobs-1", "worker", "10.77.0.21", 3),
    ("jobs-2", "worker", "10.77.0.22", 4),
)


@contextmanager
def host(folder: Path, url: str, told: tuple[str, str, str, int]) -> Iterator[Host]:
    """A host in a namespace of its own, not started yet: its name, role, address and number."""
    name, role, address, number = told
    environ = {
        **os.environ, "DATABASE_URL": url, "HOSTS": "several", "TRUSTED_PROXIES": PROXY,
        "INSTANCE_PATH": str(folder / "instance"), "USERS_FILE": str(folder / "users.txt"),
        "WORKERS": "2", "JOB_WORKERS": "1",
    }  # fmt: skip
    with namespace(name, number, address) as line:
        yield Host(name, role, address, line, environ, folder / f"{name}.log")


def begin_nginx(folder: Path) -> None:
    """Start nginx with the file that is shipped, in its namespace: with addresses, and settings of the kernel's."""
    text = (ROOT / "deploy" / "nginx" / "hosts.conf").read_text("utf-8")
    settings = [each for each in text.split() if each.startswith("net.ipv4.")]
    for name, _, address, _ in HOSTS:
        text = text.replace(f"{name}:{PORT}", f"{address}:{PORT}")
    conf = folder / "nginx.conf"
    conf.write_text("user root;\n" + text.replace("/tmp/", f"{folder}/nginx-"), encoding="utf-8")
    inside = ["ip", "netns", "exec", "fraud-proxy"]
    subprocess.run([*inside, "sysctl", "-q", "-w", *settings], check=True)
    with (folder / "nginx.log").open("ab") as log:
        subprocess.Popen([*inside, "nginx", "-c", str(conf), "-g", "daemon off;"], stdout=log, stderr=log)
    time.sleep(1)


def hurt(hosts: list[Host], rounds: int, chance: random.Random) -> Iterator[Event]:
    """Kill hosts and cut them off, in turn."""
    for number in range(2 * rounds):
        one, what = chance.choice(hosts), ("killed", "cut off")[number % 2]
        time.sleep(QUIET_SECONDS + chance.random())
        yield Event(what, one.role, time.monotonic())
        if what == "killed":
            one.kill()
            time.sleep(AWAY_SECONDS / 2)
            one.start()
        else:
            one.cut_off()
            time.sleep(AWAY_SECONDS)
            one.join()


def roll(hosts: list[Host]) -> Iterator[Event]:
    """Upgrade one host after another to the present code, those with job workers first."""
    for one in sorted(hosts, key=lambda each: each.role, reverse=True):
        yield Event("upgraded", one.role, time.monotonic())
        one.stop()
        one.code = ROOT
        one.start()
        time.sleep(QUIET_SECONDS)


def attack(hosts: list[Host], rounds: int | None, chance: random.Random) -> list[str]:
    """Kill hosts and cut them off under load, or upgrade them; return what is wrong afterwards."""
    key = new_key(hosts[0])
    sample = (ROOT / "transactions_data.csv").read_bytes()
    header, *rows = sample.splitlines(keepends=True)
    body = header + b"".join((rows * (UPLOAD_ROWS // len(rows) + 1))[:UPLOAD_ROWS])
    senders = Senders(FRONT, key, PROXY, AGAIN)
    uploads, pages = Uploads(key, body), Pages()
    threads = [threading.Thread(target=uploads.run) for _ in range(UPLOADERS)]
    threads.append(threading.Thread(target=pages.run))
    senders.start()
    for thread in threads:
        thread.start()
    time.sleep(QUIET_SECONDS)
    events = list(roll(hosts) if rounds is None else hurt(hosts, rounds, chance))
    time.sleep(QUIET_SECONDS)
    for ending in (uploads.ending, pages.ending):
        ending.set()
    for thread in threads:
        thread.join()
    senders.stop()
    report(events, senders, uploads, pages)
    return compare(hosts[0], senders, uploads, len(body.splitlines()) - 1)


def new_key(one: Host) -> str:
    """Make an account and a key on the command line of a host."""
    told = [sys.executable, "-m", "flask", "--app", "app"]
    said = [("users", "add", "ana", "ana@bank.example"), ("keys", "create", "till", "--owner", "ana", *KEY)]
    for words in said:
        made = subprocess.run(
            [*told, *words], cwd=ROOT, env=one.environ, check=True, capture_output=True, text=True,
            input=PASSWORD,
        )  # fmt: skip
    return made.stdout.splitlines()[-1]


def report(events: list[Event], senders: Senders, uploads: Uploads, pages: Pages) -> None:
    """Print for how long something was refused after each event, and how long was waited for answers."""
    ends = [*(each.moment for each in events[1:]), math.inf]
    refused = {"transactions": senders.refused, "pages": pages.refused, "uploads": uploads.refused}
    spans: dict[str, list[float]] = {}
    for event, end in zip(events, ends, strict=True):
        for name, moments in refused.items():
            seconds = {int(moment - event.moment) for moment in moments if event.moment <= moment < end}
            spans.setdefault(f"{event}: seconds in which {name} were refused,", []).append(
                float(len(seconds))
            )
        near = [event.moment, *(moment for moment in sorted(senders.moments) if event.moment <= moment < end)]
        longest = max((later - before for before, later in pairwise(near)), default=0.0)
        spans.setdefault(f"{event}: no transaction answered for", []).append(longest)
    for what, found in sorted(spans.items()):
        middle = sorted(found)[len(found) // 2]
        print(f"{what} {max(found):.2f} at most of {len(found)}, {middle:.2f} in the middle")
    for what, waits, others in (
        (
            "transactions",
            sorted(senders.waits),
            f"by status {senders.statuses}, lines lost {senders.lost_lines}",
        ),
        ("pages", sorted(pages.waits), f"refused {len(pages.refused)}"),
    ):
        longest_ones = ", ".join(f"{each:.1f}" for each in waits[-8:])
        print(f"{what}: {len(waits):,} answered after {waits[len(waits) // 2]:.3f} s in the middle, {others}")
        print(f"  longest waits until answered, s: {longest_ones}")
    print(f"uploads: {len(uploads.acknowledged)} acknowledged, {len(uploads.refused)} refused")


def compare(one: Host, senders: Senders, uploads: Uploads, rows: int) -> list[str]:
    """Compare what was acknowledged with what there is, once every file is screened and entered."""
    url, instance = one.environ["DATABASE_URL"], Path(one.environ["INSTANCE_PATH"])
    database = Database(url)
    ledger = Ledger.open(instance, url)
    deadline = time.monotonic() + 10 * PATIENCE
    while waiting(database, ledger, uploads) and time.monotonic() < deadline:
        time.sleep(1)
    with database.read() as session:
        states: dict[str, str] = dict(session.execute(select(Screening.id, Screening.state)).all())
    wrong = []
    lost = [each for each in uploads.acknowledged if states.get(each) != DONE]
    if lost:
        wrong.append(f"{len(lost)} acknowledged files aren't done: {[states.get(each) for each in lost]}")
    entered: Counter[str] = Counter()
    for segment in ledger.segments.all():
        table = pq.read_table(ledger.segments.path(segment.name), columns=["screening"])
        entered.update(each for each in table.column("screening").to_pylist() if each is not None)
    uneven = [entered[each] for each in uploads.acknowledged if entered[each] != rows]
    if uneven:
        wrong.append(f"{len(uneven)} acknowledged files have other rows in the ledger: {uneven}")
    others = Counter(states[each] for each in set(states) - set(uploads.acknowledged))
    print(f"files that nobody was told of, by state: {dict(others)}")
    ids = [answer["id"] for answer in senders.answered.values()]
    files = sum(entered.values())
    there = Counter(ids_of(ledger))
    if len(set(ids)) != len(ids):
        wrong.append("two requests got one id")
    if missing := [each for each in ids if not there[each]]:
        wrong.append(f"{len(missing)} answered transactions aren't in the ledger")
    if twice := [each for each, count in there.items() if count > 1]:
        wrong.append(f"{len(twice)} rows are twice in the ledger")
    if more := len(there) - len(set(ids)) - files:
        wrong.append(f"{more} transactions in the ledger were answered to nobody")
    wrong += [f"segment {fault.name}: {fault.problem}" for fault in ledger.segments.verify()]
    log = AuditLog(instance)
    found = verify(
        log.files(), InstanceSecret(instance).derive(KEY_PURPOSE), [("beside the log", log.chain.head())]
    )
    if found.fault is not None:
        wrong.append(f"audit log: {found.fault}")
    print(f"ledger: {len(there):,} rows, {len(entered)} files; audit log: {found.entries:,} entries")
    return wrong


def waiting(database: Database, ledger: Ledger, uploads: Uploads) -> bool:
    """Return whether files wait to be screened, or to be entered into the ledger."""
    with database.read() as session:
        still_open = session.scalar(select(Screening.id).where(Screening.state.in_(OPEN_STATES)).limit(1))
    return still_open is not None or not set(uploads.acknowledged) <= ledger.segments.screenings()


if __name__ == "__main__":
    main()
