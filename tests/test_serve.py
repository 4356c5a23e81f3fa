"""The real server with its worker, as `python app.py` starts them: restarts, kills and the limits of memory."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from screening.settings import ROOT
from tests.conftest import PASSWORD

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as on Unix; run `make test` there")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`python app.py` on folders of its own."""

    def __init__(self, folder: Path, compiled: Path, **environ: str) -> None:
        self.folder = folder
        self.port = free_port()
        instance = folder / "instance"
        if not instance.exists():
            instance.mkdir()
            (instance / "compiled").symlink_to(compiled)
            (folder / "users.txt").write_text("# accounts\n", encoding="utf-8")
        self.environ = {
            **os.environ, "INSTANCE_PATH": str(instance), "USERS_FILE": str(folder / "users.txt"),
            "PORT": str(self.port), "HOST": "127.0.0.1", **environ,
        }  # fmt: skip
        self.cookies: dict[str, str] = {}
        self.log = (folder / "server.log").open("ab")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=self.environ, stdout=self.log, stderr=self.log
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            try:
                if self.get("/healthz")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server did not answer within a minute")

    def request(self, method: str, path: str, body=None, **headers: str):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        sent = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()), **headers}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        content = answer.read()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = line.split(";", 1)[0].partition("=")
            self.cookies[name] = value
        connection.close()
        return answer.status, answer.headers, content

    def get(self, path: str):
        return self.request("GET", path)

    def token(self, page: str) -> str:
        text = self.get(page)[2].decode()
        return re.search(r'name="csrf_token"[^>]*value="([^"]+)"', text)[1]

    def form(self, path: str, **fields: str):
        from urllib.parse import urlencode

        body = urlencode({"csrf_token": self.token(path), **fields})
        return self.request("POST", path, body, **{"Content-Type": "application/x-www-form-urlencoded"})

    def log_in(self) -> None:
        assert self.form("/signup", username="ana", email="ana@bank.example", password=PASSWORD)[0] == 303
        assert self.form("/login", username="ana", password=PASSWORD)[0] == 303

    def upload(self, content: bytes, wait: int = 60):
        boundary = "----a-boundary-of-the-test"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{self.token("/upload")}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        )
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        return self.request("POST", "/upload", body, **{"Content-Type": kind, "Prefer": f"wait={wait}"})

    def workers(self) -> list[int]:
        found = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=True,
        )
        return [int(line.split()[0]) for line in found.stdout.splitlines() if "screening.work" in line]

    def wait_for(self, screening: str, seconds: float = 60) -> dict:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = json.loads(self.get(f"/results/{screening}.json")[2])
            if state["state"] != "running":
                return state
            time.sleep(0.1)
        raise AssertionError(f"still running after {seconds} s: {state}")

    def stop(self, how: int = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=40)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()


@pytest.fixture
def server(tmp_path: Path, compiled: Path) -> Iterator[Server]:
    made = Server(tmp_path, compiled)
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
    deadline = time.monotonic() + 10
    while processes_of(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(tmp_path) == []

    server.start()
    assert json.loads(server.get(f"/results/{screening}.json")[2])["state"] == "done"


@pytest.mark.security(37)
def test_a_worker_killed_in_the_middle_is_followed_by_another_that_finishes(
    server: Server, sample: bytes
) -> None:
    server.log_in()
    [worker] = server.workers()
    os.kill(worker, signal.SIGSTOP)  # so that it surely is in the middle
    status, headers, body = server.upload(many_rows(sample, 20_000), wait=0)
    assert status == 303, body
    screening = headers["Location"].rsplit("/", 1)[1]
    os.kill(worker, signal.SIGKILL)
    state = server.wait_for(screening)
    assert (state["state"], state["rows"]) == ("done", 20_000)


@pytest.mark.security(37)
def test_a_server_killed_outright_loses_no_accepted_file(
    server: Server, sample: bytes, tmp_path: Path
) -> None:
    server.log_in()
    os.kill(server.workers()[0], signal.SIGSTOP)
    status, headers, _ = server.upload(many_rows(sample, 20_000), wait=0)
    assert status == 303
    screening = headers["Location"].rsplit("/", 1)[1]
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(tmp_path).encode() in (entry / "environ").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue
    server.process.wait()
    server.start()
    state = server.wait_for(screening)
    assert (state["state"], state["rows"]) == ("done", 20_000)


@pytest.mark.security(26)
def test_a_sender_that_leaves_in_the_middle_leaves_nothing(
    server: Server, sample: bytes, tmp_path: Path
) -> None:
    server.log_in()
    token = server.token("/upload")
    head = (
        '--b\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n' + token + "\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    ).encode()
    body = head + many_rows(sample, 4_000)
    cookie = "; ".join(f"{k}={v}" for k, v in server.cookies.items())
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(
            f"POST /upload HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\nContent-Length: {len(body) + 500}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode()
            + body
        )
        time.sleep(0.5)
    deadline = time.monotonic() + 20
    kept = tmp_path / "instance" / "screenings"
    while list(kept.glob("*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(kept.glob("*")) == []
    page = server.get("/results")[2].decode()
    assert "a.csv" not in page


def test_a_web_process_never_imports_what_is_heavy(server: Server, sample: bytes) -> None:
    server.log_in()
    assert server.upload(sample)[0] == 303
    for pid in Path("/proc").glob("[0-9]*"):
        try:
            environ, maps = (pid / "environ").read_bytes(), (pid / "maps").read_text()
        except OSError:
            continue
        if str(server.folder).encode() in environ:
            assert "tensorflow/python" not in maps
            assert "libtensorflow" not in maps


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
    ended = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT,
        env={**os.environ, "MODEL_FILE": str(broken), "INSTANCE_PATH": str(tmp_path)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "model.h5" in ended.stderr.strip().splitlines()[-1]
    assert "Traceback" not in ended.stderr
