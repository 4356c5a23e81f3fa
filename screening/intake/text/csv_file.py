"""A text table as batches, in one pass: whatever its size, a few blocks of it are in memory."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from screening.cards.masking import masked
from screening.errors import BadFile, CellProblem, ScreeningError
from screening.intake import streams
from screening.intake.batch import FIRST_ROWS, Batch, ReadLimits, TableHead
from screening.intake.evidence import FEW, NumberEvidence
from screening.intake.numbers import DigitLayout
from screening.intake.text import dialect
from screening.intake.text.card_watch import CardWatch
from screening.intake.text.hour_watch import HourWatch
from screening.intake.text.parse import Layout, Parsed, exact, prepared, sampled
from screening.intake.text.problems import ProblemTally
from screening.intake.text.records import Block, RecordEnds, blocks, ends, first_end
from screening.intake.text.requote import with_commas
from screening.intake.text.survey import Forms, Unsettled
from screening.intake.text.total_watch import TotalWatch
from screening.intake.text.typed_cells import TimeOfDay, readers_of
from screening.intake.text.word_watch import WordWatch
from screening.transactions.amount_units import AmountUnit
from screening.transactions.schema import CellKind, ColumnContract, Matrix, Transactions
from screening.transactions.sources import sources_of

Choose = Callable[[TableHead], ColumnContract]
BOM = b"\xef\xbb\xbf"
SETTLING_ROWS = 500
"""Rows of a block that are looked at first for an amount that settles what a point is."""
AHEAD = 2
"""Blocks that are read and parsed ahead of the one that is being scored."""


@dataclass(slots=True)
class OpenedTable:
    """A table whose header has been read; ``pieces`` is what follows, in UTF-8 or a superset of ASCII."""

    pieces: Iterator[bytes]
    layout: Layout
    header: bytes
    offset: int
    copied: bool
    line: int
    above: int
    """Lines that stand above the header and aren't of the table."""


def open_table(
    raw: Iterator[bytes], choose: Choose, limits: ReadLimits, *, copied: bool, delimiter: str | None = None
) -> OpenedTable:
    """Read the header and let ``choose`` pick the contract. The delimiter is found out if it isn't given.

    Raises:
        BadFile: there is no header, or it can't be used.
    """
    head, raw = streams.with_head(raw, limits.record, limits.block)
    if not head:
        raise BadFile("The file is empty: it holds no bytes at all.", remedy="Export it again and send that.")
    encoding = dialect.encoding(head)
    if encoding not in {"utf-8", "utf-8-sig"}:
        copied = True
        head, raw = streams.with_head(streams.as_utf8(raw, encoding), limits.record, limits.block)
    if b"\n" not in head and b"\r" in head:
        copied = True
        head, raw = streams.with_head(streams.newlines(raw), limits.record, limits.block)
    mark = len(BOM) if head.startswith(BOM) else 0
    if not head[mark:].strip():
        raise BadFile(
            "The file is empty: it holds only white space.", remedy="Export it again and send that."
        )
    skipped, named = dialect.preamble(head[mark:])
    above, lines = dialect.lines_above(head[mark + skipped :], delimiter or named)
    start = mark + skipped + above
    stop = start + first_end(head[start:])
    if stop - start > limits.record:
        raise BadFile(
            f"The header is longer than {limits.record // 1024} kB, or a quotation mark in it isn't closed.",
            where="line 1",
            remedy="The first line must name the columns.",
        )
    first = head[start:stop]
    if named and any(mark.encode() in first for mark in dialect.DELIMITERS):
        dialect.check_named(first, named)
    table = dialect.read_header(first, delimiter or named or dialect.delimiter_of(first))
    layout = _layout(table, choose, lambda: first_rows(head[stop:], table.delimiter))
    copied = copied or layout.delimiter != "," or bool(skipped + above)
    return OpenedTable(
        without_first(raw, stop), layout, first, stop, copied, 1 + head.count(b"\n", 0, stop), lines
    )


def without_first(raw: Iterator[bytes], count: int) -> Iterator[bytes]:
    """Yield the pieces without the first ``count`` bytes."""
    for piece in raw:
        if count < len(piece):
            yield piece[count:] if count else piece
        count = max(count - len(piece), 0)


def first_rows(data: bytes, delimiter: str) -> list[list[str]]:
    """Return the cells of the first records; the last one is left out where it may go on."""
    reader = csv.reader(io.StringIO(streams.readable(data), newline=""), delimiter=delimiter)
    found = []
    # it is refused, with the row, when it is read
    with suppress(csv.Error):
        found = list(islice(reader, FIRST_ROWS + 1))
    return found[:FIRST_ROWS] if len(found) > FIRST_ROWS or data.endswith(b"\n") else found[:-1] or found


def _layout(table: dialect.Dialect, choose: Choose, rows: Callable[[], list[list[str]]]) -> Layout:
    try:
        contract = choose(TableHead(table.header, rows)).made(table.header)
        places, sources = contract.match(table.header), sources_of(contract, table.header)
    except ScreeningError as problem:
        # a file without a header may show a card number where names should be
        problem.what = masked(problem.what)
        raise
    label = places.get(contract.label) if contract.label else None
    readers = readers_of(sources)
    return Layout(contract, tuple(table.header), sources, label, table.delimiter, readers=readers)


def read_table(
    opened: OpenedTable,
    copy: Path | None,
    limits: ReadLimits,
    *,
    set_aside: bool,
    all_bad: bool = False,
    lines: bool = True,
    forms: Forms | None = None,
    fraud: tuple[str, ...] = (),
) -> Iterator[Batch]:
    """Yield the batches of an opened table; a canonical copy of it is written to ``copy`` where one is given.

    Without ``forms`` only cells of one meaning are read. ``fraud`` are the label's values that mean fraud.

    Raises:
        Unsettled: without ``forms``, a cell has another meaning or several: the whole file must be looked at.
        BadFile: at the end of the file, with all that is wrong; at once where nothing after it can be read.
    """
    tally = ProblemTally(limits, set_aside=set_aside, lines=lines, all_bad=all_bad)
    opened = replace(opened, layout=replace(opened.layout, fraud=fraud))
    reader = _Reader(opened, limits, tally, forms)
    if copy is None:
        yield from reader.batches(None)
        return
    with copy.open("wb") as out:
        yield from reader.batches(out)


class _Reader:
    def __init__(
        self, opened: OpenedTable, limits: ReadLimits, tally: ProblemTally, forms: Forms | None
    ) -> None:
        self._opened, self._limits, self._layout = opened, limits, opened.layout
        self._forms = forms
        if forms is None and (opened.layout.composed or opened.layout.contract.unit is not AmountUnit.WHOLE):
            # which parts have a sign, and what 1.070 is in cents, only the whole file tells
            raise Unsettled
        if forms is not None:
            self._layout = replace(opened.layout, readers=forms.readers)
        self._tally = tally
        self._row, self._line, self._offset = 1, opened.line, opened.offset
        self._text = streams.EncodingWatch()
        self._label_used = self._layout.label is not None
        self._cards = CardWatch(self._layout)
        self._words = WordWatch(self._layout)
        self._totals = TotalWatch(self._layout)
        self._hours = HourWatch(self._layout)
        self._notes = [] if forms is None else list(forms.notes)
        if opened.above:
            self._notes.append(f"{opened.above} lines above the header were passed over.")
        self._doubtful = self._empty = 0
        self._clocks: dict[int, set[TimeOfDay]] = {}
        self._amount = self._amount_place() if forms is None else None

    def batches(self, copy: BinaryIO | None) -> Iterator[Batch]:
        if copy:
            header = _canonical_header(self._opened)
            self._offset = len(header)
            copy.write(header)
        waiting = None
        # one block late: the last one is looked at otherwise, and it is the last only if none follows
        for found in self._parsed():
            if waiting and (batch := self._batch(*waiting, copy, final=False)):
                yield batch
            waiting = found
        if waiting and (batch := self._batch(*waiting, copy, final=True)):
            yield batch
        self._tally.finish(self._row - 1)
        self._cards.columns.check()
        problems, first = self._tally.problems, self._tally.first
        check_doubtful(self._doubtful, self._row - 1, problems, first)
        self._hours.check()

    def _parsed(self) -> Iterator[tuple[Block, RecordEnds, Parsed | None]]:
        """Yield blocks in their order, parsed in a thread while the caller scores the one before."""
        waiting: deque[tuple[Block, Future[tuple[RecordEnds, Parsed | None]]]] = deque()
        with ThreadPoolExecutor(1, thread_name_prefix="intake") as pool:
            for block in blocks(self._opened.pieces, self._limits, self._layout.delimiter, self._note_empty):
                waiting.append((block, pool.submit(prepared, block, self._layout)))
                if len(waiting) > AHEAD:
                    done, future = waiting.popleft()
                    yield done, *future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, *future.result()

    def _amount_place(self) -> int | None:
        """Return the place of the amount, while it isn't known whether a lone point in it parts thousands."""
        contract = self._layout.contract
        if contract.amount is None:
            return None
        wanted = contract.columns.index(contract.amount)
        return next(source.place for source in self._layout.sources if source.column == wanted)

    def _look_at_amounts(self, block: Block, stops: NDArray[np.int64], values: Matrix) -> None:
        """Have 1.070 beside 12 looked at as a whole: as plain numbers both would pass.

        Raises:
            Unsettled: a block has such amounts and none that settles it.
        """
        contract = self._layout.contract
        amounts = np.abs(values[:, contract.columns.index(contract.amount or "")])
        whole = amounts == np.floor(amounts)
        parts = amounts[~whole & ~np.isnan(amounts)]
        # neither is ever written as 1.070 is
        if (amounts >= 1000).any() or (parts < 1).any():
            self._amount = None
            return
        if not len(parts):
            return
        seen = NumberEvidence()
        for count in (SETTLING_ROWS, len(stops)):
            for row in sampled(block.data, stops, self._layout.delimiter, count):
                if self._amount is not None and len(row) > self._amount:
                    seen.add(row[self._amount])
            if seen.points or seen.large:
                self._amount = None
                return
        if seen.writings[DigitLayout.LONE_POINT]:
            raise Unsettled

    def _look_at_exponents(self, block: Block, stops: NDArray[np.int64]) -> None:
        """Have 1.07E+03 looked at as a whole: where a column is full of it, a spreadsheet has cut off its digits.

        Raises:
            Unsettled: a column of numbers has more of it than of others, in some rows of a block.
        """
        if b"E+" not in block.data and b"E-" not in block.data:
            return
        places = [source.place for source in self._layout.sources if source.kind is CellKind.NUMBER]
        seen = {place: NumberEvidence() for place in places}
        for row in sampled(block.data, stops, self._layout.delimiter, SETTLING_ROWS):
            if len(row) == len(self._layout.header):
                for place, each in seen.items():
                    each.add(row[place])
        if any(each.shortened for each in seen.values()):
            raise Unsettled

    def _look_at_clocks(self, parsed: Parsed) -> None:
        """Have times with ``Z`` or ``AM`` beside times with neither looked at as a whole.

        Raises:
            Unsettled: a column tells its times in several ways.
        """
        for at, found in parsed.clocks.items():
            self._clocks.setdefault(at, set()).update(found)
        if any(len(found) > 1 for found in self._clocks.values()):
            raise Unsettled

    def _batch(
        self, block: Block, marks: RecordEnds, parsed: Parsed | None, copy: BinaryIO | None, *, final: bool
    ) -> Batch | None:
        stops = marks.ends
        self._tally.check_block(block, stops, self._row, self._line)
        self._text.check(block.data, self._row)
        if parsed is None:
            parsed = exact(block, stops, self._layout, self._row, self._line)
        if self._forms is None:
            if parsed.doubtful:
                raise Unsettled
            self._look_at_clocks(parsed)
            if self._amount is not None:
                self._look_at_amounts(block, stops, parsed.values)
            self._look_at_exponents(block, stops)
        self._doubtful += parsed.doubtful
        self._totals.look(block, stops, parsed, self._row, self._line, final=final)
        self._cards.look(block, stops, self._row, parsed.values, damaged=bool(parsed.bad.any()))
        self._words.look(block, stops, self._row)
        self._hours.look(parsed)
        self._tally.add(parsed)
        first_row, offsets = self._row, self._place(block, stops, copy)
        self._row += len(stops)
        self._line += marks.newlines
        if self._tally.refused:
            return None
        notes = [*self._notes, *self._note_labels(parsed), *self._cards.columns.notes]
        if self._empty:
            notes.append(f"{self._empty:,} empty rows at the end of the file were left out.")
        if final:
            notes += self._hours.notes
        return Batch(
            first_row=first_row,
            transactions=Transactions(self._layout.contract.columns, parsed.values),
            labels=parsed.labels if self._label_used else None,
            offsets=offsets,
            copied=self._opened.copied,
            bad=parsed.bad,
            problems=self._tally.shown(parsed),
            notes=notes,
            bad_frauds=parsed.bad_frauds,
            sign_told=self._forms is not None and self._forms.sign_told,
            words=self._words.words,
        )

    def _place(self, block: Block, stops: NDArray[np.int64], copy: BinaryIO | None) -> NDArray[np.int64]:
        """Return the places where the block's records begin in the canonical file, which is written here if it is a
        copy.
        """
        data = block.data
        if copy and not self._tally.refused:
            data = with_commas(data, self._layout.delimiter)
            copy.write(data)
            # a cell that holds a comma gets quotation marks, and the records move
            stops = stops if data is block.data else ends(data, quoted=b'"' in data)
        offsets = np.empty(len(stops), np.int64)
        offsets[0], offsets[1:] = self._offset, stops[:-1] + self._offset
        self._offset += len(data)
        return offsets

    def _note_empty(self, rows: int) -> None:
        self._empty = rows

    def _note_labels(self, parsed: Parsed) -> list[str]:
        if not self._label_used or parsed.labels is not None:
            return []
        self._label_used = False
        name = self._layout.header[self._layout.label or 0].strip()
        return [f"Column {name} holds something else than 0, 1 and blanks: it isn't used to judge the flags."]


def check_doubtful(cells: int, rows: int, problems: list[CellProblem], first: str | None) -> None:
    """Refuse a table of whose cells many are written in another way than the rest: the rest is doubtful, too.

    Args:
        cells: number of such cells.
        rows: number of all rows.
        problems: some of what is wrong.
        first: where the first of it stands.

    Raises:
        BadFile: so it is.
    """
    if cells > max(FEW * rows, 1):
        raise BadFile(
            f"{cells:,} cells of this file are written in a way that isn't read here: what the others "
            "mean is then not certain either.",
            where=first,
            remedy="Fix the columns named below and send the file again.",
            problems=problems,
            problem_count=cells,
        )


def _canonical_header(opened: OpenedTable) -> bytes:
    header = with_commas(opened.header, opened.layout.delimiter).removeprefix(BOM)
    return header if header.endswith(b"\n") else header + b"\n"
