"""Keep the state of detectors that were trained here: trial, approved, retired.

The state is kept in the database, by the detector's name and fingerprint, and not beside its files: a folder that is
copied, restored or replaced brings no approval along. Without a row a detector is on trial; what ships with the product
is approved without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from screening.infra.database import Base, Database, UntilChanged
from screening.infra.job_queue import UtcDateTime, now

ADOPT = "adopt_detectors"


class DetectorState(StrEnum):
    """States of a detector."""

    TRIAL = "trial"
    """It scores when its owner or a manager asks for it by its name."""
    APPROVED = "approved"
    """It scores every file that it fits."""
    RETIRED = "retired"
    """It scores nothing new; what it has scored stays readable."""


class StateRow(Base):
    """An entry in the history of a detector's state."""

    __tablename__ = "detector_states"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    owner: Mapped[str | None] = mapped_column(String(64))
    said_by: Mapped[str | None] = mapped_column(String(128))
    said: Mapped[datetime] = mapped_column(UtcDateTime)


class StartTask(Base):
    """A task that a migration leaves to the next start, since it sees the database only."""

    __tablename__ = "start_tasks"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)


@dataclass(frozen=True, slots=True)
class DetectorStanding:
    """The state of a detector, whose it is, and who said so when."""

    state: DetectorState
    owner: str | None = None
    """Account that trained it, in small letters; ``None`` for what ships, and where nobody knows."""
    said_by: str | None = None
    said: datetime | None = None

    def is_known_to(self, user: str | None, *, decides: bool) -> bool:
        """Return whether a user may see it: one on trial is its owner's and the managers' business.

        Args:
            user: the user's name; ``None`` for a visitor.
            decides: whether the user decides on detectors.
        """
        mine = user is not None and self.owner is not None and user.casefold() == self.owner
        return self.state is not DetectorState.TRIAL or decides or mine


def trial_note(name: str) -> str:
    """Return the note that accompanies every result of a detector on trial."""
    return f"The detector {name} is on trial: nobody has approved it yet. Check each flag before anybody acts on it."


class DetectorStates:
    """The rows, each change one short transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database
        """Database that holds them."""
        self._kept: UntilChanged[None, Mapping[str, StateRow]] = UntilChanged(database)

    def rows(self) -> Mapping[str, StateRow]:
        """Return the state row of each detector, by its name; nobody may change it."""
        return self._kept.get(None, self._read)

    def _read(self) -> Mapping[str, StateRow]:
        with self.database.read() as session:
            return {row.name: row for row in session.scalars(select(StateRow))}

    def say(self, name: str, fingerprint: str, state: DetectorState, by: str, owner: str | None) -> None:
        """Note a state. Whatever was said of another detector of this name is gone.

        Args:
            name: the detector's.
            fingerprint: the detector's: no other one gets the state.
            state: what it may do from now on.
            by: who says so.
            owner: who trained it.
        """
        row = StateRow(
            name=name,
            fingerprint=fingerprint,
            state=state.value,
            owner=None if owner is None else owner.casefold(),
            said_by=by,
            said=now(),
        )
        with self.database.write() as session:
            session.merge(row)

    def forget(self, name: str) -> None:
        """Drop what was said of a detector that is removed."""
        with self.database.write() as session:
            session.execute(delete(StateRow).where(StateRow.name == name))

    def detach_owner(self, owner: str) -> None:
        """Take the detectors on trial away from a name that somebody new has signed up with."""
        with self.database.write() as session:
            for row in session.scalars(select(StateRow).where(StateRow.owner == owner.casefold())):
                row.owner = None

    def to_adopt(self) -> bool:
        """Return whether the database is an earlier version's, whose detectors have no state yet."""
        with self.database.read() as session:
            return session.get(StartTask, ADOPT) is not None

    def adopt(self, fingerprints: Mapping[str, str]) -> bool:
        """Approve detectors that were in use before there were states, once.

        Args:
            fingerprints: by the detectors' names.

        Returns:
            Whether it was done now; another process may have been first.
        """
        with self.database.write() as session:
            task = session.get(StartTask, ADOPT, with_for_update=True)
            if task is None:
                return False
            session.delete(task)
            for name, fingerprint in fingerprints.items():
                approved = StateRow(
                    name=name,
                    fingerprint=fingerprint,
                    state=DetectorState.APPROVED.value,
                    said_by="upgrade",
                    said=now(),
                )
                session.merge(approved)
            return True
