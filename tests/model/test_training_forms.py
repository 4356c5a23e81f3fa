"""Labelled files as people have them: read, and given their true roles, or a clear question."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.data.labelled_table import Table, read_table
from model.data.order import Order
from screening.columns.role_inference import guess_roles
from screening.errors import BadFile
from screening.intake import Kind
from screening.intake.preview import sample
from screening.training.column_choices import guessed
from screening.transactions.schema import CellKind, Role
from tests.screening.uploads.test_forms import AMOUNTS, DAY_FORMS, TIMES

ROWS = 1200


def past(rows: int = ROWS) -> pd.DataFrame:
    """Payments of some weeks; a twentieth is fraud."""
    draw = np.random.default_rng(3)
    start = datetime(2025, 1, 4, 7, 30, 44)  # noqa: DTZ001
    return pd.DataFrame(
        {
            "tx_time": [start + timedelta(minutes=37 * number) for number in range(rows)],
            "customer_id": [f"C{number}" for number in draw.integers(0, 150, rows)],
            "amount": np.round(draw.gamma(1, 400, rows), 2) + 0.01,
            "channel": draw.choice(["web", "shop", "app"], rows),
            "fraud": (np.arange(rows) % 20 == 7).astype(int),
        }
    )


def written(folder: Path, frame: pd.DataFrame) -> Path:
    file = folder / "past.csv"
    frame.to_csv(file, index=False)
    return file


def table_of(file: Path, **more: object) -> Table:
    order = Order(
        file=file, out=file.with_name("out"), name="made", filename=file.name, label="fraud", **more
    )
    return read_table(order)


def column(table: Table, name: str) -> np.ndarray:
    return table.values[:, table.contract.columns.index(name)]  # noqa: PD011 -- no data frame


@pytest.mark.parametrize("form", [*TIMES, *DAY_FORMS])
def test_the_time_is_found_and_is_the_same_however_it_is_written(tmp_path: Path, form: str) -> None:
    frame = past()
    write: Callable[[datetime], str] = {**TIMES, **DAY_FORMS}[form]
    plain = table_of(written(tmp_path, frame))
    zoned = frame["tx_time"].dt.tz_localize("UTC")
    read = table_of(written(tmp_path, frame.assign(tx_time=[write(day) for day in zoned])))
    assert read.contract.time == "tx_time"
    assert read.set_aside == 0
    expected = column(plain, "tx_time")
    if form in DAY_FORMS:
        expected = np.floor(expected / 86_400) * 86_400
    np.testing.assert_allclose(column(read, "tx_time"), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("form", AMOUNTS)
def test_the_amount_is_found_and_is_the_same_however_it_is_written(tmp_path: Path, form: str) -> None:
    frame = past()
    plain = table_of(written(tmp_path, frame))
    read = table_of(
        written(tmp_path, frame.assign(amount=[AMOUNTS[form](value) for value in frame["amount"]]))
    )
    assert read.contract.amount == "amount"
    assert read.set_aside == 0
    np.testing.assert_allclose(column(read, "amount"), column(plain, "amount"), rtol=1e-5)


def test_what_is_blank_only_far_down_leaves_no_fraud_out(tmp_path: Path) -> None:
    frame = past(7000)
    frame["x"] = np.where((frame.index > 6000) & (frame["fraud"] == 1), None, 1.5 + frame.index % 7)
    file = written(tmp_path, frame)
    read = table_of(file)
    assert read.set_aside == 0
    assert (read.label == 1).sum() == frame["fraud"].sum()
    assert np.isnan(column(read, "x")).sum() == frame["x"].isna().sum() > 40
    (choice,) = [one for one in guessed(file, Kind.CSV, "fraud") if one.column.name == "x"]
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
    found = sample(file, Kind.CSV, 500)
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
        guessed(file, Kind.CSV, "fraud")
    assert "--fraud-value" in str(asked.value.remedy)
    assert guessed(file, Kind.CSV, "fraud", fraud_values=[value])[-1].column.role is Role.LABEL
    np.testing.assert_array_equal(table_of(file, fraud_values=(value,)).label, expected)


def test_several_values_may_mean_fraud_and_one_that_never_stands_there_is_told(tmp_path: Path) -> None:
    frame = past()
    kinds = np.where(frame["fraud"] == 1, np.where(frame.index % 40 == 7, "stolen", "phished"), "none")
    file = written(tmp_path, frame.assign(fraud=kinds))
    read = table_of(file, fraud_values=("stolen", "phished"))
    assert (read.label == 1).sum() == 60
    with pytest.raises(BadFile, match="No row of fraud says fraude"):
        guessed(file, Kind.CSV, "fraud", fraud_values=["fraude"])


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
