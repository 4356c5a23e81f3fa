"""A disk that is full is not the end: what doesn't fit is refused, and log-in, deleting and small files go on."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from screening.infra.disk_space import RESERVE
from tests.served import BOUNDARY, PASSWORD, Server
from tests.waiting import wait_until

MEGABYTE = 2**20
PIECE = 65_536
DISK = 40 * MEGABYTE


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("needs the right to mount a small disk: run the suite as root (sudo make test)")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def server(disk: Path, compiled: Path) -> Iterator[Server]:
    started = Server(disk, compiled, JOB_WORKERS="1")
    try:
        yield started
    finally:
        started.stop()
        started.close()


def rows(sample: bytes, size: int) -> bytes:
    header, _, rest = sample.partition(b"\n")
    return header + b"\n" + rest * (size // len(rest) + 1)


def send(server: Server, body: bytes, *, announced: bool) -> int:
    """Send a body and return the status: see :func:`answered`."""
    return answered(server, body, announced=announced)[0]


def answered(server: Server, body: bytes, *, announced: bool) -> tuple[int, str]:
    """Send a body and return the status and where it leads; one that isn't announced goes in chunks.

    The server may answer before the body is whole: the rest can't be sent then, and the answer is read all the same.
    """
    cookies = "; ".join(f"{name}={value}" for name, value in server.cookies.items())
    length = f"Content-Length: {len(body)}" if announced else "Transfer-Encoding: chunked"
    head = (
        f"POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookies}\r\n{length}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nConnection: close\r\n\r\n"
    )
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head.encode())
        with suppress(OSError):
            for begin in range(0, len(body), PIECE):
                piece = body[begin : begin + PIECE]
                connection.sendall(piece if announced else f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if not announced:
                connection.sendall(b"0\r\n\r\n")
        with suppress(OSError):
            while b"\r\n\r\n" not in answer and (chunk := connection.recv(65_536)):
                answer += chunk
    location = re.search(rb"(?im)^location: *(\S+)", answer)
    return int(answer.split(b" ", 2)[1]), location[1].decode() if location else ""


def usable(server: Server, sample: bytes) -> None:
    """Logging in, a small upload and deleting work."""
    server.cookies.clear()
    assert server.form("/login", username="ana", password=PASSWORD)[0] == 303
    status, headers, page = server.upload(sample)
    assert status == 303, page.decode()[:2000]
    location = headers["Location"]
    assert server.get(location)[0] == 200
    assert server.form_from("/results", f"{location}/delete")[0] == 303


@pytest.mark.security(45)
@pytest.mark.parametrize("announced", [True, False])
def test_an_upload_that_the_disk_cant_hold_is_refused_and_all_else_goes_on(
    server: Server, disk: Path, sample: bytes, announced: bool
) -> None:
    server.log_in()
    body = server.form_body(rows(sample, 60 * MEGABYTE))
    assert send(server, body, announced=announced) == 507
    status, _, page = server.get("/readyz")
    assert status == 200, page
    assert list((disk / "instance" / "screenings").glob("*")) == []
    usable(server, sample)
    assert "ended with status" not in (disk / "server.log").read_text()


@pytest.mark.security(45)
@pytest.mark.parametrize(("megabytes", "fit"), [(18, 1), (30, 0)])
@pytest.mark.parametrize("announced", [True, False])
def test_of_two_uploads_at_once_as_many_as_fit_are_screened_whole(
    server: Server, disk: Path, sample: bytes, announced: bool, megabytes: int, fit: int
) -> None:
    """A disk of 40 MB, of which 12 are kept back, holds one of 18 MB and none of 30."""
    server.log_in()
    wait_for_reserve(disk)
    content = rows(sample, megabytes * MEGABYTE)
    body = server.form_body(content)
    with ThreadPoolExecutor(2) as both:
        found = list(both.map(lambda _: answered(server, body, announced=announced), range(2)))
    assert sorted(status for status, _ in found) == sorted([303] * fit + [507] * (2 - fit))
    for location in (location for status, location in found if status == 303):
        told = server.get(f"{location}.json")[2]
        assert json.loads(told)["rows"] == content.count(b"\n") - 1
        assert server.form_from("/results", f"{location}/delete")[0] == 303
    assert list((disk / "instance" / "screenings").glob("*")) == []
    assert server.get("/readyz")[0] == 200
    usable(server, sample)


@pytest.mark.security(45, 38)
def test_a_disk_that_others_fill_is_told_of_and_can_be_cleared(
    server: Server, disk: Path, sample: bytes
) -> None:
    server.log_in()
    status, headers, _ = server.upload(rows(sample, MEGABYTE))
    assert status == 303
    wait_for_reserve(disk)
    fill(disk / "others")
    status, _, said = server.get("/readyz")
    assert status == 503
    assert b"full" in said
    assert server.upload(sample)[0] == 507
    assert server.form_from("/results", f"{headers['Location']}/delete")[0] in {
        303,
        507,
    }  # 507: the reserve is free now
    assert server.form_from("/results", f"{headers['Location']}/delete")[0] in {303, 404}
    assert server.get("/healthz")[0] == 200
    (disk / "others").unlink()
    assert server.get("/readyz")[0] == 200
    usable(server, sample)
    wait_for_reserve(disk)
    assert (disk / "instance" / RESERVE).exists()  # it is kept again, without a word from anybody


@pytest.mark.security(45)
def test_a_server_starts_on_a_full_disk_and_serves_when_there_is_room(
    server: Server, disk: Path, sample: bytes
) -> None:
    server.log_in()
    server.stop()
    fill(disk / "others")
    server.environ["JOB_WORKERS"] = "2"
    server.start()
    assert server.get("/readyz")[0] == 503
    (disk / "others").unlink()
    assert server.get("/readyz")[0] == 200
    usable(server, sample)


def wait_for_reserve(disk: Path) -> None:
    """The worker makes it in its own time."""
    wait_until((disk / "instance" / RESERVE).exists)


def fill(path: Path) -> None:
    """Write until nothing more goes."""
    with path.open("wb", buffering=0) as out:
        for size in (MEGABYTE, 4096, 1):
            try:
                while True:
                    out.write(bytes(size))
            except OSError:
                continue
    os.sync()
