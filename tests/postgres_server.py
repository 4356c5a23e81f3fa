"""A PostgreSQL of the tests' own, on a socket in a folder of its own, for as long as they run; nothing is flushed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from screening.infra.database import Database
from screening.ledger.tables import open_tables

SECONDS = 30.0
MISSING = "PostgreSQL is missing: apt-get install postgresql"
USER = "postgres"
"""Whom Debian makes for it: root may not run a server."""
OPTIONS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "shared_buffers=16MB",
)
TEMPLATE = "made"
SQLITE, POSTGRESQL = "sqlite", "postgresql"


class Postgres:
    """A server that runs.

    Args:
        folder: in which its socket is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)
        self._made = False

    def url(self, database: str, host: str | None = None) -> str:
        """Return the address of a database, as ``DATABASE_URL`` takes it; by the socket where no host is said."""
        return f"postgresql://fraud@/{database}?host={host or self._folder}"

    def empty(self) -> str:
        """Make a database without tables, and return its name."""
        return self._create("template0")

    def new(self) -> str:
        """Make a database with both sets of tables as a first start makes them, and return its name."""
        if not self._made:
            self.run(f"CREATE DATABASE {TEMPLATE}")
            database = Database(self.url(TEMPLATE))
            database.create_tables()
            for made in (database, open_tables(self._folder, self.url(TEMPLATE))):
                made.engine.dispose()
            self._made = True
        return self._create(TEMPLATE)

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.run(f"DROP DATABASE {database} WITH (FORCE)")

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Give a database with both sets of tables, and remove it in the end."""
        name = self.new()
        made = Database(self.url(name))
        try:
            yield made
        finally:
            made.engine.dispose()
            self.drop(name)

    def run(self, statement: Any) -> None:
        """Run a statement in no database of a test's."""
        with psycopg.connect(
            host=str(self._folder), user="fraud", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)

    def _create(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server, begun when the first test wants it; skips where there is none to begin."""
    found = programs()
    if found is None:
        pytest.skip(MISSING)
    with running(found) as server:
        yield server


@contextmanager
def running(
    folder_of_programs: Path,
    address: str = "",
    networks: Sequence[str] = (),
    settings: Sequence[str] = OPTIONS,
) -> Iterator[Postgres]:
    """A server of its own.

    Args:
        folder_of_programs: where PostgreSQL's are.
        address: on which it also listens, for hosts that are elsewhere.
        networks: of these hosts, which are let in without a password.
        settings: of PostgreSQL.
    """
    with _folder() as folder:
        as_user: dict[str, Any] = (
            {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
        )
        quiet: dict[str, Any] = {
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.PIPE,
            "cwd": folder,
            **as_user,
        }
        data = folder / "data"
        make: list[str | Path] = [
            folder_of_programs / "initdb",
            "-D",
            data,
            "-U",
            "fraud",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]
        subprocess.run(make, check=True, timeout=2 * SECONDS, **quiet)
        with (data / "pg_hba.conf").open("a") as trusted:
            trusted.writelines(f"host all all {network} trust\n" for network in networks)
        options = " ".join(
            f"-c {each}"
            for each in (*settings, f"listen_addresses={address}", f"unix_socket_directories={folder}")
        )
        control: list[str | Path] = [folder_of_programs / "pg_ctl", "-D", data, "-w", "-t", str(SECONDS)]
        log: list[str | Path] = ["-l", folder / "log", "-o", options]
        # it keeps what it is given as its own: a pipe of ours would never end
        subprocess.run(
            [*control, *log, "start"],
            check=True,
            timeout=2 * SECONDS,
            **{**quiet, "stderr": subprocess.DEVNULL},
        )
        try:
            yield Postgres(folder)
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, timeout=2 * SECONDS, **quiet)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a test's database: in SQLite, below its instance if it has one, unless a test with
    ``both_databases`` asks again with PostgreSQL.
    """
    if getattr(request, "param", SQLITE) == SQLITE:
        folder = tmp_path / "instance" if "settings" in request.fixturenames else tmp_path
        yield f"sqlite:///{folder / 'screening.sqlite3'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.new()
    yield server.url(name)
    server.drop(name)


def programs() -> Path | None:
    """Return the folder of the newest version that Debian has, or of the one that is found by its name."""
    there = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[-3]))
    found = there[-1] if there else shutil.which("initdb")
    return None if found is None else Path(found).parent


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that the server's user may use, which those of pytest aren't; a socket's address must be short."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
