"""Apply the operator's HISTORY_POLICY: whose earlier rows and labels count for whose files.

Each screening says whether its rows count for all (a manager sent it, or has released it) or for its owner alone. The
policy decides when a past is read, so that it can be changed at any time and nothing is lost by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from screening.accounts.roles import allows
from screening.accounts.user_store import UserStore
from screening.detectors.detector import Detector
from screening.detectors.vectorizer import NOTHING, History
from screening.ledger.history import DetectorHistory, HistoryCache
from screening.ledger.jobs import BatchJobs
from screening.ledger.velocity.entries import TrainedSubject, Viewer
from screening.ledger.velocity.live_past import LivePast, LiveRows
from screening.ledger.velocity.state import Velocity
from screening.settings import Settings
from screening.uploads.screenings import Screenings

MANAGERS, OWN, ALL = "managers", "own", "all"


def sharing(users: UserStore) -> Callable[[str], bool]:
    """Return what tells of an owner whether its transactions count for all, by its present role."""
    roles = {account.username.casefold(): account.role for account in users.accounts()}
    return lambda owner: owner in roles and allows(roles[owner], "decide")


@dataclass(frozen=True, slots=True)
class Shadowing:
    """In whose shadow a detector scores: its past is what it was told of there, and its own stays untouched."""

    run: str
    """The id of the run."""
    fingerprint: str
    """Of the detector whose screenings it scores."""

    @property
    def apart(self) -> str:
        """The name of its velocity state."""
        return f"shadow:{self.run}"


@dataclass(frozen=True, slots=True)
class HistoryPolicy:
    """Gives each caller the past that counts for it."""

    settings: Settings
    history: Screenings
    velocity: Velocity
    jobs: BatchJobs

    def context(
        self, detector: Detector, owner: str | None, shadowing: Shadowing | None = None
    ) -> DetectorHistory:
        """Return what a detector has seen, as it counts for a user's file.

        Args:
            detector: whose past it is.
            owner: the user; ``None`` for the command line, which has no files of its own.
            shadowing: in whose shadow it scores, if it does.
        """
        policy, counting = self.settings.history_policy, None
        of, apart = (
            (detector.fingerprint, "") if shadowing is None else (shadowing.fingerprint, shadowing.run)
        )
        if policy != ALL:
            for_all = policy == MANAGERS
            counting = self.history.counting(of, owner, for_all=for_all)
            counting |= self.jobs.counting(of, owner, for_all=for_all)
        subject = self._subject(detector, shadowing)
        live = None if subject is None else LiveRows(self.velocity, subject, self.viewer(owner))
        return DetectorHistory(
            self.settings.instance,
            detector,
            counting=counting,
            told=self._told(owner),
            live=live,
            apart=apart,
        )

    def seen(
        self, kept: HistoryCache, detector: Detector, owner: str, shadowing: Shadowing | None = None
    ) -> History:
        """Return what counts when a user has a few transactions scored now: rows of files, sorted, and kept in
        ``kept``, and what the API was asked before.
        """
        definition, subject = detector.vectorizer.definition, self._subject(detector, shadowing)
        if definition is None or subject is None:
            return NOTHING
        files = kept.of(detector, self.context(detector, owner, shadowing))
        return History(past=LivePast(definition, files, self.velocity, subject, self.viewer(owner)))

    def _subject(self, detector: Detector, shadowing: Shadowing | None) -> TrainedSubject | None:
        return self.velocity.subject(detector, None if shadowing is None else shadowing.apart)

    def viewer(self, owner: str | None) -> Viewer:
        """Return which rows of the API count for a user."""
        policy = self.settings.history_policy
        return Viewer((owner or "").casefold(), everybody=policy == ALL, shared=policy == MANAGERS)

    def _told(self, owner: str | None) -> str:
        if self.settings.history_policy == ALL:
            return "of all users' files"
        shared = ["of files that count for all users"] if self.settings.history_policy == MANAGERS else []
        own = ["of the sender's own files"] if owner is not None else []
        return " and ".join([*shared, *own]) or "of no user's files"
