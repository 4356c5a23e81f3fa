"""The trainings of detectors: who asked for which from what file, and how far it got; and their folders."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Index, String, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from screening.errors import Conflict, NotFound, ScreeningError
from screening.infra.database import Base
from screening.infra.job_queue import (
    ARRIVAL,
    DONE,
    FAILED,
    MOST_ATTEMPTS,
    RECEIVING,
    RUNNING,
    Jobs,
    Payload,
    Staged,
    now,
)
from screening.training.kept_options import are_sound
from screening.uploads.upload_folder import UploadFolder

__all__ = [
    "CANCELLED",
    "CHOOSING",
    "DONE",
    "FAILED",
    "LONGEST_DELAY",
    "OPEN_STATES",
    "RECEIVING",
    "RUNNING",
    "WAITING",
    "Training",
    "TrainingFolder",
    "Trainings",
]

CHOOSING, WAITING, CANCELLED = "choosing", "waiting", "cancelled"
OPEN_STATES = (RECEIVING, CHOOSING, WAITING, RUNNING)
MENDABLE = (CHOOSING, FAILED)
"""States in which the columns can be chosen, or chosen again."""
WITH_FILES = (*OPEN_STATES, FAILED)
"""States in which the file is still needed."""
PARTS = "trainings"
LONGEST_DELAY = 3650
"""Days until a fraud is known, at most."""


class Training(Staged, Base):
    """One order to make a detector of a labelled file."""

    __tablename__ = "trainings"
    __table_args__ = (Index("trainings_by_state", "state"),)
    open_states = OPEN_STATES

    name: Mapped[str] = mapped_column(String(40))
    """Name of the new detector."""
    options: Mapped[dict[str, Any]] = mapped_column(Payload(dict, are_sound, lost=dict))
    """``label``; ``columns`` as they were chosen or guessed, each with its ``reason``; ``label_delay`` in seconds,
    ``keep_leaks``, ``quick``, ``remember``, ``seed``."""

    @property
    def mendable(self) -> bool:
        """Return whether its columns can be chosen (again)."""
        return self.state in MENDABLE

    @property
    def seconds(self) -> float | None:
        """Duration of the work in seconds, from its (last) beginning."""
        return (self.finished - self.started).total_seconds() if self.finished and self.started else None


class TrainingFolder(UploadFolder):
    """``<instance>/trainings/<id>``: the file, the order, what is being made, and its scratch files."""

    def __init__(self, instance: Path, training_id: str) -> None:
        super().__init__(instance, training_id)
        self._lay_out(instance / PARTS / training_id)
        self.order = self.path / "order.json"
        self.made = self.path / "detector"
        """The new detector: it appears when it is whole."""
        self.moving = self.path / "moving"
        """Says that the new detector is being put into its place, or is there."""
        self.scratch = self.path / "scratch"
        self.log = self.path / "log"

    def clear(self) -> None:
        """Remove what an earlier attempt left; the file stays."""
        for path in (self.made, self.made.with_name(f".{self.made.name}.part"), self.scratch):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.order, self.moving, self.log):
            path.unlink(missing_ok=True)


class Trainings(Jobs[Training]):
    """The trainings, each change one short transaction."""

    table = Training
    waiting = WAITING
    claimable = (WAITING, RUNNING)

    def begin(self, training_id: str, *, owner: str, filename: str, kind: str, name: str) -> None:
        """Note that a file is being received.

        Raises:
            Conflict: a detector of this name is being made already.
        """
        training = Training(
            id=training_id,
            owner=owner,
            filename=filename[:255],
            kind=kind,
            name=name,
            options={},
            created=now(),
            lease_until=self.moment(ARRIVAL),
        )
        with self._database.write() as session:
            _require_free(session, name, training_id)
            session.add(training)

    def received(self, training_id: str, size: int, sha256: str, options: Mapping[str, Any]) -> None:
        """Mark the whole file as received: now somebody chooses what its columns are."""
        arrived = {"size": size, "sha256": sha256, "state": CHOOSING, "lease_until": None}
        self._change(training_id, (RECEIVING,), {**arrived, "options": dict(options)})

    def describe(self, training_id: str, options: Mapping[str, Any]) -> None:
        """Note what was guessed of the columns."""
        self._change(training_id, MENDABLE, {"options": dict(options)})

    def require_free(self, name: str, training_id: str) -> None:
        """Refuse a name that another training makes a detector of.

        Raises:
            Conflict: a detector of this name is being made already.
        """
        with self._database.read() as session:
            _require_free(session, name, training_id)

    def order(self, training_id: str, name: str, options: Mapping[str, Any]) -> None:
        """Let the training wait for its turn.

        Raises:
            Conflict: it isn't one that can be started, or a detector of this name is being made already.
        """
        fresh = {
            "attempts": 0,
            "progress": 0.0,
            "stage": "",
            "error": None,
            "finished": None,
            "started": None,
        }
        chosen = {"name": name, "options": dict(options), "state": WAITING}
        if not self._change(training_id, MENDABLE, {**chosen, **fresh}, free=name):
            raise Conflict(
                "This training can't be started.", remedy="Look at its page: it runs, or has ended."
            )
        self.tell_waiting()

    def cancel(self, training_id: str) -> bool:
        """Call it off, whoever works on it; ``False`` when it has ended already."""
        ended = {"state": CANCELLED, "holder": None, "lease_until": None, "finished": now()}
        cancelled = self._change(training_id, OPEN_STATES, ended)
        self.tell_ended()
        return cancelled

    def found(self, training_id: str) -> Training:
        """Return the row.

        Raises:
            NotFound: there is none.
        """
        training = self.get(training_id)
        if training is None:
            raise NotFound("There is no such training.", remedy="Look for it in the list of detectors.")
        return training

    def recent(self, limit: int = 50) -> Sequence[Training]:
        """Return the latest ones, latest first."""
        with self._database.read() as session:
            return session.scalars(select(Training).order_by(Training.created.desc()).limit(limit)).all()

    def with_files(self) -> set[str]:
        """Return the ids of those whose file is still needed, for clearing the folders of the others."""
        with self._database.read() as session:
            return set(session.scalars(select(Training.id).where(Training.state.in_(WITH_FILES))))

    def _change(
        self,
        training_id: str,
        states: tuple[str, ...],
        values: Mapping[str, Any],
        *,
        free: str | None = None,
    ) -> bool:
        """Change the row if it is in one of the states, and the name ``free`` isn't another's."""
        with self._database.write() as session:
            if free is not None:
                _require_free(session, free, training_id)
            mine = update(Training).where(Training.id == training_id, Training.state.in_(states))
            return bool(session.execute(mine.values(values)).rowcount)  # type: ignore[attr-defined]

    def _hopeless(self) -> ScreeningError:
        return TrainingGivenUp(
            f"The training was stopped {MOST_ATTEMPTS} times before its end: its process was killed, or the "
            "server was.",
            remedy="Mostly the memory ran out: train on fewer rows or columns, or on a larger machine.",
        )


def _require_free(session: Session, name: str, training_id: str) -> None:
    others = Training.name == name, Training.state.in_(OPEN_STATES), Training.id != training_id
    if session.scalar(select(Training.id).where(*others)) is not None:
        raise Conflict(
            f"A detector {name} is being made already.",
            where="name",
            remedy="Choose another name, or cancel that training.",
        )


class TrainingGivenUp(ScreeningError):
    """A training that ended again and again without an answer."""

    status = 500
    title = "This training did not finish"
