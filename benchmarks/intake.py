"""Reading 284,807 rows strictly, beside ``pandas.read_csv`` of the same file: ``python -m benchmarks.intake``.

The second part reads a file ten times as long: what the intake holds must not grow with it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks.files import card_file
from screening.intake import FileKind, open_transactions
from screening.settings import ROOT
from screening.transactions.schema import CARD

PAIRS = 5
TIMES = 10


def measure(pairs: int = PAIRS) -> dict[str, float]:
    """Medians of reading in turn with the intake and with pandas, and the growth of memory with the file."""
    path = card_file()
    found = [(_seconds(read, path), _seconds(pd.read_csv, path)) for _ in range(pairs + 1)][1:]
    long = _repeated(path)
    return {
        "intake seconds": statistics.median(ours for ours, _ in found),
        "read_csv seconds": statistics.median(theirs for _, theirs in found),
        "ratio": statistics.median(ours / theirs for ours, theirs in found),
        "peak MB of a process that reads the file": _peak(path),
        f"peak MB of one that reads {TIMES} times as much": _peak(long),
    }


def read(path: Path) -> int:
    """Read a file through the intake as the worker does; returns its rows."""
    with path.open("rb", buffering=0) as stream:
        copy = path.with_suffix(".copy")
        batches = open_transactions(stream, FileKind.CSV, lambda _header: CARD, canonical=copy)
        return sum(len(batch) for batch in batches)


def _seconds(action: Callable[[Path], object], path: Path) -> float:
    began = time.perf_counter()
    action(path)
    return time.perf_counter() - began


def _repeated(path: Path) -> Path:
    """The same rows ten times under one header, made once and kept in build/."""
    long = path.with_name(f"{path.stem}-times-{TIMES}.csv")
    if not long.exists():
        header, _, body = path.read_bytes().partition(b"\n")
        with long.open("wb") as out:
            out.write(header + b"\n")
            for _ in range(TIMES):
                out.write(body)
    return long


def _peak(path: Path) -> float:
    """The most memory, in MB of 10^6 bytes, of a fresh process that reads the file."""
    program = (
        "import sys, pathlib; from benchmarks import intake; print(intake.peak(pathlib.Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def peak(path: Path) -> float:
    """Read, then say what this process held at most, in MB (VmHWM: getrusage would count the parent's past too)."""
    read(path)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def main() -> None:
    """Print the figures."""
    for name, value in measure().items():
        print(f"{name:<60} {value:>12.3f}")


if __name__ == "__main__":
    main()
