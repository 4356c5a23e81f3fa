"""Processes that belong together end together, also when the one above was killed and could not stop the others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

SERVER = "SCREENING_SERVER_PID"
"""Tells processes whose they are; set by :func:`screening.server.run`, for its children only."""


def when_server_gone(action: Callable[[], None]) -> None:
    """Call ``action`` within about a second of the server's end, at once if it is gone already.

    Nothing happens in a process that no server began: the command line, a worker that runs alone.
    """
    server = os.environ.get(SERVER)
    if server is not None:
        threading.Thread(target=_watch, args=(int(server), action), daemon=True).start()


def end_with_server() -> None:
    """End this web process with its server: without it, it would go on answering on the port."""
    when_server_gone(lambda: os._exit(1))


def _watch(server: int, action: Callable[[], None]) -> None:
    while os.getppid() == server:
        time.sleep(1)
    action()
