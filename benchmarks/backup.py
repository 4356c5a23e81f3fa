"""A backup of a server at work, and its restoration: how long, how large, with how much memory.

``python -m benchmarks.backup [MILLIONS]`` makes an instance with so many decisions and the screening of 284,807 rows,
and prints for a plain and a packed backup seconds of the clock and of the processor, megabytes of memory, and the size;
the same of each restoration, which verifies what it has made; and how long pages took meanwhile.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.files import card_file
from benchmarks.ledger import FILE_ROWS, month_of
from screening.ledger.ledger import Ledger
from screening.ledger.rows import table_of
from screening.ledger.tables import FILE
from screening.settings import ROOT
from tests.served import Server


def measure(millions: int = 1) -> dict[str, float]:
    """Return seconds, megabytes and sizes by what was done."""
    cache = ROOT / "build" / "compiled"
    cache.mkdir(parents=True, exist_ok=True)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / "there"
        there.mkdir()
        server = Server(there, cache)
        try:
            server.log_in()
            screening = server.upload(card_file().read_bytes())[1]["Location"].rsplit("/", 1)[-1]
            assert server.wait_for(screening)["state"] == "done"
            ledger = Ledger.open(there / "instance", f"sqlite:///{there / 'instance' / 'screening.sqlite3'}")
            for number in range(-(-millions * 1_000_000 // FILE_ROWS)):
                ledger.segments.add(f"{number:032x}", FILE, table_of(month_of(number)))
            ledger.tables.engine.dispose()
            for ending in ("tar", "tar.gz"):
                file = Path(folder) / f"saved.{ending}"
                with asked(server, found, f"{ending}_page"):
                    told(found, f"{ending}_backup", server.environ, "backup", str(file))
                found[f"{ending}_megabytes"] = file.stat().st_size / 1e6
        finally:
            server.stop()
            server.close()
        for ending in ("tar", "tar.gz"):
            new = Path(folder) / ending
            (new / "instance").mkdir(parents=True)
            places = {"INSTANCE_PATH": str(new / "instance"), "USERS_FILE": str(new / "users.txt")}
            file = Path(folder) / f"saved.{ending}"
            told(found, f"{ending}_restore", {**server.environ, **places}, "restore", str(file))
    return found


def told(found: dict[str, float], name: str, environ: dict[str, str], *words: str) -> None:
    """Run a command, and note what it took."""
    command = [sys.executable, "-m", "flask", "--app", "app", *words]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)
    # what wait4 tells of memory begins with that of this process
    memory = 0.0
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        memory = max(memory, peak(process.pid))
        time.sleep(0.05)
    _, process.returncode, used = ended
    assert process.returncode == 0
    found[f"{name}_seconds"] = time.perf_counter() - began
    found[f"{name}_cpu_seconds"] = used.ru_utime + used.ru_stime
    found[f"{name}_memory_megabytes"] = memory


def peak(pid: int) -> float:
    """Return the most that a process had so far, in megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


@contextmanager
def asked(server: Server, found: dict[str, float], name: str) -> Iterator[None]:
    """Ask for a page again and again meanwhile, and note how long it took."""
    ended, took = threading.Event(), []

    def ask() -> None:
        while not ended.wait(0.05):
            began = time.perf_counter()
            assert server.get("/history")[0] == 200
            took.append(time.perf_counter() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    ended.set()
    thread.join()
    found[f"{name}_median_ms"] = statistics.median(took) * 1000
    found[f"{name}_slowest_ms"] = max(took) * 1000


if __name__ == "__main__":
    for each, value in measure(*(int(word) for word in sys.argv[1:])).items():
        print(f"{each:<40} {value:>12,.1f}")
