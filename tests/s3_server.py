"""A server of the tests' own that speaks S3, and a way to it that can fail: both real, over HTTP."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from screening.bucket.storage import Storage
from screening.settings import ROOT
from tests.s3_accounts import ALL, SECRET

MISSING = "localbucket is missing: pip install -r requirements/test.txt"
FOLDER, BUCKET = "folder", "bucket"
SECONDS = 30.0
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": ALL,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_REGION": "eu-central-1",
}
ANSWERS = {
    "denied": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "broken": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
}


class Way:
    """Passes connections on to the server, as long as nothing is wrong with it.

    ``fault`` is ``None``, or ``unreachable`` (connections are closed at once), ``denied`` (403), ``broken`` (500),
    ``truncated`` (answers end after a few kB) or ``mute`` (nothing comes back). It counts bytes and connections.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self.fault: str | None = None
        self.seen = 0
        """Connections since the start."""
        self.asked = 0
        """Requests whose head came in one piece, as they do here."""
        self.up = self.down = 0
        """Bytes to the server, and from it."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.seen += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):  # it left
            if self.fault == "unreachable":
                return
            # what is wrong then: the client may have opened this one before, and not used it yet
            data = client.recv(65536)
            if self.fault in ANSWERS:
                client.sendall(ANSWERS[self.fault])
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):  # else what it still sends would take the answer away
                    pass
                return
            if self.fault == "mute":
                while client.recv(65536):
                    pass
                return
            with socket.create_connection(("127.0.0.1", self._server)) as server:
                back = threading.Thread(target=self._back, args=(server, client), daemon=True)
                back.start()
                try:
                    while data and self.fault is None:
                        self.up += len(data)
                        self.asked += data.count(b" HTTP/1.1\r\n")
                        server.sendall(data)
                        data = client.recv(65536)
                except OSError:
                    pass

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        count = 0
        try:
            while data := server.recv(4096):
                count += len(data)
                if self.fault is not None and (self.fault != "truncated" or count > 8192):
                    break
                client.sendall(data)
                self.down += len(data)
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


@dataclass(frozen=True, slots=True)
class Home:
    """A bucket of one test, and the way to it."""

    url: str
    way: Way


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def start(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start the server, and wait until it answers. Its buckets are folders."""
    with (folder / "log").open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.s3_process", str(folder), str(port)],
            cwd=ROOT,
            stdout=out,
            stderr=out,
        )
    end = time.monotonic() + SECONDS
    while True:
        assert server.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < end, "the S3 server doesn't listen"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return server


@pytest.fixture(scope="session")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a server listens that has one bucket, ``fraud``; skips where there is none.

    ``S3_TEST_PORT`` names another one on this machine that knows the tests' access keys, as a Ceph gateway.
    """
    if other := os.environ.get("S3_TEST_PORT"):
        yield int(other)
        return
    pytest.importorskip("localbucket", reason=MISSING)
    port, folder = free_port(), tmp_path_factory.mktemp("s3")
    (folder / "fraud").mkdir()
    server = start(port, folder)
    try:
        yield port
    finally:
        server.terminate()
        server.wait(SECONDS)


@pytest.fixture
def bucket_home(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """An empty prefix of the bucket, with what the environment must say."""
    way = Way(s3_port)
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{way.port}"}.items():
        monkeypatch.setenv(name, value)
    yield Home(f"s3://fraud/{secrets.token_hex(6)}", way)
    way.close()


@pytest.fixture
def storage(tmp_path: Path, request: pytest.FixtureRequest) -> Storage:
    """The home of an instance's finished files: its folder; a bucket, too, where a test is marked ``both_homes``."""
    if getattr(request, "param", FOLDER) == FOLDER:
        return Storage(tmp_path)
    home: Home = request.getfixturevalue("bucket_home")
    return Storage(tmp_path, home.url)
