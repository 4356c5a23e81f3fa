"""A detector's card as the pages show it: figures with their spread, tests, curves, training data.

A card may lack anything (files of another make have none at all); what isn't there isn't shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from screening.detectors.detector import Detector
from screening.detectors.model_card import Evaluation, FraudTypeShare, ModelCard, ReliabilityBin
from screening.transactions.schema import CellKind, ColumnContract
from screening.web.views import formatting
from screening.web.views.charts import geometry as charts
from screening.web.views.detectors.measures import CardTests, mean

PRECISION_RECALL = "Precision against recall"
ROC = "Receiver operating characteristic (ROC)"
RELIABILITY = "Reliability"


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
    """Model card as the pages show it; everything may be empty."""

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
    """Number of rows that it learned from."""


def describe(detector: Detector) -> CardView:
    """Return the card of a detector, ready to be shown."""
    card = detector.card
    if card is None:
        return CardView()
    tested = CardTests.of(card.metrics)
    return CardView(
        summary=summary_of(tested),
        description=card.training_data.description or "",
        figures=tuple(figures_of(tested)),
        figures_source=tested.source,
        tests=tuple(map(test_view, tested.all)),
        curves=tuple(curves_of(tested.widest)),
        training=tuple(training_facts(card, detector.contract)),
        libraries=", ".join(f"{name} {version}" for name, version in card.libraries.items()),
        threshold=card.threshold,
        average_precision=mean(test.average_precision for test in tested.honest),
        auc=mean(test.auc for test in tested.honest),
        measured_on=tested.short,
        rows=card.training_data.rows,
    )


def summary_of(tested: CardTests) -> str:
    """Return the tests in one line."""
    precision = mean(test.average_precision for test in tested.honest)
    if precision is None:
        return ""
    auc = formatting.figure(mean(test.auc for test in tested.honest))
    return f"average precision {formatting.figure(precision)}, AUC {auc} on {tested.short}"


def figures_of(tested: CardTests) -> list[Figure]:
    """Return the figures at the head of the card."""
    tests = tested.honest
    precision = mean(test.average_precision for test in tests)
    if precision is None:
        return []
    flagged = None if tested.widest is None else tested.widest.flagged
    where = "In the folds." if tested.widest is tested.folds else ""
    found = [
        Figure(
            "Average precision (AP)",
            formatting.figure(precision),
            _spread(tests, "average_precision", [test.average_precision for test in tests]),
            "The mean precision over all thresholds; 1 is best, guessing gives the share of fraud.",
        ),
        Figure(
            "AUC",
            formatting.figure(mean(test.auc for test in tests)),
            _spread(tests, "auc", [test.auc for test in tests]),
            "Area under the ROC curve: how often a fraud scores above a legitimate payment.",
        ),
        Figure(
            "Recall at 0.1 % false positives",
            formatting.percent(mean(test.recall_at_0_1_percent_fpr for test in tests)),
            "of the fraud is found",
            "When one legitimate payment in a thousand is flagged by mistake.",
        ),
    ]
    if flagged is not None:
        threshold = formatting.plain(flagged.threshold)
        found += [
            Figure(
                f"Precision at {threshold}",
                formatting.percent(flagged.hit_rate),
                _flagged_remark(flagged.rows_flagged),
                where,
            ),
            Figure(
                f"Recall at {threshold}",
                formatting.percent(flagged.recall),
                "of the fraud is flagged",
                where,
            ),
        ]
    return found


def _flagged_remark(rows: int | None) -> str:
    """Say of how many rows the precision is: of a few hundred, 100 % is no certainty."""
    if rows is None:
        return "of the flagged rows are fraud"
    said = formatting.plural(rows, "row is", "rows are")
    return f"of {formatting.number(rows)} flagged {said} fraud" if rows else "no row was flagged"


def _spread(tests: Sequence[Evaluation], name: str, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) > 1:
        return f"{formatting.figure(min(known))} to {formatting.figure(max(known))}"
    interval = tests[0].intervals.get(name)
    return f"95 %: {formatting.figure(interval[0])} to {formatting.figure(interval[1])}" if interval else ""


def test_view(test: Evaluation) -> TestView:
    """Return a test of a card as its page shows it."""
    return TestView(
        name=test.name or "",
        frauds=test.frauds,
        average_precision=test.average_precision,
        interval=test.intervals.get("average_precision"),
        auc=test.auc,
        recall_at_low_fpr=test.recall_at_0_1_percent_fpr,
        precision=None if test.flagged is None else test.flagged.hit_rate,
        recall=None if test.flagged is None else test.flagged.recall,
    )


def curves_of(test: Evaluation | None) -> list[CurveView]:
    """Return the curves of a test, as far as the card has their points."""
    found: list[CurveView] = []
    if test is None:
        return found
    if test.precision_recall:
        text = "How pure the flagged rows are as more of the fraud is caught. The higher, the better."
        axes = ("recall", "precision")
        chart = charts.precision_recall(test.precision_recall)
        found.append(curve_view(PRECISION_RECALL, text, axes, chart, test.precision_recall))
    if test.roc:
        text = "Fraud caught against legitimate payments flagged by mistake. The dashed line is guessing."
        axes = ("false positive rate", "recall")
        found.append(curve_view(ROC, text, axes, charts.roc(test.roc), test.roc))
    if test.reliability:
        found.append(reliability_view(test.reliability))
    return found


def curve_view(
    title: str, text: str, axes: tuple[str, str], chart: charts.Curve, points: Sequence[Sequence[float]]
) -> CurveView:
    """Return a curve with its table."""
    table = tuple((formatting.plain(x), formatting.figure(y)) for x, y in points)
    return CurveView(title, text, axes, chart, axes, table)


def reliability_view(bins: Sequence[ReliabilityBin]) -> CurveView:
    """Return what was said against what was seen, with its table."""
    text = (
        "What was said against what was seen, 95 % intervals, logit scale. On the dashed line, said is seen."
    )
    table = tuple(
        (
            formatting.percent(one.mean_probability, 2),
            formatting.percent(one.observed, 2),
            f"{formatting.percent(one.low, 2)} to {formatting.percent(one.high, 2)}",
            formatting.number(one.rows),
        )
        for one in bins
    )
    heads = ("said", "seen", "95 % interval", "rows")
    axes = ("mean probability", "share of fraud")
    return CurveView(RELIABILITY, text, axes, charts.reliability(bins), heads, table)


def share_of_type(one: FraudTypeShare, tested: FraudTypeShare | None) -> str:
    """Return the number of rows of a type of fraud, and the share of its test rows that is flagged."""
    said = f"{formatting.number(one.rows)} {formatting.plural(one.rows or 0, 'row')}"
    said += f", {formatting.percent(one.share)} of the fraud"
    if tested is None or not tested.rows:
        return f"{said}; none among the test rows"
    rows = f"{formatting.number(tested.rows)} test {formatting.plural(tested.rows, 'row')}"
    return f"{said}; {formatting.percent(tested.recall)} of {rows} flagged"


def training_facts(card: ModelCard, contract: ColumnContract) -> list[tuple[str, str]]:
    """Return what a card says of the training, as pairs of a name and a value."""
    training = card.training_data
    terms = (
        ("Data", training.description),
        ("Credit", training.credit),
        ("Source", training.source),
        ("Licence", training.licence),
    )
    found = [(word, said) for word, said in terms if said]
    if training.rows is not None:
        frauds = formatting.number(training.frauds)
        found.append(("Rows", f"{formatting.number(training.rows)}, {frauds} of them fraud"))
    if card.metrics.blend:
        parts = (f"{one.model} {formatting.percent(one.weight or 0)}" for one in card.metrics.blend)
        found.append(("Models", ", ".join(parts)))
    tested = (
        {}
        if card.metrics.validation is None
        else {one.name: one for one in card.metrics.validation.fraud_types}
    )
    found += [
        (f"Type of fraud {formatting.short_name(one.name)}", share_of_type(one, tested.get(one.name)))
        for one in training.fraud_types
    ]
    if training.time_max is not None:
        dated = any(one.name == contract.time and one.kind is CellKind.TIME for one in contract.parts())
        show = formatting.day if dated else formatting.clock
        found.append(("Time covered", f"{show(training.time_min)} to {show(training.time_max)}"))
    if card.prior is not None:
        found.append(("Share of fraud that the probabilities are for", formatting.percent(card.prior, 3)))
    if card.tokens:
        found.append(("Tokens in place of card numbers", ", ".join(card.tokens)))
    if training.sha256:
        found.append(("File's SHA-256", training.sha256))
    return found
