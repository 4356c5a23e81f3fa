"""A detector that is asked as a program asks it, over a ledger of its own."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.detectors.vectorizer import NOTHING, History
from screening.intake import FileKind, open_transactions
from screening.ledger.ledger import Ledger
from screening.ledger.velocity.entries import Viewer
from screening.ledger.velocity.live_past import LivePast
from screening.realtime.decide import decide
from screening.realtime.questions import Caller, DecisionRequest

Row = dict[str, Any]


@dataclass
class Desk:
    """One process that answers; several can share a folder.

    Args:
        folder: of the instance.
        detector: that is asked.
        store: the address of a PostgreSQL in which all tables are, or of a Redis in which the velocity state is; by
            default all is in SQLite.
    """

    folder: Path
    detector: Detector
    store: str | None = None
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        tables = f"sqlite:///{self.folder / 'app.sqlite3'}"
        if self.store is not None and self.state_url is None:
            tables = self.store
        self.ledger = Ledger.open(self.folder, tables, "normal", self.state_url)

    @property
    def state_url(self) -> str | None:
        """Where the state is, if it isn't among the tables."""
        return None if self.store is None or self.store.startswith("postgresql") else self.store

    def question(self, rows: Sequence[Row], owner: str = "till", *, shared: bool = True) -> DecisionRequest:
        subject, definition = self.ledger.velocity.subject(self.detector), self.detector.vectorizer.definition
        history = NOTHING
        if subject is not None and definition is not None:
            history = History(past=LivePast(definition, None, self.ledger.velocity, subject, Viewer(owner)))
        return DecisionRequest(
            transactions=rows,
            single=False,
            detector=self.detector,
            history=history,
            caller=Caller(owner=owner, shared=shared),
        )

    def ask(self, rows: Sequence[Row], owner: str = "till", *, shared: bool = True) -> list[dict[str, Any]]:
        """What one request is answered."""
        (answer,) = decide([self.question(rows, owner, shared=shared)], self.ledger, threshold=0.8)
        assert isinstance(answer, bytes), answer
        results: list[dict[str, Any]] = json.loads(answer)["results"]
        return results

    def probabilities(self, rows: Sequence[Row]) -> list[float]:
        return [each["fraud_probability"] for each in self.ask(rows)]

    def close(self) -> None:
        self.ledger.tables.engine.dispose()


def as_file(detector: Detector, file: Path, work: Path) -> tuple[list[Row], NDArray[np.float32]]:
    """The rows of a CSV file as a program has them, by their times, and what the file's upload gives for them."""
    with file.open("rb") as stream:
        batches = list(
            open_transactions(
                stream, FileKind.CSV, lambda _header: detector.contract, canonical=work / "canonical.csv"
            )
        )
    values = np.concatenate([batch.transactions.values for batch in batches])
    labels = [batch.labels for batch in batches if batch.labels is not None]
    found = detector.probabilities(
        type(batches[0].transactions)(batches[0].transactions.columns, values),
        History(np.concatenate(labels) if labels else None),
    )
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [{name: _value(cell) for name, cell in row.items()} for row in csv.DictReader(lines)]
    time = detector.contract.time
    assert time is not None
    order = np.argsort(values[:, detector.contract.columns.index(time)], kind="stable")
    return [rows[place] for place in order], found[order]


def _value(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell
