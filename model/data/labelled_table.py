"""Reads a labelled file as the screening reads it: the same cells become the same numbers."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.data.card_file import file_sha256
from model.data.order import TrainingOrder
from screening.columns.clocks import counted
from screening.columns.composed_roles import compose_roles
from screening.columns.labels import read_label
from screening.columns.role_inference import Guess, guess_roles
from screening.errors import BadFile, CellProblem
from screening.intake import NOTHING_SAID, FileKind, Forms, identify, look_over, open_transactions, settled
from screening.intake.batch import ReadLimits
from screening.intake.numbers import label_value
from screening.intake.preview import sample
from screening.transactions.amount_mixture import unlike
from screening.transactions.schema import Column, ColumnContract, Matrix, Role

HEAD_BYTES = 4096
SAMPLE_ROWS = 5000
MOST_LISTED = 100
LIMITS = ReadLimits(unpacked=16 * 2**30, child_memory=8 * 2**30, child_seconds=1800)


@dataclass(frozen=True)
class LabelledTable:
    """A labelled file as numbers: ``values`` (rows, columns of the contract), ``label`` int8 (rows,), -1 unknown."""

    contract: ColumnContract
    columns: tuple[Column, ...]
    values: Matrix
    label: NDArray[np.int8]
    set_aside: int
    """Rows of the file that have a cell that can't be used; they are not among ``values``."""
    problems: tuple[CellProblem, ...]
    notes: tuple[str, ...]
    unused: tuple[tuple[str, str], ...]
    """Columns that aren't learned from, each with the reason."""
    sha256: str
    kind: NDArray[np.int8]
    """Of which type of fraud each row is: its place in ``types`` counted from 1, 0 for none, -1 unknown, (rows,)."""
    types: tuple[str, ...] = ()
    """The label's values that mean fraud; none where they are those that everybody uses."""
    set_aside_frauds: int = 0
    """Those of the rows that were set aside whose label says fraud."""

    def rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> LabelledTable:
        """Return the chosen rows only."""
        return replace(self, values=self.values[chosen], label=self.label[chosen], kind=self.kind[chosen])


def read_table(order: TrainingOrder) -> LabelledTable:
    """Read the file of an order.

    Raises:
        BadFile: it can't be read, has no label, or no column that can be used.
    """
    guesses: tuple[Guess, ...] = ()
    if not order.columns:
        order, guesses = guess_order(order)
    columns = order.columns or tuple(guess.column for guess in guesses)
    reasons = {guess.column.name: guess.reason for guess in guesses}
    unused = tuple(
        (column.name, reasons.get(column.name, f"its role is {column.role.value}"))
        for column in columns
        if column.role in (Role.CARRY, Role.IGNORE)
    )
    contract = ColumnContract.of(columns)
    if contract.label is None:
        raise BadFile(
            "No column says which rows were fraud.",
            remedy="Name it with --label, or give a column the role label.",
        )
    if not contract.columns:
        raise BadFile(
            "No column can be learned from.", remedy="Give at least one column another role than ignore."
        )
    return replace(read_rows(order, columns, contract), unused=unused)


def guess_order(order: TrainingOrder) -> tuple[TrainingOrder, tuple[Guess, ...]]:
    """Return the order with the values that mean fraud, and a guess for each column."""
    kind = _kind(order.file, order.filename)
    found = sample(order.file, kind, SAMPLE_ROWS, counted=order.label, limits=LIMITS)
    fraud = order.fraud_values
    if order.label is not None and found.counts:
        fraud = read_label(order.label, found.counts, fraud).fraud_values
    guesses = guess_roles(found.header, found.rows, order.label, found.blanks, fraud)
    guesses = compose_roles(guesses, found.header, found.rows)
    said = order.answers.time_unit
    return replace(order, fraud_values=fraud), tuple(
        replace(one, column=counted(one.column, one.clock, said)) if one.column.role is Role.TIME else one
        for one in guesses
    )


def _kind(path: Path, filename: str) -> FileKind:
    with path.open("rb") as stream:
        return identify(filename, stream.read(HEAD_BYTES))


def read_rows(order: TrainingOrder, columns: tuple[Column, ...], contract: ColumnContract) -> LabelledTable:
    """Read the file, once more where the first try finds that it must be looked at as a whole."""
    kind = _kind(order.file, order.filename)
    return settled(
        lambda forms: read_with_forms(order, kind, columns, contract, forms),
        lambda: look_over(order.file, kind, lambda _: contract, limits=LIMITS, answers=order.answers),
        at_once=order.answers == NOTHING_SAID or not kind.streams,
    )


def read_with_forms(
    order: TrainingOrder,
    kind: FileKind,
    columns: tuple[Column, ...],
    contract: ColumnContract,
    forms: Forms | None,
) -> LabelledTable:
    """Read the file with the forms of its cells; ``None`` while each of them has one meaning."""
    values: list[Matrix] = []
    labels: list[NDArray[np.int8]] = []
    amounts: list[Matrix] = []
    problems: list[CellProblem] = []
    notes: list[str] = []
    set_aside = set_aside_frauds = 0
    with tempfile.TemporaryDirectory(prefix="training-") as scratch:
        for batch in open_transactions(
            order.file,
            kind,
            lambda _header: contract,
            set_aside=True,
            canonical=Path(scratch) / "canonical.csv",
            limits=LIMITS,
            forms=forms,
            answers=order.answers,
            fraud=tuple(map(label_value, order.fraud_values)),
        ):
            if batch.labels is None:
                raise BadFile(
                    f"Column {contract.label} holds more than two different values.",
                    where=f"from row {batch.first_row}",
                    remedy="A label says fraud or not: give a column with two values.",
                )
            good = ~batch.bad
            values.append(batch.transactions.values[good])
            labels.append(batch.labels[good])
            if contract.amount is not None:
                amounts.append(np.where(good, batch.transactions.column(contract.amount), np.nan))
            set_aside += int(batch.bad.sum())
            set_aside_frauds += batch.bad_frauds
            problems.extend(batch.problems[: MOST_LISTED - len(problems)])
            notes.extend(note for note in batch.notes if note not in notes)
    kind_of_fraud = np.concatenate(labels)
    if contract.amount is not None:
        notes += unlike(contract.amount, np.concatenate(amounts))
    return LabelledTable(
        contract,
        columns,
        np.concatenate(values),
        np.minimum(kind_of_fraud, 1),
        set_aside,
        tuple(problems),
        tuple(notes),
        (),
        file_sha256(order.file),
        kind_of_fraud,
        order.fraud_values,
        set_aside_frauds,
    )


def without(table: LabelledTable, dropped: set[str]) -> LabelledTable:
    """Return the table without some columns, which are ignored from now on."""
    columns = tuple(
        replace(column, role=Role.IGNORE) if column.name in dropped else column for column in table.columns
    )
    keep = [name not in dropped for name in table.contract.columns]
    return replace(
        table,
        columns=columns,
        contract=ColumnContract.of(columns),
        values=table.values[:, np.array(keep, bool)],
    )
