"""One decision of a detector, step by step: the row, its inputs, the scaling, the layers, the probability, the flag."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from screening.detectors.artifacts import read_artefact
from screening.detectors.detector import Detector
from screening.detectors.vectorizer import NOTHING, History
from screening.errors import BadArtefact, ScreeningError
from screening.intake import FileKind, header_of, open_transactions, read_records
from screening.scoring import thresholds
from screening.scoring.metrics import Quality, measure
from screening.teaching.layers import LayerOutput, Net, UnknownLayer
from screening.transactions.schema import CellKind, Role, Transactions

STEPS = 31
"""Values for which the probability is shown as one value moves."""
LADDER = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
KEPT = 4
"""Lessons, and nets, that a process keeps."""
MOVABLE = (Role.AMOUNT, Role.NUMBER)


class NoLesson(ScreeningError):
    """Something that a class asked for and that can't be shown."""

    status = 400
    title = "This can't be shown"


@dataclass(frozen=True, slots=True)
class NetInput:
    """One input of the net for the row: before and after the scaling."""

    name: str
    value: float
    centre: float
    scale: float
    scaled: float
    moved: bool
    """Whether it is another one than before a value was moved."""


@dataclass(frozen=True, slots=True)
class RowWalk:
    """One row on its way through the detector."""

    cells: Sequence[tuple[str, str]]
    label: int
    """1 fraud, 0 legitimate, -1 unknown."""
    inputs: Sequence[NetInput]
    layers: Sequence[LayerOutput]
    stopped: str
    """The layer at which the walk through the net had to end; empty if it didn't."""
    probability: float
    before: float
    """The probability of the row as it is in the file."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A labelled file of a detector, scored once: what a class looks at."""

    detector: Detector
    header: Sequence[str]
    records: Sequence[Sequence[str]]
    transactions: Transactions
    labels: NDArray[np.int8]
    probabilities: NDArray[np.float32]
    amounts: NDArray[np.float64] | None
    seen: History
    """The file's rows and labels, as the past of one of them."""

    @classmethod
    def of(cls, detector: Detector, content: bytes) -> Lesson:
        """Read and score a file.

        Raises:
            BadFile: it isn't one of the detector's.
        """
        with TemporaryDirectory() as folder:
            canonical = Path(folder) / "canonical.csv"
            choose = lambda _head: detector.contract  # noqa: E731
            batches = list(open_transactions(io.BytesIO(content), FileKind.CSV, choose, canonical=canonical))
            source = canonical if canonical.exists() else Path(folder) / "file.csv"
            if source != canonical:
                source.write_bytes(content)
            offsets = np.concatenate([batch.offsets for batch in batches])
            header = header_of(source)
            records = read_records(source, offsets, range(len(offsets)))
        transactions = Transactions(
            batches[0].transactions.columns, np.concatenate([batch.transactions.values for batch in batches])
        )
        known = [batch.labels for batch in batches if batch.labels is not None]
        labels = (
            np.concatenate(known) if len(known) == len(batches) else np.full(len(transactions), -1, np.int8)
        )
        seen = past_of(detector, transactions, labels)
        amount = detector.contract.amount
        return cls(
            detector,
            header,
            records,
            transactions,
            labels,
            detector.probabilities(
                transactions, History(labels) if detector.vectorizer.looks_back else NOTHING
            ),
            None if amount is None else transactions.column(amount).copy(),
            seen,
        )

    @property
    def movable(self) -> Sequence[str]:
        """The columns of which a value can be moved: numbers that aren't names or times."""
        return [
            column.name
            for column in self.detector.contract.parts()
            if column.role in MOVABLE and column.kind is CellKind.NUMBER
        ]

    def value(self, row: int, column: str) -> float:
        """Return what a cell of a row, from 0, says."""
        return float(self.transactions.column(column)[row])

    def probability(self, row: int, moved: Mapping[str, float]) -> float:
        """Return the probability of a row, from 0, with some values in place of its own.

        Raises:
            BadTransaction: a value can't be scored.
        """
        return float(self.detector.probabilities(self._row(row, moved), self.seen)[0])

    def walk(self, row: int, moved: Mapping[str, float], net: Net) -> RowWalk:
        """Follow a row, from 0, through the detector.

        Raises:
            BadTransaction: a value can't be scored.
        """
        vectorizer = self.detector.vectorizer
        inputs, plain = (self._inputs(row, values) for values in (moved, {}))
        scaled = vectorizer.scaled(inputs[None])[0]
        columns = vectorizer.inputs
        told = [
            NetInput(name, float(value), float(centre), float(scale), float(after), bool(moves))
            for name, value, centre, scale, after, moves in zip(
                columns, inputs, vectorizer.centre, vectorizer.scale, scaled, inputs != plain, strict=True
            )
        ]
        try:
            layers, stopped = net.walk(scaled), ""
        except UnknownLayer as unknown:
            layers, stopped = [], str(unknown)
        record = self.records[row]
        return RowWalk(
            [(name, record[at] if at < len(record) else "") for at, name in enumerate(self.header)],
            int(self.labels[row]),
            told,
            layers,
            stopped,
            self.probability(row, moved),
            self.probability(row, {}),
        )

    def sweep(self, row: int, column: str) -> list[tuple[float, float]]:
        """Return values of a column over the range that the file has, each with the probability of the row with it."""
        values = self.transactions.column(column)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        return [
            (value, self.probability(row, {column: value}))
            for value in np.linspace(low, high, STEPS).tolist()
        ]

    def telling(self, row: int) -> str | None:
        """Return the column whose value decides most in a row, from 0; ``None`` without any that can be moved.

        That is the one between whose smallest, middle and largest value of the file the probability differs most.
        """
        best, most = None, 0.0
        for column in self.movable:
            values = self.transactions.column(column)
            tried = [
                self.probability(row, {column: float(value)})
                for value in (np.nanmin(values), np.nanmedian(values), np.nanmax(values))
            ]
            if (spread := float(np.ptp(tried))) > most:
                best, most = column, spread
        return best or next(iter(self.movable), None)

    def quality(self, threshold: float) -> Quality | None:
        """Return the confusion matrix of the whole file at a threshold; ``None`` without labels."""
        flagged = thresholds.flag(self.probabilities, threshold)
        return measure(self.labels, self.probabilities, flagged, self.amounts)

    def _row(self, row: int, moved: Mapping[str, float]) -> Transactions:
        values = self.transactions.values[row : row + 1].copy()
        for column, value in moved.items():
            values[0, self.transactions.columns.index(column)] = value
        return Transactions(self.transactions.columns, values)

    def _inputs(self, row: int, moved: Mapping[str, float]) -> NDArray[np.float64]:
        (block,) = self.detector.vectorizer.blocks(self._row(row, moved), self.seen)
        found: NDArray[np.float64] = np.asarray(block.values[0], np.float64)
        return found


def past_of(detector: Detector, transactions: Transactions, labels: NDArray[np.int8]) -> History:
    """Return the rows of a file as the past of one of them: of those, only earlier ones count."""
    if not detector.vectorizer.looks_back:
        return NOTHING
    from screening.features import Past

    values = detector.vectorizer.select(transactions)
    return History(None, Past(values, labels)).indexed(detector.vectorizer.definition)


class Lessons:
    """The lessons and nets of a process: each is read once and kept for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lessons: dict[str, Lesson] = {}
        self._nets: dict[str, Net] = {}

    def of(self, detector: Detector, sample: Path) -> Lesson:
        """Return the lesson of a detector's sample file."""
        # one request reads it, the others wait
        with self._lock:
            if detector.fingerprint not in self._lessons:
                lesson = Lesson.of(detector, sample.read_bytes())
                self._lessons = dict([*self._lessons.items(), (detector.fingerprint, lesson)][-KEPT:])
            return self._lessons[detector.fingerprint]

    def net(self, detector: Detector, file: Path) -> Net:
        """Return the net of a detector.

        Raises:
            BadArtefact: the file isn't the one that was loaded.
        """
        with self._lock:
            if detector.model_sha256 not in self._nets:
                artefact = read_artefact(file)
                if artefact.sha256 != detector.model_sha256:
                    raise BadArtefact(f"{file.name} was changed since it was loaded.", where=file.name)
                net = Net(artefact.data, file.name)
                self._nets = dict([*self._nets.items(), (detector.model_sha256, net)][-KEPT:])
            return self._nets[detector.model_sha256]


LESSONS = Lessons()
