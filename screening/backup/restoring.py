"""Make an instance of a backup, where there is none yet.

Everything is unpacked beside the instance and compared with the backup's own contents first. Then it is put into its
place, the databases before the files that they name: a command that is killed in between leaves a note, with which no
server starts, and which lets the command be run again.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import func, inspect, select, text
from sqlalchemy.exc import DatabaseError

from screening.accounts.user_store import UserStore
from screening.backup import postgres_tools
from screening.backup.archive import DATABASES, INSTANCE, USERS, BackupFacts, require_space
from screening.backup.archive_reader import ArchiveReader
from screening.backup.making import SECRET, BackupProgress, Say
from screening.backup.moment import APP_FILE, DUMP, LEDGER_FILE, PAGES
from screening.backup.refusals import FOLDERS, read_secret, require_complete, require_fitting, require_unused
from screening.backup.staging import LOG
from screening.errors import NotReady
from screening.infra.atomic_file import locked, replace_file
from screening.infra.audit.chain import HEAD as LOG_HEAD
from screening.infra.audit.log import KEY_PURPOSE, AuditLog
from screening.infra.audit.verification import verify as verify_log
from screening.infra.database import Database
from screening.infra.instance_secret import InstanceSecret
from screening.ledger.ledger import Ledger
from screening.ledger.tables import TailRow, open_tables
from screening.settings import Settings
from screening.uploads.instance_check import FILE as ID_FILE
from screening.uploads.instance_check import RESTORING, sole_server
from screening.uploads.screenings import Screening

PREFIX = "restore-"
ASIDE = "before-restore-"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredInstance:
    """Instance that was made of a backup: what is in it, and what is wrong with it."""

    about: BackupFacts
    accounts: int
    screenings: int
    decisions: int
    segments: int
    entries: int
    """Of the audit log."""
    faults: tuple[str, ...]


def restore(
    settings: Settings, database: Database, ledger: Ledger, file: Path, *, secret: Path | None, say: Say
) -> RestoredInstance:
    """Make the instance of a backup, and verify it.

    Args:
        settings: which instance.
        database: of it; its tables are replaced.
        ledger: of it, too.
        file: the backup.
        secret: where ``instance_secret`` is, if the backup was made without.
        say: is told how far it is.

    Raises:
        BadBackup: it is damaged, a newer version's, or of another kind of database. Nothing was changed.
        Conflict: somebody has worked with the instance. Nothing was changed.
        BadSetting: a server works there. Nothing was changed.
        StorageFull, NotReady: it can't be put there; where something was changed no server starts.
    """
    reader = ArchiveReader(file)
    require_fitting(reader.about, database)
    given = read_secret(reader.about, secret)
    with sole_server(settings), ExitStack() as held:
        again = (settings.instance / RESTORING).exists()
        if not again:
            require_unused(settings, database, ledger)
        if not database.is_sqlite:
            postgres_tools.require("pg_restore")
        folder = held.enter_context(unpacked(reader, settings.instance, say))
        require_complete(folder, reader.about)
        if given is not None:
            (folder / INSTANCE / SECRET).touch(mode=0o600)
            (folder / INSTANCE / SECRET).write_bytes(given)
        if database.is_sqlite:
            # each is written to its log, and from there into its file
            there = sum(path.stat().st_size for path in (folder / DATABASES).iterdir())
            require_space(settings.instance, 2 * there)
        say("Putting databases and files into their place")
        (settings.instance / RESTORING).write_text(json.dumps(asdict(reader.about)), encoding="utf-8")
        with half_done(settings.instance):
            put_in_place(settings, database, ledger, folder, again=again)
        (settings.instance / RESTORING).unlink()
        say("Verifying ledger and audit log")
        return verify_instance(settings, database, ledger, reader.about)


@contextmanager
def half_done(instance: Path) -> Iterator[None]:
    """Say of what goes wrong that the command must be run again.

    Raises:
        NotReady: it went wrong.
    """
    try:
        yield
    except (OSError, sqlite3.Error, DatabaseError) as problem:
        raise NotReady(
            f"The backup couldn't be put into its place: {getattr(problem, 'strerror', None) or problem}.",
            where=str(instance),
            remedy="Put that right, and run the same command again; until then no server starts here.",
        ) from problem


def put_in_place(
    settings: Settings, database: Database, ledger: Ledger, folder: Path, *, again: bool
) -> None:
    """Fill the databases and move the files of an unpacked backup, in an order in which it can be run again.

    Args:
        settings: which instance.
        database: of it.
        ledger: of it, too.
        folder: with the unpacked files.
        again: whether a command before was killed here.

    Raises:
        OSError, sqlite3.Error, DatabaseError, NotReady: it can't be done to the end.
    """
    make_way(settings.instance, again=again)
    if database.is_sqlite:
        for each, name in ((database, APP_FILE), (ledger.tables, LEDGER_FILE)):
            fill_sqlite(each, folder / DATABASES / name)
    else:
        drop_tables(database)
        postgres_tools.restore(database.engine.url, folder / DATABASES / DUMP)
    move_into(folder / INSTANCE / ID_FILE, settings.instance / ID_FILE)
    move_into(folder / INSTANCE, settings.instance)
    replace_users(folder / USERS, settings.users_file)
    for each in (database, ledger.tables):
        each.engine.dispose()
        each.create_tables()
    if hasattr(os, "sync"):
        os.sync()


def record(instance: Path, found: RestoredInstance, *, by: str) -> None:
    """Note in the audit log, as its next entry, that the instance comes of a backup.

    Args:
        instance: the folder of the instance.
        found: what was restored.
        by: who did it.
    """
    AuditLog(instance).record(
        "backup_restored", user=by, moment=found.about.made, screenings=found.screenings,
        decisions=found.decisions, faults=len(found.faults),
    )  # fmt: skip


@contextmanager
def unpacked(reader: ArchiveReader, instance: Path, say: Say) -> Iterator[Path]:
    """Give a folder with all that is in a backup, each file as it was written."""
    for left in instance.glob(f"{PREFIX}*"):
        shutil.rmtree(left)
    require_space(instance, reader.about.size)
    folder = instance / f"{PREFIX}{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    try:
        reader.extract(folder, BackupProgress("Reading", reader.about.size, say))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_way(instance: Path, *, again: bool) -> None:
    """Have nothing there that would be mixed with the backup's; an audit log that was begun stays beside."""
    (instance / ID_FILE).unlink(missing_ok=True)
    if again:
        for name in FOLDERS:
            for path in (instance / name).glob("*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    log = AuditLog(instance)
    files = log.files()
    if files:
        aside = instance / LOG / f"{ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S}"
        aside.mkdir(mode=0o700)
        with log.chain.locked():
            for path in [*files, instance / LOG / LOG_HEAD]:
                if path.exists():
                    path.rename(aside / path.name)


def fill_sqlite(database: Database, unpacked: Path) -> None:
    """Replace what is in a database of SQLite, in one transaction, whoever has it open."""
    database.engine.dispose()
    path = str(database.engine.url.database)
    with closing(sqlite3.connect(unpacked)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target, pages=PAGES)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def drop_tables(database: Database) -> None:
    """Remove the tables that the start of a new instance has made in PostgreSQL."""
    known = made_by_migrations()
    with database.engine.begin() as connection:
        quoted = connection.dialect.identifier_preparer.quote
        for name in sorted(known.intersection(inspect(connection).get_table_names())):
            connection.execute(text(f"DROP TABLE {quoted(name)} CASCADE"))


def made_by_migrations() -> set[str]:
    """Return the names of all tables, of which the classes that were imported so far may not tell."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/screening.sqlite3"
        app = Database(url)
        app.create_tables()
        found: set[str] = set()
        for each in (app, open_tables(Path(folder), url)):
            found |= set(inspect(each.engine).get_table_names())
            each.engine.dispose()
    return found


def move_into(source: Path, target: Path) -> None:
    """Move a file or folder to where it belongs; into a folder that is there already."""
    if not source.exists():
        return
    if source.is_dir() and target.is_dir():
        for each in sorted(source.iterdir()):
            move_into(each, target / each.name)
        return
    try:
        source.replace(target)
    except OSError as problem:
        if problem.errno != errno.EXDEV:
            raise
        shutil.move(source, target)


def replace_users(source: Path, target: Path) -> None:
    """Put the accounts of a backup into their file, whoever reads it meanwhile."""
    with locked(target):
        target.touch(mode=0o600)
        replace_file(target, source.read_bytes())


def verify_instance(
    settings: Settings, database: Database, ledger: Ledger, about: BackupFacts
) -> RestoredInstance:
    """Compare every segment with the manifest, verify the audit log, and count what is there.

    Raises:
        NotReady: a database is damaged.
    """
    faults = [f"{name} was missing when the backup was made" for name in about.lacking]
    for each in (database, ledger.tables):
        each.check()
    faults += [f"ledger: {fault.name} {fault.problem}" for fault in ledger.segments.verify()]
    log = AuditLog(settings.instance)
    key = InstanceSecret(settings.instance).derive(KEY_PURPOSE)
    with log.chain.locked():
        found = verify_log(log.files(), key, [("beside the log", log.chain.head_as_written())])
    if found.fault is not None:
        faults.append(f"audit log: {found.fault}")
    kept = ledger.segments.all()
    with database.read() as session, ledger.tables.read() as tables:
        screenings = session.scalar(select(func.count()).select_from(Screening)) or 0
        tail = tables.scalar(select(func.sum(TailRow.rows))) or 0
    return RestoredInstance(
        about=about,
        accounts=len(UserStore(settings.users_file).accounts()),
        screenings=screenings,
        decisions=sum(each.rows for each in kept) + tail,
        segments=len(kept),
        entries=found.entries,
        faults=tuple(faults),
    )
