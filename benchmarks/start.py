"""How long a start takes until the first page answers: ``python -m benchmarks.start``."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.served import Server

STARTS = 5


def measure(starts: int = STARTS) -> dict[str, float]:
    """The medians of several first starts, each with nothing in its instance folder, and of as many second ones.

    In turn, in seconds from the command to the landing page.
    """
    first, second = [], []
    for _ in range(starts):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            server = Server(Path(folder), None)
            first.append(_answered(server, began))
            began = time.perf_counter()
            server.start()
            second.append(_answered(server, began))
            server.close()
    return {
        "first start, seconds to the landing page": statistics.median(first),
        "second start, seconds to the landing page": statistics.median(second),
    }


def _answered(server: Server, began: float) -> float:
    """Wait for the landing page, stop the server; the time until the page was there."""
    if server.get("/")[0] != 200:
        raise RuntimeError("the landing page doesn't answer")
    taken = time.perf_counter() - began
    server.stop()
    return taken


def main() -> None:
    """Print the figures."""
    for name, value in measure().items():
        print(f"{name:<60} {value:>12.3f}")


if __name__ == "__main__":
    main()
