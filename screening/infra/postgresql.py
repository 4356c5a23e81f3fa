"""Have PostgreSQL work as the app knows it from SQLite: one writer at a time, reads of one moment, times in UTC.

SQLite lets one transaction write at a time, and what reads sees one moment. All that the app does was thought out and
tested on that. So writers of one set of tables take a lock of PostgreSQL's that nothing else uses (an advisory one)
as they begin, and hold it until their transaction ends; what reads does so in one snapshot.
"""

from __future__ import annotations

import zlib
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

NAMES = ("postgresql", "postgres")
DRIVER = "postgresql+psycopg"
KEPT, MOST = 5, 40
"""Connections of one process, to one set of tables, that stay open, and that there may be: a page holds two at most."""
LOCK_SECONDS = 20
"""So long a writer waits for its turn, as it waits for SQLite's lock."""
IDLE_SECONDS = 60
"""After so long without a word from a writer in the middle of its transaction the server ends it: a machine that was
cut off mustn't keep all others waiting."""
SNAPSHOT = {"isolation_level": "REPEATABLE READ"}


def is_postgresql(url: URL) -> bool:
    """Return whether an address is PostgreSQL's, with whichever driver."""
    return url.get_backend_name() in NAMES


def engine_of(url: URL, turn: str) -> Engine:
    """Return an engine.

    Args:
        url: where it is; without a driver it is psycopg.
        turn: of which tables; writers of one wait for each other.

    Raises:
        ArgumentError, ImportError: it can't be made.
    """
    if url.drivername in NAMES:
        url = url.set(drivername=DRIVER)
    engine = create_engine(url, pool_pre_ping=True, pool_size=KEPT, max_overflow=MOST - KEPT)
    event.listen(engine, "connect", _prepare)
    statement = turn_of(turn)

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes", False):
            connection.exec_driver_sql(statement)

    event.listen(engine, "begin", begin)
    return engine


def turn_of(name: str) -> str:
    """Return the statement by which a transaction waits for its turn to write, and keeps it to its end."""
    idle = f"set_config('idle_in_transaction_session_timeout', '{IDLE_SECONDS}s', true)"
    return f"SELECT {idle}, pg_advisory_xact_lock({zlib.crc32(name.encode())})"


def _prepare(connection: Any, _record: Any) -> None:
    """Tell a new connection in which zone times are that say nothing of it, and how long it may wait for a lock."""
    before, connection.autocommit = connection.autocommit, True
    connection.execute(f"SET TIME ZONE 'UTC'; SET lock_timeout = '{LOCK_SECONDS}s'")
    connection.autocommit = before
