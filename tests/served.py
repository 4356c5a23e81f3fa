"""The real server as a process of its own, for tests and benchmarks: `python app.py` and a small client."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from screening.settings import ROOT
from tests.shared import new_databases, share_compiled

PASSWORD = "a long river of words 7"
BOUNDARY = "----a-boundary-of-the-test"
Answer = tuple[int, Message, bytes]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`python app.py` on folders of its own."""

    def __init__(self, folder: Path, compiled: Path | None, clone: Path = ROOT, **environ: str) -> None:
        """``compiled``: a folder that keeps compiled nets, and beside which new databases are kept. An instance begins
        with both; ``None`` for one with nothing in it, as after a clone.

        ``clone``: where the app's own files are. Those of another folder than the project's make their databases.
        """
        self.folder, self.clone = folder, clone
        self.port = free_port()
        instance = folder / "instance"
        if not instance.exists():
            if compiled is None or clone != ROOT:
                instance.mkdir()
            else:
                shutil.copytree(new_databases(compiled.parent), instance)
            if compiled is not None:
                share_compiled(instance, compiled)
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
            [sys.executable, "app.py"], cwd=self.clone, env=self.environ, stdout=self.log, stderr=self.log
        )
        self.wait_until_answers()

    def wait_until_answers(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            try:
                if self.get("/healthz")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server did not answer within a minute")

    def request(self, method: str, path: str, body: str | bytes | None = None, **headers: str) -> Answer:
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

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def token(self, page: str) -> str:
        text = self.get(page)[2].decode()
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', text)
        assert found, f"{page} has no token"
        return found[1]

    def form(self, path: str, **fields: str) -> Answer:
        body = urlencode({"csrf_token": self.token(path), **fields})
        return self.request("POST", path, body, **{"Content-Type": "application/x-www-form-urlencoded"})

    def form_from(self, page: str, path: str, **fields: str) -> Answer:
        """Send a form that stands on another page than the one it is sent to."""
        body = urlencode({"csrf_token": self.token(page), **fields})
        return self.request("POST", path, body, **{"Content-Type": "application/x-www-form-urlencoded"})

    def log_in(self) -> None:
        assert self.form("/signup", username="ana", email="ana@bank.example", password=PASSWORD)[0] == 303
        assert self.form("/login", username="ana", password=PASSWORD)[0] == 303

    def upload(self, content: bytes, wait: int = 60, **fields: str) -> Answer:
        """Send a file as the form does: the token first, the file last."""
        return self.post_form("/upload", self.form_body(content, **fields), Prefer=f"wait={wait}")

    def post_form(self, path: str, body: bytes, **headers: str) -> Answer:
        """Send a body of :meth:`form_body`."""
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        return self.request("POST", path, body, **{"Content-Type": kind, **headers})

    def form_body(self, content: bytes, **fields: str) -> bytes:
        """The upload form's body for a file of this content."""
        part = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
        given = {"csrf_token": self.token("/upload"), **fields}
        head = "".join(f'{part}"{name}"\r\n\r\n{value}\r\n' for name, value in given.items())
        head += f'{part}"file"; filename="a.csv"\r\n\r\n'
        return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()

    def workers(self) -> dict[int, int]:
        """The process of each job worker that has started by now, by the worker's number."""
        found = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=False,  # 1 when there are none
        )
        words = [line.split() for line in found.stdout.splitlines() if "app.py worker" in line]
        return {int(line[-1]): int(line[0]) for line in words}

    def wait_for(self, screening: str, seconds: float = 120) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state: dict[str, Any] = json.loads(self.get(f"/results/{screening}.json")[2])
            if state["state"] != "running":
                return state
            time.sleep(0.1)
        raise AssertionError(f"still running after {seconds} s: {state}")

    def stop(self, how: int = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(timeout=40)

    def wait_until_silent(self) -> None:
        """Wait for the web processes of a server that was killed: they go within a second, and answer until then."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            except OSError:
                return
            time.sleep(0.02)
        raise AssertionError("web processes of a killed server go on answering")

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
