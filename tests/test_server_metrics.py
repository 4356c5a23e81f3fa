"""Metrics of the real server: several web processes and a worker count together, also over an end of one of them."""

from __future__ import annotations

import errno
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from screening.monitoring import request_folder
from screening.monitoring.request_metrics import RequestMetrics
from screening.settings import ROOT
from tests.served import Server
from tests.web.keys_kit import payment

pytestmark = pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="reads /proc: run `make test` on Linux"
)
ROUTE = {"route": "/detect_fraud"}


def read(server: Server) -> Callable[..., float]:
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(server.get("/metrics")[2].decode())
        for sample in family.samples
    }
    return lambda name, **labels: found.get((name, tuple(sorted(labels.items()))), 0.0)


def read_once(server: Server, there: Callable[[Callable[..., float]], bool]) -> Callable[..., float]:
    """Read until the last answers are counted, too: a process counts one when it has been sent."""
    deadline = time.monotonic() + 30
    while not there(found := read(server)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def web_processes(server: Server) -> set[int]:
    """Those that count: each has files of its own, named by its number."""
    folder = server.folder / "instance" / "metrics"
    numbers = {int(path.stem.rpartition("_")[2]) for path in folder.glob("*.db")}
    return {number for number in numbers if Path(f"/proc/{number}").exists()}


def test_all_processes_count_together(tmp_path: Path, compiled: Path) -> None:
    server = Server(tmp_path, compiled, WORKERS="2", JOB_WORKERS="1")
    try:
        server.log_in()
        command = [sys.executable, "-m", "flask", "--app", "app", "keys", "create", "k", "--owner", "ana"]
        made = subprocess.run(
            [*command, "--scope", "score"],
            cwd=ROOT,
            env=server.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        headers = {
            "Authorization": f"Bearer {made.stdout.splitlines()[-1]}",
            "Content-Type": "application/json",
        }

        def score(count: int) -> None:
            for _ in range(count):  # a line each: the two processes take them in turn
                line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
                line.request("POST", "/detect_fraud", json.dumps({"transaction": payment()}), headers)
                assert line.getresponse().status == 200
                line.close()

        score(40)
        scored = 40
        deadline = time.monotonic() + 60
        while len(web_processes(server)) < 2:  # on a busy machine one takes all lines for a while
            assert time.monotonic() < deadline, "only one web process ever counted"
            score(1)
            scored += 1
        now = read_once(server, lambda found: found("fraud_responses_total", status="2xx", **ROUTE) == scored)
        assert now("fraud_transactions_total", detector="card", source="api") == scored
        assert now("fraud_request_seconds_count", **ROUTE) == scored
        assert now("fraud_responses_total", status="2xx", **ROUTE) == scored

        gone = min(web_processes(server))
        os.kill(gone, signal.SIGKILL)
        deadline = time.monotonic() + 30
        before, again = scored, 0  # the one in its place may be there before the first request is
        while (
            not again or gone in web_processes(server) or len(web_processes(server)) < 2
        ) and time.monotonic() < deadline:
            try:
                score(1)
                again += 1
            except OSError:  # a line that the killed one had taken
                time.sleep(0.1)
        later = read_once(
            server, lambda found: found("fraud_request_seconds_count", **ROUTE) >= before + again
        )
        rows = later("fraud_transactions_total", detector="card", source="api")
        assert rows > before
        assert later("fraud_request_seconds_count", **ROUTE) == rows  # the killed one's are still there

        server.process.terminate()
        server.process.wait(timeout=60)
        server.start()
        begun = read(server)
        assert begun("fraud_transactions_total", detector="card", source="api") == rows
        assert begun("fraud_request_seconds_count", **ROUTE) == 0
    finally:
        server.close()


def test_a_process_that_starts_on_a_full_disk_counts_nothing_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_file: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv(request_folder.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(request_folder, "allocate", full)
    counting = RequestMetrics()
    counting.observe("/upload", 200, 0.1)
    assert "the disk is full" in caplog.text
    assert list(tmp_path.iterdir()) == []
    assert list(counting.collect()) == []


def test_the_files_of_a_process_have_their_place_before_they_are_written(tmp_path: Path) -> None:
    assert request_folder.reserve(tmp_path)
    for kind, size in request_folder.SIZES.items():
        (file,) = tmp_path.glob(f"{kind}_*.db")
        assert file.stat().st_size == size
        assert file.stat().st_blocks * 512 >= size, (
            "no holes: writing into one ends the process on a full disk"
        )
