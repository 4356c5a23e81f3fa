"""The databases of an instance, held still for a moment, and what they name of its files.

With SQLite a transaction that reads is begun in both while nobody writes the app's tables, so that both are of one
moment; each is then copied inside of its transaction, beside whoever writes. With PostgreSQL one snapshot is read from,
and by ``pg_dump``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from screening.backup import postgres_tools
from screening.backup.archive import require_space
from screening.errors import NotReady
from screening.infra.database import Database
from screening.infra.job_queue import DONE, RECEIVING
from screening.ledger.ledger import Ledger
from screening.ledger.tables import Segment
from screening.reports.documents import Document
from screening.training.trainings import Training
from screening.uploads.instance_check import Instance
from screening.uploads.screenings import Screening

APP_FILE, LEDGER_FILE, DUMP = "screening.sqlite3", "ledger.sqlite3", "postgresql.dump"
PAGES = 4096
"""Copied at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """State of the databases at a moment, for as long as :func:`moment` holds it."""

    at: datetime
    instance: str
    segments: dict[str, str]
    """SHA-256 of each file of the ledger, by its name without the ending."""
    screenings: set[str]
    """Ids of those whose files were whole."""
    documents: dict[str, tuple[int, str]]
    """Size in bytes and SHA-256 of each document that is made, by its id."""
    arriving: set[str]
    """Ids of uploads that weren't."""
    save: Callable[[Path], None]
    """Writes the databases into a folder."""


@contextmanager
def moment(database: Database, ledger: Ledger) -> Iterator[Moment]:
    """Hold the databases as they are now.

    Raises:
        NotReady: the database has no id yet: no server ever started.
    """
    with ExitStack() as stack:
        if database.is_sqlite:
            # both: a ledger is in PostgreSQL where the app's tables are
            with database.write():
                app, kept = (stack.enter_context(each.read()) for each in (database, ledger.tables))
                for each in (app, kept):
                    # from its first look on a transaction sees the same
                    each.execute(text("SELECT count(*) FROM sqlite_master"))
            sources = [(app, APP_FILE), (kept, LEDGER_FILE)]
            yield read_moment(app, kept, lambda folder: copy_sqlite(sources, folder))
            return
        session = stack.enter_context(database.read())
        snapshot = str(session.scalar(text("SELECT pg_export_snapshot()")))
        url = database.engine.url
        size = int(session.scalar(text("SELECT pg_database_size(current_database())")) or 0)

        def dump(folder: Path) -> None:
            require_space(folder, size)
            postgres_tools.dump(url, folder / DUMP, snapshot)

        yield read_moment(session, session, dump)


def read_moment(app: Session, kept: Session, save: Callable[[Path], None]) -> Moment:
    """Return what two sessions see; ``save`` writes it into a folder.

    Raises:
        NotReady: the database has no id yet.
    """
    instance = app.scalar(select(Instance.id).limit(1))
    if instance is None:
        raise NotReady("There is nothing to save yet.", remedy="Start the server once.")
    states = app.execute(select(Screening.id, Screening.state)).all()
    trainings = app.scalars(select(Training.id).where(Training.state == RECEIVING)).all()
    return Moment(
        at=datetime.now(UTC),
        instance=instance,
        segments={row.name: row.sha256 for row in kept.execute(select(Segment.name, Segment.sha256))},
        screenings={one for one, state in states if state != RECEIVING},
        documents={
            row.id: (row.size or 0, row.sha256 or "")
            for row in app.execute(
                select(Document.id, Document.size, Document.sha256).where(Document.state == DONE)
            )
        },
        arriving={one for one, state in states if state == RECEIVING} | set(trainings),
        save=save,
    )


def copy_sqlite(sources: list[tuple[Session, str]], folder: Path) -> None:
    """Copy databases into new files of a folder, as open sessions see them.

    Raises:
        StorageFull: there is no room for all.
    """
    raw: list[tuple[Any, Path]] = [
        (session.connection().connection.driver_connection, folder / name) for session, name in sources
    ]
    require_space(folder, sum(_size(source) for source, _ in raw))
    for source, path in raw:
        target = sqlite3.connect(path, isolation_level=None)
        try:
            # it isn't anybody's yet: a copy that is cut off is thrown away
            target.execute("PRAGMA synchronous=OFF")
            source.backup(target, pages=PAGES)
        finally:
            target.close()


def _size(source: Any) -> int:
    pages, size = (source.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * size)
