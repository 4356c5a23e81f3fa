"""A month of payments screened against their history, on the upload page: ``python -m benchmarks.month FILE``.

FILE: the Handbook's simulated transactions, as Parquet or CSV. What came before the last 250,000 rows is sent first,
then those; labels count as known frauds after the delay. The time is from the first byte until the result page answers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from tests.served import Server

ROWS = 250_000
COLUMNS = ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD"]


def send(server: Server, frame: pd.DataFrame) -> tuple[float, dict[str, object]]:
    """Seconds until the result page answers, and the screening's state."""
    content = frame.to_csv(index=False).encode()
    began = time.monotonic()
    status, headers, _ = server.upload(content)
    assert status == 303, status
    place = headers["Location"]
    state = server.wait_for(place.rsplit("/", 1)[1], 600)
    assert server.get(place)[0] == 200
    return time.monotonic() - began, state


def memory(pid: int) -> float:
    """The most that a process held, MB."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmHWM"))


def tensorflow_in(pid: int) -> bool:
    """Whether a process has TensorFlow's library in its memory."""
    return "libtensorflow" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.month", description=__doc__)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    read = pd.read_parquet if options.file.suffix == ".parquet" else pd.read_csv
    rows = read(options.file)[COLUMNS].sort_values("TX_DATETIME", kind="stable")
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "compiled"
        compiled.mkdir()
        server = Server(Path(folder), compiled)
        try:
            server.log_in()
            send(server, rows.head(1000))  # the net is compiled now
            before, _ = send(server, rows.iloc[:-ROWS])
            seconds, state = send(server, rows.iloc[-ROWS:])
            worker = server.workers()[0]
            print(f"history of {len(rows) - ROWS:,} rows: {before:.1f} s")
            print(
                f"{ROWS:,} rows against it: {seconds:.1f} s, {state['flagged']:,} flagged, by {state['detector']}"
            )
            found = "in it" if tensorflow_in(worker) else "not in it"
            print(f"job process: peak {memory(worker):.0f} MB, TensorFlow {found}")
        finally:
            server.stop()
            server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
