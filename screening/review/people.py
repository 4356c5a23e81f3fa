"""Whoever works on cases, and which of them they see."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, true

from screening.review.tables import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """An account as the queue knows it."""

    name: str
    """In small letters."""
    sees_all: bool = False
    """Everybody's cases."""
    decides: bool = False
    """Is given escalated cases, too, and hands over those of others."""
    team: bool = False
    """Whether the operator has everybody work on everybody's cases."""


def visible(who: Reviewer) -> ColumnElement[bool]:
    """Return the condition that somebody may see a case: their own transactions, or one that was handed to them."""
    if who.sees_all or who.team:
        return true()
    return or_(Case.owner == who.name, Case.assignee == who.name)


def takeable(who: Reviewer) -> ColumnElement[bool]:
    """Return the condition that a case waits, and somebody may be given it."""
    conditions: list[ColumnElement[bool]] = [Case.waiting.is_(True)]
    if not (who.sees_all or who.team):
        conditions.append(Case.owner == who.name)
    if not who.decides:
        conditions.append(Case.escalated.is_(False))
    return and_(*conditions)
