"""Columns of a labelled file that seem to know the label: by what they say, or by what they are called.

Those that the detector needs are judged by the rows that the intake read; the intake passes the others over, so some
rows are read once more for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from screening.cards.masking import masked
from screening.columns import leakage
from screening.columns.profiles import MOSTLY
from screening.columns.vocabulary import speaks_of_fraud
from screening.intake import numbers, read_records
from screening.intake.numbers import NumberForm
from screening.transactions import encoding
from screening.transactions.missing import missing
from screening.transactions.schema import CellKind, ColumnContract, Matrix, Role
from screening.uploads.sampling import Rows
from screening.uploads.upload_folder import UploadFolder

MOST_REREAD = 20_000
"""Rows that are read once more."""
MOST_CELLS = 2_000_000
MOST_EXTRA = 200
"""Columns that the detector doesn't need and that are looked at, from the left."""
# With fewer rows of either class any column may seem to tell the label.
FEWEST = 10
MOST_NAME = 80
# A row may have 128 kB, so the rows are read in parts.
ROWS_AT_ONCE = 200
Labels = NDArray[np.int8]
Telling = tuple[CellKind, NDArray[np.float64], Labels]
"""A column's cells of some rows, and those rows' labels."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A column that tells the label or is named after it. ``kind``: ``leak`` looks filled in afterwards, ``telling``
    parts the classes, ``name`` only has the name. ``used``: whether the detector needs it. ``named``: whether it is a
    leak by its name and its values together, and not by its AUC alone.
    """

    column: str
    kind: str
    used: bool
    auc: float | None
    named: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSample:
    """The labelled rows that columns are judged by, and where the file has them.

    ``rows`` counts from 0, ``values`` are the contract's columns of them, ``label`` their labels, 0 or 1. ``offsets``
    is of every row of the file: where its record begins.
    """

    contract: ColumnContract
    header: Sequence[str]
    rows: Rows
    values: Matrix
    label: Labels
    offsets: Rows

    @property
    def enough(self) -> bool:
        """Return whether there are enough rows of either class."""
        frauds = int(self.label.sum())
        return min(frauds, len(self.label) - frauds) >= FEWEST


def extra(contract: ColumnContract, header: Sequence[str]) -> list[int]:
    """Return the places of the columns that a detector doesn't need and that have a name."""
    needed = contract.needed(header)
    return [place for place, name in enumerate(header) if place not in needed and name.strip()]


def suspects(
    folder: UploadFolder, given: LabelledSample, still_wanted: Callable[[], None]
) -> Iterator[Suspect]:
    """Return the suspects, those that the detector needs first, then the others. ``still_wanted`` may raise to stop."""
    theirs = {**dict(given.contract.aliases), **{name: made.words for name, made in given.contract.composed}}
    for place, column in enumerate(given.contract.parts()):
        compared = given.enough and column.role is not Role.TIME
        telling = (column.kind, given.values[:, place], given.label) if compared else None
        yield from _judged(shown_name(theirs.get(column.name, column.name)), telling, used=True)
        still_wanted()
    places = extra(given.contract, given.header)[:MOST_EXTRA]
    read = reread(folder, given, places, still_wanted) if places and given.enough else {}
    for place in places:
        yield from _judged(shown_name(given.header[place]), read.get(place), used=False)


def shown_name(name: str) -> str:
    """Return a column's name as a report may keep it: the file's owner wrote it, and it may be anything."""
    return masked(name.strip())[:MOST_NAME]


def _judged(name: str, column: Telling | None, *, used: bool) -> Iterator[Suspect]:
    if column is None:
        if speaks_of_fraud(name):
            yield Suspect(name, leakage.Suspicion.NAME.value, used, None)
        return
    verdict = leakage.judge(name, *column)
    if verdict is not None:
        auc = round(verdict.auc, 4)
        named = verdict.suspicion is leakage.Suspicion.LEAK and verdict.auc < leakage.LEAK
        yield Suspect(name, verdict.suspicion.value, used, auc, named)


def reread(
    folder: UploadFolder, given: LabelledSample, places: Sequence[int], still_wanted: Callable[[], None]
) -> dict[int, Telling]:
    """Return the columns at some places of the header: numbers where nearly all cells are, else texts."""
    chosen = _chosen(given.label, min(MOST_REREAD, MOST_CELLS // len(places)))
    rows, label = given.rows[chosen], given.label[chosen]
    as_numbers, as_texts = (np.full((len(rows), len(places)), np.nan) for _ in range(2))
    for at, record in enumerate(_records(folder, given.offsets, rows, still_wanted)):
        for column, place in enumerate(places):
            as_numbers[at, column], as_texts[at, column] = number_and_text(record[place])
    found: dict[int, Telling] = {}
    for column, place in enumerate(places):
        filled = ~np.isnan(as_texts[:, column])
        numeric = bool(filled.any()) and np.isfinite(as_numbers[filled, column]).mean() >= MOSTLY
        values = (as_numbers if numeric else as_texts)[:, column]
        found[place] = (CellKind.NUMBER if numeric else CellKind.TEXT, values, label)
    return found


def _chosen(label: Labels, most: int) -> Rows:
    """Choose the labelled rows that are read once more: frauds up to the half, the rest spread over the others."""
    frauds, others = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    frauds = frauds[:: -(-len(frauds) // (most // 2))]
    others = others[:: -(-len(others) // (most - len(frauds)))]
    return np.sort(np.r_[frauds, others])


def _records(
    folder: UploadFolder, offsets: Rows, rows: Rows, still_wanted: Callable[[], None]
) -> Iterator[list[str]]:
    wanted = iter(rows.tolist())
    while some := list(islice(wanted, ROWS_AT_ONCE)):
        yield from read_records(folder.readable, offsets, some)
        still_wanted()


def number_and_text(text: str) -> tuple[float, float]:
    """Return a cell as a number, whatever its decimal mark, and as a text; NaN where it isn't one."""
    if missing(text):
        return np.nan, np.nan
    number = numbers.number(text)
    if number is None:
        number = numbers.number(text, NumberForm(","))
    return (np.nan if number is None else number), encoding.text_code(text)
