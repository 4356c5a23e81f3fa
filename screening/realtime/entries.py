"""Ledger entries of a program's transactions: who, where, how much and when, and what scored them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, repeat
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import BadTransaction, CellProblem
from screening.features.countries.addresses import AddressCountries
from screening.intake import numbers
from screening.ledger import fields, money
from screening.ledger.moments import LATEST_SECONDS
from screening.ledger.tail import Kept
from screening.scoring.score import Scored
from screening.transactions.encoding import plain_text
from screening.transactions.json_records import from_mappings
from screening.transactions.schema import ColumnContract, Transactions, normalise

Given = Sequence[Mapping[str, Any]]
Labels = NDArray[np.int8]
FEW = 16
"""Rows."""
SHOWN = 10
"""Labels that can't be used, of one request, that are named."""
LABELS = (numbers.ZERO, numbers.ONE)
# Per column of a detector: a client that invents keys must not fill the memory with their places.
MOST_NAMES = 4


@dataclass(slots=True)
class ReadTransactions:
    """The transactions of one request, as their detector reads them and as the ledger keeps them."""

    rows: int
    cells: bytes
    """float64 (rows, columns of the contract), one row after the other."""
    labels: Sequence[int] | None
    """Labels that they bring themselves: 1 for fraud, 0 for legitimate, -1 where nothing is said; ``None`` where
    none has the column."""
    fields: dict[str, list[str | None]]
    """Fields of the ledger that any of them has, who and where, (rows,) each."""
    values: Sequence[Any]
    """(rows,), JSON: what is needed to score each again."""


def read_mappings(given: Given, contract: ColumnContract, shadowed: tuple[str, ...] = ()) -> ReadTransactions:
    """Read transactions as they come, with whatever they have.

    Args:
        given: column to value.
        contract: the detector's.
        shadowed: columns that are kept beside the detector's own.

    Raises:
        BadTransaction: one can't be used; names row and column of each fault.
    """
    rows = from_mappings(given, contract)
    labels = labels_of(given, contract)
    places = field_places(given, contract, shadowed)
    values = [
        mapping if place.pick is None else dict(zip(place.needed, place.pick(mapping), strict=True))
        for mapping, place in zip(given, places, strict=True)
    ]
    said = None if labels is None else labels.tolist()
    return ReadTransactions(len(given), rows.values.tobytes(), said, fields_at(given, places), values)


def columns_of(
    reads: Sequence[ReadTransactions],
    rows: Transactions,
    scored: Scored,
    contract: ColumnContract,
    countries: AddressCountries | None = None,
) -> Kept:
    """Return the rows of some requests, but for what they have in common.

    Args:
        reads: the requests.
        rows: all of theirs, one after the other.
        scored: what the detector said of them.
        contract: the detector's.
        countries: by which addresses are looked up, of transactions without a country.
    """
    count = len(rows)
    columns: dict[str, list[Any]] = {
        "number": list(range(count)),
        "probability": scored.probabilities.tolist(),
        "flagged": scored.flagged.tolist(),
    }
    if any(scored.reasons):
        columns["reasons"] = [[reason.text for reason in reasons] or None for reasons in scored.reasons]
    columns |= _joined_fields(reads)
    if countries is not None and "address" in columns:
        looked_up = countries.of(columns["address"])
        own = columns.get("country") or looked_up
        columns["country"] = [one or other for one, other in zip(own, looked_up, strict=True)]
    columns |= amounts_of(rows, contract, columns.get("currency"))
    columns |= times_of(rows, contract)
    if any(read.labels is not None for read in reads):
        said = known_labels(reads)
        columns["label"] = [None if label == numbers.BLANK else label for label in said]
    return Kept(count, {}, columns, [value for read in reads for value in read.values])


def known_labels(reads: Sequence[ReadTransactions]) -> list[int]:
    """Return the labels of some requests' rows, one after the other, -1 where nothing is said."""
    found: list[int] = []
    for read in reads:
        found += [numbers.BLANK] * read.rows if read.labels is None else read.labels
    return found


def _joined_fields(reads: Sequence[ReadTransactions]) -> dict[str, list[Any]]:
    if len(reads) == 1:
        return dict(reads[0].fields)
    names = {name: None for read in reads for name in read.fields}
    return {
        name: list(chain.from_iterable(read.fields.get(name) or [None] * read.rows for read in reads))
        for name in names
    }


def fields_at(given: Given, places: Sequence[FieldPlaces]) -> dict[str, list[str | None]]:
    """Return who and where, by the fields of the ledger that any transaction has."""
    found: dict[str, list[str | None]] = {}
    if not any(place.fields for place in set(places)):
        return found
    for number, (mapping, place) in enumerate(zip(given, places, strict=True)):
        for field, name in place.fields:
            text = text_of(mapping[name])
            if text is not None:
                found.setdefault(field, [None] * len(given))[number] = text
    return found


def amounts_of(
    rows: Transactions, contract: ColumnContract, currency: Sequence[str | None] | None
) -> dict[str, list[Any]]:
    """Return the amounts of transactions in minor units; nothing where their detector has no amount."""
    if contract.amount is None:
        return {}
    amounts = rows.column(contract.amount)
    if len(rows) > FEW and not currency:
        whole, there = money.minor(amounts, money.USUAL)
        found: list[int | None] = whole.tolist()
        for row in np.flatnonzero(~there).tolist():
            found[row] = None
        return {"amount": found}
    exponents = [money.exponent(each) for each in currency] if currency else repeat(money.USUAL)
    # one by one: NumPy takes longer to be called than to work on a few rows
    return {"amount": list(map(money.units, amounts.tolist(), exponents))}


def times_of(rows: Transactions, contract: ColumnContract) -> dict[str, list[Any]]:
    """Return when transactions were, where their detector has a calendar."""
    if not contract.time or not contract.has_calendar:
        return {}
    seconds = rows.column(contract.time).tolist()
    return {"event_time": [round(each * 1e6) if abs(each) <= LATEST_SECONDS else None for each in seconds]}


@dataclass(frozen=True, slots=True, eq=False)
class FieldPlaces:
    """Keys of a transaction that fill the fields of the ledger."""

    needed: tuple[str, ...]
    """Those that the detector reads: what is needed to score it again."""
    pick: Callable[[Mapping[str, Any]], tuple[Any, ...]] | None
    """Takes their values out of a transaction; ``None`` where it has no others."""
    fields: tuple[tuple[str, str], ...]
    """The fields of the ledger, each with its key."""
    label: str | None


def field_places(given: Given, contract: ColumnContract, shadowed: tuple[str, ...] = ()) -> list[FieldPlaces]:
    """Return where what appears in each transaction: mostly in all as in the first."""
    found: list[FieldPlaces] = []
    names: tuple[str, ...] | None = None
    for mapping in given:
        own = tuple(mapping)
        if own != names or not found:
            names = own
            few = len(own) <= MOST_NAMES * len(contract.columns)
            # what callers send mustn't fill the memory
            place = (places_of if few else places_of.__wrapped__)(own, contract, shadowed)
        found.append(place)
    return found


@lru_cache(maxsize=64)
def places_of(
    names: tuple[str, ...], contract: ColumnContract, shadowed: tuple[str, ...] = ()
) -> FieldPlaces:
    """Return which of a transaction's keys are what."""
    parts = [column for _, made in contract.composed for column in made.columns]
    wanted = {normalise(column) for column in (*contract.columns, *parts, *shadowed)}
    columns = contract.parts()
    label = None if contract.label is None else normalise(contract.label)
    needed = tuple(name for name in names if normalise(name) in wanted)
    return FieldPlaces(
        needed,
        None if len(needed) == len(names) else _picking(needed),
        tuple((field, names[place]) for field, place in fields.assign(names, columns).items()),
        next((name for name in names if normalise(name) == label), None),
    )


def _picking(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda mapping: tuple(mapping[name] for name in names)


def text_of(value: Any) -> str | None:
    """Return a value as an identity; ``None`` for what is none."""
    if value is None or isinstance(value, (bool, list, dict)):
        return None
    return plain_text(str(value))


def labels_of(given: Given, contract: ColumnContract) -> Labels | None:
    """Return what transactions say themselves that they are, as a file would be read: systems replay what they know.

    Returns:
        int8 (rows,), 1 for fraud, 0 for legitimate and -1 where nothing is said; ``None`` where none has the column.

    Raises:
        BadTransaction: a label is none; names row and column of each.
    """
    places = field_places(given, contract)
    if all(place.label is None for place in set(places)):
        return None
    found = np.full(len(given), numbers.BLANK, np.int8)
    problems = []
    for number, (mapping, place) in enumerate(zip(given, places, strict=True)):
        if place.label is None:
            continue
        label = label_of(mapping[place.label])
        if label is None:
            problems.append(CellProblem("is no label", column=contract.label, row=number + 1))
        else:
            found[number] = label
    if problems:
        first = problems[0]
        raise BadTransaction(
            f"{first.column} in row {first.row} is no label.",
            where=f"row {first.row}, column {first.column}",
            remedy="Give 0, 1, true or false; or null, or leave it out, where nobody knows. Nothing was scored.",
            problems=problems[:SHOWN],
            problem_count=len(problems),
        )
    return found


def label_of(value: Any) -> int | None:
    """Return 0, 1, or -1 for nothing; ``None`` for what is no label, as :func:`screening.intake.numbers.label`."""
    if value is None:
        return numbers.BLANK
    if isinstance(value, (bool, int, float)) and value in LABELS:  # nearly every label
        return int(value)
    if isinstance(value, (bool, int, float, str)):
        return numbers.label(str(value))
    return None
