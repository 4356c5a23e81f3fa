"""Weighted measures of a detector: ranking, flagged rows, reliability, and paired bootstraps.

Every function takes ``label`` (0 or 1), ``score`` (higher is more suspect) and ``weight`` (what a row stands for), all
of shape (rows,). A ``score`` may be a probability or any increasing function of it, except where the text says so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta
from sklearn.metrics import average_precision_score, roc_auc_score

from screening.scoring.bins import SCORE_EDGES

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
BIN_EDGES = (0.0, 0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)


@dataclass(frozen=True)
class Ranking:
    """Average precision, area under the ROC curve, recall at 0.1 % and at 1 % false positives."""

    average_precision: float
    auc: float
    recall_at_0_1_percent_fpr: float
    recall_at_1_percent_fpr: float


def ranking(label: Labels, score: Floats, weight: Floats) -> Ranking:
    """Return all ranking measures at once."""
    return Ranking(
        float(average_precision_score(label, score, sample_weight=weight)),
        float(roc_auc_score(label, score, sample_weight=weight)),
        recall_at_fpr(label, score, weight, 0.001),
        recall_at_fpr(label, score, weight, 0.01),
    )


def rates(label: Labels, score: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Return false positive rate, recall and precision at each distinct score, from the highest down."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    fraud = np.cumsum((weight * (label == 1))[order])[last]
    false = np.cumsum((weight * (label == 0))[order])[last]
    return false / false[-1], fraud / fraud[-1], fraud / (fraud + false)


def recall_at_fpr(label: Labels, score: Floats, weight: Floats, rate: float) -> float:
    """Return the largest recall that can be had with at most ``rate`` of the legitimate weight flagged."""
    false, recall, _ = rates(label, score, weight)
    allowed = recall[false <= rate]
    return float(allowed.max()) if len(allowed) else 0.0


def flagged(label: Labels, probability: Floats, weight: Floats, threshold: float) -> dict[str, float]:
    """Return precision and recall of the rows at or above a threshold; precision is 1 when none is flagged."""
    over = probability >= threshold
    caught, false = weight[over & (label == 1)].sum(), weight[over & (label == 0)].sum()
    return {
        "threshold": threshold,
        "precision": float(caught / (caught + false)) if caught + false else 1.0,
        "recall": float(caught / weight[label == 1].sum()),
        "false_positive_rate": float(false / weight[label == 0].sum()),
        "rows_flagged": int(over.sum()),
    }


def as_many(label: Labels, probability: Floats, weight: Floats) -> dict[str, float]:
    """Return precision and recall at the threshold that flags about as many rows as there were frauds."""
    frauds = max(int(label.sum()), 1)
    least = float(np.partition(probability, -frauds)[-frauds])
    digits = 3 - int(np.floor(np.log10(max(least, 1e-12))))
    # of four digits, and no row is lost by it
    threshold = float(np.floor(least * 10.0**digits) / 10.0**digits)
    return flagged(label, probability, weight, threshold)


def reliability(label: Labels, probability: Floats, weight: Floats) -> list[dict[str, float | int | bool]]:
    """Return per bin: mean probability, observed share of fraud, and the 95 % interval of that share.

    The classes are sampled at different rates, so the Clopper-Pearson interval is that of the frauds among the bin's
    *rows* (a binomial), carried over to the full file by the ratio of the weights: share = q / (q + ratio (1 - q)).
    """
    found: list[dict[str, float | int | bool]] = []
    which = np.clip(np.searchsorted(BIN_EDGES, probability, side="right") - 1, 0, len(BIN_EDGES) - 2)
    for number in range(len(BIN_EDGES) - 1):
        inside = which == number
        if not inside.any():
            continue
        w, y, p = weight[inside], label[inside], probability[inside]
        observed, mean = float((w * y).sum() / w.sum()), float((w * p).sum() / w.sum())
        ratio = mean_weight(weight, label == 0, inside) / mean_weight(weight, label == 1, inside)
        low, high = (q / (q + ratio * (1 - q)) for q in clopper_pearson(int(y.sum()), len(y)))
        found.append(
            {
                "from": BIN_EDGES[number], "to": BIN_EDGES[number + 1], "rows": int(inside.sum()),
                "frauds": int(y.sum()), "mean_probability": mean, "observed": observed,
                "low": low, "high": high, "covers": bool(low <= mean <= high),
            }
        )  # fmt: skip
    return found


def mean_weight(weight: Floats, of_class: NDArray[np.bool_], inside: NDArray[np.bool_]) -> float:
    """Return the mean weight of the bin's rows of a class; of all its rows where the bin has none."""
    return float(weight[of_class & inside].mean() if (of_class & inside).any() else weight[of_class].mean())


def clopper_pearson(hits: int, size: int) -> tuple[float, float]:
    """Return the 95 % interval of Clopper and Pearson."""
    low = float(beta.ppf(0.025, hits, size - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, size - hits)) if hits < size else 1.0
    return low, high


@dataclass(frozen=True)
class Resampled:
    """Rows sorted once, so that each draw of them costs two sums instead of six sorts: a fiftieth of the time.

    ``order`` and ``last`` (places of the last row of each distinct score) go from the highest score down.
    """

    fraud: Floats
    """Weights of the frauds in that order, 0 for other rows; (rows,)."""
    other: Floats
    order: NDArray[np.int64]
    last: NDArray[np.int64]

    @classmethod
    def of(cls, label: Labels, score: Floats, weight: Floats) -> Resampled:
        """Sort some rows."""
        order = np.argsort(-score, kind="stable")
        last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
        return cls((weight * (label == 1))[order], (weight * (label == 0))[order], order, last)

    def ranking(self, rows: NDArray[np.int64]) -> tuple[float, float, float, float]:
        """Return the measures of :class:`Ranking` over ``rows``, numbers of rows that may repeat, with both classes."""
        times = np.bincount(rows, minlength=len(self.order))[self.order]
        fraud = np.cumsum(self.fraud * times)[self.last]
        false = np.cumsum(self.other * times)[self.last]
        seen = np.flatnonzero(fraud + false)
        fraud, false = fraud[seen], false[seen]
        precision, recall, rate = fraud / (fraud + false), fraud / fraud[-1], false / false[-1]
        average = float((np.diff(recall, prepend=0.0) * precision).sum())
        area = float(np.trapezoid(np.r_[0.0, recall], np.r_[0.0, rate]))
        at = [recall[rate <= allowed] for allowed in (0.001, 0.01)]
        low, high = (float(found.max()) if len(found) else 0.0 for found in at)
        return average, area, low, high


def bootstrap_ranking(
    label: Labels, score: Floats, weight: Floats, *, draws: int = 500, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of the ranking measures over the test rows, resampled within each class."""
    generator = np.random.default_rng(seed)
    sampled = Resampled.of(label, score, weight)
    return intervals_of([sampled.ranking(resample(label, generator)) for _ in range(draws)])


def later_intervals(
    label: Labels, score: Floats, weight: Floats, *, rows: int, draws: int = 500, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals for what so many later rows will show, with the share of frauds that the tested ones have.

    They are wider than those of :func:`bootstrap_ranking` by what chance does to the later rows: both are drawn, and
    their distances from the middle are added.
    """
    generator = np.random.default_rng(seed)
    sampled = Resampled.of(label, score, weight)
    tested = np.array([sampled.ranking(resample(label, generator)) for _ in range(draws)])
    later = np.array([sampled.ranking(draw_rows(label, rows, generator)) for _ in range(draws)])
    return intervals_of(np.clip(tested + later - np.median(later, axis=0), 0.0, 1.0))


def draw_rows(label: Labels, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw so many row numbers with replacement, whatever class they are of, until both are there."""
    while True:
        rows = generator.integers(0, len(label), count)
        if 0 < label[rows].sum() < len(rows):
            return np.asarray(rows, np.int64)


def intervals_of(found: Any) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of each figure over the draws."""
    low, high = np.quantile(found, (0.025, 0.975), axis=0)
    names = Ranking.__dataclass_fields__
    return {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}


def resample(label: Labels, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw row numbers with replacement, as many of each class as there are."""
    return np.concatenate(
        [generator.choice(rows, len(rows)) for rows in (np.flatnonzero(label == c) for c in (0, 1))]
    )


def curves(label: Labels, score: Floats, weight: Floats, points: int = 60) -> dict[str, list[list[float]]]:
    """Return points of the precision-recall curve ([recall, precision]) and the ROC curve ([false positive rate,
    recall]).
    """
    false, recall, precision = rates(label, score, weight)
    even = np.unique(np.searchsorted(recall, np.linspace(recall[0], 1.0, points)).clip(0, len(recall) - 1))
    wide = np.unique(np.searchsorted(false, np.r_[0, np.logspace(-5, 0, points - 1)]).clip(0, len(false) - 1))
    return {
        "precision_recall": [[round(float(recall[i]), 4), round(float(precision[i]), 4)] for i in even],
        "roc": [[round(float(false[i]), 6), round(float(recall[i]), 4)] for i in wide],
    }


def mean_ranking(parts: list[tuple[Labels, Floats, Floats]], *, draws: int = 200) -> dict[str, Any]:
    """Return the mean of each ranking measure over several tests (folds), with the interval of that mean.

    Each part is (label, score, weight); scores of different parts come from different nets and aren't compared.
    """
    generator = np.random.default_rng(0)
    sorted_parts = [(label, Resampled.of(label, score, weight)) for label, score, weight in parts]
    sampled = [
        np.mean([rows.ranking(resample(label, generator)) for label, rows in sorted_parts], axis=0)
        for _ in range(draws)
    ]
    low, high = np.quantile(sampled, (0.025, 0.975), axis=0)
    mean = np.mean([list(asdict(ranking(*part)).values()) for part in parts], axis=0)
    names = list(Ranking.__dataclass_fields__)
    return {
        **{name: float(value) for name, value in zip(names, mean, strict=True)},
        "interval_95": {name: [float(a), float(b)] for name, a, b in zip(names, low, high, strict=True)},
    }


def at_prior(label: Labels, weight: Floats, prior: float) -> Floats:
    """Return the weights with those of the frauds changed so that their share is ``prior``.

    Frauds come in waves: one window has three times the share of another. A probability is meant at the prior of the
    whole, so it is held against that.
    """
    fraud, other = weight[label == 1].sum(), weight[label == 0].sum()
    return np.where(label == 1, weight * prior / (1 - prior) * other / fraud, weight)


def scores(probability: Floats, weight: Floats) -> dict[str, Any]:
    """Count probabilities by the bins in which later ones are compared with them; float32, as they are given out."""
    given = probability.astype(np.float32).astype(np.float64)
    place = np.searchsorted(np.array(SCORE_EDGES), given, side="left")
    shares = np.bincount(place, weights=weight, minlength=len(SCORE_EDGES) + 1) / weight.sum()
    return {
        "edges": list(SCORE_EDGES),
        "shares": [round(float(share), 6) for share in shares],
        "rows": len(probability),
    }


def report(
    label: Labels,
    probability: Floats,
    weight: Floats,
    threshold: float,
    prior: float,
    *,
    draws: int = 500,
    later: int | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Return everything the card says about one set of test rows.

    ``draws`` are those of the intervals' bootstrap; ``later`` has them tell what so many later rows will show.
    """
    intervals = (
        bootstrap_ranking(label, probability, weight, draws=draws)
        if later is None
        else later_intervals(label, probability, weight, rows=later, draws=draws)
    )
    at_once = flagged(label, probability, weight, threshold)
    # then somebody must be told which threshold would flag
    if not at_once["rows_flagged"]:
        extra["as_many"] = as_many(label, probability, weight)
    return {
        **extra,
        "rows": len(label),
        "frauds": int(label.sum()),
        **asdict(ranking(label, probability, weight)),
        "interval_95": {name: list(pair) for name, pair in intervals.items()},
        "flagged": at_once,
        "scores": scores(probability, at_prior(label, weight, prior)),
        "reliability": reliability(label, probability, at_prior(label, weight, prior)),
        "curves": curves(label, probability, weight),
    }
