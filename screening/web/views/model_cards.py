"""A detector's card as the pages show it: figures with their spread, tests, curves, training data.

A card may lack anything (files of another make have none at all); what isn't there isn't shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from screening.detectors.detector import Detector
from screening.transactions.schema import CellKind, ColumnContract
from screening.web.views import charts, formatting
from screening.web.views.measures import Tested, mean

PRECISION_RECALL = "Precision against recall"
ROC = "Receiver operating characteristic (ROC)"
RELIABILITY = "Reliability"
TRAINING_TERMS = (("Data", "description"), ("Credit", "credit"), ("Source", "source"), ("Licence", "licence"))


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure: what it is, how high, how sure, and what it means."""

    name: str
    text: str
    remark: str
    explanation: str


@dataclass(frozen=True, slots=True)
class TestView:
    """One test of the detector on rows that it was not trained on."""

    name: str
    frauds: int | None
    average_precision: float | None
    interval: tuple[float, float] | None
    auc: float | None
    recall_at_low_fpr: float | None
    precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True)
class CurveView:
    """A chart with its words and its numbers."""

    title: str
    description: str
    axes: tuple[str, str]
    chart: charts.Curve
    heads: tuple[str, ...]
    table: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """What the pages show of a card; everything may be empty."""

    summary: str = ""
    description: str = ""
    figures: tuple[Figure, ...] = ()
    figures_source: str = ""
    tests: tuple[TestView, ...] = ()
    curves: tuple[CurveView, ...] = ()
    training: tuple[tuple[str, str], ...] = ()
    libraries: str = ""
    threshold: float | None = None
    average_precision: float | None = None
    auc: float | None = None
    measured_on: str = ""
    rows: int | None = None
    """How many rows it learned from."""


def describe(detector: Detector) -> CardView:
    """The card of a detector, ready to be shown."""
    card = detector.card
    if not card:
        return CardView()
    tested = Tested.of(card.get("metrics") or {})
    training = card.get("training_data") or {}
    return CardView(
        summary=_summary(tested),
        description=training.get("description", ""),
        figures=tuple(_figures(tested)),
        figures_source=tested.source,
        tests=tuple(map(_test, tested.all)),
        curves=tuple(_curves(tested.widest)),
        training=tuple(_training(training, card, detector.contract)),
        libraries=", ".join(f"{name} {version}" for name, version in (card.get("libraries") or {}).items()),
        threshold=card.get("threshold"),
        average_precision=mean(tested.honest, "average_precision"),
        auc=mean(tested.honest, "auc"),
        measured_on=tested.short,
        rows=training.get("rows"),
    )


def _summary(tested: Tested) -> str:
    precision = mean(tested.honest, "average_precision")
    if precision is None:
        return ""
    auc = formatting.figure(mean(tested.honest, "auc"))
    return f"average precision {formatting.figure(precision)}, AUC {auc} on {tested.short}"


def _figures(tested: Tested) -> list[Figure]:
    tests = tested.honest
    if mean(tests, "average_precision") is None:
        return []
    flagged = tested.widest.get("flagged") or {}
    where = "In the folds." if tested.widest is tested.folds else ""
    found = [
        Figure(
            "Average precision (AP)",
            formatting.figure(mean(tests, "average_precision")),
            _spread(tests, "average_precision"),
            "The mean precision over all thresholds; 1 is best, guessing gives the share of fraud.",
        ),
        Figure(
            "AUC",
            formatting.figure(mean(tests, "auc")),
            _spread(tests, "auc"),
            "Area under the ROC curve: how often a fraud scores above a legitimate payment.",
        ),
        Figure(
            "Recall at 0.1 % false positives",
            formatting.percent(mean(tests, "recall_at_0_1_percent_fpr")),
            "of the fraud is found",
            "When one legitimate payment in a thousand is flagged by mistake.",
        ),
    ]
    if flagged:
        threshold = formatting.plain(flagged.get("threshold"))
        found += [
            Figure(
                f"Precision at {threshold}",
                formatting.percent(_precision(flagged)),
                _flagged_remark(flagged.get("rows_flagged")),
                where,
            ),
            Figure(
                f"Recall at {threshold}",
                formatting.percent(flagged.get("recall")),
                "of the fraud is flagged",
                where,
            ),
        ]
    return found


def _flagged_remark(rows: int | None) -> str:
    """Of how many rows the precision is: of a few hundred, 100 % is no certainty."""
    if rows is None:
        return "of the flagged rows are fraud"
    said = formatting.plural(rows, "row is", "rows are")
    return f"of {formatting.number(rows)} flagged {said} fraud" if rows else "no row was flagged"


def _precision(flagged: Mapping[str, Any]) -> float | None:
    """Of the flagged rows; of none there is no share."""
    return None if flagged.get("rows_flagged") == 0 else flagged.get("precision")


def _spread(tests: Sequence[Mapping[str, Any]], name: str) -> str:
    values = [test[name] for test in tests if test.get(name) is not None]
    if len(values) > 1:
        return f"{formatting.figure(min(values))} to {formatting.figure(max(values))}"
    interval = (tests[0].get("interval_95") or {}).get(name)
    return f"95 %: {formatting.figure(interval[0])} to {formatting.figure(interval[1])}" if interval else ""


def _test(test: Mapping[str, Any]) -> TestView:
    interval = (test.get("interval_95") or {}).get("average_precision")
    flagged = test.get("flagged") or {}
    return TestView(
        name=str(test.get("name", "")),
        frauds=test.get("frauds"),
        average_precision=test.get("average_precision"),
        interval=(interval[0], interval[1]) if interval else None,
        auc=test.get("auc"),
        recall_at_low_fpr=test.get("recall_at_0_1_percent_fpr"),
        precision=_precision(flagged),
        recall=flagged.get("recall"),
    )


def _curves(test: Mapping[str, Any]) -> list[CurveView]:
    drawn = test.get("curves") or {}
    found = []
    if drawn.get("precision_recall"):
        points = drawn["precision_recall"]
        text = "How pure the flagged rows are as more of the fraud is caught. The higher, the better."
        axes = ("recall", "precision")
        found.append(_curve(PRECISION_RECALL, text, axes, charts.precision_recall(points), points))
    if drawn.get("roc"):
        points = drawn["roc"]
        text = "Fraud caught against legitimate payments flagged by mistake. The dashed line is guessing."
        axes = ("false positive rate", "recall")
        found.append(_curve(ROC, text, axes, charts.roc(points), points))
    if test.get("reliability"):
        found.append(_reliability(test["reliability"]))
    return found


def _curve(
    title: str, text: str, axes: tuple[str, str], chart: charts.Curve, points: Sequence[Sequence[float]]
) -> CurveView:
    table = tuple((formatting.plain(x), formatting.figure(y)) for x, y in points)
    return CurveView(title, text, axes, chart, axes, table)


def _reliability(bins: Sequence[dict[str, float]]) -> CurveView:
    text = (
        "What was said against what was seen, 95 % intervals, logit scale. On the dashed line, said is seen."
    )
    table = tuple(
        (
            formatting.percent(one["mean_probability"], 2),
            formatting.percent(one["observed"], 2),
            f"{formatting.percent(one['low'], 2)} to {formatting.percent(one['high'], 2)}",
            formatting.number(one.get("rows")),
        )
        for one in bins
    )
    heads = ("said", "seen", "95 % interval", "rows")
    axes = ("mean probability", "share of fraud")
    return CurveView(RELIABILITY, text, axes, charts.reliability(bins), heads, table)


def _training(
    training: Mapping[str, Any], card: Mapping[str, Any], contract: ColumnContract
) -> list[tuple[str, str]]:
    found = [(word, str(training[name])) for word, name in TRAINING_TERMS if training.get(name)]
    if training.get("rows") is not None:
        frauds = formatting.number(training.get("frauds"))
        found.append(("Rows", f"{formatting.number(training['rows'])}, {frauds} of them fraud"))
    if training.get("time_max") is not None:
        dated = any(one.name == contract.time and one.kind is CellKind.TIME for one in contract.parts())
        show = formatting.day if dated else formatting.clock
        span = f"{show(training.get('time_min'))} to {show(training['time_max'])}"
        found.append(("Time covered", span))
    if card.get("prior") is not None:
        found.append(("Share of fraud that the probabilities are for", formatting.percent(card["prior"], 3)))
    if training.get("sha256"):
        found.append(("File's SHA-256", str(training["sha256"])))
    return found
