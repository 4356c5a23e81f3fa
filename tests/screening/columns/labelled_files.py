"""Labelled files as people have them, generated: what each test changes in them is said by the test."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from screening.columns.role_inference import Guess, guess_roles

ROWS = 1200
START = datetime(2025, 1, 4, 7, 30, 44)  # noqa: DTZ001


def past(rows: int = ROWS) -> pd.DataFrame:
    """Payments of some weeks; a twentieth is fraud."""
    draw = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "tx_time": [START + timedelta(minutes=37 * number) for number in range(rows)],
            "customer_id": [f"C{number}" for number in draw.integers(0, 150, rows)],
            "amount": np.round(draw.gamma(1, 400, rows), 2) + 0.01,
            "channel": draw.choice(["web", "shop", "app"], rows),
            "fraud": (np.arange(rows) % 20 == 7).astype(int),
        }
    )


def guesses(frame: pd.DataFrame, label: str = "fraud", fraud: tuple[str, ...] = ()) -> dict[str, Guess]:
    """The guess for each column of a frame as its CSV would have it."""
    texts = frame.astype(object).where(frame.notna(), "").astype(str)
    found = guess_roles(list(frame.columns), texts.to_numpy().tolist(), label, fraud=fraud)
    return {guess.column.name: guess for guess in found}
