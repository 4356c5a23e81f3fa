"""The real server with its worker, as `python app.py` starts them: restarts, kills and the limits of memory."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from screening.settings import ROOT
from tests.served import BOUNDARY, Server, free_port
from tests.shared import share_compiled
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="signals as on Unix: run `make test` on Linux"
)


@pytest.fixture
def server(tmp_path: Path, compiled: Path) -> Iterator[Server]:
    made = Server(tmp_path, compiled)
    yield made
    made.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Iterator[Server]:
    """One for the tests that leave a server as it was."""
    made = Server(tmp_path_factory.mktemp("running"), compiled)
    made.log_in()
    yield made
    made.close()


@pytest.fixture
def one_worker(tmp_path: Path, compiled: Path) -> Iterator[Server]:
    made = Server(tmp_path, compiled, JOB_WORKERS="1")
    yield made
    made.close()


def many_rows(sample: bytes, rows: int) -> bytes:
    header, _, body = sample.partition(b"\n")
    return header + b"\n" + body * (rows // 200)


def processes_of(folder: Path) -> list[str]:
    """Every process whose environment names this test's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_the_whole_way_on_the_real_server_and_one_stop_for_all(
    server: Server, sample: bytes, tmp_path: Path
) -> None:
    server.log_in()
    status, headers, body = server.upload(sample)
    assert status == 303, body
    screening = headers["Location"].rsplit("/", 1)[1]
    assert json.loads(server.get(f"/results/{screening}.json")[2])["state"] == "done"

    server.stop()
    wait_until(lambda: not processes_of(tmp_path))
    assert processes_of(tmp_path) == []

    server.start()
    assert json.loads(server.get(f"/results/{screening}.json")[2])["state"] == "done"


@pytest.mark.security(37)
def test_a_worker_killed_in_the_middle_is_followed_by_another_that_finishes(
    one_worker: Server, sample: bytes
) -> None:
    one_worker.log_in()
    worker = one_worker.workers()[0]
    os.kill(worker, signal.SIGSTOP)  # so that it surely is in the middle
    status, headers, body = one_worker.upload(many_rows(sample, 20_000), wait=0)
    assert status == 303, body
    screening = headers["Location"].rsplit("/", 1)[1]
    os.kill(worker, signal.SIGKILL)
    state = one_worker.wait_for(screening)
    assert (state["state"], state["rows"]) == ("done", 20_000)


def held_by(server: Server, screening: str) -> str | None:
    with closing(sqlite3.connect(server.folder / "instance" / "screening.sqlite3")) as store:
        (holder,) = store.execute("SELECT holder FROM screenings WHERE id = ?", [screening]).fetchone()
        return str(holder) if holder else None


@pytest.mark.security(37)
def test_a_file_that_takes_long_keeps_nobody_waiting_and_a_killed_worker_is_replaced(
    server: Server, sample: bytes
) -> None:
    server.log_in()
    wait_until(lambda: len(server.workers()) == 2, "the second worker never started")
    workers = server.workers()
    for process in workers.values():
        os.kill(process, signal.SIGSTOP)
    long = server.upload(many_rows(sample, 200_000), wait=0)[1]["Location"].rsplit("/", 1)[1]
    os.kill(workers[0], signal.SIGCONT)
    wait_until(lambda: held_by(server, long), "nobody took it up")
    os.kill(workers[0], signal.SIGSTOP)  # it takes as long as it likes now
    os.kill(workers[1], signal.SIGCONT)
    for _ in range(3):
        status, headers, body = server.upload(sample)
        assert status == 303, body
        short = headers["Location"].rsplit("/", 1)[1]
        assert json.loads(server.get(f"/results/{short}.json")[2])["state"] == "done"
    assert held_by(server, long) == "worker-0"
    os.kill(workers[0], signal.SIGKILL)
    state = server.wait_for(long)
    assert (state["state"], state["rows"]) == ("done", 200_000)
    wait_until(lambda: len(server.workers()) == 2, "the killed worker wasn't started again")


@pytest.mark.security(37)
def test_a_check_is_done_again_when_its_worker_is_killed_and_waits_through_a_restart(
    one_worker: Server, sample: bytes
) -> None:
    one_worker.log_in()
    worker = one_worker.workers()[0]
    os.kill(worker, signal.SIGSTOP)  # so that it surely is in the middle
    status, headers, body = one_worker.upload(many_rows(sample, 20_000), wait=0, check="1")
    assert status == 303, body
    location = headers["Location"]
    screening = location.split("/")[2]
    os.kill(worker, signal.SIGKILL)
    assert one_worker.wait_for(screening)["state"] == "checked"
    one_worker.stop()
    one_worker.start()
    report = json.loads(one_worker.request("GET", location, Accept="application/json")[2])
    assert (report["state"], report["rows"], report["duplicates"]["count"]) == ("checked", 20_000, 19_800)
    assert one_worker.form(location)[0] == 303
    state = one_worker.wait_for(screening)
    assert (state["state"], state["rows"]) == ("done", 20_000)


@pytest.mark.security(37)
def test_a_server_killed_outright_loses_no_accepted_file(
    one_worker: Server, sample: bytes, tmp_path: Path
) -> None:
    one_worker.log_in()
    os.kill(one_worker.workers()[0], signal.SIGSTOP)
    status, headers, _ = one_worker.upload(many_rows(sample, 20_000), wait=0)
    assert status == 303
    screening = headers["Location"].rsplit("/", 1)[1]
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(tmp_path).encode() in (entry / "environ").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue
    one_worker.process.wait()
    one_worker.start()
    state = one_worker.wait_for(screening)
    assert (state["state"], state["rows"]) == ("done", 20_000)


@pytest.mark.security(37)
def test_no_process_outlives_a_server_that_was_killed_outright(server: Server, tmp_path: Path) -> None:
    assert len(processes_of(tmp_path)) >= 4
    server.stop(signal.SIGKILL)
    wait_until(lambda: not processes_of(tmp_path))
    assert processes_of(tmp_path) == []


@pytest.mark.security(57)
def test_a_second_server_on_the_same_instance_does_not_start(running: Server, sample: bytes) -> None:
    second = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**running.environ, "PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "Another server works on the instance folder" in second.stderr
    assert running.upload(sample)[0] == 303


@pytest.mark.security(57)
def test_a_killed_server_leaves_its_instance_to_the_next_at_once(
    server: Server, tmp_path: Path, sample: bytes
) -> None:
    server.log_in()
    for _ in range(2):
        server.stop(signal.SIGKILL)
        server.start()
        while 0 not in server.workers():  # until then the killed one's web processes may still answer
            time.sleep(0.05)
    assert server.upload(sample)[0] == 303


def test_a_port_that_is_taken_stops_the_start_with_one_line(running: Server) -> None:
    second = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=running.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert str(running.port) in second.stderr


@pytest.mark.security(26)
def test_a_sender_that_leaves_in_the_middle_leaves_nothing(
    server: Server, sample: bytes, tmp_path: Path
) -> None:
    server.log_in()
    body = server.form_body(many_rows(sample, 4_000))[:-500]
    cookie = "; ".join(f"{k}={v}" for k, v in server.cookies.items())
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(
            f"POST /upload HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\nContent-Length: {len(body) + 500}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode()
            + body
        )
        kept = tmp_path / "instance" / "screenings"
        wait_until(lambda: list(kept.glob("*/input")), "the file never began to arrive")
    wait_until(lambda: not list(kept.glob("*")), "its files stay")
    wait_until(lambda: b"a.csv" not in server.get("/results")[2], "its row stays")  # it goes after the files


@pytest.mark.security(17)
def test_a_new_instance_gets_an_accounts_file_and_one_that_had_accounts_does_not(
    tmp_path: Path, compiled: Path, sample: bytes
) -> None:
    accounts = tmp_path / "accounts.txt"
    server = Server(tmp_path, compiled, USERS_FILE=str(accounts))
    try:
        assert server.get("/readyz")[0] == 200
        server.log_in()
        server.stop()
        accounts.unlink()
        server.start()
        status, _, said = server.get("/readyz")
        assert status == 503
        assert b"The operator must put the file back" in said
        assert server.get("/signup")[0] == 503
        assert not accounts.exists()
    finally:
        server.close()


@pytest.mark.security(59)
def test_http_2_in_clear_is_not_spoken(running: Server) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as line:
        line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        answer = line.recv(4096)
    assert not answer or answer.startswith(b"HTTP/1.1 4"), answer


def test_a_web_process_never_imports_what_is_heavy(running: Server, sample: bytes) -> None:
    assert running.upload(sample)[0] == 303
    for pid in Path("/proc").glob("[0-9]*"):
        try:
            environ, maps = (pid / "environ").read_bytes(), (pid / "maps").read_text()
        except OSError:
            continue
        if str(running.folder).encode() in environ:
            assert "tensorflow/python" not in maps
            assert "libtensorflow" not in maps


def test_a_first_start_compiles_nothing_and_no_library_talks_on_the_terminal(
    tmp_path: Path, sample: bytes
) -> None:
    """An instance with nothing in it, until a file and a single payment are scored."""
    server = Server(tmp_path, None)
    try:
        server.log_in()
        assert server.upload(sample)[0] == 303
        header, row = (line.split(",") for line in sample.decode().splitlines()[:2])
        body = json.dumps({"transaction": dict(zip(header, map(float, row), strict=True))})
        kind = {"Content-Type": "application/json", "X-CSRFToken": server.token("/upload")}
        assert server.request("POST", "/detect_fraud", body, **kind)[0] == 200
        assert not list((tmp_path / "instance").glob("compiled/*"))
    finally:
        server.stop()
        server.close()
    said = (tmp_path / "server.log").read_text().splitlines()
    assert [line for line in said if "Serving on" not in line and " INFO screening" not in line] == []


def test_a_bad_setting_stops_the_start_with_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env={**os.environ, "FRAUD_THRESHOLD": "80%"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "FRAUD_THRESHOLD" in ended.stderr


def test_a_damaged_model_stops_the_start_with_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "model.h5"
    broken.write_bytes((ROOT / "model.h5").read_bytes()[:5000])
    environ = {**os.environ, "MODEL_FILE": str(broken), "INSTANCE_PATH": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert "model.h5" in ended.stderr.strip().splitlines()[-1]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("words", [["app.py"], ["-m", "flask", "--app", "app", "users", "list"]])
def test_whatever_stops_the_start_is_one_line(tmp_path: Path, compiled: Path, words: list[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    damaged = tmp_path / "instance"
    damaged.mkdir()
    share_compiled(damaged, compiled)
    (damaged / "secret_key").touch()
    wrong = [
        ("INSTANCE_PATH", str(file)), ("FRAUD_THRESHOLD", "2"), ("DATABASE_URL", "nonsense"),
        ("MODEL_FILE", str(file)), ("INSTANCE_PATH", str(damaged)),
    ]  # fmt: skip
    for name, value in wrong:
        environ = {
            **os.environ, "INSTANCE_PATH": str(tmp_path / "other"), "USERS_FILE": str(file), name: value,
            "PORT": str(free_port()),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        said = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
        assert done.returncode == 1, (name, done.stderr)
        assert len(said) == 1, (name, done.stderr)
        assert said[0].startswith("fraud-screening can't start: "), name
        assert "Serving" not in done.stdout
