"""The tables of rules: what each is, what it was before, and the lists that rules look into."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from screening.infra.database import Base
from screening.infra.job_queue import UtcDateTime

MOST_NAME, MOST_NOTE, MOST_ENTRY = 64, 500, 200


class Effect(StrEnum):
    """Effects of a rule on a transaction that fulfils it."""

    FLAG = "flag"
    """It is flagged, even below the threshold."""
    RAISE = "raise"
    """It is named with the transaction, whose flag stays as it is: somebody should look at it."""
    SILENCE = "silence"
    """It isn't flagged, even above the threshold, unless another rule flags it."""


class RuleState(StrEnum):
    """States of a rule."""

    DRAFT = "draft"
    """It is written, and asked of nothing but the past."""
    SHADOW = "shadow"
    """It is asked of each transaction and decides nothing: what it would have done is kept."""
    ACTIVE = "active"
    """It has its effect."""
    OFF = "off"
    """It is asked of nothing any more."""


ASKED = (RuleState.SHADOW, RuleState.ACTIVE)
"""Rules that are asked of each transaction: a manager's word."""


class Purpose(StrEnum):
    """Purposes of a list."""

    BLOCK = "block"
    ALLOW = "allow"


class _Told:
    """Text of a rule, now or in an earlier version."""

    name: Mapped[str] = mapped_column(String(MOST_NAME))
    detector: Mapped[str | None] = mapped_column(String(64))
    """Owner of the transactions that it is asked of; ``None`` is everybody's."""
    condition: Mapped[str] = mapped_column(Text)
    """The text of the rule."""
    effect: Mapped[str] = mapped_column(String(16))
    fraud_type: Mapped[str | None] = mapped_column(String(64))
    note: Mapped[str] = mapped_column(String(MOST_NOTE))
    """Reason for the rule; it is told with a flag of its own."""
    owner: Mapped[str] = mapped_column(String(64))
    """Account to ask about it."""
    state: Mapped[str] = mapped_column(String(16))
    changed: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_by: Mapped[str] = mapped_column(String(128))


TOLD = (
    "name",
    "detector",
    "condition",
    "effect",
    "fraud_type",
    "note",
    "owner",
    "state",
    "changed",
    "changed_by",
)


class Rule(_Told, Base):
    """A rule as it is now."""

    __tablename__ = "rules"
    __table_args__ = (Index("rules_one_name", "name", unique=True),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)

    def told(self) -> dict[str, Any]:
        """Return what it says."""
        return {name: getattr(self, name) for name in TOLD}


class RuleVersion(_Told, Base):
    """A rule as it was after one change."""

    __tablename__ = "rule_versions"

    rule: Mapped[int] = mapped_column(Integer, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)


class RuleList(Base):
    """A list of one kind: who is blocked, or let pass."""

    __tablename__ = "rule_lists"

    name: Mapped[str] = mapped_column(String(MOST_NAME), primary_key=True)
    """In small letters, as rules name it."""
    kind: Mapped[str] = mapped_column(String(16))
    """A text field of transactions, or ``text`` for any."""
    purpose: Mapped[str] = mapped_column(String(16))
    note: Mapped[str] = mapped_column(String(MOST_NOTE))
    made: Mapped[datetime] = mapped_column(UtcDateTime)
    made_by: Mapped[str] = mapped_column(String(128))


class ListEntry(Base):
    """One entry of a list, as rules compare texts. A card's number is a token."""

    __tablename__ = "rule_list_entries"

    list: Mapped[str] = mapped_column(String(MOST_NAME), primary_key=True)
    entry: Mapped[str] = mapped_column(String(MOST_ENTRY), primary_key=True)
    note: Mapped[str] = mapped_column(String(200))
    added: Mapped[datetime] = mapped_column(UtcDateTime)
    added_by: Mapped[str] = mapped_column(String(128))


class RuleClock(Base):
    """Counts changes of rules and lists; one row."""

    __tablename__ = "rules_clock"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
