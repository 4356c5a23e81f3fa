"""A single transaction that can't be judged well is told to be so."""

from __future__ import annotations

import numpy as np
import pytest

from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.detectors.vectorizer import NOTHING, History
from screening.features import Past, PastIndex
from screening.scoring import caveats
from screening.scoring.caveats import NO_PAST, remarks
from screening.scoring.reason_codes import explain
from screening.settings import Settings
from screening.transactions.schema import Transactions
from utils import as_transactions

PAYMENT = {"TX_DATETIME": "2018-08-10 10:00:00", "CUSTOMER_ID": "5", "TERMINAL_ID": "1", "TX_AMOUNT": 50.0}


@pytest.fixture
def payments(settings: Settings) -> Detector:
    return Detectors(settings).get("payments")


def test_a_payment_of_nobody_known_is_doubtful(payments: Detector) -> None:
    given = as_transactions([PAYMENT], payments.contract)
    assert remarks(payments, given, NOTHING) == [[NO_PAST]]


@pytest.mark.parametrize("indexed", [True, False])
def test_who_was_seen_is_known(payments: Detector, indexed: bool) -> None:
    given = as_transactions(
        [PAYMENT, {**PAYMENT, "CUSTOMER_ID": "6"}, {**PAYMENT, "CUSTOMER_ID": "6", "TERMINAL_ID": "2"}],
        payments.contract,
    )
    past = Past(given.values[:1], np.array([-1], np.int8))
    assert payments.vectorizer.definition is not None
    seen = History(past=PastIndex(payments.vectorizer.definition, past) if indexed else past)
    assert list(map(list, remarks(payments, given, seen))) == [[], [], [NO_PAST]]


def test_an_amount_far_beyond_the_training_data_is_told(payments: Detector) -> None:
    given = as_transactions([PAYMENT, {**PAYMENT, "TX_AMOUNT": 1e6}], payments.contract)
    usual, beyond = remarks(payments, given, NOTHING)
    assert usual == [NO_PAST]
    assert beyond[1].startswith("TX_AMOUNT is 1,000,000, far beyond the training data (0")


@pytest.mark.parametrize(
    ("amount", "cents"), [(1250.0, True), (12.5, False), (170.0, False), (1250.5, False)]
)
def test_a_whole_amount_that_hardly_any_payment_reaches_may_be_cents(
    payments: Detector, amount: float, cents: bool
) -> None:
    given = as_transactions([{**PAYMENT, "TX_AMOUNT": amount}], payments.contract)
    (said,) = remarks(payments, given, NOTHING)
    words = "TX_AMOUNT is 1,250, larger than 99 % of the training data: if it counts cents, send 12.50."
    assert (words in said) == cents


def test_a_large_payment_of_nobody_known_is_flagged_and_says_that_nobody_was_seen(payments: Detector) -> None:
    """Every one of more than 220 is a fraud in what it learned from; half of that is nothing to go by."""
    large, usual = as_transactions([{**PAYMENT, "TX_AMOUNT": 1000.0}, PAYMENT], payments.contract).values
    columns = payments.contract.columns
    scores = [float(payments.probabilities(Transactions(columns, row[None]))[0]) for row in (large, usual)]
    assert scores[0] > 0.9
    assert scores[1] < 0.05
    (reasons,) = explain(payments, Transactions(columns, large[None]))
    assert reasons[0].text.startswith("Amount 1,000.00, far above the usual")
    assert not any("is 90 days" in reason.text for reason in reasons)


def test_rows_that_stand_alone_miss_nobody(settings: Settings) -> None:
    card = Detectors(settings).default
    row = dict.fromkeys(card.contract.columns, 0.0)
    given = as_transactions([row, {**row, "V14": -1e20}], card.contract)
    usual, beyond = remarks(card, given, NOTHING)
    assert not usual
    assert ["V14 is -1e+20" in note for note in beyond] == [True]


def test_few_rows_are_compared_as_many_are(payments: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, columns = np.random.default_rng(0), payments.contract.columns
    definition = payments.vectorizer.definition
    assert definition is not None
    for count in (2, 3, 20, caveats.FEW):
        values = rng.integers(0, 5, (count, len(columns))).astype(np.float64)
        values[rng.random(values.shape) < 0.2] = np.nan
        few = caveats.first_here(definition, values)
        with monkeypatch.context() as patch:
            patch.setattr(caveats, "FEW", 0)
            assert few.tolist() == caveats.first_here(definition, values).tolist()
        assert 0 < few.sum() < count or count < 20
