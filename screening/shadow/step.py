"""Score for detectors in the shadow, a little at a time, when nobody waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from screening.accounts.user_store import UserStore
from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.detectors.shadow_runs import ShadowRun
from screening.errors import BadArtefact, NotFound, ScreeningError
from screening.infra.audit.log import AuditLog
from screening.ledger.history import DetectorHistory
from screening.ledger.ledger import Ledger
from screening.scoring.score import Probabilities, own_probabilities
from screening.settings import Settings
from screening.shadow.desk import ShadowDesk
from screening.shadow.files import ShadowPreempted, score_file
from screening.shadow.requests import RequestScorer, WaitingRequest
from screening.shadow.scores import SealedMeanwhile, ShadowOutcome, of_file
from screening.shadow.seeding import converting, seed_file, seed_requests
from screening.uploads.history_policy import HistoryPolicy, Shadowing, sharing
from screening.uploads.screenings import Screening, Screenings

log = logging.getLogger("screening.shadow")
SLICE_SECONDS = 0.3
"""So long requests are scored before the worker looks whether a file waits."""
AT_ONCE = 128
"""Requests that are read at a time."""
# A worker may die so often while it works for a run; then the run is stopped, since it may be the cause.
MOST_TRIES = 3
# Rows of one run: more tell nothing new, and a comparison reads them all.
MOST_ROWS = 1_000_000
REST_SECONDS = 30.0
"""After a fault of ours."""


class ShadowStep:
    """Scores requests and files in the order in which they were decided.

    Args:
        settings: of the installation.
        detectors: of the installation.
        history: the screenings.
        ledger: what was decided, and where scores stand.
        probabilities: who is asked for the probabilities of some rows.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        settings: Settings,
        detectors: Detectors,
        history: Screenings,
        ledger: Ledger,
        *,
        probabilities: Probabilities = own_probabilities,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._detectors, self._history, self._ledger = settings, detectors, history, ledger
        self._probabilities, self._clock = probabilities, clock
        self.desk = ShadowDesk(detectors, ledger, history)
        self._store = self.desk.store
        self._policy = HistoryPolicy(settings, history, ledger.velocity, ledger.jobs)
        self._scorers: dict[str, RequestScorer] = {}
        self._rest_until = 0.0

    def step(self) -> bool:
        """Work for a while, and tell whether more is to be done. No fault leaves this: files must go on."""
        if self._clock() < self._rest_until:
            return False
        try:
            return self._step()
        except Exception:
            log.exception("detectors in the shadow could not score")
            self._rest_until = self._clock() + REST_SECONDS
            return False

    def _step(self) -> bool:
        runs = [run for run in self.desk.settle() if self._is_fit(run)]
        self._scorers = {key: one for key, one in self._scorers.items() if key in {run.id for run in runs}}
        if not runs:
            return False
        for run in runs:
            self._seed(run)
        end = self._clock() + SLICE_SECONDS
        more = True
        while more and self._clock() < end and not self._others_wait():
            more = self._next(runs)
        for run in runs:
            self._store.put_together(run.id)
        return more

    def _next(self, runs: Sequence[ShadowRun]) -> bool:
        """Score what was decided first of all that waits; ``False`` where nothing does."""
        files = [(screening, run) for run in runs for screening in self.desk.files(run, 1)]
        file = min(files, key=lambda each: each[0].finished or each[1].started, default=None)
        requests = [WaitingRequest.of(pending) for pending in self._store.pending(AT_ONCE)]
        if file is not None and file[0].finished is not None:
            until = file[0].finished.timestamp() * 1e6
            before = 0
            while before < len(requests) and requests[before].kept.decided_at <= until:
                before += 1
            if before == 0:
                return self._tried(file[1], lambda: self._score_file(file[1], file[0]))
            requests = requests[:before]
        if not requests:
            return False
        run = next((run for run in runs if requests[0].is_of(run)), None)
        count = 1
        while count < len(requests) and (
            next((each for each in runs if requests[count].is_of(each)), None) is run
        ):
            count += 1
        some = requests[:count]
        if run is None:
            self._store.finish(None, [each.pending for each in some], ShadowOutcome())
            return True
        return self._tried(run, lambda: self._score_requests(run, some))

    def _tried(self, run: ShadowRun, work: Callable[[], bool]) -> bool:
        """Do something that may end this process, and count how often it has."""
        count = self._store.count(run.id)
        if count is not None and count.trying >= MOST_TRIES:
            self._stop(run, f"The worker ended {MOST_TRIES} times while it scored for it.")
            return True
        if count is not None and count.scored >= MOST_ROWS:
            self._enough(run)
            return True
        self._store.note(run.id, trying=0 if count is None else count.trying + 1)
        again = work()
        self._store.note(run.id, trying=0)
        return again

    def _score_requests(self, run: ShadowRun, requests: Sequence[WaitingRequest]) -> bool:
        scorer = self._scorers.get(run.id)
        if scorer is None:
            detector = self._detectors.get(run.shadow)
            scorer = self._scorers[run.id] = RequestScorer(
                run,
                detector,
                store=self._store,
                tables=self._ledger.tables,
                policy=self._policy,
                probabilities=self._probabilities,
            )
        shares = sharing(UserStore(self._settings.users_file))
        owners = {str(each.kept.same["owner"]) for each in requests}
        try:
            scorer.score(requests, {owner: shares(owner) for owner in owners})
        except SealedMeanwhile:
            log.info("requests were sealed while they were scored in the shadow; they are scored again")
        return True

    def _score_file(self, run: ShadowRun, screening: Screening) -> bool:
        detector, count = self._detectors.get(run.shadow), self._store.count(run.id)
        if screening.rows > MOST_ROWS:
            self._store.refuse_file(run.id, screening.id, f"It has more than {MOST_ROWS:,} rows.")
            return True
        if count is not None and count.scored + screening.rows > MOST_ROWS:
            self._enough(run)
            return True
        try:
            found = score_file(
                run,
                screening,
                detector,
                detectors=self._detectors,
                policy=self._policy,
                others_wait=self._others_wait,
                probabilities=self._probabilities,
            )
        except ShadowPreempted:
            return False
        except ScreeningError as problem:
            self._store.refuse_file(run.id, screening.id, problem.what)
            return True
        except Exception as problem:
            log.exception(
                "%s, in the shadow of %s, could not score screening %s", run.shadow, run.first, screening.id
            )
            self._store.refuse_file(run.id, screening.id, f"It went wrong: {type(problem).__name__}.")
            return True
        if found is None:
            self._store.refuse_file(run.id, screening.id, "Its files are gone.")
        else:
            self._store.add_file(run.id, screening.id, of_file(screening.id, found))
        if self._history.state(screening.id) is None:  # deleted in this moment
            self._store.forget_file(screening.id)
            self._context(run, detector, screening.owner).forget(screening.id)
        return True

    def _is_fit(self, run: ShadowRun) -> bool:
        """Return whether both detectors still are those that it was started with."""
        try:
            found = self._detectors.get(run.first), self._detectors.get(run.shadow)
        except (BadArtefact, NotFound) as problem:
            self._stop(run, problem.what)
            return False
        if (found[0].fingerprint, found[1].fingerprint) != (run.first_fingerprint, run.shadow_fingerprint):
            self._stop(run, "One of the two detectors is another one by now.")
            return False
        return True

    def _seed(self, run: ShadowRun) -> None:
        """Let a run know the past of before its start, once."""
        count = self._store.count(run.id)
        if count is None or count.seeded:
            return
        first, shadow = self._detectors.get(run.first), self._detectors.get(run.shadow)
        subject = self._ledger.velocity.subject(shadow, Shadowing(run.id, run.first_fingerprint).apart)
        if subject is not None:
            shares = sharing(UserStore(self._settings.users_file))
            seed_requests(run, shadow, subject, ledger=self._ledger, store=self._store, shares=shares)
            self._ledger.velocity.is_built(subject)
            conversion = converting(first.contract, shadow.contract)
            theirs = DetectorHistory(self._settings.instance, first, counting=None)
            mine = self._context(run, shadow, None)
            for name in self._history.ended_before(run.first_fingerprint, run.started):
                seed_file(name, theirs, mine, conversion)
        self._store.note(run.id, seeded=True)

    def _context(self, run: ShadowRun, shadow: Detector, owner: str | None) -> DetectorHistory:
        return self._policy.context(shadow, owner, Shadowing(run.id, run.first_fingerprint))

    def _enough(self, run: ShadowRun) -> None:
        self._stop(run, f"More than {MOST_ROWS:,} rows would be compared, which is enough.")

    def _stop(self, run: ShadowRun, reason: str) -> None:
        log.error("%s scores in the shadow of %s no longer: %s", run.shadow, run.first, reason)
        self.desk.stop(run.id, None, reason)
        AuditLog(self._settings.instance).record(
            "shadow_stopped", user="worker", run=run.id, first=run.first, shadow=run.shadow, reason=reason
        )

    def _others_wait(self) -> bool:
        return self._history.others_wait("")
