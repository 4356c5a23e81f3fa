"""Rows of one screening as pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from screening.intake import header_of, read_records
from screening.scoring.thresholds import flag
from screening.uploads.results import ScreeningOutcome
from screening.uploads.screenings import Screening
from screening.web.views.contexts import RowView
from screening.web.views.decisions import level_of


def rows_of(
    screening: Screening, found: ScreeningOutcome, numbers: np.ndarray[Any, Any], who: Sequence[str]
) -> list[RowView]:
    """Return rows by their numbers.

    Args:
        screening: whose rows they are.
        found: its outcome.
        numbers: (rows,) from 0, in the order in which they are returned.
        who: the columns that say whom a row is about.
    """
    header = header_of(found.canonical)
    records = read_records(found.canonical, found.offsets, [int(number) for number in numbers])
    return [
        _row(screening, found, int(number), dict(zip(header, record, strict=False)), who)
        for number, record in zip(numbers, records, strict=True)
    ]


def _row(
    screening: Screening, found: ScreeningOutcome, number: int, cells: dict[str, str], who: Sequence[str]
) -> RowView:
    probability = float(found.probability[number])
    scored = None if np.isnan(probability) else probability
    return RowView(
        row=number + 1,
        probability=scored,
        flagged=bool(found.flagged[number]),
        amount=value_at(found.amount, number),
        time=value_at(found.time, number),
        label=None if found.label is None or found.label[number] < 0 else int(found.label[number]),
        reasons=found.reasons.get(number, []),
        rules=found.rules_at(number),
        cells=cells,
        who=[cells.get(name, "") for name in who],
        level=level_of(scored, screening.threshold, flagged=bool(found.flagged[number])),
        stop=screening.block is not None
        and bool(found.flagged[number] and flag(found.probability[number], screening.block)),
    )


def value_at(values: np.ndarray[Any, Any] | None, number: int) -> float | None:
    """Return the value of a row; ``None`` where it has none."""
    return None if values is None or np.isnan(values[number]) else float(values[number])
