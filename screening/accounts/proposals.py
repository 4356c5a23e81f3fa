"""Changes that one person proposes and another one approves (four eyes): kept with who said what, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ColumnElement, Index, Integer, String, and_, func, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from screening.errors import Conflict, NotFound
from screening.infra.database import Base, Database
from screening.infra.job_queue import UtcDateTime, now

MOST_WORDS = 500
MOST_OPEN = 200
DAYS = 14
"""So long a proposal waits unless the operator says otherwise."""
# An approval that was begun and not ended may be begun again after so long: its process was killed.
STUCK = timedelta(minutes=1)


class ProposalState(StrEnum):
    """States of a proposal."""

    OPEN = "open"
    APPLYING = "applying"
    """Somebody approves it just now."""
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    """Nobody decided on it in time."""


class Proposal(Base):
    """A change that was proposed."""

    __tablename__ = "proposals"
    __table_args__ = (Index("proposals_by_state", "state", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    """Kind of action."""
    subject: Mapped[str] = mapped_column(String(128))
    """Subject that it changes: the name of a detector or a rule."""
    words: Mapped[str] = mapped_column(String(MOST_WORDS))
    """Description of the change, for people."""
    given: Mapped[Mapping[str, Any]] = mapped_column(JSON)
    """Arguments of the action; also what was seen when it was proposed, so that nothing else is approved."""
    state: Mapped[str] = mapped_column(String(16))
    proposed_by: Mapped[str] = mapped_column(String(128))
    proposed: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_by: Mapped[str | None] = mapped_column(String(128))
    decided: Mapped[datetime | None] = mapped_column(UtcDateTime)
    note: Mapped[str] = mapped_column(String(MOST_WORDS), default="")

    @property
    def busy(self) -> bool:
        """Return whether somebody approves it just now; not if that began so long ago that its process was killed."""
        began = self.decided or now()
        return self.state == ProposalState.APPLYING and began >= now() - STUCK

    @property
    def waits(self) -> bool:
        """Return whether nobody has decided on it."""
        return self.state in (ProposalState.OPEN, ProposalState.APPLYING)

    def is_by(self, username: str) -> bool:
        """Return whether somebody proposed it."""
        return self.proposed_by.casefold() == username.casefold()


class Proposals:
    """The rows, each change one short transaction.

    Args:
        database: where they are.
        days: after so many a proposal that nobody has decided on expires. It is so for whoever asks from that moment
            on; :meth:`expire` writes it down.
    """

    def __init__(self, database: Database, days: int = DAYS) -> None:
        self._database, self.days = database, days

    def get(self, number: int) -> Proposal:
        """Return one.

        Raises:
            NotFound: there is none of this number.
        """
        with self._database.read() as session:
            return self._seen(proposal_of(session, number))

    def waiting(self) -> Sequence[Proposal]:
        """Return those that nobody has decided on, the oldest first."""
        states = (ProposalState.OPEN, ProposalState.APPLYING)
        query = select(Proposal).where(Proposal.state.in_(states), ~self._overdue()).order_by(Proposal.id)
        with self._database.read() as session:
            return session.scalars(query).all()

    def decided(self, most: int) -> Sequence[Proposal]:
        """Return those that somebody has decided on, or that have expired, the latest first."""
        states = (ProposalState.OPEN, ProposalState.APPLYING)
        over = or_(Proposal.state.not_in(states), self._overdue())
        query = select(Proposal).where(over).order_by(Proposal.id.desc()).limit(most)
        with self._database.read() as session:
            return [self._seen(row) for row in session.scalars(query)]

    def expires(self, row: Proposal) -> datetime:
        """Return until when a proposal waits."""
        return row.proposed + timedelta(days=self.days)

    def expire(self) -> Sequence[Proposal]:
        """Write down which proposals have expired, and return those that weren't written down before."""
        query = select(Proposal).where(self._overdue()).order_by(Proposal.id)
        with self._database.read() as session:
            if session.scalars(query.limit(1)).first() is None:
                # without the lock of writers, which is asked for each time otherwise
                return []
        with self._database.write() as session:
            found = session.scalars(query).all()
            for row in found:
                row.state, row.decided_by = ProposalState.EXPIRED, None
                row.decided = self.expires(row)
        return found

    def _overdue(self) -> ColumnElement[bool]:
        """Return whether a proposal waited for too long, and nobody approves it just now."""
        stuck = and_(Proposal.state == ProposalState.APPLYING, Proposal.decided < now() - STUCK)
        waits = or_(Proposal.state == ProposalState.OPEN, stuck)
        return and_(waits, Proposal.proposed < now() - timedelta(days=self.days))

    def _seen(self, row: Proposal) -> Proposal:
        """Return a row as it is now, though nobody has written down yet that it has expired; for a session that only
        reads.
        """
        if row.waits and not row.busy and self.expires(row) < now():
            row.state, row.decided_by, row.decided = ProposalState.EXPIRED, None, self.expires(row)
        return row

    def propose(
        self,
        kind: str,
        subject: str,
        words: str,
        given: Mapping[str, Any],
        by: str,
        *,
        alone: bool = True,
    ) -> Proposal:
        """Keep a proposal.

        Args:
            kind: which action.
            subject: what it changes.
            words: what it does, for people.
            given: what the action needs, as JSON has it.
            by: who proposes it.
            alone: whether another one of this kind and subject would be outdated by it, or it by that one.

        Raises:
            Conflict: the same waits already, or too many do.
        """
        with self._database.write() as session:
            waiting = select(Proposal).where(Proposal.state == ProposalState.OPEN, ~self._overdue())
            same = waiting.where(Proposal.kind == kind, Proposal.subject == subject)
            if alone and session.scalars(same).first() is not None:
                raise Conflict(
                    f"Such a change of {subject} waits for approval already.",
                    remedy="Have it decided on, or withdraw it first: see Approvals.",
                )
            if (session.scalar(select(func.count()).select_from(waiting.subquery())) or 0) >= MOST_OPEN:
                raise Conflict(
                    f"{MOST_OPEN} changes wait for approval.", remedy="Have some decided on first."
                )
            row = Proposal(
                kind=kind,
                subject=subject,
                words=words[:MOST_WORDS],
                given=dict(given),
                state=ProposalState.OPEN,
                proposed_by=by,
                proposed=now(),
                note="",
            )
            session.add(row)
        return row

    def begin(self, number: int, by: str) -> Proposal:
        """Note that somebody approves a proposal: nobody else can meanwhile. :meth:`end` says how that went.

        Raises:
            Conflict: it is their own, or was decided on already.
        """
        with self._database.write() as session:
            row = proposal_of(session, number)
            if row.is_by(by):
                raise Conflict(
                    "You proposed this change yourself.",
                    remedy="Have somebody else approve it, or withdraw it.",
                )
            self._require_waiting(row)
            row.state, row.decided_by, row.decided = ProposalState.APPLYING, by, now()
        return row

    def end(self, number: int, *, applied: bool) -> None:
        """Note that the change of a proposal that was begun was applied; or that it wasn't: it waits again."""
        with self._database.write() as session:
            row = proposal_of(session, number)
            row.state = ProposalState.APPROVED if applied else ProposalState.OPEN
            if not applied:
                row.decided_by, row.decided = None, None

    def reject(self, number: int, by: str, note: str) -> Proposal:
        """Note that a proposal is not to be applied; its own author withdraws it by this.

        Raises:
            Conflict: it was decided on already.
        """
        with self._database.write() as session:
            row = proposal_of(session, number)
            self._require_waiting(row)
            row.state = ProposalState.WITHDRAWN if row.is_by(by) else ProposalState.REJECTED
            row.decided_by, row.decided, row.note = by, now(), note.strip()[:MOST_WORDS]
        return row

    def _require_waiting(self, row: Proposal) -> None:
        """Refuse what was decided on, is being approved, or has waited for too long."""
        if row.busy or not row.waits:
            raise _decided(row)
        if self.expires(row) < now():
            raise expired(self.days)


def proposal_of(session: Session, number: int) -> Proposal:
    """Return a proposal. Raises :class:`NotFound` where there is none."""
    row = session.get(Proposal, number, with_for_update=True)
    if row is None:
        raise NotFound("There is no such proposal.", remedy="Choose one of the list.")
    return row


def _decided(row: Proposal) -> Conflict:
    if row.state == ProposalState.EXPIRED:
        return expired(None)
    words = {ProposalState.APPLYING: f"{row.decided_by} approves it just now."}
    said = words.get(ProposalState(row.state), f"It was {row.state} by {row.decided_by} already.")
    return Conflict(said, remedy="Load the page again.")


def expired(days: int | None) -> Conflict:
    """Return the error of a proposal that nobody approved in time."""
    after = "" if days is None else f": nobody decided on it within {days} days"
    return Conflict(
        f"This proposal has expired{after}.", remedy="Propose the change again, if it is still wanted."
    )
