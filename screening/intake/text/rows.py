"""Read rows of a table whose layout is known by the functions that read a file, without its beginning or its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from screening.intake.text.parse import Layout, Parsed, exact, prepared
from screening.intake.text.records import Block
from screening.intake.text.survey import Forms
from screening.intake.text.typed_cells import readers_of
from screening.transactions.schema import ColumnContract, normalise
from screening.transactions.sources import sources_of


def layout_of(
    contract: ColumnContract, header: Sequence[str], forms: Forms | None, *, watched: bool = False
) -> Layout:
    """Return the layout of the columns that a contract needs, and of its label, as a table of these alone.

    Args:
        contract: what is needed, as it was chosen for ``header``.
        header: the names of a table's columns.
        forms: how its columns were found to be written; ``None`` where each cell has one meaning.
        watched: whether the columns that the contract watches are among them, too.

    Raises:
        BadFile: a column is missing or stands twice.
    """
    wanted = {normalise(name) for name in contract.watched} if watched else set()
    places = contract.needed(header) | {at for at, name in enumerate(header) if normalise(name) in wanted}
    names = tuple(header[place] for place in sorted(places))
    sources = sources_of(contract, names)
    label = contract.match(names).get(contract.label) if contract.label else None
    readers = readers_of(sources) if forms is None else forms.readers
    return Layout(contract, names, sources, label, ",", readers=readers)


def read_rows(data: bytes, layout: Layout, count: int) -> Parsed:
    """Return rows as numbers; those that can't be used are marked ``bad``, and counted from 1 in ``problems``.

    Args:
        data: records without a header, in UTF-8, with commas; as many cells in each as the layout has columns.
        layout: where the columns are and how they are written.
        count: of the records.

    Raises:
        ValueError: it isn't as many records.
    """
    if not count:
        labels = None if layout.label is None else np.empty(0, np.int8)
        return Parsed(np.empty((0, len(layout.contract.columns))), labels, np.empty(0, bool))
    block = Block(data, data.count(b'"'), last=True)
    marks, parsed = prepared(block, layout)
    if len(marks.ends) != count:
        raise ValueError(f"{count} rows were written as {len(marks.ends)} records")
    return parsed or exact(block, marks.ends, layout, 1, 1)


def without_label(layout: Layout) -> Layout:
    """Return a layout whose label isn't read."""
    return replace(layout, label=None)
