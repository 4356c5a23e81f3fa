"""Detectors: what belongs together loads, what doesn't stops the start, and names decide."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from screening.detectors.detector import Detector, load_detector
from screening.detectors.registry import Detectors, load_default
from screening.detectors.vectorizer import Inputs
from screening.errors import BadArtefact, BadTransaction, NotFound
from screening.scoring.thresholds import flag
from screening.settings import ROOT, Settings
from screening.transactions.schema import CARD, Transactions
from screening.web.app_factory import create_app
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.artifact_factory import (
    CENTRE,
    SCALE,
    WIDTH,
    cache_in,
    fitted_scaler,
    random_rows,
    scored_by,
    write_keras_2_12,
    write_vectorizer,
)
from tests.conftest import Person
from tests.shared import share_compiled

LINES = hypothesis_settings(max_examples=40, deadline=None)


def by_hand(weights: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """The old net's arithmetic in float64, with a scaler of all columns."""
    return forward(weights, (rows - CENTRE) / SCALE)


def forward(weights: dict[str, np.ndarray], scaled: np.ndarray) -> np.ndarray:
    """The net's own forward pass in float64."""
    hidden = np.maximum(scaled @ weights["dense/kernel:0"] + weights["dense/bias:0"], 0)
    mean, variance = (weights[f"batch_normalization/moving_{part}:0"] for part in ("mean", "variance"))
    hidden = (hidden - mean) / np.sqrt(variance + 0.001)
    hidden = hidden * weights["batch_normalization/gamma:0"] + weights["batch_normalization/beta:0"]
    logit = (hidden @ weights["dense_1/kernel:0"] + weights["dense_1/bias:0"])[:, 0]
    probability: np.ndarray = 1 / (1 + np.exp(-logit))
    return probability


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """The old project's pair: Keras 2.12, scikit-learn 1.2; compiled by the real compiler."""
    folder = tmp_path_factory.mktemp("old")
    weights = write_keras_2_12(folder / "model.h5")
    write_vectorizer(folder / "vectorizer.pkl", written_by="1.2.2")
    return folder, weights


def test_the_old_projects_pair_scores_as_its_arithmetic_by_hand(
    old: tuple[Path, dict[str, np.ndarray]],
) -> None:
    folder, weights = old
    detector = load_detector(
        "old", folder / "model.h5", folder / "vectorizer.pkl", None, cache_in(folder / "cache")
    )
    rows = random_rows(2000)
    expected = by_hand(weights, rows)
    assert expected.std() > 0.1
    assert np.abs(detector.probabilities(Transactions(CARD.columns, rows)) - expected).max() < 1e-5
    assert detector.contract == CARD
    assert detector.card is None
    assert all(
        part in " ".join(detector.warnings) for part in ("assumed", "InconsistentVersionWarning", "no card")
    )


@pytest.fixture(scope="module")
def of_amount(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """The pair that the old project ships: Dense 2, BatchNormalization, Dense 1, and a scaler of Amount alone."""
    folder = tmp_path_factory.mktemp("of_amount")
    weights = write_keras_2_12(folder / "net.h5", units=2, spread=0.05)
    scaler = fitted_scaler(1, np.zeros(1), np.ones(1))
    write_vectorizer(folder / "scaling.bin", scaler=scaler, written_by="1.2.2")
    return folder, weights


def test_the_pair_that_the_old_project_ships_scores_as_its_notebook_trained(
    of_amount: tuple[Path, dict[str, np.ndarray]],
) -> None:
    folder, weights = of_amount
    detector = load_detector(
        "old", folder / "net.h5", folder / "scaling.bin", None, cache_in(folder / "cache")
    )
    random = np.random.default_rng(5)
    rows = np.c_[random.uniform(0, 172_792, 2000), random.normal(size=(2000, 28)), random.gamma(1, 20, 2000)]
    given = rows.copy()
    given[:, 0] /= 172_792.0
    expected = forward(weights, given)
    assert expected.std() > 0.04
    assert np.abs(detector.probabilities(Transactions(CARD.columns, rows)) - expected).max() < 1e-5
    shuffled = Transactions((*CARD.columns[1:], "Time"), np.c_[rows[:, 1:], rows[:, 0]])
    assert np.abs(detector.probabilities(shuffled) - expected).max() < 1e-5
    said = " ".join(detector.warnings)
    assert "is the identity" in said
    assert "uncalibrated" in said
    assert "InconsistentVersionWarning" in said


def test_the_old_pair_is_served_and_warned_of_in_the_log_on_the_status_page_and_with_each_result(
    of_amount: tuple[Path, dict[str, np.ndarray]], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    folder, _ = of_amount
    (folder / "cache").mkdir(exist_ok=True)
    (settings.instance / "compiled").unlink()
    (settings.instance / "compiled").symlink_to(folder / "cache")
    served = replace(settings, model_file=folder / "net.h5", vectorizer_file=folder / "scaling.bin")
    with caplog.at_level(logging.WARNING, "screening.detectors.detector"):
        app = create_app(served)
    assert "is the identity" in caplog.text
    assert "uncalibrated" in caplog.text
    services: Services = app.extensions["screening"]
    worker = Worker(served, services.screenings, services.detectors)
    thread = threading.Thread(target=worker.loop)
    thread.start()
    try:
        person = Person(app, "ana").sign_up().log_in()
        result = person.upload((ROOT / "transactions_data.csv").read_bytes()).headers["Location"]
        deadline = time.monotonic() + 30
        while (found := services.screenings.get(result.rpartition("/")[2])) is None or found.state != "done":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        worker.stop()
        thread.join()
    for page in ("/status", result):
        text = person.client.get(page).get_data(as_text=True)
        assert "is the identity" in text, page
        assert "uncalibrated" in text, page
    services.database.engine.dispose()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"time_max": 0.0}, "time_min and time_max"),
        ({"time_min": None}, "time_min and time_max"),
        ({"scaler": fitted_scaler(1, np.zeros(1), np.zeros(1))}, "scale for Amount is 0"),
        (
            {"scaler": fitted_scaler(1, np.zeros(1), np.ones(1), ["Betrag"])},
            "takes 30 inputs, but the vectorizer makes 1",
        ),
    ],
)
def test_a_scaler_of_amount_alone_that_cannot_be_right_is_refused(
    of_amount: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, content: dict[str, object], said: str
) -> None:
    folder, _ = of_amount
    given = {"scaler": fitted_scaler(1, np.zeros(1), np.ones(1))} | content
    dump = write_vectorizer(tmp_path / "v.pkl", **given)
    with pytest.raises(BadArtefact, match=said):
        load_detector("old", folder / "net.h5", dump, None, cache_in(folder / "cache"))


def test_an_identity_scaler_is_a_warning_on_the_detector_and_in_the_log(
    nets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scaler = fitted_scaler(centre=np.zeros(WIDTH), scale=np.ones(WIDTH))
    dump = write_vectorizer(tmp_path / "v.pkl", scaler=scaler)
    with caplog.at_level(logging.WARNING, "screening.detectors.detector"):
        detector = load_detector("old", nets / "good.h5", dump, None, cache_in(nets / "cache"))
    assert any("probabilities can't be trusted" in warning for warning in detector.warnings)
    assert any("probabilities can't be trusted" in record.getMessage() for record in caplog.records)


@pytest.mark.security(30)
def test_a_net_of_another_width_stops_the_start(nets: Path) -> None:
    with pytest.raises(BadArtefact, match=r"narrow\.h5 takes 29 inputs, but the vectorizer makes 30"):
        load_detector("x", nets / "narrow.h5", nets / "vectorizer.pkl", None, cache_in(nets / "cache"))


def test_the_typical_range_is_the_middle_half_and_never_below_zero_for_time_and_amount(
    tiny: Detector,
) -> None:
    assert tiny.typical["V1"] == pytest.approx((CENTRE[1] - SCALE[1] / 2, CENTRE[1] + SCALE[1] / 2))
    assert tiny.typical["Amount"][0] == 0
    assert tiny.typical["Time"][0] == 0


ROWS = st.integers(1, 40).flatmap(lambda rows: st.tuples(st.just(rows), st.integers(0, 10_000)))


@LINES
@given(ROWS, st.permutations(range(WIDTH)), st.integers(0, WIDTH))
def test_shuffled_and_extra_columns_do_not_move_a_probability(
    tiny: Detector, rows: tuple[int, int], order: list[int], place: int
) -> None:
    values = random_rows(*rows)
    names = [CARD.columns[column] for column in order]
    names.insert(place, "merchant")
    shuffled = np.insert(values[:, order], place, np.nan, axis=1)
    moved = tiny.probabilities(Transactions(tuple(names), shuffled))
    np.testing.assert_array_equal(moved, tiny.probabilities(Transactions(CARD.columns, values)))


@LINES
@given(ROWS, st.randoms(use_true_random=False))
def test_permuted_rows_get_their_own_probabilities(
    tiny: Detector, rows: tuple[int, int], random: Random
) -> None:
    values = random_rows(*rows)
    order = list(range(len(values)))
    random.shuffle(order)
    whole = tiny.probabilities(Transactions(CARD.columns, values))
    moved = tiny.probabilities(Transactions(CARD.columns, values[order]))
    np.testing.assert_allclose(moved, whole[order], rtol=0, atol=1e-7)


@LINES
@given(ROWS)
def test_rows_one_by_one_get_what_they_get_in_a_batch(tiny: Detector, rows: tuple[int, int]) -> None:
    values = random_rows(*rows)
    whole = tiny.probabilities(Transactions(CARD.columns, values))
    alone = [tiny.probabilities(Transactions(CARD.columns, row[None]))[0] for row in values]
    np.testing.assert_allclose(whole, alone, rtol=0, atol=1e-7)
    assert (flag(whole, 0.5) == flag(np.array(alone, np.float32), 0.5)).all()


@pytest.mark.security(27)
@pytest.mark.parametrize("output", [np.nan, np.inf, -0.1, 1.5])
def test_what_the_net_gives_is_a_probability_or_an_error(tiny: Detector, output: float) -> None:
    class Broken:
        def probabilities(self, rows: np.ndarray) -> np.ndarray:
            return np.where(np.arange(len(rows)) == 2, np.float32(output), np.float32(0.5))

    broken = scored_by(tiny, Broken())
    with pytest.raises(BadTransaction, match="Row 3 is too extreme"):
        broken.probabilities(Transactions(CARD.columns, random_rows(5)))


@pytest.fixture
def elsewhere(nets: Path, tmp_path: Path) -> Settings:
    """Settings whose pair is not the one at the root, so that no card is needed."""
    share_compiled(tmp_path, nets / "cache")
    return Settings(instance=tmp_path, model_file=nets / "good.h5", vectorizer_file=nets / "vectorizer.pkl")


def test_the_registry_has_the_default_pair_and_those_in_folders(elsewhere: Settings, nets: Path) -> None:
    detectors = Detectors(elsewhere)
    assert detectors.names()[0] == detectors.default.name == "card"
    assert detectors.get() is detectors.get("card") is detectors.default
    assert "no card" in " ".join(detectors.default.warnings)
    folder = elsewhere.instance / "detectors" / "shop"
    folder.mkdir(parents=True)
    (folder / "model.h5").write_bytes((nets / "good.h5").read_bytes())
    assert "shop" in detectors.names()
    with pytest.raises(BadArtefact, match=r"vectorizer\.pkl is missing"):
        detectors.get("shop")
    assert detectors.all()[0] is detectors.default
    assert "shop" not in {each.name for each in detectors.all()}
    assert detectors.choose(CARD.columns) is detectors.default


@pytest.mark.parametrize("name", ["other", "../card", "x" * 500])
def test_an_unknown_detector_is_not_found(name: str, elsewhere: Settings) -> None:
    with pytest.raises(NotFound, match="There is no detector"):
        Detectors(elsewhere).get(name)


@pytest.mark.skipif(
    not (ROOT / "model" / "card.json").is_file(), reason="no card is here: run `git checkout model/card.json`"
)
@pytest.mark.security(28)
def test_the_shipped_pair_matches_its_card(settings: Settings) -> None:
    detector = load_default(settings)
    assert detector.card is not None
    assert detector.card.fingerprint == detector.fingerprint
    assert detector.warnings == []


def test_a_late_detector_compiles_its_net_when_it_first_scores(nets: Path, tmp_path: Path) -> None:
    files = nets / "good.h5", nets / "vectorizer.pkl", None
    cache = tmp_path / "cache"
    cache.mkdir()
    late = load_detector("late", *files, cache_in(cache), late=True)
    assert not list(cache.iterdir())
    cache.rmdir()
    cache.symlink_to(nets / "cache")
    rows = Transactions(CARD.columns, random_rows(20))
    at_once = load_detector("at once", *files, cache_in(nets / "cache"))
    np.testing.assert_array_equal(late.probabilities(rows), at_once.probabilities(rows))


def test_inputs_get_the_probabilities_of_the_rows_that_they_were_made_of(tiny: Detector) -> None:
    rows = Transactions(CARD.columns, random_rows(300))
    (inputs,) = tiny.vectorizer.blocks(rows)
    assert inputs.values is rows.values
    np.testing.assert_array_equal(tiny.probabilities(inputs), tiny.probabilities(rows))


def test_what_is_wrong_with_inputs_is_said_of_the_row_that_they_were_made_of(tiny: Detector) -> None:
    values = random_rows(5)
    values[2, 3] = np.nan
    with pytest.raises(BadTransaction, match="V3 in row 1003") as caught:
        tiny.probabilities(Inputs(values, before=1000))
    assert [problem.row for problem in caught.value.problems] == [1003]
