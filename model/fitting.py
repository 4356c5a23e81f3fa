"""Rows of a training file with their features, and how a net is learned from some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data.labelled_table import LabelledTable
from model.progress import Say
from model.recipes.blend import Blend, Split
from model.recipes.cold_start import Cold
from model.recipes.recipe import Fitted, Recipe, blends, fit_general
from screening.features import Definition
from screening.features.definitions.catalogue import is_category
from screening.features.definitions.rates import Rates, as_known_then, rated

Floats = NDArray[np.float64]
Features = NDArray[np.float32]
Rows = NDArray[np.int64]
SCALER_ROWS = 200_000


@dataclass(frozen=True)
class PreparedRows:
    """Cleaned rows with their features: all (n, …), in the file's order; ``time`` is ``None`` without one."""

    table: LabelledTable
    definition: Definition
    features: Features
    label: NDArray[np.int8]
    time: Floats | None
    cleaning: dict[str, Any]


@dataclass(frozen=True)
class LearnedNet:
    """A net before calibration, with all that makes its inputs of a file's columns."""

    net: Fitted
    scaler: Any
    definition: Definition

    def features(self, prepared: PreparedRows, rows: Rows) -> Features:
        """Return the net's inputs before scaling, (rows, f): with the rates of values, as later rows get them."""
        return rated_features(prepared, self.definition, rows)

    def logits(self, prepared: PreparedRows, rows: Rows) -> Floats:
        """Return uncalibrated logits (rows,) of rows that it hasn't learned from."""
        return self.net.logits(self.scaler.transform(self.features(prepared, rows)))


def rated_features(prepared: PreparedRows, definition: Definition, rows: Rows) -> Features:
    """Return features of rows, (rows, f), those that a definition has beyond the prepared ones last."""
    more = [Rates.read(levels).of(_cells(prepared, name)[rows]) for name, levels in definition.rates.items()]
    return np.column_stack([prepared.features[rows], *more]).astype(np.float32, copy=False)


def fit(
    prepared: PreparedRows,
    rows: Rows,
    seed: int,
    say: Say,
    *,
    weight: Floats | None = None,
    recipe: Recipe | Blend | None = None,
    splits: Sequence[Split] | None = None,
) -> LearnedNet:
    """Scale and learn from some of the rows; ``weight`` goes along them. A recipe or blend is taken as it is.

    ``splits`` are what to choose a blend on, as numbers of ``rows``. What is told of the values of categories is
    learned from these rows too, and of each of them it is what was known without its own label.
    """
    from sklearn.preprocessing import RobustScaler

    time = None if prepared.time is None else prepared.time[rows]
    # a blend is learned again with the features that it was chosen with, of however many rows
    told = blends(recipe, len(rows))
    definition, features = (
        learn_rates(prepared, rows, time, seed) if told else (prepared.definition, prepared.features[rows])
    )
    scaler = RobustScaler(copy=True).fit(features[sample_of(len(rows), seed)].astype(np.float64))
    scaled = scaler.transform(features)
    cold = Cold.of(definition, prepared.table.values)
    fitted = fit_general(
        scaled.astype(np.float32, copy=False),
        prepared.label[rows].astype(np.int64),
        weight=weight,
        time=time,
        recipe=recipe,
        splits=splits,
        cold=None if cold is None else cold.scaled(scaler.transform),
        seed=seed,
        say=say,
    )
    return LearnedNet(fitted, scaler, definition)


def learn_rates(
    prepared: PreparedRows, rows: Rows, time: Floats | None, seed: int
) -> tuple[Definition, Features]:
    """Return the definition with the rates of these rows, and their features to learn from, (rows, f)."""
    names = told_of(prepared.definition)
    label = prepared.label[rows]
    delay = prepared.definition.options.label_delay
    columns = {name: _cells(prepared, name)[rows] for name in names}
    kept = rated(names, list(columns.values()))
    rates = {name: Rates.learn(columns[name], label).levels() for name in kept}
    more = [as_known_then(columns[name], label, time, delay, seed) for name in kept]
    features = np.column_stack([prepared.features[rows], *more]).astype(np.float32, copy=False)
    return replace(prepared.definition, rates=rates), features


def told_of(definition: Definition) -> list[str]:
    """Return the columns whose values may be told of by their share of fraud: categories, and whoever comes back."""
    contract = definition.contract
    return [
        part.name
        for part in contract.parts()
        if is_category(part, contract) or part.name in definition.tracked
    ]


def _cells(prepared: PreparedRows, name: str) -> Floats:
    return prepared.table.values[:, prepared.table.contract.columns.index(name)]


def sample_of(count: int, seed: int) -> NDArray[np.int64]:
    """Return at most 200,000 of so many rows: their quantiles are those of all to three digits."""
    if count <= SCALER_ROWS:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, SCALER_ROWS, replace=False))
