"""A labelled file becomes a detector that the screening loads and scores with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import trainer
from model.data.order import TrainingOrder
from model.data.simulation import orders, payments
from model.fitting import fit
from model.recipes.blend import quick_blend
from screening.detectors.detector import Detector
from screening.detectors.vectorizer import History
from screening.errors import BadFile, BadTransaction
from screening.intake import FileKind, open_transactions
from screening.ledger.history import DetectorHistory
from screening.settings import ROOT
from screening.transactions.json_records import from_mappings
from screening.transactions.schema import CellKind
from screening.transactions.times import StartUnit
from tests.model.factory import load_trained
from tests.redis_server import redis_url  # noqa: F401 -- a fixture
from tests.screening.ledger.velocity_desk import Desk, as_file


def order_for(folder: Path, frame: pd.DataFrame, **more: Any) -> TrainingOrder:
    file = folder / "given.csv"
    frame.to_csv(file, index=False)
    return TrainingOrder(
        file=file, out=folder / "detectors" / "made", name="made", filename="given.csv", **more
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, TrainingOrder, list[tuple[float, str]]]:
    folder = tmp_path_factory.mktemp("workshop")
    order = order_for(folder, orders(rows=1500, seed=4), instance=folder)
    said: list[tuple[float, str]] = []
    trainer.train(order, lambda share, text: said.append((share, text)))
    return load_trained(order.out, folder / "compiled"), order, said


def test_the_detector_knows_its_columns_by_role(
    made: tuple[Detector, TrainingOrder, list[tuple[float, str]]],
) -> None:
    detector, _, _ = made
    contract = detector.contract
    assert (contract.time, contract.amount, contract.label) == ("purchase_time", "purchase_value", "class")
    assert "user_id" not in contract.columns
    assert detector.vectorizer.looks_back


def test_it_finds_the_rings_of_a_later_file(
    made: tuple[Detector, TrainingOrder, list[tuple[float, str]]],
) -> None:
    detector, _, _ = made
    later = orders(rows=1500, seed=9)
    given = from_mappings(later.drop(columns="class").astype(object).to_dict("records"), detector.contract)
    probability = detector.probabilities(given, History())
    ring = later["device_id"].duplicated(keep=False).to_numpy()
    assert np.median(probability[ring]) > 10 * np.median(probability[~ring])
    assert ((probability >= 0) & (probability <= 1)).all()


@pytest.mark.parametrize("store", ["sql", "redis"])
def test_the_api_gives_what_its_file_gives(
    made: tuple[Detector, TrainingOrder, list[tuple[float, str]]],
    store: str,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> None:
    detector, _, _ = made
    state_url = request.getfixturevalue("redis_url") if store == "redis" else None
    file = tmp_path_factory.mktemp("later") / "later.csv"
    orders(rows=300, seed=11).to_csv(file, index=False)
    rows, expected = as_file(detector, file, file.parent)

    @settings(max_examples=4, deadline=None)
    @given(st.lists(st.sampled_from([1, 1, 2, 5, 40, 150]), min_size=1, max_size=30))
    def lists_of(sizes: list[int]) -> None:
        desk = Desk(tmp_path_factory.mktemp("desk"), detector, state_url)
        found: list[float] = []
        for size in [*sizes, 300]:
            found += desk.probabilities(rows[len(found) : len(found) + size]) if len(found) < 300 else []
        desk.close()
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)

    lists_of()


def test_the_card_says_how_it_was_tested_and_what_it_was_made_of(
    made: tuple[Detector, TrainingOrder, list[tuple[float, str]]],
) -> None:
    detector, order, _ = made
    card = detector.card
    assert card is not None
    assert card.fingerprint == detector.fingerprint
    tested = card.metrics.validation
    assert tested is not None
    assert tested.auc is not None
    assert tested.kind == "time"
    assert tested.rows == 300
    assert 0.5 < tested.auc <= 1
    assert set(card.columns) == set(detector.contract.columns)
    assert set(card.features) == set(detector.vectorizer.inputs)
    assert card.cleaning is not None
    assert {entry.column for entry in card.cleaning.unused} == {"user_id"}
    assert json.loads((order.out / "cleaning.json").read_text()) == card.raw["cleaning"]
    assert (order.out / "model.h5").stat().st_size < 3e6


def test_what_it_was_trained_on_is_its_past(
    made: tuple[Detector, TrainingOrder, list[tuple[float, str]]],
) -> None:
    detector, order, _ = made
    assert order.instance is not None
    past = DetectorHistory(order.instance, detector, counting=None).past()
    assert past is not None
    assert detector.vectorizer.definition is not None
    rows = past.values  # noqa: PD011 -- no data frame
    time = rows[:, detector.contract.columns.index("purchase_time")]
    assert time.max() - time.min() <= detector.vectorizer.definition.horizon
    written = pd.read_csv(order.file, parse_dates=["purchase_time"])["purchase_time"]
    seconds = (written - pd.Timestamp(0)).dt.total_seconds()
    assert 0 < len(past) == int((seconds >= time.min()).sum()) < 1500
    assert set(past.labels.tolist()) <= {0, 1}


def test_progress_rises_to_the_end(made: tuple[Detector, TrainingOrder, list[tuple[float, str]]]) -> None:
    _, _, said = made
    shares = [share for share, _ in said]
    assert shares == sorted(shares)
    assert shares[-1] > 0.9
    assert np.diff(shares).max() < 0.2  # it moves while trees grow and nets train
    assert len({text for _, text in said}) > 5


def test_hours_from_a_start_types_of_fraud_and_places_go_all_the_way(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    rows = 3000
    kind = draw.choice(["none", "stolen", "phished"], rows, p=(0.9, 0.06, 0.04))
    far = np.where(kind == "stolen", 3.0, 0.05)
    lat, long = draw.uniform(40, 50, rows), draw.uniform(0, 10, rows)
    frame = pd.DataFrame(
        {
            "step": np.sort(draw.integers(1, 2000, rows)),
            "card_id": [f"c{number}" for number in draw.integers(0, 300, rows)],
            "amount": np.round(draw.gamma(2, np.where(kind == "phished", 200, 20)), 2),
            "lat": lat, "long": long, "merch_lat": lat + far * draw.normal(1, 0.1, rows), "merch_long": long + far,
            "kind_of_fraud": kind,
        }
    )  # fmt: skip
    order = order_for(tmp_path, frame, label="kind_of_fraud", quick=True)
    trainer.train(order, lambda *_: None)
    detector = load_trained(order.out, tmp_path / "compiled")
    assert detector.contract.since is StartUnit.HOURS
    assert "distance(lat, long, merch_lat, merch_long)" in detector.vectorizer.inputs
    card = detector.card
    assert card is not None
    counts = {one.name: one.rows for one in card.training_data.fraud_types}
    assert counts == {name: int((kind == name).sum()) for name in ("stolen", "phished")}
    assert sum(one.share or 0 for one in card.training_data.fraud_types) == pytest.approx(1)
    assert card.metrics.validation is not None
    tested = {one.name: one for one in card.metrics.validation.fraud_types}
    flagged = card.metrics.validation.flagged
    assert flagged is not None
    caught = sum((one.recall or 0) * (one.rows or 0) for one in tested.values())
    assert caught == pytest.approx((flagged.recall or 0) * (card.metrics.validation.frauds or 0)), (
        "of all, together"
    )
    assert (tested["stolen"].recall or 0) > 0.5, "they are far from home"
    later = frame.drop(columns="kind_of_fraud").tail(200)
    given = from_mappings(later.astype(object).to_dict("records"), detector.contract)
    assert given.column("step").max() == frame["step"].max() * 3600.0
    whole = detector.probabilities(given, History())
    written = tmp_path / "later.csv"
    later.to_csv(written, index=False)
    read = list(
        open_transactions(
            written, FileKind.CSV, lambda _: detector.contract, canonical=tmp_path / "canonical.csv"
        )
    )
    np.testing.assert_array_equal(detector.probabilities(read[0].transactions, History()), whole)


def test_texts_and_mail_addresses_tell_by_length_and_domain_in_a_file_in_json_and_one_by_one(
    tmp_path: Path,
) -> None:
    draw = np.random.default_rng(3)
    rows = 1500
    fraud = draw.random(rows) < 0.15
    words = np.array(
        ["we", "pay", "at", "once", "for", "any", "work", "from", "home", "and", "ask", "nothing"]
    )
    told = [
        " ".join(draw.choice(words, draw.integers(3, 8) if bad else draw.integers(9, 20))) for bad in fraud
    ]
    domain = np.where(
        fraud & (draw.random(rows) < 0.7), "quick.example", draw.choice(["a.example", "b.example"], rows)
    )
    frame = pd.DataFrame(
        {
            "offer": told,
            "contact": [f"person{number}@{name}" for number, name in enumerate(domain)],
            "pay": np.round(draw.gamma(2, 100, rows), 2),
            "fraud": fraud.astype(int),
        }
    )
    frame.loc[frame.index[::50], "offer"] = ""
    order = order_for(tmp_path, frame, label="fraud", quick=True)
    card = trainer.train(order, lambda *_: None)
    assert card["metrics"]["validation"]["auc"] > 0.97
    detector = load_trained(order.out, tmp_path / "compiled")
    kinds = {column.name: column.kind for column in detector.contract.parts()}
    assert kinds == {"offer": CellKind.LENGTH, "contact": CellKind.DOMAIN, "pay": CellKind.NUMBER}
    later = frame.drop(columns="fraud").tail(60)
    written = tmp_path / "later.csv"
    later.to_csv(written, index=False)
    (read,) = open_transactions(
        written, FileKind.CSV, lambda _: detector.contract, canonical=tmp_path / "canonical.csv"
    )
    whole = detector.probabilities(read.transactions, History())
    records = later.astype(object).to_dict("records")
    np.testing.assert_array_equal(
        detector.probabilities(from_mappings(records, detector.contract), History()), whole
    )
    alone = [detector.probabilities(from_mappings([one], detector.contract), History())[0] for one in records]
    np.testing.assert_allclose(alone, whole, atol=1e-6)
    others = [
        {**records[1], "contact": text}
        for text in ("nobody@QUICK.example", "quick.example", "nobody@new.example")
    ]
    same, bare, new = detector.probabilities(from_mappings(others, detector.contract), History())
    assert same == bare
    assert new < same
    with pytest.raises(BadTransaction, match="offer"):
        from_mappings([{**records[1], "offer": ["a", "list"]}], detector.contract)


def test_without_a_time_nobody_is_both_learned_from_and_tested(tmp_path: Path) -> None:
    """Half of the customers are frauds throughout: who was learned from is known, and of a new one nothing is."""
    generator = np.random.default_rng(0)
    customer = generator.integers(0, 150, 900)
    fraud = (generator.random(150) < 0.5)[customer]
    frame = pd.DataFrame(
        {
            "customer_id": [f"C{number:05d}" for number in customer],
            "amount": np.round(generator.gamma(2, 30, 900), 2),
            "fraud": fraud.astype(int),
        }
    )
    shares: list[float] = []
    card = trainer.train(order_for(tmp_path, frame, label="fraud"), lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    found = card["metrics"]["validation"]
    assert found["kind"] == "grouped"
    assert "customer_id" in found["name"]
    assert found["rows"] == 900
    low, high = found["interval_95"]["auc"]
    assert low < 0.5 < high
    assert found["auc"] < 0.6


def test_three_columns_are_enough(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    merchant = generator.choice([f"Shop {n}" for n in range(60)] + ["ABC Bank"], 5000)
    amount = np.round(generator.gamma(2, 30, 5000), 2)
    risk = 0.01 + 0.3 * (amount > 150) + 0.3 * np.isin(merchant, ["Shop 3", "Shop 7"])
    frame = pd.DataFrame(
        {"amount": amount, "merchant": merchant, "fraud": (generator.random(5000) < risk).astype(int)}
    )
    order = order_for(tmp_path, frame, label="fraud", quick=True)
    card = trainer.train(order, lambda *_: None)
    assert card["metrics"]["validation"]["kind"] == "random"
    assert card["metrics"]["validation"]["rows"] == 998  # one fold of five
    assert "quick look" in card["training_data"]["description"]
    assert card["metrics"]["validation"]["auc"] > 0.75
    detector = load_trained(order.out, tmp_path / "compiled")
    assert not detector.vectorizer.looks_back
    low, high, unknown = (
        float(detector.probabilities(from_mappings([{"amount": a, "merchant": m}], detector.contract))[0])
        for a, m in ((100, "ABC Bank"), (100, "Shop 3"), (100, "Nowhere"))
    )
    assert high > 3 * low
    assert 0 < unknown < 1


def test_a_blend_keeps_its_features_where_all_rows_are_too_many_to_choose_one_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was chosen on 80 % of the rows, fewer than the bound, and learned again without the records of values."""
    generator = np.random.default_rng(0)
    shop = generator.choice([f"Shop {n}" for n in range(30)], 600)
    fraud = generator.random(600) < np.where(np.isin(shop, ["Shop 3", "Shop 7"]), 0.5, 0.05)
    frame = pd.DataFrame(
        {"amount": generator.gamma(2, 30, 600).round(2), "shop": shop, "fraud": fraud.astype(int)}
    )
    prepared = trainer.prepare(order_for(tmp_path, frame, label="fraud"), lambda *_: None)
    monkeypatch.setattr("model.recipes.recipe.MOST_BLENDED", 100)
    learned = fit(prepared, np.arange(600), 0, lambda *_: None, recipe=quick_blend())
    assert list(learned.definition.rates) == ["shop"]
    assert learned.features(prepared, np.arange(600)).shape[1] == prepared.features.shape[1] + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.assign(TX_FRAUD=0), "nothing to tell apart"),
        (lambda frame: frame.assign(TX_FRAUD=(np.arange(len(frame)) < 19).astype(int)), "only 19 frauds"),
        (lambda frame: frame.drop(columns="TX_FRAUD"), "No column says"),
        (lambda frame: frame[["TX_FRAUD"]], "No column can be learned from"),
        (
            lambda frame: frame.assign(TX_FRAUD=np.arange(len(frame)) % 3),
            "doesn't say whether a row was fraud",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_the_reason(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], words: str
) -> None:
    frame = change(payments(customers=50, terminals=40, days=20, seed=0))
    label = "TX_FRAUD" if "TX_FRAUD" in frame else None
    with pytest.raises(BadFile, match=words) as caught:
        trainer.train(order_for(tmp_path, frame, label=label), lambda *_: None)
    assert caught.value.remedy
    assert not (tmp_path / "detectors").exists()


def test_the_command_speaks_json_lines_and_leaves_nothing_on_an_error(tmp_path: Path) -> None:
    order = order_for(tmp_path, payments(customers=20, days=5).assign(TX_FRAUD=0), label="TX_FRAUD")
    (tmp_path / "order.json").write_text(replace(order).as_json())
    command = [sys.executable, "-m", "model.trainer", str(tmp_path / "order.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert "nothing to tell apart" in lines[-1]["error"]["what"]
    assert not (tmp_path / "detectors").exists()


def test_an_operators_table_gives_countries_and_its_damage_is_told(tmp_path: Path) -> None:
    table = "lower,upper,country\n16777216,1000000000,Aland\n1000000001,2147483647,Bland\n9,3,Nowhere\n"
    (tmp_path / "ranges.csv").write_text(table)
    order = order_for(tmp_path, orders(rows=900, seed=6), ranges=tmp_path / "ranges.csv")
    prepared = trainer.prepare(order, lambda *_: None)
    assert prepared.cleaning["ranges"]["used"] == 2
    assert prepared.cleaning["ranges"]["skipped"] == 1
    assert any("country" in name for name in prepared.definition.names)
