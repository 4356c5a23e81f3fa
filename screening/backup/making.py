"""Make a backup of an instance while its server runs."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from screening.backup.archive import PACKED, USERS, BackupFacts, require_space
from screening.backup.archive_writer import written
from screening.backup.moment import Moment, moment
from screening.backup.staging import LEDGER, PREFIX, Staging
from screening.errors import Conflict, NotReady
from screening.infra.atomic_file import FULL, Locked, locked
from screening.infra.audit.log import AuditLog
from screening.infra.database import HEAD, Database
from screening.infra.disk_space import full
from screening.ledger.ledger import Ledger
from screening.ledger.tables import SCHEMA
from screening.settings import ROOT, Settings

log = logging.getLogger("screening.backup")
ATTEMPTS = 5
# A packed backup is smaller by a share that nobody knows before: less than this fits nowhere.
LEAST_PACKED = 8
SECRET = "instance_secret"  # noqa: S105 -- a file's name
TELL_SECONDS = 5.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBackup:
    """Backup that was made: what it is, its size in bytes and its SHA-256, and which files are damaged in it."""

    about: BackupFacts
    size: int
    sha256: str
    damaged: tuple[str, ...]


class BackupProgress:
    """Says now and then how far something is.

    Args:
        what: is being done.
        total: bytes.
        say: is given each line.
    """

    def __init__(self, what: str, total: int, say: Say) -> None:
        self._what, self._total, self._say = what, max(total, 1), say
        self._done = 0
        self._told = time.monotonic()

    def __call__(self, count: int) -> None:
        """Count some bytes more."""
        self._done += count
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            share = 100 * self._done / self._total
            self._say(f"{self._what}: {share:.0f} % of {self._total / 1e6:,.0f} MB")


def make(
    settings: Settings, database: Database, ledger: Ledger, target: Path, *, secret: Path | None, say: Say
) -> MadeBackup:
    """Write a backup; the server may run, and goes on.

    Args:
        settings: which instance.
        database: of it.
        ledger: of it.
        target: the file, which isn't there yet.
        secret: where ``instance_secret`` goes instead of into the backup; it isn't there yet.
        say: is told how far it is.

    Raises:
        Conflict: a file is there already, or would be in the instance; or another backup is being made.
        NotReady, StorageFull: it can't be made; nothing is left of it.
    """
    for path in (target, *([secret] if secret else [])):
        require_free(path, settings.instance)
    with scratch_folder(settings.instance) as folder, ExitStack() as held:
        file = database.engine.url.database if database.is_sqlite else None
        own = [settings.instance / f"{LEDGER}.sqlite3", *([Path(file).absolute()] if file else [])]
        staging = Staging(settings.instance, folder, own)
        say("Taking files and databases")
        state, lacking = hold_whole(held, staging, database, ledger)
        state.save(staging.databases)
        held.close()
        staging.finish(state.segments, state.arriving)
        take_users(settings.users_file, folder / USERS)
        apart = take_secret(staging, secret)
        about = describe(state, staging, database, lacking, apart)
        try:
            return write_archive(target, staging, about, state, say)
        except BaseException:
            if secret is not None:
                secret.unlink(missing_ok=True)
            raise


def hold_whole(
    stack: ExitStack, staging: Staging, database: Database, ledger: Ledger
) -> tuple[Moment, list[str]]:
    """Return a moment of the databases, kept in ``stack``, of which all files are kept; and those that aren't there.

    A file may be made after a look at the disk, and be gone before the next: then all is done once more.
    """
    staging.take()
    before: list[str] | None = None
    for _ in range(ATTEMPTS):
        attempt = ExitStack()
        with attempt:
            state = attempt.enter_context(moment(database, ledger))
            staging.take()
            staging.fetch_segments(ledger.storage, state.segments)
            lacking = staging.fetch_screenings(ledger.storage, state.screenings)
            lacking += staging.fetch_documents(ledger.storage, state.documents)
            lacking += [
                f"{LEDGER}/{name}.parquet" for name in state.segments if not staging.has_segment(name)
            ]
            lacking += [f"screenings/{one}" for one in state.screenings if not staging.has_screening(one)]
            lacking.sort()
            if not lacking or lacking == before:
                stack.push(attempt.pop_all())
                return state, lacking
            before = lacking
    raise NotReady(
        "Files of the instance go faster than they can be taken.", remedy="Try again when less is going on."
    )


def take_users(file: Path, kept: Path) -> None:
    """Copy the file of accounts.

    Raises:
        NotReady: it can't be read.
    """
    try:
        shutil.copyfile(file, kept)
    except OSError as problem:
        raise NotReady(
            f"{file.name} can't be read: {problem.strerror}.",
            where=str(file),
            remedy="See that USERS_FILE names it; a backup without accounts would be none.",
        ) from None


def take_secret(staging: Staging, target: Path | None) -> str | None:
    """Put the secret of the instance where it is to be kept apart, and return its SHA-256."""
    if target is None:
        return None
    kept = staging.files / SECRET
    if not kept.exists():
        raise NotReady("This instance has no secret yet.", remedy="Leave --secret-to out.")
    data = kept.read_bytes()
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    kept.unlink()
    return hashlib.sha256(data.strip()).hexdigest()


def describe(
    state: Moment, staging: Staging, database: Database, lacking: list[str], apart: str | None
) -> BackupFacts:
    """Return the facts about a backup: ``apart`` is the SHA-256 of a secret that was left out."""
    sizes = [size for _, _, size in staging.all()]
    return BackupFacts(
        made=state.at.isoformat(timespec="seconds"),
        app=app_version(),
        database="sqlite" if database.is_sqlite else "postgresql",
        app_tables=HEAD,
        ledger_tables=SCHEMA.head,
        instance=state.instance,
        files=len(sizes),
        size=sum(sizes),
        lacking=lacking,
        secret_sha256=apart,
    )


def write_archive(target: Path, staging: Staging, about: BackupFacts, state: Moment, say: Say) -> MadeBackup:
    """Write all that is staged, and name the segments that aren't what the manifest says.

    Raises:
        StorageFull, NotReady: it can't be written; nothing is left of it.
    """
    packed = target.name.endswith(PACKED)
    require_space(target.parent, about.size // LEAST_PACKED if packed else about.size)
    damaged = []
    progress = BackupProgress("Writing", about.size, say)
    with written(target, about, staging.folder, progress) as writer:
        for name, path, size in staging.all():
            digest = writer.add(name, path, size)
            if path.parent.name == LEDGER and digest != state.segments.get(path.stem, digest):
                damaged.append(name)
    return MadeBackup(about=about, size=writer.size, sha256=writer.sha256, damaged=tuple(damaged))


def require_free(path: Path, instance: Path) -> None:
    """Let pass a name outside of the instance that no file has.

    Raises:
        Conflict: a file is there, it would be in the instance, or its folder isn't there.
    """
    if path.exists():
        raise Conflict(
            f"{path} is there already.", remedy="Give another name: a backup never replaces a file."
        )
    if path.resolve().is_relative_to(instance.resolve()):
        raise Conflict(
            f"{path} is in the instance itself.", remedy="Name a file elsewhere, best on another disk."
        )
    if not path.parent.is_dir():
        raise Conflict(f"The folder {path.parent} isn't there.", remedy="Make it first.")


@contextmanager
def scratch_folder(instance: Path) -> Iterator[Path]:
    """Give a new folder in the instance; what a backup left there that was killed goes before.

    Raises:
        Conflict: another backup is being made.
        StorageFull, NotReady: what is done in it can't write or read.
    """
    with ExitStack() as held:
        try:
            held.enter_context(locked(instance / "backup", wait=0))
        except Locked:
            raise Conflict(
                "Another backup of this instance is being made.", remedy="Wait until it has ended."
            ) from None
        for left in instance.glob(f"{PREFIX}*"):
            shutil.rmtree(left)
            log.warning("%s, which a backup had left that was killed, was removed", left.name)
        folder = instance / f"{PREFIX}{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        try:
            yield folder
        except OSError as problem:
            if problem.errno in FULL:
                raise full() from problem
            raise NotReady(
                f"The instance can't be saved: {problem.strerror}.",
                where=problem.filename if isinstance(problem.filename, str) else str(instance),
                remedy="Run it as the server's user.",
            ) from problem
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def record(instance: Path, made: MadeBackup, *, by: str) -> None:
    """Note a backup in the audit log.

    Args:
        instance: the folder of the instance.
        made: the backup.
        by: who made it.
    """
    about = made.about
    AuditLog(instance).record(
        "backup_made", user=by, sha256=made.sha256, bytes=made.size, files=about.files, moment=about.made,
        lacking=len(about.lacking), damaged=len(made.damaged), secret_apart=about.secret_sha256 is not None,
    )  # fmt: skip


def app_version() -> str:
    """Return the version of the app as its project file has it."""
    project = ROOT / "pyproject.toml"
    if not project.is_file():
        return "unknown"
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
