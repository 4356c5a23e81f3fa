"""The comparison measures every model on the same rows, by time and at random, and shows it in a table and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model.compare import NET, main
from model.data.simulation import orders, payments


@pytest.mark.filterwarnings("ignore")
def test_a_file_is_compared_by_time_and_at_random(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("lightgbm", reason="needs requirements/train.txt: run `make .venv/.train`")
    orders(rows=1500, seed=3).to_csv(tmp_path / "orders.csv", index=False)
    arguments = [
        str(tmp_path / "orders.csv"),
        "--label",
        "class",
        "--models",
        "logistic regression",
        "LightGBM",
    ]
    assert main([*arguments, "--out", str(tmp_path / "found.json"), "--plots", str(tmp_path / "plots")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert [test["kind"] for test in found["tests"]] == ["time", "random"]
    for test in found["tests"]:
        assert list(test["models"]) == [NET, "logistic regression", "LightGBM"]
        for measured in test["models"].values():
            assert (0.0 if test["kind"] == "time" else 0.6) <= measured["auc"] <= 1
            assert 0 <= measured["precision"] <= 1
            assert measured["seconds_to_train"] > 0
        low, middle, high = test["net_minus"]["LightGBM"]["average_precision"]
        assert low <= middle <= high
    assert "| this net |" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "comparison-time.png",
        "comparison-random.png",
    }


@pytest.mark.filterwarnings("ignore")
def test_cards_are_counted_where_there_are_any(tmp_path: Path) -> None:
    payments(customers=150, terminals=100, days=40, seed=2).to_csv(tmp_path / "payments.csv", index=False)
    arguments = [str(tmp_path / "payments.csv"), "--label", "TX_FRAUD", "--models", "logistic regression"]
    arguments += ["--quick", "--balance", "under", "--out", str(tmp_path / "found.json")]
    assert main(arguments) == 0
    by_time, at_random = json.loads((tmp_path / "found.json").read_text())["tests"]
    assert 0 < by_time["models"][NET]["card_precision_100"] <= 1
    assert "card_precision_100" not in at_random["models"][NET]


def test_what_cannot_be_compared_is_said_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("a,fraud\n1,0\n2,1\n")
    assert main([str(tmp_path / "a.csv"), "--label", "fraud"]) == 1
    assert "can't compare" in capsys.readouterr().err
