"""A file of any kind written again as CSV with tokens in place of its card numbers."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from screening.cards.evidence import CardColumns
from screening.cards.masking import masked
from screening.cards.tokens import Tokens
from screening.errors import BadFile
from screening.intake import streams
from screening.intake.batch import ReadLimits
from screening.intake.formulas import csv_text
from screening.intake.kinds import FileKind
from screening.intake.preview import DEFAULT, NO_COLUMNS, text_table
from screening.intake.text.card_watch import take
from screening.intake.text.csv_file import open_table
from screening.intake.text.parse import Layout
from screening.intake.text.records import Block, blocks
from screening.transactions.schema import normalise

# Cells whose tokens are cached: cards come back.
MOST_KNOWN = 100_000


@dataclass(frozen=True, slots=True)
class ReplacedColumns:
    """The columns in which card numbers were replaced, by their names as they may be shown, and how many cells were."""

    columns: tuple[str, ...]
    cells: int


def replace_card_numbers(
    source: Path,
    kind: FileKind,
    target: Path,
    tokens: Tokens,
    *,
    columns: Collection[str] = (),
    places: Collection[int] = (),
    limits: ReadLimits = DEFAULT,
    waiting: Callable[[], None] = lambda: None,
) -> ReplacedColumns | None:
    """Write ``source`` to ``target`` (mode 0600) as UTF-8 CSV with tokens in place of card numbers.

    All other cells stay as they were; lines above the header are left out. Where there is nothing to replace, nothing
    is written.

    Args:
        source: the whole file.
        kind: what it is, from :func:`screening.intake.identify`.
        target: the new file; it is on the disk when this returns.
        tokens: makes the tokens.
        columns: further columns in which card numbers are replaced, by their names in any case, however few there are.
        places: further such columns by their places, from 0.
        limits: the bounds of reading.
        waiting: called once a block; it may raise to leave.

    Raises:
        BadFile: it can't be read, or there is no such column.
    """
    with text_table(source, kind, limits, target.parent, waiting) as (raw, delimiter):
        layout, seen = _seen(raw, delimiter, limits, waiting)
    chosen = sorted({*seen.found(), *places, *named_places(layout.header, columns)})
    if not chosen:
        return None
    job = _Job(target, chosen, tokens, limits, waiting)
    with text_table(source, kind, limits, target.parent, waiting) as (raw, delimiter):
        cells = job.write(raw, delimiter)
    return ReplacedColumns(tuple(seen.name(place) for place in chosen), cells)


def _seen(
    raw: Iterator[bytes], delimiter: str | None, limits: ReadLimits, waiting: Callable[[], None]
) -> tuple[Layout, CardColumns]:
    opened = open_table(raw, lambda _header: NO_COLUMNS, limits, copied=False, delimiter=delimiter)
    layout, row = opened.layout, 1
    seen = CardColumns(layout.header, range(len(layout.header)))
    for block in blocks(opened.pieces, limits, layout.delimiter):
        waiting()
        if block.overlong or block.unclosed:
            raise unreadable()
        stops = block.ends()
        take(seen, block, stops, layout, row)
        row += len(stops)
    return layout, seen


@dataclass(slots=True)
class _Job:
    """Writing one file again."""

    target: Path
    places: list[int]
    tokens: Tokens
    limits: ReadLimits
    waiting: Callable[[], None]
    known: dict[str, str] = field(default_factory=dict)

    def write(self, raw: Iterator[bytes], delimiter: str | None) -> int:
        """Write all of it; gives how many cells were changed."""
        opened = open_table(raw, lambda _header: NO_COLUMNS, self.limits, copied=False, delimiter=delimiter)
        changed = 0
        self.target.touch(mode=0o600)
        try:
            with self.target.open("w", encoding="utf-8", newline="") as out:
                out.write(csv_text([opened.layout.header]))
                for block in blocks(opened.pieces, self.limits, opened.layout.delimiter):
                    self.waiting()
                    rows = list(rows_of(block, opened.layout.delimiter))
                    changed += sum(map(self._replace, rows))
                    out.write(csv_text(rows))
                out.flush()
                os.fsync(out.fileno())
        except BaseException:
            self.target.unlink()
            raise
        return changed

    def _replace(self, row: list[str]) -> int:
        changed = 0
        for place in self.places:
            if place < len(row):
                cell = row[place]
                known = self.known.get(cell)
                if known is None:
                    if len(self.known) >= MOST_KNOWN:
                        self.known.clear()
                    known = self.known[cell] = self.tokens.replaced(cell)
                row[place] = known
                changed += row[place] != cell
        return changed


def rows_of(block: Block, delimiter: str) -> Iterator[list[str]]:
    """Yield the cells of a block's records; :class:`BadFile` where quotation marks make no sense."""
    try:
        yield from csv.reader(
            io.StringIO(streams.readable(block.data), newline=""), delimiter=delimiter, strict=True
        )
    except csv.Error:
        raise unreadable() from None


def unreadable() -> BadFile:
    """Return the error of a file whose rows aren't where they seem to be: no card number may be missed in it."""
    return BadFile(
        "The rows of this file can't be read safely: a quotation mark isn't closed, or a row is too long.",
        remedy="Export the file again and send that.",
    )


def named_places(header: tuple[str, ...], columns: Collection[str]) -> list[int]:
    """Return the places of columns. Raises :class:`BadFile` for one that isn't there."""
    found = []
    for wanted in columns:
        places = [place for place, name in enumerate(header) if normalise(name) == normalise(wanted)]
        if not places:
            raise BadFile(
                f"The file has no column {masked(wanted)[:60]!r} whose card numbers could be replaced.",
                where="header",
                remedy="Name it as the header does.",
            )
        found += places
    return found
