"""The card of a detector: what it is made of, how good it is, and the fingerprint that ties its files together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from model.data.card_file import TRUE_PRIOR, TrainingFile, file_sha256
from model.data.summary import counted_bins

SCHEMA_VERSION = 1
THRESHOLD = 0.8
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
LIBRARIES = (
    "tensorflow-cpu",
    "keras",
    "numpy",
    "scikit-learn",
    "catboost",
    "lightgbm",
    "xgboost",
    "xgboost-cpu",
)


def fingerprint(model_sha256: str, vectorizer_sha256: str, contract: Mapping[str, Any]) -> str:
    """Return SHA-256, hex, over the hashes of both files and the contract as canonical JSON."""
    canonical = json.dumps(dict(contract), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((model_sha256 + vectorizer_sha256 + canonical).encode()).hexdigest()


def column_statistics(file: TrainingFile) -> dict[str, dict[str, Any]]:
    """Return range, quantiles and bins of each column over the legitimate rows of the uniform sample."""
    legitimate = file.values[(file.label == 0) & file.uniform]
    found: dict[str, dict[str, Any]] = {}
    for name, column in zip(file.contract.columns, legitimate.T, strict=True):
        marks = {f"q{quantile * 100:02.0f}": float(np.quantile(column, quantile)) for quantile in QUANTILES}
        found[name] = {
            key: round(value, 6) for key, value in {"min": column.min(), **marks, "max": column.max()}.items()
        }
        found[name]["bins"] = counted_bins(column, np.ones(len(column)))
    return found


def make_card(
    file: TrainingFile, model_file: Path, vectorizer_file: Path, *, metrics: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Return everything that is known about a detector, as JSON types."""
    contract = file.contract.as_dict()
    model_hash, vectorizer_hash = file_sha256(model_file), file_sha256(vectorizer_file)
    return {
        "name": "card",
        "schema_version": SCHEMA_VERSION,
        "contract": contract,
        "training_data": {
            "description": "European card payments of two days in September 2013 (ULB), PCA columns V1 to V28",
            "credit": "Machine Learning Group, Université Libre de Bruxelles, and Worldline",
            "source": "https://www.kaggle.com/datasets/mlg-ulb/creditcardfraud",
            "licence": "ODbL 1.0 (database), DbCL 1.0 (contents)",
            "sha256": file.sha256,
            "rows": len(file),
            "frauds": int((file.label == 1).sum()),
            "frauds_with_copies": int(file.copies[file.label == 1].sum()),
            "time_min": float(file.time.min()),
            "time_max": float(file.time.max()),
        },
        "prior": TRUE_PRIOR,
        "threshold": THRESHOLD,
        "metrics": dict(metrics),
        "columns": column_statistics(file),
        "libraries": versions(),
        "seed": seed,
        "model_sha256": model_hash,
        "vectorizer_sha256": vectorizer_hash,
        "fingerprint": fingerprint(model_hash, vectorizer_hash, contract),
    }


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write a card as readable JSON."""
    path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Return the libraries that had a hand in the training, and their versions."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except ModuleNotFoundError:
            continue
    return found
