"""Makes one document: in a process of its own for the worker, or at the command line.

``python -m screening.infra.child_process screening.reports.making ORDER.json`` writes the file that the order names,
and says on its standard output how far it is; see :mod:`screening.infra.child_work`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

from screening.bucket.storage import Storage
from screening.detectors.registry import Detectors
from screening.detectors.states import DetectorStates
from screening.errors import Conflict, NotFound, ScreeningError
from screening.infra.database import Database
from screening.ledger.filters import DecisionFilter
from screening.ledger.ledger import Ledger
from screening.reports.documents import Document, DocumentSubject
from screening.settings import Settings
from screening.uploads.results import ScreeningOutcome
from screening.uploads.screenings import DONE, Screening, Screenings
from screening.uploads.upload_folder import UploadFolder

SAY_SECONDS = 0.3
Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class ReportServices:
    """Services that documents are made with."""

    settings: Settings
    database: Database
    screenings: Screenings
    ledger: Ledger
    detectors: Callable[[], Detectors]
    """Gives the detectors: a workbook needs none, and they take seconds to be loaded."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Open what an instance has."""
        database = Database(settings.database_url)
        ledger = Ledger.open(
            settings.instance,
            settings.database_url,
            state_url=settings.state_url,
            storage=Storage.of(settings),
        )
        return cls(
            settings,
            database,
            Screenings(database),
            ledger,
            lambda: Detectors(settings, DetectorStates(database)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentOrder:
    """Order for a document: which one, and for whom."""

    what: DocumentSubject
    kind: str
    author: str
    made: datetime
    subject: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    whose: str | None = None

    @classmethod
    def of(cls, document: Document, made: datetime) -> Self:
        """Return what a row asks for."""
        return cls(
            what=DocumentSubject(document.what),
            kind=document.kind,
            author=document.author,
            made=made,
            subject=document.subject,
            start=document.start,
            end=document.end,
            whose=document.whose,
        )

    @property
    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        moments = {
            name: at and at.isoformat()
            for name, at in (("made", self.made), ("start", self.start), ("end", self.end))
        }
        return {
            "what": self.what.value, "kind": self.kind, "author": self.author, "subject": self.subject,
            "whose": self.whose, **moments,
        }  # fmt: skip

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Return what :attr:`as_dict` wrote."""
        moments = {
            name: given[name] and datetime.fromisoformat(given[name]) for name in ("made", "start", "end")
        }
        return cls(**{**given, **moments, "what": DocumentSubject(given["what"])})


def make(order: DocumentOrder, desk: ReportServices, file: IO[bytes], progress: Progress) -> None:
    """Write a document.

    Args:
        order: which.
        desk: what it is made of.
        file: where it goes, opened for writing bytes.
        progress: is told the share that is done, 0 to 1, and what is being done; may raise to stop the work.

    Raises:
        NotFound, Conflict: what it is about isn't there, or has no result.
        BadArtefact: a detector can't be loaded.
        TooMuch: the ledger didn't answer in time.
    """
    if order.what is DocumentSubject.SCREENING:
        _of_screening(order, desk, file, progress)
    elif order.what is DocumentSubject.PERIOD:
        _of_period(order, desk, file, progress)
    else:
        _of_model(order, desk, file, progress)


def _of_model(order: DocumentOrder, desk: ReportServices, file: IO[bytes], progress: Progress) -> None:
    from screening.reports.model_pack import model_pack
    from screening.reports.model_record import record_of

    progress(0.0, "Reading what is on record")
    detectors = desk.detectors()
    detector = detectors.get(order.subject)
    record = record_of(
        detector,
        detectors.standing(detector.name),
        settings=desk.settings,
        database=desk.database,
        questions=desk.ledger.questions,
    )
    progress(0.5, "Setting the document")
    file.write(model_pack(record, author=order.author, made=order.made))


def _of_screening(order: DocumentOrder, desk: ReportServices, file: IO[bytes], progress: Progress) -> None:
    screening = _screening(desk, str(order.subject))
    found = ScreeningOutcome(UploadFolder.kept(desk.settings.instance, screening.id), screening.threshold)
    try:
        if order.kind == "xlsx":
            from screening.reports.screening_workbook import write_screening

            write_screening(file, screening, found, author=order.author, made=order.made, progress=progress)
        else:
            from screening.reports.screening_report import screening_pdf

            # the detector that scored it, if it is still there and still the same
            known = desk.detectors().all()
            scorer = next((one for one in known if one.fingerprint == screening.fingerprint), None)
            file.write(
                screening_pdf(
                    screening,
                    found,
                    scorer,
                    author=order.author,
                    made=order.made,
                )
            )
    except FileNotFoundError:
        raise NotFound(
            "The files of this screening are gone from the disk.", remedy="Upload the file again."
        ) from None


def _screening(desk: ReportServices, wanted: str) -> Screening:
    found = desk.screenings.get(wanted)
    if found is None:
        raise NotFound(
            f"There is no screening {wanted[:60]}.", remedy="Take the id at the end of its page's address."
        )
    if found.state != DONE:
        raise Conflict(
            "This screening has no result.", remedy="Wait until it is done, or screen the file again."
        )
    return found


def _of_period(order: DocumentOrder, desk: ReportServices, file: IO[bytes], progress: Progress) -> None:
    from screening.reports import period_report

    chosen = DecisionFilter(owner=order.whose, start=order.start, end=order.end)
    questions = desk.ledger.questions
    progress(0.0, "Counting decisions")
    rows = period_report.MOST_ROWS if order.kind == "pdf" else 0
    found = period_report.figures(questions, chosen, most_rows=rows)
    told: dict[str, Any] = {"whose": order.whose or "everybody", "author": order.author, "made": order.made}
    if order.kind == "pdf":
        file.write(period_report.period_pdf(found, **told))
        return
    from screening.reports.period_workbook import write_period

    def named(screening_id: str) -> tuple[str, int] | None:
        known = desk.screenings.get(screening_id)
        return None if known is None else (known.filename, known.set_aside)

    write_period(file, found, questions, chosen, whole=True, files=named, progress=progress, **told)


def main(arguments: list[str]) -> int:
    """Make what an order says, and return the exit status."""
    given = json.loads(Path(arguments[0]).read_text("utf-8"))
    target = Path(given.pop("out"))
    last = 0.0

    def say(share: float, stage: str) -> None:
        nonlocal last
        if time.monotonic() - last >= SAY_SECONDS:
            last = time.monotonic()
            tell({"progress": share, "stage": stage})

    try:
        with target.open("wb") as file:
            make(DocumentOrder.read(given), ReportServices.of(Settings.from_environ()), file, say)
            file.flush()
            os.fsync(file.fileno())
    except ScreeningError as problem:
        tell({"error": problem.as_dict()})
        return 1
    tell({"done": {"size": target.stat().st_size}})
    return 0


def tell(said: Mapping[str, Any]) -> None:
    """Write one line of JSON, which the process that began this one reads."""
    print(json.dumps(said), flush=True)  # noqa: T201 -- the parent reads it


def now() -> datetime:
    """Return the present time, aware."""
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
