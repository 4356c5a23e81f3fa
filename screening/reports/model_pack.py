"""The model-risk pack of a detector: one accessible PDF of what is on record. What isn't, is said to be missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from screening.detectors.model_card import Evaluation, ModelCard
from screening.detectors.states import DetectorState
from screening.monitoring.findings import (
    COUNTED,
    EARLIER,
    TEST,
    ComparedColumn,
    DetectorFindings,
    DriftWindow,
)
from screening.reports import svg_charts
from screening.reports.model_record import ModelRecord
from screening.reports.typeset import (
    Block,
    BulletList,
    Chart,
    Heading,
    NamedValues,
    Paragraph,
    TypesetTable,
    accessible_pdf,
)

MISSING = "not on record"
WORST = 12
"""Columns that are shown of each window of monitoring, those that moved most first."""
STATES = {
    DetectorState.TRIAL: "on trial: it scores only when it is asked for by name",
    DetectorState.APPROVED: "approved",
    DetectorState.RETIRED: "retired: it scores nothing new",
}
NOT_A_FINDING = (
    "A probability is what the detector gives a transaction, calibrated on its test data. A flag is a reason to look, "
    "not a finding of fraud; transactions that aren't flagged can be fraud all the same."
)


def model_pack(record: ModelRecord, *, author: str, made: datetime) -> bytes:
    """Return the pack as PDF/UA-1.

    Args:
        record: what is on record of the detector.
        author: who has it made.
        made: when.
    """
    return accessible_pdf(f"Model risk of {record.detector.name}", author, list(blocks_of(record)), made)


def blocks_of(record: ModelRecord) -> Iterator[Block]:
    """Give the parts of the pack, from the top to the end."""
    missing: list[str] = []
    yield from summary_section(record)
    card = record.detector.card
    if card is None:
        missing.append("a card: neither training data nor tests nor calibration are known")
    else:
        yield from data_section(card, missing)
        yield from tests_section(card, missing)
        yield from calibration_section(card, missing)
    yield from identity_section(record)
    yield from drift_section(record, missing)
    yield from use_section(record, missing)
    yield from approvals_section(record, missing)
    yield from limits_section(record, missing)


def summary_section(record: ModelRecord) -> Iterator[Block]:
    """Yield what the detector is, and how it stands."""
    detector, standing = record.detector, record.standing
    card = detector.card
    yield NamedValues(
        [
            ("Detector", detector.name),
            ("What it learned from", or_missing(None if card is None else card.training_data.description)),
            ("State", STATES[standing.state]),
            ("Trained by", standing.owner or "it ships with the product, or nobody knows"),
            ("Fingerprint", detector.fingerprint),
            (
                "Flags from",
                f"probability {record.limits.review:g}"
                + (
                    f"; from {record.limits.block:g} on it says to stop without a look"
                    if record.limits.block
                    else ""
                ),
            ),
        ]
    )
    if card is not None and card.metrics.doubt:
        yield Paragraph(card.metrics.doubt, strong=True)
    yield Paragraph(
        "Every figure below is from the detector's card, the ledger of decisions, monitoring or the audit log, as they "
        f"were when this document was made. What none of them has is called “{MISSING}” and listed at the end."
    )


def data_section(card: ModelCard, missing: list[str]) -> Iterator[Block]:
    """Yield what the detector learned from; what isn't on record goes into ``missing``."""
    data = card.training_data
    yield Heading("Training data")
    if data.sha256 is None:
        missing.append("the hash of the training data")
    if data.licence is None and data.source is None:
        missing.append("source and licence of the training data")
    share = f" ({in_percent(data.frauds / data.rows, 3)})" if data.rows and data.frauds is not None else ""
    yield NamedValues(
        [
            ("Description", or_missing(data.description)),
            ("Source", or_missing(data.source)),
            ("Licence", or_missing(data.licence)),
            ("SHA-256 of the file", or_missing(data.sha256)),
            ("Rows", count_words(data.rows)),
            ("Frauds", count_words(data.frauds) + share),
        ]
    )
    if data.fraud_types:
        rows = [(one.name, count_words(one.rows), in_percent(one.share)) for one in data.fraud_types]
        yield TypesetTable(
            "Types of fraud in the training data", ["Type", "Rows", "Share of fraud"], rows, [1, 2]
        )
    yield from cleaning_section(card, missing)


def cleaning_section(card: ModelCard, missing: list[str]) -> Iterator[Block]:
    """Yield what was cleaned before the training; what isn't on record goes into ``missing``."""
    yield Heading("Cleaning", 2)
    cleaning = card.cleaning
    if cleaning is None:
        missing.append("what was cleaned in the training data")
        yield Paragraph(f"What was cleaned is {MISSING}.")
        return
    yield Paragraph(
        f"Learned from {count_words(cleaning.rows_learned_from)} of {count_words(cleaning.rows)} rows."
    )
    if cleaning.findings:
        rows = [
            (or_missing(one.words), count_words(one.rows), or_missing(one.done)) for one in cleaning.findings
        ]
        yield TypesetTable("What was found", ["Finding", "Rows", "Done"], rows, [1])
    if cleaning.unused:
        unused = [(or_missing(one.column), or_missing(one.reason)) for one in cleaning.unused]
        yield TypesetTable("Columns that nothing was learned from", ["Column", "Why"], unused)


def evaluations(card: ModelCard) -> list[tuple[str, str, Evaluation]]:
    """Return the tests, each with its name and how its rows were kept apart."""
    metrics = card.metrics
    later, chance = "later rows than those it was trained on", "rows drawn at random"
    found = [(or_missing(one.name), later, one) for one in metrics.windows]
    if (kept := metrics.validation) is not None:
        how = {
            "time": later,
            "stretches": "stretches of time that it was not trained on",
            "grouped": "rows of others than it was trained on",
        }.get(kept.kind or "", chance)
        found.append((kept.name or "validation", how, kept))
    if metrics.folds is not None:
        found.append((metrics.folds.name or "folds", f"{chance}, in folds", metrics.folds))
    return found


def tests_section(card: ModelCard, missing: list[str]) -> Iterator[Block]:
    """Yield the tests with their figures and curves; what isn't on record goes into ``missing``."""
    yield Heading("Split and tests")
    tests = evaluations(card)
    if not tests:
        missing.append("tests on rows that it wasn't trained on")
        yield Paragraph(f"Tests are {MISSING}.")
        return
    yield Paragraph("No test has a row that the detector of this test was trained on.")
    splits = [(name, split, count_words(test.rows), count_words(test.frauds)) for name, split, test in tests]
    yield TypesetTable(
        "Which rows were kept for which test", ["Test", "Split", "Rows", "Frauds"], splits, [2, 3]
    )
    figures = [
        (
            name,
            _measure(test, "average_precision", test.average_precision),
            _measure(test, "auc", test.auc),
            in_percent(test.recall_at_0_1_percent_fpr),
            in_percent(None if test.flagged is None else test.flagged.hit_rate),
            in_percent(None if test.flagged is None else test.flagged.recall),
        )
        for name, _, test in tests
    ]
    heads = ["Test", "Average precision", "AUC", "Recall at 0.1 % FPR", "Precision", "Recall"]
    caption = (
        "What the tests gave, with 95 % intervals; precision and recall are those of the flags, FPR is the share of "
        "legitimate rows that is flagged"
    )
    yield TypesetTable(caption, heads, figures, [1, 2, 3, 4, 5])
    drawn = next(((name, test) for name, _, test in tests if test.precision_recall), None)
    if drawn is not None:
        name, test = drawn
        points = [(float(x), float(y)) for x, y in test.precision_recall]
        some = _some(points, 9)
        words = (
            f"Precision against recall in the test {name}: "
            + "; ".join(f"recall {x:.2f}, precision {y:.2f}" for x, y in some)
            + "."
        )
        caption = "How pure the flagged rows are as more of the fraud is caught"
        yield Chart(svg_charts.curve(points, ("recall", "precision")), words, caption)
        yield TypesetTable(
            "Points of that curve",
            ["Recall", "Precision"],
            [(f"{x:.3f}", f"{y:.3f}") for x, y in some],
            [0, 1],
        )


def calibration_section(card: ModelCard, missing: list[str]) -> Iterator[Block]:
    """Yield how what is said compares with what is seen; what isn't on record goes into ``missing``."""
    yield Heading("Calibration")
    yield NamedValues([("Share of fraud that the probabilities are for", in_percent(card.prior, 3))])
    drawn = next(((name, test) for name, _, test in evaluations(card) if test.reliability), None)
    if drawn is None:
        missing.append("a test of the calibration")
        yield Paragraph(f"How the probabilities compare with what was seen is {MISSING}.")
        return
    name, test = drawn
    bins = [(one.mean_probability, one.observed, one.low, one.high) for one in test.reliability]
    words = (
        f"What was said against what was seen in the test {name}: "
        + "; ".join(f"said {in_percent(said, 2)}, seen {in_percent(seen, 2)}" for said, seen, _, _ in bins)
        + "."
    )
    caption = "On the dashed line, what was said is what was seen; the strokes are 95 % intervals"
    yield Chart(svg_charts.reliability(bins), words, caption)
    rows = [
        (
            in_percent(one.mean_probability, 2),
            in_percent(one.observed, 2),
            f"{in_percent(one.low, 2)} to {in_percent(one.high, 2)}",
            count_words(one.rows),
        )
        for one in test.reliability
    ]
    yield TypesetTable(
        "Bins of the calibration", ["Said", "Seen", "95 % interval", "Rows"], rows, [0, 1, 2, 3]
    )


def identity_section(record: ModelRecord) -> Iterator[Block]:
    """Yield the hashes and versions by which the files are known again."""
    yield Heading("Files")
    card = record.detector.card
    libraries = () if card is None else (f"{name} {version}" for name, version in card.libraries.items())
    yield NamedValues(
        [
            ("SHA-256 of the net", record.detector.model_sha256),
            ("SHA-256 of the vectorizer", or_missing(None if card is None else card.vectorizer_sha256)),
            ("SHA-256 of the compiled form", or_missing(None if card is None else card.compiled_sha256)),
            ("Libraries", ", ".join(libraries) or MISSING),
            ("Columns", ", ".join(record.detector.contract.columns)),
        ]
    )


def drift_section(record: ModelRecord, missing: list[str]) -> Iterator[Block]:
    """Yield how far columns and scores have moved; what isn't on record goes into ``missing``."""
    yield Heading("Drift")
    found = record.found
    if found is None or not found.windows:
        missing.append("drift: monitoring has compared nothing of this detector yet")
        yield Paragraph(f"Drift is {MISSING}: monitoring has compared nothing of this detector yet.")
        return
    yield NamedValues(
        [
            ("Looked at", f"{datetime.fromtimestamp(found.computed, UTC):%Y-%m-%d %H:%M} UTC"),
            (
                "Columns compared with",
                f"the training data, {count_words(found.training_rows)} rows"
                + ("" if found.columns_from == COUNTED else ", by the quantiles of its card"),
            ),
            ("Score compared with", _reference(found)),
            (
                "Limit",
                MISSING if record.limit is None else f"PSI {record.limit:g}, from which on an alert begins",
            ),
        ]
    )
    for window in found.windows:
        yield from _window(window)


def _reference(found: DetectorFindings) -> str:
    if found.scores_from == TEST:
        return f"{found.score_rows:,} rows of its test"
    if found.scores_from == EARLIER:
        return f"{found.score_rows:,} earlier decisions of its own: its card has no scores"
    return "nothing: its card has no scores, and it had decided nothing before"


def _window(window: DriftWindow) -> Iterator[Block]:
    total = sum(window.rows.values())
    yield Heading(f"The last {window.days} days" if window.days > 1 else "The last day", 2)
    sources = ", ".join(f"{rows:,} of the {source}" for source, rows in sorted(window.rows.items()))
    yield Paragraph(
        f"{total:,} decisions{f' ({sources})' if sources else ''}, {window.looked_at:,} of them looked at."
    )
    compared = [*([] if window.score is None else [window.score]), *window.columns[:WORST]]
    if compared:
        rows = [
            (
                "Score" if one is window.score else one.name,
                "too few rows" if one.psi is None else f"{one.psi:.3f}",
                "–" if one.ks is None else f"{one.ks:.3f}",
                f"{one.rows:,}",
            )
            for one in compared
        ]
        yield TypesetTable("How far it is from the reference", ["What", "PSI", "KS", "Rows"], rows, [1, 2, 3])
    if window.score is not None and window.score.psi is not None:
        yield _shares(window.score)


def _shares(score: ComparedColumn) -> Chart:
    names = [f"≤{edge:.2g}" for edge in score.edges] + [f">{score.edges[-1]:.2g}" if score.edges else "all"]
    words = "Shares of the scores, then and now: " + "; ".join(
        f"{name} {in_percent(then)} then, {in_percent(now)} now"
        for name, then, now in zip(names, score.then, score.now, strict=True)
    )
    caption = "Scores by bin: outlined as they were, filled as they are"
    return Chart(svg_charts.pairs_of_bars(names, score.then, score.now), f"{words}.", caption)


def use_section(record: ModelRecord, missing: list[str]) -> Iterator[Block]:
    """Yield what the detector decided; what isn't on record goes into ``missing``."""
    yield Heading("In use")
    counts = record.decisions
    if not counts or not counts["rows"]:
        missing.append("decisions: it has decided nothing that is in the ledger")
        yield Paragraph("It has decided nothing that is in the ledger.")
        return
    yield NamedValues(
        [
            (
                "Decisions",
                f"{counts['rows']:,}, from {counts['first']:%Y-%m-%d} to {counts['last']:%Y-%m-%d}",
            ),
            ("Flagged", f"{counts['flagged']:,} ({in_percent(counts['flagged'] / counts['rows'], 2)})"),
            ("With a label", f"{counts['labelled']:,}, {counts['fraud']:,} of them fraud"),
            (
                "Hit rate (precision)",
                ratio(counts["caught"], counts["flagged_labelled"], "flagged rows with a label"),
            ),
            ("Catch rate (recall)", ratio(counts["caught"], counts["fraud"], "frauds that are known")),
        ]
    )
    if not counts["labelled"]:
        missing.append("labels of its decisions: how well it does in use isn't known")


def approvals_section(record: ModelRecord, missing: list[str]) -> Iterator[Block]:
    """Yield who approved and promoted it, and when; what isn't on record goes into ``missing``."""
    yield Heading("Approvals")
    standing = record.standing
    if standing.said_by is None:
        approved = standing.state is DetectorState.APPROVED
        ships = "It ships with the product, whose detectors are approved without a word of this installation."
        yield Paragraph(ships if approved else "Nobody has said anything of it.")
        missing.append("an approval by somebody of this installation")
    else:
        when = MISSING if standing.said is None else f"{standing.said:%Y-%m-%d %H:%M} UTC"
        yield NamedValues([("State", standing.state.value), ("Said by", standing.said_by), ("When", when)])
    if record.promotions:
        rows = [
            (
                row.promoted,
                row.replaced,
                f"{row.said:%Y-%m-%d %H:%M} by {row.said_by}",
                "holds"
                if row.taken_back is None
                else f"{row.taken_back:%Y-%m-%d %H:%M} by {row.taken_back_by}",
            )
            for row in record.promotions
        ]
        yield TypesetTable("Promotions", ["Promoted", "In the place of", "Said", "Taken back"], rows)
    if record.events:
        lines = [
            (
                str(one.get("time", MISSING))[:16].replace("T", " "),
                str(one.get("event", "")),
                str(one.get("user") or MISSING),
            )
            for one in record.events
        ]
        yield TypesetTable("Lines of the audit log", ["When (UTC)", "Event", "Who"], lines)
    else:
        yield Paragraph("The audit log has no line about it.")


def limits_section(record: ModelRecord, missing: Sequence[str]) -> Iterator[Block]:
    """Yield the warnings about the detector, and what is missing in this document."""
    yield Heading("Limits")
    yield Paragraph(NOT_A_FINDING)
    if record.detector.warnings:
        yield BulletList(list(record.detector.warnings))
    yield Heading("What is missing", 2)
    if missing:
        yield BulletList([f"{one[:1].upper()}{one[1:]}." for one in missing])
    else:
        yield Paragraph("Nothing of what this document asks for.")


def or_missing(text: str | None) -> str:
    """Return a text, or the sign for what isn't known."""
    return text or MISSING


def count_words(number: int | None) -> str:
    """Return a count as text."""
    return MISSING if number is None else f"{number:,}"


def in_percent(share: float | None, digits: int = 1) -> str:
    """Return a share as a percentage."""
    return MISSING if share is None else f"{100 * share:.{digits}f} %"


def ratio(part: int, whole: int, of: str) -> str:
    """Return a share in words: of how many of what."""
    return f"{in_percent(part / whole)} of {whole:,} {of}" if whole else f"{MISSING}: there are no {of}"


def _measure(test: Evaluation, name: str, value: float | None) -> str:
    if value is None:
        return MISSING
    interval = test.intervals.get(name)
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _some(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Return at most so many points, evenly drawn, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(at * (len(points) - 1) / (most - 1))] for at in range(most)]
