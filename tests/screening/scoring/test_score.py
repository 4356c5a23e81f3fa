"""One pass scores, flags, explains and doubts; one by one, together and as a file the numbers are the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.detectors.states import DetectorStanding, DetectorState
from screening.detectors.vectorizer import NOTHING, History, Inputs, Vectorizer
from screening.errors import BadFile, BadTransaction
from screening.features import Past, PastIndex
from screening.features.computation import engine
from screening.intake import Answers, FileKind
from screening.scoring.caveats import NO_PAST, remarks
from screening.scoring.reason_codes import explain
from screening.scoring.score import own_probabilities, score
from screening.scoring.thresholds import always
from screening.settings import Settings
from screening.transactions.json_records import from_mappings
from screening.transactions.schema import CARD, Transactions
from screening.uploads.line.order import ScreeningOrder
from screening.uploads.line.screen import screen
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder
from tests.artifact_factory import random_rows
from utils import get_probabilities

FEW = hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
START = datetime(2018, 8, 10, tzinfo=UTC).timestamp()
PAYMENTS = st.lists(
    st.tuples(st.integers(0, 40 * 86_400), st.integers(1, 4), st.integers(1, 3), st.floats(0, 2000)),
    min_size=1,
    max_size=25,
)


@pytest.fixture
def payments(settings: Settings) -> Detector:
    return Detectors(settings).get("payments")


def mappings(rows: list[tuple[int, int, int, float]]) -> list[dict[str, Any]]:
    """Payments as JSON has them."""
    return [
        {
            "TX_DATETIME": datetime.fromtimestamp(START + seconds, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "CUSTOMER_ID": str(customer),
            "TERMINAL_ID": str(terminal),
            "TX_AMOUNT": round(amount, 2),
        }
        for seconds, customer, terminal, amount in rows
    ]


class Only:
    """A registry of one detector."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def choose(self, header: list[str], _wanted: str | None = None) -> Detector:
        self.detector.contract.match(header)
        return self.detector

    def in_place_of(self, detector: Detector) -> tuple[Detector, str]:
        return detector, ""

    def standing(self, _name: str) -> DetectorStanding:
        return DetectorStanding(DetectorState.APPROVED)


def screened(folder: Path, detector: Detector, text: str, **more: Any) -> ScreeningOutcome:
    """What a screening leaves of a file."""
    made = UploadFolder(folder, "one")
    made.create()
    made.input.write_text(text, encoding="utf-8")
    made.complete()
    screen(made, FileKind.CSV, Only(detector), ScreeningOrder(limits=always(0.5), **more))  # type: ignore[arg-type]
    return ScreeningOutcome(made, 0.5)


def csv_of(rows: list[dict[str, Any]]) -> str:
    lines = [",".join(rows[0]), *(",".join(str(cell) for cell in row.values()) for row in rows)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    return iter(tmp_path / str(number) for number in range(10_000))


@FEW
@given(st.integers(1, 40), st.integers(0, 10_000))
def test_one_by_one_together_and_as_a_file_plain_rows_get_the_same(
    tiny: Detector, fresh: Iterator[Path], count: int, seed: int
) -> None:
    values = random_rows(count, seed)
    rows = [dict(zip(CARD.columns, row, strict=True)) for row in values.tolist()]
    together = score(from_mappings(rows, CARD), tiny, threshold=0.5)
    alone = [score(from_mappings([row], CARD), tiny, threshold=0.5) for row in rows]
    file = screened(next(fresh), tiny, csv_of(rows))

    np.testing.assert_array_equal(together.probabilities, get_probabilities(rows, tiny))
    np.testing.assert_array_equal(file.probability, together.probabilities)
    np.testing.assert_allclose([one.probabilities[0] for one in alone], together.probabilities, atol=1e-7)
    assert [one.caveats[0] for one in alone] == together.caveats
    for row in np.flatnonzero(together.flagged).tolist():
        assert file.reasons[row] == [reason.text for reason in together.reasons[row]]


@FEW
@example(earlier=[(0, 1, 1, 0.0)], now=[(0, 1, 1, 0.125)])
@given(earlier=PAYMENTS, now=PAYMENTS)
def test_one_by_one_together_and_as_a_file_rows_that_look_back_get_the_same(
    payments: Detector, fresh: Iterator[Path], earlier: list[Any], now: list[Any]
) -> None:
    before = from_mappings(mappings(earlier), payments.contract).values
    rows = mappings(now)
    given_ = from_mappings(rows, payments.contract)
    past = Past(before, np.full(len(before), -1, np.int8))
    together = score(given_, payments, History(past=past), threshold=0.5)

    class Remembered:
        told = "of all users' files"

        def past(self, _rows: np.ndarray) -> Past:
            return past

    # a few payments of cents would be asked about
    said = Answers(unit="whole")
    file = screened(next(fresh), payments, csv_of(rows), context=lambda _detector: Remembered(), answers=said)
    np.testing.assert_array_equal(
        together.probabilities, get_probabilities(rows, payments, History(past=past))
    )
    np.testing.assert_array_equal(file.probability, together.probabilities)
    for row in np.flatnonzero(together.flagged).tolist():
        assert file.reasons[row] == [reason.text for reason in together.reasons[row]]
    for place in range(len(rows)):  # the others lie before it: as earlier rows they count as in one batch
        others = np.concatenate([before, np.delete(given_.values, place, axis=0)])
        seen = History(past=Past(others, np.full(len(others), -1, np.int8)))
        itself = Transactions(given_.columns, given_.values[place : place + 1])
        alone = score(itself, payments, seen, threshold=0.5)
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[place], atol=1e-6)


def test_every_part_is_what_its_own_room_gives(payments: Detector) -> None:
    rows = from_mappings(mappings([(0, 1, 1, 10.0), (60, 1, 1, 900.0), (90, 2, 2, 1e6)]), payments.contract)
    seen = History(past=Past(rows.values[:1], np.array([-1], np.int8)))
    found = score(rows, payments, seen, threshold=0.5)
    assert found.flagged.tolist() == [False, True, True]
    assert not found.reasons[0]
    assert found.reasons[1:] == explain(payments, found.suspects)
    assert found.caveats == remarks(payments, rows, seen)
    assert len(found.suspects) == 2


@pytest.mark.parametrize("indexed", [True, False])
def test_a_flagged_row_that_looks_back_has_its_features_made_once_and_its_past_sorted_once(
    payments: Detector, monkeypatch: pytest.MonkeyPatch, indexed: bool
) -> None:
    rows = from_mappings(mappings([(0, 1, 1, 900.5)]), payments.contract)
    definition = payments.vectorizer.definition
    assert definition is not None
    past = Past(rows.values, np.array([-1], np.int8))
    seen = History(past=PastIndex(definition, past) if indexed else past)
    made: list[int] = []
    sheets, begin = engine.sheets, PastIndex.__init__
    ordered: list[int] = []

    def making(*args: Any, **more: Any) -> Any:
        made.append(1)
        return sheets(*args, **more)

    def ordering(*args: Any) -> None:
        ordered.append(1)
        begin(*args)

    monkeypatch.setattr(engine, "sheets", making)
    monkeypatch.setattr(PastIndex, "__init__", ordering)
    found = score(rows, payments, seen, threshold=0.5)
    assert found.flagged.tolist() == [True]
    assert found.reasons[0]
    assert made == [1]
    assert ordered == ([] if indexed else [1])


def test_a_file_is_told_no_reasons_and_no_caveats(payments: Detector) -> None:
    rows = from_mappings(mappings([(0, 1, 1, 900.5)]), payments.contract)
    found = score(rows, payments, threshold=0.5, explain=False)
    assert (found.reasons, found.caveats) == ([], [])
    assert len(found.suspects) == 1
    assert score(rows, payments, threshold=0.5).caveats == [[NO_PAST]]


def test_no_rows_are_no_trouble(tiny: Detector, payments: Detector) -> None:
    for detector in (tiny, payments):
        width = len(detector.contract.columns)
        found = score(Transactions(detector.contract.columns, np.empty((0, width))), detector, threshold=0.5)
        assert (len(found.probabilities), len(found.flagged), len(found.suspects)) == (0, 0, 0)
        assert (found.reasons, found.caveats) == ([], [])


def test_columns_may_stand_in_any_order(tiny: Detector) -> None:
    values = random_rows(20, seed=5)
    values[3, CARD.columns.index("V14")] = 1e30
    tiny = replace(tiny, vectorizer=Vectorizer(CARD, tiny.vectorizer.centre, tiny.vectorizer.scale))
    order = np.random.default_rng(1).permutation(30)
    shuffled = Transactions(tuple(CARD.columns[place] for place in order), values[:, order])
    usual, other = (
        score(rows, tiny, threshold=0.5) for rows in (Transactions(CARD.columns, values), shuffled)
    )
    np.testing.assert_array_equal(other.probabilities, usual.probabilities)
    assert (other.reasons, other.caveats) == (usual.reasons, usual.caveats)


def test_block_by_block_it_can_be_stopped_and_messages_count_from_the_first_row(
    payments: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.detectors.vectorizer.BLOCK_FEATURES", 2)
    rows = from_mappings(mappings([(60 * number, 1, 1, 10.0) for number in range(5)]), payments.contract)
    blocks: list[int] = []

    def watched(inputs: Inputs, detector: Detector) -> np.ndarray:
        blocks.append(inputs.before)
        return own_probabilities(inputs, detector)

    whole = score(rows, payments, NOTHING, threshold=0.5, probabilities=watched)
    assert blocks == [0, 2, 4]
    np.testing.assert_allclose(whole.probabilities, get_probabilities(rows, payments), atol=1e-7)

    class Stop(Exception):
        pass

    def stop(rows: int) -> None:
        assert rows == 2
        raise Stop

    with pytest.raises(Stop):
        score(rows, payments, threshold=0.5, on_block=stop)

    class Broken:
        def probabilities(self, scaled: np.ndarray) -> np.ndarray:
            return np.where(np.arange(len(scaled)) == 1, np.float32(2), np.float32(0.5))

    with pytest.raises(BadTransaction, match="Row 2 is too extreme"):
        score(rows, replace(payments, scorer=Broken()), threshold=0.5)  # type: ignore[arg-type]


def test_a_row_of_a_file_that_cannot_be_scored_is_named_by_its_place_in_the_file(
    tiny: Detector, tmp_path: Path
) -> None:
    count = 30_000  # some batches
    rows = np.round(random_rows(count), 3)
    narrow = tiny.vectorizer.scale.copy()
    narrow[5] = 1e-30
    thin = replace(tiny, vectorizer=Vectorizer(CARD, tiny.vectorizer.centre, narrow))
    rows[:, 5] = tiny.vectorizer.centre[5]
    rows[count - 2, 5] = 1e30
    text = ",".join(CARD.columns) + "\n" + "\n".join(",".join(map(str, row)) for row in rows.tolist())
    with pytest.raises(BadFile, match=f"V5 in row {count - 1} is too large") as caught:
        screened(tmp_path, thin, text)
    assert caught.value.where == f"row {count - 1}, column V5"
    assert [problem.row for problem in caught.value.problems] == [count - 1]
