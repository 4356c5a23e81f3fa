"""A blend of models that is chosen, not fixed: each candidate by what it does with rows that it hasn't seen.

Which of the candidates and how many rounds of each is found on held-out rows: the latest fifth, where it has frauds
enough to tell, else folds. A candidate counts by how far its log loss lies above the best one's, in standard errors of
that difference: on few rows all that can't be told apart count alike, on many the best one decides. What is chosen is
learned again from all rows and becomes layers of one net.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.progress import Say, part
from model.recipes.candidates import (
    FEW_ROWS,
    STRENGTHS,
    BinnedRows,
    Candidate,
    CandidateKind,
    Columns,
    Grown,
    Trace,
    losses,
    make,
    strongest,
    trace,
    widened,
)
from model.recipes.network import Branches, Layer, Member
from model.recipes.tail_bins import TailBins
from model.recipes.tree_layers import Trees

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Rows = NDArray[np.int64]
Split = tuple[Rows, Rows]
LATEST = 0.2
"""The share of the rows, the latest, that candidates are held against where there is a time."""
# With fewer frauds candidates can't be told apart.
ENOUGH = 100
FOLDS, FEWER_FOLDS = 5, 3
MANY_FOR_FOLDS = 5_000
"""Rows from which on fewer folds are enough."""
# In one fold of so many the candidates can be told apart.
MANY_FOR_ONE = 100_000
# Nets are tried between these numbers of rows: from fewer they learn nothing, on more they take longer than
# all else.
FEWEST_FOR_NETS, MOST_FOR_NETS = 2_000, 30_000
LEAST_WEIGHT = 0.1
# More trees gain nothing beside the best, and each makes the net larger.
MOST_PARTS = 3
# Up to so many rows trees are grown from several seeds and averaged: there the seed decides more than the
# settings.
FEW_FOR_BAGS, BAGS = 5_000, 3
# Symmetric trees see all of so many features; of more only the strongest, since their time grows with the
# number.
WIDE = 60
CLOSE = 1e-6
FORESTS = (CandidateKind.TREES, CandidateKind.SYMMETRIC)


@dataclass(frozen=True)
class BlendShare:
    """A candidate of a blend, with how many rounds it has and what its logit counts; the weights sum to 1."""

    candidate: Candidate
    rounds: int
    weight: float


@dataclass(frozen=True)
class Blend:
    """A chosen blend: its parts, whose weights sum to 1."""

    parts: tuple[BlendShare, ...]

    def as_list(self) -> list[dict[str, Any]]:
        """Return the blend for the card: of each part its name, settings, rounds, and weight to three digits."""
        return [
            {
                "model": one.candidate.name,
                **_settings(one.candidate),
                "rounds": one.rounds,
                "weight": round(one.weight, 3),
            }
            for one in self.parts
        ]


def _settings(candidate: Candidate) -> dict[str, Any]:
    told = asdict(candidate)
    return {key: told[key] for key in ("depth", "rate")} if candidate.kind in FORESTS else {}


@dataclass(frozen=True)
class BlendChoice:
    """A blend, the rows that it was chosen on (rows,), and their logits by models that hadn't seen them (rows,)."""

    blend: Blend
    rows: Rows
    logit: Floats


def quick_blend() -> Blend:
    """Return a blend for a first look in seconds: nothing is held out for it."""
    return Blend((BlendShare(Candidate(CandidateKind.TREES, depth=4, rate=0.1), 60, 1.0),))


def candidates(rows: int, features: int) -> list[Candidate]:
    """Return the candidates for a file with so many rows and features."""
    wide = None if features <= WIDE else WIDE
    found = [Candidate(CandidateKind.TREES, depth=5, rate=0.05), Candidate(CandidateKind.SYMMETRIC, wide)]
    if rows < FEW_ROWS:
        found += [
            Candidate(CandidateKind.TREES, few, depth=5, rate=0.05) for few in (20, 6) if few < features
        ]
        found += [Candidate(CandidateKind.SYMMETRIC, few) for few in (20, 6) if few < features]
    found.append(Candidate(CandidateKind.LINE, most=len(STRENGTHS)))
    if features > 20:
        found.append(Candidate(CandidateKind.LINE, 20, most=len(STRENGTHS)))
    if FEWEST_FOR_NETS <= rows < MOST_FOR_NETS:
        found.append(Candidate(CandidateKind.NETS, most=25))
    return found


def splits_of(label: Labels, time: Floats | None, seed: int) -> list[Split]:
    """Return the splits to compare candidates on: rows to learn from and rows held out, or folds."""
    if time is not None:
        start = np.quantile(time, 1 - LATEST)
        before, after = np.flatnonzero(time < start), np.flatnonzero(time >= start)
        frauds = int(label[before].sum()), int(label[after].sum())
        if min(frauds) >= ENOUGH and frauds[1] < len(after):
            return [(before, after)]
    from sklearn.model_selection import StratifiedKFold

    count = FOLDS if len(label) < MANY_FOR_FOLDS else FEWER_FOLDS
    folds = StratifiedKFold(count, shuffle=True, random_state=seed)
    found = [(learned, held) for learned, held in folds.split(label, label)]
    return found[:1] if len(label) >= MANY_FOR_ONE else found


def choose(seen: BinnedRows, origin: Rows, splits: Sequence[Split], seed: int, say: Say) -> BlendChoice:
    """Choose a blend.

    Args:
        seen: rows, and copies of some behind them.
        origin: the row that each is or was copied from, (n,); of a held-out row no copy is learned from.
        splits: rows to learn from and to hold out.
        seed: of all that is drawn.
        say: gets a share and a line now and then.
    """
    tried = candidates(len(seen), seen.reached.shape[1])
    traces: dict[Candidate, list[Trace]] = {candidate: [] for candidate in tried}
    for number, (learned, held) in enumerate(splits):
        given, shown = seen.rows(np.isin(origin, learned)), seen.rows(held)
        ranked = strongest(given, seed)
        for place, candidate in enumerate(traces):
            done, step = (number + place / len(traces)) / len(splits), 1 / len(traces) / len(splits)
            say(done, f"Trying {candidate.name}, part {number + 1} of {len(splits)}")
            columns, share = columns_of(candidate, ranked), part(say, done, done + step)
            traces[candidate].append(trace(candidate, given.of(columns), shown.of(columns), seed, share))
        found = judge_held_out(traces, seen, splits[: number + 1])
        if number + 1 < len(splits):
            traces = {
                one: traces[one] for one in tried if one in traces and found.counts(one) >= LEAST_WEIGHT
            }
    parts = tuple(
        BlendShare(candidate, count, float(share))
        for candidate, count, share in zip(found.tried, found.rounds, found.weights, strict=True)
        if share > 0
    )
    return BlendChoice(Blend(parts), found.rows, found.logit @ found.weights)


@dataclass(frozen=True)
class _Held:
    """Outputs of the candidates for held-out rows: ``logit`` (rows, candidates) after ``rounds`` of each."""

    tried: tuple[Candidate, ...]
    rounds: tuple[int, ...]
    rows: Rows
    logit: Floats
    closeness: Floats
    """Closeness of each to the best, (candidates,), from 0 to 1; see :func:`closeness`."""
    weights: Floats

    def counts(self, candidate: Candidate) -> float:
        """Return the closeness of a candidate to the best one, from 0 to 1; a blend has trees, so the best of them
        stays in any case.
        """
        place = self.tried.index(candidate)
        return 1.0 if self.weights[place] else float(self.closeness[place])


def judge_held_out(traces: dict[Candidate, list[Trace]], seen: BinnedRows, splits: Sequence[Split]) -> _Held:
    """Return what each candidate says of rows that it hasn't seen, and how much it is to weigh."""
    rows = np.concatenate([held for _, held in splits])
    weight = np.array([float(seen.weight[held].sum()) for _, held in splits])
    rounds = tuple(best_rounds(candidate, found, weight) for candidate, found in traces.items())
    columns = [
        np.concatenate([one.logits(min(count, len(one.loss))) for one in found])
        for found, count in zip(traces.values(), rounds, strict=True)
    ]
    logit, label, weight = np.column_stack(columns), seen.label[rows], seen.weight[rows]
    close = closeness(logit, label, weight)
    trees = np.array([one.kind in FORESTS for one in traces])
    return _Held(tuple(traces), rounds, rows, logit, close, weights(close, trees))


def columns_of(candidate: Candidate, ranked: Columns) -> Columns | None:
    """Return the features that a candidate sees, ascending; ``None`` for all."""
    return None if candidate.columns is None else np.sort(ranked[: candidate.columns])


def best_rounds(candidate: Candidate, found: Sequence[Trace], weight: Floats) -> int:
    """Return the number of rounds after which the mean loss of the splits is least; nets stop by themselves, each when
    it is time.
    """
    if candidate.kind is CandidateKind.NETS:
        return max(round(float(np.average([len(one.loss) for one in found], weights=weight))), 1)
    shortest = min(len(one.loss) for one in found)
    mean = np.average([one.loss[:shortest] for one in found], axis=0, weights=weight)
    return int(mean.argmin()) + 1


def closeness(logit: Floats, label: Labels, weight: Floats) -> Floats:
    """Return how close each candidate comes to the best one, (candidates,): 1 for the best.

    exp(-d / s), where d is how far the candidate's mean log loss lies above the best one's and s the standard error of
    that difference.

    Args:
        logit: of held-out rows, (rows, candidates).
        label: 0 or 1, (rows,).
        weight: what each row counts, (rows,).
    """
    share = weight / weight.sum()
    loss = np.column_stack([losses(column, label) for column in logit.T])
    mean = share @ loss
    best = int(mean.argmin())
    further = mean - mean[best]
    error = np.sqrt((share**2) @ ((loss - loss[:, [best]] - further) ** 2))
    return np.asarray(np.exp(-further / np.maximum(error, CLOSE)), np.float64)


def weights(close: Floats, trees: NDArray[np.bool_]) -> Floats:
    """Return what each candidate counts, (candidates,), summing to 1: as it is close, of each sort three at most.

    What is far from the best is left out; the best of the trees is not.

    Args:
        close: as :func:`closeness` gives it.
        trees: whether a candidate is of trees, (candidates,).
    """
    found = np.zeros(len(close))
    for of_sort in (trees, ~trees):
        ranked = [place for place in np.argsort(-close, kind="stable") if of_sort[place]]
        found[ranked[:MOST_PARTS]] = close[ranked[:MOST_PARTS]]
    found[found < LEAST_WEIGHT * found.sum()] = 0.0
    # they carry the net's shape, and the best of them costs little
    if not found[trees].any():
        found[np.flatnonzero(trees)[close[trees].argmax()]] = LEAST_WEIGHT * found.sum()
    return np.asarray(found / found.sum(), np.float64)


def learn(blend: Blend, seen: BinnedRows, views: tuple[TailBins, Layer], seed: int, say: Say) -> Branches:
    """Learn the parts of a blend from rows and write them as the branches of one net.

    ``views`` are what made the rows as candidates see them of the features.
    """
    marks, bend = views
    width = seen.reached.shape[1]
    ranked = strongest(seen, seed) if any(one.candidate.columns for one in blend.parts) else np.arange(width)
    forests: list[tuple[float, Trees]] = []
    members: list[tuple[float, Member]] = []
    for number, one in enumerate(blend.parts):
        say(number / len(blend.parts), f"Learning, {one.candidate.name}, {one.rounds} rounds")
        columns = columns_of(one.candidate, ranked)
        bags = BAGS if len(seen) < FEW_FOR_BAGS and one.candidate.kind in FORESTS else 1
        for bag in range(bags):
            begun = (number + bag / bags) / len(blend.parts)
            share = part(say, begun, begun + 1 / bags / len(blend.parts))
            grown = make(one.candidate, one.rounds, seen.of(columns), seed + bag, share)
            add_grown(widened(grown, columns, width), one.weight / bags, forests, members)
    depth = max(trees.depth for _, trees in forests)
    trees = joined([(weight, deepened(one, depth)) for weight, one in forests])
    say(1.0, "Joining the parts")
    return Branches(
        bend, [weighted(member, weight * len(members)) for weight, member in members], marks.asked(trees)
    )


def add_grown(
    grown: Grown, weight: float, forests: list[tuple[float, Trees]], members: list[tuple[float, Member]]
) -> None:
    """Add what was grown to the forests and members of a blend, with its weight."""
    if grown.trees is not None:
        forests.append((weight, grown.trees))
    members += [(weight / len(grown.members), member) for member in grown.members]


def weighted(member: Member, weight: float) -> Member:
    """Return a member whose logit is so many times as large."""
    last = member[-1]
    return [*member[:-1], replace(last, kernel=last.kernel * weight, bias=last.bias * weight)]


def deepened(trees: Trees, depth: int) -> Trees:
    """Return the same trees with more levels of gates, which nothing asks at: their leaves are repeated."""
    if trees.depth == depth:
        return trees
    column = np.full((len(trees.leaf), 2**depth - 1), -1, np.int64)
    threshold = np.zeros(column.shape)
    column[:, : trees.gates], threshold[:, : trees.gates] = trees.column, trees.threshold
    return replace(
        trees,
        column=column,
        threshold=threshold,
        leaf=np.repeat(trees.leaf, 2 ** (depth - trees.depth), axis=1),
    )


def joined(forests: Sequence[tuple[float, Trees]]) -> Trees:
    """Join forests of one depth to one, the leaves of each times its weight."""
    return Trees(
        np.concatenate([trees.column for _, trees in forests]),
        np.concatenate([trees.threshold for _, trees in forests]),
        np.concatenate([weight * trees.leaf for weight, trees in forests]),
        float(sum(weight * trees.base for weight, trees in forests)),
    )
