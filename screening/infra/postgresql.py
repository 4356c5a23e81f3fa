"""Have PostgreSQL work as the app knows it from SQLite: one writer at a time, reads of one moment, times in UTC.

SQLite lets one transaction write at a time, and what reads sees one moment. All that the app does was thought out and
tested on that. So writers of one set of tables take a lock of PostgreSQL's that nothing else uses (an advisory one)
as they begin, and hold it until their transaction ends; what reads does so in one snapshot.
"""

from __future__ import annotations

import threading
import weakref
import zlib
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

NAMES = ("postgresql", "postgres")
DRIVER = "postgresql+psycopg"
# Connections of one process, to one set of tables, that stay open, and that there may be: a page holds two at most.
KEPT, MOST = 5, 40
# So long a writer waits for its turn, as it waits for SQLite's lock.
LOCK_SECONDS = 20
# After so long without a word from a writer in the middle of its transaction the server ends it: a machine that was
# cut off mustn't keep all others waiting.
IDLE_SECONDS = 60
# The same for the few statements of a decision, for which all others wait: so soon a host that is cut off between two
# of them lets go. Whoever is merely slow begins once more, and has a minute then.
BRIEF_MILLISECONDS = 700
# How soon the server notices that a machine is gone or cut off, so that what it held is free again: it asks after a
# second of silence, and gives up what isn't answered, or not acknowledged, after two. A process that is merely slow
# doesn't matter: its kernel answers.
GONE = {
    "tcp_keepalives_idle": "1s",
    "tcp_keepalives_interval": "1s",
    "tcp_user_timeout": "2s",
    "client_connection_check_interval": "1s",
}
# The same on our side, where the address doesn't say otherwise: seconds, and milliseconds for the last.
LINE = {
    "connect_timeout": 5,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
SNAPSHOT = {"isolation_level": "REPEATABLE READ"}
# The app's own tables are watched. Those of the ledger change with each decision.
WATCHED = "alembic_version"
LAST_WRITER = "SELECT xmin::text FROM alembic_version"
SEEN = "UPDATE alembic_version SET version_num = version_num"


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
    line = {name: value for name, value in LINE.items() if name not in url.query}
    engine = create_engine(
        url, pool_pre_ping=True, pool_size=KEPT, max_overflow=MOST - KEPT, connect_args=line
    )
    event.listen(engine, "connect", _prepare)

    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("writes", False):
            for statement in turn_of(turn, migrates=options.get("migrates", False)):
                connection.exec_driver_sql(statement)

    event.listen(engine, "begin", begin)
    return engine


def turn_of(table: str, *, migrates: bool = False, brief: bool = False) -> list[str]:
    """Return the statements by which a transaction waits for its turn to write, and keeps it to its end.

    The second one has the :class:`WriteWatch` of every process see the commit.

    Args:
        table: that keeps the version of the tables.
        migrates: whether the tables may not be there yet; the version is written anyway then.
        brief: whether it is ended after :data:`BRIEF_MILLISECONDS` without a word.
    """
    silence = f"{BRIEF_MILLISECONDS}ms" if brief else f"{IDLE_SECONDS}s"
    idle = f"set_config('idle_in_transaction_session_timeout', '{silence}', true)"
    turn = f"SELECT {idle}, pg_advisory_xact_lock({zlib.crc32(table.encode())})"
    if migrates or table != WATCHED:
        return [turn]
    return [turn, SEEN]


class WriteWatch:
    """A connection that tells which transaction has written last, as the tables' version row has it: a tenth of a
    millisecond, and never more than is committed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: Any = None

    def version(self) -> int | None:
        """Return a number that is another one after each commit of a writer; ``None`` where it can't be asked."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = alone(self._engine)
                    weakref.finalize(self, self._connection.close)
                row = self._connection.execute(LAST_WRITER).fetchone()
            except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error):
                # the query that is asked instead says what is wrong
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                return None
        return None if row is None else int(row[0])


def alone(engine: Engine) -> Any:
    """Return a connection of the driver's that is nobody else's, and whose statements are transactions of their own.

    Raises:
        SQLAlchemyError: there is none to be had.
    """
    lent = engine.raw_connection()
    connection: Any = lent.driver_connection
    lent.detach()
    connection.autocommit = True
    return connection


def _prepare(connection: Any, _record: Any) -> None:
    """Tell a new connection in which zone times are that say nothing of it, how long it may wait for a lock, and when
    it is given up.
    """
    before, connection.autocommit = connection.autocommit, True
    set_all = (f"SET {name} = '{value}'" for name, value in GONE.items())
    connection.execute("; ".join(("SET TIME ZONE 'UTC'", f"SET lock_timeout = '{LOCK_SECONDS}s'", *set_all)))
    connection.autocommit = before
