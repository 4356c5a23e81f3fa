"""One scoring pass: what a detector says of transactions, why, and how far that can be relied on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.detectors.vectorizer import NOTHING, History, Inputs
from screening.scoring import caveats, reason_codes, thresholds
from screening.scoring.reason_codes import Reason
from screening.transactions.schema import Transactions

Probabilities = Callable[[Inputs, Detector], NDArray[np.float32]]
"""Function that gives the probabilities of some rows: float32 (rows,). The app binds the function at its root."""
NO_REASON: Sequence[Reason] = ()


@dataclass(frozen=True, slots=True)
class Scored:
    """Transactions once they are scored, in the order in which they came."""

    probabilities: NDArray[np.float32]
    """(rows,)"""
    flagged: NDArray[np.bool_]
    """(rows,)"""
    suspects: Inputs
    """Inputs of the flagged rows, (flagged rows, inputs): reasons are made of it."""
    reasons: list[Sequence[Reason]]
    """Of each row the strongest reasons for its flag; none where it has no flag, or where nobody asked."""
    caveats: list[Sequence[str]]
    """Of each row what makes its probability doubtful; empty where nobody asked."""
    kept: NDArray[Any] | None = None
    """Some of the net's inputs of all rows, before scaling, (rows, inputs that were asked for)."""

    def part(self, start: int, stop: int) -> Scored:
        """Return what is said of some of the rows, from ``start`` to before ``stop``."""
        first, last = np.count_nonzero(self.flagged[:start]), np.count_nonzero(self.flagged[:stop])
        return Scored(
            self.probabilities[start:stop],
            self.flagged[start:stop],
            Inputs(self.suspects.values[first:last]),
            self.reasons[start:stop],
            self.caveats[start:stop],
            None if self.kept is None else self.kept[start:stop],
        )


def own_probabilities(inputs: Inputs, detector: Detector) -> NDArray[np.float32]:
    """Return the detector's own probabilities, float32 (rows,): what counts where nothing else is bound."""
    return detector.probabilities(inputs)


def score(
    transactions: Transactions,
    detector: Detector,
    history: History = NOTHING,
    *,
    threshold: float,
    probabilities: Probabilities = own_probabilities,
    explain: bool = True,
    kept: Sequence[int] = (),
    on_block: Callable[[int], object] = lambda _rows: None,
) -> Scored:
    """Score transactions: each row's inputs are made once, and serve its probability, its flag and its reasons.

    The inputs of all rows are never there at once; those of flagged rows are kept.

    Args:
        transactions: some rows, or all rows of a file where they tell of each other.
        detector: what scores.
        history: labels and earlier rows, for features that look back.
        threshold: from which probability on a row is flagged.
        probabilities: who is asked for the probabilities of some inputs.
        explain: whether reasons and caveats are wanted now. For a file they aren't: only its strongest rows are
            explained, which are known at its end, and it is compared with the training data as a whole.
        kept: places of inputs that are wanted of all rows.
        on_block: called after every block of rows with how many are scored by then; may raise to stop.

    Raises:
        BadFile: a column is missing.
        BadTransaction: a row can't be scored; names row (from 1) and column.
    """
    vectorizer = detector.vectorizer
    rows = Transactions(detector.contract.columns, vectorizer.select(transactions))
    # both features and caveats ask it
    if explain:
        history = history.indexed(vectorizer.definition)
    found: list[NDArray[np.float32]] = []
    wanted: list[NDArray[Any]] = []
    flags: list[NDArray[np.bool_]] = []
    suspects: list[NDArray[Any]] = []
    done = 0
    for inputs in vectorizer.blocks(rows, history):
        found.append(probabilities(inputs, detector))
        flags.append(thresholds.flag(found[-1], threshold))
        suspects.append(inputs.values[flags[-1]] if flags[-1].any() else inputs.values[:0])
        if kept:
            wanted.append(inputs.values[:, list(kept)])
        done += len(inputs.values)
        on_block(done)
    flagged = joined_parts(flags, np.empty(0, np.bool_))
    told = Inputs(joined_parts(suspects, np.empty((0, len(vectorizer.inputs)), np.float32)))
    reasons: list[Sequence[Reason]] = []
    doubts: list[Sequence[str]] = []
    if explain:
        reasons = [NO_REASON] * len(flagged)
        if len(told):
            for row, found_here in zip(
                np.flatnonzero(flagged).tolist(), reason_codes.explain(detector, told), strict=True
            ):
                reasons[row] = found_here
        doubts = caveats.remarks(detector, rows, history)
    chosen = joined_parts(wanted, np.empty((0, len(kept)), np.float32)) if kept else None
    return Scored(joined_parts(found, np.empty(0, np.float32)), flagged, told, reasons, doubts, chosen)


def joined_parts(parts: list[NDArray[Any]], nothing: NDArray[Any]) -> NDArray[Any]:
    """Return all parts as one; a few rows are one part, which isn't copied."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else nothing
