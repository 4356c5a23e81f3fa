"""Models that a blend is chosen from, each of which standard layers can say: trees, symmetric trees, a line, nets.

All of them see the same rows: trees how many marks of its column each value has reached, the others bent values. A
candidate is traced first, which tells how many rounds of it still gain on rows that it hasn't seen, and then made of
all rows with so many rounds.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.progress import Say, silent
from model.recipes.ensemble import PackedRecipe, mean_logits, train_packed
from model.recipes.network import Layer, Member
from model.recipes.tail_bins import Reached
from model.recipes.tree_layers import Trees, read_trees

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Floats = NDArray[np.float64]
Columns = NDArray[np.int64]
# Up to so many rows one thread is faster than two, which wait for each other longer than they work.
FEW_ROWS = 20_000
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Inverse ridges of the logistic regression, weakest last; its rounds count them."""
PATIENCE = 50
# A logistic regression has one weight a column, so more rows tell it nothing.
TOLD_EACH = 10
"""Trees after which progress is said: each word of it is a line for whoever waits, and is kept."""
MOST_FOR_A_LINE = 30_000


class CandidateKind(StrEnum):
    """Kinds of candidates."""

    TREES = "XGBoost"
    """Boosted trees (Chen and Guestrin 2016)."""
    SYMMETRIC = "CatBoost"
    """Boosted trees that ask one question a level (Prokhorenkova et al. 2018)."""
    LINE = "logistic regression"
    NETS = "small nets"


@dataclass(frozen=True)
class Candidate:
    """A model with its settings; ``columns`` is how many of the strongest features it sees, ``None`` for all."""

    kind: CandidateKind
    columns: int | None = None
    most: int = 300
    """Rounds that are tried: trees, strengths or epochs."""
    depth: int = 6
    rate: float = 0.06

    @property
    def name(self) -> str:
        """For a person and for the detector's card."""
        return self.kind.value if self.columns is None else f"{self.kind.value} on {self.columns} features"


@dataclass(frozen=True)
class BinnedRows:
    """Rows as candidates see them: how many marks each value has reached, and bent; (n, f) each."""

    reached: Reached
    bent: Features
    label: Labels
    weight: Floats

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, which: NDArray[Any]) -> BinnedRows:
        """Return some of the rows."""
        return BinnedRows(self.reached[which], self.bent[which], self.label[which], self.weight[which])

    def of(self, columns: Columns | None) -> BinnedRows:
        """Return some of the columns; ``None`` for all."""
        if columns is None:
            return self
        return replace(self, reached=self.reached[:, columns], bent=self.bent[:, columns])


@dataclass(frozen=True)
class Trace:
    """``loss`` (rounds,): the log loss of held-out rows after each round; ``logits`` gives their logits after some."""

    loss: Floats
    logits: Callable[[int], Floats]


@dataclass(frozen=True)
class Grown:
    """Fitted candidate: trees on the marks reached, or members on bent values."""

    trees: Trees | None = None
    members: tuple[Member, ...] = ()


def trace(candidate: Candidate, learned: BinnedRows, held: BinnedRows, seed: int, say: Say = silent) -> Trace:
    """Learn from some rows and watch others; both have the candidate's columns only."""
    return TRACERS[candidate.kind](candidate, learned, held, seed, say)


def make(candidate: Candidate, rounds: int, seen: BinnedRows, seed: int, say: Say = silent) -> Grown:
    """Learn with a known number of rounds, from 1, as a trace found them; rows have the candidate's columns only."""
    return MAKERS[candidate.kind](candidate, rounds, seen, seed, say)


def widened(grown: Grown, columns: Columns | None, width: int) -> Grown:
    """Return what was made on some columns, (k,), as made on all ``width`` features; ``None`` means all already."""
    if columns is None:
        return grown
    if grown.trees is not None:
        column = np.where(grown.trees.column >= 0, columns[grown.trees.column], -1)
        return Grown(replace(grown.trees, column=column))
    return Grown(members=tuple(widen(member, columns, width) for member in grown.members))


def widen(member: Member, columns: Columns, width: int) -> Member:
    """Return a member of some columns as one of all: the others weigh nothing."""
    kernel = np.zeros((width, member[0].kernel.shape[1]))
    kernel[columns] = member[0].kernel
    return [replace(member[0], kernel=kernel), *member[1:]]


def strongest(seen: BinnedRows, seed: int) -> Columns:
    """Return all features, (f,), those first by which a few shallow trees gain most."""
    from xgboost import XGBClassifier

    looked = XGBClassifier(
        n_estimators=80, max_depth=4, learning_rate=0.1, subsample=0.8, colsample_bytree=0.5, reg_lambda=2.0,
        tree_method="hist", n_jobs=_threads(seen), random_state=seed,
    ).fit(seen.reached, seen.label, sample_weight=seen.weight)  # fmt: skip
    found: dict[str, Any] = looked.get_booster().get_score(importance_type="total_gain")
    gain = np.array([float(found.get(f"f{place}", 0.0)) for place in range(seen.reached.shape[1])])
    return np.argsort(-gain, kind="stable")


def losses(logit: Floats, label: Labels) -> Floats:
    """Return the log loss of each row, (rows,)."""
    return np.logaddexp(0.0, np.where(label == 1, -logit, logit))


def most_answers(seen: BinnedRows) -> int:
    """Return the most answers that a column gives: with fewer bins a question would be lost."""
    return max(int(seen.reached.max(initial=0)) + 1, 2)


def _threads(seen: BinnedRows) -> int:
    return 1 if len(seen) < FEW_ROWS else 2


def told(say: Say, candidate: Candidate, rounds: int) -> Any:
    """Return what XGBoost and CatBoost call after each tree, so that progress moves while they grow."""
    from xgboost.callback import TrainingCallback

    class Told(TrainingCallback):
        def after_iteration(self, *given: Any) -> bool:
            # XGBoost gives the model, the number of the tree from 0 and the log, CatBoost one object with the number.
            tree = given[1] + 1 if len(given) > 1 else given[0].iteration
            if tree % TOLD_EACH == 0:
                say(min(tree / rounds, 1.0), f"{candidate.name}, tree {tree} of at most {rounds}")
            return len(given) == 1  # XGBoost stops where this is true, CatBoost where it is false

    return Told()


def boosted_trees(
    candidate: Candidate, rounds: int, seen: BinnedRows, seed: int, say: Say, **more: Any
) -> Any:
    """Return boosted trees of so many rounds, which haven't learned yet."""
    from xgboost import XGBClassifier

    return XGBClassifier(
        n_estimators=rounds, max_depth=candidate.depth, learning_rate=candidate.rate, subsample=0.8,
        colsample_bytree=0.8, tree_method="hist", max_bin=most_answers(seen), n_jobs=_threads(seen), random_state=seed,
        eval_metric="logloss", callbacks=[told(say, candidate, rounds)], **more,
    )  # fmt: skip


def _trace_trees(candidate: Candidate, learned: BinnedRows, held: BinnedRows, seed: int, say: Say) -> Trace:
    grown = boosted_trees(candidate, candidate.most, learned, seed, say, early_stopping_rounds=PATIENCE)
    grown.fit(
        learned.reached, learned.label, sample_weight=learned.weight, verbose=False,
        eval_set=[(held.reached, held.label)], sample_weight_eval_set=[held.weight],
    )  # fmt: skip
    loss = np.array(grown.evals_result()["validation_0"]["logloss"])
    return Trace(
        loss,
        lambda rounds: grown.predict(held.reached, output_margin=True, iteration_range=(0, rounds)).astype(
            float
        ),
    )


def _make_trees(candidate: Candidate, rounds: int, seen: BinnedRows, seed: int, say: Say) -> Grown:
    grown = boosted_trees(candidate, rounds, seen, seed, say)
    grown.fit(seen.reached, seen.label, sample_weight=seen.weight)
    read = read_trees(grown.get_booster(), candidate.depth)
    first = seen.reached[:1]
    margin = float(grown.predict(first, output_margin=True)[0])
    return Grown(replace(read, base=margin - float(read.logits(first.astype(np.float64))[0])))


def symmetric_trees(candidate: Candidate, rounds: int, seen: BinnedRows, seed: int) -> Any:
    """Return symmetric trees of so many rounds, which haven't learned yet."""
    from catboost import CatBoostClassifier

    return CatBoostClassifier(
        iterations=rounds, depth=candidate.depth, learning_rate=candidate.rate, border_count=most_answers(seen) - 1,
        random_seed=seed, thread_count=_threads(seen), verbose=False, allow_writing_files=False,
    )  # fmt: skip


def _trace_symmetric(
    candidate: Candidate, learned: BinnedRows, held: BinnedRows, seed: int, say: Say
) -> Trace:
    from catboost import Pool

    grown = symmetric_trees(candidate, candidate.most, learned, seed)
    shown = held.reached.astype(np.float32)
    grown.fit(
        learned.reached.astype(np.float32), learned.label, sample_weight=learned.weight, use_best_model=False,
        eval_set=Pool(shown, held.label, weight=held.weight), early_stopping_rounds=PATIENCE,
        callbacks=[told(say, candidate, candidate.most)],
    )  # fmt: skip
    loss = np.array(grown.get_evals_result()["validation"]["Logloss"])
    return Trace(loss, lambda rounds: grown.predict(shown, prediction_type="RawFormulaVal", ntree_end=rounds))


def _make_symmetric(candidate: Candidate, rounds: int, seen: BinnedRows, seed: int, say: Say) -> Grown:
    grown = symmetric_trees(candidate, rounds, seen, seed)
    grown.fit(
        seen.reached.astype(np.float32), seen.label, sample_weight=seen.weight,
        callbacks=[told(say, candidate, rounds)],
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="trees-") as folder:
        file = Path(folder) / "trees.json"
        grown.save_model(str(file), format="json")
        return Grown(read_symmetric(json.loads(file.read_text(encoding="utf-8")), candidate.depth))


def read_symmetric(told: dict[str, Any], depth: int) -> Trees:
    """Read symmetric trees, at most so deep, as CatBoost writes them to JSON: each level's question at all of its
    gates.

    A value above a border is a no there as here, where yes is below the next number up.
    """
    found = told["oblivious_trees"]
    column = np.full((len(found), 2**depth - 1), -1, np.int64)
    threshold, leaf = np.zeros(column.shape), np.empty((len(found), 2**depth))
    places = np.arange(2**depth)
    flat = [feature["flat_feature_index"] for feature in told["features_info"]["float_features"]]
    for number, tree in enumerate(found):
        splits = tree["splits"] or []
        answer = np.zeros(2**depth, np.int64)
        for level, split in enumerate(splits):
            gates = slice(2**level - 1, 2 ** (level + 1) - 1)
            column[number, gates] = flat[split["float_feature_index"]]
            threshold[number, gates] = np.nextafter(np.float32(split["border"]), np.float32(np.inf))
            answer += ((places >> (depth - 1 - level)) & 1) << level
        leaf[number] = np.array(tree["leaf_values"])[answer]
    scale, bias = told["scale_and_bias"]
    return Trees(column, threshold, leaf * scale, float(np.sum(bias)))


def sample_rows(seen: BinnedRows, seed: int) -> BinnedRows:
    """Return rows for a line: all frauds, and so many others that the bound holds, weighted back."""
    if len(seen) <= MOST_FOR_A_LINE:
        return seen
    fraud, other = np.flatnonzero(seen.label == 1), np.flatnonzero(seen.label == 0)
    if len(fraud) > MOST_FOR_A_LINE // 2:
        fraud = np.random.default_rng(seed).choice(fraud, MOST_FOR_A_LINE // 2, replace=False)
    kept = np.random.default_rng(seed).choice(other, MOST_FOR_A_LINE - len(fraud), replace=False)
    found = seen.rows(np.r_[fraud, kept])
    ratio = np.where(found.label == 1, int((seen.label == 1).sum()) / len(fraud), len(other) / len(kept))
    return replace(found, weight=found.weight * ratio)


def fit_line(strength: float, seen: BinnedRows) -> Layer:
    """Learn a logistic regression, and return it as a layer."""
    from sklearn.linear_model import LogisticRegression

    scale = np.maximum(seen.bent.std(axis=0, dtype=np.float64), 1e-6)
    centre = seen.bent.mean(axis=0, dtype=np.float64)
    weight = seen.weight / seen.weight.mean()
    model = LogisticRegression(C=strength, max_iter=100, tol=1e-3)
    model.fit(((seen.bent - centre) / scale).astype(np.float64), seen.label, sample_weight=weight)
    kernel = model.coef_[0] / scale
    return Layer(kernel[:, None], np.array([model.intercept_[0] - centre @ kernel]))


def _trace_line(candidate: Candidate, learned: BinnedRows, held: BinnedRows, seed: int, _say: Say) -> Trace:
    some = sample_rows(learned, seed)
    tried = [fit_line(strength, some) for strength in STRENGTHS[: candidate.most]]
    logits = [held.bent.astype(np.float64) @ line.kernel[:, 0] + line.bias[0] for line in tried]
    loss = [float(np.average(losses(logit, held.label), weights=held.weight)) for logit in logits]
    return Trace(np.array(loss), lambda rounds: logits[rounds - 1])


def _make_line(_candidate: Candidate, rounds: int, seen: BinnedRows, seed: int, _say: Say) -> Grown:
    return Grown(members=([fit_line(STRENGTHS[rounds - 1], sample_rows(seen, seed))],))


def narrow_nets(epochs: int) -> PackedRecipe:
    """Make two narrow nets: twice as many and twice as wide gained nothing beside trees, in four times the time."""
    return PackedRecipe(
        members=2, width=48, epochs=epochs, batch=512, rate=3e-3, decay=0.5, dropout=0.2, patience=3
    )


def _trace_nets(candidate: Candidate, learned: BinnedRows, held: BinnedRows, seed: int, say: Say) -> Trace:
    """Trace nets, which stop by themselves: there is one answer, and the loss before isn't worth keeping."""
    trained = train_packed(
        learned.bent, learned.label, learned.weight, narrow_nets(candidate.most), seed,
        held=(held.bent, held.label, held.weight), say=say,
    )  # fmt: skip
    logit = mean_logits(trained.members, held.bent) if trained.held_logit is None else trained.held_logit
    loss = np.full(trained.epochs, np.inf)
    loss[-1] = float(np.average(losses(logit, held.label), weights=held.weight))
    return Trace(loss, lambda _rounds: logit)


def _make_nets(_candidate: Candidate, rounds: int, seen: BinnedRows, seed: int, say: Say) -> Grown:
    trained = train_packed(seen.bent, seen.label, seen.weight, narrow_nets(rounds), seed, say=say)
    return Grown(members=tuple(trained.members))


TRACERS: dict[CandidateKind, Callable[[Candidate, BinnedRows, BinnedRows, int, Say], Trace]] = {
    CandidateKind.TREES: _trace_trees,
    CandidateKind.SYMMETRIC: _trace_symmetric,
    CandidateKind.LINE: _trace_line,
    CandidateKind.NETS: _trace_nets,
}
MAKERS: dict[CandidateKind, Callable[[Candidate, int, BinnedRows, int, Say], Grown]] = {
    CandidateKind.TREES: _make_trees,
    CandidateKind.SYMMETRIC: _make_symmetric,
    CandidateKind.LINE: _make_line,
    CandidateKind.NETS: _make_nets,
}
