"""Write Arrow's columns as CSV: numbers so that they read back exactly, other plain things as text."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from screening.errors import BadFile


def written_schema(schema: Any) -> Any:
    """Return the types as which the columns of a table are written, by their names.

    Raises:
        BadFile: a column holds lists, structures or bytes.
    """
    pa: Any = import_module("pyarrow")
    return pa.schema([(field.name, _written(field, pa)) for field in schema])


def write_options(*, header: bool) -> Any:
    """Return how CSV is written: texts in quotation marks, blanks without."""
    csv: Any = import_module("pyarrow.csv")
    return csv.WriteOptions(quoting_style="needed", include_header=header)


def as_written(batch: Any, schema: Any) -> Any:
    """Return some rows with the types of :func:`written_schema`."""
    pa: Any = import_module("pyarrow")
    columns = [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def csv_of(batch: Any, schema: Any) -> bytes:
    """Return some rows as CSV without a header.

    Args:
        batch: the rows.
        schema: the types as which they are written, from :func:`written_schema`.
    """
    pa: Any = import_module("pyarrow")
    csv: Any = import_module("pyarrow.csv")
    out = pa.BufferOutputStream()
    csv.write_csv(as_written(batch, schema), out, write_options(header=False))
    written: bytes = out.getvalue().to_pybytes()
    return written


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
