"""One look over a whole text table, before it is read: how its columns write their numbers and times."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from screening.errors import BadFile
from screening.intake.batch import Limits
from screening.intake.forms import (
    Answers,
    NumberEvidence,
    TimeEvidence,
    decimal_comma_note,
    number_form,
    time_form,
)
from screening.intake.text.dialect import cells
from screening.intake.text.parse import Layout
from screening.intake.text.records import Block, blocks
from screening.intake.text.text_columns import text_columns
from screening.intake.text.typed_cells import CellReader
from screening.transactions import times
from screening.transactions.schema import CellKind, Column, Role


class Unsettled(Exception):
    """Cells of a file have more than one meaning by themselves: :func:`survey` tells which one."""


@dataclass(frozen=True, slots=True)
class Forms:
    """How the columns of a contract are read in one file, in the contract's order, and what was assumed."""

    readers: tuple[CellReader, ...]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Seen:
    """What the cells of one column look like."""

    column: Column
    place: int
    name: str
    numbers: NumberEvidence = field(default_factory=NumberEvidence)
    times: TimeEvidence = field(default_factory=TimeEvidence)
    shortened: str | None = None

    def add(self, text: str, count: int) -> None:
        if self.column.kind is CellKind.NUMBER:
            self.numbers.add(text, count)
        elif self.column.kind is CellKind.TIME:
            self.times.add(text, count)
        elif self.shortened is None and times.SHORTENED.fullmatch(text.strip()):
            self.shortened = text.strip()

    @property
    def settled(self) -> bool:
        """Whether no more cells are needed: what contradicts a decimal mark that is certain is found while reading."""
        return self.column.kind is CellKind.NUMBER and bool(self.numbers.commas or self.numbers.points)


def survey(
    pieces: Iterator[bytes],
    layout: Layout,
    limits: Limits,
    answers: Answers,
    waiting: Callable[[], None] = lambda: None,
) -> Forms:
    """Look at every cell that is needed and may mean several things.

    Args:
        pieces: what follows the header.
        layout: where the columns are.
        limits: the bounds of reading.
        answers: what whoever sent the file said of it.
        waiting: called once a block; it may raise to leave.

    Raises:
        Undecided: a column can be read in two ways.
        BadFile: a column contradicts itself, or a spreadsheet spoiled it.
    """
    seen = [
        _Seen(column, place, layout.header[place].strip())
        for column, place in zip(layout.contract.parts(), layout.positions, strict=True)
        if column.kind is not CellKind.ADDRESS
    ]
    for block in blocks(pieces, limits, layout.delimiter):
        waiting()
        open_columns = [one for one in seen if not one.settled]
        if not open_columns:
            break
        if block.overlong or block.unclosed:
            break  # it is refused while it is read, with the row
        _look(block, open_columns, layout)
    return _decided(seen, layout, answers)


def _look(block: Block, columns: list[_Seen], layout: Layout) -> None:
    counted = _by_arrow(block, columns, layout)
    if counted is None:
        counted = _by_hand(block, columns, layout)
    for column, texts in zip(columns, counted, strict=True):
        for text, count in texts.items():
            column.add(text, count)


def _by_arrow(block: Block, columns: list[_Seen], layout: Layout) -> list[Counter[str]] | None:
    places = [one.place for one in columns]
    found = text_columns(block, layout.delimiter, len(layout.header), places)
    return None if found is None else [Counter(found[place].to_pylist()) for place in places]


def _by_hand(block: Block, columns: list[_Seen], layout: Layout) -> list[Counter[str]]:
    """Record by record, where some are damaged: those are told of while the file is read."""
    found: list[Counter[str]] = [Counter() for _ in columns]
    start = 0
    for stop in block.ends().tolist():
        record, start = block.data[start:stop], stop
        try:
            row = cells(record.decode("utf-8", "replace").rstrip("\r\n"), layout.delimiter)
        except csv.Error:
            continue
        if len(row) == len(layout.header):
            for counter, one in zip(found, columns, strict=True):
                counter[row[one.place]] += 1
    return found


def _decided(seen: list[_Seen], layout: Layout, answers: Answers) -> Forms:
    readers, notes = [], []
    forms = {}
    by_name = {one.column.name: one for one in seen}
    of_numbers = [one.numbers for one in seen if one.column.kind is CellKind.NUMBER]
    for column in layout.contract.parts():
        reader = CellReader.of(column)
        one = by_name.get(column.name)
        if one is not None and column.kind is CellKind.NUMBER:
            others = [each for each in of_numbers if each is not one.numbers]
            amount = column.role is Role.AMOUNT
            form, told = number_form(one.name, one.numbers, others, answers, amount=amount)
            forms[one.name] = form
            reader = CellReader.of(column, numbers=form)
            notes += told
        elif one is not None and column.kind is CellKind.TIME:
            time, told = time_form(one.name, one.times, answers)
            reader = CellReader.of(column, times=time)
            notes += told
        elif one is not None and one.shortened is not None:
            raise BadFile(
                f"The numbers in {one.name} were shortened by a spreadsheet (“{one.shortened}”): different ones have "
                "become the same.",
                where=f"column {one.name}",
                remedy="Export the file again from where it came from, or have the column as text before it is saved.",
            )
        readers.append(reader)
    evidence = {one.name: one.numbers for one in seen if one.name in forms}
    return Forms(tuple(readers), (*notes, *decimal_comma_note(evidence, forms)))
