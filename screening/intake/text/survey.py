"""One look over a whole text table, before it is read: how its columns write their numbers and times."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from screening.errors import BadFile
from screening.intake.batch import ReadLimits
from screening.intake.forms import (
    Answers,
    clock_notes,
    currency_note,
    decimal_comma_note,
    number_form,
    time_form,
)
from screening.intake.numbers import NumberForm
from screening.intake.text.arrow_table import texts
from screening.intake.text.column_evidence import ColumnEvidence
from screening.intake.text.dialect import cells
from screening.intake.text.parse import Layout
from screening.intake.text.records import Block, blocks
from screening.intake.text.typed_cells import CellReader, Sign
from screening.transactions.composition import DIRECTIONS, Composition, ValuePart, direction_of, listed
from screening.transactions.schema import CellKind, Role


class Unsettled(Exception):
    """Cells of a file have more than one meaning by themselves: :func:`survey` tells which one."""


@dataclass(frozen=True, slots=True)
class Forms:
    """Forms of the columns that are read in one file, in the order of its sources, and the assumptions about them."""

    readers: tuple[CellReader, ...]
    notes: tuple[str, ...] = ()
    sign_told: bool = False
    """Whether the file itself says which amounts leave an account, by DR and CR or by another column."""


@dataclass(slots=True)
class Survey:
    """Evidence of how the columns of a table are written.

    It grows block by block, and that of two parts of a table can be put together: wherever a table is cut, its parts
    one after the other tell what the whole tells.
    """

    columns: list[ColumnEvidence]

    @classmethod
    def of(cls, layout: Layout) -> Self:
        """Return that of a table of which nothing has been seen."""
        return cls(
            [
                ColumnEvidence(source, layout.header[source.place].strip())
                for source in layout.sources
                if source.kind is not CellKind.ADDRESS
            ]
        )

    def look(self, block: Block, layout: Layout) -> None:
        """Note what the cells of a block tell about how they are written."""
        found = read_by_arrow(block, self.columns, layout)
        if found is None:
            found = read_by_hand(block, self.columns, layout)
        for place, column in enumerate(self.columns):
            column.add_all(found[place])
            part = column.source.part
            if part is not None and part in DIRECTIONS:  # it comes after its amount
                pairs = zip(listed_cells(found[place - 1]), listed_cells(found[place]), strict=True)
                for (text, word), count in Counter(pairs).items():
                    self.columns[place - 1].sign(text, direction_of(word, part), count)

    def merged(self, other: Self) -> Self:
        """Return that of a table of which the rows of this one come first and those of ``other`` behind them."""
        pairs = zip(self.columns, other.columns, strict=True)
        return type(self)([one.merged(another) for one, another in pairs])

    def forms(self, layout: Layout, answers: Answers, *, since_1904: bool = False) -> Forms:
        """Return the forms that the cells, or answers, have decided.

        Raises:
            Undecided: a column can be read in two ways.
            BadFile: a column contradicts itself, or a spreadsheet spoiled it.
        """
        return decided_forms(self.columns, layout, answers, since_1904=since_1904)


def survey(
    pieces: Iterator[bytes],
    layout: Layout,
    limits: ReadLimits,
    answers: Answers,
    waiting: Callable[[], None] = lambda: None,
    *,
    since_1904: bool = False,
) -> Forms:
    """Look at every cell that is needed and may mean several things.

    Args:
        pieces: what follows the header.
        layout: where the columns are.
        limits: the bounds of reading.
        answers: what whoever sent the file said of it.
        waiting: called once a block; it may raise to leave.
        since_1904: whether numbers of days are counted from 1904, as in some workbooks.

    Raises:
        Undecided: a column can be read in two ways.
        BadFile: a column contradicts itself, or a spreadsheet spoiled it.
    """
    seen = Survey.of(layout)
    for block in blocks(pieces, limits, layout.delimiter):
        waiting()
        if block.overlong or block.unclosed:
            # it is refused while it is read, with the row
            break
        seen.look(block, layout)
    return seen.forms(layout, answers, since_1904=since_1904)


def read_by_arrow(block: Block, columns: Sequence[ColumnEvidence], layout: Layout) -> list[Any] | None:
    """Return the cells of some columns as Arrow reads them, an array each; ``None`` where it can't."""
    places = [one.source.place for one in columns]
    found = texts(block, layout.delimiter, len(layout.header), places)
    return None if found is None else [found[place].combine_chunks() for place in places]


def listed_cells(column: Any) -> list[str]:
    """Return the cells of a column that was read either way as texts."""
    return column if isinstance(column, list) else column.to_pylist()


def read_by_hand(block: Block, columns: Sequence[ColumnEvidence], layout: Layout) -> list[Any]:
    """Record by record, where some are damaged: those are told of while the file is read."""
    found: list[list[str]] = [[] for _ in columns]
    start = 0
    for stop in block.ends().tolist():
        record, start = block.data[start:stop], stop
        try:
            row = cells(record.decode("utf-8", "replace").rstrip("\r\n"), layout.delimiter)
        except csv.Error:
            continue
        if len(row) == len(layout.header):
            for kept, one in zip(found, columns, strict=True):
                kept.append(row[one.source.place])
    return list(found)


def decided_forms(seen: list[ColumnEvidence], layout: Layout, answers: Answers, *, since_1904: bool) -> Forms:
    """Return the forms that the cells, or answers, have decided. Raises :class:`Undecided` for what is open."""
    readers, notes, forms = [], [], {}
    by_source = {one.source: one for one in seen}
    for source in layout.sources:
        one = by_source.get(source)
        reader, told = CellReader.of(source), list[str]()
        if one is not None and source.kind is CellKind.NUMBER:
            forms[one.name], told = _number(one, seen, answers)
            reader = replace(reader, numbers=forms[one.name], sign=one.meaning)
        elif one is not None and source.kind is CellKind.TIME:
            time, told = time_form(one.name, one.times, answers, since_1904=since_1904)
            reader = replace(reader, times=time)
        elif one is not None:
            check_digits(one)
            told = clock_notes(one.name, one.times)
        readers.append(reader)
        notes += told
    evidence = {one.name: one.numbers for one in seen if one.name in forms}
    for number in dict.fromkeys(source.column for source in layout.sources):
        parts = [one for one in seen if one.source.column == number and one.numbers.currencies]
        notes += currency_note({one.name: one.numbers for one in parts})
    made = [note_composed(name, composition, seen, answers) for name, composition in layout.contract.composed]
    sign_told = any(
        one.source.role is Role.AMOUNT and (one.source.part is not None or bool(one.numbers.books))
        for one in seen
    )
    return Forms(tuple(readers), (*made, *notes, *decimal_comma_note(evidence, forms)), sign_told)


def _number(
    one: ColumnEvidence, seen: list[ColumnEvidence], answers: Answers
) -> tuple[NumberForm, list[str]]:
    others = [each.numbers for each in seen if each.source.kind is CellKind.NUMBER and each is not one]
    # its sign is told by another column
    if one.source.part is not None:
        answers = replace(answers, sign=None)
    evidence, pair = one.numbers, (ValuePart.DEBIT, ValuePart.CREDIT)
    for each in seen:
        # one value in two columns
        if one.source.part in pair and each.source.part in pair and each is not one:
            evidence = evidence.beside(each.numbers)
    return number_form(one.name, evidence, others, answers, amount=one.source.role is Role.AMOUNT)


def check_digits(one: ColumnEvidence) -> None:
    """Refuse digits that have lost some of their like.

    Raises:
        BadFile: ids became the same, or times of day can mean several times.
    """
    if one.shortened is not None:
        raise BadFile(
            f"The numbers in {one.name} were shortened by a spreadsheet (“{one.shortened}”): different ones have "
            "become the same.",
            where=f"column {one.name}",
            remedy="Export the file again from where it came from, or have the column as text before it is saved.",
        )
    if len(one.digits) > 1:
        first, second = list(one.digits.values())[:2]
        raise BadFile(
            f"The times of day in {one.name} are digits of different lengths (“{first}” and “{second}”): zeros were "
            "lost, and hours can't be told from minutes.",
            where=f"column {one.name}",
            remedy="Write them as 23:59 or 23:59:00.",
        )


def note_composed(name: str, made: Composition, seen: list[ColumnEvidence], answers: Answers) -> str:
    """Return the note on a value that was made of several columns.

    Raises:
        BadFile: the sign was said to be another than the columns tell.
    """
    if not made.is_amount:
        return f"{name} was made of {made.words}."
    if answers.sign == "turn":
        raise BadFile(
            f"Which way the money goes is told by {made.words}: the sign can't be turned, too.",
            where=f"column {name}",
            remedy="Leave the sign as it is, or choose one column for the amount.",
        )
    first, second = made.columns
    blank = DIRECTIONS.get(made.kinds[1])
    words = next((one for one in seen if one.source.part in DIRECTIONS and one.name == second.strip()), None)
    if blank is not None and words is not None and words.blanks and words.ways == {blank}:
        way = "leaves" if blank > 0 else "comes in"
        raise BadFile(
            f"The words in {second} say that money {way}, and a blank was said to mean the same: then all of it {way}.",
            where=f"column {second}",
            remedy="Say again what a blank means, or take the amount alone.",
        )
    dropped = {one.name for one in seen if one.source.part in made.kinds and one.meaning is Sign.DROPPED}
    minus = f" The minus in {listed(sorted(dropped))} says the same, and was passed over." if dropped else ""
    if ValuePart.DEBIT in made.kinds:
        return f"{name} was made of {first} (positive: money that leaves) and {second} (negative).{minus}"
    debit, credit = ("debit or nothing", "credit") if blank == 1 else ("debit", "credit")
    credit = "credit or nothing" if blank == -1 else credit
    return f"{name} was made of {first}, positive where {second} says {debit}, negative where it says {credit}.{minus}"
