"""The data API's counts over the ledger: in all, by period, country, device, browser and type of fraud."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Blueprint, Response
from msgspec import Meta, Struct

from screening.explore.counts import COUNTED, MONEY, grouped, percentage, ranked, total
from screening.ledger.filters import GROUPS, MOST_GROUPS, TrendInterval, amounts
from screening.web.http import operations
from screening.web.http.ledger_filters import COMMON, TRENDS, BadQuery, chosen, value
from screening.web.http.operations import HeaderSpec, Operation, answered, describes
from screening.web.http.sessions import require
from screening.web.services import services

blueprint = Blueprint("statistics", __name__)
Count = Annotated[int, Meta(ge=0)]
Percentage = Annotated[float, Meta(ge=0, le=100, description="fraud cases of 100 transactions")]
Sum = Annotated[
    float | None, Meta(description="as people write it; `null` where there are several currencies")
]
Currency = Annotated[
    str | None,
    Meta(description="of the sums; `mixed` for several, which aren't added up; `null` if nothing says it"),
]


class Summary(Struct):
    """Everything that was chosen, in numbers."""

    total_transactions: Count
    total_fraud_cases: Count
    fraud_percentage: Percentage
    total_amount: Sum
    fraud_amount: Sum
    currency: Currency
    flagged: Annotated[int, Meta(ge=0, description="rows that a detector flagged")]
    confirmed: Annotated[int, Meta(ge=0, description="rows of which a label says that they were fraud")]
    labelled: Annotated[int, Meta(ge=0, description="rows that have a label")]


class Group(Struct):
    """Transactions that have something in common."""

    transactions: Count
    fraud_cases: Count
    fraud_percentage: Percentage
    amount: Sum
    fraud_amount: Sum
    currency: Currency


class Period(Group):
    """Transactions of one period."""

    period: Annotated[str, Meta(description="its beginning, UTC", extra_json_schema={"format": "date-time"})]


class Country(Group):
    """Transactions of one country."""

    country: str


class Device(Group):
    """Transactions of one device."""

    device_id: str


class Browser(Group):
    """Transactions of one browser."""

    browser: str


class FraudType(Group):
    """Transactions of one type of fraud."""

    fraud_type: str


MOST_FIRST = f"Most fraud cases first, at most {MOST_GROUPS:,} groups; rows without one are left out."
EARLIEST_FIRST = "The periods that have transactions, the earliest first."
TIME_BASIS = HeaderSpec(
    words="Which time `from`, `to` and periods go by: the transaction's own, when it was scored, or both by turns.",
    schema={"type": "string", "enum": ["event", "decided", "mixed"]},
)


def _counting(name: str, form: Any, words: str, query: Any = COMMON) -> Operation:
    told = operations.AnswerSpec(words=words, form=form, headers={"X-Time-Basis": TIME_BASIS})
    return Operation(id=name, tag="Statistics", query=query, answers={200: told}, raises=(BadQuery,))


@blueprint.get("/summary")
@require("see", scope="read")
@describes(_counting("getSummary", Summary, "The counts and sums."))
def summary() -> Response:
    """Count what was chosen, in one object."""
    answer = services().ledger.questions.summary(chosen())
    counts = total(answer.rows, (*COUNTED, "flagged", "confirmed", "labelled"))
    money = amounts(answer.rows, MONEY)
    found = Summary(
        total_transactions=counts["transactions"],
        total_fraud_cases=counts["fraud_cases"],
        fraud_percentage=percentage(counts),
        total_amount=money["amount"],
        fraud_amount=money["fraud_amount"],
        currency=money["currency"],
        flagged=counts["flagged"],
        confirmed=counts["confirmed"],
        labelled=counts["labelled"],
    )
    return answered(found, X_Time_Basis=answer.time_basis)


@blueprint.get("/fraud_trends")
@require("see", scope="read")
@describes(_counting("listFraudTrends", list[Period], EARLIEST_FIRST, TRENDS))
def trends() -> Response:
    """Count by period."""
    interval = value("interval") or TrendInterval.DAY
    answer = services().ledger.questions.trends(chosen(), interval)
    rows = [{**row, "period": row["period"].isoformat() + "Z"} for row in answer.rows]
    return answered([Period(**each) for each in grouped(rows, "period")], X_Time_Basis=answer.time_basis)


@blueprint.get("/fraud_geography")
@require("see", scope="read")
@describes(
    _counting(
        "listFraudByCountry",
        list[Country],
        MOST_FIRST,
    )
)
def geography() -> Response:
    """Count by country."""
    return _by("country", Country)


@blueprint.get("/fraud_devices")
@require("see", scope="read")
@describes(
    _counting(
        "listFraudByDevice",
        list[Device],
        MOST_FIRST,
    )
)
def devices() -> Response:
    """Count by device."""
    return _by("device_id", Device)


@blueprint.get("/fraud_browsers")
@require("see", scope="read")
@describes(
    _counting(
        "listFraudByBrowser",
        list[Browser],
        MOST_FIRST,
    )
)
def browsers() -> Response:
    """Count by browser."""
    return _by("browser", Browser)


@blueprint.get("/fraud_types")
@require("see", scope="read")
@describes(
    _counting(
        "listFraudByType",
        list[FraudType],
        MOST_FIRST,
    )
)
def types() -> Response:
    """Count by type of fraud."""
    return _by("fraud_type", FraudType)


def _by(group: str, form: type[Group]) -> Response:
    if group not in GROUPS:
        raise ValueError(group)
    answer = services().ledger.questions.by(group, chosen())
    return answered([form(**each) for each in ranked(answer.rows, group)], X_Time_Basis=answer.time_basis)
