"""A folder of this machine's own, for what the processes of one server share in memory and lock for each request.

With several hosts the instance's folder is on a network file system: a lock there is a round trip or more, of
milliseconds, and what is mapped into memory may not be there at all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "FRAUD_SCREENING_LOCAL"
"""Environment variable that the processes of a server inherit."""


@contextmanager
def local_folder(*, wanted: bool) -> Iterator[None]:
    """Have a folder while a server runs, which nobody but its user may open.

    Args:
        wanted: whether the instance's own isn't of this machine.
    """
    if not wanted:
        yield
        return
    made = tempfile.mkdtemp(prefix="fraud-screening-")
    (Path(made) / "signals").mkdir()
    os.environ[VARIABLE] = made
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        shutil.rmtree(made, ignore_errors=True)


def local_or(of_host: Path) -> Path:
    """Return the folder of the server that started this process, or what stands for it without one."""
    found = os.environ.get(VARIABLE)
    return of_host if found is None else Path(found)
