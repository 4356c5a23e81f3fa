"""Rows of the ledger for its tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from screening.ledger.identity import new_origin
from screening.ledger.rows import DecisionBatch, table_of
from screening.ledger.tables import FILE

DECIDED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def table(count: int = 3, **changes: Any) -> pa.Table:
    """Some rows of one file; ``fields`` by name as lists of text."""
    given = {
        "origin": new_origin(int(DECIDED.timestamp() * 1000)),
        "numbers": np.arange(1, count + 1, dtype=np.uint32),
        "source": FILE,
        "screening": "a" * 32,
        "owner": "ana",
        "decided_at": DECIDED,
        "detector": "payments",
        "fingerprint": "f" * 64,
        "threshold": 0.8,
        "probability": np.linspace(0, 1, count, dtype=np.float32),
        "amount": np.full(count, 12.34),
        "seconds": None,
        "label": None,
        "reasons": pa.nulls(count, pa.list_(pa.string())),
        **changes,
    }
    fields = {name: pa.array(texts, pa.string()) for name, texts in given.pop("fields", {}).items()}
    return table_of(DecisionBatch(**given, fields=fields))
