"""Labelled files as people have them: read, and given their true roles, or a clear question."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from model.data.data_quality import examine
from model.data.labelled_table import LabelledTable, read_table
from model.data.order import TrainingOrder
from screening.columns.role_inference import guess_roles
from screening.errors import BadFile, Undecided
from screening.intake import FileKind
from screening.intake.batch import FIRST_ROWS
from screening.intake.preview import sample
from screening.training.column_choices import ColumnChoice, consequences, guessed, with_counts
from screening.transactions.schema import CellKind, Role
from tests.screening.columns.labelled_files import past
from tests.screening.uploads.test_forms import AMOUNTS, DAY_FORMS, TIMES


def written(folder: Path, frame: pd.DataFrame) -> Path:
    file = folder / "past.csv"
    frame.to_csv(file, index=False)
    return file


def table_of(file: Path, **more: Any) -> LabelledTable:
    order = TrainingOrder(
        file=file, out=file.with_name("out"), name="made", filename=file.name, label="fraud", **more
    )
    return read_table(order)


def column(table: LabelledTable, name: str) -> np.ndarray:
    return table.values[:, table.contract.columns.index(name)]  # noqa: PD011 -- no data frame


def few() -> pd.DataFrame:
    """Every second payment: as many days, and some rows still lie behind those that are looked at first."""
    frame: pd.DataFrame = past().iloc[::2].reset_index(drop=True)
    assert len(frame) > FIRST_ROWS
    return frame


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> LabelledTable:
    """The payments as they are written plainly."""
    return table_of(written(tmp_path_factory.mktemp("plain"), few()))


@pytest.mark.parametrize("form", [*TIMES, *DAY_FORMS])
def test_the_time_is_found_and_is_the_same_however_it_is_written(
    tmp_path: Path, plain: LabelledTable, form: str
) -> None:
    frame = few()
    write: Callable[[datetime], str] = {**TIMES, **DAY_FORMS}[form]
    zoned = frame["tx_time"].dt.tz_localize("UTC")
    read = table_of(written(tmp_path, frame.assign(tx_time=[write(day) for day in zoned])))
    assert read.contract.time == "tx_time"
    assert read.set_aside == 0
    expected = column(plain, "tx_time")
    if form in DAY_FORMS:
        expected = np.floor(expected / 86_400) * 86_400
    np.testing.assert_allclose(column(read, "tx_time"), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("form", AMOUNTS)
def test_the_amount_is_found_and_is_the_same_however_it_is_written(
    tmp_path: Path, plain: LabelledTable, form: str
) -> None:
    frame = few()
    read = table_of(
        written(tmp_path, frame.assign(amount=[AMOUNTS[form](value) for value in frame["amount"]]))
    )
    assert read.contract.amount == "amount"
    assert read.set_aside == 0
    np.testing.assert_allclose(column(read, "amount"), column(plain, "amount"), rtol=1e-5)


def test_what_is_blank_only_far_down_leaves_no_fraud_out(tmp_path: Path) -> None:
    frame = past(7000)
    frame["x"] = np.where((frame.index > 6000) & (frame["fraud"] == 1), np.nan, 1.5 + frame.index % 7)
    file = written(tmp_path, frame)
    read = table_of(file)
    assert read.set_aside == 0
    assert (read.label == 1).sum() == frame["fraud"].sum()
    assert np.isnan(column(read, "x")).sum() == frame["x"].isna().sum() > 40
    (choice,) = [one for one in guessed(file, FileKind.CSV, "fraud") if one.column.name == "x"]
    assert choice.column.optional
    assert "blank" in choice.reason


def test_a_column_that_differs_only_far_down_is_learned_from(tmp_path: Path) -> None:
    frame = past(9000)
    frame["country"] = np.where(
        frame.index < 5200, "DE", frame.index.map(lambda at: ("FR", "IT", "ES")[at % 3])
    )
    assert "country" in table_of(written(tmp_path, frame)).contract.columns


def test_a_sample_is_spread_over_the_whole_file_and_counts_all_blanks(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(
        "a,b\n" + "".join(f"{number},{'' if number % 10 == 3 else number}\n" for number in range(40_000))
    )
    found = sample(file, FileKind.CSV, 500)
    numbers = [int(row[0]) for row in found.rows]
    assert 500 <= len(numbers) <= 1000
    assert set(np.diff(numbers)) == {numbers[1] - numbers[0]}
    assert numbers[0] == 0
    assert numbers[-1] > 39_900
    assert (found.total, found.blanks) == (40_000, [0, 4000])


@pytest.mark.parametrize(
    ("fraud", "legitimate", "value"),
    [
        ("abnormal", "normal", "abnormal"),
        ("Charged Off", "Fully Paid", "charged off"),
        ("SCAM", "ok", " scam "),
        ("Suspicious", "Genuine", "Suspicious"),
        ("-1", "1", "-1"),
        ("2", "1", "2.0"),
        ("3", "0", "3"),
    ],
)
def test_a_label_says_fraud_by_the_value_that_is_named(
    tmp_path: Path, fraud: str, legitimate: str, value: str
) -> None:
    frame = past()
    expected = frame["fraud"].to_numpy()
    file = written(tmp_path, frame.assign(fraud=np.where(expected == 1, fraud, legitimate)))
    with pytest.raises(BadFile, match=r"It says: .*\(1,140\), .*\(60\)") as asked:
        guessed(file, FileKind.CSV, "fraud")
    assert "--fraud-value" in str(asked.value.remedy)
    assert guessed(file, FileKind.CSV, "fraud", fraud_values=[value])[-1].column.role is Role.LABEL
    np.testing.assert_array_equal(table_of(file, fraud_values=(value,)).label, expected)


def test_several_values_may_mean_fraud_and_one_that_never_stands_there_is_told(tmp_path: Path) -> None:
    frame = past()
    kinds = np.where(frame["fraud"] == 1, np.where(frame.index % 40 == 7, "stolen", "phished"), "none")
    file = written(tmp_path, frame.assign(fraud=kinds))
    read = table_of(file, fraud_values=("stolen", "phished"))
    assert (read.label == 1).sum() == 60
    with pytest.raises(BadFile, match="No row of fraud says fraude"):
        guessed(file, FileKind.CSV, "fraud", fraud_values=["fraude"])


def test_blanks_are_unknown_whatever_value_means_fraud(tmp_path: Path) -> None:
    frame = past().astype({"fraud": object})
    frame["fraud"] = [{0: "no", 1: "bad one"}[value] for value in frame["fraud"]]
    frame.loc[::3, "fraud"] = None
    assert set(table_of(written(tmp_path, frame), fraud_values=("bad one",)).label.tolist()) == {-1, 0, 1}


def test_codes_of_letters_and_digits_are_no_numbers_and_no_dates() -> None:
    codes = {
        "terminal": [f"TER{number:03d}" for number in range(300)],
        "branch": [f"{number % 40}C" for number in range(300)],
        "serial": [f"{70_000_000 + 7919 * number}" for number in range(300)],
    }
    rows = list(zip(*codes.values(), strict=True))
    kinds = {guess.column.name: guess.column.kind for guess in guess_roles(list(codes), rows)}
    assert kinds["terminal"] is CellKind.TEXT
    assert kinds["branch"] is CellKind.TEXT
    assert kinds["serial"] is not CellKind.TIME


@pytest.mark.parametrize(("unit", "seconds"), [("hours", 3600.0), ("minutes", 60.0), ("days", 86_400.0)])
def test_a_time_that_counts_becomes_seconds_once_it_was_said_what_it_counts(
    tmp_path: Path, unit: str, seconds: float
) -> None:
    frame = past()
    steps = np.sort(np.random.default_rng(5).integers(1, 743, len(frame)))
    choices = guessed(written(tmp_path, frame.assign(tx_time=steps)), FileKind.CSV, "fraud")
    assert any("Say what it counts first" in words for words in consequences(choices))
    with pytest.raises(Undecided):
        with_counts(choices, None)
    settled = with_counts(choices, unit)
    assert any(f"{unit} since a start" in words for words in consequences(settled))
    columns = tuple(ColumnChoice.from_dict(one.as_dict()).column for one in settled)
    table = table_of(tmp_path / "past.csv", columns=columns)
    np.testing.assert_array_equal(column(table, "tx_time"), steps * seconds)
    with pytest.raises(Undecided, match="counts from some start"):
        table_of(tmp_path / "past.csv")


def test_types_of_fraud_are_one_fraud_to_the_detector_and_told_apart_in_the_table(tmp_path: Path) -> None:
    frame = past()
    kinds = np.where(frame["fraud"] == 1, np.where(frame.index % 60 == 7, "stolen", "phished"), "none")
    file = written(tmp_path, frame.assign(fraud=kinds))
    read = table_of(file)
    assert read.types == ("phished", "stolen")
    np.testing.assert_array_equal(read.label, frame["fraud"])
    assert np.bincount(read.kind).tolist() == [1140, 40, 20]
    assert read.rows(read.label == 1).kind.min() == 1
    said = " ".join(consequences(guessed(file, FileKind.CSV, "fraud")))
    assert "2 types of fraud: phished (40), stolen (20)" in said
    assert "“none” in the label was taken for legitimate" in said


def test_a_type_of_fraud_that_stands_far_down_alone_is_known(tmp_path: Path) -> None:
    frame = past(12_000)
    kinds = np.where(frame["fraud"] == 1, np.where(frame.index % 40 == 7, "a", "b"), "none").astype(object)
    kinds[11_003] = "c"
    (label,) = [
        one
        for one in guessed(written(tmp_path, frame.assign(fraud=kinds)), FileKind.CSV, "fraud")
        if one.labelled
    ]
    assert label.labelled is not None
    assert [name for name, _ in label.labelled.types] == ["a", "b", "c"]


def test_rows_that_are_left_out_are_counted_with_their_frauds_and_why(tmp_path: Path) -> None:
    frame = past().astype({"amount": object})
    frame.loc[[7, 27, 30], "amount"] = "see note"
    columns = tuple(choice.column for choice in guessed(written(tmp_path, past()), FileKind.CSV, "fraud"))
    read = table_of(written(tmp_path, frame), columns=columns)
    assert (read.set_aside, read.set_aside_frauds) == (3, 2)
    report = examine(
        read.contract,
        read.values,
        read.label,
        set_aside=read.set_aside,
        set_aside_frauds=read.set_aside_frauds,
        problems=read.problems,
    ).report
    assert (
        report["findings"][0]["words"] == "3 rows, 2 of them fraud, can't be read (amount is not a number)."
    )
    assert (report["frauds"], report["frauds_learned_from"]) == (60, 58)


def test_dates_of_birth_are_read_and_a_transaction_before_1970_is_not(tmp_path: Path) -> None:
    frame = past()
    births = [f"{1930 + at % 75}-03-{1 + at % 28:02d}" for at in range(len(frame))]
    read = table_of(written(tmp_path, frame.assign(dob=births)))
    expected = (pd.to_datetime(pd.Series(births)) - pd.Timestamp(1970, 1, 1)).dt.total_seconds()
    np.testing.assert_array_equal(column(read, "dob"), expected)
    assert examine(read.contract, read.values, read.label).keep.all(), "no birth is an impossible time"
    early = frame.astype({"tx_time": object})
    early.loc[3, "tx_time"] = "1950-01-01 10:00:00"
    columns = tuple(choice.column for choice in guessed(written(tmp_path, frame), FileKind.CSV, "fraud"))
    left = table_of(written(tmp_path, early), columns=columns)
    assert left.set_aside == 1
    assert left.problems[0].problem == "is before 1970"


def test_a_labelled_file_of_two_systems_says_so(tmp_path: Path, plain: LabelledTable) -> None:
    """One wrote whole cents: the detector would learn that their payments are a hundred times as large."""
    frame = few()
    half = len(frame) // 2
    amounts = [f"{value:.2f}" for value in frame["amount"][:half]]
    amounts += [f"{value * 100:.0f}" for value in frame["amount"][half:]]
    (note,) = [
        note for note in table_of(written(tmp_path, frame.assign(amount=amounts))).notes if "two" in note
    ]
    assert f"times as large, from about row {half + 1:,} on" in note
    assert not [note for note in plain.notes if "two systems" in note]
