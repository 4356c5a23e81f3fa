"""Data kept of a file's batches until its last row is there: a few numbers a row, and inputs of flagged rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import BadFile, BadTransaction, CellProblem
from screening.rules import files
from screening.scoring.score import Scored
from screening.transactions.schema import ColumnContract, Matrix, Transactions
from screening.uploads.line.missing_past import MissingPast
from screening.uploads.line.rows import GoodRows

if TYPE_CHECKING:
    from screening.intake import Batch, CellWords

# Of larger batches every sixteenth row is compared with the training data, of smaller ones each.
EVERY, MANY = 16, 2000
MOST_LISTED = 1000
"""Problems that are kept of rows set aside; the count is always whole."""


@dataclass(slots=True)
class CollectedRows:
    """Data of the batches so far; each list has one array a batch."""

    facts: files.CollectedFacts | None = None
    """Facts that rules ask for."""
    sampled: list[Matrix] = field(default_factory=list)
    """Good rows that are compared with the training data."""
    offsets: list[NDArray[np.int64]] = field(default_factory=list)
    amount: list[NDArray[np.float64]] = field(default_factory=list)
    time: list[NDArray[np.float64]] = field(default_factory=list)
    label: list[NDArray[np.int8]] = field(default_factory=list)
    probability: list[NDArray[np.float32]] = field(default_factory=list)
    """NaN in rows that are set aside."""
    suspect_rows: list[NDArray[np.int64]] = field(default_factory=list)
    """Flagged rows, from 0."""
    suspects: list[NDArray[Any]] = field(default_factory=list)
    """What the net saw of them, for their reasons."""
    missing: MissingPast | None = None
    scored_rows: NDArray[np.int64] | None = None
    """The rows that ``missing`` is about, from 0."""
    problems: list[CellProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    set_aside: int = 0
    sign_told: bool = False
    words: Mapping[str, CellWords] = field(default_factory=dict)

    @property
    def amounts(self) -> NDArray[np.float64] | None:
        """Amounts of all rows; ``None`` where the detector has no such column."""
        return joined(self.amount)

    @property
    def labels(self) -> NDArray[np.int8] | None:
        """Labels of all rows; ``None`` unless every batch has some."""
        return joined(self.label) if len(self.label) == len(self.offsets) else None

    def keep(self, batch: Batch, contract: ColumnContract) -> None:
        """Keep of a batch that was read what is needed once the last row is there."""
        self.offsets.append(batch.offsets)
        self.sign_told, self.words = batch.sign_told, batch.words
        step = EVERY if len(batch) >= MANY else 1
        self.sampled.append(batch.transactions.values[np.flatnonzero(~batch.bad)[::step]])
        self.set_aside += int(batch.bad.sum())
        self.notes.extend(note for note in batch.notes if note not in self.notes)
        self.problems.extend(batch.problems[: MOST_LISTED - len(self.problems)])
        for name, into in ((contract.amount, self.amount), (contract.time, self.time)):
            if name is not None:
                into.append(batch.transactions.column(name).copy())
        if batch.labels is not None:
            self.label.append(batch.labels)

    def score(self, rows: GoodRows, scoring: Callable[[Transactions], Scored]) -> None:
        """Score some rows, and keep what is needed of them.

        Raises:
            BadFile: a row can't be scored.
        """
        try:
            scored = scoring(rows.transactions)
        except BadTransaction as problem:
            raise fault_of_file(problem, rows.numbers) from None
        probability = np.full(rows.count, np.nan, np.float32)
        probability[rows.numbers - rows.first] = scored.probabilities
        self.probability.append(probability)
        self.suspect_rows.append(rows.numbers[scored.flagged] - 1)
        self.suspects.append(scored.suspects.values)
        if self.facts is not None:
            self.facts.add(rows.transactions, scored, rows.numbers - rows.first, rows.count)

    def missing_past(
        self, label: NDArray[np.int8] | None, flagged: NDArray[np.bool_]
    ) -> dict[str, Any] | None:
        """Return what is told of a missing past; ``None`` where little is missing."""
        missing, rows = self.missing, self.scored_rows
        if missing is None or rows is None or not missing.much:
            return None
        return missing.told(None if label is None else label[rows], flagged[rows])


def joined(parts: list[NDArray[Any]]) -> NDArray[Any] | None:
    """Return the parts as one array; ``None`` of none."""
    return np.concatenate(parts) if parts else None


def fault_of_file(problem: BadTransaction, numbers: NDArray[np.int64]) -> BadFile:
    """Say of the file what was said of some of its rows: a user counts the rows of the file, from 1."""
    moved = [
        replace(found, row=None if found.row is None else int(numbers[found.row - 1]))
        for found in problem.problems
    ]
    what, where = problem.what, problem.where
    if moved and moved[0].row is not None:
        first = moved[0]
        what = f"{first.column} in row {first.row}" if first.column else f"Row {first.row}"
        what += f" {first.problem}" + (f" ({first.value})." if first.value else ".")
        where = f"row {first.row}" + (f", column {first.column}" if first.column else "")
    return BadFile(what, where, problem.remedy, moved, problem.problem_count)
