"""One file through the line: intake, scorer, flags, reasons, and the outcome on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

import utils
from screening.detectors.vectorizer import Seen
from screening.errors import BadFile, BadTransaction, CellProblem, ColumnsMissing
from screening.intake import Kind, open_transactions
from screening.scoring import drift, metrics, reason_codes, thresholds
from screening.transactions.schema import ColumnContract, Matrix, Transactions
from screening.uploads import results
from screening.uploads.upload_folder import Folder

if TYPE_CHECKING:
    from screening.detectors.detector import Detector
    from screening.detectors.registry import Detectors
    from screening.intake import Batch
    from screening.ledger.history import Context
    from screening.uploads.column_mappings import Mapping

MOST_EXPLAINED = 5000
"""Flagged rows that get reasons, strongest first: nobody reads more, and each costs a scoring of its own."""
EVERY, MANY = 16, 2000
"""Of batches of so many rows every sixteenth is compared with the training data, of smaller ones each."""
MOST_LISTED = 1000
"""Problems that are kept of rows set aside; the count is always whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a screening found, as it goes into the history."""

    detector: str
    fingerprint: str
    rows: int
    flagged: int
    set_aside: int
    quality: dict[str, Any] | None
    notes: list[str]


@dataclass(slots=True)
class _Collected:
    """What is kept of each batch: a few numbers a row, and what the net saw of flagged rows, for their reasons.

    ``values`` and ``bad`` are kept only for detectors that look back, which score when the last row is there.
    """

    probability: list[NDArray[np.float32]] = field(default_factory=list)
    sampled: list[Matrix] = field(default_factory=list)
    values: list[Matrix] = field(default_factory=list)
    bad: list[NDArray[np.bool_]] = field(default_factory=list)
    offsets: list[NDArray[np.int64]] = field(default_factory=list)
    amount: list[NDArray[np.float64]] = field(default_factory=list)
    time: list[NDArray[np.float64]] = field(default_factory=list)
    label: list[NDArray[np.int8]] = field(default_factory=list)
    suspect_rows: list[NDArray[np.int64]] = field(default_factory=list)
    suspects: list[NDArray[Any]] = field(default_factory=list)
    problems: list[CellProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    set_aside: int = 0


class Choice:
    """Which detector takes a file, and which of the file's columns are its: known once the header is read."""

    def __init__(
        self,
        detectors: Detectors,
        wanted: str | None,
        recall: Callable[[list[str]], Mapping | None],
        on_choice: Callable[[Detector], None] = lambda _detector: None,
    ) -> None:
        self._detectors, self._wanted, self._recall, self._on_choice = detectors, wanted, recall, on_choice
        self.detector: Detector
        self.contract: ColumnContract
        self.header: list[str] = []
        self.mapping: Mapping | None = None
        """What was said of the columns, where they aren't called as the detector calls them."""

    def __call__(self, header: list[str]) -> ColumnContract:
        """The contract to read the file by.

        Raises:
            BadFile: no detector takes a file of these columns.
        """
        self.header = header
        try:
            self.detector = self._detectors.choose(header, self._wanted)
            self.contract = self.detector.contract
        except ColumnsMissing:
            self.mapping = self._recall(header)
            if self.mapping is None or self._wanted not in (None, self.mapping.detector):
                raise
            self.detector = self._detectors.get(self.mapping.detector)
            self.contract = replace(self.detector.contract, aliases=self.mapping.aliases)
        self._on_choice(self.detector)
        return self.contract

    @property
    def notes(self) -> list[str]:
        """What a user is told of it."""
        return [] if self.mapping is None else [self.mapping.note]


def screen(
    folder: Folder,
    kind: Kind,
    detectors: Detectors,
    *,
    wanted: str | None,
    set_aside: bool,
    threshold: float,
    on_batch: Callable[[int], None],
    context: Callable[[Detector], Context] | None = None,
    remember: bool = False,
    recall: Callable[[list[str]], Mapping | None] = lambda _header: None,
    on_choice: Callable[[Detector], None] = lambda _detector: None,
) -> Found:
    """Screen the file in ``folder`` and leave the outcome beside it.

    ``on_batch`` is called with the number of bytes of the file that were read, and may raise to stop. ``context``
    gives the rows that a detector has seen, if earlier rows shall count; with ``remember`` it gets those of this file.
    ``recall`` gives what was said of a header's columns; it is asked when they aren't called as a detector calls them.
    ``on_choice`` is told the detector as soon as the header is read, and ``context`` is asked when the last row is.

    Raises:
        BadFile: the file can't be screened; nothing is left but the file.
    """
    choice = Choice(detectors, wanted, recall, on_choice)
    collected = _Collected()
    on_batch(0)
    with folder.open() as stream:
        source = cast("BinaryIO", stream) if kind.streams else folder.input
        for batch in open_transactions(
            source, kind, choice, set_aside=set_aside, canonical=folder.canonical, waiting=lambda: on_batch(0)
        ):
            detector = choice.detector
            _keep(batch, detector.contract, collected)
            if detector.vectorizer.looks_back:
                collected.values.append(batch.transactions.values)
                collected.bad.append(batch.bad)
            else:
                _score(batch, detector, threshold, collected)
            on_batch(stream.taken)
        detector = choice.detector
        if collected.values:
            past = context(detector) if context else None
            _score_whole(detector, threshold, collected, past, lambda: on_batch(stream.taken))
            if past is not None and remember:
                past.remember(folder.path.name, *_good(collected))
    collected.notes[:0] = choice.notes
    return _conclude(folder, detector, threshold, collected)


def _keep(batch: Batch, contract: ColumnContract, collected: _Collected) -> None:
    collected.offsets.append(batch.offsets)
    step = EVERY if len(batch) >= MANY else 1
    collected.sampled.append(batch.transactions.values[np.flatnonzero(~batch.bad)[::step]])
    collected.set_aside += int(batch.bad.sum())
    collected.notes.extend(note for note in batch.notes if note not in collected.notes)
    collected.problems.extend(batch.problems[: MOST_LISTED - len(collected.problems)])
    for name, into in ((contract.amount, collected.amount), (contract.time, collected.time)):
        if name is not None:
            into.append(batch.transactions.column(name).copy())
    if batch.labels is not None:
        collected.label.append(batch.labels)


def _score(batch: Batch, detector: Detector, threshold: float, collected: _Collected) -> None:
    good = None if not batch.bad.any() else ~batch.bad
    transactions = batch.transactions if good is None else _rows(batch.transactions, good)
    try:
        scored = utils.get_probabilities(transactions, detector)
    except BadTransaction as problem:
        place = np.arange(len(batch.transactions)) if good is None else np.flatnonzero(good)
        raise _in_file(problem, place + batch.first_row) from None
    probability = scored
    if good is not None:
        probability = np.full(len(batch.transactions), np.nan, dtype=np.float32)
        probability[good] = scored
    flagged = np.flatnonzero(thresholds.flag(probability, threshold))
    collected.probability.append(probability)
    collected.suspect_rows.append(flagged + batch.first_row - 1)
    suspects = Transactions(batch.transactions.columns, batch.transactions.values[flagged])
    collected.suspects.extend(detector.vectorizer.blocks(suspects))


def _score_whole(
    detector: Detector,
    threshold: float,
    collected: _Collected,
    context: Context | None,
    still_wanted: Callable[[], None],
) -> None:
    """Score a file whose rows tell of each other, once all of them are there."""
    values, labels = _good(collected)
    place = np.flatnonzero(~np.concatenate(collected.bad))
    past = context.past(values) if context else None
    if past is not None:
        collected.notes.append(f"{len(past.values):,} earlier rows were taken into account.")
    probability = np.full(sum(map(len, collected.bad)), np.nan, np.float32)
    collected.suspect_rows.append(place[:0])
    done = 0
    transactions = Transactions(detector.contract.columns, values)
    try:
        for inputs, scored in detector.scored(transactions, Seen(labels, past)):
            rows = place[done : done + len(scored)]
            probability[rows] = scored
            flagged = thresholds.flag(scored, threshold)
            collected.suspect_rows.append(rows[flagged])
            collected.suspects.append(inputs[flagged])
            done += len(scored)
            still_wanted()
    except BadTransaction as problem:
        raise _in_file(problem, place + 1) from None
    collected.probability.append(probability)


def _good(collected: _Collected) -> tuple[Matrix, NDArray[np.int8] | None]:
    """The rows that aren't set aside, and their labels if every batch has them."""
    good = ~np.concatenate(collected.bad)
    labels = np.concatenate(collected.label)[good] if len(collected.label) == len(collected.bad) else None
    return np.concatenate(collected.values)[good], labels


def _rows(transactions: Transactions, keep: NDArray[np.bool_]) -> Transactions:
    return Transactions(transactions.columns, transactions.values[keep])


def _in_file(problem: BadTransaction, rows: NDArray[np.int64]) -> BadFile:
    """The scorer counts the rows it was given; the user counts the rows of the file: ``rows`` has their numbers."""
    moved = [
        CellProblem(
            found.problem,
            column=found.column,
            row=None if found.row is None else int(rows[found.row - 1]),
            value=found.value,
        )
        for found in problem.problems
    ]
    return BadFile(problem.what, problem.where, problem.remedy, moved, problem.problem_count)


def _conclude(folder: Folder, detector: Detector, threshold: float, collected: _Collected) -> Found:
    probability = np.concatenate(collected.probability)
    amount, time = _joined(collected.amount), _joined(collected.time)
    label = _joined(collected.label) if len(collected.label) == len(collected.offsets) else None
    flagged = thresholds.flag(probability, threshold)
    arrays: dict[str, NDArray[Any] | None] = {
        "probability": probability,
        "offsets": np.concatenate(collected.offsets),
        "amount": amount,
        "time": time,
        "label": label,
    }
    # beside the reasons, which need this thread's interpreters: a user waits for both, and another core is free
    with ThreadPoolExecutor(2, thread_name_prefix="conclude") as pool:
        saved = pool.submit(results.save_arrays, folder, arrays)
        quality_of = (
            pool.submit(metrics.measure, label, probability, flagged, amount) if label is not None else None
        )
        explained = dict(_explained(detector, probability, collected))
        moved = drift.measure(detector, np.concatenate(collected.sampled))
    saved.result()
    measured = None if quality_of is None else quality_of.result()
    meta = {"set_aside": [asdict(problem) for problem in collected.problems], "drift": moved}
    results.save_words(folder, explained, meta)
    return Found(
        detector=detector.name,
        fingerprint=detector.fingerprint,
        rows=len(probability),
        flagged=int(flagged.sum()),
        set_aside=collected.set_aside,
        quality=None if measured is None else measured.as_dict(),
        notes=[*detector.warnings, *collected.notes],
    )


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any] | None:
    return np.concatenate(parts) if parts else None


def _explained(
    detector: Detector, probability: NDArray[np.float32], collected: _Collected
) -> Iterator[tuple[int, list[str]]]:
    rows = np.concatenate(collected.suspect_rows)
    strongest = np.argsort(-probability[rows], kind="stable")[:MOST_EXPLAINED]
    if not len(strongest):
        return
    suspects = np.concatenate(collected.suspects)[strongest]
    for row, found in zip(rows[strongest], reason_codes.explain_inputs(detector, suspects), strict=True):
        yield int(row), [reason.text for reason in found]
