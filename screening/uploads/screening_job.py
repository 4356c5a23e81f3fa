"""The job that screens an uploaded file, or checks it first."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from screening.bucket.faults import BucketUnavailable
from screening.bucket.folders import writing
from screening.bucket.storage import Storage
from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.errors import CardNumbersFound, ColumnsMissing, ScreeningError, Undecided
from screening.infra.audit.log import AuditLog
from screening.infra.job_queue import now
from screening.infra.job_runner import AttemptFailed, Handled, Lease, Preempted
from screening.infra.wake_signal import Signals
from screening.intake import Answers, FileKind
from screening.intake.preview import preview
from screening.intake.tokenizing import ReplacedColumns
from screening.ledger.history import DetectorHistory
from screening.ledger.ledger import Ledger
from screening.rules.files import FileRules
from screening.rules.ruleset import RuleBook
from screening.scoring.applied_thresholds import AppliedThresholds
from screening.scoring.places import AddressTables
from screening.scoring.score import Probabilities, own_probabilities
from screening.settings import Settings
from screening.uploads import deletion, preflight
from screening.uploads.history_policy import HistoryPolicy
from screening.uploads.line.conclusion import ScreeningSummary
from screening.uploads.line.order import ScreeningOrder
from screening.uploads.line.pace import Pace
from screening.uploads.line.screen import screen
from screening.uploads.questions import card_tokens
from screening.uploads.questions.column_mappings import Mapping, Mappings, RememberedAnswers, columns_of
from screening.uploads.questions.detector_choice import DetectorChoice
from screening.uploads.recording import Recordings
from screening.uploads.screenings import CHECKED, DONE, Screening, Screenings
from screening.uploads.upload_folder import UploadAbandoned, UploadFolder

log = logging.getLogger("screening.worker")
# From this status on a failure isn't the file's fault, so the file is kept.
OURS = 500
HOUR = timedelta(hours=1)
# So long a screening waits for a bucket that is away, and between two tries.
MOST_AWAY, AWAY = 24 * HOUR, timedelta(seconds=30)
# Seconds between looks whether the history may be read, even if no other screening has ended: a worker that
# died rings no bell.
TURN_SECONDS = 1.0
MOST_PUTTING = 4
"""Screenings of one process whose files are put into the bucket at a time: each takes up to 32 MB of memory."""
_putting = threading.BoundedSemaphore(MOST_PUTTING)


class OutOfReach(ScreeningError):
    """Files that a screening needs couldn't be reached for too long."""

    status = 503
    title = "This screening did not finish"


class ScreeningJob:
    """Screens files: see :class:`screening.infra.job_runner.Handler`. One for each runner."""

    doing = "the file was read or scored"

    def __init__(
        self,
        settings: Settings,
        screenings: Screenings,
        detectors: Detectors,
        signals: Signals,
        *,
        ledger: Ledger,
        probabilities: Probabilities = own_probabilities,
    ) -> None:
        """``ledger`` knows what the API was asked, ``probabilities`` is asked for the probabilities of some rows."""
        self._ledger = ledger
        self.queue = screenings
        self._recordings = Recordings(screenings.database, signals)
        self.probabilities = probabilities
        self.rules = FileRules(
            RuleBook(screenings.database), AddressTables(settings.ip_countries), settings.instance
        )
        self.limits = AppliedThresholds(screenings.database, settings.threshold).of
        self._settings = settings
        self._detectors = detectors
        self._signals = signals
        self._ends = signals.ended.listen()
        self._slow: set[str] = set()
        """Uploads that were too slow to be read while they arrive."""
        self._passed_over: set[str] = set()
        """Screenings that can only wait for another one to end."""

    def claim(self, holder: str) -> Screening | None:
        """Claim the oldest whole file, or one that is still arriving and isn't slow.

        Of several hosts none reads what another one is still writing: a network file system shows it late or in part.
        """
        # a screening has ended, so those that waited for their turn may have it now
        if self._ends.wait(0):
            self._passed_over.clear()
        return self.queue.claim(
            holder, slow=self._slow, passed_over=self._passed_over, whole=self._settings.several
        )

    def run(self, job: Screening, lease: Lease) -> dict[str, Any]:
        """Screen or check the file.

        Raises:
            ScreeningError: it can't be screened.
            LeaseLost, ShutdownRequested, Preempted, AttemptFailed, Handled: as they say.
        """
        try:
            folder = UploadFolder.kept(self._settings.instance, job.id)
            folder.on_wait = lambda: self._let_others_pass(job, lease)
            with writing(Storage.at(self._settings.instance), folder.path):
                folder.drop_replaced()
                return {**self._outcome(job, folder, lease), "out_of_reach": None}
        except UploadAbandoned:
            raise self._left(job, folder) from None
        except BucketUnavailable as problem:
            raise self._out_of_reach(job, problem, lease) from problem

    def _out_of_reach(self, job: Screening, problem: BucketUnavailable, lease: Lease) -> Exception:
        """Have a screening wait whose files, or whose detector's past, are in a bucket that is away; not for ever."""
        since = job.out_of_reach or now()
        if now() - since > MOST_AWAY:
            return OutOfReach(
                "The files that this screening needs couldn't be reached for "
                f"{MOST_AWAY // HOUR} hours: {problem.why}.",
                remedy="Send the file again once the operator says that they can be.",
            )
        # while it arrives it would be taken up again at once
        self._slow.add(job.id)
        log.warning("screening %s waits for the bucket since %s", job.id, f"{since:%Y-%m-%d %H:%M} UTC")
        self.queue.postpone(job.id, lease.holder, AWAY, out_of_reach=since)
        return Handled()

    def _outcome(self, job: Screening, folder: UploadFolder, lease: Lease) -> dict[str, Any]:
        """Screen or check the file; once more where what it leaves open was answered for one like it, or with tokens
        where it holds card numbers and somebody agreed to them.
        """
        try:
            return self._answered(job, folder, lease)
        except ScreeningError as problem:
            if (
                not isinstance(problem, (CardNumbersFound, ColumnsMissing, Undecided))
                and problem.status < OURS
            ):
                raise  # the file isn't kept
            found = self._without_cards(job, folder, lease, problem)
            if found is None or (found.agreed and not isinstance(problem, CardNumbersFound)):
                raise
            if not found.agreed:
                raise card_tokens.asked(found.replaced) from None
        return self._answered(job, folder, lease)

    def _answered(self, job: Screening, folder: UploadFolder, lease: Lease) -> dict[str, Any]:
        """Screen or check the file; what it leaves open is taken from what its owner answered for files like it.

        An answer counts only where this file's cells can be read so: else it is asked again.
        """
        said, notes = dict(job.answers or {}), list[str]()
        while True:
            try:
                found = _Run(self, job, folder, lease, said).outcome()
            except Undecided as problem:
                known = self._remembered(job, folder, problem)
                # without a new answer the file would be read like this for ever
                if known is None or not known.answers.keys() - said.keys():
                    raise
                said = {**known.answers, **said}
                notes.append(f"Read as was said {known.said}: {known.words}.")
            else:
                # whoever screens the file once more, as a detector in the shadow does, reads it likewise
                kept = {"answers": said} if notes and found["state"] == DONE else {}
                return {**found, **kept, "notes": [*notes, *found["notes"]]}

    def _remembered(
        self, job: Screening, folder: UploadFolder, problem: Undecided
    ) -> RememberedAnswers | None:
        """Return the answers to files like this one, as far as it is asked and this file's cells can be read so."""
        if problem.again:
            return None
        header, _ = preview(folder.input, folder.kind(job.kind), 1, scratch=folder.path)
        known = Mappings(self.queue.database).recall_answers(header, job.owner)
        return None if known is None else known.to(problem.questions)

    def _without_cards(
        self, job: Screening, folder: UploadFolder, lease: Lease, problem: ScreeningError
    ) -> _Tokenized | None:
        """Replace the card numbers of a file that will wait for its owner; ``None`` where it holds none.

        Raises:
            BadFile: it can't be read, so it isn't known.
        """
        folder.wait_until_whole()
        found = card_tokens.replace_in(
            folder,
            job.kind,
            card_tokens.tokens_of(self._settings.instance),
            places=problem.places if isinstance(problem, CardNumbersFound) else (),
            waiting=lambda: lease.report(dict),
        )
        if found is None:
            return None
        choice = DetectorChoice(self._detectors, job.wanted_detector, self.recall_for(job))
        agreed = job.tokenize or card_tokens.expected(folder, choice, found)
        AuditLog(self._settings.instance).record(
            "card_numbers_replaced",
            user=job.owner,
            screening=job.id,
            columns=found.columns,
            cells=found.cells,
            agreed="by the sender" if job.tokenize else "by the detector" if agreed else "to be asked",
        )
        return _Tokenized(found, agreed)

    def closing(self, seconds: float) -> dict[str, Any]:
        """Note how long it took."""
        return {"seconds": seconds}

    def ended(self, job: Screening, outcome: dict[str, Any]) -> None:
        """Have the file of a screening that is done on the disk, and its rows in the ledger, now that it is answered;
        and all its files in the bucket, where there is one.

        One that was checked is probably read once more.
        """
        done = outcome["state"] == DONE
        if done:
            self._recordings.add(job)
        if done or Storage.at(self._settings.instance).remote:
            # in a thread: a slow disk, or a bucket, mustn't hold up the next file
            threading.Thread(target=self._put_away, args=(job, done), name="settle", daemon=True).start()

    def _put_away(self, job: Screening, done: bool) -> None:
        instance = self._settings.instance
        folder = UploadFolder(instance, job.id)
        if done:
            folder.settle()
        try:
            with _putting:
                deletion.put_ended(self.queue, instance, job.id)
        except BucketUnavailable as problem:
            # the upload is there; the upkeep puts the rest once it can
            log.warning("the files of screening %s aren't all in the bucket yet: %s", job.id, problem)

    def discard(self, job: Screening) -> None:
        """Remove what was written or remembered after somebody deleted the screening."""
        if self.queue.state(job.id) is None:
            deletion.remove_files(self._settings.instance, job.id)

    def tidy(self) -> None:
        """Give up what is hopeless, and forget what stopped arriving."""
        for screening_id in self.queue.give_up():
            deletion.remove_files(self._settings.instance, screening_id)
        if self._slow:
            self._slow &= self.queue.ids()

    def history_of(self, job: Screening, detector: Detector, lease: Lease) -> DetectorHistory:
        """Wait until it is this screening's turn, and give what the detector remembers.

        Raises:
            LeaseLost, ShutdownRequested: it is no longer wanted.
            Preempted: it would have to wait, and others could be screened meanwhile.
        """
        # before the first look, so that no end in between is missed
        ends = self._signals.ended.listen()
        while not self.queue.take_turn(job.id):
            if self._others_wait(job):
                self._passed_over.add(job.id)
                raise Preempted
            if ends.wait(TURN_SECONDS):
                self._passed_over.clear()
            lease.note()
        return HistoryPolicy(self._settings, self.queue, self._ledger.velocity, self._ledger.jobs).context(
            detector, job.owner
        )

    def recall_for(self, job: Screening) -> Callable[[list[str]], Mapping | None]:
        """Return what gives the mapping of a header: what the user said of this file, or what was said of its like."""
        said = job.mapping
        if said is not None:
            return lambda _header: Mapping(str(job.wanted_detector), columns_of(said), of_this_file=True)
        mappings = Mappings(self.queue.database)
        return lambda header: mappings.recall(header, job.owner)

    def recall_unit_for(self, job: Screening) -> Callable[[list[str]], str | None]:
        """Return what gives the unit of the amounts that was said for files with a header."""
        mappings = Mappings(self.queue.database)

        def recall(header: list[str]) -> str | None:
            known = mappings.recall_answers(header, job.owner)
            return None if known is None else known.answers.get("unit")

        return recall

    @property
    def settings(self) -> Settings:
        """The settings of the installation."""
        return self._settings

    @property
    def detectors(self) -> Detectors:
        """The detectors of the installation."""
        return self._detectors

    def _let_others_pass(self, job: Screening, lease: Lease) -> None:
        """Leave a file whose sender is slow when other work waits; it is screened once it is whole."""
        lease.check()
        if self._others_wait(job):
            self._slow.add(job.id)
            raise Preempted

    def _others_wait(self, job: Screening) -> bool:
        return self.queue.others_wait(
            job.id, slow=self._slow, passed_over=self._passed_over, whole=self._settings.several
        )

    def _left(self, job: Screening, folder: UploadFolder) -> Exception:
        """Handle a file whose sender left. Not accepted: forget it. Not on the disk: say so. Whole: go on."""
        current = self.queue.get(job.id)
        if current is None or current.size is None:
            deletion.delete(self.queue, self._settings.instance, job.id)
            return Handled()
        if folder.input.exists() and folder.input.stat().st_size == current.size:
            # the server died between writing the row and marking the file
            folder.complete()
            return AttemptFailed()
        return ScreeningError(
            "The uploaded file is not whole on the disk any more.", remedy="Upload it again."
        )


@dataclass(frozen=True, slots=True)
class _Tokenized:
    """Card numbers that were replaced in a file, and whether somebody had agreed to go on with it."""

    replaced: ReplacedColumns
    agreed: bool


class _Run:
    """One attempt at one file."""

    def __init__(
        self, handler: ScreeningJob, job: Screening, folder: UploadFolder, lease: Lease, said: dict[str, str]
    ) -> None:
        self._handler, self._job, self._folder, self._lease = handler, job, folder, lease
        self._answers = Answers.of(said)
        self._size = job.size
        self._key = job.history_key
        self._pace = Pace()

    def outcome(self) -> dict[str, Any]:
        return self._check() if self._job.check_first else self._screen()

    def _check(self) -> dict[str, Any]:
        found = preflight.check(
            self._folder,
            self._readable(),
            self._handler.detectors,
            wanted=self._job.wanted_detector,
            on_batch=self._on_batch,
            recall=self._handler.recall_for(self._job),
            recall_unit=self._handler.recall_unit_for(self._job),
            answers=self._answers,
        )
        return {"state": CHECKED, **self._values(found)}

    def _screen(self) -> dict[str, Any]:
        preflight.discard(self._folder)
        order = ScreeningOrder(
            limits=self._handler.limits,
            wanted=self._job.wanted_detector,
            set_aside=self._job.set_aside_bad,
            answers=self._answers,
            recall=self._handler.recall_for(self._job),
            recall_unit=self._handler.recall_unit_for(self._job),
            context=lambda detector: self._handler.history_of(self._job, detector, self._lease),
            remember=True,
            rules=self._handler.rules,
            probabilities=self._handler.probabilities,
            on_batch=self._on_batch,
            on_stage=self._on_stage,
            on_outcome=self._on_outcome,
            on_choice=self._on_choice,
        )
        found = screen(self._folder, self._readable(), self._handler.detectors, order)
        return {"state": DONE, **self._values(found)}

    def _readable(self) -> FileKind:
        """Return the kind of the file, once enough of it is there to be read."""
        kind = self._folder.kind(self._job.kind)
        if not kind.streams:
            self._folder.wait_until_whole()
        return kind

    def _on_choice(self, detector: Detector) -> None:
        """Have later files of the same detector wait for this one; others needn't, which may be told a little later."""
        if self._folder.tokens.exists():
            card_tokens.check_key(detector, card_tokens.tokens_of(self._handler.settings.instance))
        self._key = detector.fingerprint if detector.vectorizer.looks_back else ""
        if self._key:
            self._pace.look_back()
            self._lease.note(history_key=self._key)

    def _on_batch(self, done: int) -> None:
        self._lease.report(lambda: self._news(done))

    def _news(self, done: int) -> dict[str, Any]:
        if self._size is None:
            current = self._handler.queue.get(self._job.id)
            self._size = None if current is None else current.size
        self._pace.read(done / self._size if self._size else 0.0)
        return self._told()

    def _on_stage(self, doing: str, rows: int, of: int) -> None:
        begins = doing != self._pace.doing
        self._pace.stage(doing, rows, of)
        # a stage may be long without a word
        if begins:
            self._lease.note(**self._told())

    def _on_outcome(self) -> None:
        """See that the file is still ours: this host may have been cut off, and another one at it by now."""
        if self._handler.settings.several:
            self._lease.note()

    def _told(self) -> dict[str, Any]:
        return {"progress": self._pace.share, "pace": self._pace.told(), "history_key": self._key}

    def _values(self, found: ScreeningSummary | preflight.PreflightSummary) -> dict[str, Any]:
        values = {name: getattr(found, name) for name in found.__slots__}
        return {**values, "notes": [*found.notes, *card_tokens.note_of(self._folder)]}
