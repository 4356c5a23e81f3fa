"""Four eyes: a change of how transactions are decided is applied at once, or waits for somebody else's approval.

Each such action is registered with what it needs as plain data, so that it can wait in the store: a view makes the
data of its form, checks them, and calls :func:`carry_out`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import flash, url_for

from screening.accounts.proposals import Proposal
from screening.errors import Conflict, ScreeningError
from screening.web.http import request_audit
from screening.web.http.sessions import may, user
from screening.web.services import services
from screening.web.views import notices

Apply = Callable[[Mapping[str, Any], str], str]
"""Takes what the action needs and who proposed it, applies it, and returns what to tell whoever applied it."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that four eyes look at: the word for it, the permission that it takes, what applies it, and whether two
    that change the same would be outdated by each other.
    """

    word: str
    permission: str
    apply: Apply
    alone: bool = True


ACTIONS: dict[str, Action] = {}


def action(
    kind: str, word: str, permission: str = "decide", *, alone: bool = True
) -> Callable[[Apply], Apply]:
    """Register what applies an action.

    Args:
        kind: its name in the store, to 32 characters.
        word: its name on pages.
        permission: what whoever proposes or approves it must have.
        alone: whether of one subject one such change can wait, not several.
    """

    def register(apply: Apply) -> Apply:
        ACTIONS[kind] = Action(word, permission, apply, alone)
        return apply

    return register


def carry_out(kind: str, subject: str, words: str, given: Mapping[str, Any]) -> bool:
    """Apply an action, or propose it where ``FOUR_EYES`` is on; say which on the next page.

    Args:
        kind: which action.
        subject: what it changes: the name of a detector or rule.
        words: what it does, for whoever approves it.
        given: what it needs, as JSON has it; also what was seen, so that :attr:`Action.apply` can refuse what changed.

    Returns:
        whether it was applied.

    Raises:
        ScreeningError: it can't be applied, or proposed.
    """
    me = user().username
    if not services().settings.four_eyes:
        flash(ACTIONS[kind].apply(given, me))
        return True
    found = ACTIONS[kind]
    row = services().proposals.propose(kind, subject, words, given, me, alone=found.alone)
    request_audit.record("change_proposed", proposal=row.id, kind=kind, subject=subject, words=words)
    notices.tell(
        "change.proposed", f"{me} proposes: {words}", url_for("approvals.index"), permission=found.permission
    )
    flash(f"Proposed: {words} It holds once somebody else has approved it (Approvals).")
    return False


def approve(number: int) -> Proposal:
    """Apply a proposal of somebody else.

    Raises:
        Conflict: it is one's own, was decided on, or another permission is needed.
        ScreeningError: it can't be applied any more; it goes on waiting.
    """
    me, proposals = user().username, services().proposals
    row = proposals.begin(number, me)
    done = False
    try:
        found = ACTIONS.get(row.kind)
        if found is None or not may(found.permission):
            raise Conflict("You can't approve a change of this kind.", remedy="Ask somebody who may make it.")
        said = found.apply(row.given, row.proposed_by)
        done = True
    finally:
        proposals.end(number, applied=done)
    request_audit.record(
        "change_approved", proposal=row.id, kind=row.kind, subject=row.subject, proposed_by=row.proposed_by
    )
    notices.tell(
        "change.approved", f"{me} approved: {row.words}", url_for("approvals.index"), to=row.proposed_by
    )
    flash(said)
    return row


def reject(number: int, note: str) -> Proposal:
    """Reject a proposal, or withdraw one's own.

    Raises:
        Conflict: it was decided on already.
    """
    row = services().proposals.reject(number, user().username, note)
    event = "change_withdrawn" if row.is_by(user().username) else "change_rejected"
    request_audit.record(
        event, proposal=row.id, kind=row.kind, subject=row.subject, proposed_by=row.proposed_by, note=row.note
    )
    words = f"{user().username} rejected: {row.words}"
    notices.tell("change.rejected", words, url_for("approvals.index"), to=row.proposed_by)
    flash(f"{row.state.capitalize()}: {row.words}")
    return row


class Outdated(ScreeningError):
    """The subject of a proposal was changed since; the proposal can only be rejected."""

    status = 409
    title = "This can't be applied any more"
