"""Parquet as canonical CSV. Runs in the converter's process only."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from screening.errors import BadFile
from screening.intake.batch import Limits
from screening.intake.streams import check_growth

ROWS = 16_384
_DAMAGED = "The Parquet file is damaged or cut off."


def to_csv(source: Path, target: Path, limits: Limits) -> None:
    """Write the rows of a Parquet file as CSV; numbers so that they read back exactly.

    A column of equal values takes some bytes, however many rows it has. What the file says of its size is looked at
    before anything is read, and what is written is counted, since it may say anything.

    Raises:
        BadFile: it is damaged, a column holds lists, structures or bytes, or it unpacks to too much for its size.
        TooLarge: it unpacks to more than ``limits.unpacked``.
    """
    pa: Any = import_module("pyarrow")
    csv: Any = import_module("pyarrow.csv")
    parquet: Any = import_module("pyarrow.parquet")

    try:
        file = parquet.ParquetFile(source)
        schema = pa.schema([(field.name, _written(field, pa)) for field in file.schema_arrow])
        packed = source.stat().st_size
        check_growth(packed, _said_size(file.metadata), limits)
        if not len(schema):
            raise BadFile("The Parquet file has no columns.", remedy="Send a file with transactions.")
        options = csv.WriteOptions(quoting_style="needed")
        with target.open("wb") as out, csv.CSVWriter(out, schema, write_options=options) as writer:
            for batch in file.iter_batches(ROWS):
                columns = [
                    column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)
                ]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
                check_growth(packed, out.tell(), limits)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, OSError) as problem:
        if isinstance(problem, OSError) and problem.errno is not None:
            raise
        raise BadFile(_DAMAGED, remedy="Write it again and send that.") from problem


def _said_size(metadata: Any) -> int:
    """Return the least that a file unpacks to by its own account: its pages, and as CSV a sign and a comma a cell."""
    pages = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return int(max(pages, 2 * metadata.num_rows * metadata.num_columns))


def _of_bytes(pa: Any) -> tuple[Any, ...]:
    kinds = pa.types
    return kinds.is_binary, kinds.is_large_binary, kinds.is_fixed_size_binary, kinds.is_binary_view


def _written(field: Any, pa: Any) -> Any:
    """Return the type that a column is written as: numbers stay numbers, other plain things become text."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    if pa.types.is_nested(kind) or any(is_bytes(kind) for is_bytes in _of_bytes(pa)):
        raise BadFile(
            f"Column {field.name[:60]} holds lists, structures or bytes.",
            where=f"column {field.name[:60]}",
            remedy="Leave the column out, or write it as text.",
        )
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        # written with all the digits that the stored number has
        return pa.float64()
    if pa.types.is_integer(kind) or pa.types.is_float64(kind) or pa.types.is_boolean(kind):
        return kind
    return pa.string()
