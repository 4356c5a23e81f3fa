"""A block of records as numbers. The fast way takes it whole or not at all; the exact way finds what is wrong.

The fast way is Arrow's CSV reader: strict about the count of cells, correctly rounded, free of the interpreter's
lock. It takes a subset of :data:`screening.intake.numbers.NUMBER`, and ``inf`` and ``nan``, caught after it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import CellProblem
from screening.intake import numbers
from screening.intake.streams import readable
from screening.intake.text import typed_cells
from screening.intake.text.arrow_table import read_block
from screening.intake.text.dialect import cells
from screening.intake.text.other_header import RepeatedHeader, again
from screening.intake.text.records import Block, RecordEnds, stray_quote
from screening.intake.text.typed_cells import CellReader, TimeOfDay
from screening.transactions.composition import listed
from screening.transactions.encoding import text_code
from screening.transactions.guards import bare
from screening.transactions.missing import missing
from screening.transactions.schema import CellKind, ColumnContract, Matrix, normalise
from screening.transactions.sources import Source, compose

KEPT_PER_ROW = 3
MOSTLY_BLANK = 0.5
TOTAL = "looks like a total, not a transaction"
NONE_NEEDED = "has none of the columns that are needed"
TOTALS = frozenset(
    {
        *("total", "sum", "grand total", "totals", "subtotal", "sub-total", "average", "mean", "count"),
        *(
            "summe",
            "gesamt",
            "gesamtsumme",
            "zwischensumme",
            "endsumme",
            "somme",
            "total général",
            "sous-total",
        ),
        *("suma", "total general", "totale", "somma", "totaal", "soma", "合計", "总计", "合计", "小計"),
    }
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Places of the columns of a contract in a file, and the forms of its cells."""

    contract: ColumnContract
    header: tuple[str, ...]
    sources: tuple[Source, ...]
    """The columns that are read: one for each of the contract's, or several where that one is composed."""
    label: int | None
    delimiter: str
    fraud: tuple[str, ...] = ()
    """The values of the label that mean fraud; empty for those that everybody uses."""
    readers: tuple[CellReader, ...] | None = None
    """Readers of the sources; ``None`` for plain numbers that must all be there."""

    @property
    def composed(self) -> list[int]:
        """The numbers of the contract's columns that are made of several of the file's."""
        return sorted({source.column for source in self.sources if source.part is not None})

    @property
    def decimals(self) -> set[str]:
        """The decimal marks of the columns of numbers, a point where there are none; Arrow takes one for all."""
        return {reader.decimal for reader in self.readers or () if reader.kind is CellKind.NUMBER} or {"."}


@dataclass(slots=True)
class Parsed:
    """One block as numbers: ``values`` (rows, columns), ``labels`` (rows,) or ``None`` if not all are labels."""

    values: Matrix
    labels: NDArray[np.int8] | None
    bad: NDArray[np.bool_]
    problems: list[CellProblem] = field(default_factory=list)
    problem_count: int = 0
    broken: bool = False
    """Whether a record is ragged, so that the file can't be trusted at all."""
    doubtful: int = 0
    """Cells that can't be used by the form of their column and mean something by another."""
    bad_frauds: int = 0
    """Rows that can't be used and whose label says fraud."""
    clocks: dict[int, set[TimeOfDay]] = field(default_factory=dict)
    """Of columns of times that are read without a form, by their place among the sources: how they tell the time of
    day."""
    hopeless: bool = False
    """Whether nothing after the last problem can be told apart."""


def fast(block: Block, stops: NDArray[np.int64], layout: Layout) -> Parsed | None:
    """Read all of a block at once, or ``None`` when anything in it is off."""
    pa: Any = import_module("pyarrow")
    readers = layout.readers or (CellReader(),) * len(layout.sources)
    pairs = zip(layout.sources, readers, strict=True)
    types = {source.place: typed_cells.arrow_type(pa, reader) for source, reader in pairs}
    # one column of the file serves twice; or 1.234 is a thousand in one column, and one in another
    if len(types) < len(layout.sources) or len(layout.decimals) > 1:
        return None
    if layout.label is not None:
        types[layout.label] = pa.dictionary(pa.int32(), pa.string())
    blanks = sorted(typed_cells.BLANKS) if layout.readers else ()
    (decimal,) = layout.decimals
    table = read_block(block, layout.delimiter, len(layout.header), types, decimal=decimal, blanks=blanks)
    if table is None:
        return None
    # a lone carriage return ends a row for Arrow and not for us
    if table.num_rows != len(stops):
        return None
    values = read_columns(table, layout)
    if values is None:
        return None
    labels = None if layout.label is None else _labels(table.column(len(layout.sources)), layout.fraud)
    clocks = {
        at: typed_cells.clocks(table.column(at)) for at, reader in enumerate(readers) if reader.may_mix_clocks
    }
    return Parsed(values, labels, np.zeros(len(values), bool), clocks=clocks)


def read_columns(table: Any, layout: Layout) -> Matrix | None:
    """Return the contract's columns of an Arrow table, or ``None`` when one of its cells can't be used."""
    if layout.readers is None:
        (rows,) = table.select(range(len(layout.sources))).combine_chunks().to_batches()
        values: Matrix = rows.to_tensor(row_major=True).to_numpy()
        # a comparison with NaN is false, so NaN is refused too
        return values if not values.size or np.abs(values).max() <= numbers.LARGEST else None
    values = np.empty((table.num_rows, len(layout.sources)))
    for index, reader in enumerate(layout.readers):
        column = typed_cells.from_arrow(table.column(index), reader)
        if column is None:
            return None
        values[:, index] = column
    if maybe_no_rows(values, layout):
        return None
    made = compose(layout.contract, layout.sources, values)
    return None if np.isnan(made[:, layout.composed]).any() else made


def maybe_no_rows(values: Matrix, layout: Layout) -> bool:
    """Return whether a row may be none, of those whose every cell can be read: it has nothing, or the names of the
    columns.

    Args:
        values: float64 (rows, sources).
        layout: where the columns are.
    """
    if all(source.optional for source in layout.sources) and np.isnan(values).all(axis=1).any():
        return True
    if {source.kind for source in layout.sources} != {CellKind.TEXT}:
        return False
    return bool(np.isin(values, [text_code(name) for name in layout.header]).all(axis=1).any())


def exact(block: Block, stops: NDArray[np.int64], layout: Layout, first_row: int, first_line: int) -> Parsed:
    """Return a block cell by cell. Rows that can't be used are NaN and marked ``bad``; the problems say why."""
    reader = _Exact(layout, first_row, first_line, len(stops))
    stray = stray_quote(block.data, layout.delimiter) if block.quotes else None
    start = 0
    for index, stop in enumerate(stops.tolist()):
        record = block.data[start:stop]
        if stray is not None and stray < stop:
            reader.broken_at(
                index, "has a quotation mark in the middle of a cell; put the cell in quotes and double it"
            )
            reader.parsed.hopeless = True
            break
        last = block.last and stop == len(block.data) and not record.endswith(b"\n")
        reader.take(index, record, cut_off=last)
        start = stop
    return reader.done()


class _Exact:
    def __init__(self, layout: Layout, first_row: int, first_line: int, rows: int) -> None:
        self._layout = layout
        self._row, self._line = first_row, first_line
        self._places = [source.place for source in layout.sources]
        self._names = tuple(layout.header[at].strip() for at in self._places)
        self._readers = layout.readers or (CellReader(),) * len(layout.sources)
        self._of_times = [at for at, reader in enumerate(self._readers) if reader.may_mix_clocks]
        self._made = dict(layout.contract.composed)
        self._all_texts = {source.kind for source in layout.sources} == {CellKind.TEXT}
        self._header = tuple(normalise(name) for name in layout.header)
        self._labels = np.full(rows, numbers.BLANK, np.int8)
        self._labels_fit = layout.label is not None
        width = len(layout.contract.columns)
        self.parsed = Parsed(np.full((rows, width), np.nan), None, np.zeros(rows, bool))

    def take(self, index: int, record: bytes, *, cut_off: bool) -> None:
        try:
            row = cells(readable(record).rstrip("\r\n"), self._layout.delimiter)
        except csv.Error:
            self.broken_at(index, "has a stray carriage return or quotation mark")
        else:
            wrong = self._count_of(row, record, cut_off=cut_off)
            if wrong:
                self.broken_at(index, wrong)
            else:
                self._cells(index, row)
        self._line += record.count(b"\n")

    def done(self) -> Parsed:
        if self._labels_fit:
            self.parsed.labels = self._labels
        return self.parsed

    def broken_at(self, index: int, problem: str) -> None:
        self.parsed.broken = True
        self._bad_row(index, problem)

    def _count_of(self, row: Sequence[str], record: bytes, *, cut_off: bool) -> str | None:
        want = len(self._layout.header)
        if len(row) == want:
            return None
        if not record.strip():
            return "is an empty line"
        if cut_off and len(row) < want:
            return f"is cut off: the file ends after {len(row)} of {want} cells"
        hint = " (it ends in a delimiter)" if len(row) == want + 1 and not row[-1].strip() else ""
        return f"has {len(row)} cells, the header has {want}{hint}"

    def _cells(self, index: int, row: Sequence[str]) -> None:
        read = [reader.read(row[at]) for at, reader in zip(self._places, self._readers, strict=True)]
        for at in self._of_times:
            self.parsed.clocks.setdefault(at, set()).update(typed_cells.clock_of(row[self._places[at]]))
        wrong = [at for at, value in enumerate(read) if value is None]
        found = [] if wrong else [value for value in read if value is not None]
        made = compose(self._layout.contract, self._layout.sources, np.array([found])) if found else None
        if made is None:
            self._explain(index, row, wrong)
            place = self._layout.label
            kind = None if place is None else numbers.label(row[place], self._layout.fraud)
            self.parsed.bad_frauds += kind is not None and kind > 0
        elif self._all_texts and self._header_again(index, row):
            pass
        elif np.isnan(found).all():
            self._bad_row(index, self._whole_row(row, len(self._names)) or NONE_NEEDED)
        elif unmade := [number for number in self._layout.composed if np.isnan(made[0, number])]:
            self._explain_parts(index, row, found, unmade)
        else:
            self.parsed.values[index] = made[0]
            if self._layout.label is not None:
                label = numbers.label(row[self._layout.label], self._layout.fraud)
                self._labels_fit = self._labels_fit and label is not None
                self._labels[index] = numbers.BLANK if label is None else label

    def _explain(self, index: int, row: Sequence[str], wrong: list[int]) -> None:
        if self._header_again(index, row):
            return
        whole = self._whole_row(row, len(wrong))
        if whole:
            self._bad_row(index, whole)
            return
        self.parsed.bad[index] = True
        self.parsed.problem_count += len(wrong)
        self.parsed.doubtful += sum(self._readers[at].doubtful(row[self._places[at]]) for at in wrong)
        for at in wrong[:KEPT_PER_ROW]:
            text = row[self._places[at]]
            self.parsed.problems.append(
                CellProblem(
                    self._readers[at].explain(text),
                    column=self._names[at],
                    row=self._row + index,
                    line=self._line,
                    value=numbers.excerpt(text),
                )
            )

    def _explain_parts(
        self, index: int, row: Sequence[str], read: Sequence[float], unmade: Sequence[int]
    ) -> None:
        """Say why some columns of a row make no value together, each of which can be read."""
        whole = self._whole_row(row, 0)
        if whole:
            self._bad_row(index, whole)
            return
        self.parsed.bad[index] = True
        self.parsed.problem_count += len(unmade)
        for number in unmade:
            name = self._layout.contract.columns[number]
            at = [place for place, source in enumerate(self._layout.sources) if source.column == number]
            problem, columns = self._made[name].fault([read[place] for place in at])
            shown = " and ".join(f"“{numbers.excerpt(row[self._places[place]].strip())}”" for place in at)
            found = CellProblem(
                problem, column=listed(columns), row=self._row + index, line=self._line, value=shown
            )
            self.parsed.problems.append(found)

    def _whole_row(self, row: Sequence[str], wrong: int) -> str | None:
        if all(not cell.strip() for cell in row):
            return "is empty: all its cells are blank"
        if has_total(row):
            return TOTAL
        if wrong == len(self._names) and all(missing(row[at]) for at in self._places):
            return NONE_NEEDED
        return None

    def _header_again(self, index: int, row: Sequence[str]) -> bool:
        """Note a row that is a header: that of the file, or another one, below which cells mean something else."""
        found = again(row, self._header)
        if found is RepeatedHeader.SAME:
            self._bad_row(index, found.value)
        elif found is not None:
            self.broken_at(index, found.value)
        return found is not None

    def _bad_row(self, index: int, problem: str) -> None:
        self.parsed.bad[index] = True
        self.parsed.problem_count += 1
        self.parsed.problems.append(CellProblem(problem, row=self._row + index, line=self._line))


def has_total(row: Sequence[str]) -> bool:
    """Return whether a cell of a row says that it sums up others."""
    return any(bare(cell).casefold().rstrip(": ") in TOTALS for cell in row)


def prepared(block: Block, layout: Layout) -> tuple[RecordEnds, Parsed | None]:
    """Return the ends of a block's records, and its numbers if the fast way takes it."""
    marks = block.marks(layout.delimiter)
    if block.overlong or b"\0" in block.data or marks.stray is not None:
        return marks, None
    return marks, fast(block, marks.ends, layout)


def sampled(data: bytes, stops: NDArray[np.int64], delimiter: str, count: int) -> Iterator[list[str]]:
    """Yield the cells of about ``count`` records, evenly spread over a block."""
    for index in np.unique(np.linspace(0, len(stops) - 1, count).astype(int)).tolist():
        start = int(stops[index - 1]) if index else 0
        try:
            yield cells(data[start : int(stops[index])].decode("utf-8", "replace").rstrip("\r\n"), delimiter)
        except csv.Error:
            continue


def _labels(column: Any, fraud: tuple[str, ...]) -> NDArray[np.int8] | None:
    parts = []
    for chunk in column.chunks:
        known = [numbers.label(text, fraud) for text in chunk.dictionary.to_pylist()]
        if any(value is None for value in known):
            return None
        parts.append(np.array(known, np.int8)[chunk.indices.to_numpy()])
    return np.concatenate(parts) if parts else np.zeros(0, np.int8)
