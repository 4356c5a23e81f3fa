"""Score Arrow batches in an executor: what the net says of each row, why rows are flagged, why others are rejected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from screening.batch.cells import Problems, in_words, read_cells
from screening.detectors.detector import Detector
from screening.detectors.vectorizer import Inputs
from screening.errors import BadTransaction
from screening.intake.text.parse import Layout
from screening.scoring import reason_codes, thresholds
from screening.transactions.schema import Transactions

FLAGGED, NOT_FLAGGED, REJECTED = "flagged", "not_flagged", "rejected"
RESULT = "result"
"""The column by which the output is partitioned: one of the three."""
PROBABILITY, FLAG, REASONS, PROBLEMS = "fraud_probability", "flagged", "reasons", "problems"
ADDED = (PROBABILITY, FLAG, REASONS, PROBLEMS, RESULT)
ROWS_OF_REASONS = 2048
"""Flagged rows that are explained at once."""


class BroadcastValue(Protocol):
    """Holder of a value that was sent to each executor once: Spark's ``Broadcast``."""

    @property
    def value(self) -> Detector:
        """Return the value; it is read from the executor's disk when a process first asks."""
        ...


@dataclass(slots=True)
class ScoredRows:
    """Probabilities, flags and words of some rows; arrays and lists are (rows,)."""

    probability: NDArray[np.float32]
    """NaN where a row is rejected."""
    flagged: NDArray[np.bool_]
    reasons: list[list[str] | None]
    problems: list[list[str] | None]


@dataclass(frozen=True, slots=True)
class ScoreAlone:
    """Scores batches of a detector that doesn't look back, in the order in which they come.

    Args:
        detector: the broadcast detector.
        layout: how the rows are read.
        threshold: from which probability on a row is flagged.
    """

    detector: BroadcastValue
    layout: Layout
    threshold: float

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield each batch with the columns of ``ADDED``."""
        detector = self.detector.value
        for batch in batches:
            read = read_cells(batch, self.layout)
            good = np.flatnonzero(~read.rejected)
            rows = Transactions(detector.contract.columns, read.values[good])
            inputs = [block.values for block in detector.vectorizer.blocks(rows)] if len(good) else []
            said = say(detector, inputs, good, read.problems, threshold=self.threshold, count=batch.num_rows)
            yield with_added(batch, said)


def say(
    detector: Detector,
    blocks: Sequence[NDArray[Any]],
    rows: NDArray[np.int64],
    problems: Problems,
    *,
    threshold: float,
    count: int,
) -> ScoredRows:
    """Return what is said of rows.

    Args:
        detector: what scores.
        blocks: the inputs of the rows that can be read, (rows, inputs) in all.
        rows: their places among all.
        problems: of the others, by place; those of rows that the net has no probability for are added.
        threshold: from which probability on a row is flagged.
        count: of all rows.
    """
    probability = np.full(count, np.nan, np.float32)
    reasons: list[list[str] | None] = [None] * count
    begin = 0
    for block in blocks:
        mine = rows[begin : begin + len(block)]
        begin += len(block)
        kept, found = _probabilities(detector, block, mine, problems)
        probability[mine[kept]] = found
        flags = thresholds.flag(found, threshold)
        for place, why in zip(
            mine[kept][flags].tolist(), _reasons(detector, block[kept][flags]), strict=True
        ):
            reasons[place] = why
    told = [problems.get(row) for row in range(count)]
    with np.errstate(invalid="ignore"):
        return ScoredRows(probability, thresholds.flag(probability, threshold), reasons, told)


def _probabilities(
    detector: Detector, block: NDArray[Any], places: NDArray[np.int64], problems: Problems
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return which rows of a block have a probability, and it; the others are added to ``problems``."""
    kept = np.arange(len(block))
    while len(kept):
        try:
            return kept, detector.probabilities(Inputs(block[kept]))
        except BadTransaction as refusal:
            bad = {each.row - 1: each for each in refusal.problems if each.row is not None}
            if not bad:
                raise
            for at, each in bad.items():
                problems.setdefault(int(places[kept[at]]), []).append(in_words(each))
            kept = np.delete(kept, list(bad))
    return kept, np.empty(0, np.float32)


def _reasons(detector: Detector, inputs: NDArray[Any]) -> Iterator[list[str]]:
    for start in range(0, len(inputs), ROWS_OF_REASONS):
        for found in reason_codes.explain(detector, Inputs(inputs[start : start + ROWS_OF_REASONS])):
            yield [reason.text for reason in found]


def with_added(batch: Any, said: ScoredRows) -> Any:
    """Return an Arrow batch with what is said of its rows, in the columns of ``ADDED``."""
    scored = ~np.isnan(said.probability)
    result = np.where(scored, np.where(said.flagged, FLAGGED, NOT_FLAGGED), REJECTED)
    texts = pa.list_(pa.string())
    added = [
        pa.array(said.probability, pa.float32(), mask=~scored),
        pa.array(said.flagged, pa.bool_(), mask=~scored),
        pa.array(said.reasons, texts),
        pa.array(said.problems, texts),
        pa.array(result, pa.string()),
    ]
    return pa.RecordBatch.from_arrays([*batch.columns, *added], names=[*batch.schema.names, *ADDED])
