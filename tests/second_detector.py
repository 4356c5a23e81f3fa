"""A detector that differs from one that ships: the same columns and features, scaled otherwise."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import joblib

from screening.settings import ROOT

SHIPPED = ROOT / "model" / "detectors"


def second_detector(instance: Path, like: str, name: str = "second", *, shift: float = 0.3) -> Path:
    """Put a detector into an instance as a training leaves it, and return its folder.

    Args:
        instance: the instance's folder.
        like: the shipped one.
        name: what it is called.
        shift: by how much of its scale each input is moved.
    """
    folder = instance / "detectors" / name
    folder.parent.mkdir(exist_ok=True)
    shutil.copytree(SHIPPED / like, folder)
    dump = joblib.load(folder / "vectorizer.pkl")
    scaler = dump["robust_scaler"]
    scaler.center_ = scaler.center_ + shift * scaler.scale_
    joblib.dump(dump, folder / "vectorizer.pkl")
    card = json.loads((folder / "card.json").read_text("utf-8"))
    card["name"] = name
    card["vectorizer_sha256"] = hashlib.sha256((folder / "vectorizer.pkl").read_bytes()).hexdigest()
    contract = json.dumps(card["contract"], sort_keys=True, separators=(",", ":"))
    both = card["model_sha256"] + card["vectorizer_sha256"] + contract
    card["fingerprint"] = hashlib.sha256(both.encode()).hexdigest()
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder
