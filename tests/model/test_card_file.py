"""What a training file's rows stand for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.data.card_file import TRUE_PRIOR, UNIFORM_WEIGHT, read_training_file
from screening.errors import BadFile
from tests.model.factory import training_frame, write_csv


def test_the_prior_and_the_weight_are_those_of_the_full_file() -> None:
    assert pytest.approx(492 / 284_807) == TRUE_PRIOR
    assert pytest.approx(18.656, abs=1e-3) == UNIFORM_WEIGHT


def test_a_file_without_extra_columns_stands_for_itself(tmp_path: Path) -> None:
    file = read_training_file(write_csv(tmp_path, training_frame()))
    assert file.uniform.all()
    assert (file.weight == 1).all()


def test_rows_come_in_time_order_and_columns_by_name(tmp_path: Path) -> None:
    frame = training_frame().sample(frac=1, random_state=0)
    shuffled = frame[list(reversed(frame.columns))]
    file = read_training_file(write_csv(tmp_path, shuffled))
    assert (np.diff(file.time) >= 0).all()
    expected = frame.sort_values("Time", kind="stable")["V7"].to_numpy()
    assert np.sort(file.rows(np.arange(len(file))).values[:, 7]) == pytest.approx(np.sort(expected))  # noqa: PD011


def test_identical_frauds_stand_once_and_weigh_as_often_as_they_stood(tmp_path: Path) -> None:
    frame = training_frame()
    fraud = frame[frame["Class"] == 1].iloc[[0]]
    file = read_training_file(write_csv(tmp_path, pd.concat([frame, fraud, fraud])))
    assert len(file) == len(frame)
    assert file.weight[file.label == 1].sum() == frame["Class"].sum() + 2
    assert file.weight.max() == 3


def test_in_a_sample_only_uniform_rows_and_frauds_have_weight(tmp_path: Path) -> None:
    frame = training_frame()
    frame["uniform"] = frame["Class"].eq(1) | (np.arange(len(frame)) % 2 == 0)
    frame["copies"] = 1
    path = tmp_path / "sample.parquet"
    frame.to_parquet(path)
    file = read_training_file(path)
    legitimate = file.label == 0
    assert (file.weight[legitimate & file.uniform] == UNIFORM_WEIGHT).all()
    assert (file.weight[legitimate & ~file.uniform] == 0).all()
    part = file.rows(np.flatnonzero(file.uniform))
    assert (part.weight[part.label == 0] == UNIFORM_WEIGHT).all()


@pytest.mark.parametrize("damage", ["no label", "text", "few frauds"])
def test_an_unusable_file_is_refused_with_one_clear_line(tmp_path: Path, damage: str) -> None:
    frame = training_frame()
    if damage == "no label":
        frame = frame.drop(columns="Class")
    elif damage == "text":
        frame.loc[3, "V5"] = np.nan
    else:
        frame = frame[(frame["Class"] == 0) | (frame.index < 20)]
    with pytest.raises(BadFile):
        read_training_file(write_csv(tmp_path, frame))
