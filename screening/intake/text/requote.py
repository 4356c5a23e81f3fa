"""A block of any dialect as canonical CSV: commas between cells, the text of each cell as it was."""

from __future__ import annotations

import numpy as np

from screening.intake.text.records import NEWLINE, QUOTE, RETURN

COMMA = ord(",")


def with_commas(data: bytes, delimiter: str) -> bytes:
    """Write whole records with ``delimiter`` between cells as the same records with commas.

    A cell that holds a comma (``1,5``) is put into quotes. Quotation marks in ``data`` are well formed: see
    :func:`screening.intake.text.records.stray_quote`.
    """
    mark = delimiter.encode()
    if mark == b"," or (b"," not in data and b'"' not in data):
        return data.replace(mark, b",")
    codes = np.frombuffer(data, np.uint8)
    outside = np.cumsum(codes == QUOTE, dtype=np.int32) % 2 == 0
    between = (codes == ord(delimiter)) & outside
    borders = np.flatnonzero(between | ((codes == NEWLINE) & outside))
    commas = np.flatnonzero((codes == COMMA) & outside)
    cell = np.unique(np.searchsorted(borders, commas))
    starts = (
        np.where(cell > 0, borders[np.maximum(cell - 1, 0)] + 1, 0) if len(borders) else np.zeros_like(cell)
    )
    stops = np.append(borders, len(codes))[cell]
    stops = stops - (codes[np.maximum(stops - 1, 0)] == RETURN)
    changed = codes.copy()
    changed[between] = COMMA
    return np.insert(changed, np.concatenate([starts, stops]), np.uint8(QUOTE)).tobytes()
