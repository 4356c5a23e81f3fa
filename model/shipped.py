"""Makes the detectors that are shipped besides ``card``: ``python -m model.shipped payments|ecommerce FILE``.

Each goes to model/detectors/<name>/ with its net, the net's compiled form, vectorizer, card, the cleaning's report, and
a generated sample file.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from model.data import simulation
from model.data.order import TrainingOrder
from model.export.compiled import write_compiled
from model.trainer import train
from screening.errors import ScreeningError

FOLDER = Path(__file__).parent / "detectors"


@dataclass(frozen=True)
class Shipped:
    """Training data of a shipped detector, and a generated sample with the same columns."""

    label: str
    description: str
    sample: Callable[[], pd.DataFrame]


def sample_payments() -> pd.DataFrame:
    """Simulate seven weeks of 45 customers; the last weeks have what the first ones taught."""
    return simulation.payments(customers=45, terminals=60, days=49, seed=11)


def sample_orders() -> pd.DataFrame:
    """Return a year of orders, among them some rings."""
    return simulation.orders(rows=600, seed=11)


SHIPPED = {
    "payments": Shipped(
        "TX_FRAUD",
        "Simulated card payments of the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi 2022, "
        "Université Libre de Bruxelles and Worldline), 2018-04-01 to 2018-09-04; public at "
        "github.com/Fraud-Detection-Handbook",
        sample_payments,
    ),
    "ecommerce": Shipped(
        "class",
        "A random fifth of the e-commerce orders known as Fraud_Data, bought in 2015 before 2015-08-20; public "
        "exercise data whose licence isn't stated. Its later frauds can hardly be told: see the figures first",
        sample_orders,
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.shipped", description=__doc__)
    parser.add_argument("name", choices=SHIPPED)
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, default=FOLDER, help="the folder that gets the detector's folder")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    shipped = SHIPPED[options.name]
    order = TrainingOrder(
        file=options.file,
        out=options.out / options.name,
        name=options.name,
        filename=options.file.name,
        label=shipped.label,
        description=shipped.description,
        seed=options.seed,
    )
    try:
        train(order, lambda share, text: print(f"[{share:4.0%}] {text}", file=sys.stderr, flush=True))
        write_compiled(order.out / "model.h5")
    except (ScreeningError, OSError) as problem:
        print(f"can't train on {options.file}: {problem}", file=sys.stderr)
        return 1
    shipped.sample().to_csv(order.out / "sample.csv", index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
