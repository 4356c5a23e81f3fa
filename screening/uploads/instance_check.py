"""An instance folder and its database belong together: both carry one id, and a start with another one stops.

Else the files of all screenings would be taken for left-overs of a database that knows none of them.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import Engine, Float, String, select, update
from sqlalchemy.orm import Mapped, mapped_column

from screening.errors import BadSetting, NotReady
from screening.infra.atomic_file import Locked, locked, replace_file
from screening.infra.audit.log import AuditLog
from screening.infra.database import Base, Database
from screening.infra.host_locks import INSTANCE, Hold, Lock, host_lock
from screening.settings import Settings
from screening.uploads.screenings import Screening

log = logging.getLogger("screening.server")
FILE = "instance_id"
HOLD_LOOK_SECONDS, HOLD_KEEP_SECONDS = 0.2, 2.0
"""Between two looks whether an instance is free, and whether it still is ours."""
RESTORING = "restoring"
"""A file that is there while a backup is restored."""
ID = re.compile(r"[0-9a-f]{32}")
SEVERAL = 500
"""Folders that are looked up at once."""


class Instance(Base):
    """The id of the instance whose database this is."""

    __tablename__ = "instances"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    seen: Mapped[float] = mapped_column(Float, default=0.0)
    """Time at which readiness was last asked, in seconds since 1970: a write that shows that there can be one."""


def claim(instance: Path, database: Database) -> None:
    """Let a folder and its database know each other, or see that they do.

    Raises:
        NotReady: they belong to others, or the folder has screenings of which the database knows none.
    """
    kept = _kept(instance)
    if kept is not None and kept == known_id(database):
        return
    with locked(instance / FILE):
        kept, known = _kept(instance), known_id(database)
        if kept is not None and known is not None:
            if kept != known:
                raise NotReady(
                    "The database is another instance's than the folder INSTANCE_PATH.",
                    where=f"instance {kept}, database of {known}",
                    remedy="Set DATABASE_URL and INSTANCE_PATH to two that belong together; nothing was changed.",
                )
            return
        refuse_strangers(instance, database)
        found = kept or known or secrets.token_hex(16)
        if known is None:
            with database.write() as session:
                session.add(Instance(id=found))
        if kept is None:
            (instance / FILE).touch(mode=0o600)
            replace_file(instance / FILE, found.encode("ascii"))


@contextmanager
def sole_server(
    settings: Settings, wait: float = 0.0, lost: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Hold the instance: a second server would take jobs that are in the first one's hands. Of several hosts each holds
    its own name, and all of them keep out whoever wants the instance alone.

    Args:
        settings: which instance, and whether other hosts work there.
        wait: seconds. A server that was told to stop, or was killed, lets go within a second or two.
        lost: called when somebody else has it, which is possible once the database was away.

    Raises:
        BadSetting: a server has it, or a backup is being restored into it.
        NotReady: the database can't be asked.
    """
    with ExitStack() as held:
        if not settings.several:
            try:
                held.enter_context(locked(settings.instance / "server", wait))
            except Locked:
                raise taken(settings) from None
        engine = Database(settings.database_url).engine
        if engine.dialect.name != "sqlite":
            held.enter_context(_held_in_database(settings, engine, wait, lost))
        yield


@contextmanager
def _held_in_database(
    settings: Settings, engine: Engine, wait: float, lost: Callable[[], object]
) -> Iterator[None]:
    locks = [Lock(INSTANCE, shared=settings.several)]
    if settings.several:
        locks.append(host_lock(settings.host_name))
    hold = Hold(engine, locks)
    deadline = time.monotonic() + wait
    try:
        while not hold.held():
            if time.monotonic() >= deadline:
                raise taken(settings)
            time.sleep(HOLD_LOOK_SECONDS)
    except OSError as problem:
        raise NotReady(
            f"The database can't be used: {problem}.",
            where=engine.url.render_as_string(hide_password=True),
            remedy="See that it runs, and that DATABASE_URL names it.",
        ) from problem
    left = threading.Event()

    def keep() -> None:
        while not left.wait(HOLD_KEEP_SECONDS):
            try:
                if not hold.held():
                    log.error("%s", taken(settings))
                    lost()
                    return
            except OSError:
                # it is told by all who want something of it; nobody else gets in meanwhile either
                continue

    thread = threading.Thread(target=keep, name="hold", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
        hold.close()
        engine.dispose()


def taken(settings: Settings) -> BadSetting:
    """Return the error of an instance, or of a host's name, that somebody else has."""
    if settings.several:
        return BadSetting(
            f"Another server has the name {settings.host_name}, or the whole instance to itself.",
            remedy="Give each host a HOST_NAME of its own and HOSTS=several, or stop the other one.",
        )
    return BadSetting(
        f"Another server works on the instance folder {settings.instance}.",
        remedy="Stop it, or set INSTANCE_PATH to another folder.",
    )


def require_restored(instance: Path) -> None:
    """Let pass unless a backup was being restored here and the command was killed.

    Raises:
        NotReady: it was: only some of it is here.
    """
    if (instance / RESTORING).exists():
        raise NotReady(
            "A backup was being restored into this instance, and the command didn't come to its end.",
            where=str(instance / RESTORING),
            remedy="Run it again: flask --app app restore FILE.",
        )


def is_new(instance: Path, database: Database) -> bool:
    """Return whether nobody has ever worked here: neither folder nor database has an id, and nothing was audited.

    Ask before :func:`claim`. An instance of an earlier version has no ids, and an audit log.
    """
    return _kept(instance) is None and known_id(database) is None and not AuditLog(instance).files()


def belong_together(instance: Path, database: Database) -> bool:
    """Return whether a folder and a database carry the same id."""
    kept = _kept(instance)
    return kept is not None and kept == known_id(database)


def touch(database: Database, seconds: float) -> bool:
    """Write when readiness was asked; ``False`` where the database lost its id."""
    with database.write() as session:
        return bool(session.execute(update(Instance).values(seen=seconds)).rowcount)  # type: ignore[attr-defined]


def folders(instance: Path) -> set[str]:
    """Return the ids of the screenings that have a folder."""
    return {path.name for path in (instance / "screenings").glob("*") if ID.fullmatch(path.name)}


def _kept(instance: Path) -> str | None:
    try:
        text = (instance / FILE).read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if ID.fullmatch(text) else None


def known_id(database: Database) -> str | None:
    """Return the id that the database carries, if it carries one."""
    with database.read() as session:
        return session.scalar(select(Instance.id).limit(1))


def refuse_strangers(instance: Path, database: Database) -> None:
    """Stop where a new or emptied database would take the folder's screenings for left-overs."""
    there = sorted(folders(instance))
    if not there:
        return
    with database.read() as session:
        for begin in range(0, len(there), SEVERAL):
            known = select(Screening.id).where(Screening.id.in_(there[begin : begin + SEVERAL])).limit(1)
            if session.scalar(known) is not None:
                return
    raise NotReady(
        f"The folder INSTANCE_PATH has files of {len(there):,} screenings, and the database knows none of them.",
        where=str(instance / "screenings"),
        remedy="Set DATABASE_URL to the database that belongs to them, or restore it from a backup; to begin again, "
        "move the folder screenings away. Nothing was changed.",
    )
