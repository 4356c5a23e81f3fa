"""Boosted trees as layers: trained by XGBoost (Chen and Guestrin 2016), then written exactly as dense layers.

A tree of depth 3 asks 7 questions "is this column below that number?" and has 8 leaves. Two layers answer for all
trees at once: a gate for each question, 6 for yes and 0 for no (relu6 with a steep slope), then for each leaf the and
of the three answers on its path, relu(sum - 2), with one small matrix of all trees. Their leaf values are summed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DEPTH, GATES, LEAVES = 3, 7, 8
STEEP = float(2**20)
"""Slope of a gate: a power of two, so that 32-bit products are exact and a value at the threshold is a clean no."""


@dataclass(frozen=True)
class TreeRecipe:
    """How the trees are grown: shallow and few, each from three columns in ten and seven rows in ten."""

    trees: int = 150
    rate: float = 0.1
    rows: float = 0.7
    columns: float = 0.3
    ridge: float = 3.0


@dataclass(frozen=True)
class Trees:
    """``column`` and ``threshold`` (trees, 7): yes when the column is below. An unused gate has column -1: always yes.

    Gates stand level by level, the yes branch first. ``leaf`` (trees, 8): logits to add to ``base``.
    """

    column: NDArray[np.int64]
    threshold: Floats
    leaf: Floats
    base: float

    def gate_layer(self, inputs: int) -> tuple[Floats, Floats]:
        """Kernel (inputs, trees * 7) and bias of the gates."""
        column, threshold = self.column.ravel(), self.threshold.ravel()
        kernel, used = np.zeros((inputs, len(column))), np.flatnonzero(column >= 0)
        kernel[column[used], used] = -STEEP
        return kernel, np.where(column >= 0, STEEP * threshold, 6.0)

    def logits(self, values: Floats) -> Floats:
        """The sum over the trees for ``values`` (rows, inputs), by comparing in 32 bits as XGBoost does."""
        total = np.full(len(values), self.base)
        single = values.astype(np.float32)
        for column, threshold, leaf in zip(
            self.column, self.threshold.astype(np.float32), self.leaf, strict=True
        ):
            yes = (single[:, column] < threshold) | (column < 0)
            place = np.zeros(len(values), np.int64)
            for _ in range(DEPTH):
                place = 2 * place + 2 - yes[np.arange(len(values)), place]
            total += leaf[place - GATES]
        return total


def leaf_layer() -> tuple[Floats, Floats]:
    """Kernel (7, 8) and bias of the leaves of any tree: 1 where all three answers on the path agree, else 0."""
    kernel, bias = np.zeros((GATES, LEAVES)), np.full(LEAVES, 1.0 - DEPTH)
    for leaf in range(LEAVES):
        place = leaf + GATES
        while place:
            parent, no = (place - 1) // 2, place % 2 == 0
            kernel[parent, leaf] = -1 / 6 if no else 1 / 6
            bias[leaf] += no
            place = parent
    return kernel, bias


def train_trees(values: Floats, label: NDArray[np.int64], recipe: TreeRecipe, seed: int) -> Trees:
    """Grow the trees on ``values`` (rows, inputs) as the net will see them; one thread: a seed means one result."""
    from xgboost import XGBClassifier

    grown = XGBClassifier(
        n_estimators=recipe.trees, max_depth=DEPTH, learning_rate=recipe.rate, subsample=recipe.rows,
        colsample_bytree=recipe.columns, reg_lambda=recipe.ridge, tree_method="hist", n_jobs=1, random_state=seed,
    ).fit(values.astype(np.float32), label)  # fmt: skip
    read = read_trees(grown.get_booster())
    margin = float(grown.predict(values[:1].astype(np.float32), output_margin=True)[0])
    return Trees(read.column, read.threshold, read.leaf, margin - float(read.logits(values[:1])[0]))


def read_trees(booster: Any) -> Trees:
    """The trees of an XGBoost booster with unnamed columns; ``base`` is left at 0."""
    roots = [json.loads(text) for text in booster.get_dump(dump_format="json")]
    column = np.full((len(roots), GATES), -1, np.int64)
    threshold, leaf = np.zeros((len(roots), GATES)), np.zeros((len(roots), LEAVES))
    for number, root in enumerate(roots):
        _read(root, 0, column[number], threshold[number], leaf[number])
    return Trees(column, threshold, leaf, 0.0)


def _read(
    node: dict[str, Any], place: int, column: NDArray[np.int64], threshold: Floats, leaf: Floats
) -> None:
    if "leaf" in node:
        first, last = place, place  # an early leaf holds for all leaves below its place
        while first < GATES:
            first, last = 2 * first + 1, 2 * last + 2
        leaf[first - GATES : last - GATES + 1] = node["leaf"]
        return
    column[place] = int(str(node["split"]).removeprefix("f"))
    threshold[place] = np.float32(node["split_condition"])  # the text is decimal, the comparison is not
    for child in node["children"]:
        _read(child, 2 * place + (1 if child["nodeid"] == node["yes"] else 2), column, threshold, leaf)
