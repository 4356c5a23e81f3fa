"""A lesson shows what the detector does: its own probabilities, its own weights, and nothing that it wouldn't say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from screening.detectors.detector import Detector
from screening.errors import BadArtefact, BadTransaction
from screening.settings import ROOT
from screening.teaching.layers import Net
from screening.teaching.lesson import LESSONS, Lesson, Lessons
from screening.web.services import Services
from utils import get_probabilities

NAMES = ("card", "payments", "ecommerce")


def sample(name: str) -> Path:
    shipped = ROOT / "model" / "detectors" / name / "sample.csv"
    return ROOT / "transactions_data.csv" if name == "card" else shipped


def net_file(name: str) -> Path:
    return ROOT / "model.h5" if name == "card" else ROOT / "model" / "detectors" / name / "model.h5"


def lesson(name: str, services: Services) -> tuple[Detector, Lesson]:
    detector = services.detectors.get(name)
    return detector, LESSONS.of(detector, sample(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_layers_end_in_the_probability_of_the_compiled_net(name: str, services: Services) -> None:
    detector, mine = lesson(name, services)
    net = LESSONS.net(detector, net_file(name))
    strongest = np.argsort(-mine.probabilities)[:10]
    for row in [*strongest.tolist(), *range(0, len(mine.records), max(1, len(mine.records) // 20))]:
        walk = mine.walk(row, {}, net)
        assert walk.probability == pytest.approx(float(mine.probabilities[row]), abs=1e-6), (
            "alone as among the others"
        )
        assert walk.layers[-1].few[0] == pytest.approx(walk.probability, abs=1e-4)
        assert [one.name for one in walk.inputs] == list(detector.vectorizer.inputs)
        for one in walk.inputs:
            assert one.scaled == pytest.approx((one.value - one.centre) / one.scale, rel=1e-5, abs=1e-6)


def test_a_moved_value_gives_what_the_one_door_to_a_score_gives(services: Services) -> None:
    detector, mine = lesson("card", services)
    row = 50
    mapping = {name: mine.value(row, name) for name in detector.contract.columns}
    for column, value in (("V14", 0.0), ("Amount", 5000.0), ("V12", 2.5)):
        expected = float(get_probabilities({**mapping, column: value}, detector)[0])
        assert mine.probability(row, {column: value}) == pytest.approx(expected, abs=1e-7)
        moved = mine.walk(row, {column: value}, LESSONS.net(detector, net_file("card")))
        assert [one.name for one in moved.inputs if one.moved] == [column]
        assert moved.before == pytest.approx(float(mine.probabilities[row]), abs=1e-6)


def test_the_amount_of_a_payment_moves_all_inputs_that_are_made_of_it(services: Services) -> None:
    detector, mine = lesson("payments", services)
    row = int(np.argmax(mine.probabilities))
    assert list(mine.movable) == ["TX_AMOUNT"], "who, where and when are no numbers to be moved"
    walk = mine.walk(row, {"TX_AMOUNT": 12.0}, LESSONS.net(detector, net_file("payments")))
    moved = {one.name for one in walk.inputs if one.moved}
    assert {"TX_AMOUNT", "log(TX_AMOUNT)", "against median(CUSTOMER_ID, 30d)"} <= moved
    assert "count(CUSTOMER_ID, 7d)" not in moved
    assert walk.probability < walk.before
    sweep = mine.sweep(row, "TX_AMOUNT")
    assert [value for value, _ in sweep] == sorted(value for value, _ in sweep)
    assert sweep[0][1] < sweep[-1][1]
    with pytest.raises(BadTransaction):
        mine.probability(row, {"TX_AMOUNT": 1e300})


def test_the_confusion_matrix_is_counted_from_the_file(services: Services) -> None:
    _, mine = lesson("ecommerce", services)
    fraud = np.array([record[mine.header.index("class")] == "1" for record in mine.records])
    for threshold in (0.1, 0.5, 0.8):
        quality = mine.quality(threshold)
        assert quality is not None
        flagged = mine.probabilities >= np.float32(threshold)
        assert quality.true_positives == int((fraud & flagged).sum())
        assert quality.false_negatives == int((fraud & ~flagged).sum())
        assert quality.false_positives == int((~fraud & flagged).sum())


def test_a_net_that_was_changed_since_isnt_shown(services: Services, tmp_path: Path) -> None:
    changed = tmp_path / "model.h5"
    changed.write_bytes(net_file("card").read_bytes() + b" ")
    with pytest.raises(BadArtefact, match="changed since"):
        Lessons().net(services.detectors.get("card"), changed)
    with pytest.raises(BadArtefact):
        Net(b"nothing", "model.h5")
