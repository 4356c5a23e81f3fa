"""The store: one SQLAlchemy engine, SQLite in WAL mode by default, PostgreSQL by ``DATABASE_URL``.

Writers take the lock when they begin (``BEGIN IMMEDIATE``): a deferred transaction that reads first and writes
later fails at once when another writer came between, however long the busy timeout is. What PostgreSQL is told so that
the same holds there is in :mod:`screening.infra.postgresql`.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeGuard, TypeVar

from sqlalchemy import (
    ColumnClause,
    Connection,
    Dialect,
    Engine,
    Select,
    TableClause,
    TextClause,
    create_engine,
    event,
    inspect,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import DeclarativeBase, Session

from screening.errors import BadSetting, NotReady
from screening.infra import postgresql
from screening.infra.write_turn import WriteTurn

log = logging.getLogger(__name__)
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
BUSY_SECONDS = 20
# A writer waits so long for its turn; after that for SQLite's own lock only.
TURN_SECONDS = 2.0
CHECK_SECONDS = 5.0
# Parameters of one statement; SQLite's own limit was 999 once.
MOST_PARAMETERS = 500
COPY_LOG = "PRAGMA wal_checkpoint(PASSIVE)"
LONG_LOG = 500
"""Pages."""
HEAD, OLDEST = "0039", "0033"
"""The newest version in :mod:`screening.infra.migrations`; a test holds that the two agree. And the oldest whose code
works with these tables, too: raise it only with a migration that takes away what older code needs."""


class Base(DeclarativeBase):
    """Tables of the app; each module that keeps something declares its own on it."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables that are migrated together: where their migrations are, the newest, the table that keeps the version, and
    the oldest version whose code works with these tables, too.

    Two schemas can share one database.
    """

    migrations: str
    head: str
    version_table: str
    oldest: str


class Database:
    """Opens sessions: :meth:`read` never blocks writers, :meth:`write` takes the lock at once and commits."""

    def __init__(self, url: str, schema: Schema | None = None) -> None:
        """``schema`` is the app's own tables unless said."""
        self._schema = schema or Schema("screening.infra:migrations", HEAD, "alembic_version", OLDEST)
        self.engine = make_engine(url, self._schema)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        path = path_of(self.engine)
        # of PostgreSQL only the app's tables are watched
        watched = not self.is_sqlite and self._schema.version_table == postgresql.WATCHED
        self._watch = postgresql.WriteWatch(self.engine) if watched else _Watch(path)
        self._turn = WriteTurn(path, TURN_SECONDS)
        table = self._schema.version_table
        self._take_turn = {
            brief: ["BEGIN IMMEDIATE"] if self.is_sqlite else postgresql.turn_of(table, brief=brief)
            for brief in (False, True)
        }
        self._reading = (
            self.engine if self.is_sqlite else self.engine.execution_options(**postgresql.SNAPSHOT)
        )
        self._spare = _Spare(self.engine)

    def create_tables(self) -> None:
        """Bring the tables to the present version; two processes may do it at once.

        Those of a newer version stay as they are, and are worked with, where that one says that they can be: hosts are
        upgraded one after another.

        Raises:
            NotReady: the file is not a database, can't be opened, or is a newer version's; it is left as it is.
        """
        try:
            found, oldest = self._version()
            if found == self._schema.head:
                return
            if found is not None and oldest is not None and oldest <= self._schema.head < found:
                log.warning(
                    "the tables are those of version %s already, and %s goes on", found, self._schema.head
                )
                return
            self._migrate()
        except DatabaseError as problem:
            remedy = "Restore it from a backup, or set DATABASE_URL to another; the file was left untouched."
            if not self.is_sqlite:
                remedy = (
                    "See that it runs, that DATABASE_URL names it, and that its user may make tables in it."
                )
            raise NotReady(
                f"The database can't be used: {problem.orig}.",
                where=self.engine.url.render_as_string(hide_password=True),
                remedy=remedy,
            ) from problem

    def _version(self) -> tuple[str | None, str | None]:
        """Return the version of the tables that are there, and the oldest whose code works with them."""
        with self.engine.connect() as connection:
            if not inspect(connection).has_table(self._schema.version_table):
                return None, None
            everything: Select[Any] = select(literal_column("*"))
            row = (
                connection.execute(everything.select_from(TableClause(self._schema.version_table)))
                .mappings()
                .first()
            )
            return (None, None) if row is None else (row["version_num"], row.get("oldest"))

    def _migrate(self) -> None:
        # only a new or old store needs it
        from alembic import command
        from alembic.config import Config
        from alembic.util.exc import CommandError

        config = Config()
        config.set_main_option("script_location", self._schema.migrations)
        config.set_main_option("path_separator", "os")
        with self.engine.execution_options(writes=True, migrates=True).begin() as connection:
            config.attributes["connection"] = connection
            config.attributes["earlier"] = inspect(connection).has_table("alembic_version")
            try:
                command.upgrade(config, self._schema.head)
            except CommandError as problem:  # a version of the tables that isn't among the migrations here
                raise NotReady(
                    f"The database can't be used: its tables are a newer version's than {self._schema.head}, which is "
                    "this one's.",
                    where=self.engine.url.render_as_string(hide_password=True),
                    remedy="Start the newer version, or restore what was saved before the upgrade; the file was left "
                    "untouched.",
                ) from problem
            versions = self._schema.version_table
            # not there yet in the tables that tests make of earlier versions
            if any(column["name"] == "oldest" for column in inspect(connection).get_columns(versions)):
                noted = update(TableClause(versions, ColumnClause("oldest"))).values(
                    oldest=self._schema.oldest
                )
                connection.execute(noted)

    def check(self, seconds: float = CHECK_SECONDS) -> bool:
        """Have SQLite look for damage; other databases do so themselves.

        Args:
            seconds: so long it may take. A store of a gigabyte may take longer: what was looked at by then is whole.

        Returns:
            whether all of it was looked at.

        Raises:
            NotReady: it is damaged; it is left as it is.
        """
        if not self.is_sqlite:
            return True
        deadline = time.monotonic() + seconds
        try:
            with self.engine.connect() as connection:
                raw: Any = connection.connection.driver_connection
                # SQLite calls it after so many steps, and gives up once it returns true
                raw.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
                try:
                    found = raw.execute("PRAGMA quick_check(1)").fetchone()[0]
                finally:
                    raw.set_progress_handler(None, 0)
        except (sqlite3.OperationalError, DatabaseError) as problem:
            if "interrupted" in str(problem):
                return False
            raise self._damaged(str(getattr(problem, "orig", problem))) from problem
        except sqlite3.DatabaseError as problem:
            raise self._damaged(str(problem)) from problem
        if found != "ok":
            raise self._damaged(str(found).splitlines()[-1])
        return True

    def _damaged(self, problem: str) -> NotReady:
        return NotReady(
            f"The database is damaged: {problem}.",
            where=self.engine.url.render_as_string(hide_password=True),
            remedy="Keep the file, and restore it from a backup or with sqlite3's .recover; it was left untouched.",
        )

    @contextmanager
    def driver_write(self, *, begin: bool = True, brief: bool = False) -> Iterator[DriverWrite]:
        """Give a transaction as :meth:`write` does, for the few statements that every request waits for.

        Args:
            begin: whether it takes the write lock; without it, it only reads.
            brief: whether PostgreSQL ends it when nothing is heard of it for most of a second.

        Raises:
            DatabaseError: as SQLAlchemy has it; nothing was written. Its ``connection_invalidated`` says that the
                server had ended the connection before the commit.
        """
        module: Any = self.engine.dialect.loaded_dbapi
        with self._turn.taken() if begin else nullcontext():
            connection = self._spare.take()
            whole = committing = False
            try:
                cursor = connection.cursor()
                if begin:
                    for statement in self._take_turn[brief]:
                        cursor.execute(statement)
                yield DriverWrite(self.engine, cursor)
                committing = True
                connection.commit()
                # a statement that wasn't read to its end would hold on to what it has seen
                cursor.close()
                whole = True
            except module.Error as problem:
                lost = getattr(connection.driver_connection, "broken", False)
                if lost:
                    # nothing can be rolled back there
                    connection.invalidate(problem)
                # before the commit was asked for nothing can have been kept
                lost = lost and not committing
                raise DBAPIError.instance(
                    None, None, problem, module.Error, connection_invalidated=lost
                ) from problem
            finally:
                # the pool rolls back what wasn't committed, and drops a connection that can't
                self._spare.give_back(connection, whole=whole)

    def add_rows(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, brief: bool = False
    ) -> None:
        """Add rows to a table in a transaction of their own, by as few calls of the driver as there can be.

        With SQLite that is one: each call lets other threads have the interpreter, which must be waited for again.
        ``brief`` as :meth:`driver_write` takes it.

        Raises:
            DatabaseError: as SQLAlchemy has it; nothing was written.
        """
        named = [f":{column}" for column in columns]
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 -- names of the app's own
        if not self.is_sqlite or len(rows) * len(columns) > MOST_PARAMETERS:
            statement = text(f"{insert}({', '.join(named)})")
            with self.driver_write(brief=brief) as write:
                write.many(statement, [dict(zip(columns, row, strict=True)) for row in rows])
            return
        places = f"({', '.join('?' * len(columns))})"
        values = [value for row in rows for value in row]
        with self._turn.taken():
            connection = self._spare.take()
            whole = False
            try:
                # outside of a transaction each statement commits by itself
                connection.driver_connection.execute(insert + ", ".join([places] * len(rows)), values)
                whole = True
            except sqlite3.Error as problem:
                raise DBAPIError.instance(None, None, problem, sqlite3.Error) from problem
            finally:
                self._spare.give_back(connection, whole=whole)

    def put_log_away(self) -> None:
        """Copy SQLite's write-ahead log into the database, so that no writer has to while somebody waits for it.

        Most of it is copied beside the writers; the rest in a turn of its own, since only an empty log begins again.

        Raises:
            DatabaseError: as SQLAlchemy has it; nothing is lost.
        """
        if not self.is_sqlite:
            return
        with self.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            _, pages, copied = raw.execute(COPY_LOG).fetchone()
            if pages == copied and pages < LONG_LOG:
                return
            with self._turn.taken():
                # nobody writes now: all of the log is copied, so the next writer begins it again
                raw.execute(COPY_LOG)

    def version(self) -> int | None:
        """Return a number that is another one as soon as any connection of any process has committed something.

        ``None`` where only a query could tell: of the ledger's tables in PostgreSQL, and of a database that can't be
        opened. In PostgreSQL it tells of all that this class writes, and not of statements by hand.
        """
        return self._watch.version()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Give a session for reading, of one moment; whatever it changed is thrown away."""
        with Session(self._reading, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Give a session that holds the write lock from its beginning and commits at its end."""
        engine = self.engine.execution_options(writes=True)
        with (
            self._turn.taken(),
            Session(engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session


class _Spare:
    """A connection of a pool that is kept out of it: with SQLite, taking one and giving it back take longer than what
    is done with it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: deque[tuple[int, Any]] = deque(maxlen=1)  # whoever takes it has it alone
        if engine.dialect.name == "sqlite":
            event.listen(engine, "engine_disposed", self._drop)

    def take(self) -> Any:
        """Return a connection."""
        try:
            process, connection = self._kept.pop()
        except IndexError:
            return self._engine.raw_connection()
        # a connection must not be used on the other side of a fork
        return connection if process == os.getpid() else self._engine.raw_connection()

    def give_back(self, connection: Any, *, whole: bool) -> None:
        """Keep a connection whose transaction is over, or give it back to the pool."""
        if whole and not self._kept and self._engine.dialect.name == "sqlite":
            self._kept.append((os.getpid(), connection))
        else:
            connection.close()

    def _drop(self, _engine: Engine) -> None:
        while self._kept:
            # closed at once; the pool that it came from is gone
            self._kept.pop()[1].invalidate()


class DriverWrite:
    """A transaction in which statements go to the driver as they are: what SQLAlchemy does around one takes four times
    as long as SQLite.
    """

    def __init__(self, engine: Engine, cursor: Any) -> None:
        self._dialect = engine.dialect
        self._cursor = cursor

    def one(self, statement: TextClause, given: Mapping[str, Any]) -> Any:
        """Execute a statement, and return the driver's cursor, good until the next one."""
        sql, order = compiled_text(statement, self._dialect)
        self._cursor.execute(sql, given if order is None else [given[name] for name in order])
        return self._cursor

    def many(self, statement: TextClause, given: Sequence[Mapping[str, Any]]) -> None:
        """Execute a statement once for each of some parameters."""
        sql, order = compiled_text(statement, self._dialect)
        each = given if order is None else [[one[name] for name in order] for one in given]
        self._cursor.executemany(sql, each)


@lru_cache(maxsize=64)
def compiled_text(statement: TextClause, dialect: Dialect) -> tuple[str, Sequence[str] | None]:
    """Return a statement as a driver takes it, and the order of its parameters where they have no names."""
    made: Any = statement.compile(dialect=dialect)
    return str(made), made.positiontup


class UntilChanged(Generic[Key, Value]):
    """A cache of values read from a database, kept for as long as nobody commits anything; thread-safe.

    With a database that can't tell, nothing is kept.

    Args:
        database: what is read.
        most: so many keys are kept.
    """

    def __init__(self, database: Database, most: int = 256) -> None:
        self._database = database
        self._most = most
        self._kept: tuple[int | None, dict[Key, Value]] = None, {}

    def get(self, key: Key, read: Callable[[], Value]) -> Value:
        """Return what ``read`` gives, which must be changed by nobody."""
        # asked first: what is committed while it reads makes it old
        version = self._database.version()
        if version is None:
            return read()
        kept = self._kept
        if kept[0] != version or len(kept[1]) >= self._most:
            kept = self._kept = version, {}
        if key not in kept[1]:
            kept[1][key] = read()
        return kept[1][key]


class _Watch:
    """A connection that never writes, and so is told of everybody's commits (SQLite's ``data_version``): 5 µs."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def version(self) -> int | None:
        if self._path is None:
            return None
        with self._lock:
            try:
                if self._connection is None:
                    uri = f"{self._path.as_uri()}?mode=ro"
                    # the lock above lets one thread use it at a time
                    connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
                    connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
                    weakref.finalize(self, connection.close)
                    self._connection = connection
                found: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
            except sqlite3.Error:  # the query that is asked instead says what is wrong
                return None
        return found


def is_unusable(error: Exception) -> TypeGuard[SQLAlchemyError]:
    """Return whether an error means that the database can't be used now, and not that a statement of ours is wrong."""
    ours = (DataError, IntegrityError, ProgrammingError)
    return isinstance(error, (DBAPIError, NoConnection)) and not isinstance(error, ours)


def path_of(engine: Engine) -> Path | None:
    """Return the file of a SQLite database; ``None`` for one in memory or with a URI of its own, and for others."""
    path = engine.url.database
    if engine.dialect.name != "sqlite" or not path or path == ":memory:" or path.startswith("file:"):
        return None
    return Path(path).absolute()


def make_engine(url: str, schema: Schema) -> Engine:
    """Return the engine of a ``DATABASE_URL``. Raises :class:`BadSetting` where it can't be used."""
    try:
        parsed = make_url(url)
        if postgresql.is_postgresql(parsed):
            return postgresql.engine_of(parsed, schema.version_table)
        if parsed.get_backend_name() == "sqlite":
            engine = create_engine(parsed)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
    except (ArgumentError, ImportError) as problem:
        raise bad_url(str(problem)) from None
    raise bad_url("it is neither SQLite nor PostgreSQL")


def bad_url(problem: str) -> BadSetting:
    """Return the error of a ``DATABASE_URL`` that can't be used."""
    return BadSetting(
        f"DATABASE_URL can't be used: {problem}.",
        remedy="Examples: sqlite:///instance/screening.sqlite3, postgresql://user:password@host/database",
    )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # the driver's own BEGIN is a deferred one; _begin_sqlite says which
    connection.isolation_level = None
    for pragma in (f"busy_timeout={BUSY_SECONDS * 1000}", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    use_write_ahead_log(connection)


def use_write_ahead_log(connection: Any) -> None:
    """Use the write-ahead log. Of processes that open a new file at once only one can begin it, and SQLite doesn't wait
    by itself for this lock.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            # the busy timeout doesn't apply to this lock, so it is tried again here
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
