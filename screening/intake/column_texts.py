"""The cells of a few columns of a screened file, as text: who, where and with what, not what is scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from screening.intake.output import read_records
from screening.intake.streams import readable
from screening.intake.text.arrow_table import bytes_of
from screening.transactions.encoding import plain_text

ROWS_AT_ONCE = 50_000


def column_texts(
    canonical: Path, offsets: NDArray[np.int64], places: Sequence[int]
) -> dict[int, pa.DictionaryArray]:
    """Return the cells of some columns: blanks and words for nothing are null, and a whole number has no ``.0``.

    Args:
        canonical: the upload itself, or its copy: the file that the offsets were made for.
        offsets: where each record begins, (rows of the file,).
        places: of the columns, from 0.

    Returns:
        for each place the cells, (rows of the file,), each text once in the dictionary.
    """
    if not places:
        return {}
    found = read_quickly(canonical, len(offsets), places)
    return found if found is not None else _record_by_record(canonical, offsets, places)


def read_quickly(canonical: Path, rows: int, places: Sequence[int]) -> dict[int, pa.DictionaryArray] | None:
    """Read them with Arrow; ``None`` where it doesn't see the records that the file was read as."""
    found = bytes_of(canonical, places)
    if found is None or any(len(column) != rows + 1 for column in found.values()):
        # rows of another length, which were set aside
        return None
    return {
        place: cleaned_codes(column.slice(1).combine_chunks().dictionary_encode())  # without the header
        for place, column in found.items()
    }


def _record_by_record(
    canonical: Path, offsets: NDArray[np.int64], places: Sequence[int]
) -> dict[int, pa.DictionaryArray]:
    parts: dict[int, list[str]] = {place: [] for place in places}
    for begin in range(0, len(offsets), ROWS_AT_ONCE):
        some = range(begin, min(begin + ROWS_AT_ONCE, len(offsets)))
        for record in read_records(canonical, offsets, some):
            for place, into in parts.items():
                into.append(record[place] if place < len(record) else "")
    return {
        place: cleaned_codes(pa.array([text.encode() for text in texts], pa.binary()).dictionary_encode())
        for place, texts in parts.items()
    }


def cleaned_codes(coded: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return codes whose dictionary has each identity once, and null for what says nothing."""
    plain = [plain_text(readable(raw)) for raw in coded.dictionary.to_pylist()]
    known: dict[str, int] = {}
    places = np.array(
        [-1 if text is None else known.setdefault(text, len(known)) for text in plain], np.int32
    )
    codes = coded.indices.to_numpy(zero_copy_only=False)
    moved = places[codes] if len(places) else np.zeros(0, np.int32)
    return pa.DictionaryArray.from_arrays(
        pa.array(moved, pa.int32(), mask=moved < 0), pa.array(list(known), pa.string())
    )
