"""Settle what the columns of a folder are and how they are written, by all of its rows, before any is scored."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow

from screening.batch.folders import InputFolder
from screening.batch.observing import Observations, Observe, observe
from screening.errors import BadFile, CardNumbersFound
from screening.intake import (
    NOTHING_SAID,
    Answers,
    FileKind,
    Forms,
    ReadLimits,
    TableHead,
    look_over,
    open_transactions,
)
from screening.intake.conversion.arrow_csv import as_written, write_options, written_schema
from screening.intake.text.csv_file import check_doubtful, open_table
from screening.intake.text.parse import Layout
from screening.intake.text.rows import layout_of
from screening.transactions.schema import ColumnContract

SAMPLE_ROWS = 50_000
"""First rows of a folder: they tell which columns are meant, are looked through for card numbers, and give the form in
which the pass over all rows tries to read them."""


@dataclass(frozen=True, slots=True)
class SettledForms:
    """The way in which a folder is read, the assumptions about it, and what its rows tell as a whole."""

    layout: Layout
    forms: Forms
    told: Observations

    @property
    def notes(self) -> tuple[str, ...]:
        """Assumptions about how the columns are written, and notes on times."""
        hours = [note for each in self.told.hours.values() for note in each.notes]
        return (*self.forms.notes, *hours)


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
        raise BadFile(
            "The folder holds no rows.", remedy="Give a folder of Parquet or CSV files with transactions."
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
        everything = sample.num_rows < SAMPLE_ROWS
        ask = Observe(layout(tried), surveys=True, reads=tried is not None)
        evidence = ask.look(sample.to_batches()) if everything else observe(folder, ask)
        assert evidence.survey is not None
        forms = evidence.survey.forms(ask.layout, answers)
        told = evidence.told
        if tried is None or told is None or forms.readers != tried.readers:
            # the rows as a whole are read otherwise than the first of them
            again = Observe(layout(forms), surveys=False, reads=True)
            told = (again.look(sample.to_batches()) if everything else observe(folder, again)).told
        assert told is not None
        check_doubtful(told.doubtful, told.rows, list(told.problems), None)
        for hours in told.hours.values():
            hours.check()
        check_cards(file, contract, forms, answers)
    return SettledForms(layout_of(contract, names, forms), forms, told)


def check_cards(file: Path, contract: ColumnContract, forms: Forms, answers: Answers) -> None:
    """Refuse card numbers in a column.

    Raises:
        CardNumbersFound: there are some.
    """
    batches = open_transactions(
        file,
        FileKind.CSV,
        lambda _head: contract,
        set_aside=True,
        all_bad=True,
        canonical=file.with_name("canonical.csv"),
        forms=forms,
        answers=answers,
    )
    try:
        for _ in batches:
            pass
    except CardNumbersFound:
        raise
    except BadFile:
        # what else may be wrong with a part of the rows was looked for in all of them
        return


def _write(sample: Any, file: Path) -> None:
    schema = written_schema(sample.schema)
    batches = [as_written(batch, schema) for batch in sample.to_batches()]
    arrow.write_csv(pa.Table.from_batches(batches, schema), file, write_options(header=True))
