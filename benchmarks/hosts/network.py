"""Hosts as network namespaces on a bridge of this machine, and what stands before and behind them."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.hosts.beside import Share
from screening.settings import ROOT

BRIDGE, NETWORK, HERE, PROXY = "fraud-bridge", "10.77.0.0/24", "10.77.0.1", "10.77.0.2"
PORT, FRONT = 5000, 8080
PATIENCE = 60.0
SETTLE_SECONDS = 1.0


def ip(*words: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def namespace(name: str, number: int, address: str) -> Iterator[str]:
    """A namespace with a line to the bridge; gives the name of the line's end on our side."""
    line = f"fraud-{number}"
    ip("netns", "add", name)
    try:
        ip("link", "add", line, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", line, "master", BRIDGE, "up")
        ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield line
    finally:
        kill_in(name)
        ip("netns", "del", name)


def kill_in(name: str) -> None:
    """Kill all processes of a namespace."""
    found = subprocess.run(["ip", "netns", "pids", name], check=True, capture_output=True, text=True)
    for each in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(each), signal.SIGKILL)


@dataclass
class Host:
    """A host: its namespace, its line, and what runs there."""

    name: str
    role: str
    address: str
    line: str
    environ: Mapping[str, str]
    log: Path
    mount: str = "true"
    """Command by which it mounts what it shares with others."""
    code: Path = ROOT
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it answers or works."""
        own = {"HOST": self.address, "PORT": str(PORT), "HOST_NAME": self.name, "ROLE": self.role}
        with self.log.open("ab") as log:
            began = log.tell()
            self.process = subprocess.Popen(
                # the namespace has mounts of its own, too
                ["ip", "netns", "exec", self.name, "sh", "-c", f"{self.mount} && exec {sys.executable} app.py"],
                cwd=self.code, env={**self.environ, **own}, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 2 * PATIENCE
        while not self._works(began):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} doesn't start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def _works(self, began: int) -> bool:
        if self.role == "worker":
            return b"Working on jobs" in self.log.read_bytes()[began:]
        with suppress(OSError, http.client.HTTPException):
            line = http.client.HTTPConnection(self.address, PORT, timeout=2)
            line.request("GET", "/healthz")
            return line.getresponse().status == 200
        return False

    def kill(self) -> None:
        """Kill everything on it at once."""
        kill_in(self.name)
        if self.process is not None:
            self.process.wait()

    def stop(self) -> None:
        """Let it finish what it has in hand."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE)
            kill_in(self.name)  # what has mounted something

    def cut_off(self) -> None:
        """Take its line away; its processes go on."""
        ip("link", "set", self.line, "down")

    def join(self) -> None:
        """Give its line back."""
        ip("link", "set", self.line, "up")


HOSTS = (
    ("web-1", "web", "10.77.0.11", 1),
    ("web-2", "web", "10.77.0.12", 2),
    ("jobs-1", "worker", "10.77.0.21", 3),
    ("jobs-2", "worker", "10.77.0.22", 4),
)


@contextmanager
def host(
    folder: Path, share: Share, more: Mapping[str, str], told: tuple[str, str, str, int]
) -> Iterator[Host]:
    """A host in a namespace of its own, not started yet: its name, role, address and number.

    Args:
        folder: for its log.
        share: what it has in common with others.
        more: its settings.
        told: name, role, address and number.
    """
    name, role, address, number = told
    environ = {
        **os.environ, **more, "HOSTS": "several", "TRUSTED_PROXIES": PROXY,
        "INSTANCE_PATH": str(share.path / "instance"), "USERS_FILE": str(share.path / "users.txt"),
        "WORKERS": "2", "JOB_WORKERS": "1",
    }  # fmt: skip
    with namespace(name, number, address) as line:
        yield Host(name, role, address, line, environ, folder / f"{name}.log", share.mount)


@contextmanager
def network() -> Iterator[None]:
    """The bridge, and the namespace of the proxy."""
    ip("link", "add", BRIDGE, "type", "bridge")
    try:
        ip("addr", "add", f"{HERE}/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        with namespace("fraud-proxy", 9, PROXY):
            yield
    finally:
        ip("link", "del", BRIDGE)


def begin_nginx(folder: Path) -> None:
    """Start nginx with the file that is shipped, in its namespace: with addresses, and settings of the kernel's."""
    text = (ROOT / "deploy" / "nginx" / "hosts.conf").read_text("utf-8")
    settings = [each for each in text.split() if each.startswith("net.ipv4.")]
    for name, _, address, _ in HOSTS:
        text = text.replace(f"{name}:{PORT}", f"{address}:{PORT}")
    conf = folder / "nginx.conf"
    conf.write_text("user root;\n" + text.replace("/tmp/", f"{folder}/nginx-"), encoding="utf-8")
    inside = ["ip", "netns", "exec", "fraud-proxy"]
    subprocess.run([*inside, "sysctl", "-q", "-w", *settings], check=True)
    with (folder / "nginx.log").open("ab") as log:
        subprocess.Popen([*inside, "nginx", "-c", str(conf), "-g", "daemon off;"], stdout=log, stderr=log)
    time.sleep(SETTLE_SECONDS)
