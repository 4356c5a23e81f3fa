"""The net for any file: boosted trees as layers beside a few small nets, each as long as it still gains on later rows.

The recipe of :mod:`model.recipes.network`, sized by the data. How many trees and epochs are worth it is found on a
held-out part of the rows, the latest ones if there is a time; then everything is learned again from all rows. Where
rows tell of earlier ones, some are learned from once more without their past (:mod:`model.recipes.cold_start`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.progress import Say, part, silent
from model.recipes.blend import Blend, BlendChoice, Split, choose, learn, splits_of
from model.recipes.calibration import Calibration
from model.recipes.candidates import BinnedRows
from model.recipes.cold_start import Cold
from model.recipes.ensemble import PackedRecipe, train_packed
from model.recipes.network import REACH, Branches, Layer, apply, build
from model.recipes.tail_bins import FINE, FINE_TAIL, TailBins
from model.recipes.tree_layers import TreeRecipe, count_trees, train_trees

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Floats = NDArray[np.float64]
HELD_OUT = 0.12
"""Share of the rows on which trees and epochs are counted."""
# With fewer frauds held out, the recipe's own counts are taken: the best ones would be chance.
FEWEST_HELD = 15
MOST_BLENDED = 300_000
"""Rows up to which a blend is chosen; of more the counted recipe takes less time and memory."""
MOST_LEGITIMATE = 250_000
BLOCK = 65_536
COLD_SHARE = 0.03
"""Of the weight, what copies without a past count; those without known labels count as much again."""
MOST_COPIED = 30_000
"""Rows of each class that are copied in each way; of the legitimate ones a quarter at most."""
CHOOSING = 0.7
"""Share of the time that choosing a blend takes, about."""
COUNTING, GROWING = 0.5, 0.3
"""Shares of the time that counting takes, and growing trees of each half: measured on 1.1 million rows, about."""


@dataclass(frozen=True)
class Recipe:
    """Settings of trees and nets."""

    trees: TreeRecipe
    nets: PackedRecipe
    share: float = 1.0
    """Weight of the nets' logit beside the trees'."""
    below_prior: float = 0.5
    """Distance below the prior's log odds down to which the trees still count: among rows that are hardly suspect
    they order by chance, those of a small file sooner."""

    @classmethod
    def of_many(cls) -> Recipe:
        """Return the recipe for many rows, before its trees and epochs are counted."""
        return cls(
            TreeRecipe(
                trees=200, rate=0.045, rows=0.8, columns=0.5, ridge=5.0, least=8.0, depth=6, threads=2
            ),
            PackedRecipe(members=3, width=128, epochs=14, batch=1024, rate=3e-3, decay=0.2, dropout=0.2),
            share=0.2,
            below_prior=1.75,
        )


@dataclass(frozen=True)
class Fitted:
    """Fitted parts of a net, before calibration."""

    branches: Branches
    recipe: Recipe | Blend
    """With the trees and epochs that were counted."""
    choice: BlendChoice | None = None
    """Choice of the blend, if it was chosen: its rows are those that were learned from, by number."""

    def logits(self, features: Features) -> Floats:
        """Return uncalibrated logits (rows,) of scaled features (rows, f)."""
        parts = np.array_split(np.asarray(features), max(len(features) // 50_000, 1))
        return np.concatenate([self.branches.logits(rows.astype(np.float64)) for rows in parts])

    def build(self, calibration: Calibration) -> Any:
        """Return the Keras model: scaled features in, one probability out."""
        return build(self.branches, calibration)


@dataclass(frozen=True)
class LearningRows:
    """Rows to learn from, their copies behind them; ``origin`` (n,) is the row that each one is or was copied from."""

    features: Features
    label: Labels
    weight: Floats
    origin: NDArray[np.int64]


def fit_general(
    features: Features,
    label: Labels,
    *,
    weight: Floats | None = None,
    time: Floats | None = None,
    recipe: Recipe | Blend | None = None,
    splits: Sequence[Split] | None = None,
    cold: Cold | None = None,
    seed: int = 0,
    say: Say = silent,
) -> Fitted:
    """Learn from scaled features.

    Args:
        features: (rows, f), float32, as the net will see them.
        label: 0 or 1, (rows,).
        weight: what each row counts, (rows,); all the same by default.
        time: (rows,), when there is one: what is held out is the latest.
        recipe: how much of what; by default a blend is chosen, or of many rows a recipe counted.
        splits: rows to learn from and to hold out while a blend is chosen; by default the latest, or folds.
        cold: how rows look without their past, scaled like ``features``, where they look back.
        seed: the same one gives the same net.
        say: gets a share and a line now and then.
    """
    weight = np.ones(len(label)) if weight is None else weight
    if isinstance(recipe, Blend) or blends(recipe, len(label)):
        known = recipe if isinstance(recipe, Blend) else None
        return learn_blend(features, label, weight, time, known, splits=splits, cold=cold, seed=seed, say=say)
    rows, more = thinned(label, seed)
    features, label, weight = features[rows], label[rows], weight[rows] * more
    bend, marks = wide_squash(features), TailBins.of(features)
    held = None
    if recipe is None:
        recipe = Recipe.of_many()
        held = hold_out(label, None if time is None else time[rows], seed)
    given = with_copies(features, label, weight, cold, seed)
    seen = BinnedRows(
        marks.reached(given.features), bend_rows(bend, given.features), given.label, given.weight
    )
    begun = 0.0
    if held is not None:
        recipe = count_rounds(seen, given.origin, held, recipe, seed, part(say, 0.0, COUNTING))
        begun = COUNTING
    say = part(say, begun, 1.0)
    say(0.0, f"Growing {recipe.trees.trees} trees")
    trees = marks.asked(train_trees(seen.reached, seen.label, recipe.trees, seed, seen.weight))
    say(GROWING, f"Training {recipe.nets.members} nets for {recipe.nets.epochs} epochs")
    trained = train_packed(seen.bent, seen.label, seen.weight, recipe.nets, seed, say=part(say, GROWING, 1.0))
    prior = float(np.average(label, weights=weight))
    floor = float(np.log(prior / (1 - prior))) - recipe.below_prior
    return Fitted(Branches(bend, trained.members, trees, recipe.share, floor), recipe)


def blends(recipe: Recipe | Blend | None, rows: int) -> bool:
    """Return whether so many rows are learned from by a blend: one that is given, or will be chosen."""
    return isinstance(recipe, Blend) or (recipe is None and rows < MOST_BLENDED)


def learn_blend(
    features: Features,
    label: Labels,
    weight: Floats,
    time: Floats | None,
    blend: Blend | None,
    *,
    splits: Sequence[Split] | None,
    cold: Cold | None,
    seed: int,
    say: Say,
) -> Fitted:
    """Choose a blend, unless one is given, and learn it."""
    bend, marks = wide_squash(features), TailBins.of(features, FINE, FINE_TAIL)
    given = with_copies(features, label, weight, cold, seed)
    seen = BinnedRows(
        marks.reached(given.features), bend_rows(bend, given.features), given.label, given.weight
    )
    choice, begun = None, 0.0
    if blend is None:
        held = splits_of(label, time, seed) if splits is None else splits
        choice, begun = choose(seen, given.origin, held, seed, part(say, 0.0, CHOOSING)), CHOOSING
        blend = choice.blend
    return Fitted(learn(blend, seen, (marks, bend), seed, part(say, begun, 1.0)), blend, choice)


def with_copies(
    features: Features, label: Labels, weight: Floats, cold: Cold | None, seed: int
) -> LearningRows:
    """Return rows (n, f) and copies of some of them: with nothing before them, and with no label known.

    Each class's copies weigh as much of all copies as the class does of all rows, and all together weigh what the rows
    did, so that the prior stays.
    """
    every = np.arange(len(label))
    if cold is None:
        return LearningRows(features, label, weight, every)
    generator = np.random.default_rng((seed, len(label)))
    drawn = [draw_copies(label, weight, generator) for _ in range(2)]
    looks = (cold.alone, cold.unlabelled)
    copies = [look(features[rows]) for look, (rows, _) in zip(looks, drawn, strict=True)]
    origin = np.concatenate([every, *(rows for rows, _ in drawn)])
    weights = [(1 - COLD_SHARE * len(looks)) * weight, *(count for _, count in drawn)]
    return LearningRows(np.vstack([features, *copies]), label[origin], np.concatenate(weights), origin)


def draw_copies(
    label: Labels, weight: Floats, generator: np.random.Generator
) -> tuple[NDArray[np.int64], Floats]:
    """Return rows to copy, ascending, and what each copy weighs; (c,) both."""
    rows, weights = [], []
    for value, part_of in ((0, 4), (1, 1)):
        those = np.flatnonzero(label == value)
        some = np.sort(generator.choice(those, min(-(-len(those) // part_of), MOST_COPIED), replace=False))
        rows.append(some)
        weights.append(weight[some] * (COLD_SHARE * weight[those].sum() / weight[some].sum()))
    return np.concatenate(rows), np.concatenate(weights)


def thinned(label: Labels, seed: int) -> tuple[NDArray[np.int64], Floats]:
    """Return all frauds and at most 250,000 legitimate rows, and how many rows each of them stands for.

    Of a million legitimate rows a quarter gave the same ranking on later payments, in a quarter of the time.
    """
    legitimate = np.flatnonzero(label == 0)
    if len(legitimate) <= MOST_LEGITIMATE:
        return np.arange(len(label)), np.ones(len(label))
    kept = np.random.default_rng(seed).choice(legitimate, MOST_LEGITIMATE, replace=False)
    rows = np.sort(np.r_[np.flatnonzero(label == 1), kept])
    return rows, np.where(label[rows] == 1, 1.0, len(legitimate) / MOST_LEGITIMATE)


def wide_squash(features: Features) -> Layer:
    """Return the layer that centres features and bends them to tanh(z / 3), z in standard deviations or in eighths of
    the middle 99.9 %, whichever is wider: a share of frauds is zero nearly always, and its high values must not be one.
    """
    low, high = np.quantile(features, (0.0005, 0.9995), axis=0)
    spread = REACH * np.maximum(features.std(axis=0, dtype=np.float64), (high - low) / 8)
    spread = np.where(spread > 0, spread, 1.0)
    return Layer(np.diag(1.0 / spread), -features.mean(axis=0, dtype=np.float64) / spread, "tanh")


def bend_rows(bend: Layer, features: Features) -> Features:
    """Return the nets' inputs, made of scaled features, (rows, f) float32 within -1 and 1, block by block."""
    found = np.empty_like(features)
    for start in range(0, len(features), BLOCK):
        found[start : start + BLOCK] = apply([bend], features[start : start + BLOCK])
    return found


def hold_out(label: Labels, time: Floats | None, seed: int) -> NDArray[np.bool_] | None:
    """Return the mask of rows on which trees and epochs are counted, bool (rows,); ``None`` if they would be too few
    frauds.
    """
    if time is not None:
        held = time >= np.quantile(time, 1 - HELD_OUT)
    else:
        held = np.random.default_rng(seed).random(len(label)) < HELD_OUT
    frauds = int(label[held].sum())
    enough = frauds >= FEWEST_HELD and int(label[~held].sum()) >= FEWEST_HELD and not label[held].all()
    return held if enough else None


def count_rounds(  # noqa: PLR0917 -- all of one kind of thing
    seen: BinnedRows,
    origin: NDArray[np.int64],
    held: NDArray[np.bool_],
    recipe: Recipe,
    seed: int,
    say: Say,
) -> Recipe:
    """Return the recipe with as many trees and epochs as gain on held-out rows; no copy of these is learned from."""
    say(0.0, "Counting the trees and epochs that gain on held-out rows")
    learned = seen.rows(~held[origin])
    tested = seen.rows(np.r_[held, np.zeros(len(origin) - len(held), bool)])
    trees, _ = count_trees(
        (learned.reached, learned.label, learned.weight),
        (tested.reached, tested.label, tested.weight),
        recipe.trees,
        seed,
    )
    trained = train_packed(
        learned.bent,
        learned.label,
        learned.weight,
        recipe.nets,
        seed,
        held=(tested.bent, tested.label, tested.weight),
        say=part(say, GROWING, 1.0),
    )
    counted = replace(recipe.nets, epochs=trained.epochs)
    return replace(recipe, trees=replace(recipe.trees, trees=trees), nets=counted)
