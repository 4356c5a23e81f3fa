"""Work on cases as the first worker does: opens them, gives old ones back, tells the ledger what it wasn't told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

from sqlalchemy import select

from screening.infra.audit.log import AuditLog
from screening.infra.database import Database
from screening.ledger.ledger import Ledger
from screening.review.cases import Cases
from screening.review.deciding import CaseDecisions
from screening.review.leaving import forget_deleted
from screening.review.opening import Opener
from screening.rules.tables import Effect, Rule, RuleState
from screening.settings import Settings

log = logging.getLogger("screening.worker.review")
EVERY_SECONDS = 15.0
TIDY_SECONDS = 3600.0
REST_SECONDS = 60.0


class ReviewStep:
    """Works a little each time it is asked.

    Args:
        settings: how far back flagged rows become cases, and when one goes back.
        database: of the app.
        ledger: whose rows they are.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._clock = database, clock
        self._opener = Opener(database, ledger, settings.review_days, self._raised, settings.review_sample)
        self._cases = Cases(database, settings.review_release_minutes)
        self._deciding = CaseDecisions(self._cases, ledger.labels)
        self._audit = AuditLog(settings.instance)
        self._segments = ledger.segments
        self._due = self._tidy_due = self._rest_until = clock()

    def step(self) -> bool:
        """Do what is due, and tell whether there is more. No fault leaves this: files must go on."""
        if self._clock() < self._rest_until:
            return False
        try:
            if self._clock() >= self._due:
                self._due = self._clock() + EVERY_SECONDS
                released = self._cases.release_old()
                if released:
                    self._audit.record("cases_released", cases=released)
                self._deciding.tell_what_waits()
            if self._clock() >= self._tidy_due:
                self._tidy_due = self._clock() + TIDY_SECONDS
                forget_deleted(self._database, self._segments.screenings())
            return self._opener.step()
        except Exception:
            log.exception("cases could not be opened, and are tried again in a minute")
            self._rest_until = self._clock() + REST_SECONDS
            return False

    def _raised(self) -> Collection[str]:
        """Return the rules that have somebody look at a row without flagging it."""
        asked = Rule.effect == Effect.RAISE.value, Rule.state == RuleState.ACTIVE.value
        with self._database.read() as session:
            return set(session.scalars(select(Rule.name).where(*asked)))
