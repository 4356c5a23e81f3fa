"""Parquet as canonical CSV. Runs in the converter's process only."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from screening.errors import BadFile
from screening.intake.batch import ReadLimits
from screening.intake.conversion import arrow_csv
from screening.intake.streams import check_growth

ROWS = 16_384
_DAMAGED = "The Parquet file is damaged or cut off."


def to_csv(source: Path, target: Path, limits: ReadLimits) -> None:
    """Write the rows of a Parquet file as CSV; numbers so that they read back exactly.

    A column of equal values takes some bytes, however many rows it has. What the file says of its size is looked at
    before anything is read, and what is written is counted, since it may say anything.

    Raises:
        BadFile: it is damaged, or it unpacks to too much for its size.
        TooLarge: it unpacks to more than ``limits.unpacked``.
    """
    pa: Any = import_module("pyarrow")
    csv: Any = import_module("pyarrow.csv")
    parquet: Any = import_module("pyarrow.parquet")

    try:
        file = parquet.ParquetFile(source)
        schema = arrow_csv.written_schema(file.schema_arrow)
        packed = source.stat().st_size
        check_growth(packed, _said_size(file.metadata), limits)
        if not len(schema):
            raise BadFile("The Parquet file has no columns.", remedy="Send a file with transactions.")
        options = arrow_csv.write_options(header=True)
        with target.open("wb") as out, csv.CSVWriter(out, schema, write_options=options) as writer:
            for batch in file.iter_batches(ROWS):
                writer.write_batch(arrow_csv.as_written(batch, schema))
                check_growth(packed, out.tell(), limits)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, OSError) as problem:
        if isinstance(problem, OSError) and problem.errno is not None:
            raise
        raise BadFile(_DAMAGED, remedy="Write it again and send that.") from problem


def _said_size(metadata: Any) -> int:
    """Return the least that a file unpacks to by its own account: its pages, and as CSV a sign and a comma a cell."""
    pages = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return int(max(pages, 2 * metadata.num_rows * metadata.num_columns))
