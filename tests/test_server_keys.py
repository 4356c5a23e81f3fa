"""API keys on the real server with two web processes, and the command line beside it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from screening.accounts import key_text
from screening.infra.audit.log import AuditLog
from screening.settings import ROOT
from tests.served import Server
from tests.waiting import wait_until
from tests.web.keys_kit import payment

pytestmark = [
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads /proc: run `make test` on Linux"),
    pytest.mark.security(14),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("keys"), compiled, WORKERS="2", JOB_WORKERS="1")
    made.log_in()
    yield made
    made.close()


def keys(server: Server, *words: str) -> subprocess.Popen[str]:
    """Run `flask keys …` on the server's folders."""
    command = [sys.executable, "-m", "flask", "--app", "app", "keys", *words]
    return subprocess.Popen(
        command, cwd=ROOT, env=server.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def new_key(server: Server, name: str, *words: str) -> str:
    with keys(server, "create", name, "--owner", "ana", *words) as made:
        out, said = made.communicate(timeout=60)
    assert made.returncode == 0, said
    return out.splitlines()[-1]


def process_of(line: socket.socket) -> int:
    """The process at the server's end of a line on this machine."""
    (_, mine), (_, theirs) = line.getsockname(), line.getpeername()
    rows = [row.split() for row in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    ends = (f":{theirs:04X}", f":{mine:04X}")
    (inode,) = (row[9] for row in rows if row[1].endswith(ends[0]) and row[2].endswith(ends[1]))
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(entry.readlink()) == f"socket:[{inode}]":
                return int(entry.parts[2])
        except OSError:  # gone meanwhile, or not ours
            continue
    raise AssertionError(f"nobody has the socket {inode}")


def lines_to_each(server: Server, key: str, held: ExitStack) -> dict[int, http.client.HTTPConnection]:
    """An open line to each web process, by its number; the key is good on each."""
    found: dict[int, http.client.HTTPConnection] = {}
    deadline = time.monotonic() + 30
    while len(found) < 2:
        assert time.monotonic() < deadline, "all lines go to one process"
        line = held.enter_context(closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)))
        assert status(line, key) == 200
        found.setdefault(process_of(line.sock), line)
    return found


def status(line: http.client.HTTPConnection, key: str) -> int:
    line.request("GET", "/summary", headers={"Authorization": f"Bearer {key}"})
    answer = line.getresponse()
    answer.read()
    return answer.status


def test_a_key_revoked_on_the_command_line_is_refused_by_every_process_within_a_second(
    server: Server,
) -> None:
    key = new_key(server, "to be revoked", "--scope", "read")
    good: dict[int, list[float]] = {}
    refused: dict[int, list[float]] = {}

    def use(process: int, line: http.client.HTTPConnection) -> None:
        while not over.wait(0.02):
            {200: good, 401: refused}[status(line, key)].setdefault(process, []).append(time.monotonic())

    with ExitStack() as held:
        lines, over = lines_to_each(server, key, held), threading.Event()
        threads = [threading.Thread(target=use, args=each) for each in lines.items()]
        for thread in threads:
            thread.start()
        try:
            with keys(server, "revoke", key[key_text.ID]) as revoking:
                assert revoking.stdout is not None
                said = revoking.stdout.readline()
                revoked = time.monotonic()
            time.sleep(max(0.0, revoked + 1.5 - time.monotonic()))
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert said == f"{key[key_text.ID]}: to be revoked, revoked\n"
    for process in lines:
        assert max(good[process]) < revoked + 1.0
        assert min(refused[process]) > max(good[process]), "and none is let in again"


def test_processes_share_the_limit_of_a_key(server: Server) -> None:
    other = new_key(server, "other", "--scope", "read")
    slow = new_key(server, "slow", "--scope", "read", "--burst", "7", "--per-minute", "1")
    with ExitStack() as held:
        lines = lines_to_each(server, other, held)
        found = Counter(status(line, slow) for line in [*lines.values()] * 6)
        assert [status(line, other) for line in lines.values()] == [200, 200]
    assert found == {200: 7, 429: 5}


def raw(server: Server, *headers: str) -> bytes:
    """Send a head, but no body, and return the beginning of the answer."""
    sent = "\r\n".join((*headers, "Host: here", "", "")).encode("latin-1")
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as line:
        line.sendall(sent)
        return line.recv(65536)


def test_nobody_has_to_send_ten_megabytes_to_learn_that_the_key_is_bad(server: Server) -> None:
    bad = "Authorization: Bearer fsk_2222222222_" + "A" * 49
    answer = raw(server, "POST /detect_fraud HTTP/1.1", bad, "Content-Length: 10485760")
    assert answer.startswith(b"HTTP/1.1 401 "), answer[:100]
    assert b"connection: close" in answer.lower()


def test_two_headers_are_no_key(server: Server) -> None:
    key = new_key(server, "twice", "--scope", "read")
    good, bad = f"Authorization: Bearer {key}", "Authorization: Bearer x"
    assert raw(server, "GET /summary HTTP/1.1", good).startswith(b"HTTP/1.1 200 ")
    for headers in (
        (good, good),
        (good, bad),
        (bad, good),
        (good, "Authorization:"),
        ("Authorization:", good),
    ):
        assert raw(server, "GET /summary HTTP/1.1", *headers).startswith(b"HTTP/1.1 401 "), headers
    for header in (f"Authorization_: Bearer {key}", f"HTTP_AUTHORIZATION: Bearer {key}", f"X-API-Key: {key}"):
        assert raw(server, "GET /summary HTTP/1.1", header).startswith(b"HTTP/1.1 401 "), header


@pytest.mark.security(33)
def test_no_log_of_the_server_has_a_key(server: Server) -> None:
    key = new_key(server, "logged", "--scope", "score", "--scope", "read")
    body = json.dumps({"transaction": payment()})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    assert server.request("POST", "/detect_fraud", body, **headers)[0] == 200
    assert server.request("GET", f"/summary?key={key}")[0] == 401
    assert server.request("GET", f"/nowhere/{key}", **headers)[0] == 401
    audit = AuditLog(server.folder / "instance").path
    wait_until(lambda: "in the address" in audit.read_text("ascii"), "the refusal was never written")
    secret = key[key_text.ID.stop + 1 :]
    for path in (audit, server.folder / "server.log"):
        assert secret not in path.read_text(errors="replace"), path
