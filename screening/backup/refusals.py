"""Refuse what can't be restored here, before anything is touched."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sqlalchemy import func, select, text

from screening.accounts.user_store import UserStore
from screening.backup.archive import DATABASES, INSTANCE, USERS, BackupFacts, BadBackup, damaged
from screening.backup.moment import APP_FILE, DUMP, LEDGER_FILE
from screening.backup.staging import LEDGER, TOGETHER
from screening.errors import Conflict, NotReady
from screening.infra.database import HEAD, Database
from screening.ledger.ledger import Ledger
from screening.ledger.tables import SCHEMA, Segment, TailRow
from screening.settings import Settings
from screening.uploads.instance_check import FILE as ID_FILE
from screening.uploads.screenings import Screening

FOLDERS = (*TOGETHER, "context", LEDGER)
"""Where the files of an instance are that somebody has worked with."""
KINDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def require_fitting(about: BackupFacts, database: Database) -> None:
    """Let pass a backup of the same kind of database, of these tables or older ones.

    Raises:
        BadBackup: it is another's or a newer version's.
    """
    for theirs, ours in ((about.app_tables, HEAD), (about.ledger_tables, SCHEMA.head)):
        if theirs > ours:
            raise BadBackup(
                f"A newer version made this backup ({about.app}): its tables are {theirs}, and this one's {ours}.",
                remedy="Restore it with that version or a newer one. Nothing was changed.",
            )
    here = "sqlite" if database.is_sqlite else "postgresql"
    if about.database != here:
        raise BadBackup(
            f"This backup is of an instance with {KINDS.get(about.database, about.database)}, and DATABASE_URL names "
            f"{KINDS[here]}.",
            remedy="Set DATABASE_URL to a new database of the same kind; from SQLite to PostgreSQL it is moved once it "
            "is restored (flask --app app move-database). Nothing was changed.",
        )


def read_secret(about: BackupFacts, secret: Path | None) -> bytes | None:
    """Return the secret that a backup was made without; ``None`` where it has it.

    Raises:
        BadBackup: it isn't given, isn't wanted, or is another's.
        NotReady: it can't be read.
    """
    if about.secret_sha256 is None and secret is None:
        return None
    if about.secret_sha256 is None:
        raise BadBackup("This backup has the secret of its instance in it.", remedy="Leave --secret out.")
    if secret is None:
        raise BadBackup(
            "This backup was made without the secret of its instance.",
            remedy="Give the file that --secret-to had written, with --secret FILE. Nothing was changed.",
        )
    try:
        data = secret.read_bytes()
    except OSError as problem:
        raise NotReady(f"The secret can't be read: {problem.strerror}.", where=str(secret)) from None
    if hashlib.sha256(data.strip()).hexdigest() != about.secret_sha256:
        raise BadBackup(
            f"{secret.name} is the secret of another instance, or damaged.",
            remedy="Give the file that was written with this backup. Nothing was changed.",
        )
    return data


def require_unused(settings: Settings, database: Database, ledger: Ledger) -> None:
    """Let pass an instance with which nobody has worked.

    Raises:
        Conflict: somebody has; the message says what is there.
    """
    found = []
    try:
        accounts = len(UserStore(settings.users_file).accounts())
    except NotReady:
        accounts = 0
    with database.read() as session, ledger.tables.read() as kept:
        screenings = session.scalar(select(func.count()).select_from(Screening)) or 0
        decisions = kept.scalar(select(func.sum(Segment.rows))) or 0
        decisions += kept.scalar(select(func.sum(TailRow.rows))) or 0
        for count, words in ((accounts, "accounts"), (screenings, "screenings"), (decisions, "decisions")):
            if count:
                found.append(f"{words}: {count:,}")
        found += [
            name
            for name in ("trainings", "documents", "rules")
            if session.scalar(text(f"SELECT count(*) FROM {name}"))  # noqa: S608 -- names of the app's own
        ]
    for name in FOLDERS:
        folder = settings.instance / name
        if folder.is_dir() and any(folder.iterdir()):
            found.append(f"files in {name}/")
    if found:
        raise Conflict(
            f"There is an instance here already ({'; '.join(found)}).",
            where=str(settings.instance),
            remedy="Set INSTANCE_PATH, USERS_FILE and DATABASE_URL to new ones, or move what is there away. Nothing "
            "was changed.",
        )


def require_complete(folder: Path, about: BackupFacts) -> None:
    """Let pass what has databases, accounts and the id of the instance.

    Raises:
        BadBackup: one of them is missing.
    """
    databases = (APP_FILE, LEDGER_FILE) if about.database == "sqlite" else (DUMP,)
    needed = [f"{DATABASES}/{name}" for name in databases] + [f"{INSTANCE}/{ID_FILE}", USERS]
    for name in needed:
        if not (folder / name).is_file():
            raise damaged(f"{name} is missing")
    if (folder / INSTANCE / ID_FILE).read_text(encoding="ascii").strip() != about.instance:
        raise damaged("its files are another instance's than its databases")
