"""How long a second start takes until the first page answers: ``python -m benchmarks.start``."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from screening.settings import ROOT
from tests.served import Server

STARTS = 5


def measure(starts: int = STARTS) -> dict[str, float]:
    """The median of several starts with a compiled net, in seconds from the command to the landing page."""
    cache = ROOT / "build" / "compiled"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), cache)
        taken = []
        for _ in range(starts):
            server.stop()
            began = time.perf_counter()
            server.start()
            if server.get("/")[0] != 200:
                raise RuntimeError("the landing page doesn't answer")
            taken.append(time.perf_counter() - began)
        server.stop()
        server.close()
    return {"seconds from start to the landing page": statistics.median(taken)}


def main() -> None:
    """Print the figure."""
    for name, value in measure().items():
        print(f"{name:<60} {value:>12.3f}")


if __name__ == "__main__":
    main()
