"""One command starts the web server and the job worker together, watches both, and stops both."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from screening.accounts.user_store import UserStore
from screening.detectors.registry import Detectors
from screening.errors import BadSetting
from screening.infra import watchdog
from screening.infra.database import Database
from screening.infra.log_setup import begin_logging
from screening.settings import ROOT, Settings, make_instance, secret_key

log = logging.getLogger("screening.server")

THREADS = 64
"""Requests that one process serves at once; a slow sender occupies one, and it costs little while it waits."""
RESTART_SECONDS = 1.0
STOP_SECONDS = 15


WORKER = ("-m", "screening.worker")
"""How Python is told to run the job worker."""


def run(settings: Settings, worker: Sequence[str] = WORKER) -> int:
    """Check everything, then serve until SIGTERM or SIGINT.

    Args:
        settings: where and how.
        worker: the arguments with which Python runs the job worker.

    Raises:
        ScreeningError: something the start needs is wrong; nothing was started.
    """
    begin_logging()
    prepare(settings)
    os.environ[watchdog.SERVER] = str(os.getpid())
    jobs = _WorkerProcess(worker)
    try:
        Granian(
            "app:create_app",
            factory=True,
            address=settings.host,
            port=settings.port,
            interface=Interfaces.WSGI,
            workers=settings.workers,
            blocking_threads=THREADS,
            backlog=1024,
            respawn_failed_workers=True,
            workers_kill_timeout=STOP_SECONDS,
            working_dir=ROOT,
            websockets=False,
            log_level=LogLevels.error,
        ).serve()
    finally:
        jobs.stop()
    return 0


def prepare(settings: Settings) -> None:
    """What has to be right before anything is served: detectors, the accounts file, the store.

    The nets are compiled here, once, so that no web process has to wait for it.
    """
    _check_port(settings)
    make_instance(settings)
    secret_key(settings)
    Detectors(settings)
    UserStore(settings.users_file).prepare()
    Database(settings.database_url).create_tables()
    print(f"Serving on http://{settings.host}:{settings.port} (stop with Ctrl-C)", flush=True)  # noqa: T201


def _check_port(settings: Settings) -> None:
    """The server's sockets may share a port: a second server would silently take half of the first one's requests.

    Raises:
        BadSetting: somebody else serves there, or it isn't ours to serve on.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind) as probe:
            if os.name == "posix":  # elsewhere this would allow what it is to detect
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as problem:
        raise BadSetting(
            f"{settings.host}:{settings.port} can't be served: {problem.strerror or problem}.",
            remedy="Stop what serves there, or set HOST and PORT to another address.",
        ) from None


class _WorkerProcess:
    """The job worker as a process of its own: its memory and its crashes are not the pages'."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._command = [sys.executable, *arguments]
        self._stopping = threading.Event()
        self._process = self._begin()
        self._thread = threading.Thread(target=self._keep_alive, daemon=True)
        self._thread.start()

    def _begin(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, cwd=ROOT)  # noqa: S603 -- this Python, and arguments of the app's own

    def _keep_alive(self) -> None:
        while True:
            status = self._process.wait()
            if self._stopping.wait(RESTART_SECONDS):
                return
            log.error("the job worker ended with status %s and is started again", status)
            self._process = self._begin()

    def stop(self) -> None:
        """Let it put its work down, and make sure that it is gone."""
        self._stopping.set()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # what it held is freed when the next one starts
