"""A labelled file that has its time or its amount in several columns is learned from as if it had one."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from model.data.labelled_table import LabelledTable, read_table
from model.data.order import TrainingOrder
from screening.columns.arrangement import arrange
from screening.errors import BadFile
from screening.intake import FileKind
from screening.training.column_choices import ColumnChoice, consequences, guessed, overruled
from screening.training.composed_choices import made_of, put_together, taken_apart
from screening.transactions.composition import Composition
from screening.transactions.schema import ColumnContract, Role

START = datetime(2025, 1, 1, 7, 30, 44)  # noqa: DTZ001
ROWS = 120


def labelled(tmp_path: Path, names: str, *formats: str) -> Path:
    rows = []
    for row in range(ROWS):
        day = START + row * timedelta(hours=5, minutes=7)
        amount, fraud = 10 + row % 17 + 0.25, int(row % 12 == 0)
        pair = f",{amount}" if row % 5 == 0 else f"{amount},"
        when = ",".join(f"{day:{each}}" for each in formats)
        rows.append(f"{when},C{row % 7},{pair},{fraud}")
    file = tmp_path / "labelled.csv"
    file.write_text("\n".join([f"{names},customer_id,Debit,Credit,fraud", *rows, ""]))
    return file


def table(file: Path, choices: list[ColumnChoice]) -> LabelledTable:
    columns = tuple(choice.column for choice in choices)
    kept = [ColumnChoice.from_dict(choice.as_dict()).column for choice in choices]
    assert tuple(kept) == columns
    return read_table(
        TrainingOrder(file=file, out=file, name="x", filename="labelled.csv", label="fraud", columns=columns)
    )


@pytest.mark.parametrize(
    ("names", "formats"),
    [
        ("Date,Time", ("%Y-%m-%d", "%H:%M:%S")),
        ("Year,Month,Day,Hour,Minute,Second", ("%Y", "%m", "%d", "%H", "%M", "%S")),
        ("Datum,Uhrzeit", ("%d.%m.%Y", "%H:%M:%S")),
    ],
)
def test_parts_are_learned_from_as_one(tmp_path: Path, names: str, formats: tuple[str, ...]) -> None:
    file = labelled(tmp_path, names, *formats)
    choices = guessed(file, FileKind.CSV, "fraud")
    made = {choice.column.role: choice.column for choice in choices if choice.column.made is not None}
    assert made[Role.TIME].name == names.replace(",", " & ")
    assert made[Role.AMOUNT].name == "Debit & Credit"
    assert all(
        choice.column.role is Role.IGNORE for choice in choices if choice.column.name in names.split(",")
    )
    said = [words for words in consequences(choices) if "are read together as the" not in words]
    assert not any("Debit" in words or names.split(",", maxsplit=1)[0] in words for words in said)
    assert any(words.startswith("Debit and Credit are read together") for words in consequences(choices))
    found = table(file, choices)
    time, amount = (found.contract.columns.index(made[role].name) for role in (Role.TIME, Role.AMOUNT))
    assert found.values[0, time] == (START - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001
    assert np.diff(found.values[:, time]).tolist() == [5 * 3600 + 7 * 60] * (ROWS - 1)
    assert found.values[:2, amount].tolist() == [-10.25, 11.25]


def test_a_column_that_is_left_apart_at_the_training_is_left_apart_when_files_are_screened(
    tmp_path: Path,
) -> None:
    file = labelled(tmp_path, "Date,Time", "%Y-%m-%d", "%H:%M:%S")
    choices = guessed(file, FileKind.CSV, "fraud")
    alone = overruled(choices, {"Date": Role.TIME, "Debit & Credit": Role.IGNORE, "Debit": Role.AMOUNT})
    contract = ColumnContract.of([choice.column for choice in alone])
    assert contract.composed == ()
    header, *rows = [line.split(",") for line in file.read_text().splitlines()]
    assert arrange(contract, header, lambda: rows).made == ()
    assert arrange(contract, header, lambda: rows).open == ()
    assert ColumnContract.from_dict(contract.as_dict()) == contract


def test_what_is_said_to_be_made_of_columns_is(tmp_path: Path) -> None:
    file = labelled(tmp_path, "a,b", "%Y-%m-%d", "%H:%M:%S")
    choices = put_together(
        guessed(file, FileKind.CSV, "fraud"), {"time": Composition.of({"date": "A", "time": "b"})}
    )
    (time,) = [choice.column for choice in choices if choice.column.role is Role.TIME]
    assert time.name == "a & b"
    assert table(file, choices).values[0, 0] is not None
    with pytest.raises(BadFile, match="no column"):
        put_together(choices, {"time": Composition.of({"date": "nowhere", "time": "b"})})


def test_what_is_put_together_anew_frees_the_parts_of_before(tmp_path: Path) -> None:
    file = labelled(tmp_path, "Date,Time", "%Y-%m-%d", "%H:%M:%S")
    before = guessed(file, FileKind.CSV, "fraud")
    turned = Composition.of({"debit": "Credit", "credit": "Debit"})
    after = put_together(before, {"amount": turned})
    assert made_of(after, Role.AMOUNT) == turned
    assert made_of(after, Role.TIME) == made_of(before, Role.TIME)
    assert len(after) == len(before)
    assert table(file, after).values[1, -1] == -table(file, before).values[1, -1]


def test_what_is_taken_apart_is_ignored_until_it_is_said_to_be_something(tmp_path: Path) -> None:
    file = labelled(tmp_path, "Date,Time", "%Y-%m-%d", "%H:%M:%S")
    apart = taken_apart(guessed(file, FileKind.CSV, "fraud"), Role.AMOUNT)
    assert made_of(apart, Role.AMOUNT) is None
    assert "No column is the amount: amounts caught and missed can't be told." in consequences(apart)
    (left,) = [words for words in consequences(apart) if words.startswith("Not learned from")]
    assert "Debit (is no part any more: say what it is)" in left
    again = put_together(apart, {"amount": Composition.of({"debit": "Debit", "credit": "Credit"})})
    assert [choice.column.name for choice in again].count("Debit & Credit") == 1
