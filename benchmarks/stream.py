"""Messages of Kafka beside requests of the API, in turn: ``python -m benchmarks.stream``.

The same transactions, in one instance. Processor time is that of the stream's process, or of the web processes, with
the server's tree around them: the worker seals what either has kept. Broker and sender are in this process and aren't
counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.realtime import Target, memory, ours, payments, processor_seconds, sample
from screening.settings import ROOT
from tests.kafka_broker import Broker
from tests.served import Server

DETECTORS = ("card", "payments")
WARM = 500
PARTITIONS = 8


@contextmanager
def stream(server: Server, broker: Broker, topic: str, detector: str, batch: int) -> Iterator[int]:
    """A stream beside a server; its pid."""
    environ = {
        **server.environ,
        "STREAM_BROKERS": broker.address,
        "STREAM_TOPIC": topic,
        "STREAM_ACCOUNT": "ada",
        "STREAM_GROUP": topic,
        "STREAM_DETECTOR": detector,
        "STREAM_BATCH": str(batch),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "app", "stream"],
        cwd=ROOT,
        env=environ,
        stdout=server.log,
        stderr=server.log,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def messages(detector: str, begin: int, count: int) -> list[tuple[str | None, bytes]]:
    """So many transactions from a place on, each with a key of its own."""
    rows = payments() if detector == "payments" else sample(detector)
    return [
        (f"{detector} {number}", json.dumps(rows[number % len(rows)]).encode())
        for number in range(begin, begin + count)
    ]


def measure(
    server: Server, broker: Broker, detector: str, *, begin: int, count: int, batch: int
) -> tuple[float, float, float]:
    """Return messages a second, microseconds of processor time each, and MB of the stream's process."""
    topic = broker.topic(PARTITIONS)
    answers = f"{topic}.decisions"
    with stream(server, broker, topic, detector, batch) as pid:
        broker.send(topic, messages(detector, begin, WARM))
        broker.wait_for(answers, WARM)
        # all of them wait before it begins: what it takes together is as large as it may be
        ready = messages(detector, begin + WARM, count)
        before = processor_seconds(pid) + processor_seconds(server.process.pid)
        began = time.perf_counter()
        broker.send(topic, ready)
        broker.wait_for(answers, WARM + count)
        seconds = time.perf_counter() - began
        used = processor_seconds(pid) + processor_seconds(server.process.pid) - before
        return count / seconds, used / count * 1e6, memory(pid)


def main() -> None:
    """Print a line for each way and detector."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--durability", default="full")
    given = parser.parse_args()
    broker = Broker()
    with tempfile.TemporaryDirectory() as scratch:
        compiled = Path(scratch) / "compiled"
        compiled.mkdir()
        with ours(Path(scratch) / "full", compiled, given.durability) as (server, asking):
            found: dict[str, list[tuple[float, float, float]]] = {}
            targets = {
                name: Target(name, server.port, server.process.pid, asking(name)) for name in DETECTORS
            }
            for number in range(given.rounds):
                for name, target in targets.items():
                    begin = number * (given.messages + WARM)
                    taken = measure(
                        server, broker, name, begin=begin, count=given.messages, batch=given.batch
                    )
                    found.setdefault(f"{name}, stream", []).append(taken)
                    target.send(1.0)
                    target.ask(3.0)
                    api = target.rates[-1], target.microseconds[-1], memory(server.process.pid)
                    found.setdefault(f"{name}, API", []).append(api)
    broker.close()
    print(f"{'':24} a second   CPU µs each   MB")
    for name, figures in found.items():
        rate, cpu, megabytes = (statistics.median(each) for each in zip(*figures, strict=True))
        print(f"{name:24} {rate:8,.0f} {cpu:13,.0f} {megabytes:8,.0f}")


if __name__ == "__main__":
    main()
