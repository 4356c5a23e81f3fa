"""Writes the transactions of a detector of which it is known what they were as a file to learn from.

Labels come with files, from programs (chargebacks), and from decisions on cases; the last word about each counts. A
row's time and amount are the ledger's, since files write them in different forms; other cells are what was sent.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import select

from screening.detectors.detector import Detector
from screening.errors import BadFile
from screening.intake import header_of, read_records
from screening.ledger import money
from screening.ledger.filters import DecisionFilter
from screening.ledger.identity import TransactionId, parse
from screening.ledger.tables import Label
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder

if TYPE_CHECKING:
    from screening.ledger.ledger import Ledger

LABEL = "known_fraud"
"""The column that says what was fraud: 1 or 0."""
MOST_NAMES = 10_000
"""Names of columns that are remembered: a program may send any."""
WITH_FILE = "file"
"""The source of labels that came with their rows."""
QUERY = (
    'SELECT origin, number, screening, "values", moment, event_time, amount, currency, threshold, known, known_at '
    "FROM chosen WHERE known IS NOT NULL ORDER BY moment, origin, number"
)


@dataclass(slots=True)
class GatheredRows:
    """Result of gathering labelled rows."""

    rows: int = 0
    frauds: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    """Rows by who said what they were."""
    left_out: int = 0
    """Rows that can't be read any more: their file was deleted, or is read by whole columns."""
    delays: list[float] = field(default_factory=list)

    @property
    def delay(self) -> float | None:
        """Seconds after which half of the labels were there that came later; ``None`` where none did."""
        return float(np.median(self.delays)) if self.delays else None


def gather(path: Path, detector: Detector, ledger: Ledger, instance: Path) -> GatheredRows:
    """Write the labelled transactions of a detector, the earliest first.

    Args:
        path: of the file, CSV.
        detector: whose decisions they are, whatever it was trained on then.
        ledger: where they stand.
        instance: where the files of screenings are.

    Raises:
        BadFile: there are none, or the detector makes a column of several.
        TooMuch: the ledger didn't answer in time.
    """
    contract = detector.contract
    if contract.composed:
        raise BadFile(
            f"{detector.name} makes a column of several of its files, so their rows can't be put together.",
            remedy="Train on a file instead.",
        )
    columns = contract.columns
    rows = ledger.questions.ask(QUERY, DecisionFilter(detector=detector.name)).rows
    with ledger.tables.read() as session:
        said = {parse(row.id): row.source for row in session.execute(select(Label.id, Label.source))}
    found = GatheredRows()
    own = _Own.of(detector)
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*columns, LABEL])
        for row, cells in with_cells(rows, columns, instance):
            if cells is None:
                found.left_out += 1
                continue
            found.rows += 1
            found.frauds += row["known"]
            found.sources[said.get(TransactionId(row["origin"], row["number"]), WITH_FILE)] += 1
            if row["known_at"] is not None:
                found.delays.append(max(0.0, (row["known_at"] - row["moment"]).total_seconds()))
            writer.writerow([*own.cells(cells, row), row["known"]])
    if not found.rows:
        raise BadFile(
            f"Of no transaction of {detector.name} that can still be read is it known what it was.",
            remedy="Decide on cases (/review), send labels (POST /labels), or screen a file with labels first.",
        )
    return found


@dataclass(frozen=True, slots=True)
class _Own:
    """Places of the cells that are the ledger's: time and amount; ``None`` where the detector has none."""

    time: int | None
    amount: int | None

    @classmethod
    def of(cls, detector: Detector) -> _Own:
        """Look them up, once for all rows."""
        contract = detector.contract
        dated = contract.has_calendar and contract.time is not None
        return cls(
            time=contract.columns.index(contract.time) if dated else None,
            amount=None if contract.amount is None else contract.columns.index(contract.amount),
        )

    def cells(self, cells: list[str], row: Mapping[str, Any]) -> list[str]:
        """Return the cells with time and amount as the ledger has them."""
        if self.time is not None and row["event_time"] is not None:
            cells[self.time] = f"{row['event_time'].isoformat(timespec='microseconds')}Z"
        if self.amount is not None and row["amount"] is not None:
            cells[self.amount] = repr(money.major(row["amount"], row["currency"]))
        return cells


def with_cells(
    rows: Sequence[dict[str, Any]], columns: Sequence[str], instance: Path
) -> Iterator[tuple[dict[str, Any], list[str] | None]]:
    """Give each row with its cells, in the order of the rows; ``None`` where they can't be read."""
    files: dict[str, _File | None] = {}
    plain = lru_cache(MOST_NAMES)(lambda name: name.strip().casefold())
    wanted = [plain(name) for name in columns]
    for row in rows:
        if row["values"] is not None:
            given = {plain(name): cell for name, cell in json.loads(row["values"]).items()}
            cells = (given.get(name) for name in wanted)
            yield row, ["" if cell is None else str(cell) for cell in cells]
            continue
        if row["screening"] is None:
            # of a job over a folder, where its cells are
            yield row, None
            continue
        screening = str(row["screening"])
        if screening not in files:
            files[screening] = _File.of(UploadFolder.kept(instance, screening), row["threshold"], columns)
        file = files[screening]
        yield row, None if file is None else file.cells(row["number"])


@dataclass(frozen=True, slots=True)
class _File:
    """The rows of a screening."""

    outcome: ScreeningOutcome
    places: Sequence[int]

    @classmethod
    def of(cls, folder: UploadFolder, threshold: float, columns: Sequence[str]) -> _File | None:
        """Return the file of a screening; ``None`` where it is gone, or its rows can't be read one by one."""
        found = ScreeningOutcome(folder, threshold)
        if not found.there or not found.canonical.exists() or not found.meta.get("plain", False):
            return None
        called = found.meta.get("columns", {})
        header = [name.strip().casefold() for name in header_of(found.canonical)]
        wanted = [str(called.get(name, name)).strip().casefold() for name in columns]
        if not set(wanted) <= set(header):
            return None
        return cls(found, [header.index(name) for name in wanted])

    def cells(self, number: int) -> list[str]:
        """Return the cells of a row, from 1."""
        (record,) = read_records(self.outcome.canonical, np.asarray(self.outcome.offsets), [number - 1])
        return [record[place] for place in self.places]
