"""Reasons name the columns that moved a probability, in words, at a bounded cost."""

from __future__ import annotations

from dataclasses import replace
from time import process_time

import numpy as np
import pytest

from screening.detectors.detector import Detector
from screening.scoring.reason_codes import explain
from screening.transactions.schema import CARD, Transactions
from tests.artifact_factory import CENTRE, random_rows, scored_by


class Sum:
    """A net by hand: the logit is a weighted sum, or a maximum, of scaled columns."""

    def __init__(self, either: bool = False, **weights: float) -> None:
        self.places = [CARD.columns.index(name) for name in weights]
        self.weights = np.array(list(weights.values()))
        self.either = either

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        parts = rows[:, self.places].astype(np.float64) * self.weights
        logit = (parts.max(axis=1) if self.either else parts.sum(axis=1)) - 3
        probability: np.ndarray = (1 / (1 + np.exp(-logit))).astype(np.float32)
        return probability


def one(detector: Detector, **scaled: float) -> Transactions:
    """A typical payment but for some columns, given as distances from the centre in units of scale."""
    values = detector.vectorizer.centre.copy()
    for name, distance in scaled.items():
        place = CARD.columns.index(name)
        values[place] += distance * detector.vectorizer.scale[place]
    return Transactions(CARD.columns, values[None])


def test_the_effects_of_a_sum_are_its_terms_strongest_first(tiny: Detector) -> None:
    by_hand = scored_by(tiny, Sum(V4=1.0, V14=-1.0, V3=1.0))
    (found,) = explain(by_hand, one(tiny, V4=2.0, V14=-3.0, V3=-1.0))
    assert [reason.column for reason in found] == ["V14", "V4"]
    assert [reason.effect for reason in found] == pytest.approx([3, 2], abs=1e-4)


def test_two_columns_that_say_the_same_do_not_hide_each_other(tiny: Detector) -> None:
    by_hand = scored_by(tiny, Sum(either=True, V4=1.0, V11=1.0))
    (found,) = explain(by_hand, one(tiny, V4=4.0, V11=4.0))
    assert {reason.column for reason in found} == {"V4", "V11"}


def test_a_probability_of_one_still_has_reasons(tiny: Detector) -> None:
    by_hand = scored_by(tiny, Sum(V4=10.0, V14=-10.0))
    (found,) = explain(by_hand, one(tiny, V4=20.0, V14=-10.0))
    assert {reason.column for reason in found} == {"V4", "V14"}
    assert all(np.isfinite(reason.effect) for reason in found)


def test_a_typical_payment_has_no_reasons(tiny: Detector) -> None:
    assert explain(tiny, one(tiny)) == [[]]
    assert explain(tiny, Transactions(CARD.columns, np.empty((0, 30)))) == []


def test_texts_tell_the_value_how_far_it_is_and_what_is_usual(tiny: Detector) -> None:
    typical = tiny.typical | {"V14": (-0.43, 0.49), "Amount": (5.65, 77.165), "Time": (54230.0, 139320.0)}
    by_hand = replace(scored_by(tiny, Sum(V14=-1.0, Amount=1.0, Time=1.0, V1=1.0)), typical=typical)
    values = CENTRE.copy()
    for name, value in {"V14": -9.531, "Amount": 1234.5, "Time": 148502.0, "V1": CENTRE[1] + 0.1}.items():
        values[CARD.columns.index(name)] = value
    (found,) = explain(by_hand, Transactions(CARD.columns, values[None]), top=4)
    texts = {reason.column: reason.text for reason in found}
    assert texts["V14"] == "V14 is −9.53, far below the usual −0.43 to 0.49"
    assert texts["Amount"] == "Amount is 1,234.50, far above the usual 5.65 to 77.17"
    assert texts["Time"] == "Time is 41:15:02 after the first payment, above the usual 15:03:50 to 38:42:00"
    assert "V1" not in texts, "a usual value says nothing"


def test_where_every_value_is_usual_it_is_their_combination(tiny: Detector) -> None:
    wide = dict.fromkeys(tiny.typical, (-1e9, 1e9))
    (found,) = explain(replace(scored_by(tiny, Sum(V14=-1.0, V4=1.0)), typical=wide), one(tiny, V14=-9, V4=5))
    assert [reason.text for reason in found] == ["No single value stands out; the combination does"]


def test_a_range_whose_ends_read_alike_is_one_value(tiny: Detector) -> None:
    typical = tiny.typical | {"Amount": (20.001, 20.004)}
    same = replace(scored_by(tiny, Sum(Amount=1.0)), typical=typical)
    (found,) = explain(same, one(tiny, Amount=30))
    assert found[0].text.endswith("far above the usual 20.00")


def test_columns_may_stand_in_any_order(tiny: Detector) -> None:
    rows = random_rows(30, seed=2)
    order = np.random.default_rng(0).permutation(30)
    shuffled = Transactions(tuple(CARD.columns[place] for place in order), rows[:, order])
    assert explain(tiny, shuffled) == explain(tiny, Transactions(CARD.columns, rows))


def test_a_batch_gives_what_single_rows_give(tiny: Detector) -> None:
    rows = random_rows(300, seed=3)
    together = explain(tiny, Transactions(CARD.columns, rows))
    for place in (0, 255, 256, 299):
        (alone,) = explain(tiny, Transactions(CARD.columns, rows[place : place + 1]))
        assert [reason.column for reason in alone] == [reason.column for reason in together[place]]


def test_1000_flagged_rows_are_explained_within_a_second_of_the_processor(tiny: Detector) -> None:
    rows = Transactions(CARD.columns, random_rows(1000))
    explain(tiny, rows)
    start = process_time()
    assert len(explain(tiny, rows)) == 1000
    assert process_time() - start < 1
