"""The values of a transaction of the ledger as they were scored, so that it can be scored again."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from screening.detectors.detector import Detector
from screening.errors import Conflict
from screening.intake import FileKind, header_of, open_transactions, read_records
from screening.intake.formulas import csv_text
from screening.ledger.tables import BATCH
from screening.transactions.json_records import from_mapping
from screening.transactions.schema import Transactions
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder


def transaction_of(row: dict[str, Any], detector: Detector, instance: Path) -> Transactions:
    """Return the one transaction.

    Args:
        row: of the ledger.
        detector: the one that decided on it.
        instance: where the files of screenings are.

    Raises:
        Conflict: its values aren't there any more, or can't be read without the rest of its file.
    """
    if row["values"] is not None:
        return from_mapping(json.loads(row["values"]), detector.contract)
    if row["source"] == BATCH:
        raise Conflict(
            "This transaction came by a job over a folder: its values stand there, and not here.",
            remedy="Run the job again to compare.",
        )
    folder = UploadFolder.kept(instance, row["screening"])
    found = ScreeningOutcome(folder, row["threshold"])
    if not found.there or not found.canonical.exists():
        raise Conflict(
            "The file that this transaction came in was deleted, and its values with it.",
            remedy="Transactions of the API can be scored again for as long as they are in the ledger.",
        )
    if not found.meta.get("plain", False):
        raise Conflict(
            "How the cells of this file are meant was decided by whole columns, so one row can't be read alone.",
            remedy="Screen the file again to compare.",
        )
    return _from_file(row["number"], detector, found, folder)


def _from_file(
    number: int, detector: Detector, found: ScreeningOutcome, folder: UploadFolder
) -> Transactions:
    header = header_of(found.canonical)
    called = {theirs: ours for ours, theirs in found.meta.get("columns", {}).items()}
    (record,) = read_records(found.canonical, np.asarray(found.offsets), [number - 1])
    text = csv_text([[called.get(name, name) for name in header], record])
    # the row's own label plays no part, and a blank one in a file of one row would be odd
    (batch,) = open_transactions(
        io.BytesIO(text.encode()),
        FileKind.CSV,
        lambda _header: detector.contract,
        canonical=folder.path / "replayed.csv",
    )
    return batch.transactions
