"""``get_probabilities``: the one door to a score, for Python callers, pages, the API and the command line.

No Flask, and no state but the detector at the root, loaded when it is first needed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.detectors.registry import load_default
from screening.detectors.vectorizer import NOTHING, History, Inputs
from screening.errors import BadTransaction
from screening.settings import Settings
from screening.transactions.json_records import from_frame, from_mapping, from_mappings
from screening.transactions.schema import ColumnContract, Transactions

if TYPE_CHECKING:
    import pandas as pd


def get_probabilities(
    transactions: Transactions | Inputs | pd.DataFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]],
    detector: Detector | None = None,
    history: History = NOTHING,
) -> NDArray[np.float32]:
    """Return the probability of fraud of each transaction, float32 (n,), in the order given.

    Column names decide, without case and surrounding spaces; the order of columns and columns that the
    detector doesn't know play no part. One mapping is one transaction: the answer then has one element.

    Args:
        transactions: a batch from the intake, a pandas DataFrame, a mapping of column to value, or several of
            them; or the inputs that the detector's vectorizer made of some.
        detector: what scores; by default the pair that the environment names, or the one at the root.
        history: labels and earlier rows, for detectors whose features look back.

    Raises:
        BadTransaction: a column is missing, or a value isn't a finite number; names row (from 1) and column.
        BadFile: a column of a batch from the intake is missing.
        BadArtefact: the default detector can't be loaded.
    """
    detector = detector or default_detector()
    if not isinstance(transactions, (Transactions, Inputs)):
        transactions = as_transactions(transactions, detector.contract)
    return detector.probabilities(transactions, history)


def as_transactions(given: Any, contract: ColumnContract) -> Transactions:
    """Return what a Python caller has of transactions as :class:`Transactions`.

    Raises:
        BadTransaction: it is none of them, a column is missing, or a value isn't a number.
    """
    if isinstance(given, Transactions):
        return given
    if isinstance(given, Mapping):
        return from_mapping(given, contract)
    # who has a frame has imported it; nobody else pays for it
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(given, pandas.DataFrame):
        return from_frame(given, contract)
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        return from_mappings(given, contract)
    raise BadTransaction(
        f"A {type(given).__name__} holds no transactions.", remedy="Give a mapping or a list of them."
    )


@cache
def default_detector() -> Detector:
    """Return the detector of the environment's settings, loaded once.

    Raises:
        BadArtefact: it can't be loaded.
    """
    return load_default(Settings.from_environ())
