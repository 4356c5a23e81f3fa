"""Forgetting a screening: its row, its files, and what detectors remember of its rows. By hand, by rule, after a crash.

The files go first, since a full disk has no room for changing a row. A crash in between leaves a screening without
files, which says so and can be deleted again; what a crash leaves of files belongs to no screening and is cleared by
:func:`clear_leftovers`.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from screening.bucket.faults import BucketUnavailable
from screening.bucket.folders import drop_folder, ids_in_bucket, keep_folder, turn_of
from screening.bucket.storage import SCREENINGS, Storage, entries_of
from screening.bucket.unfinished import has_keys, take_back, unfinished
from screening.errors import NotFound
from screening.infra.disk_space import release_reserve
from screening.ledger.history import forget
from screening.ledger.jobs import BatchJobs
from screening.ledger.tables import BatchJob
from screening.review.leaving import forget_origins, forget_screening
from screening.uploads.instance_check import belong_together
from screening.uploads.screenings import OPEN_STATES, RECEIVING, Screenings
from screening.uploads.upload_folder import UploadFolder

if TYPE_CHECKING:
    from screening.infra.database import Database
    from screening.ledger.ledger import Ledger
    from screening.ledger.segments import Segments

log = logging.getLogger("screening.worker.upkeep")
ID = re.compile(r"[0-9a-f]{32}")
# A younger folder may not have its row yet, so it isn't removed.
YOUNG_SECONDS = 60
# Nobody puts one object for so long, but for uploads, which have a row.
LEFT_SECONDS = 86_400.0
MOST_PUT = 20
"""Screenings whose files are put into the bucket between two looks at the queue."""


def delete(screenings: Screenings, instance: Path, screening_id: str) -> None:
    """Forget a screening, whatever its state.

    The files go first: the disk may be full, and then not even a row can be deleted before something else is.
    """
    UploadFolder(instance, screening_id).remove()
    try:
        screenings.remove(screening_id)
    except OperationalError as problem:
        if "full" not in str(problem.orig) or not release_reserve(instance):
            raise
        screenings.remove(screening_id)
    remove_files(instance, screening_id)


def delete_recorded(screenings: Screenings, segments: Segments, instance: Path, screening_id: str) -> None:
    """Forget a screening that may appear in the ledger, with its rows there.

    They go first: a crash in between leaves a screening that its owner can delete again. They go once more at the end,
    in case they were being written meanwhile. Its transactions leave the cases, which a crash before that leaves to
    the worker.
    """
    segments.forget(screening_id)
    delete(screenings, instance, screening_id)
    segments.forget(screening_id)
    forget_screening(screenings.database, screening_id)


def remove_job(ledger: Ledger, database: Database, name: str) -> tuple[BatchJob, int]:
    """Forget a job over a folder: its rows in the ledger, their labels and cases, what its detector remembers of it.

    Its rows leave the ledger together. Who is killed before that leaves the job as it is but for cases and memory: it
    can be removed again.

    Args:
        ledger: in which it is.
        database: of the app.
        name: of the job.

    Returns:
        what it was, and the number of rows that left.

    Raises:
        NotFound: there is none.
        DamagedLedger, BucketUnavailable: its rows can't be taken out now.
    """
    job = ledger.jobs.find(name)
    if job is None:
        raise NotFound(
            f"The ledger has no job {name}.", remedy="“flask --app app ledger jobs” lists those that it has."
        )
    origins = ledger.jobs.origins(job, ledger.segments)
    forget(ledger.instance, name)
    forget_origins(database, origins)
    count = ledger.jobs.remove(job, ledger.segments)
    # a case may have been opened meanwhile, and the same folder may be screened just now
    forget_origins(database, origins)
    if ledger.jobs.find(name) is None:
        forget(ledger.instance, name)
    return job, count


def remove_files(instance: Path, screening_id: str) -> None:
    """Remove what lies on the disk, and in the bucket, of a screening whose row is gone."""
    folder = UploadFolder(instance, screening_id)
    folder.remove()
    forget(instance, screening_id)
    try:
        drop_folder(Storage.at(instance), folder.path)
    except BucketUnavailable as problem:
        log.warning(
            "files of screening %s, which was deleted, may still be in the bucket; they are looked for each hour: %s",
            screening_id,
            problem.what,
        )


def clear_leftovers(screenings: Screenings, jobs: BatchJobs, instance: Path) -> list[str]:
    """Remove files that belong to no screening, and no job over a folder; gives the ids that they had.

    With no screening at all in the history, or with a database of another instance, nothing is removed.
    """
    if not belong_together(instance, screenings.database):
        log.error("%s and the database don't belong together: no left-over is cleared", instance)
        return []
    # before the rows are read: a row comes after its folder, never before
    found = set(ids_on_disk(instance)) | ids_stored(instance)
    known = screenings.ids() if found else set()
    entered = {job.id for job in jobs.all()}
    left = sorted(one for one in found - known - entered if is_old_on_disk(instance, one))
    if left and not known:
        log.error(
            "the database has no screening and %s has files of %d; they stay. Is DATABASE_URL the right one?",
            instance,
            len(left),
        )
        return []
    for screening_id in left:
        remove_files(instance, screening_id)
        if UploadFolder(instance, screening_id).path.exists():
            log.error("the files of screening %s, which is gone, can't be removed", screening_id)
    return [one for one in left if not UploadFolder(instance, one).path.exists()]


def without_files(screenings: Screenings, instance: Path) -> list[str]:
    """Return the ids of screenings that have ended and whose files are gone.

    Raises:
        BucketUnavailable: some may be in the bucket, which can't be reached.
    """
    lost = {one for one in screenings.ended() if not UploadFolder(instance, one).path.is_dir()}
    return sorted(lost - ids_in_bucket(Storage.at(instance))) if lost else []


def put_missing(screenings: Screenings, instance: Path) -> int:
    """Put files of screenings that have ended into the bucket, as far as it hasn't them; of how many, a few at most.

    Raises:
        BucketUnavailable: it can't be reached.
    """
    storage = Storage.at(instance)
    if not storage.remote:
        return 0
    missing = (
        one
        for one in sorted(screenings.ended())
        if not storage.has_all_of(UploadFolder(instance, one).path) and put_ended(screenings, instance, one)
    )
    return sum(1 for _ in islice(missing, MOST_PUT))


def put_ended(screenings: Screenings, instance: Path, screening_id: str) -> bool:
    """Put the files of a screening into the bucket, unless somebody works on it; whether there were any to be put.

    Raises:
        BucketUnavailable: it can't be reached.
    """
    storage, folder = Storage.at(instance), UploadFolder(instance, screening_id)
    if not storage.remote:
        return False
    turn = turn_of(folder.path)  # before the state: who takes it from now on begins another one
    # one that isn't whole still arrives, though a worker has refused it already
    if not folder.whole.exists() or screenings.state(screening_id) in OPEN_STATES:
        return False
    try:
        done = keep_folder(storage, folder.path, turn=turn)
    except FileNotFoundError:
        done = False
    if screenings.state(screening_id) is None:
        # deleted meanwhile: what was put since would stay until the next look for left-overs
        remove_files(instance, screening_id)
        return False
    return done


def take_back_unfinished(screenings: Screenings, instance: Path) -> int:
    """Remove parts of objects that nobody will end, as a process that was killed leaves them; return of how many.

    Those of a screening whose row is gone go at once, as its files do, all others after a day; but not those of an
    upload that arrives, however slowly.
    """
    storage = Storage.at(instance)
    if not storage.remote or not has_keys() or not belong_together(instance, screenings.database):
        return 0
    count = 0
    try:
        # before the rows are read: a row comes before the first part
        found = list(unfinished(storage.bucket))
        states = screenings.states() if found else {}
        for one in found:
            kind, _, rest = one.key.partition("/")
            state = states.get(rest.partition("/")[0]) if kind == SCREENINGS else None
            lost = kind == SCREENINGS and state is None and bool(states)
            if state != RECEIVING and (lost or time.time() - one.begun > LEFT_SECONDS):
                take_back(storage.bucket, one)
                count += 1
    except OSError as problem:
        log.warning("parts in the bucket that nobody will end aren't looked for: %s", problem)
    return count


def ids_stored(instance: Path) -> set[str]:
    """Return the ids of screenings of which the bucket has files; none where it can't be reached just now."""
    try:
        return {each for each in ids_in_bucket(Storage.at(instance)) if ID.fullmatch(each)}
    except BucketUnavailable as problem:
        log.warning("left-overs in the bucket aren't looked for: %s", problem.what)
        return set()


def ids_on_disk(instance: Path) -> Iterator[str]:
    """Yield the ids of screenings that have a folder, or rows that a detector remembers."""
    for folder in (instance / SCREENINGS, *instance.glob("context/*")):
        for entry in entries_of(folder):
            stem, _, ending = entry.name.partition(".")
            if (ending in {"", "npz"} or ending.endswith("part")) and ID.fullmatch(stem):
                yield stem


def is_old_on_disk(instance: Path, screening_id: str) -> bool:
    """Return whether something that the disk has of a screening is so old that nobody writes it any more, or all of it
    is gone.
    """
    ages = []
    for path in (
        UploadFolder(instance, screening_id).path,
        *instance.glob(f"context/*/{screening_id}.npz"),
        *instance.glob(f"context/*/{screening_id}.*part"),
    ):
        with suppress(FileNotFoundError):  # removed in this moment
            ages.append(time.time() - path.stat().st_mtime)
    return not ages or max(ages) > YOUNG_SECONDS
