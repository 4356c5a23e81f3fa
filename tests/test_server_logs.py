"""The real server's log: with ``LOG_FORMAT=json`` each line of all its processes is one object."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.served import Server
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="reads /proc: run `make test` on Linux"
)
START = "Serving on "
"""What the server says to whoever started it, on standard output."""


def lines(server: Server) -> list[str]:
    return (server.folder / "server.log").read_text("utf-8").splitlines()


def job_worker(server: Server) -> int:
    """The process that screens files."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == server.process.pid and b"worker" in command:
            return int(folder.name)
    raise AssertionError("there is no worker")


def test_every_line_of_every_process_is_an_object(tmp_path: Path, compiled: Path) -> None:
    server = Server(tmp_path, compiled, WORKERS="1", JOB_WORKERS="1", LOG_FORMAT="json")
    try:
        server.log_in()
        status, headers, _ = server.request("GET", "/results", **{"X-Request-ID": "from-outside-1"})
        assert (status, headers["X-Request-ID"]) == (200, "from-outside-1")
        os.kill(job_worker(server), signal.SIGKILL)
        wait_until(lambda: any("is started again" in line for line in lines(server)))
    finally:
        server.stop()
        server.close()
    every: list[dict[str, Any]] = [json.loads(line) for line in lines(server) if not line.startswith(START)]
    assert len(every) >= 2
    for line in every:
        assert {"time", "level", "logger", "message", "process"} <= line.keys()
    login, _ = [line for line in every if line["message"] == "login"]  # signing up is one, too
    assert login["audit"]["request_id"] == login["request_id"]
    (again,) = [line for line in every if "is started again" in line["message"]]
    assert (again["logger"], again["level"]) == ("screening.server", "ERROR")
    assert again["process"] != login["process"]


def test_a_format_that_is_none_stops_the_start(tmp_path: Path, compiled: Path) -> None:
    with pytest.raises(AssertionError, match="LOG_FORMAT is 'xml', which must be one of text, json"):
        Server(tmp_path, compiled, LOG_FORMAT="xml")
