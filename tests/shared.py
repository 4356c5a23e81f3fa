"""What costs seconds to make is made once for all workers of a run (pytest-xdist), not once for each of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from screening.infra.database import HEAD, Database
from screening.ledger.tables import SCHEMA, open_tables

INSTANCE_SECRET = "i" * 64


def share_compiled(instance: Path, compiled: Path) -> None:
    """Let an instance use the compiled nets of all tests. Its secret is theirs, too: else it wouldn't trust them."""
    (instance / "compiled").symlink_to(compiled)
    (instance / "instance_secret").write_text(INSTANCE_SECRET, encoding="ascii")


def new_databases(run: Path) -> Path:
    """Return a folder with both databases as a first start makes them: the migrations take the best part of a second.

    ``run``: the folder in which it is kept, for all that run at once.
    """

    def make(folder: Path) -> None:
        database = Database(f"sqlite:///{folder / 'screening.sqlite3'}")
        database.create_tables()
        for made in (database, open_tables(folder, str(database.engine.url))):
            made.engine.dispose()

    return made_once(run / f"databases-{HEAD}-{SCHEMA.head}", make)


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """The temporary folder of the whole run: a worker's own lies in it."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Fill a folder, or wait until another worker has. What a failed ``make`` left goes before the next one begins."""
    done = folder.with_name(f"{folder.name}.done")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder
