"""The data API's counts over the ledger: in all, by period, country, device, browser and type of fraud."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from flask import Blueprint, Response, jsonify

from screening.ledger.filters import GROUPS, Answer, Interval, amounts
from screening.web.api.ledger_filters import chosen, one_of, value
from screening.web.http.sessions import require
from screening.web.services import services

blueprint = Blueprint("statistics", __name__)
COUNTED = ("transactions", "fraud_cases")
MONEY = ("amount", "fraud_amount")


@blueprint.get("/summary")
@require("see", scope="read")
def summary() -> Response:
    """Everything that was chosen, in one object."""
    answer = services().ledger.questions.summary(chosen())
    total = _counts(answer.rows, (*COUNTED, "flagged", "confirmed", "labelled"))
    money = amounts(answer.rows, MONEY)
    return _told(
        answer,
        {
            "total_transactions": total["transactions"],
            "total_fraud_cases": total["fraud_cases"],
            "fraud_percentage": _percentage(total),
            "total_amount": money["amount"],
            "fraud_amount": money["fraud_amount"],
            "currency": money["currency"],
            "flagged": total["flagged"],
            "confirmed": total["confirmed"],
            "labelled": total["labelled"],
        },
    )


@blueprint.get("/fraud_trends")
@require("see", scope="read")
def trends() -> Response:
    """By period, the earliest first."""
    intervals = {interval.value: interval for interval in Interval}
    interval = value("interval", one_of(intervals)) or Interval.DAY
    answer = services().ledger.questions.trends(chosen("interval"), interval)
    rows = [{**row, "period": row["period"].isoformat() + "Z"} for row in answer.rows]
    return _told(answer, list(_grouped("period", rows)))


@blueprint.get("/fraud_geography")
@require("see", scope="read")
def geography() -> Response:
    """By country."""
    return _by("country")


@blueprint.get("/fraud_devices")
@require("see", scope="read")
def devices() -> Response:
    """By device."""
    return _by("device_id")


@blueprint.get("/fraud_browsers")
@require("see", scope="read")
def browsers() -> Response:
    """By browser."""
    return _by("browser")


@blueprint.get("/fraud_types")
@require("see", scope="read")
def types() -> Response:
    """By type of fraud."""
    return _by("fraud_type")


def _by(group: str) -> Response:
    if group not in GROUPS:
        raise ValueError(group)
    answer = services().ledger.questions.by(group, chosen())
    known = [row for row in answer.rows if row[group] is not None]
    found = sorted(
        _grouped(group, sorted(known, key=lambda row: str(row[group]))),
        key=lambda row: (-row["fraud_cases"], -row["transactions"], row[group]),
    )
    return _told(answer, found)


def _grouped(key: str, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One object for each value of a key, whose rows stand together: there is one row for each currency."""
    for name, group in groupby(rows, key=lambda row: row[key]):
        same = list(group)
        counts = _counts(same, COUNTED)
        yield {
            key: name,
            **counts,
            "fraud_percentage": _percentage(counts),
            **amounts(same, MONEY),
        }


def _counts(rows: Iterable[dict[str, Any]], names: Iterable[str]) -> dict[str, int]:
    kept = list(rows)
    return {name: sum(row[name] for row in kept) for name in names}


def _percentage(counts: dict[str, int]) -> float:
    return round(100 * counts["fraud_cases"] / counts["transactions"], 4) if counts["transactions"] else 0.0


def _told(answer: Answer, body: Any) -> Response:
    response = jsonify(body)
    response.headers["X-Time-Basis"] = answer.time_basis
    return response
