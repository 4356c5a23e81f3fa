"""A file of the size of the public card data, made of random numbers: what the benchmarks upload."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from screening.settings import ROOT
from screening.transactions.schema import CARD

ROWS = 284_807
FRAUDS = 492


def quoted_card_file(rows: int = ROWS, folder: Path = ROOT / "build") -> Path:
    """:func:`card_file` as the public file is written: its names, and the label of every row, in quotes."""
    path = folder / f"card-quoted-{rows}.csv"
    if not path.exists():
        part = path.with_suffix(".part")
        with card_file(rows, folder).open() as plain, part.open("w") as out:
            out.write(",".join(f'"{name}"' for name in next(plain).rstrip("\n").split(",")) + "\n")
            for line in plain:
                numbers, label = line.rstrip("\n").rsplit(",", 1)
                out.write(f'{numbers},"{label}"\n')
        part.replace(path)
    return path


def card_file(rows: int = ROWS, folder: Path = ROOT / "build") -> Path:
    """A CSV of about 160 MB for 284,807 rows, in the digits of the public file; made once and kept in build/.

    Legitimate rows are drawn about the generated sample's legitimate rows, frauds about its frauds.
    """
    path = folder / f"card-{rows}.csv"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        sample = pd.read_csv(ROOT / "transactions_data.csv")
        rng = np.random.default_rng(1)
        frauds = round(rows * FRAUDS / ROWS)
        parts = [
            sample[sample["Class"] == label].sample(count, replace=True, random_state=1)
            for label, count in ((0, rows - frauds), (1, frauds))
        ]
        frame = pd.concat(parts).sample(frac=1, random_state=1).sort_values("Time", ignore_index=True)
        inner = list(CARD.columns[1:-1])
        frame[inner] += rng.normal(0, 0.05, (rows, len(inner)))
        part = path.with_suffix(".part")
        frame.to_csv(part, index=False)
        part.replace(path)
    return path
