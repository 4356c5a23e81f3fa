"""Locks that hold between hosts: advisory locks of PostgreSQL's, each by a name.

The kernel's locks of files keep the processes of one machine apart. Whether they reach further is a matter of the file
system, its version and how it is mounted; the database is one for all hosts by definition. It lets go of the locks of a
host that is gone or cut off after some two seconds (:mod:`screening.infra.postgresql`).
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from screening.settings import Settings

log = logging.getLogger("screening.server")
# PostgreSQL's code for a lock that was waited for in vain.
LOCK_NOT_AVAILABLE = "55P03"
SPACE = "fraud screening"
"""What no other program that uses the database calls its locks."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock by its name; ``shared``: several may have it at once, as long as nobody has it alone."""

    name: str
    shared: bool = False

    def statement(self, what: str) -> str:
        """Return the query that tries to take it (``pg_try_advisory_lock``), waits for it, or gives it back."""
        return f"SELECT {what}{'_shared' if self.shared else ''}({number_of(SPACE)}, {number_of(self.name)})"


INSTANCE = "instance"
DUTIES = Lock("duties")
"""Held by the one worker of all hosts that tidies, watches and opens cases."""


def host_lock(name: str) -> Lock:
    """Return the lock that a host holds for as long as it works."""
    return Lock(f"host {name}")


def number_of(name: str) -> int:
    """Return 32 bits with a sign, as PostgreSQL counts."""
    return zlib.crc32(name.encode()) - (1 << 31)


HELD = (
    "SELECT objid::bigint, coalesce(extract(epoch FROM clock_timestamp() - backend_start), 0) "
    "FROM pg_locks LEFT JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid::bigint = :space "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
SETTLED_SECONDS = 10.0
"""A host is taken for gone only where the connection of another one is older: all of them end when the database was
away, and whoever comes back first must not take for gone who comes back a moment later."""


def hosts_gone(session: Session, names: Collection[str]) -> set[str]:
    """Return those of some hosts whose lock nobody holds: they are off, or the database has given them up.

    Args:
        session: a transaction that has its turn to write: a host that comes back meanwhile takes no job before its end.
        names: of the hosts.
    """
    from sqlalchemy import text

    unsigned = 2**32
    rows = session.execute(text(HELD), {"space": number_of(SPACE) % unsigned}).all()
    if max((seconds for _, seconds in rows), default=0) < SETTLED_SECONDS:
        return set()
    held = {number for number, _ in rows}
    return {name for name in names if number_of(host_lock(name).name) % unsigned not in held}


class Hold:
    """Locks that are held for as long as a connection of their own stands. Thread-safe.

    Args:
        engine: of the database.
        locks: all of them are held, or none.
    """

    def __init__(self, engine: Engine, locks: Sequence[Lock]) -> None:
        self._engine, self._locks = engine, locks
        self._turn = threading.Lock()
        self._connection: Any = None

    def held(self) -> bool:
        """Return whether they are held, which is tried where they weren't; ``False`` where somebody else has one.

        Raises:
            OSError: the database can't be asked. They aren't held by then, or soon won't be.
        """
        from sqlalchemy.exc import SQLAlchemyError

        from screening.infra.postgresql import alone

        with self._turn:
            try:
                if self._connection is not None:
                    self._connection.execute("SELECT 1")
                    return True
                self._connection = alone(self._engine)
                tries = (lock.statement("pg_try_advisory_lock") for lock in self._locks)
                if all(self._connection.execute(each).fetchone()[0] for each in tries):
                    return True
                self._give_back()
            except (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error) as problem:
                self._close()
                raise unreachable(problem) from problem
        return False

    def close(self) -> None:
        """Let go of them."""
        with self._turn, suppress(self._engine.dialect.loaded_dbapi.Error):
            self._give_back()

    def _give_back(self) -> None:
        """Give back what is held: by the end of its connection alone it is free a moment later."""
        try:
            if self._connection is not None:
                self._connection.execute("SELECT pg_advisory_unlock_all()")
        finally:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


_shared: dict[Path, Engine] = {}
"""Folders that several hosts write in, and the database that has the locks of files below."""


def share(settings: Settings, engine: Engine) -> None:
    """Have files of the instance, and accounts, locked in the database where several hosts write them."""
    for folder in (settings.instance, settings.users_file.resolve().parent):
        if settings.several:
            _shared[folder] = engine
        else:
            _shared.pop(folder, None)


@contextmanager
def between_hosts(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a file against other hosts; gives whether it is held: at once where no other host writes there.

    Args:
        path: of the file.
        wait: so long as the database lets anybody wait (20 s); otherwise not at all.

    Raises:
        OSError: the database can't be asked.
    """
    folder = next((each for each in path.parents if each in _shared), None) if _shared else None
    if folder is None:
        yield True
        return
    from sqlalchemy.exc import SQLAlchemyError

    # hosts may have mounted the folder at different places
    lock = Lock(f"file {path.relative_to(folder)}")
    try:
        connection = _shared[folder].connect().execution_options(isolation_level="AUTOCOMMIT")
    except SQLAlchemyError as problem:
        raise unreachable(problem) from problem
    with connection:
        try:
            held = bool(connection.exec_driver_sql(lock.statement("pg_try_advisory_lock")).scalar())
            if not held and wait:
                # ends with an error after lock_timeout
                connection.exec_driver_sql(lock.statement("pg_advisory_lock"))
                held = True
        except SQLAlchemyError as problem:
            connection.invalidate()
            if getattr(getattr(problem, "orig", None), "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise unreachable(problem) from problem
            held = False
        try:
            yield held
        finally:
            if held:
                try:
                    connection.exec_driver_sql(lock.statement("pg_advisory_unlock"))
                except SQLAlchemyError:
                    # with the connection the lock went, nobody knows when
                    connection.invalidate()
                    log.warning(
                        "the lock of %s was lost while it was held: another host may have written there, too",
                        path,
                    )


def unreachable(problem: Exception) -> OSError:
    """Return the error of a lock that can't be asked for."""
    return OSError(f"the database can't be asked for a lock: {getattr(problem, 'orig', None) or problem}")
