"""The models that a detector's net is held against, on the same features; and ways to treat the imbalance.

A baseline learns from features (rows, features) and labels and gives a function from features to scores, of which a
higher one is more suspect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Floats = NDArray[np.float64]
Score = Callable[[Features], Floats]
Fit = Callable[[Features, Labels, Floats, int], Score]

# Up to so many rows the slow ones (SVC, random forest) learn from all; of more they get all frauds and so
# many legitimate rows, weighted back.
FEW = 50_000
TREATMENTS = ("none", "weights", "under", "over")
# Legitimate rows per fraud that undersampling keeps: Dal Pozzolo et al. (2015) found 1:1 too costly.
UNDER = 10


@dataclass(frozen=True)
class TreatedRows:
    """Rows to learn from after a treatment: ``rows`` may repeat, ``weight`` goes along."""

    rows: NDArray[np.int64]
    weight: Floats


def treat(label: Labels, how: str, seed: int) -> TreatedRows:
    """Return the rows after a treatment of the imbalance between the classes.

    Args:
        label: 0 or 1, (rows,).
        how: ``none``, ``weights`` (the classes weigh the same), ``under`` (ten legitimate rows for each fraud are
            kept), ``over`` (frauds are repeated until they are a tenth).
        seed: of the drawing.

    Raises:
        ValueError: another treatment.
    """
    generator = np.random.default_rng(seed)
    fraud, other = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    every = np.arange(len(label))
    if how == "none":
        return TreatedRows(every, np.ones(len(label)))
    if how == "weights":
        return TreatedRows(every, np.where(label == 1, len(other) / len(fraud), 1.0))
    if how == "under":
        kept = generator.choice(other, min(len(other), UNDER * len(fraud)), replace=False)
        rows = np.sort(np.r_[fraud, kept])
    elif how == "over":
        more = max(len(other) // UNDER - len(fraud), 0)
        rows = np.r_[every, generator.choice(fraud, more)]
    else:
        raise ValueError(f"{how!r} is none of {', '.join(TREATMENTS)}")
    return TreatedRows(rows, np.ones(len(rows)))


def logistic_regression(features: Features, label: Labels, weight: Floats, _seed: int) -> Score:
    """Make a logistic regression on standardised features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(features, label, logisticregression__sample_weight=weight)
    return lambda rows: np.asarray(model.decision_function(rows))


def linear_svc(features: Features, label: Labels, weight: Floats, seed: int) -> Score:
    """Return a linear support vector classifier on standardised features."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    rows, weight = thin_out(label, weight, seed)
    model = make_pipeline(StandardScaler(), LinearSVC(C=0.01, random_state=seed, max_iter=5000))
    model.fit(features[rows], label[rows], linearsvc__sample_weight=weight)
    return lambda given: np.asarray(model.decision_function(given))


def random_forest(features: Features, label: Labels, weight: Floats, seed: int) -> Score:
    """Make a forest of 300 trees, with leaves of at least 3 rows."""
    from sklearn.ensemble import RandomForestClassifier

    rows, weight = thin_out(label, weight, seed)
    model = RandomForestClassifier(300, min_samples_leaf=3, n_jobs=2, random_state=seed)
    model.fit(features[rows], label[rows], weight)
    return lambda given: np.asarray(model.predict_proba(given)[:, 1])


def gradient_boosting(features: Features, label: Labels, weight: Floats, seed: int) -> Score:
    """Make scikit-learn's boosting on histograms, with 200 trees."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=200, learning_rate=0.05, random_state=seed)
    model.fit(features, label, weight)
    return lambda given: np.asarray(model.decision_function(given))


def xgboost(features: Features, label: Labels, weight: Floats, seed: int) -> Score:
    """Make 400 trees of depth 5."""
    import xgboost as xgb

    model = xgb.XGBClassifier(
        n_estimators=400, max_depth=5, learning_rate=0.05, subsample=0.8, colsample_bytree=0.5, n_jobs=2,
        tree_method="hist", random_state=seed,
    ).fit(features, label, sample_weight=weight)  # fmt: skip
    return lambda given: np.asarray(model.predict(given, output_margin=True), np.float64)


def lightgbm(features: Features, label: Labels, weight: Floats, seed: int) -> Score:
    """Make 400 trees of 31 leaves."""
    import lightgbm as lgb

    model = lgb.LGBMClassifier(
        n_estimators=400, num_leaves=31, learning_rate=0.05, subsample=0.8, subsample_freq=1, colsample_bytree=0.5,
        n_jobs=2, verbose=-1, random_state=seed,
    ).fit(features, label, sample_weight=weight)  # fmt: skip
    return lambda given: np.asarray(model.predict(given, raw_score=True), np.float64)


def catboost(features: Features, label: Labels, weight: Floats, seed: int) -> Score:
    """Make 400 trees with CatBoost's defaults."""
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(
        iterations=400, verbose=0, thread_count=2, random_seed=seed, allow_writing_files=False
    )
    model.fit(features, label, sample_weight=weight)
    return lambda given: np.asarray(model.predict(given, prediction_type="RawFormulaVal"), np.float64)


BASELINES: dict[str, Fit] = {
    "logistic regression": logistic_regression,
    "linear SVC": linear_svc,
    "random forest": random_forest,
    "gradient boosting": gradient_boosting,
    "XGBoost": xgboost,
    "LightGBM": lightgbm,
    "CatBoost": catboost,
}
BOOSTED = ("gradient boosting", "XGBoost", "LightGBM", "CatBoost")


def thin_out(label: Labels, weight: Floats, seed: int) -> tuple[NDArray[np.int64], Floats]:
    """Return all rows, or all frauds and a sample of the others that stands for all of them."""
    if len(label) <= FEW:
        return np.arange(len(label)), weight
    fraud, other = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    kept = np.random.default_rng(seed).choice(other, min(FEW, len(other)), replace=False)
    rows = np.sort(np.r_[fraud, kept])
    return rows, weight[rows] * np.where(label[rows] == 1, 1.0, len(other) / len(kept))
