"""How long nobody answers when all web processes are killed at once: ``python -m benchmarks.web_kills``.

A client asks ``POST /detect_fraud`` again and again, on a new line each time, from the moment of the kill until it is
answered with 200.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.load import send
from benchmarks.realtime import ours

BETWEEN_SECONDS = 7.0
"""Sooner again, and the server takes it for a crash without end, and stops."""
FIRST_SECONDS = 8.0


def web_processes(server: int) -> list[int]:
    """Return the processes that a server has forked: they have its own command line."""
    own = Path(f"/proc/{server}/cmdline").read_bytes()
    children = [
        int(child)
        for task in Path(f"/proc/{server}/task").glob("*/children")
        for child in task.read_text().split()
    ]
    return [child for child in children if Path(f"/proc/{child}/cmdline").read_bytes() == own]


def until_answered(port: int, asked: bytes) -> float:
    """Return the seconds until a request is answered with 200."""
    begun = time.perf_counter()
    while True:
        try:
            if 200 in send(port, [asked], connections=1, seconds=0.001).statuses:
                return time.perf_counter() - begun
        except OSError:
            pass  # the line was refused or cut
        time.sleep(0.005)


def main() -> None:
    """Print the seconds of each kill, and their median."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=5)
    kills = parser.parse_args().kills
    with tempfile.TemporaryDirectory() as scratch:
        compiled = Path(scratch) / "compiled"
        compiled.mkdir()
        with ours(Path(scratch) / "instance", compiled, "full") as (server, asking):
            asked = asking("card")[0]
            until_answered(server.port, asked)
            time.sleep(FIRST_SECONDS)
            taken = []
            for _ in range(kills):
                for process in web_processes(server.process.pid):
                    os.kill(process, signal.SIGKILL)
                taken.append(until_answered(server.port, asked))
                time.sleep(BETWEEN_SECONDS)
    print(
        "nobody answered for "
        + ", ".join(f"{each:.2f}" for each in taken)
        + f" s; median {statistics.median(taken):.2f}"
    )


if __name__ == "__main__":
    main()
