"""The report of one screening: what was found, in which rows, by which detector, and how it can be checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np

from screening.detectors.detector import Detector
from screening.explore.who import who_of
from screening.intake import header_of, read_records
from screening.reports import svg_charts
from screening.reports.typeset import (
    Block,
    Chart,
    Heading,
    NamedValues,
    Paragraph,
    TypesetTable,
    accessible_pdf,
)
from screening.uploads.results import ScreeningOutcome
from screening.uploads.screenings import Screening

MOST_ROWS = 500
"""Of the flagged rows, the most probable first; the download has all."""
MOST_PROBLEMS = 50


def screening_pdf(
    screening: Screening, found: ScreeningOutcome, detector: Detector | None, *, author: str, made: datetime
) -> bytes:
    """Return the report as PDF.

    Args:
        screening: one that is done.
        found: what came of it.
        detector: the one that scored it, if it is still there.
        author: who has it made.
        made: when.
    """
    name = f"Screening of {screening.filename}"
    return accessible_pdf(name, author, list(parts_of(screening, found, detector)), made)


def parts_of(screening: Screening, found: ScreeningOutcome, detector: Detector | None) -> Iterator[Block]:
    """Yield the blocks of the document, in their order."""
    yield NamedValues([(what, str(value)) for what, value in summary_rows(screening, found)])
    for text in screening.notes or []:
        yield Paragraph(text, soft=True)
    yield Heading("Score distribution")
    bins = found.histogram()
    rows = [
        (f"{low:.2f} to {high:.2f}", f"{rows:,}", f"{flagged:,}") for low, high, rows, flagged in bins if rows
    ]
    highest = max(bins, key=lambda each: each[2])
    yield Chart(
        svg_charts.bars(
            [
                (f"{low:.2f}", math.log10(rows + 1), math.log10(flagged + 1) if flagged else 0)
                for low, _, rows, flagged in bins
            ],
            ("probability of fraud", "rows, logarithmic"),
            scale=False,
        ),
        words=f"Rows by probability of fraud, on a logarithmic scale, flagged ones in red. Most, {highest[2]:,}, lie "
        f"between {highest[0]:.2f} and {highest[1]:.2f}; {sum(each[3] for each in bins):,} are flagged.",
        caption="Rows by probability of fraud, on a logarithmic scale; flagged ones in red.",
    )
    yield TypesetTable("The same in numbers", ["Probability", "Rows", "Flagged"], rows, [1, 2])
    yield from labels_section(screening)
    yield from flagged_section(screening, found, detector)
    yield from unreadable_section(screening, found)
    yield from detector_section(screening, detector)


def summary_rows(screening: Screening, found: ScreeningOutcome) -> Iterator[tuple[str, object]]:
    """Yield the facts about a screening, each with its name."""
    yield "File", screening.filename
    yield "File's SHA-256", screening.sha256 or ""
    yield "Screened", f"{screening.finished:%Y-%m-%d %H:%M:%S} UTC" if screening.finished else ""
    yield "By", screening.owner
    yield "Screening", screening.id
    yield "Transactions", f"{screening.rows:,}"
    share = screening.flagged / screening.rows if screening.rows else 0
    yield "Flagged", f"{screening.flagged:,} ({100 * share:.2f} %)"
    if found.amount is not None:
        amounts = np.asarray(found.amount)[np.asarray(found.flagged)]
        yield "Amount at risk", f"{math.fsum(amounts[np.isfinite(amounts)].tolist()):,.2f}"
    yield "Not flagged", f"{screening.legitimate:,}"
    yield "Unreadable, not scored", f"{screening.set_aside:,}"


def labels_section(screening: Screening) -> Iterator[Block]:
    """Yield how flags and labels agree, where the file had any."""
    quality = screening.quality
    if not quality:
        return
    yield Heading("Against the file's labels")
    rows = [
        ["Labelled fraud", f"{quality['true_positives']:,} caught", f"{quality['false_negatives']:,} missed"],
        [
            "Labelled legitimate",
            f"{quality['false_positives']:,} false alarms",
            f"{quality['true_negatives']:,} correctly passed",
        ],
    ]
    yield TypesetTable("Flags and labels", ["Label", "Flagged", "Not flagged"], rows, [1, 2], [1, 1, 1])
    figures = [("Hit rate (precision)", "precision"), ("Catch rate (recall)", "recall")]
    said = [f"{words} {100 * quality[key]:.1f} %" for words, key in figures if quality.get(key) is not None]
    if said:
        yield Paragraph("; ".join(said) + ".")


def flagged_section(
    screening: Screening, found: ScreeningOutcome, detector: Detector | None
) -> Iterator[Block]:
    """Yield the strongest flagged rows with their reasons."""
    if not screening.flagged:
        return
    yield Heading("Flagged transactions")
    if screening.flagged > MOST_ROWS:
        yield Paragraph(
            f"The {MOST_ROWS} most probable of {screening.flagged:,}. flagged.csv of this screening has all.",
            soft=True,
        )
    header = header_of(found.canonical)
    who = who_of(header, found.meta.get("columns", {}), detector)
    numbers = found.strongest(MOST_ROWS)
    records = read_records(found.canonical, found.offsets, [int(number) for number in numbers])
    rows = [
        [
            f"{number + 1:,}",
            f"{float(found.probability[number]):.4f}",
            "" if found.amount is None else f"{float(found.amount[number]):,.2f}",
            *(_cell(header, record, name) for _, name in who),
            "; ".join(found.reasons.get(int(number), [])),
        ]
        for number, record in zip(numbers, records, strict=True)
    ]
    heads = [
        "Row",
        "Probability",
        "Amount",
        *("Id" if kind == "id" else kind.capitalize() for kind, _ in who),
        "Reasons",
    ]
    yield TypesetTable(
        "The most probable first", heads, rows, [0, 1, 2], [1.1, 1.7, 1.4, *(1.7 for _ in who), 6.5]
    )


def _cell(header: Sequence[str], record: Sequence[str], name: str) -> str:
    place = header.index(name)
    return record[place] if place < len(record) else ""


def unreadable_section(screening: Screening, found: ScreeningOutcome) -> Iterator[Block]:
    """Yield the rows that couldn't be read."""
    if not screening.set_aside:
        return
    yield Heading("Unreadable rows")
    shown = found.problems[:MOST_PROBLEMS]
    if screening.set_aside > len(shown):
        yield Paragraph(
            f"The first {len(shown)} of {screening.set_aside:,}. rejected.csv of this screening has all.",
            soft=True,
        )
    rows = [
        [f"{one['row']:,}", one["column"] or "", str(one["value"] or ""), one["problem"]] for one in shown
    ]
    yield TypesetTable(
        "In the order of the file", ["Row", "Column", "Value", "Problem"], rows, [0], [1, 2, 2, 4]
    )


def _blocking(screening: Screening) -> list[tuple[str, object]]:
    if screening.block is None:
        return []
    return [
        (
            "Block threshold",
            f"{screening.block:.6g}: {screening.blocked or 0:,} flagged rows to be stopped unseen",
        )
    ]


def detector_section(screening: Screening, detector: Detector | None) -> Iterator[Block]:
    """Yield what the detector is, as its card says."""
    yield Heading("Detector")
    pairs: list[tuple[str, object]] = [
        ("Name", screening.detector or ""),
        ("Fingerprint", screening.fingerprint or ""),
        ("Threshold", f"{screening.threshold:.6g}, flagged at or above"),
        *_blocking(screening),
    ]
    if detector is None:
        pairs.append(("State", "It isn't here any more, or was trained again since."))
    elif detector.card is not None and detector.card.metrics.doubt:
        pairs.append(("Doubt", detector.card.metrics.doubt))
    yield NamedValues([(what, str(value)) for what, value in pairs])
    for warning in detector.warnings if detector else ():
        yield Paragraph(warning, soft=True)
    yield Paragraph(
        "A probability is what the detector gives a transaction, calibrated on its test data. A flag is a reason to "
        "look, not a finding of fraud; transactions that aren't flagged can be fraud all the same. The same file, "
        "detector, earlier files and threshold give the same flags again.",
        soft=True,
    )
