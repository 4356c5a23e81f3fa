"""Writes what makes a detector: the net, the vectorizer with its definition, the card, and the cleaning's report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data.card_file import file_sha256
from model.data.labelled_table import LabelledTable
from model.data.order import TrainingOrder
from model.data.summary import summary
from model.export.model_card import SCHEMA_VERSION, THRESHOLD, fingerprint, versions, write_card
from screening.detectors.artifacts import TRAINED_ON
from screening.features import Definition

VECTORIZER_VERSION = 2
QUARTILES = {"q25": 0.25, "q50": 0.5, "q75": 0.75}


@dataclass(frozen=True)
class FinishedTraining:
    """All that a detector is written from. ``features`` are unscaled, (rows, features), of a sample of the rows."""

    net: Any
    scaler: Any
    definition: Definition
    table: LabelledTable
    features: NDArray[np.float32]
    feature_label: NDArray[np.int8] | NDArray[np.int64]
    metrics: Mapping[str, Any]
    cleaning: Mapping[str, Any]
    prior: float


def write_detector(made: FinishedTraining, order: TrainingOrder) -> dict[str, Any]:
    """Write the folder as a whole: it appears under its name when everything is in it. Gives the card.

    Raises:
        OSError: it can't be written; nothing stays.
    """
    part = order.out.with_name(f".{order.out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        card = fill_folder(part, made, order)
        if order.instance is not None:
            save_past(part / TRAINED_ON, made)
        if order.out.exists():
            shutil.rmtree(order.out)
        part.rename(order.out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return card


def fill_folder(folder: Path, made: FinishedTraining, order: TrainingOrder) -> dict[str, Any]:
    """Write all files of a detector into its folder."""
    import joblib

    made.net.save(folder / "model.h5")
    pack(folder / "model.h5")
    joblib.dump(
        {
            "version": VECTORIZER_VERSION,
            "columns": list(made.definition.names),
            "robust_scaler": made.scaler,
            "definition": made.definition.as_dict(),
        },
        folder / "vectorizer.pkl",
    )
    card = card_of(folder, made, order)
    write_card(folder / "card.json", card)
    (folder / "cleaning.json").write_text(
        json.dumps(made.cleaning, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return card


def pack(path: Path) -> None:
    """Write an HDF5 file again with its numbers compressed; Keras reads it as before.

    A layer of gates has one weight for each gate and zeros for all other inputs: a tenth of the file is left.
    """
    import h5py

    packed = path.with_suffix(".packed")
    with h5py.File(path, "r") as old, h5py.File(packed, "w") as new:

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                filters = {"compression": "gzip", "shuffle": True} if item.ndim else {}
                made = new.create_dataset(name, data=item[()], **filters)
            else:
                made = new.require_group(name)
            made.attrs.update(item.attrs)

        new.attrs.update(old.attrs)
        old.visititems(copy)
    packed.replace(path)


def save_past(path: Path, made: FinishedTraining) -> None:
    """Save the rows that may count for files to come: those within the horizon of the last one."""
    definition, table = made.definition, made.table
    if not definition.looks_back:
        return
    time = table.values[:, table.contract.columns.index(str(table.contract.time))]
    recent = time >= np.nanmax(time) - definition.horizon
    np.savez(path, values=table.values[recent], labels=table.label[recent])


def card_of(folder: Path, made: FinishedTraining, order: TrainingOrder) -> dict[str, Any]:
    """Return the model card, as it is written."""
    contract = made.definition.contract.as_dict()
    hashes = file_sha256(folder / "model.h5"), file_sha256(folder / "vectorizer.pkl")
    return {
        "name": order.name,
        "schema_version": SCHEMA_VERSION,
        "contract": contract,
        "training_data": data_section(made.table, order),
        "prior": made.prior,
        "threshold": THRESHOLD,
        "metrics": dict(made.metrics),
        "columns": summary(made.definition.contract, made.table.values),
        "features": usual_quartiles(made),
        "definition": made.definition.as_dict(),
        "cleaning": dict(made.cleaning),
        **({"tokens": dict(order.tokens)} if order.tokens else {}),
        "libraries": versions(),
        "seed": order.seed,
        "model_sha256": hashes[0],
        "vectorizer_sha256": hashes[1],
        "fingerprint": fingerprint(*hashes, contract),
    }


def data_section(table: LabelledTable, order: TrainingOrder) -> dict[str, Any]:
    """Return what the card says of the data."""
    found: dict[str, Any] = {
        "description": order.description
        or f"{order.filename}, trained by this installation{' as a quick look' if order.quick else ''}",
        "sha256": table.sha256,
        "rows": len(table.values),
        "frauds": int((table.label == 1).sum()),
    }
    if len(table.types) > 1:
        rows = [int((table.kind == number).sum()) for number in range(1, len(table.types) + 1)]
        found["fraud_types"] = [
            {"name": name, "rows": count, "share": count / max(sum(rows), 1)}
            for name, count in zip(table.types, rows, strict=True)
        ]
    if table.contract.time is not None:
        time = table.values[:, table.contract.columns.index(table.contract.time)]
        found |= {"time_min": float(np.nanmin(time)), "time_max": float(np.nanmax(time))}
    return found


def usual_quartiles(made: FinishedTraining) -> dict[str, dict[str, float]]:
    """Return the quartiles of each feature over the legitimate rows: what is usual, for the reasons of a flag."""
    legitimate = made.features[made.feature_label == 0]
    marks = np.quantile(legitimate, list(QUARTILES.values()), axis=0)
    return {
        name: {key: round(float(mark), 6) for key, mark in zip(QUARTILES, column, strict=True)}
        for name, column in zip(made.definition.names, marks.T, strict=True)
    }
