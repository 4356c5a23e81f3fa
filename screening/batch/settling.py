"""Settle by a sample what the columns of a folder are and how they are written: once, before any executor reads it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow

from screening.errors import BadFile
from screening.intake import (
    NOTHING_SAID,
    Answers,
    Batch,
    Forms,
    Head,
    Kind,
    look_over,
    open_transactions,
    settled,
)
from screening.intake.conversion.arrow_csv import as_written, write_options, written_schema
from screening.intake.text.parse import Layout
from screening.intake.text.rows import layout_of
from screening.transactions.schema import ColumnContract

SAMPLE_ROWS = 50_000
"""Rows that are looked at; a file's are all looked at."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The way in which a folder is read, and the assumptions about it."""

    layout: Layout
    notes: tuple[str, ...]
    batches: Sequence[Batch]
    """The sample, as it was read."""


def settle(
    sample: Any, choose: Callable[[], Callable[[Head], ColumnContract]], answers: Answers = NOTHING_SAID
) -> Settled:
    """Return how the rows of a folder are read, by what its first rows say: the way of a file, card numbers included.

    Args:
        sample: an Arrow table with all of the folder's columns that can be written as CSV.
        choose: gives what picks the contract by a header.
        answers: what was said of columns that can be read in two ways.

    Raises:
        BadFile: it can't be screened, or a column can be read in two ways and nothing was said of it.
    """
    if not sample.num_rows:
        raise BadFile(
            "The folder holds no rows.", remedy="Give a folder of Parquet or CSV files with transactions."
        )
    with tempfile.TemporaryDirectory(prefix="batch-") as scratch:
        file = Path(scratch) / "sample.csv"
        _write(sample, file)
        chosen: list[ColumnContract] = []
        used: list[Forms | None] = []

        def picking(head: Head) -> ColumnContract:
            chosen.append(choose()(head))
            return chosen[-1]

        def read(forms: Forms | None) -> list[Batch]:
            used.append(forms)
            batches = open_transactions(
                file,
                Kind.CSV,
                picking,
                set_aside=True,
                all_bad=True,
                canonical=file.with_name("canonical.csv"),
                forms=forms,
                answers=answers,
            )
            return list(batches)

        batches = settled(
            read, lambda: look_over(file, Kind.CSV, picking, answers=answers), at_once=answers == NOTHING_SAID
        )
    notes = dict.fromkeys(note for batch in batches for note in batch.notes)
    return Settled(layout_of(chosen[-1], sample.schema.names, used[-1]), tuple(notes), batches)


def _write(sample: Any, file: Path) -> None:
    schema = written_schema(sample.schema)
    batches = [as_written(batch, schema) for batch in sample.to_batches()]
    arrow.write_csv(pa.Table.from_batches(batches, schema), file, write_options(header=True))
