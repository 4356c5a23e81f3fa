"""A training on the real server, whose job process is killed in the middle of it."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.served import BOUNDARY, Server
from tests.web.test_trainings import form_of, table

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="signals as on Unix: run `make test` on Linux"
)


@pytest.fixture
def server(tmp_path: Path, compiled: Path) -> Iterator[Server]:
    made = Server(tmp_path, compiled, WORKERS="1")
    yield made
    made.close()


def begin(server: Server, name: str = "shops") -> str:
    """Send a labelled file, take the columns as they are guessed, and start; gives the training's page."""
    part = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    fields = {"csrf_token": server.token("/detectors/new"), "label": "is_fraud", "name": name}
    head = "".join(f'{part}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    body = f'{head}{part}"file"; filename="a.csv"\r\n\r\n'.encode() + table(rows=600)
    status, headers, answer = server.post_form("/detectors/new", body + f"\r\n--{BOUNDARY}--\r\n".encode())
    assert status == 303, answer
    columns = str(headers["Location"])
    chosen = form_of(server.get(columns)[2].decode()) | {"quick": "1"}
    form = urlencode({name: value or "" for name, value in chosen.items()})
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    status, headers, answer = server.request("POST", columns, form, **kind)
    assert status == 303, answer
    return str(headers["Location"])


def said(server: Server, page: str) -> str:
    """What its progress is, as text."""
    return re.sub(r"<[^>]+>|\s+", " ", server.get(f"{page}/progress")[2].decode())


def wait_for(server: Server, page: str, pattern: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not re.search(pattern, said(server, page)):
        assert "failed" not in said(server, page), server.get(page)[2].decode()
        assert time.monotonic() < deadline, said(server, page)
        time.sleep(0.2)


@pytest.mark.security(37)
def test_a_training_whose_job_process_is_killed_is_begun_again_and_finished(
    server: Server, tmp_path: Path
) -> None:
    server.log_in()  # the first account is the administrator's
    page = begin(server)
    wait_for(server, page, r"[1-9]\d\D{0,3}%", 60)
    os.kill(server.workers()[0], signal.SIGKILL)
    wait_for(server, page, "The training is done", 120)
    assert (tmp_path / "instance" / "detectors" / "shops" / "model.h5").exists()
    assert list((tmp_path / "instance" / "trainings").iterdir()) == []
    assert server.get("/detectors/shops")[0] == 200
