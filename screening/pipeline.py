"""One file through the line: intake, scorer, flags, reasons, and the outcome on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

import utils
from screening import flags, outcome, quality, reasons
from screening.errors import BadFile, BadTransaction, CellProblem
from screening.intake import Kind, open_transactions
from screening.schema import ColumnContract, Transactions
from screening.spool import Folder

if TYPE_CHECKING:
    from screening.detector import Detector, Detectors
    from screening.intake import Batch

MOST_EXPLAINED = 5000
"""Flagged rows that get reasons, strongest first: nobody reads more, and each costs a scoring of its own."""
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
    """What is kept of each batch: a few numbers a row, and the values of flagged rows for their reasons."""

    probability: list[NDArray[np.float32]] = field(default_factory=list)
    offsets: list[NDArray[np.int64]] = field(default_factory=list)
    amount: list[NDArray[np.float64]] = field(default_factory=list)
    time: list[NDArray[np.float64]] = field(default_factory=list)
    label: list[NDArray[np.int8]] = field(default_factory=list)
    suspect_rows: list[NDArray[np.int64]] = field(default_factory=list)
    suspects: list[NDArray[np.float64]] = field(default_factory=list)
    problems: list[CellProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    set_aside: int = 0


def screen(
    folder: Folder,
    kind: Kind,
    detectors: Detectors,
    *,
    wanted: str | None,
    set_aside: bool,
    threshold: float,
    on_batch: Callable[[int], None],
) -> Found:
    """Screen the file in ``folder`` and leave the outcome beside it.

    ``on_batch`` is called with the number of bytes of the file that were read, and may raise to stop.

    Raises:
        BadFile: the file can't be screened; nothing is left but the file.
    """
    chosen: list[Detector] = []

    def choose(header: list[str]) -> ColumnContract:
        chosen[:] = [detectors.choose(header, wanted)]
        return chosen[0].contract

    collected = _Collected()
    on_batch(0)
    with folder.open() as stream:
        source = cast("BinaryIO", stream) if kind.streams else folder.input
        for batch in open_transactions(source, kind, choose, set_aside=set_aside, canonical=folder.canonical):
            _score(batch, chosen[0], threshold, collected)
            on_batch(stream.taken)
    return _conclude(folder, chosen[0], threshold, collected)


def _score(batch: Batch, detector: Detector, threshold: float, collected: _Collected) -> None:
    good = None if not batch.bad.any() else ~batch.bad
    transactions = batch.transactions if good is None else _rows(batch.transactions, good)
    try:
        scored = utils.get_probabilities(transactions, detector)
    except BadTransaction as problem:
        raise _in_file(problem, batch, good) from None
    probability = scored
    if good is not None:
        probability = np.full(len(batch.transactions), np.nan, dtype=np.float32)
        probability[good] = scored
    flagged = np.flatnonzero(flags.flag(probability, threshold))
    collected.probability.append(probability)
    collected.offsets.append(batch.offsets)
    collected.suspect_rows.append(flagged + batch.first_row - 1)
    collected.suspects.append(batch.transactions.values[flagged])
    collected.set_aside += int(batch.bad.sum())
    collected.notes.extend(note for note in batch.notes if note not in collected.notes)
    collected.problems.extend(batch.problems[: MOST_LISTED - len(collected.problems)])
    for name, into in (
        (detector.contract.amount, collected.amount),
        (detector.contract.time, collected.time),
    ):
        if name is not None:
            into.append(batch.transactions.column(name).copy())
    if batch.labels is not None:
        collected.label.append(batch.labels)


def _rows(transactions: Transactions, keep: NDArray[np.bool_]) -> Transactions:
    return Transactions(transactions.columns, transactions.values[keep])


def _in_file(problem: BadTransaction, batch: Batch, good: NDArray[np.bool_] | None) -> BadFile:
    """The scorer counts the rows it was given; the user counts the rows of the file."""
    place = np.arange(len(batch.transactions)) if good is None else np.flatnonzero(good)
    moved = [
        CellProblem(
            found.problem,
            column=found.column,
            row=None if found.row is None else int(batch.first_row + place[found.row - 1]),
            value=found.value,
        )
        for found in problem.problems
    ]
    return BadFile(problem.what, problem.where, problem.remedy, moved, problem.problem_count)


def _conclude(folder: Folder, detector: Detector, threshold: float, collected: _Collected) -> Found:
    probability = np.concatenate(collected.probability)
    amount, time = _joined(collected.amount), _joined(collected.time)
    label = _joined(collected.label) if len(collected.label) == len(collected.probability) else None
    flagged = flags.flag(probability, threshold)
    measured = None if label is None else quality.measure(label, probability, flagged, amount)
    arrays: dict[str, NDArray[Any] | None] = {
        "probability": probability,
        "offsets": np.concatenate(collected.offsets),
        "amount": amount,
        "time": time,
        "label": label,
    }
    meta = {"set_aside": [asdict(problem) for problem in collected.problems]}
    outcome.save(folder, arrays, dict(_explained(detector, probability, collected)), meta)
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
    suspects = Transactions(detector.contract.columns, np.concatenate(collected.suspects)[strongest])
    for row, found in zip(rows[strongest], reasons.explain(detector, suspects), strict=True):
        yield int(row), [reason.text for reason in found]
