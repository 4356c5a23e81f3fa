"""The real-time path beside a bare FastAPI service with the same net: ``python -m benchmarks.realtime``.

Every server runs with two web processes; all of them are asked in turn, a few seconds each, round after round, so that
what else the machine does falls on all alike. Processor time is that of a server's whole tree of processes.

FASTAPI_PYTHON: a Python with requirements/bench.in installed; without it that baseline is left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import Load, request, send
from screening.accounts.api_keys import MOST_BURST, MOST_PER_MINUTE, ApiKeys
from screening.accounts.user_store import UserStore
from screening.infra.database import Database
from screening.settings import ROOT
from tests.served import Server, free_port

CONNECTIONS = 16
CUSTOMERS, TERMINALS = 1_000, 2_000
PAYMENTS = 20_000
"""Payments that are sent before the first comes again: one that came before isn't what a system sends."""
SECONDS_BETWEEN = 10
CLOCK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Target:
    """Something that is asked."""

    name: str
    port: int
    pid: int
    requests: list[bytes]
    sent: int = 0
    rates: list[float] = field(default_factory=list)
    microseconds: list[float] = field(default_factory=list)
    medians: list[float] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)

    def send(self, seconds: float, rate: float | None = None) -> Load:
        """Send requests from where it ended the last time."""
        at = self.sent % len(self.requests)
        turned = self.requests[at:] + self.requests[:at]
        load = send(self.port, turned, connections=CONNECTIONS, seconds=seconds, rate=rate)
        self.sent += len(load.latencies)
        return load

    def ask(self, seconds: float) -> None:
        """Keep it busy for some seconds, and note what came of it."""
        before = processor_seconds(self.pid)
        load = self.send(seconds)
        check(self.name, load)
        self.rates.append(load.rate)
        self.microseconds.append((processor_seconds(self.pid) - before) / len(load.latencies) * 1e6)
        self.medians.append(load.at(0.5))
        self.slowest.append(load.at(0.99))


def check(name: str, load: Load) -> None:
    """See that every request was answered with 200."""
    if set(load.statuses) != {200}:
        raise RuntimeError(f"{name} answered {load.statuses}")


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all that it started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from tree(int(child))


def processor_seconds(pid: int) -> float:
    """What a tree of processes has used so far."""
    total = 0
    for each in tree(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / CLOCK


def memory(pid: int) -> float:
    """What a tree of processes holds, in MB."""
    pages = (int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in tree(pid))
    return sum(pages) * PAGE / 1e6


def payments() -> list[dict[str, Any]]:
    """Payments one after the other, of customers at terminals that come back; amounts as in the sample."""
    amounts = [row["TX_AMOUNT"] for row in sample("payments")]
    rng = random.Random(0)
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    return [
        {
            "TX_DATETIME": f"{begin + timedelta(seconds=SECONDS_BETWEEN * number):%Y-%m-%d %H:%M:%S}",
            "CUSTOMER_ID": f"{rng.randrange(CUSTOMERS)}",
            "TERMINAL_ID": f"{rng.randrange(TERMINALS)}",
            "TX_AMOUNT": rng.choice(amounts),
        }
        for number in range(PAYMENTS)
    ]


def sample(detector: str) -> list[dict[str, Any]]:
    """A detector's sample, as a program sends it."""
    folder = ROOT / "model" / "detectors" / detector
    file = ROOT / "transactions_data.csv" if detector == "card" else folder / "sample.csv"
    texts = {"TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID"}
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))[:200]
    return [{key: cell if key in texts else float(cell) for key, cell in row.items()} for row in rows]


def bodies(detector: str) -> list[bytes]:
    """One transaction each."""
    named = {} if detector == "card" else {"detector": detector}
    rows = payments() if detector == "payments" else sample(detector)
    return [json.dumps({"transaction": row, **named}).encode() for row in rows]


def key_of(server: Server) -> str:
    """Make a key on a running server, with limits that nobody reaches."""
    instance = Path(server.environ["INSTANCE_PATH"])
    users = UserStore(Path(server.environ["USERS_FILE"]))
    users.add("ada", "ada@bank.example", "a long river of words 7")
    keys = ApiKeys(Database(f"sqlite:///{instance / 'screening.sqlite3'}"), users)
    limits = {"per_minute": MOST_PER_MINUTE, "burst": MOST_BURST}
    return keys.create("bench", "ada", ["score"], by="bench", **limits)[1]


@contextmanager
def ours(
    folder: Path, compiled: Path, durability: str
) -> Iterator[tuple[Server, Callable[[str], list[bytes]]]]:
    """The product, and requests to it by detector."""
    folder.mkdir()
    server = Server(folder, compiled, LEDGER_DURABILITY=durability, JOB_WORKERS="1")
    key = key_of(server)
    headers = {"Authorization": f"Bearer {key}", "Content_Type": "application/json"}
    try:
        yield (
            server,
            lambda name: [request("POST", "/detect_fraud", body, **headers) for body in bodies(name)],
        )
    finally:
        server.stop()
        server.close()


@contextmanager
def other(name: str, command: list[str], port: int, path: str, **environ: str) -> Iterator[int]:
    """Another server as a process of its own, once it answers; its pid."""
    given = {**os.environ, "PORT": str(port), **environ}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=ROOT, env=given, stdout=log, stderr=log)
        try:
            for _ in range(600):
                try:
                    send(port, [request("GET", path)], connections=1, seconds=0.01)
                    break
                except OSError:
                    time.sleep(0.1)
            else:
                raise RuntimeError(f"{name} doesn't serve")
            yield process.pid
        finally:
            process.terminate()
            process.wait(20)


def targets(stack: ExitStack, scratch: Path) -> list[Target]:
    """Start everything."""
    compiled = scratch / "compiled"
    compiled.mkdir()
    found = []
    for durability in ("full", "normal"):
        server, asking = stack.enter_context(ours(scratch / durability, compiled, durability))
        found.append(Target(f"card, {durability}", server.port, server.process.pid, asking("card")))
        if durability == "normal":
            found.append(Target("payments, normal", server.port, server.process.pid, asking("payments")))
    port, plain = free_port(), scratch / "constant"
    plain.mkdir()
    (plain / "users.txt").write_text("# accounts\n", encoding="utf-8")
    environ = {"INSTANCE_PATH": str(plain / "instance"), "USERS_FILE": str(plain / "users.txt")}
    command = [sys.executable, "-m", "benchmarks.constant_route"]
    pid = stack.enter_context(other("constant", command, port, "/constant", **environ))
    found.append(Target("a constant, by Flask", port, pid, [request("GET", "/constant")]))
    python = os.environ.get("FASTAPI_PYTHON")
    if python is None:
        print("FASTAPI_PYTHON isn't set: no baseline")
        return found
    port = free_port()
    words = ["-m", "uvicorn", "benchmarks.fastapi_baseline:service", "--workers", "2", "--port", str(port)]
    packages = str(Path(np.__file__).parents[1])
    environ = {"PYTHONPATH": f"{ROOT}{os.pathsep}{packages}", "INSTANCE_PATH": str(scratch / "baseline")}
    command = [python, *words, "--log-level", "warning"]
    pid = stack.enter_context(other("FastAPI", command, port, "/", **environ))
    typed = [
        request("POST", "/detect_fraud", body, Content_Type="application/json") for body in bodies("card")
    ]
    found.append(Target("FastAPI, bare", port, pid, typed))
    return found


def steady(target: Target, seconds: float) -> None:
    """Ask at 80 % of the highest rate, and print what became of latency and memory."""
    rate = 0.8 * statistics.median(target.rates)
    before = memory(target.pid)
    load = target.send(seconds, rate)
    check(target.name, load)
    print(
        f"{target.name}, {seconds:.0f} s at {rate:,.0f} a second: {load.rate:,.0f} came, p50 {load.at(0.5):.2f} ms, "
        f"p99 {load.at(0.99):.2f} ms, no error, memory {before:,.0f} → {memory(target.pid):,.0f} MB",
        flush=True,
    )


def main() -> None:
    """Print one line for each target, then the steady runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--steady", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        every = targets(stack, Path(scratch))
        for target in every:  # nets are loaded, caches are warm
            target.send(1.0)
        for _ in range(given.rounds):
            for target in every:
                target.ask(given.seconds)
        base = next((target for target in every if target.name.startswith("FastAPI")), every[0])
        print(f"{'':24} requests/s   CPU µs each   p50 ms   p99 ms   × {base.name} by CPU, by rate")
        for target in every:
            rate, cpu = statistics.median(target.rates), statistics.median(target.microseconds)
            beside = statistics.median(
                b / a for a, b in zip(target.microseconds, base.microseconds, strict=True)
            )
            quicker = statistics.median(a / b for a, b in zip(target.rates, base.rates, strict=True))
            print(
                f"{target.name:24} {rate:10,.0f} {cpu:13,.0f} {statistics.median(target.medians):8.2f} "
                f"{statistics.median(target.slowest):8.2f} {beside:8.2f} {quicker:6.2f}",
                flush=True,
            )
        for target in (each for each in every if given.steady and each.name.startswith("card")):
            steady(target, given.steady)


if __name__ == "__main__":
    main()
