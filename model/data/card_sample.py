"""Generates transactions_data.csv: about 200 invented payments in the card columns, some of them frauds.

No row is taken from a data set. Each class is a Gaussian copula: quantiles of every column and rank correlations,
kept rounded in ``class_statistics.json``. ``python -m model.data.card_sample`` writes the sample again, byte for byte;
``python -m model.data.card_sample --statistics-from FILE`` first measures the statistics on a training file.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from model.data.card_file import TrainingFile, read_training_file
from screening.settings import ROOT
from screening.transactions.schema import CARD

Floats = NDArray[np.float64]
STATISTICS = Path(__file__).with_name("class_statistics.json")
SAMPLE = ROOT / "transactions_data.csv"
LEVELS = (0.005, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 0.995)
LEGITIMATE_ROWS, FRAUD_ROWS = 188, 12
SEED = 2013


def class_statistics(file: TrainingFile) -> dict[str, Any]:
    """Return quantiles and rank correlations of both classes, rounded: facts about the classes, no rows."""
    found: dict[str, Any] = {"columns": list(CARD.columns), "levels": list(LEVELS)}
    for name, value in (("legitimate", 0), ("fraud", 1)):
        rows = file.values[(file.label == value) & file.uniform | (file.label == value) & (value == 1)]
        ranks = (np.argsort(np.argsort(rows, axis=0), axis=0) + 0.5) / len(rows)
        found[name] = {
            "quantiles": [[round(float(q), 3) for q in np.quantile(column, LEVELS)] for column in rows.T],
            "correlations": np.round(np.corrcoef(ndtri(ranks).T), 2).tolist(),
        }
    return found


def generate(statistics: dict[str, Any], seed: int = SEED) -> list[list[str]]:
    """Return header and rows of the sample as text: Time ascending, Amount with 2 decimals, V1 to V28 with 6."""
    generator = np.random.default_rng(seed)
    parts = []
    for name, value, rows in (("legitimate", 0, LEGITIMATE_ROWS), ("fraud", 1, FRAUD_ROWS)):
        drawn = draw_rows(statistics[name], tuple(statistics["levels"]), rows, generator)
        parts.append(np.column_stack([drawn, np.full(rows, value)]))
    table = np.concatenate(parts)
    table = table[np.argsort(np.floor(table[:, 0]), kind="stable")]
    return [[*CARD.columns, str(CARD.label)], *(_text(row) for row in table)]


def write_sample(path: Path, rows: list[list[str]]) -> None:
    """Write the sample as UTF-8 CSV with LF line ends."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def draw_rows(
    part: dict[str, Any], levels: tuple[float, ...], rows: int, generator: np.random.Generator
) -> Floats:
    """Draw (rows, columns) from a Gaussian copula with the given quantiles and correlations."""
    values, vectors = np.linalg.eigh(np.array(part["correlations"]))
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    normal = generator.standard_normal((rows, len(values))) @ root.T
    share = ndtr(normal)
    columns = [np.interp(share[:, i], levels, marks) for i, marks in enumerate(part["quantiles"])]
    return np.column_stack(columns)


def _text(row: Floats) -> list[str]:
    middle = [f"{value:.6f}" for value in row[1:29]]
    return [str(int(row[0])), *middle, f"{max(row[29], 0.0):.2f}", str(int(row[30]))]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.data.card_sample", description=__doc__)
    parser.add_argument("--statistics-from", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, default=SAMPLE)
    options = parser.parse_args(arguments)
    if options.statistics_from:
        found = class_statistics(read_training_file(options.statistics_from))
        STATISTICS.write_text(json.dumps(found) + "\n", encoding="utf-8")
    write_sample(options.out, generate(json.loads(STATISTICS.read_text(encoding="utf-8"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
