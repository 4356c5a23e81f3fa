"""Run a module in a process that ends with the one that began it.

``python -m screening.infra.child_process MODULE ARGUMENT…``

The parent keeps the writing end of a pipe that is this process's standard input. It closes with the parent, however
that ended, and then nobody waits for what is done here. Work of this kind gives way to all else: its priority is low.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys
import threading
import time

NICENESS = 15
LAST_SECONDS = 5.0


def main() -> None:
    """Become the module that is named."""
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1 << 10):
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # so that it can clear up
    time.sleep(LAST_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
