"""The client in examples/ against the real server: it survives what happens to clients."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from screening.settings import ROOT
from tests.openapi_run import key_of
from tests.served import Server
from tests.waiting import wait_until

SAMPLE = (ROOT / "model" / "detectors" / "payments" / "sample.csv").read_bytes().splitlines(keepends=True)
ROWS = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("examples"), compiled, WORKERS="1", JOB_WORKERS="1")
    made.log_in()
    yield made
    made.close()


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    return key_of(server, "score")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "payments.csv"
    path.write_bytes(b"".join(SAMPLE[: ROWS + 1]))
    return path


def start(server: Server, key: str, file: Path, *more: str) -> subprocess.Popen[str]:
    environ = {"PATH": os.environ["PATH"], "FRAUD_URL": f"http://127.0.0.1:{server.port}", "FRAUD_KEY": key}
    command = [
        sys.executable,
        str(ROOT / "examples" / "send_csv.py"),
        str(file),
        str(file.with_name("out.csv")),
    ]
    return subprocess.Popen(
        [*command, "--detector", "payments", "--run", str(file), *more],
        env=environ,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(client: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = client.communicate(timeout=120)
    return client.returncode, said


def answers(file: Path) -> list[dict[str, str]]:
    with file.with_name("out.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def counted(server: Server) -> int:
    return int(json.loads(server.get("/summary?source=api")[2])["total_transactions"])


def test_killed_and_cut_off_it_goes_on_and_counts_each_row_once(server: Server, key: str, file: Path) -> None:
    before, out = counted(server), file.with_name("out.csv")
    client = start(server, key, file)
    wait_until(lambda: bool(out.exists() and out.read_bytes().count(b"\n") > 20))
    client.send_signal(signal.SIGKILL)
    end(client)
    lines = out.read_bytes().splitlines(keepends=True)
    assert 20 < len(lines) < ROWS
    out.write_bytes(b"".join(lines[:-3]) + lines[-3][:9])  # what the disk lost: two answers and a half
    assert end(start(server, key, file))[0] == 0
    found = answers(file)
    assert [int(row["row"]) for row in found] == list(range(1, ROWS + 1))
    assert {row["detector"] for row in found} == {"payments"}
    assert all(
        row["fraud"] in ("true", "false") and 0 <= float(row["fraud_probability"]) <= 1 for row in found
    )
    assert counted(server) == before + ROWS
    assert end(start(server, key, file))[0] == 0
    assert (len(answers(file)), counted(server)) == (ROWS, before + ROWS)


def test_it_waits_as_long_as_a_limit_says(server: Server, file: Path) -> None:
    file.write_bytes(b"".join(SAMPLE[:31]))
    slow = key_of(server, "score", per_minute=600, burst=3)
    status, said = end(start(server, slow, file, "--connections", "8"))
    assert status == 0, said
    assert len(answers(file)) == 30


def test_a_row_that_cant_be_scored_is_told_and_the_others_go_on(server: Server, key: str, file: Path) -> None:
    lines = SAMPLE[:6]
    cells = lines[3].split(b",")
    cells[4] = b"much"
    file.write_bytes(b"".join([*lines[:3], b",".join(cells), *lines[4:]]))
    status, said = end(start(server, key, file))
    assert (status, "1 of this time's" in said) == (1, True)
    found = answers(file)
    assert [bool(row["error"]) for row in found] == [False, False, True, False, False]
    assert "TX_AMOUNT" in found[2]["error"]


def test_what_no_row_would_be_let_in_with_ends_it(server: Server, key: str, file: Path) -> None:
    status, said = end(start(server, key[:-1], file))
    assert (status, "checksum" in said or "characters" in said) == (2, True)
    status, said = end(start(server, key_of(server, "read"), file))
    assert (status, "Row 1 was refused with 403" in said) == (2, True)
    status, said = end(start(server, key, file, "--detector", "nobody"))
    assert (status, "payments" in said) == (2, True)
    file.with_name("out.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    status, said = end(start(server, key, file))
    assert (status, "name another file" in said) == (2, True)
    assert file.with_name("out.csv").read_text(encoding="utf-8") == "a,b\n1,2\n"


def test_it_goes_on_when_the_server_was_away(server: Server, key: str, file: Path) -> None:
    before = counted(server)
    client = start(server, key, file)
    out = file.with_name("out.csv")
    while not (out.exists() and out.read_bytes().count(b"\n") > 10):
        time.sleep(0.005)
    server.stop(signal.SIGKILL)
    server.wait_until_silent()  # else one of the killed server's web processes could pass for the new server
    server.start()
    assert end(client)[0] == 0
    assert [int(row["row"]) for row in answers(file)] == list(range(1, ROWS + 1))
    assert counted(server) == before + ROWS
