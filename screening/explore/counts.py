"""Sum up the rows of an answer: counts, shares, sums of money.

The data API and the dashboard both say these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from screening.ledger.filters import amounts

COUNTED = ("transactions", "fraud_cases")
MONEY = ("amount", "fraud_amount")
Row = dict[str, Any]


def total(rows: Iterable[Row], names: Iterable[str] = COUNTED) -> dict[str, int]:
    """Add up counts over the rows of an answer, of which there is one for each currency."""
    kept = list(rows)
    return {name: sum(row[name] for row in kept) for name in names}


def percentage(counts: Row) -> float:
    """Return the fraud cases of 100 transactions, to four digits after the point; 0 for no transactions."""
    return round(100 * counts["fraud_cases"] / counts["transactions"], 4) if counts["transactions"] else 0.0


def grouped(rows: Iterable[Row], key: str) -> Iterator[Row]:
    """Give one group for each value of a key, whose rows stand together.

    Each has the key, ``transactions``, ``fraud_cases``, ``fraud_percentage``, ``amount``, ``fraud_amount`` as people
    write them, and ``currency`` (:func:`screening.ledger.filters.amounts`).
    """
    for name, group in groupby(rows, key=lambda row: row[key]):
        same = list(group)
        counts = total(same)
        yield {key: name, **counts, "fraud_percentage": percentage(counts), **amounts(same, MONEY)}


def ranked(rows: Iterable[Row], key: str) -> list[Row]:
    """Return the groups of a key, most fraud cases first; rows without one are left out."""
    known: Sequence[Row] = [row for row in rows if row[key] is not None]
    return sorted(
        grouped(sorted(known, key=lambda row: str(row[key])), key),
        key=lambda each: (-each["fraud_cases"], -each["transactions"], each[key]),
    )


def blocked_query(blocks: Sequence[tuple[str, datetime, float | None]]) -> str:
    """Return the question how many flagged rows reached the second threshold that held when they were decided on."""
    rows = ", ".join(
        "('{}', TIMESTAMP '{:%Y-%m-%d %H:%M:%S.%f}', {}::FLOAT)".format(
            detector.replace("'", "''"), since, "NULL" if block is None else repr(block)
        )
        for detector, since, block in blocks
    )
    return (
        f", limits(detector, since, block) AS (VALUES {rows}) SELECT count(*) AS blocked FROM chosen c "
        "ASOF JOIN limits l ON c.detector = l.detector AND c.decided_at >= l.since "
        "WHERE c.flagged AND c.probability >= l.block"
    )
