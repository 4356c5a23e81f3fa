"""Keep the shadow runs of detectors: what a manager started and stopped.

A detector in the shadow scores what another one has decided on, afterwards, and nobody is told but managers. What it
said appears in the ledger, under the id of its run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import JSON, Index, String, select, text
from sqlalchemy.orm import Mapped, mapped_column

from screening.detectors.detector import Detector
from screening.errors import Conflict, NotFound
from screening.infra.database import Base, Database, UntilChanged
from screening.infra.job_queue import UtcDateTime, new_id, now

LONGEST_REASON = 300


class ShadowRun(Base):
    """One detector in the shadow of another, from its start to its end."""

    __tablename__ = "detector_shadows"
    __table_args__ = (
        Index(
            "detector_shadows_one",
            "first",
            unique=True,
            sqlite_where=text("stopped IS NULL"),
            postgresql_where=text("stopped IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    first: Mapped[str] = mapped_column(String(64))
    """Detector whose decisions are scored once more."""
    first_fingerprint: Mapped[str] = mapped_column(String(64))
    shadow: Mapped[str] = mapped_column(String(64))
    """Detector that scores them."""
    shadow_fingerprint: Mapped[str] = mapped_column(String(64))
    columns: Mapped[list[str]] = mapped_column(JSON)
    """Columns that the shadow reads: the API keeps these of a transaction, too, as long as it runs."""
    lacking: Mapped[list[str]] = mapped_column(JSON)
    """Those of them that the first detector doesn't read: rows without them can't be scored."""
    started: Mapped[datetime] = mapped_column(UtcDateTime)
    started_by: Mapped[str] = mapped_column(String(128))
    stopped: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stopped_by: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str | None] = mapped_column(String(LONGEST_REASON))
    """Reason for its end, where nobody did."""

    @property
    def runs(self) -> bool:
        """Return whether it goes on."""
        return self.stopped is None


def lacking(first: Detector, shadow: Detector) -> list[str]:
    """Return the columns that one detector can't do without and another doesn't read."""
    known = {column.name.strip().casefold() for column in first.contract.parts()}
    return [
        column.name
        for column in shadow.contract.parts()
        if not column.optional and column.name.strip().casefold() not in known
    ]


class ShadowRuns:
    """The rows, each change one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: UntilChanged[None, Mapping[str, ShadowRun]] = UntilChanged(database)

    def running(self) -> Mapping[str, ShadowRun]:
        """Return those that go on, by the name of the first detector; nobody may change them."""
        return self._kept.get(None, self._read)

    def _read(self) -> Mapping[str, ShadowRun]:
        with self._database.read() as session:
            return {row.first: row for row in session.scalars(select(ShadowRun).where(_RUNS))}

    def all(self) -> Sequence[ShadowRun]:
        """Return all of them, the latest first."""
        with self._database.read() as session:
            return session.scalars(select(ShadowRun).order_by(ShadowRun.started.desc())).all()

    def get(self, run: str) -> ShadowRun:
        """Return one.

        Raises:
            NotFound: there is none.
        """
        with self._database.read() as session:
            found = session.get(ShadowRun, run)
        if found is None:
            raise NotFound("There is no such shadow run.", remedy="Look for it in the list.")
        return found

    def start(self, first: Detector, shadow: Detector, by: str) -> ShadowRun:
        """Let a detector score what another one decides on from now on.

        Raises:
            Conflict: it is that one, or another one runs in its shadow already.
        """
        if first.fingerprint == shadow.fingerprint:
            raise Conflict(
                f"{shadow.name} is the same detector as {first.name}.", remedy="Choose another one."
            )
        row = ShadowRun(
            id=new_id(),
            first=first.name,
            first_fingerprint=first.fingerprint,
            shadow=shadow.name,
            shadow_fingerprint=shadow.fingerprint,
            columns=[column.name for column in shadow.contract.parts()],
            lacking=lacking(first, shadow),
            started=now(),
            started_by=by,
        )
        with self._database.write() as session:
            other = session.scalar(
                select(ShadowRun).where(_RUNS, ShadowRun.first == first.name).with_for_update()
            )
            if other is not None:
                raise Conflict(
                    f"{other.shadow} runs in the shadow of {first.name} already.", remedy="Stop it first."
                )
            session.add(row)
        return row

    def stop(self, run: str, by: str | None, reason: str | None = None) -> ShadowRun:
        """Let it score no more; what it said stays. One that was stopped already is left as it is.

        Raises:
            NotFound: there is none.
        """
        with self._database.write() as session:
            row = session.get(ShadowRun, run, with_for_update=True)
            if row is None:
                raise NotFound("There is no such shadow run.", remedy="Look for it in the list.")
            if row.runs:
                row.stopped, row.stopped_by = now(), by
                row.reason = None if reason is None else reason[:LONGEST_REASON]
        return row


_RUNS = ShadowRun.stopped.is_(None)
