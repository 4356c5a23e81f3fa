"""A card lacks what it likes; what it has is of the right type, and all of it stays as it is in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from screening.detectors.model_card import ModelCard, read_card
from screening.errors import BadArtefact
from screening.settings import ROOT

SHIPPED = sorted([ROOT / "model" / "card.json", *(ROOT / "model" / "detectors").glob("*/card.json")])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_the_shipped_cards_are_read_whole_and_stay_as_they_are(path: Path) -> None:
    card, raw = read_card(path), json.loads(path.read_text(encoding="utf-8"))
    assert card.raw == raw
    assert card.fingerprint == raw["fingerprint"]
    assert set(card.columns) == set(raw["columns"])
    assert set(card.features) == set(raw.get("features", ()))
    assert card.training_data.rows == raw["training_data"]["rows"]
    assert card.libraries == raw["libraries"]
    tests = [*card.metrics.windows, card.metrics.folds, card.metrics.validation]
    for test in filter(None, tests):
        assert test.average_precision is not None
        assert test.flagged is not None
        assert test.reliability
        assert test.roc
        assert test.intervals["auc"][0] <= test.intervals["auc"][1]
    for name, profile in card.columns.items():
        known = raw["columns"][name]
        assert profile.minimum == known.get("min")
        assert profile.quantiles == {mark: known[mark] for mark in known if mark.startswith("q")}
        assert [list(pair) for pair in profile.levels or ()] == known.get("levels", [])
    if "cleaning" in raw:
        assert card.cleaning is not None
        assert [one.reason for one in card.cleaning.unused] == [
            one["reason"] for one in raw["cleaning"]["unused"]
        ]


def test_an_empty_card_has_nothing_and_breaks_nothing() -> None:
    card = ModelCard.from_json({"metrics": {"folds": {}, "windows": None}, "columns": {"V1": {}}, "new": [1]})
    assert (card.fingerprint, card.contract, card.prior, card.cleaning) == (None, None, None, None)
    assert (card.metrics.windows, card.metrics.folds, card.metrics.validation) == ((), None, None)
    assert (card.columns, card.features, card.libraries) == ({}, {}, {})
    assert card.raw["new"] == [1]


@pytest.mark.parametrize(
    ("interval", "said"),
    [([0.7, 0.9], "when a row was tells them apart"), ([0.4, 0.9], "No better than guessing")],
)
def test_why_its_figures_will_hardly_hold_is_its_doubt(interval: list[float], said: str) -> None:
    test = {"auc": 0.8, "interval_95": {"auc": interval}, "caution": "when a row was tells them apart"}
    assert ModelCard.from_json({"metrics": {"validation": test}}).metrics.doubt.startswith(said)
    del test["caution"]
    assert (
        ModelCard.from_json(
            {"metrics": {"validation": {**test, "interval_95": {"auc": [0.7, 0.9]}}}}
        ).metrics.doubt
        == ""
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"columns": []}, "columns is not an object"),
        ({"columns": {"V1": 3}}, "columns.V1 is not an object"),
        ({"columns": {"V1": {"q25": "0"}}}, "columns.V1.q25 is not a finite number"),
        ({"columns": {"V1": {"min": True}}}, "columns.V1.min is not a finite number"),
        ({"columns": {"V1": {"max": float("nan")}}}, "columns.V1.max is not a finite number"),
        ({"columns": {"shop": {"levels": [[1, 0.5], [2]]}}}, r"columns.shop.levels\[1\] is not a pair"),
        ({"columns": {"shop": {"levels": [[]]}}}, r"columns.shop.levels\[0\] is not a pair"),
        ({"columns": {"shop": {"levels": {"a": 1}}}}, "columns.shop.levels is not a list"),
        ({"columns": {"V1": {"deciles": [1, None]}}}, r"columns.V1.deciles\[1\] is not a finite number"),
        ({"fingerprint": 7}, "fingerprint is not text"),
        ({"training_data": {"rows": 1.5}}, "training_data.rows is not a whole number"),
        ({"metrics": {"windows": [{}, 3]}}, r"metrics.windows\[1\] is not an object"),
        ({"metrics": {"windows": [{"auc": []}]}}, r"metrics.windows\[0\].auc is not a finite number"),
        ({"metrics": {"folds": {"interval_95": {"auc": [1]}}}}, "interval_95.auc is not a pair of numbers"),
        ({"metrics": {"folds": {"curves": {"roc": [[0, "1"]]}}}}, r"roc\[0\]\[1\] is not a finite number"),
        ({"metrics": {"blend": [{"weight": "1"}]}}, r"metrics.blend\[0\].weight is not a finite number"),
        ({"libraries": {"numpy": 2}}, "libraries.numpy is not text"),
        ({"cleaning": {"unused": {}}}, None),
        ({"cleaning": {"unused": {"a": 1}}}, "cleaning.unused is not a list"),
    ],
)
def test_a_wrong_type_names_the_file_and_the_key(given: dict[str, Any], said: str | None) -> None:
    with pytest.raises(BadArtefact, match=said) as caught:
        ModelCard.from_json(given, Path("/somewhere/card.json"))
    assert caught.value.what.startswith("card.json is damaged: ")
    assert caught.value.where == "/somewhere/card.json"


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_what_is_no_object_is_no_card(text: str, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(text, encoding="utf-8")
    with pytest.raises(BadArtefact, match=r"card\.json"):
        read_card(tmp_path / "card.json")


def test_a_bin_that_cannot_be_drawn_is_left_out() -> None:
    whole = {"mean_probability": 0.1, "observed": 0.1, "low": 0.05, "high": 0.2}
    given = {"metrics": {"folds": {"reliability": [whole, {"observed": 0.1}]}}}
    folds = ModelCard.from_json(given).metrics.folds
    assert folds is not None
    assert len(folds.reliability) == 1
