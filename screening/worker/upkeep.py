"""Tidy up now and then: old screenings, left-over files, compiled nets that nobody wants."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from itertools import chain

from screening.accounts.notifications import Notifications
from screening.accounts.proposals import Proposals
from screening.accounts.user_store import UserStore
from screening.bucket.faults import BucketUnavailable
from screening.detectors.compilation.pruning import prune
from screening.detectors.registry import Detectors
from screening.errors import BadArtefact, NotFound
from screening.infra.audit.log import AuditLog
from screening.infra.disk_space import keep_reserve
from screening.infra.host_locks import Hold, host_lock
from screening.infra.job_queue import now
from screening.infra.wake_signal import Signals
from screening.ledger.ledger import Ledger
from screening.monitoring import stream_lag
from screening.review.leaving import forget_decided_before
from screening.settings import Settings
from screening.uploads import deletion
from screening.uploads.history_policy import sharing
from screening.uploads.recording import Recordings
from screening.uploads.screenings import Screenings

log = logging.getLogger("screening.worker.upkeep")
EVERY_SECONDS = 3600.0
AGAIN_SECONDS = 60.0
# Screenings deleted between two looks at the queue, so that an uploaded file doesn't wait for the rest.
BATCH = 20
SCRATCH = ("screen-", "training-", "backup-", "restore-")
"""Beginnings of folders below the instance in which the command line screens a file, trains, or saves all of it."""
SCRATCH_SECONDS = 3 * 24 * 3600.0
MOST_NAMED = 5


class Upkeep:
    """Does everything once at the start and then each hour, between two files.

    Args:
        settings: where things lie, and for how long screenings are kept.
        history: the screenings.
        detectors: whose compiled nets stay.
        ledger: what every screening that is done is to appear in.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        settings: Settings,
        screenings: Screenings,
        detectors: Detectors,
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._screenings, self._detectors = settings, screenings, detectors
        self._ledger = ledger
        self._signals = Signals.of(settings.instance, screenings.database)
        self._audit = AuditLog(settings.instance)
        self._clock = clock
        self._due = self._bucket_due = clock()
        self._more = False
        self._scattered = False
        self._told: list[str] = []
        self._again: dict[str, float] = {}
        """Times at which tasks that ended with a fault are tried again."""
        self._unbuildable: frozenset[int] = frozenset()

    def step(self) -> None:
        """Do what is due; of many old screenings only some, so that a file that arrives needn't wait."""
        if self._clock() >= self._due:
            self._due = self._clock() + EVERY_SECONDS
            for task in (
                self._clear,
                self._tell_lost,
                self._clear_scratch,
                self._prune,
                self._tidy_ledger,
                self._expire_proposals,
                self._build,
            ):
                self._try(task)
            self._more = self._settings.keep_screenings_days is not None
            self._scattered = True
        if self._more:
            self._try(self._delete_old)
        self._try(self._seal)
        self._try(self._build)
        self._try(self._settle)
        if self._ledger.storage.remote and self._clock() >= self._bucket_due:
            self._bucket_due = self._clock() + AGAIN_SECONDS
            self._try(self._fill_bucket)
        if self._scattered:
            self._try(self._compact)
        keep_reserve(self._settings.instance)

    def _try(self, task: Callable[[], None]) -> None:
        """Run a task of tidying, which mustn't stop the screening of files if it fails: not a full disk, and not a
        fault of ours, which is tried again in a minute.
        """
        if self._clock() < self._again.get(task.__name__, -math.inf):
            return
        try:
            task()
        except OSError as problem:
            log.error("not everything could be tidied: %s", problem)
        except BucketUnavailable as problem:
            # sealing waits, too: what it would seal is in the database, and answers like everything else
            log.error("%s waits for the bucket: %s", task.__name__.strip("_"), problem)
            self._again[task.__name__] = self._clock() + AGAIN_SECONDS
        except Exception:
            log.exception("%s failed, and is tried again in a minute", task.__name__.strip("_"))
            self._again[task.__name__] = self._clock() + AGAIN_SECONDS

    def _delete_old(self) -> None:
        """Delete some of the screenings that have been kept for as long as the operator said."""
        days = self._settings.keep_screenings_days or 0
        limit = now() - timedelta(days=days)
        found = self._screenings.older(limit, limit=BATCH)
        self._more = len(found) == BATCH
        for screening in found:
            if self._screenings.remove_older(screening.id, limit):
                self._audit.record(
                    "screening_expired",
                    screening=screening.id,
                    owner=screening.owner,
                    filename=screening.filename,
                    sha256=screening.sha256,
                    kept_days=days,
                )
                deletion.remove_files(self._settings.instance, screening.id)

    def _clear(self) -> None:
        left = deletion.clear_leftovers(self._screenings, self._ledger.jobs, self._settings.instance)
        for screening_id in left:
            log.warning("files of screening %s, which isn't in the history, were removed", screening_id)
            self._audit.record("leftover_removed", screening=screening_id)
        self._ledger.storage.clear_left()
        count = deletion.take_back_unfinished(self._screenings, self._settings.instance)
        if count:
            log.warning("parts of %d objects that nobody will end were removed from the bucket", count)

    def _tell_lost(self) -> None:
        """Tell of lost files, but keep their rows: their owner decides, and the disk that has the files may only not be
        mounted.
        """
        lost = deletion.without_files(self._screenings, self._settings.instance)
        if lost and lost != self._told:
            named = ", ".join(lost[:MOST_NAMED])
            log.error("files are gone from the disk: %d screenings have none, first %s", len(lost), named)
        self._told = lost

    def _clear_scratch(self) -> None:
        for left in chain.from_iterable(self._settings.instance.glob(f"{name}*") for name in SCRATCH):
            if time.time() - left.stat().st_mtime > SCRATCH_SECONDS:  # of a command that was killed
                shutil.rmtree(left)
                log.warning("%s, which a command had left, was removed", left.name)
        if self._settings.several:
            self._clear_hosts()

    def _clear_hosts(self) -> None:
        """Remove what hosts counted that are gone for days, as pods are whose names don't come back."""
        for folder in self._settings.of_host.parent.iterdir():
            if time.time() - folder.stat().st_mtime <= SCRATCH_SECONDS:
                continue
            name = Hold(self._screenings.database.engine, [host_lock(folder.name)])
            try:
                if name.held():
                    shutil.rmtree(folder)
            finally:
                name.close()

    def _build(self) -> None:
        """Make the velocity state of detectors that have none yet, of what the ledger has: of one at a time."""
        velocity = self._ledger.velocity
        unbuilt = velocity.unbuilt()
        if not unbuilt or unbuilt == self._unbuildable:
            return
        for name in self._detectors.names():
            # the page of the detectors tells of it
            with suppress(BadArtefact, NotFound):
                detector = self._detectors.get(name)
                subject = velocity.subject(detector)
                if subject is None or velocity.standing(subject).built is not None:
                    continue
                users = UserStore(self._settings.users_file)
                made = self._ledger.rebuilding.rebuild(detector, sharing(users))
                if made.added or made.unreadable:
                    log.info(
                        "%d rows of the ledger were added to what %s looks back on; it doesn't read %d",
                        made.added, name, made.unreadable,
                    )  # fmt: skip
        self._unbuildable = velocity.unbuilt()

    def _settle(self) -> None:
        """Remove rows of the velocity state whose decision was never kept."""
        gone = self._ledger.settling.step()
        if gone:
            log.warning("%d rows of the velocity state had no decision, and were removed", gone)

    def _seal(self) -> None:
        if self._ledger.tail.due():
            self._ledger.sealing.seal()
        self._ledger.tables.put_log_away()

    def _compact(self) -> None:
        """Put some segments together: one list at a time, so that a file that arrives needn't wait."""
        due = self._ledger.compaction.due()
        if due:
            self._ledger.compaction.put_together(due[0])
        self._scattered = len(due) > 1

    def _expire_proposals(self) -> None:
        """Write down which proposals nobody decided on in time, and tell whoever proposed them."""
        database, days = self._screenings.database, self._settings.proposal_days
        for row in Proposals(database, days).expire():
            about = {"proposal": row.id, "kind": row.kind, "subject": row.subject}
            self._audit.record("change_expired", **about, proposed_by=row.proposed_by, kept_days=days)
            words = f"Nobody decided on it within {days} {'day' if days == 1 else 'days'}: {row.words}"
            Notifications(database).tell("change.expired", words, "/approvals", to=row.proposed_by)

    def _fill_bucket(self) -> None:
        """Put what the bucket hasn't yet, enter what waited for it, and keep the cache to its bound."""
        count = self._ledger.segments.store_missing()
        if count:
            log.info("%d segments of the ledger were put into the bucket", count)
        count = deletion.put_missing(self._screenings, self._settings.instance)
        if count:
            log.info("files of %d screenings were put into the bucket", count)
        Recordings(self._screenings.database, self._signals).try_again()
        self._ledger.storage.trim()

    def _tidy_ledger(self) -> None:
        days = self._settings.keep_ledger_days
        oldest = None if days is None else now() - timedelta(days=days)
        self._ledger.velocity.prune(None if oldest is None else oldest.timestamp())
        if oldest is not None and (rows := self._ledger.segments.expire(oldest)):
            log.info("%d decisions older than %d days left the ledger", rows, self._settings.keep_ledger_days)
            forget_decided_before(self._screenings.database, oldest)
            self._audit.record("ledger_expired", rows=rows, kept_days=self._settings.keep_ledger_days)
        for name in self._ledger.segments.sweep():
            log.warning("%s, which was left of the ledger by a process that was killed, was removed", name)
        # a stream that doesn't run is delivered what it hadn't committed when it comes back
        self._ledger.tail.forget_answers(stream_lag.oldest(self._screenings.database))
        recordings = Recordings(self._screenings.database, self._signals)
        again = recordings.try_again()
        missing = recordings.add_missing(self._ledger.segments.screenings(), oldest)
        if again + missing:
            log.info("%d screenings are to be entered into the ledger", again + missing)

    def _prune(self) -> None:
        pruned = prune(self._settings.instance / "compiled", self._detectors.net_hashes())
        if pruned:
            log.info("%d compiled nets that nobody wants any more were removed", len(pruned))
