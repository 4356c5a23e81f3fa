"""A row of the ledger: one scored transaction, whether it came in a file or through the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from screening.ledger import money
from screening.ledger.fields import FIELDS
from screening.ledger.moments import LATEST_SECONDS

MICROSECONDS = pa.timestamp("us")
SCHEMA = pa.schema(
    [
        ("origin", pa.binary(12)),
        ("number", pa.uint32()),
        ("source", pa.string()),
        ("screening", pa.string()),
        ("request", pa.string()),
        ("key", pa.string()),
        ("owner", pa.string()),
        ("decided_at", MICROSECONDS),
        ("event_time", MICROSECONDS),
        ("detector", pa.string()),
        ("fingerprint", pa.string()),
        ("probability", pa.float32()),
        ("threshold", pa.float64()),
        ("flagged", pa.bool_()),
        ("amount", pa.int64()),
        *((name, pa.string()) for name in FIELDS),
        ("label", pa.int8()),
        ("rules", pa.list_(pa.string())),
        ("reasons", pa.list_(pa.string())),
        ("values", pa.string()),
    ]
)
"""Columns of each segment. ``origin`` and ``number`` are the id (:mod:`screening.ledger.identity`); ``number`` is a
file's row, from 1. Times are UTC without a zone; ``event_time`` is null where the data have no calendar. ``amount``
is in minor units of ``currency``, in hundredths where that is null. ``label`` is the file's. ``values`` is a JSON
transaction as it came: what is needed to score it again; of a file's row it appears in the file."""
FACTS: Mapping[str, pa.DataType] = {"n:": pa.float64(), "t:": pa.string(), "l:": pa.list_(pa.string())}
"""Beginnings of the names of further columns, and their types: what rules can ask of a transaction as it was
decided on, numbers and texts, and lists of names. Which ones a segment has depends on its detectors; where one is
missing, nothing is known of it."""


def fact_type(name: str) -> pa.DataType | None:
    """Return what a further column holds; ``None`` for a name that isn't one's."""
    return FACTS.get(name[:2])


def schema_with(names: Iterable[str]) -> pa.Schema:
    """Return the schema of a segment that has those of some columns, too, which aren't in every one."""
    further = sorted({name for name in names if fact_type(name) is not None})
    return pa.schema([*SCHEMA, *((name, fact_type(name)) for name in further)])


def aligned(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with the columns of a schema: null where a column of theirs is missing."""
    there = set(table.column_names)
    columns = [
        table.column(field.name) if field.name in there else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, names=schema.names).cast(schema)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionBatch:
    """Rows that were decided together: one file's, or those of requests that were decided together."""

    origin: bytes
    numbers: NDArray[np.uint32]
    """(rows,)"""
    source: str
    screening: str | None
    owner: str
    decided_at: datetime
    detector: str
    fingerprint: str
    threshold: float
    probability: NDArray[np.float32]
    """(rows,)"""
    amount: NDArray[np.float64] | None
    """(rows,), NaN where there is none."""
    seconds: NDArray[np.float64] | None
    """(rows,), the transactions' own times since 1970; ``None`` where they have no calendar."""
    label: NDArray[np.int8] | None
    """(rows,), -1 where unknown."""
    fields: Mapping[str, pa.Array]
    """Text (rows,) of the fields that there are: :data:`screening.ledger.fields.FIELDS`."""
    reasons: pa.Array
    """Lists of text (rows,)."""
    flagged: NDArray[np.bool_] | None = None
    """(rows,), where rules had a say; else those are flagged that reach the threshold."""
    rules: pa.Array | None = None
    """Lists of text (rows,): the rules that fired."""
    request: str | None = None
    """Job or request that they came by, where all came by one."""
    facts: Mapping[str, pa.Array] = field(default_factory=dict)
    """Of further columns (rows,), by their names: :data:`FACTS`."""


def table_of(decisions: DecisionBatch) -> pa.Table:
    """Return the rows as they appear in a segment."""
    count = len(decisions.numbers)
    flagged = decisions.flagged
    if flagged is None:
        flagged = decisions.probability >= np.float32(decisions.threshold)
    currency = decisions.fields.get("currency")
    amount = units(decisions.amount, currency, count)
    label = pa.nulls(count, pa.int8())
    if decisions.label is not None:
        label = pa.array(decisions.label, pa.int8(), mask=decisions.label < 0)
    moment = pa.scalar(decisions.decided_at.astimezone(UTC).replace(tzinfo=None), MICROSECONDS)
    given: dict[str, Any] = {
        "origin": _same(pa.scalar(decisions.origin, pa.binary(12)), count),
        "number": pa.array(decisions.numbers, pa.uint32()),
        "source": _same(decisions.source, count),
        "screening": _same(decisions.screening, count),
        "request": _same(decisions.request, count),
        "owner": _same(decisions.owner, count),
        "decided_at": pa.repeat(moment, count),
        "event_time": times(decisions.seconds, count),
        "detector": _same(decisions.detector, count),
        "fingerprint": _same(decisions.fingerprint, count),
        "probability": pa.array(decisions.probability, pa.float32()),
        "threshold": _same(decisions.threshold, count),
        "flagged": pa.array(flagged, pa.bool_()),
        "amount": amount,
        "label": label,
        "reasons": decisions.reasons,
        **({} if decisions.rules is None else {"rules": decisions.rules}),
        **decisions.fields,
        **decisions.facts,
    }
    schema = schema_with(decisions.facts)
    return pa.table(
        [given[each.name] if each.name in given else pa.nulls(count, each.type) for each in schema],
        schema=schema,
    )


def units(amount: NDArray[np.float64] | None, currency: pa.Array | None, count: int) -> pa.Array:
    """Return amounts (rows,) in minor units of their currencies, null where there is none."""
    if amount is None:
        return pa.nulls(count, pa.int64())
    whole, there = money.minor(amount, exponents_of(currency))
    return pa.array(whole, pa.int64(), mask=~there)


def exponents_of(currency: pa.Array | None) -> NDArray[np.int64] | int:
    """Return how many digits the amounts of each row have after the point."""
    if currency is None:
        return money.USUAL
    coded = currency.dictionary_encode()
    each = [money.exponent(name) for name in coded.dictionary.to_pylist()] or [money.USUAL]
    places = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    usual = coded.indices.is_null().to_numpy(zero_copy_only=False)
    return np.where(usual, money.USUAL, np.array(each, np.int64)[places])


def times(seconds: NDArray[np.float64] | None, count: int) -> pa.Array:
    """Return times (rows,), from seconds since 1970; null where there is none."""
    if seconds is None:
        return pa.nulls(count, MICROSECONDS)
    with np.errstate(invalid="ignore"):
        there = np.abs(seconds) <= LATEST_SECONDS
    whole = np.where(there, np.rint(np.where(there, seconds, 0.0) * 1e6), 0.0).astype(np.int64)
    return pa.array(whole, pa.int64(), mask=~there).cast(MICROSECONDS)


def _same(value: Any, count: int) -> pa.Array:
    if value is None:
        return pa.nulls(count, pa.string())
    return pa.repeat(value, count)
