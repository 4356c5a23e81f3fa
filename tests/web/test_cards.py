"""A detector's card on its page: whatever it lacks isn't shown, whatever it has is."""

from __future__ import annotations

from dataclasses import replace

from screening.web.cards import describe
from screening.web.services import Services
from tests.conftest import Person


def test_the_shipped_card_shows_figures_tests_curves_and_training_data(services: Services) -> None:
    card = describe(services.detectors.default)
    assert card.figures[0].name.startswith("Average precision")
    assert {curve.title.split()[0] for curve in card.curves} == {"Precision", "Receiver", "Reliability"}
    assert all(curve.table for curve in card.curves)
    assert len(card.tests) >= 4
    assert any(term == "Licence" for term, _ in card.training)


def test_a_detector_without_a_card_has_an_empty_one(services: Services) -> None:
    card = describe(replace(services.detectors.default, card=None))
    assert (card.figures, card.tests, card.curves, card.summary) == ((), (), (), "")


def test_a_card_with_nothing_but_a_name_breaks_nothing(services: Services) -> None:
    card = describe(replace(services.detectors.default, card={"name": "own", "metrics": {"folds": {}}}))
    assert card.figures == ()


def test_the_pages_of_a_detector_can_be_read_without_logging_in_and_name_its_hashes(
    services: Services, app: object
) -> None:
    detector = services.detectors.default
    visitor = Person(app, "visitor")  # type: ignore[arg-type]
    for path in ("/status", f"/detectors/{detector.name}"):
        text = visitor.client.get(path).get_data(as_text=True)
        assert detector.fingerprint in text
    assert detector.model_sha256 in text
    assert detector.vectorizer_sha256 in text


def test_a_warning_is_loud_on_the_status_page_and_on_the_card(services: Services, app: object) -> None:
    detector = services.detectors.default
    detector.warnings.append("The scaler is the identity.")
    try:
        visitor = Person(app, "visitor")  # type: ignore[arg-type]
        for path in ("/status", f"/detectors/{detector.name}", "/"):
            text = visitor.client.get(path).get_data(as_text=True)
            assert "notice-caution" in text or "Not to be trusted" in text
    finally:
        detector.warnings.clear()
