"""The one owner of column order and scaling: named transactions in, the net's input matrix out.

The old project trained in one column order and served another, through a scaler that did nothing. So names
decide, here and nowhere else, and what the scaler does is looked at when it is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from screening.detectors.safe_pickle import ScalerRecord, open_dump
from screening.errors import BadArtefact, BadTransaction, CellProblem
from screening.transactions.schema import CARD, ColumnContract, Matrix, Transactions

if TYPE_CHECKING:
    from screening.features import Definition, Past, PastSource

# rows at a time: the working set stays in the processor's cache
BLOCK = 8192
BLOCK_FEATURES = 65_536
LARGEST = float(np.finfo(np.float32).max)
SHOWN = 10
# The reading of a RobustScaler's state was compared with this scikit-learn's own (tests/screening).
READ_WITH = "1.9"


@dataclass(frozen=True, slots=True)
class History:
    """Knowledge besides the rows themselves; only features of earlier rows need it.

    ``labels`` (rows,) int8 are those of the rows, -1 where unknown: one counts for later rows only, and only when the
    definition's label delay has passed. ``past`` are rows that came before.
    """

    labels: NDArray[np.int8] | None = None
    past: Past | PastSource | None = None

    def indexed(self, definition: Definition | None) -> History:
        """Return the same with its past sorted once, for all that ask it about a few rows."""
        if definition is None or not definition.looks_back or self.past is None:
            return self
        from screening.features import Past, PastIndex

        return History(self.labels, PastIndex(definition, self.past)) if isinstance(self.past, Past) else self


NOTHING = History()


@dataclass(frozen=True, slots=True)
class Inputs:
    """The net's inputs of some rows before scaling: what a detector's vectorizer makes of transactions, once.

    ``values`` is (rows, inputs), float64 where the columns are the inputs and float32 where they are features.
    """

    values: NDArray[Any]
    before: int = 0
    """Rows of the same transactions that lie before these: messages count rows from the first of all."""

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Vectorizer:
    """``(value - centre) / scale`` for each input of the net; ``centre`` and ``scale`` are float64 (inputs,)."""

    contract: ColumnContract
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    warnings: tuple[str, ...] = ()
    definition: Definition | None = None
    """Definition of the inputs; without one, the columns are the inputs."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the net's inputs: the columns themselves, or the features made of them."""
        return self.contract.columns if self.definition is None else self.definition.names

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Places of the inputs that say one thing together; each input is in one group."""
        if self.definition is None:
            return _singles(len(self.inputs))
        return self.definition.groups

    @property
    def looks_back(self) -> bool:
        """Return whether features tell of earlier rows, so that a whole file must be read before it is scored."""
        return self.definition is not None and self.definition.looks_back

    def limits(self) -> dict[str, tuple[float, float]]:
        """Return between which numbers each column's must lie to be scored, both included: the very last ones."""
        if self.definition is not None:
            return dict.fromkeys(self.contract.columns, (-LARGEST, LARGEST))
        low, high = self._last(-1.0), self._last(1.0)
        return dict(zip(self.contract.columns, zip(low.tolist(), high.tolist(), strict=True), strict=True))

    def _last(self, sign: float) -> NDArray[np.float64]:
        """Return the last number in one direction that :meth:`scaled` takes, (inputs,): found by halving."""
        taken, refused = self.centre + 0.0, np.full_like(self.centre, sign * 2 * LARGEST)
        with np.errstate(over="ignore"):
            while True:
                middle = taken + (refused - taken) / 2
                if np.all((middle == taken) | (middle == refused)):
                    return taken
                scaled = ((middle - self.centre) / self.scale).astype(np.float32)
                good = (np.abs(scaled) <= LARGEST) & (np.abs(middle) <= LARGEST)
                taken, refused = np.where(good, middle, taken), np.where(good, refused, middle)

    def matrix(self, rows: Transactions | Inputs, history: History = NOTHING) -> NDArray[np.float32]:
        """Return the net's input, float32 (rows, inputs), scaled in float64 as in training.

        Raises:
            BadFile: a column of the contract is missing.
            BadTransaction: a value isn't finite, or is too large for float32; names row (from 1) and column.
                A net would score it all the same, with 0.5 or less, and hide a fraud.
        """
        if isinstance(rows, Inputs):
            return self.scaled(rows.values, rows.before)
        if self.definition is None:
            return self.scaled(self.select(rows))
        parts = [self.scaled(block.values, block.before) for block in self.blocks(rows, history)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.inputs)), np.float32)

    def blocks(self, transactions: Transactions, history: History = NOTHING) -> Iterator[Inputs]:
        """Yield the net's inputs before scaling, some rows at a time, in the order of the rows.

        Where the columns are the inputs, all rows are one block and no copy is made of them.

        Raises:
            BadFile, BadTransaction: as :meth:`matrix`.
        """
        values = self.select(transactions)
        if self.definition is None:
            yield Inputs(values)
            return
        from screening.features import iterate

        self._check_cells(values)
        before = 0
        for block in iterate(
            self.definition, values, labels=history.labels, past=history.past, block=BLOCK_FEATURES
        ):
            yield Inputs(block, before)
            before += len(block)

    def scaled(self, inputs: NDArray[Any], before: int = 0) -> NDArray[np.float32]:
        """Return ``(input - centre) / scale`` as float32, the same shape.

        Args:
            inputs: (rows, inputs), before scaling.
            before: rows that lie before these, for messages.

        Raises:
            BadTransaction: a value can't be used.
        """
        result = np.empty(inputs.shape, np.float32)
        for start in range(0, len(inputs), BLOCK):
            block = inputs[start : start + BLOCK]
            part = result[start : start + BLOCK]
            with np.errstate(over="ignore", invalid="ignore"):
                scaled = block - self.centre
                scaled /= self.scale
                part[:] = scaled
                # an infinity and NaN go through a sum; finite numbers may have one that isn't
                usable = math.isfinite(part.sum()) or np.isfinite(part).all()
            # NaN goes through min and max, and no comparison with it holds
            if not (usable and block.min() >= -LARGEST and block.max() <= LARGEST):
                raise self._unusable(inputs, before)
        return result

    def select(self, transactions: Transactions) -> Matrix:
        """Return the contract's columns, float64 (rows, k), in the net's order; no copy when they are so already."""
        if transactions.columns == self.contract.columns:
            return transactions.values
        places = self.contract.match(transactions.columns)
        return transactions.values[:, [places[name] for name in self.contract.columns]]

    def _unusable(self, values: Matrix, before: int) -> BadTransaction:
        with np.errstate(all="ignore"):
            small = np.abs((values - self.centre) / self.scale) <= LARGEST
            bad = np.argwhere(~(small & (np.abs(values) <= LARGEST)))
        problems = [
            CellProblem(
                "is not a number" if np.isnan(values[row, place]) else "is too large to be scored",
                column=self.inputs[place],
                row=before + int(row) + 1,
                value=f"{values[row, place]:.4g}",
            )
            for row, place in bad[:SHOWN]
        ]
        return self._refusal(problems, len(bad))

    def _check_cells(self, values: Matrix) -> None:
        """Raise an error unless every cell that must be there is a number; features are made of nothing else."""
        needed = np.array([not column.optional for column in self.contract.parts()])
        with np.errstate(all="ignore"):
            usable = (np.abs(values) <= LARGEST) | (np.isnan(values) & ~needed)
        if usable.all():
            return
        bad = np.argwhere(~usable)
        problems = [
            CellProblem(
                "is missing" if np.isnan(values[row, place]) else "is too large to be scored",
                column=self.contract.columns[place],
                row=int(row) + 1,
            )
            for row, place in bad[:SHOWN]
        ]
        raise self._refusal(problems, len(bad))

    def _refusal(self, problems: list[CellProblem], count: int) -> BadTransaction:
        first = problems[0]
        return BadTransaction(
            f"{first.column} in row {first.row} {first.problem}"
            + (f" ({first.value})." if first.value else "."),
            where=f"row {first.row}, column {first.column}",
            remedy="Give a finite number in every column; nothing was scored.",
            problems=problems,
            problem_count=count,
        )


@lru_cache(maxsize=16)
def _singles(count: int) -> tuple[tuple[int, ...], ...]:
    return tuple((place,) for place in range(count))


def open_vectorizer(data: bytes, name: str) -> Vectorizer:
    """Read a vectorizer file: the old project's dict, or this project's, which also names its columns.

    The old project's scaler may be of Amount alone, with the bounds of Time beside it: its notebook mapped Time to
    ``(Time - time_min) / (time_max - time_min)`` and left V1 to V28 as they are.

    Raises:
        BadArtefact: unsafe, damaged, without a RobustScaler, or a scaler that doesn't fit its columns.
    """
    content = open_dump(data, name)
    scaler = content.get("robust_scaler") if isinstance(content, dict) else None
    if not isinstance(scaler, ScalerRecord):
        raise BadArtefact(
            f"{name} holds no RobustScaler.", remedy='Dump a dict {"robust_scaler": ..., "columns": [...]}.'
        )
    state = vars(scaler)
    if is_of_amount_alone(content, state):
        return old_vectorizer(content, state, name)
    definition = _definition(content, name)
    columns, warnings = scaler_columns(content, state, name)
    if definition is not None and definition.names != columns:
        raise BadArtefact(f"{name} contradicts itself: its scaler isn't of the features that it defines.")
    centre, scale = (scaler_numbers(state, part, len(columns), name) for part in ("center_", "scale_"))
    if not (scale > 0).all():
        column = columns[int(np.argmin(scale > 0))]
        raise BadArtefact(f"{name} is unusable: its scale for {column} is {scale[columns.index(column)]:g}.")
    if not centre.any() and (scale == 1).all():
        warnings.append(
            f"The scaler in {name} changes nothing (centre 0, scale 1 in every column): the net sees raw "
            "amounts and times, so its probabilities can't be trusted. Train again, or bring the scaler of "
            "the training."
        )
    warnings += version_warnings(state, name)
    contract = contract_of(content, columns) if definition is None else definition.contract
    return Vectorizer(contract, centre, scale, tuple(warnings), definition)


def is_of_amount_alone(content: dict[Any, Any], state: dict[str, Any]) -> bool:
    """Return whether a scaler was fitted on Amount and nothing else, as the old project's notebook did."""
    fitted = state.get("feature_names_in_")
    named = fitted is None or tuple(map(str, fitted)) == (CARD.amount,)
    bounds = "time_min" in content and "time_max" in content
    return state.get("n_features_in_") == 1 and named and bounds and content.get("columns") is None


def old_vectorizer(content: dict[Any, Any], state: dict[str, Any], name: str) -> Vectorizer:
    """Return the old project's: Time between its bounds, V1 to V28 as they are, Amount through the scaler."""
    try:
        first, last = float(content["time_min"]), float(content["time_max"])
    except (TypeError, ValueError):
        first = last = float("nan")
    if not (np.isfinite([first, last]).all() and last > first):
        raise BadArtefact(
            f"{name} is unusable: its time_min and time_max aren't two numbers, the second the larger one.",
            remedy="Bring the file that was written by the training.",
        )
    amount_centre, amount_scale = (scaler_numbers(state, part, 1, name)[0] for part in ("center_", "scale_"))
    if amount_scale <= 0:
        raise BadArtefact(f"{name} is unusable: its scale for Amount is {amount_scale:g}.")
    centre, scale = np.zeros(len(CARD.columns)), np.ones(len(CARD.columns))
    time, amount = CARD.columns.index("Time"), CARD.columns.index("Amount")
    centre[time], scale[time] = first, last - first
    centre[amount], scale[amount] = amount_centre, amount_scale
    warnings = [
        (
            f"{name} doesn't name its columns, and its scaler is of one: it was taken for that of Amount, with Time "
            "between time_min and time_max and V1 to V28 as they are; Time, V1 to V28, Amount in this order."
        )
    ]
    if amount_centre == 0 and amount_scale == 1:
        warnings.append(
            f"The scaler in {name} is the identity (centre 0, scale 1): the net sees raw amounts, so its "
            "probabilities can't be trusted. Train again, or bring the scaler of the training."
        )
    return Vectorizer(CARD, centre, scale, (*warnings, *version_warnings(state, name)))


def version_warnings(state: dict[str, Any], name: str) -> list[str]:
    """Return a warning where a scaler was made by another version of scikit-learn."""
    written = str(state.get("_sklearn_version", "an unknown version"))[:20]
    if written.startswith(READ_WITH):
        return []
    return [
        (
            f"{name} was written by scikit-learn {written}, this project reads {READ_WITH} (scikit-learn "
            "itself would give an InconsistentVersionWarning). Only centre and scale are read, which mean "
            "the same in both."
        )
    ]


def _definition(content: dict[Any, Any], name: str) -> Definition | None:
    given = content.get("definition")
    if given is None:
        return None
    from screening.features import Definition

    try:
        return Definition.from_dict(given)
    except BadArtefact as problem:
        raise BadArtefact(f"{name} is unusable: {problem.what}", remedy=problem.remedy) from None


def scaler_columns(
    content: dict[Any, Any], state: dict[str, Any], name: str
) -> tuple[tuple[str, ...], list[str]]:
    """Return the names of the scaler's columns: as the file says, as the scaler was fitted, or the old project's."""
    count = state.get("n_features_in_")
    given, fitted = content.get("columns"), state.get("feature_names_in_")
    if given is None and fitted is None and count != len(CARD.columns):
        raise BadArtefact(
            f"{name} doesn't name its columns, and its scaler has {count} of them, not {len(CARD.columns)}.",
            remedy='Dump a dict with "columns": [...] beside "robust_scaler".',
        )
    source = given if given is not None else fitted if fitted is not None else CARD.columns
    columns = tuple(str(column) for column in source)
    if len(set(columns)) != len(columns) or not columns:
        raise BadArtefact(f"{name} names no columns, or one of them twice.")
    if len(columns) != count:
        raise BadArtefact(f"{name} names {len(columns)} columns, but its scaler has {count}.")
    if given is not None and fitted is not None and tuple(map(str, fitted)) != columns:
        raise BadArtefact(f"{name} contradicts itself: its scaler was fitted on columns in another order.")
    assumed = [f"{name} doesn't name its columns; Time, V1 to V28, Amount were assumed, in this order."]
    return columns, assumed if given is None and fitted is None else []


def scaler_numbers(state: dict[str, Any], part: str, count: int, name: str) -> NDArray[np.float64]:
    """Return ``center_`` or ``scale_``; without it (``with_centering=False``) what changes nothing."""
    given = state.get(part)
    try:
        numbers = np.full(count, float(part == "scale_")) if given is None else np.array(given, np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise BadArtefact(f"{name} is unusable: its scaler's {part} isn't {count} finite numbers.")
    return numbers


def contract_of(content: dict[Any, Any], columns: tuple[str, ...]) -> ColumnContract:
    """Return the contract with the parts that the file names, or those of the card columns that are there."""
    if columns == CARD.columns:
        return CARD
    parts = {"label": CARD.label} | {
        part: usual for part, usual in (("time", CARD.time), ("amount", CARD.amount)) if usual in columns
    }
    parts |= {part: content[part] for part in ("label", "time", "amount") if part in content}
    label, time, amount = (
        None if parts.get(part) is None else str(parts[part]) for part in ("label", "time", "amount")
    )
    return ColumnContract(columns, label, time, amount)
