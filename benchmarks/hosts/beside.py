"""What hosts have in common beside the database: a folder, on a network file system if wished, and a Redis."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

HERE, REDIS_PORT = "10.77.0.1", 6380
VOLUME = "fraud"
KINDS = ("folder", "gluster", "gluster-2", "sshfs")
"""A plain folder; GlusterFS with one brick, or with two that are replicas; a folder over SSH."""
WAIT_SECONDS = 20.0
# Without these another host sees a file as it was a second ago, or never sees it change (docs/operations.md).
VOLUME_OPTIONS = (
    *(
        f"performance.{name}=off"
        for name in ("quick-read", "io-cache", "stat-prefetch", "read-ahead", "open-behind", "readdir-ahead")
    ),
    "network.ping-timeout=5",
    "server.tcp-user-timeout=5",
)
MOUNT_OPTIONS = "--fopen-keep-cache=no --attribute-timeout=0 --entry-timeout=0"


@dataclass(frozen=True, slots=True)
class Share:
    """A folder of all hosts, and the command by which each of them mounts it for itself."""

    path: Path
    mount: str = "true"


@contextmanager
def shared(kind: str, folder: Path, options: str) -> Iterator[Share]:
    """Give the folder that hosts share.

    Args:
        kind: one of :data:`KINDS`.
        folder: of the benchmark's own.
        options: further ones of the command that mounts it.
    """
    path = folder / "shared"
    path.mkdir()
    if kind == "folder":
        yield Share(path)
        return
    with served(kind, folder, path, options) as mount:
        subprocess.run(["sh", "-c", mount], check=True)
        try:
            yield Share(path, mount)
        finally:
            subprocess.run(["umount", "-l", path], check=True)


@contextmanager
def served(kind: str, folder: Path, path: Path, options: str) -> Iterator[str]:
    """Serve a folder; gives the command that mounts it at ``path``."""
    if kind == "sshfs":
        home = folder / "home"
        home.mkdir()
        with ssh_server(folder) as command:
            yield f"sshfs -o 'ssh_command={command}' {options} root@{HERE}:{home} {path}"
        return
    with gluster(folder, 2 if kind.endswith("2") else 1):
        # its process goes into the background once the folder is there
        yield f"glusterfs --volfile-server={HERE} --volfile-id={VOLUME} {options or MOUNT_OPTIONS} {path}"


@contextmanager
def gluster(folder: Path, bricks: int) -> Iterator[None]:
    """A volume of GlusterFS, whose bricks are folders of this machine."""
    places = [f"{HERE}:{folder}/brick-{number}" for number in range(bricks)]
    replica = ["replica", str(bricks)] if bricks > 1 else []
    told = ["gluster", "--mode=script", "volume"]
    with (folder / "glusterd.log").open("wb") as log:
        daemon = subprocess.Popen(["glusterd", "-N"], stdout=log, stderr=log)
    try:
        run_until_done([*told, "create", VOLUME, *replica, *places, "force"])
        for option in VOLUME_OPTIONS:
            subprocess.run([*told, "set", VOLUME, *option.split("=")], check=True, capture_output=True)
        subprocess.run([*told, "start", VOLUME], check=True, capture_output=True)
        try:
            yield
        finally:
            subprocess.run([*told, "stop", VOLUME, "force"], check=True, capture_output=True)
            subprocess.run([*told, "delete", VOLUME], check=True, capture_output=True)
    finally:
        daemon.terminate()
        daemon.wait()


def run_until_done(command: list[str]) -> None:
    """Run a command until it does what it should: its server has just begun."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        time.sleep(0.5)


@contextmanager
def ssh_server(folder: Path) -> Iterator[str]:
    """An SSH server with keys of its own; gives the command of a client that it lets in."""
    host_key, key = folder / "host_key", folder / "key"
    for each in (host_key, key):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", each], check=True)
    conf = folder / "sshd_config"
    conf.write_text(
        f"Port 2222\nListenAddress {HERE}\nHostKey {host_key}\nAuthorizedKeysFile {key}.pub\nStrictModes no\n"
        f"PermitRootLogin prohibit-password\nPidFile {folder}/sshd.pid\nSubsystem sftp internal-sftp\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(conf)], stdout=log, stderr=log)
    try:
        yield f"ssh -p 2222 -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile={folder}/known"
    finally:
        server.terminate()
        server.wait()


@dataclass
class RedisServer:
    """A Redis that writes all it is told into a file, and has that on the disk each second, as is usual."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, as ``STATE_URL`` takes it."""
        return f"redis://{HERE}:{REDIS_PORT}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    "redis-server", "--bind", HERE, "--port", str(REDIS_PORT), "--dir", str(self.folder),
                    "--protected-mode", "no", "--save", "", "--appendonly", "yes",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            with suppress(RedisError), Redis.from_url(self.url) as client:
                client.ping()
                return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "redis.log").read_text()[-2000:])

    def kill(self) -> None:
        """Kill it at once; what isn't in its file is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def empty(self) -> None:
        """Have it forget all."""
        with Redis.from_url(self.url) as client:
            client.flushall()


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A Redis for as long as it is needed."""
    made = RedisServer(folder)
    made.start()
    try:
        yield made
    finally:
        made.kill()


def missing(kind: str, *, redis: bool) -> list[str]:
    """Return the packages that such a run needs and that aren't there."""
    needed = {"nginx": "nginx", "ip": "iproute2"}
    if redis:
        needed["redis-server"] = "redis-server"
    if kind.startswith("gluster"):
        needed["glusterd"] = "glusterfs-server"
    if kind == "sshfs":
        needed |= {"sshfs": "sshfs", "sshd": "openssh-server"}
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    return [package for program, package in needed.items() if shutil.which(program, path=path) is None]
