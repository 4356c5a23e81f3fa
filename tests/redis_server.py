"""A Redis of the tests' own, on a socket, for as long as they run."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SECONDS = 10.0
MISSING = "redis-server is missing: apt-get install redis-server"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it listens; skips where there is none."""
    command = shutil.which("redis-server")
    if command is None:
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("redis")
    socket = folder / "socket"
    options = [
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--dir",
        str(folder),
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([command, *options], stdout=log, stderr=log)
    try:
        _wait_for(socket, server)
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait(SECONDS)


def _wait_for(socket: Path, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS
    while not socket.exists():
        assert server.poll() is None, "redis-server ended"
        assert time.monotonic() < end, "redis-server doesn't listen"
        time.sleep(0.02)
