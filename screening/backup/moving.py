"""Move the tables of an instance from SQLite to PostgreSQL: all of them, or nothing.

SQLite is held still by its write locks, and only read. Everything goes over in one transaction of PostgreSQL's, is read
back in it, and compared row by row by hashes before it is committed: a command that is killed leaves a database with
empty tables, and can be run again.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import JSON, Boolean, Column, DateTime, MetaData, Table
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError

from screening.errors import Conflict, NotReady
from screening.infra.atomic_file import replace_file
from screening.infra.audit.log import AuditLog
from screening.infra.database import HEAD, Database
from screening.infra.postgresql import is_postgresql, turn_of
from screening.ledger.ledger import Ledger
from screening.ledger.tables import SCHEMA, open_tables
from screening.settings import Settings
from screening.uploads.instance_check import sole_server

MOVED = "database_moved"
"""A file in the folder of an instance whose tables are in PostgreSQL now."""
# Tables that the migrations themselves put a row into.
BEGUN = {"rules_clock", "ledger_name"}
VERSIONS = {"alembic_version": HEAD, SCHEMA.version_table: SCHEMA.head}
ROWS = 2_000
TELL_SECONDS = 5.0
BITS = 128
Say = Callable[[str], None]
Row = Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Tables that were moved: how many, with how many rows, and where to."""

    tables: int
    rows: int
    target: str
    """Address of the database, without its password."""


class TableSum:
    """Count of rows and the sum of their hashes, which doesn't depend on their order."""

    def __init__(self) -> None:
        self.rows = self.hashes = 0

    def add(self, row: Row) -> None:
        """Count a row; every value is of Python's own types."""
        digest = hashlib.blake2b(repr(row).encode(), digest_size=BITS // 8).digest()
        self.rows += 1
        self.hashes = (self.hashes + int.from_bytes(digest)) % (1 << BITS)

    def is_same(self, other: TableSum) -> bool:
        """Return whether both are of the same rows."""
        return (self.rows, self.hashes) == (other.rows, other.hashes)


def move(settings: Settings, database: Database, ledger: Ledger, url: str, *, say: Say) -> Moved:
    """Copy all tables into an empty PostgreSQL, and compare them.

    Args:
        settings: of the instance.
        database: of it, in SQLite.
        ledger: of it, in SQLite, too.
        url: of the database, as in ``DATABASE_URL``.
        say: is told how far it is.

    Raises:
        Conflict: the instance isn't in SQLite, ``url`` isn't PostgreSQL's, or the database isn't empty.
        BadSetting: a server works here, or ``url`` can't be used.
        NotReady: a row can't be kept, or isn't what it was; nothing is in the database.
    """
    if not database.is_sqlite:
        raise Conflict(
            "The tables of this instance are in PostgreSQL already.", remedy="Nothing was changed."
        )
    with sole_server(settings), ExitStack() as held:
        target = opened(url)
        held.callback(target.engine.dispose)
        # nobody writes while they are read: neither a command nor a stream
        sources = [held.enter_context(each.write()) for each in (database, ledger.tables)]
        files: list[Any] = [session.connection().connection.driver_connection for session in sources]
        there = {name: file for file in files for name in names_in(file)}
        require_empty(target, set(there))
        say("Making the tables")
        target.create_tables()
        open_tables(settings.instance, url).engine.dispose()
        work = [(table, there[table.name]) for table in tables_of(target, there)]
        shown = target.engine.url.render_as_string(hide_password=True)
        with noted(settings.instance, shown) as write_note, writing(target) as connection:
            sums = copy_all(connection, work, say)
            compare_all(connection, sums, say)
            set_sequences(connection, [table for table, _ in work])
            write_note()
        say("Collecting statistics")
        collect_statistics(target)
        return Moved(tables=len(work), rows=sum(each.rows for _, each in sums), target=shown)


def opened(url: str) -> Database:
    """Return the database that tables are moved into.

    Raises:
        Conflict: it isn't PostgreSQL.
        BadSetting: the address can't be used.
    """
    target = Database(url)
    if not is_postgresql(make_url(url)):
        raise Conflict(
            "Tables are moved to PostgreSQL, and this address is SQLite's.",
            remedy="Give one as postgresql://user:password@host/database.",
        )
    return target


def names_in(source: sqlite3.Connection) -> list[str]:
    """Return the names of the tables in a file, but for those that SQLite and the migrations keep for themselves."""
    found = source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return [name for (name,) in found if not name.startswith("sqlite_") and name not in VERSIONS]


def tables_of(target: Database, sources: Mapping[str, sqlite3.Connection]) -> list[Table]:
    """Return the tables as PostgreSQL has them, those first which others refer to.

    Args:
        target: in which the migrations have made them.
        sources: the file that has each of them, by its name.

    Raises:
        NotReady: one would stay behind, or lose a column.
    """
    made = MetaData()
    made.reflect(target.engine)
    found = [table for table in made.sorted_tables if table.name not in VERSIONS]
    columns = {table.name: {column.name for column in table.columns} for table in found}
    for name, file in sources.items():
        given = {row[1] for row in file.execute(f'PRAGMA table_info("{name}")')}
        if given != columns.get(name):
            raise NotReady(
                f"The table {name} has other columns in SQLite than this version makes in PostgreSQL.",
                remedy="Tell those who maintain this; nothing was moved.",
            )
    if len(found) != len(sources):
        raise NotReady("PostgreSQL has more tables than SQLite.", remedy="Tell those who maintain this.")
    return found


def require_empty(target: Database, ours: set[str]) -> None:
    """Let pass a database without tables, or with ours as the migrations make them.

    Raises:
        Conflict: something is in it.
        NotReady: it can't be asked.
    """
    with connected(target) as connection:
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = ANY (current_schemas(false))"
        ).fetchall()
        there = {name for (name,) in rows}
        found = sorted(there - ours - set(VERSIONS))
        for name in sorted(there & (ours - BEGUN)):
            if connection.execute(
                sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(name))
            ).fetchone():
                found.append(name)
    if found:
        more = f", and {len(found) - 5} more" if len(found) > 5 else ""
        raise Conflict(
            f"The database isn't empty: it has {', '.join(found[:5])}{more}.",
            where=target.engine.url.render_as_string(hide_password=True),
            remedy="Give one that nobody uses (CREATE DATABASE). Nothing was changed.",
        )


@contextmanager
def connected(target: Database) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection of the driver's; what isn't committed is rolled back.

    Raises:
        NotReady: the database can't be reached, or refuses something.
    """
    try:
        with closing(target.engine.raw_connection()) as lent:
            driver: Any = lent.driver_connection
            yield driver
    except (psycopg.Error, DatabaseError, OSError) as problem:
        raise NotReady(
            f"PostgreSQL refuses: {first_line(problem)}.",
            where=target.engine.url.render_as_string(hide_password=True),
            remedy="See that it runs, and that the user of the address may make tables in it. Nothing is in it that "
            "wasn't; run the same command again.",
        ) from problem


@contextmanager
def writing(target: Database) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection in a transaction that has both turns to write, and commit it at the end."""
    with connected(target) as connection:
        for table in VERSIONS:
            for statement in turn_of(table):
                connection.execute(statement.encode())
        yield connection
        connection.commit()


def copy_all(
    connection: psycopg.Connection[Any], work: Sequence[tuple[Table, sqlite3.Connection]], say: Say
) -> list[tuple[Table, TableSum]]:
    """Copy tables, and return what each had.

    Raises:
        NotReady: PostgreSQL can't keep a row.
    """
    for table, _ in work:
        if table.name in BEGUN:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name)))
    found = []
    for table, source in work:
        progress = Progress(f"Copying {table.name}", say)
        total = TableSum()
        try:
            with (
                connection.cursor() as cursor,
                cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(*names(table))) as copy,
            ):
                for row in rows_of_sqlite(source, table):
                    total.add(row)
                    copy.write_row(row)
                    progress(total.rows)
        except (psycopg.DataError, psycopg.IntegrityError) as problem:
            raise NotReady(
                f"PostgreSQL can't keep a row of {table.name}: {first_line(problem)}.",
                where=f"table {table.name}, among its first {total.rows:,} rows",
                remedy="Put the row right in SQLite, or tell those who maintain this. Nothing was moved.",
            ) from problem
        found.append((table, total))
    return found


def compare_all(
    connection: psycopg.Connection[Any], sums: Sequence[tuple[Table, TableSum]], say: Say
) -> None:
    """Read all tables back, and compare them with what was copied.

    Raises:
        NotReady: one has other rows.
    """
    for table, given in sums:
        progress = Progress(f"Comparing {table.name}", say)
        kept = TableSum()
        for row in rows_of_postgresql(connection, table):
            kept.add(row)
            progress(kept.rows)
        if not kept.is_same(given):
            raise NotReady(
                f"The table {table.name} isn't in PostgreSQL what it was: {given.rows:,} rows were copied, "
                f"{kept.rows:,} are there"
                + ("." if kept.rows != given.rows else ", and some of them have other values."),
                remedy="Tell those who maintain this. Nothing was moved.",
            )


def names(table: Table) -> tuple[sql.Identifier, sql.Composed]:
    """Return the name of a table and those of its columns."""
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    return sql.Identifier(table.name), columns


def rows_of_sqlite(source: sqlite3.Connection, table: Table) -> Iterator[Row]:
    """Yield the rows of a table with values as PostgreSQL has them: times with their zone, truth values."""
    readers = [reader_of(column) for column in table.columns]
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    cursor = source.execute(f'SELECT {columns} FROM "{table.name}"')  # noqa: S608 -- names of the app's own
    try:
        while rows := cursor.fetchmany(ROWS):
            if not any(readers):
                yield from rows
                continue
            for row in rows:
                yield tuple(
                    value if value is None or read is None else read(value)
                    for read, value in zip(readers, row, strict=True)
                )
    finally:
        cursor.close()


def rows_of_postgresql(connection: psycopg.Connection[Any], table: Table) -> Iterator[Row]:
    """Yield the rows of a table with the values that :func:`rows_of_sqlite` gives."""
    wanted = [
        sql.SQL("{}::text" if type_of(column) is JSON else "{}").format(sql.Identifier(column.name))
        for column in table.columns
    ]
    with connection.cursor(name="compare") as cursor:
        cursor.itersize = ROWS
        cursor.execute(sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(wanted), names(table)[0]))
        for row in cursor:
            yield tuple(plain(value) for value in row)


def type_of(column: Column[Any]) -> type:
    """Return which of three types a column has, ``object`` for any other."""
    for each in (JSON, Boolean, DateTime):
        if isinstance(column.type, each):
            return each
    return object


def reader_of(column: Column[Any]) -> Callable[[Any], Any] | None:
    """Return what makes PostgreSQL's value of SQLite's, ``None`` where they are the same."""
    readers: dict[type, Callable[[Any], Any]] = {Boolean: bool, DateTime: moment_of}
    return readers.get(type_of(column))


def moment_of(text: str) -> datetime:
    """Return a time that SQLite keeps without a zone, which is UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def plain(value: Any) -> Any:
    """Return a value of PostgreSQL's as one of Python's own."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return bytes(value) if isinstance(value, memoryview) else value


def set_sequences(connection: psycopg.Connection[Any], tables: Iterable[Table]) -> None:
    """Have numbers that PostgreSQL gives go on after the highest that is there."""
    for table in tables:
        column = table.autoincrement_column
        if column is None:
            continue
        (sequence,) = connection.execute(
            "SELECT pg_get_serial_sequence(quote_ident(%s), %s)", (table.name, column.name)
        ).fetchone() or (None,)
        if sequence is not None:
            highest = sql.SQL("SELECT setval(%s, max({}), true) FROM {} HAVING max({}) >= 1").format(
                sql.Identifier(column.name), sql.Identifier(table.name), sql.Identifier(column.name)
            )
            connection.execute(highest, (sequence,))


def collect_statistics(target: Database) -> None:
    """Have PostgreSQL look at what was copied, or it plans its first questions as for empty tables."""
    with connected(target) as connection:
        connection.execute("ANALYZE")
        connection.commit()


@contextmanager
def noted(instance: Path, target: str) -> Iterator[Callable[[], None]]:
    """Give what notes in the folder that the tables are elsewhere; the note goes again if they aren't.

    A start with the old tables would go on from there. So it is written before they are committed elsewhere.
    """
    file = instance / MOVED

    def write() -> None:
        file.touch(mode=0o600)
        replace_file(file, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {target}\n".encode())

    try:
        yield write
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def require_not_moved(settings: Settings) -> None:
    """Let pass unless the tables were moved, and ``DATABASE_URL`` names the old ones.

    Raises:
        NotReady: it does.
    """
    file = settings.instance / MOVED
    if file.exists() and make_url(settings.database_url).get_backend_name() == "sqlite":
        raise NotReady(
            f"The tables of this instance were moved to PostgreSQL: {file.read_text('utf-8').strip()}.",
            where=str(file),
            remedy="Set DATABASE_URL to it; if its tables are empty, run move-database again. To go back to SQLite as "
            "it was then, remove this file.",
        )


def record(instance: Path, moved: Moved, *, by: str) -> None:
    """Note the move in the audit log.

    Args:
        instance: the folder of the instance.
        moved: what was moved.
        by: who did it.
    """
    AuditLog(instance).record(
        "database_moved", user=by, tables=moved.tables, rows=moved.rows, target=moved.target
    )


class Progress:
    """Says now and then how many rows are done.

    Args:
        what: is being done.
        say: is given each line.
    """

    def __init__(self, what: str, say: Say) -> None:
        self._what, self._say = what, say
        self._told = time.monotonic()

    def __call__(self, rows: int) -> None:
        """Say it, if some seconds have gone by."""
        if rows % ROWS == 0 and time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            self._say(f"{self._what}: {rows:,} rows")


def first_line(problem: BaseException) -> str:
    """Return what a database said, without the values of rows, which may be anybody's."""
    said = str(problem).strip().splitlines()
    return re.sub(r"[.:]*$", "", said[0]) if said else type(problem).__name__
