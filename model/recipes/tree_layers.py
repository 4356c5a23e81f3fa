"""Boosted trees as layers: trained by XGBoost (Chen and Guestrin 2016), then written exactly as dense layers.

A tree of depth 3 asks 7 questions "is this column below that number?" and has 8 leaves. Two layers answer for all
trees at once: a gate for each question, 6 for yes and 0 for no (relu6 with a steep slope), then for each leaf the and
of the three answers on its path, relu(sum - 2), with one small matrix of all trees. Their leaf values are summed. A
tree of depth d has 2^d - 1 questions and 2^d leaves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Slope of a gate: a power of two, so that 32-bit products are exact and a value at the threshold is a clean
# no.
STEEP = float(2**20)


@dataclass(frozen=True)
class TreeRecipe:
    """Growth settings of the trees: shallow and few, each from three columns in ten and seven rows in ten.

    ``patience``: how many trees may bring nothing on held-out rows before growing stops.
    """

    trees: int = 200
    rate: float = 0.1
    rows: float = 0.7
    columns: float = 0.3
    ridge: float = 3.0
    depth: int = 3
    threads: int = 1
    patience: int = 30
    least: float = 1.0
    """The least sum of p (1 - p) over the rows of a leaf."""


@dataclass(frozen=True)
class Trees:
    """``column`` and ``threshold`` (trees, gates): yes when the column is below. An unused gate has column -1: always
    yes. Gates stand level by level, the yes branch first. ``leaf`` (trees, leaves): logits to add to ``base``.
    """

    column: NDArray[np.int64]
    threshold: Floats
    leaf: Floats
    base: float

    @property
    def gates(self) -> int:
        """Questions of a tree: 2^depth - 1."""
        return int(self.column.shape[1])

    @property
    def depth(self) -> int:
        """Questions on the way to a leaf."""
        return self.gates.bit_length()

    def gate_layer(self, inputs: int) -> tuple[Floats, Floats]:
        """Return kernel (inputs, trees * gates) and bias of the gates."""
        column, threshold = self.column.ravel(), self.threshold.ravel()
        kernel, used = np.zeros((inputs, len(column))), np.flatnonzero(column >= 0)
        kernel[column[used], used] = -STEEP
        return kernel, np.where(column >= 0, STEEP * threshold, 6.0)

    def logits(self, values: Floats) -> Floats:
        """Return the sum over the trees for ``values`` (rows, inputs), by comparing in 32 bits as XGBoost does."""
        total = np.full(len(values), self.base)
        single = values.astype(np.float32)
        for column, threshold, leaf in zip(
            self.column, self.threshold.astype(np.float32), self.leaf, strict=True
        ):
            yes = (single[:, column] < threshold) | (column < 0)
            place = np.zeros(len(values), np.int64)
            for _ in range(self.depth):
                place = 2 * place + 2 - yes[np.arange(len(values)), place]
            total += leaf[place - self.gates]
        return total


def train_trees(
    values: NDArray[Any],
    label: NDArray[np.int64],
    recipe: TreeRecipe,
    seed: int,
    weight: Floats | None = None,
) -> Trees:
    """Grow the trees on ``values`` (rows, inputs) as the net will see them; one thread: a seed means one result."""
    grown = boosted_trees(recipe, seed).fit(values.astype(np.float32), label, sample_weight=weight)
    read = read_trees(grown.get_booster(), recipe.depth)
    margin = float(grown.predict(values[:1].astype(np.float32), output_margin=True)[0])
    return Trees(read.column, read.threshold, read.leaf, margin - float(read.logits(values[:1])[0]))


def count_trees(
    learned: tuple[NDArray[Any], NDArray[np.int64], Floats],
    held: tuple[NDArray[Any], NDArray[np.int64], Floats],
    recipe: TreeRecipe,
    seed: int,
) -> tuple[int, Floats]:
    """Return the number of trees that still lower the log loss of held-out rows, and the logits that these trees give.

    Args:
        learned: values (rows, inputs), labels and weights of the rows to learn from.
        held: the same of the rows to test on.
        recipe: ``recipe.trees`` is the most that are grown.
        seed: of the drawing of rows and columns.
    """
    grown = boosted_trees(recipe, seed, early_stopping_rounds=recipe.patience)
    grown.fit(
        *learned[:2],
        sample_weight=learned[2],
        eval_set=[held[:2]],
        sample_weight_eval_set=[held[2]],
        verbose=False,
    )
    return int(grown.best_iteration) + 1, np.asarray(grown.predict(held[0], output_margin=True), np.float64)


def boosted_trees(recipe: TreeRecipe, seed: int, **more: Any) -> Any:
    """Return trees of a recipe, which haven't learned yet."""
    from xgboost import XGBClassifier

    return XGBClassifier(
        n_estimators=recipe.trees, max_depth=recipe.depth, learning_rate=recipe.rate, subsample=recipe.rows,
        colsample_bytree=recipe.columns, reg_lambda=recipe.ridge, tree_method="hist", n_jobs=recipe.threads,
        min_child_weight=recipe.least, random_state=seed, eval_metric="logloss", **more,
    )  # fmt: skip


def read_trees(booster: Any, depth: int) -> Trees:
    """Return the trees, at most so deep, of an XGBoost booster with unnamed columns; ``base`` is left at 0."""
    roots = [json.loads(text) for text in booster.get_dump(dump_format="json")]
    gates = 2**depth - 1
    column = np.full((len(roots), gates), -1, np.int64)
    threshold, leaf = np.zeros((len(roots), gates)), np.zeros((len(roots), gates + 1))
    for number, root in enumerate(roots):
        read_node(root, 0, column[number], threshold[number], leaf[number])
    return Trees(column, threshold, leaf, 0.0)


def read_node(
    node: dict[str, Any], place: int, column: NDArray[np.int64], threshold: Floats, leaf: Floats
) -> None:
    """Read one node and all below it into the arrays of the layers."""
    gates = len(column)
    if "leaf" in node:
        # an early leaf holds for all leaves below its place
        first, last = place, place
        while first < gates:
            first, last = 2 * first + 1, 2 * last + 2
        leaf[first - gates : last - gates + 1] = node["leaf"]
        return
    column[place] = int(str(node["split"]).removeprefix("f"))
    # the text is decimal, the comparison is not
    threshold[place] = np.float32(node["split_condition"])
    for child in node["children"]:
        read_node(child, 2 * place + (1 if child["nodeid"] == node["yes"] else 2), column, threshold, leaf)
