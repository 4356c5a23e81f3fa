"""The least that a service with the same net can do: FastAPI and uvicorn, no key, nothing checked, nothing kept.

uvicorn benchmarks.fastapi_baseline:service --workers 2
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np
from fastapi import FastAPI

from screening.detectors.registry import load_default
from screening.settings import Settings

os.environ.setdefault("INSTANCE_PATH", tempfile.mkdtemp())
detector = load_default(Settings.from_environ(dict(os.environ)))
detector.prepare()
columns, net = detector.contract.columns, detector.scorer.made()
centre, scale = detector.vectorizer.centre, detector.vectorizer.scale
service = FastAPI()


@service.post("/detect_fraud")  # type: ignore[untyped-decorator]  # installed for this measurement alone
async def detect_fraud(body: dict[str, Any]) -> dict[str, Any]:
    """Score one transaction."""
    given = body["transaction"]
    row = np.array([[given[name] for name in columns]])
    probability = float(net.probabilities(((row - centre) / scale).astype(np.float32))[0])
    return {"fraud": probability >= 0.8, "fraud_probability": probability}
