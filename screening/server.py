"""One command starts the web server and the job worker together, watches both, and stops both."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from screening.accounts.user_store import UserStore
from screening.backup.moving import require_not_moved
from screening.bucket import claiming
from screening.bucket.storage import Storage
from screening.detectors.registry import Detectors
from screening.errors import BadSetting
from screening.infra import watchdog
from screening.infra.database import Database
from screening.infra.disk_space import free_bytes, keep_reserve, release_reserve
from screening.infra.host_locks import share
from screening.infra.instance_secret import secret_key
from screening.infra.local_folder import local_folder, local_or
from screening.infra.log_setup import SERVER_LOGS, begin_logging
from screening.ledger.ledger import Ledger
from screening.monitoring.request_folder import begin as begin_counting
from screening.monitoring.request_folder import handed_on
from screening.settings import ROOT, Settings, make_instance
from screening.uploads.instance_check import claim, is_new, known_id, require_restored, sole_server

log = logging.getLogger("screening.server")

# Per web process. A coroutine takes some kilobytes only; the front bounds the work behind it.
MOST_CONNECTIONS = 4096
HEADER_MILLISECONDS = 20_000
"""So long a connection may take for the header of a request, and be idle between two."""
NEEDED_BYTES = 2**20
"""A start writes about so much."""
RESTART_SECONDS = 1.0
# A server that was told to stop, or was killed, may hold its instance for so long.
LEAVING_SECONDS = 2.0
STOP_SECONDS = 15


WORKER = ("-m", "screening.worker")
"""Arguments by which Python runs the job worker."""


def run(settings: Settings, worker: Sequence[str] = WORKER, load: Callable[[], object] = lambda: None) -> int:
    """Check everything, then serve until SIGTERM or SIGINT.

    Args:
        settings: where and how.
        worker: the arguments with which Python runs the job worker.
        load: imports what web processes need. Where they are forked, one that takes the place of another then answers
            after a fraction of a second: nothing is to be imported but once.

    Raises:
        ScreeningError: something the start needs is wrong; nothing was started.
    """
    begin_logging(settings.log_format)
    answers = settings.role != "worker"
    if answers:
        check_port(settings)
    make_instance(settings)
    with (
        sole_server(settings, LEAVING_SECONDS, lambda: os.kill(os.getpid(), signal.SIGTERM)),
        local_folder(wanted=settings.several and answers),
    ):
        prepare(settings)
        # inherited by web processes and workers, which end once this process has gone
        os.environ[watchdog.SERVER] = str(os.getpid())
        workers = _Workers(worker, settings.job_workers if settings.role != "web" else 0)
        if not answers:
            return _wait(workers)
        counting = local_or(settings.of_host)
        begin_counting(counting)
        with nullcontext() if counting == settings.of_host else handed_on(counting, settings.of_host):
            return _serve(settings, workers, load)


def _wait(workers: _Workers) -> int:
    """Let the job workers work until SIGTERM or SIGINT."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: told.set())
    told.wait()
    workers.stop()
    return 0


def _serve(settings: Settings, workers: _Workers, load: Callable[[], object]) -> int:
    try:
        server = Granian(
            "app:create_front",
            factory=True,
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGINL,
            # HTTP/2 in clear serves nobody and has limits of its own
            http=HTTPModes.http1,
            workers=settings.workers,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_MILLISECONDS),
            backlog=1024,
            backpressure=MOST_CONNECTIONS,
            respawn_failed_workers=True,
            workers_kill_timeout=STOP_SECONDS,
            working_dir=ROOT,
            websockets=False,
            log_level=LogLevels.error,
            log_dictconfig=dict(SERVER_LOGS),
        )
        if multiprocessing.get_start_method() == "fork":
            # the port is taken by then, and the job workers load their own beside it
            server.on_startup(load)
        server.serve()
    finally:
        workers.stop()
    return 0


def prepare(settings: Settings) -> None:
    """Prepare what serving needs: detectors, the accounts file, the store.

    The default net's golden rows are run here, and it is compiled if it must be, so that no web process has to wait
    for that. Web processes run the rows again before they first score.
    """
    make_instance(settings)
    require_restored(settings.instance)
    require_not_moved(settings)
    secret_key(settings)
    Detectors(settings).default.prepare()
    if free_bytes(settings.instance) < NEEDED_BYTES:
        # else not even the databases can be opened
        release_reserve(settings.instance)
    database = Database(settings.database_url)
    share(settings, database.engine)
    database.create_tables()
    ledger = Ledger.open(
        settings.instance,
        settings.database_url,
        state_url=settings.state_url,
        storage=Storage.of(settings),
    )
    for each in (database, ledger.tables):
        if not each.check():
            log.warning("the database is large: not all of it could be looked at for damage")
    accounts = UserStore(settings.users_file)
    if is_new(settings.instance, database):
        accounts.begin()
    accounts.prepare()
    claim(settings.instance, database)
    claiming.claim(settings.instance, settings.storage_url, str(known_id(database)))
    ledger.require_manifest()
    keep_reserve(settings.instance)
    for each in (database, ledger.tables):
        each.engine.dispose()  # web processes are forked: none of them may have, or end, a connection of ours
    doing = f"Serving on http://{settings.host}:{settings.port}"
    if settings.role == "worker":
        doing = f"Working on jobs as {settings.host_name}"
    print(f"{doing} (stop with Ctrl-C)", flush=True)  # noqa: T201


def check_port(settings: Settings) -> None:
    """Refuse a port that is served already: the server's sockets may share one, and a second server would silently take
    half of the first one's requests.

    Raises:
        BadSetting: somebody else serves there, or it isn't ours to serve on.
    """
    deadline = time.monotonic() + LEAVING_SECONDS
    while True:
        try:
            _bind(settings)
        except OSError as problem:
            # web processes of a server that was killed go within a second
            if problem.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise BadSetting(
                f"{settings.host}:{settings.port} can't be served: {problem.strerror or problem}.",
                remedy="Stop what serves there, or set HOST and PORT to another address.",
            ) from None
        return


def _bind(settings: Settings) -> None:
    family, kind, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        # elsewhere this would allow what it is to detect
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


# Held while a worker is started and while a web process is forked. A process forked in the middle of a start
# inherits the pipe by which Python learns that the start succeeded, and the start would wait until that
# process ends.
_starting = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_starting.release
    )


class _Workers:
    """The job workers as processes of their own: their memory and their crashes are not the pages'."""

    def __init__(self, arguments: Sequence[str], count: int) -> None:
        self._command = [sys.executable, *arguments]
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        for number in range(count):
            self._begin(number)
        for number in range(count):
            threading.Thread(target=self._keep_alive, args=(number,), daemon=True).start()

    def _keep_alive(self, number: int) -> None:
        process: subprocess.Popen[bytes] | None = self._processes[number]
        while process is not None:
            status = process.wait()
            if self._stopping.wait(RESTART_SECONDS):
                return
            log.error("the job worker %d ended with status %s and is started again", number, status)
            process = self._begin(number)

    def _begin(self, number: int) -> subprocess.Popen[bytes] | None:
        """Start a worker, unless all are to stop."""
        with self._lock:
            if self._stopping.is_set():
                return None
            command = [*self._command, str(number)]
            with _starting:
                self._processes[number] = subprocess.Popen(command, cwd=ROOT)  # noqa: S603 -- arguments of the app's own
            return self._processes[number]

    def stop(self) -> None:
        """Let them put their work down, and make sure that they are gone."""
        with self._lock:
            self._stopping.set()
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                # what it held is freed when the next one starts
                process.kill()
                process.wait()
