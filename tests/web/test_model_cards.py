"""A detector's card on its page: whatever it lacks isn't shown, whatever it has is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from screening.detectors.detector import Detector
from screening.detectors.model_card import ModelCard
from screening.transactions.schema import CellKind, Column, ColumnContract, Role
from screening.web.services import Services
from screening.web.views.detectors.columns import cleaning_of, columns_of, features_of
from screening.web.views.detectors.model_cards import describe
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
    card = describe(
        replace(
            services.detectors.default, card=ModelCard.from_json({"name": "own", "metrics": {"folds": {}}})
        )
    )
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


VALIDATION = {
    "name": "the latest 20% of the rows", "kind": "time", "rows": 600, "frauds": 28, "average_precision": 0.91,
    "auc": 0.98, "recall_at_0_1_percent_fpr": 0.7, "interval_95": {"average_precision": [0.81, 0.97]},
    "flagged": {"threshold": 0.8, "precision": 0.9, "recall": 0.6}, "curves": {"roc": [[0, 0], [1, 1]]},
}  # fmt: skip


def trained(services: Services, **card: object) -> Detector:
    return replace(
        services.detectors.default, card=ModelCard.from_json({"metrics": {"validation": VALIDATION}, **card})
    )


def test_the_one_test_of_a_training_is_what_its_figures_are_of(services: Services) -> None:
    card = describe(trained(services))
    assert (card.average_precision, card.auc, card.measured_on) == (0.91, 0.98, "later rows")
    assert card.figures[0].remark == "95 %: 0.810 to 0.970"
    assert "600 rows, 28 of them fraud" in card.figures_source
    assert [curve.title.split()[0] for curve in card.curves] == ["Receiver"]
    assert "later rows" in card.summary


def test_where_nothing_was_flagged_no_precision_is_claimed(services: Services) -> None:
    flagged = {"threshold": 0.8, "precision": 1.0, "recall": 0.0, "rows_flagged": 0}
    metrics = {"validation": {**VALIDATION, "flagged": flagged}}
    card = describe(replace(services.detectors.default, card=ModelCard.from_json({"metrics": metrics})))
    precision = next(figure for figure in card.figures if figure.name == "Precision at 0.8")
    assert (precision.text, precision.remark) == ("–", "no row was flagged")


def test_a_test_on_rows_drawn_at_random_says_so(services: Services) -> None:
    drawn = replace(
        services.detectors.default,
        card=ModelCard.from_json({"metrics": {"validation": {**VALIDATION, "kind": "random"}}}),
    )
    assert describe(drawn).measured_on == "rows drawn at random"


def test_columns_are_told_by_what_is_usual_in_them(services: Services) -> None:
    contract = ColumnContract.of(
        [
            Column("when", Role.TIME, CellKind.TIME),
            Column("from", Role.ENTITY, CellKind.ADDRESS, optional=True),
            Column("sum", Role.AMOUNT),
            Column("shop", Role.CATEGORY, CellKind.TEXT),
            Column("card", Role.ENTITY, CellKind.TEXT),
            Column("new", Role.NUMBER),
        ]
    )
    known = {
        "when": {"q25": 1_709_251_200.0, "q75": 1_711_843_200.0},
        "from": {
            "deciles": [0.0, 1.0, 167_772_160.0, 167_772_162.0, 2, 3, 4, 167_772_170.0, 167_772_172.0, 9, 9]
        },
        "sum": {"q25": 1.5, "q75": 250.0, "missing": 0.25},
        "shop": {"levels": [[1.0, 0.5], [2.0, 0.3]], "other": 0.0},
        "card": {"levels": [[1.0, 0.01]], "other": 0.99},
    }
    detector = replace(trained(services, columns=known), contract=contract, typical={})
    views = {view.name: view for view in columns_of(detector)}
    assert {name: view.usual for name, view in views.items()} == {
        "when": "1 Mar 2024 to 31 Mar 2024",
        "from": "10.0.0.1 to 10.0.0.11",
        "sum": "1.500 to 250, 25.0\u00a0% blank",
        "shop": "2 values, the top one 50.0\u00a0%",
        "card": "many values, the top one 1.0\u00a0%",
        "new": "–",
    }
    assert (views["from"].remark, views["when"].remark) == ("IP addresses, may be blank", "")


def test_a_detector_whose_columns_are_its_inputs_has_no_features_and_without_a_report_no_cleaning(
    services: Services,
) -> None:
    assert features_of(services.detectors.default) == []
    assert cleaning_of(services.detectors.default) is None


def test_the_report_of_the_cleaning_stands_on_the_page(services: Services, app: object) -> None:
    card = services.detectors.default.card
    assert card is not None
    finding = {
        "kind": "leak",
        "column": "code",
        "rows": 90,
        "done": "column left out",
        "words": "code tells all.",
    }
    cleaning = {
        "rows": 100, "rows_learned_from": 90, "findings": [finding],
        "unused": [{"column": "note", "reason": "free text"}],
        "unreadable": [{"problem": "is no word", "column": "code", "row": 7, "line": 8, "value": "x"}],
    }  # fmt: skip
    services.detectors.default = replace(
        services.detectors.default, card=ModelCard.from_json({**card.raw, "cleaning": cleaning})
    )
    text = Person(app, "visitor").client.get("/detectors/card").get_data(as_text=True)  # type: ignore[arg-type]
    for said in (
        "code tells all.",
        "column left out",
        "free text",
        "100 rows, 90 of them learned from",
        "is no word",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("rows", "remark"),
    [
        (304, "of 304 flagged rows are fraud"),
        (1, "of 1 flagged row is fraud"),
        (None, "of the flagged rows are fraud"),
    ],
)
def test_a_precision_says_of_how_many_rows_it_is(services: Services, rows: int | None, remark: str) -> None:
    flagged = {"threshold": 0.8, "precision": 1.0, "recall": 0.7, "rows_flagged": rows}
    found = describe(
        replace(
            services.detectors.default,
            card=ModelCard.from_json({"metrics": {"validation": {**VALIDATION, "flagged": flagged}}}),
        )
    )
    (precision,) = [one for one in found.figures if one.name == "Precision at 0.8"]
    assert (precision.text, precision.remark) == ("100\u00a0%", remark)


def test_a_detector_that_flags_nothing_says_at_which_threshold_it_would(
    services: Services, app: object
) -> None:
    detector = services.detectors.default
    flags = {"threshold": 0.8, "precision": 1.0, "recall": 0.0, "rows_flagged": 0}
    as_many = {"threshold": 0.3125, "precision": 0.43, "recall": 0.4, "rows_flagged": 57}
    blend = [
        {"model": "XGBoost", "rounds": 80, "weight": 0.75},
        {"model": "small nets", "rounds": 9, "weight": 0.25},
    ]
    card = ModelCard.from_json({
        "name": "own", "training_data": {"rows": 1000, "frauds": 60},
        "metrics": {"blend": blend, "validation": {"rows": 1000, "frauds": 60, "flagged": flags, "as_many": as_many}},
    })  # fmt: skip
    assert card.metrics.silence == (
        "Nothing in its test reached 0.8: at that threshold it flags hardly anything. "
        "At 0.3125 it flags 57 of 1,000 rows, 43 % of them fraud."
    )
    quiet = replace(detector, card=card)
    assert ("Models", "XGBoost 75.0\xa0%, small nets 25.0\xa0%") in describe(quiet).training
    from flask import render_template

    with app.test_request_context("/"):  # type: ignore[attr-defined]
        text = render_template("detector.html", detector=quiet)
    assert "Flags hardly anything" in text
    assert "At 0.3125 it flags 57" in text
