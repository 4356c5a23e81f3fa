"""Kills the server's parent with SIGKILL in the middle of uploads, screenings and trainings, again and again.

Run with: ``python -m benchmarks.parent_kills [--kills 20]``. Before each kill files are accepted that wait or are being
screened, one is on its way, and a training runs. After it no process may be left, and at the end each accepted file has
its result, of all of its rows, and each accepted training its detector, or the reason why it has none.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from screening.settings import ROOT
from tests.served import Server
from tests.test_server_training import begin, said

ROWS = 400, 20_000, 60_000
"""Of the files."""
BEFORE = 0.2, 4.0
"""Seconds between the last file's acceptance and the kill."""
LEFT_SECONDS = 5.0
"""So long a process may take to find out that its server is gone."""
PATIENCE = 300.0
TRIED_THRICE = "stopped 3 times"


def of_server(server: Server) -> list[int]:
    """Return the processes that a server has started, and what those have."""
    mark = f"INSTANCE_PATH={server.environ['INSTANCE_PATH']}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


def on_its_way(
    server: Server, content: bytes, accepted: list[tuple[str, int]], rows: int
) -> threading.Thread:
    """Send a file from a thread; it counts as accepted only if that is answered."""
    body = server.form_body(content)

    def send() -> None:
        with suppress(OSError, http.client.HTTPException):
            status, headers, _ = server.post_form("/upload", body, Prefer="wait=0")
            if status == 303:
                accepted.append((str(headers["Location"]).rsplit("/", 1)[1], rows))

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def kill(server: Server) -> float | None:
    """Kill the parent; return after how many seconds its last process had gone, ``None`` if one was left."""
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    begun = time.monotonic()
    while of_server(server):
        if time.monotonic() - begun > LEFT_SECONDS:
            return None
        time.sleep(0.02)
    return time.monotonic() - begun


def main() -> None:
    """Run it and print what was found; the exit status is 1 where something was left over or lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chance = random.Random(chosen.seed)
    header, _, body = (ROOT / "transactions_data.csv").read_bytes().partition(b"\n")
    files = {rows: header + b"\n" + body * (rows // 200) for rows in ROWS}
    accepted: list[tuple[str, int]] = []
    trainings: list[str] = []
    gone: list[float] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), Path(folder) / "compiled", WORKERS="2", JOB_WORKERS="2")
        server.log_in()
        for number in range(chosen.kills):
            if not trainings or _ended(server, trainings[-1]):
                trainings.append(begin(server, f"shops{number}"))
            for _ in range(3):
                rows = chance.choice(ROWS)
                status, headers, answer = server.upload(files[rows], wait=0)
                if status != 303:
                    raise AssertionError(f"{status}: {answer[:300]!r}")
                accepted.append((str(headers["Location"]).rsplit("/", 1)[1], rows))
            thread = on_its_way(server, files[ROWS[-1]], accepted, ROWS[-1])
            time.sleep(chance.uniform(*BEFORE))
            seconds = kill(server)
            if seconds is None:
                wrong.append(f"after kill {number + 1} processes were left: {of_server(server)}")
            else:
                gone.append(seconds)
            thread.join()
            server.start()
        ends: collections.Counter[str] = collections.Counter()
        for screening, rows in accepted:
            state = server.wait_for(screening, PATIENCE)
            ends[state["state"]] += 1
            if state["state"] == "done" and state["rows"] != rows:
                wrong.append(f"{screening} has {state['rows']} of {rows} rows")
            elif state["state"] != "done" and TRIED_THRICE not in str(state):
                wrong.append(f"{screening} is {state}")
        told: collections.Counter[str] = collections.Counter()
        for page in trainings:
            told[_end(server, page)] += 1
        server.close()
    usual, longest = statistics.median(gone), max(gone)
    print(
        f"{chosen.kills} kills: all processes had gone after {usual:.2f} s in the middle, {longest:.2f} s at most"
    )
    print(f"{len(accepted)} files accepted: {dict(ends)}; {len(trainings)} trainings accepted: {dict(told)}")
    print("\n".join(wrong) or "no process left over, nothing accepted lost")
    sys.exit(bool(wrong))


def _ended(server: Server, page: str) -> str | None:
    text = said(server, page)
    return next((end for end in ("training is done", "failed") if end in text), None)


def _end(server: Server, page: str) -> str:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        end = _ended(server, page)
        if end is not None:
            return end
        time.sleep(0.5)
    return "still going on"


if __name__ == "__main__":
    main()
