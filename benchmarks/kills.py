"""Kills processes of a server under load, and counts afterwards: nothing that was answered is lost or there twice.

Run with: ``python -m benchmarks.kills [--kills 60]``. Senders ask ``POST /detect_fraud`` of a detector that looks back,
each request with an ``Idempotency-Key``, and send it again until it is answered, as a payment system does. Meanwhile a
web process, a worker (which seals) or, one time in ten, the parent with everything is killed with SIGKILL; the parent
is started again. At the end the answers are compared with the ledger, the velocity state and ``GET /summary``.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import select

from screening.ledger.identity import TransactionId
from screening.ledger.ledger import Ledger
from screening.ledger.tables import VelocityEntity, VelocityRow
from screening.settings import ROOT
from tests.served import Server

SENDERS = 4
SECONDS_BETWEEN = 2.0, 8.0
CUSTOMERS, TERMINALS = 50, 100
PATIENCE = 60.0


class Senders:
    """Sends transactions until it is told to stop; keeps what was answered, and how long nobody was."""

    def __init__(
        self, port: int, key: str, address: str = "127.0.0.1", again: Collection[int] = (429, 503)
    ) -> None:
        """``again``: statuses after which a request is sent once more; any other but 200 ends it."""
        self.port, self.key, self.address, self.again = port, key, address, again
        self.refused: list[float] = []
        """Moments at which a line was lost, or such a status came."""
        self.answered: dict[str, dict[str, Any]] = {}
        self.statuses: dict[int, int] = {}
        self.lost_lines = 0
        self.waits: list[float] = []
        self.moments: list[float] = []
        self.ending = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(SENDERS)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wait until each request that was begun is answered."""
        self.ending.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        while not self.ending.is_set():
            moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
            row = {
                "TX_DATETIME": moment,
                "CUSTOMER_ID": chance.randrange(CUSTOMERS),
                "TERMINAL_ID": chance.randrange(TERMINALS),
                "TX_AMOUNT": round(chance.uniform(1, 200), 2),
            }
            self._send(json.dumps({"transaction": row, "detector": "payments"}).encode(), str(uuid.uuid4()))

    def _send(self, body: bytes, once: str) -> None:
        headers = {
            "Authorization": f"Bearer {self.key}", "Idempotency-Key": once, "Content-Type": "application/json",
        }  # fmt: skip
        begun = time.monotonic()
        while True:
            try:
                line = http.client.HTTPConnection(self.address, self.port, timeout=PATIENCE)
                line.request("POST", "/detect_fraud", body, headers)
                answer = line.getresponse()
                content = answer.read()
                line.close()
            except (OSError, http.client.HTTPException):
                with self._lock:
                    self.lost_lines += 1
                    self.refused.append(time.monotonic())
                time.sleep(0.05)
                continue
            with self._lock:
                self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
                if answer.status == 200:
                    self.answered[once] = json.loads(content)
                    self.moments.append(time.monotonic())
                    self.waits.append(self.moments[-1] - begun)
                    return
                self.refused.append(time.monotonic())
            if answer.status not in self.again:
                raise AssertionError(f"{answer.status}: {content[:300]!r}")
            time.sleep(0.1)


def children(of: int) -> list[tuple[int, str]]:
    """Return the processes below one, each with its command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, ValueError):
            continue
        if parent == of:
            found.append((int(entry.name), words))
    return found


def main() -> None:
    """Run it and print what was found; the exit status is 1 where something was lost or counted wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), Path(folder) / "compiled", WORKERS="2", JOB_WORKERS="2")
        server.log_in()
        key = _new_key(server)
        senders = Senders(server.port, key)
        senders.start()
        killed: dict[str, list[float]] = {"a web process": [], "a worker": [], "the parent": []}
        for _ in range(chosen.kills):
            time.sleep(chance.uniform(*SECONDS_BETWEEN))
            begun = time.monotonic()
            killed[_kill(server, chance)].append(begun)
        time.sleep(SECONDS_BETWEEN[1])
        senders.stop()
        wrong = _compare(server, senders)
        server.close()
    for what, moments in killed.items():
        gaps = [_silence(senders.moments, moment) for moment in moments]
        print(f"{what}, killed {len(gaps)} times: nobody was answered for {_told(gaps)}")
    print(
        f"answered: {len(senders.answered):,}; lines lost {senders.lost_lines:,}; by status {senders.statuses}"
    )
    waits = sorted(senders.waits)
    print(f"longest waits until answered, s: {', '.join(f'{wait:.1f}' for wait in waits[-10:])}")
    print("\n".join(wrong) or "nothing lost, nothing twice, no count wrong")
    sys.exit(bool(wrong))


def _silence(answered: list[float], killed: float) -> float:
    """Return the longest time without an answer in the seconds after a kill."""
    near = [moment for moment in sorted(answered) if killed - 1 <= moment <= killed + SECONDS_BETWEEN[0]]
    after = next((moment for moment in sorted(answered) if moment > killed + SECONDS_BETWEEN[0]), killed)
    every = [killed, *(moment for moment in near if moment > killed), after]
    return max(b - a for a, b in pairwise(every))


def _told(gaps: list[float]) -> str:
    ordered = sorted(gaps)
    if not ordered:
        return "no time"
    return f"{ordered[len(ordered) // 2]:.2f} s in the middle, {ordered[-1]:.2f} s at most"


def _new_key(server: Server) -> str:
    command = [
        sys.executable, "-m", "flask", "--app", "app", "keys", "create", "till", "--owner", "ana",
        "--scope", "score", "--per-minute", "60000",
    ]  # fmt: skip
    made = subprocess.run(
        command, cwd=ROOT, env=server.environ, capture_output=True, text=True, check=True, timeout=60
    )
    return made.stdout.splitlines()[-1]


def _kill(server: Server, chance: random.Random) -> str:
    if chance.random() < 0.1:
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        server.start()
        return "the parent"
    every = children(server.process.pid)
    workers = [pid for pid, words in every if "app.py worker" in words]
    web = [pid for pid, words in every if pid not in workers and "resource_tracker" not in words]
    kind, some = ("a worker", workers) if chance.random() < 0.4 and workers else ("a web process", web)
    if not some:  # they are being started again
        return _kill(server, chance)
    os.kill(chance.choice(some), signal.SIGKILL)
    return kind


def _compare(server: Server, senders: Senders) -> list[str]:
    wrong = []
    ids = [answer["id"] for answer in senders.answered.values()]
    if len(set(ids)) != len(ids):
        wrong.append("two requests got one id")
    time.sleep(2.0)
    summary = json.loads(server.get("/summary?source=api")[2])
    instance = Path(server.environ["INSTANCE_PATH"])
    ledger = Ledger.open(instance, f"sqlite:///{instance / 'screening.sqlite3'}")
    kept = ids_of(ledger)
    with ledger.tables.read() as session:
        seen = session.scalars(select(VelocityRow.id)).all()
        entities = session.execute(select(VelocityEntity.seq)).all()
    for what, there in (("the ledger", kept), ("the velocity state", list(seen))):
        if missing := set(ids) - set(there):
            wrong.append(f"{len(missing)} answered transactions aren't in {what}")
        if len(there) != len(set(there)):
            wrong.append(f"{len(there) - len(set(there))} transactions are twice in {what}")
        if more := set(there) - set(ids):
            wrong.append(f"{len(more)} transactions in {what} were answered to nobody")
    if summary["total_transactions"] != len(ids):
        wrong.append(f"GET /summary counts {summary['total_transactions']:,}, answered were {len(ids):,}")
    if len(entities) != 2 * len(seen):
        wrong.append(f"{len(entities):,} entities of {len(seen):,} rows with two each")
    faults = ledger.segments.verify()
    wrong += [f"segment {fault.name}: {fault.problem}" for fault in faults]
    ledger.tables.engine.dispose()
    return wrong


def ids_of(ledger: Ledger) -> list[str]:
    """Return the ids of all rows of the ledger, of the tail and of the segments."""
    with ledger.tables.read() as session:
        tables = [ledger.sealing.rows(session)]
    tables += [pq.read_table(ledger.segments.path(each.name)) for each in ledger.segments.all()]
    rows = [row for table in tables for row in table.select(["origin", "number"]).to_pylist()]
    return [str(TransactionId(row["origin"], row["number"])) for row in rows]


if __name__ == "__main__":
    main()
