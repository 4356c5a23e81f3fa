"""Where the web processes of a server count their requests.

The server's parent imports this before any of them is started, and prometheus-client nowhere: that one looks for the
variable once, when it is imported.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""By this variable prometheus-client is told, before it is imported, where the processes' files are."""


def folder_of(instance: Path) -> Path:
    """Return where the web processes of an instance count."""
    return instance / "metrics"


def begin(instance: Path) -> None:
    """Empty the folder, and have the processes that are started from now on count there."""
    folder = folder_of(instance)
    folder.mkdir(mode=0o700, exist_ok=True)
    for left in folder.glob("*.db"):
        left.unlink()
    os.environ[FOLDER_VARIABLE] = str(folder)
