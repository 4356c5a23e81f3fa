"""The filters of questions about the ledger: a query string read strictly, and what the caller may see.

The data API, the dashboard and the list that its marks lead to take the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import request
from werkzeug.datastructures import MultiDict

from screening.errors import CellProblem, ScreeningError
from screening.intake import numbers
from screening.ledger import money
from screening.ledger.fields import ENTITIES
from screening.ledger.filters import NO_CURRENCY, Basis, DecisionFilter, TrendInterval
from screening.ledger.tables import API, BATCH, FILE, STREAM
from screening.transactions.encoding import plain_text
from screening.web.http.operations import Parameter, TextKind, present
from screening.web.http.sessions import may, user

MOST_CHARACTERS = 200
# Only times that mean the same here and in a file. Python accepts more: weeks, any character before the hour,
# and ``07.30`` for a fraction of a second.
WRITTEN = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}(?::?[0-5]\d)?)?)?", re.ASCII
)


class BadQuery(ScreeningError):
    """A parameter of the query string that can't be used."""

    status = 400
    title = "This question can't be answered"


def chosen() -> DecisionFilter:
    """Return the filter of this request: which rows, and of them those that the caller may see.

    Raises:
        BadQuery: a parameter isn't one that the route takes, appears twice, or isn't of its kind; the first is named.
    """
    owner = None if may("see_all") else user().username.casefold()
    return filter_of(request.args, present().query, owner)


def filter_of(args: MultiDict[str, str], known: Mapping[str, Parameter], owner: str | None) -> DecisionFilter:
    """Return the filter that a query string says.

    Args:
        args: the query string.
        known: the parameters that it may have.
        owner: whose rows the caller may see; ``None`` for everybody's.

    Raises:
        BadQuery: as :func:`chosen` says.
    """
    for name in args:
        if name not in known:
            raise refused(name, "is no parameter here", f"These are: {', '.join(known)}.")
        if len(args.getlist(name)) > 1:
            raise refused(name, "appears more than once", "Give it once.")
    given: dict[str, Any] = {
        parameter.field: read
        for name, parameter in known.items()
        if parameter.field is not None and (read := value_of(args, name, parameter)) is not None
    }
    return DecisionFilter(owner=owner, **given)


def value(name: str) -> Any:
    """Return what a parameter of this route says; ``None`` where it isn't given.

    Raises:
        BadQuery: it can't be read, or is blank: a program that fills in nothing would be told of everything.
    """
    return value_of(request.args, name, present().query[name])


def value_of(args: MultiDict[str, str], name: str, parameter: Parameter) -> Any:
    """Return what a parameter of a query string says, as :func:`value` does."""
    raw = args.get(name)
    if raw is None:
        return None
    if not raw.strip():
        raise refused(name, "is blank", "Give it a value, or leave it out.")
    if len(raw) > MOST_CHARACTERS:
        raise refused(name, "is too long", f"It has at most {MOST_CHARACTERS} characters.")
    try:
        return parameter.kind.read(raw)
    except ValueError as problem:
        raise refused(name, "can't be used", f"It must be {problem}.") from None


def one_of(names: Mapping[str, Any]) -> TextKind:
    """Return the kind of one of some words."""

    def read(raw: str) -> Any:
        if raw not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return names[raw]

    return TextKind(read, {"type": "string", "enum": list(names)})


def whole(low: int, high: int, usual: int) -> TextKind:
    """Return the kind of a whole number between two others, both included, and what it is if nothing is said."""

    def read(raw: str) -> int:
        if not (raw.isascii() and raw.isdigit() and len(raw) < 10 and low <= int(raw) <= high):
            raise ValueError(f"a whole number from {low} to {high}")
        return int(raw)

    return TextKind(read, {"type": "integer", "minimum": low, "maximum": high, "default": usual})


def moment(raw: str) -> datetime:
    """Return a time; one without a zone is UTC.

    Raises:
        ValueError: it isn't written as ISO 8601 says.
    """
    try:
        if WRITTEN.fullmatch(raw):
            found = datetime.fromisoformat(raw)
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # in UTC it may be before the year 1
        pass
    raise ValueError("a time as 2026-01-31 or 2026-01-31T23:59:00Z, with + as %2B")


def read_share(raw: str) -> float:
    """Read a share from 0 to 1. Raises ``ValueError`` with what is wanted."""
    found = numbers.plain(raw)
    if found is None or not 0 <= found <= 1:
        raise ValueError("a number from 0 to 1")
    return found


def read_amount(raw: str) -> float:
    """Read an amount. Raises ``ValueError`` with what is wanted."""
    found = numbers.plain(raw)
    if found is None or not abs(found) < money.LARGEST:
        raise ValueError("a number, as people write an amount: 12.50")
    return found


def currency_of(raw: str) -> str:
    """Read a currency; ``none`` means amounts without one."""
    return NO_CURRENCY if raw == "none" else raw


def read_entity(raw: str) -> tuple[str, str]:
    """Read a kind and a value, as ``card:…``. Raises ``ValueError`` with what is wanted."""
    kind, colon, name = raw.partition(":")
    if kind not in ENTITIES or not colon or not name:
        raise ValueError(f"KIND:VALUE, where KIND is one of {', '.join(ENTITIES)}")
    return kind, plain_text(name) or name  # as the ledger has it


TEXT = TextKind(str, {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS, "pattern": r"\S"})
SHARE = TextKind(read_share, {"type": "number", "minimum": 0, "maximum": 1})
MONEY = TextKind(
    read_amount, {"type": "number", "exclusiveMinimum": -money.LARGEST, "exclusiveMaximum": money.LARGEST}
)
CURRENCY = TextKind(currency_of, TEXT.schema)
ENTITY = TextKind(
    read_entity,
    {
        "type": "string",
        "maxLength": MOST_CHARACTERS,
        "pattern": f"^({'|'.join(ENTITIES)}):[\\s\\S]+$",
    },
)
MOMENT = TextKind(moment, {"anyOf": [{"type": "string", "format": each} for each in ("date-time", "date")]})
TIME_WORDS = "ISO 8601; UTC unless it says otherwise"

COMMON: Mapping[str, Parameter] = {
    "from": Parameter(
        kind=MOMENT, field="start", words=f"From when on. {TIME_WORDS}.", example="2026-01-31T00:00:00+01:00"
    ),
    "to": Parameter(kind=MOMENT, field="end", words=f"Until when; the end is left out. {TIME_WORDS}."),
    "detector": Parameter(
        kind=TEXT, field="detector", words="Decisions of this detector.", example="payments"
    ),
    "fraud_type": Parameter(kind=TEXT, field="fraud_type", words="This type of fraud."),
    "country": Parameter(kind=TEXT, field="country", words="This country.", example="DE"),
    "source": Parameter(
        kind=one_of({FILE: FILE, API: API, BATCH: BATCH, STREAM: STREAM}),
        field="source",
        words="How transactions came: in files, by the API, by jobs over folders, or by a topic of Kafka.",
    ),
    "basis": Parameter(
        kind=one_of({basis.value: basis for basis in Basis}),
        field="basis",
        words="What a fraud case is: `flagged` (usual) a flagged row, `confirmed` one that a label says was fraud.",
    ),
}
"""Parameters of all questions about the ledger."""
ROWS: Mapping[str, Parameter] = {
    **COMMON,
    "entity": Parameter(
        kind=ENTITY, field="entity", words="Who or what: `customer:6`, `device:D1`.", example="customer:6"
    ),
    "flagged": Parameter(
        kind=one_of({"true": True, "false": False}), field="flagged", words="Whether the detector flagged it."
    ),
    "label": Parameter(
        kind=one_of({"fraud": 1, "legitimate": 0}), field="label", words="What it turned out to be."
    ),
    "min_probability": Parameter(
        kind=SHARE, field="min_probability", words="At least this probability of fraud, from 0 to 1."
    ),
    "max_probability": Parameter(
        kind=SHARE, field="max_probability", words="Below this probability of fraud, from 0 to 1."
    ),
    "min_amount": Parameter(
        kind=MONEY, field="min_amount", words="At least this amount, as people write it.", example="12.50"
    ),
    "max_amount": Parameter(kind=MONEY, field="max_amount", words="Below this amount, as people write it."),
    "currency": Parameter(
        kind=CURRENCY, field="currency", words="Amounts of this currency; `none`: of one that nothing says."
    ),
    "browser": Parameter(kind=TEXT, field="browser", words="This browser.", example="Chrome"),
    "screening": Parameter(kind=TEXT, field="screening", words="Rows of this file: the id of its screening."),
}
"""Parameters of questions for single rows."""
TRENDS: Mapping[str, Parameter] = {
    **COMMON,
    "interval": Parameter(
        kind=one_of({interval.value: interval for interval in TrendInterval}),
        words="How long a period is: `day` unless said. Weeks begin on Monday.",
        example=TrendInterval.WEEK.value,
    ),
}

DASHBOARD = TRENDS
"""Parameters of the dashboard's address."""


def refused(name: str, problem: str, remedy: str) -> BadQuery:
    """Return the error of a parameter that can't be used."""
    return BadQuery(
        f"The parameter “{name[:40]}” {problem}.",
        where=f"query string, {name[:40]}",
        remedy=remedy,
        problems=[CellProblem(problem, column=name[:40])],
    )
