"""Settle what the columns of a folder are and how they are written, by all of its rows, before any is scored."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow

from screening.batch.cells import REPLACED
from screening.batch.folders import InputFolder
from screening.batch.observing import Observations, Observe, observe
from screening.cards.evidence import KEY_BYTES, CardColumns
from screening.cards.masking import masked
from screening.errors import BadFile, CardNumbersFound
from screening.intake import (
    NOTHING_SAID,
    Answers,
    FileKind,
    Forms,
    ReadLimits,
    TableHead,
    look_over,
)
from screening.intake.conversion.arrow_csv import as_written, write_options, written_schema
from screening.intake.text.csv_file import check_doubtful, open_table
from screening.intake.text.parse import Layout
from screening.intake.text.rows import layout_of, without_label
from screening.transactions.composition import listed
from screening.transactions.schema import ColumnContract

SAMPLE_ROWS = 50_000
"""First rows of a folder: they tell which columns are meant, and give the form in which the pass over all rows tries to
read them."""
NO_CARD_NUMBERS = ("boolean", "tinyint", "smallint", "int", "date", "timestamp", "timestamp_ntz")
"""Spark's types of columns in which no card number has room."""


@dataclass(frozen=True, slots=True)
class SettledForms:
    """The way in which a folder is read, the assumptions about it, and what its rows tell as a whole.

    Args:
        layout: the columns; without the label where it can't be used in all rows.
        forms: how they are written.
        told: what the rows tell.
        seen: notes on what was seen in the rows.
    """

    layout: Layout
    forms: Forms
    told: Observations
    seen: tuple[str, ...] = ()

    def of_past(self, earlier: InputFolder) -> Layout:
        """Return the layout of a folder of earlier rows: the same columns in the same forms, and a label of its own.

        Raises:
            BadFile: it hasn't the columns, or not in all files.
        """
        try:
            layout = layout_of(self.layout.contract, earlier.names, self.forms)
        except BadFile as problem:
            problem.where = earlier.standing.path
            raise
        earlier.require(layout)
        return layout

    @property
    def notes(self) -> tuple[str, ...]:
        """Assumptions about how the columns are written, and notes on times and labels."""
        hours = [note for each in self.told.hours.values() for note in each.notes]
        return (*self.forms.notes, *hours, *self.seen)


def settle(
    folder: InputFolder,
    choose: Callable[[], Callable[[TableHead], ColumnContract]],
    answers: Answers = NOTHING_SAID,
) -> SettledForms:
    """Return how the rows of a folder are read, by what all of them say: as those of one file with them would be.

    Args:
        folder: the rows.
        choose: gives what picks the contract by a header.
        answers: what was said of columns that can be read in two ways.

    Raises:
        BadFile: it can't be screened, or a column can be read in two ways and nothing was said of it.
    """
    sample = folder.sample(SAMPLE_ROWS)
    if not sample.num_rows:
        ragged = "" if folder.cut is None else ", or none with as many cells as the header"
        raise BadFile(
            f"The folder holds no rows{ragged}.",
            remedy="Give a folder of Parquet or CSV files with transactions.",
        )
    names = sample.schema.names
    with tempfile.TemporaryDirectory(prefix="batch-") as scratch:
        file = Path(scratch) / "sample.csv"
        _write(sample, file)
        with file.open("rb") as stream:
            contract = open_table(
                iter([stream.read()]), choose(), ReadLimits(), copied=False, delimiter=","
            ).layout.contract

        def layout(forms: Forms | None) -> Layout:
            return layout_of(contract, names, forms, watched=True)

        try:
            tried = look_over(file, FileKind.CSV, lambda _head: contract, answers=answers)
        except BadFile:
            # what the first rows leave open, or contradict, others may settle
            tried = None
        needed = layout(None)
        folder.require(needed)
        # ragged rows of CSV aren't among them
        everything = sample.num_rows < SAMPLE_ROWS and folder.cut is None
        ask = Observe(
            layout(tried),
            surveys=True,
            reads=tried is not None,
            others=tuple(name for name in may_hold_cards(folder) if name not in needed.header),
            key=secrets.token_bytes(KEY_BYTES),
            ragged=folder.ragged,
        )
        evidence = ask.look(sample.to_batches()) if everything else observe(folder, ask)
        assert evidence.survey is not None
        forms = evidence.survey.forms(ask.layout, answers)
        if tried is None or forms.readers != tried.readers:
            # the rows as a whole are read otherwise than the first of them
            again = replace(ask, layout=layout(forms), surveys=False, reads=True)
            evidence = again.look(sample.to_batches()) if everything else observe(folder, again)
        told, cards = evidence.told, evidence.cards
        assert told is not None
        assert cards is not None
        if told.unread:
            # what follows the line break is a row that can't be read
            folder.check_last_cells()
        check_cards(cards, ask.names, folder)
        check_doubtful(told.doubtful, told.rows, list(told.problems), None)
        for hours in told.hours.values():
            hours.check()
    settled, seen = layout_of(contract, names, forms), list(cards.notes)
    if unread := sorted(evidence.replaced.difference(settled.header)):
        seen.append(
            f"Bytes in {masked(listed(unread))} aren't UTF-8, and are {REPLACED} in the output: export the files as "
            "CSV UTF-8."
        )
    if settled.label is not None and not told.labelled:
        seen.append(unusable_label(settled))
        settled = without_label(settled)
    return SettledForms(settled, forms, told, tuple(seen))


def unusable_label(layout: Layout) -> str:
    """Return the note on a label that has other values, too."""
    name = layout.header[layout.label or 0].strip()
    return f"Column {name} holds something else than 0, 1 and blanks: no label counts."


def may_hold_cards(folder: InputFolder) -> list[str]:
    """Return the columns of a folder that are looked through for card numbers."""
    return [
        name
        for name in folder.names
        if folder.table.schema[name].dataType.simpleString() not in NO_CARD_NUMBERS
    ]


def check_cards(cards: CardColumns, looked: Sequence[str], folder: InputFolder) -> None:
    """Refuse card numbers in a column, by the rule by which a file's are.

    Args:
        cards: what all rows tell.
        looked: the columns that were looked at, in the order of ``cards``; behind them are cells beyond the header.
        folder: whose rows they are.

    Raises:
        CardNumbersFound: there are some. No digit is shown.
    """
    held = sorted(
        (folder.names.index(looked[at]) if at < len(looked) else len(folder.names), at)
        for at in cards.found()
    )
    if held:
        found = CardNumbersFound.of([cards.name(at) for _, at in held], [place for place, _ in held])
        found.remedy = (
            "Remove the column from the files, or replace each number in them by a token, the same one for the same "
            "card."
        )
        raise found


def _write(sample: Any, file: Path) -> None:
    schema = written_schema(sample.schema)
    batches = [as_written(batch, schema) for batch in sample.to_batches()]
    arrow.write_csv(pa.Table.from_batches(batches, schema), file, write_options(header=True))
