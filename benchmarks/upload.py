"""The main job, as a user meets it: upload 284,807 rows, see the flags. Beside it, in the same run, pandas.

``python -m benchmarks.upload`` prints the seconds from the first byte sent to the result page read, the seconds that
``pandas.read_csv`` takes for the same file, and their ratio pair by pair; then the memory of the web processes. Once
for a file without quotation marks, and once as the public file is written, with two in each row.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks.files import card_file, quoted_card_file
from screening.settings import ROOT
from tests.served import Server

PAIRS = 7


def measure(pairs: int = PAIRS) -> dict[str, float]:
    """Medians over ``pairs`` of upload and read in turn, after one of each that isn't counted."""
    cache = ROOT / "build" / "compiled"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), cache)
        try:
            server.log_in()
            found = _pairs(server, "", card_file(), pairs) | _pairs(
                server, "quoted_", quoted_card_file(), pairs
            )
            found["web_megabytes"] = max(_resident(pid) for pid in _web_processes(server))
        finally:
            server.stop()
            server.close()
    return found


def _pairs(server: Server, kind: str, file: Path, pairs: int) -> dict[str, float]:
    content = file.read_bytes()
    found = [(_upload(server, content), _read(file)) for _ in range(pairs + 1)][1:]
    ratios = [ours / theirs for ours, theirs in found]
    return {
        f"{kind}upload_seconds": statistics.median(ours for ours, _ in found),
        f"{kind}read_csv_seconds": statistics.median(theirs for _, theirs in found),
        f"{kind}ratio": statistics.median(ratios),
        f"{kind}ratio_low": min(ratios),
        f"{kind}ratio_high": max(ratios),
    }


def _upload(server: Server, content: bytes) -> float:
    body = server.form_body(content)
    began = time.perf_counter()
    status, headers, answer = server.post_form("/upload", body)
    if status != 303:
        raise RuntimeError(answer.decode()[:2000])
    page = server.get(headers["Location"])
    taken = time.perf_counter() - began
    state = json.loads(server.get(headers["Location"] + ".json")[2])
    if page[0] != 200 or state["state"] != "done" or not state["flagged"]:
        raise RuntimeError(f"the upload was not screened: {state}")
    return taken


def _read(file: Path) -> float:
    began = time.perf_counter()
    pd.read_csv(file)
    return time.perf_counter() - began


def _web_processes(server: Server) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if int(pid) not in server.workers().values()]


def _resident(pid: int) -> float:
    """The most memory that a process has held (VmHWM), in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def main() -> None:
    """Print the table."""
    for name, value in measure().items():
        print(f"{name:24} {value:10.3f}")


if __name__ == "__main__":
    main()
