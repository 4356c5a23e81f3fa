"""The auditor's page: what was done, by whom, when; exports of it, and the head of the chain. Nothing here writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from flask import Blueprint, Response, render_template, request, url_for

from screening.errors import NotFound
from screening.infra.audit.chain import CHAIN, encode
from screening.infra.audit.log import AuditLog
from screening.infra.audit.search import AuditSearch, BadSearch, about_of, forwards, search
from screening.intake.formulas import csv_text
from screening.web.http import request_audit
from screening.web.http.sessions import require
from screening.web.services import services

blueprint = Blueprint("audit", __name__, url_prefix="/audit")
ON_PAGE = 50
FILTERS = ("user", "object", "event", "from", "to")
COLUMNS = ("number", "time", "event", "user", "address", "request_id", "about", "hash")
AT_ONCE = 500


@blueprint.get("")
@require("audit")
def index() -> Any:
    """Show entries, the latest first, a page at a time; the filters are in the address."""
    given = given_filters()
    problem: BadSearch | None = None
    found = []
    try:
        entries_ = search(audit_log().files(), _search(given), request.args.get("before"))
        found = list(islice(entries_, ON_PAGE + 1))
    except BadSearch as raised:
        problem = raised
    shown = found[:ON_PAGE]
    following: dict[str, Any] = {**given, "before": shown[-1].place} if len(found) > ON_PAGE else {}
    page = render_template(
        "audit.html",
        rows=[(each.entry, about_of(each.entry)) for each in shown],
        given=given,
        error=problem,
        later="before" in request.args,
        next_page=url_for("audit.index", **following) if following else None,
        head=audit_log().chain.head(),
        chain=CHAIN,
    )
    return page, problem.status if problem else 200


@blueprint.get("/entries.csv", defaults={"kind": "csv"})
@blueprint.get("/entries.jsonl", defaults={"kind": "jsonl"})
@require("audit")
def entries(kind: str) -> Response:
    """Show every entry that passes the filters, in the order in which they were written."""
    given = given_filters()
    chosen = _search(given)
    # this very export isn't part of itself
    now = datetime.now(UTC)
    chosen = replace(chosen, end=min(chosen.end or now, now))
    request_audit.record("audit_exported", kind=kind, filters=given)
    found = forwards(audit_log().files(), chosen)
    body = _csv(found) if kind == "csv" else (encode(entry) + "\n" for entry in found)
    answer = Response(body, content_type="text/csv; charset=utf-8" if kind == "csv" else "application/jsonl")
    answer.headers.set("Content-Disposition", "attachment", filename=f"audit-entries.{kind}")
    return answer


@blueprint.get("/head")
@require("audit")
def head() -> Response:
    """Send the signed head of the chain, to be kept elsewhere."""
    found = audit_log().chain.head()
    if found is None:
        raise NotFound("There is no head of the audit log yet.", remedy="Have the operator look at its log.")
    answer = Response(found.text() + "\n", content_type="application/json")
    answer.headers.set("Content-Disposition", "attachment", filename=f"audit-head-{found.number}.json")
    return answer


def audit_log() -> AuditLog:
    """Return the audit log of this instance."""
    return AuditLog(services().settings.instance)


def given_filters() -> dict[str, str]:
    """Return the filters of the address that aren't blank."""
    return {name: text for name in FILTERS if (text := request.args.get(name, "").strip())}


def _search(given: Mapping[str, str]) -> AuditSearch:
    begin, end = _day(given, "from"), _day(given, "to")
    if begin is not None and end is not None and end < begin:
        raise BadSearch(
            "The last day is before the first.", where="to", remedy="Choose the days the other way round."
        )
    return AuditSearch(
        user=given.get("user"),
        about=given.get("object"),
        event=given.get("event"),
        begin=begin,
        end=None if end is None else end + timedelta(days=1),
    )


def _day(given: Mapping[str, str], name: str) -> datetime | None:
    if name not in given:
        return None
    try:
        found = datetime.strptime(given[name], "%Y-%m-%d").replace(tzinfo=UTC)
        found + timedelta(days=1)
    except (ValueError, OverflowError):
        raise BadSearch(
            f"“{given[name][:40]}” isn't a day.", where=name, remedy="Write it as 2026-01-31."
        ) from None
    return found


def _csv(found: Iterator[dict[str, Any]]) -> Iterator[str]:
    yield csv_text([COLUMNS])
    while some := list(islice(found, AT_ONCE)):
        yield csv_text([_row(entry) for entry in some])


def _row(entry: dict[str, Any]) -> list[object]:
    link = entry.get(CHAIN, {})
    about = about_of(entry)
    known = (entry.get(name, "") for name in COLUMNS[1:6])
    return [
        link.get("number", ""),
        *("" if value is None else value for value in known),
        encode(about) if about else "",
        link.get("hash", ""),
    ]
