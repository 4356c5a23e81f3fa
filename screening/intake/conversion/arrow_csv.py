"""Write Arrow's columns as CSV: numbers so that they read back exactly, everything else as text."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any
from uuid import UUID


def written_schema(schema: Any) -> Any:
    """Return the types as which the columns of a table are written, by their names."""
    pa: Any = import_module("pyarrow")
    return pa.schema([(field.name, _written(field, pa)) for field in schema])


def write_options(*, header: bool) -> Any:
    """Return how CSV is written: texts in quotation marks, blanks without."""
    csv: Any = import_module("pyarrow.csv")
    return csv.WriteOptions(quoting_style="needed", include_header=header)


def as_written(batch: Any, schema: Any) -> Any:
    """Return some rows with the types of :func:`written_schema`."""
    pa: Any = import_module("pyarrow")
    columns = [
        pa.array(map(text_of, column.to_pylist()), pa.string())
        if _is_nested(column.type, pa)
        else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
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


def text_of(value: Any) -> str | None:
    """Return lists and structures as JSON, bytes as hexadecimal digits behind ``0x``; nothing stays nothing.

    No detector learns from them, but a file isn't refused for what it carries along. Without ``0x``, the bytes of the
    text 10 would be the number 3130.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes | UUID):
        return _plain(value)
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


def _bare(kind: Any, pa: Any) -> Any:
    """Return the type of the values themselves: behind a dictionary, or an extension such as an id's."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _is_nested(kind: Any, pa: Any) -> bool:
    kinds, bare = pa.types, _bare(kind, pa)
    of_bytes = (kinds.is_binary, kinds.is_large_binary, kinds.is_fixed_size_binary, kinds.is_binary_view)
    return bool(kinds.is_nested(bare)) or any(is_bytes(bare) for is_bytes in of_bytes)


def _written(field: Any, pa: Any) -> Any:
    """Return the type that a column is written as: numbers stay numbers, everything else becomes text."""
    kind = _bare(field.type, pa)
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        # written with all the digits that the stored number has
        return pa.float64()
    if pa.types.is_integer(kind) or pa.types.is_float64(kind) or pa.types.is_boolean(kind):
        return kind
    return pa.string()
