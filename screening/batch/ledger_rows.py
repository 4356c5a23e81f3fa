"""Make rows of the ledger of what a job wrote, in executors: they need no database, and see none of the app's files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from screening.batch.cells import RAW, read_cells
from screening.batch.scoring import ADDED, FLAG, PROBABILITY, REASONS
from screening.features.countries.addresses import AddressCountries
from screening.intake.column_texts import cleaned_codes
from screening.intake.conversion.arrow_csv import as_written, written_schema
from screening.intake.text.parse import Layout
from screening.ledger import fields
from screening.ledger.identity import new_origin
from screening.ledger.rows import DecisionBatch, table_of
from screening.scoring.places import with_countries

SEGMENT_ROWS = 250_000
"""Rows of a segment, at least, where a partition has so many."""
SOURCE = "batch"
PREPARED = "rows binary"
"""The schema of Spark's table of prepared rows: an Arrow stream in each row, compressed."""

VALUES = "values binary, labels binary"
"""The schema of Spark's table of rows as the detector reads them: float64 (rows, columns) and int8 (rows,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Values that all decisions of a job have in common."""

    job: str
    owner: str
    decided_at: datetime
    detector: str
    fingerprint: str
    threshold: float


@dataclass(frozen=True, slots=True)
class Prepare:
    """Makes rows of the ledger of scored rows.

    Args:
        about: of the job.
        layout: how the rows are read.
        countries: of which country addresses are, for rows that bring none.
    """

    about: About
    layout: Layout
    countries: AddressCountries | None

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield one row with an Arrow stream for each segment."""
        origin, waiting, count = self._origin(), list[pa.Table](), 0
        for batch in batches:
            if not batch.num_rows:
                continue
            waiting.append(self._rows(batch, origin, count))
            count += batch.num_rows
            if count >= SEGMENT_ROWS:
                yield packed(pa.concat_tables(waiting))
                origin, waiting, count = self._origin(), [], 0
        if waiting:
            yield packed(pa.concat_tables(waiting))

    def _origin(self) -> bytes:
        return new_origin(int(self.about.decided_at.timestamp() * 1000))

    def _rows(self, batch: Any, origin: bytes, before: int) -> pa.Table:
        """Return the rows of a batch as they appear in a segment of which so many rows are before them."""
        about, layout, contract = self.about, self.layout, self.layout.contract
        read = read_cells(batch, layout)
        columns = {name: read.values[:, place] for place, name in enumerate(contract.columns)}
        reasons = batch.column(REASONS)
        return table_of(
            DecisionBatch(
                origin=origin,
                numbers=np.arange(before + 1, before + batch.num_rows + 1, dtype=np.uint32),
                source=SOURCE,
                screening=None,
                owner=about.owner,
                decided_at=about.decided_at,
                detector=about.detector,
                fingerprint=about.fingerprint,
                threshold=about.threshold,
                probability=batch.column(PROBABILITY).to_numpy(zero_copy_only=False).astype(np.float32),
                amount=None if contract.amount is None else columns[contract.amount],
                seconds=columns[str(contract.time)] if contract.has_calendar else None,
                label=read.labels,
                fields=with_countries(self._texts(batch), self.countries),
                reasons=reasons.cast(pa.list_(pa.string())),
                flagged=batch.column(FLAG).to_numpy(zero_copy_only=False).astype(bool),
                request=about.job,
            )
        )

    def _texts(self, batch: Any) -> Mapping[str, Any]:
        """Return who, where and with what, (rows,) each, as a file's rows have it."""
        contract = self.layout.contract
        names = [name for name in batch.schema.names if name not in {*ADDED, RAW}]
        called = dict(contract.aliases)
        places = fields.assign(names, [fields.called(column, called) for column in contract.parts()])
        texts = {}
        for field, place in places.items():
            one = batch.select([names[place]])
            written = as_written(one, written_schema(one.schema)).column(0)
            cells = written.cast(pa.string()).fill_null("").cast(pa.binary())
            texts[field] = cleaned_codes(cells.dictionary_encode())
        return texts


@dataclass(frozen=True, slots=True)
class Values:
    """Gives the rows of batches as a detector reads them, without those that it can't read."""

    layout: Layout

    def __call__(self, batches: Any) -> Iterator[Any]:
        """Yield one row for each batch."""
        for batch in batches:
            read = read_cells(batch, self.layout)
            kept = ~read.rejected
            labels = np.full(batch.num_rows, -1, np.int8) if read.labels is None else read.labels
            cells = [np.ascontiguousarray(read.values[kept]).tobytes(), labels[kept].tobytes()]
            yield pa.RecordBatch.from_arrays(
                [pa.array([cell], pa.binary()) for cell in cells], names=["values", "labels"]
            )


def packed(table: pa.Table) -> Any:
    """Return rows as an Arrow batch of one row, whose only cell holds all of them."""
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return pa.RecordBatch.from_arrays([pa.array([out.getvalue().to_pybytes()], pa.binary())], names=["rows"])


def unpacked(cell: bytes) -> pa.Table:
    """Return the rows of a cell."""
    with pa.ipc.open_stream(cell) as reader:
        return reader.read_all()
