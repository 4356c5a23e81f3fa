"""Reports of a period: a page that shows what they hold, and the documents that are made at once."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, render_template, request

from screening.errors import ScreeningError
from screening.ledger.filters import DecisionFilter
from screening.web.http import request_audit
from screening.web.http.sessions import require, user
from screening.web.services import services
from screening.web.views.visibility import owner_seen

if TYPE_CHECKING:
    from screening.reports.period_report import PeriodFigures

blueprint = Blueprint("reports", __name__, url_prefix="/reports")
USUAL_DAYS = 30
LONGEST_DAYS = 3660
KINDS = {
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class BadPeriod(ScreeningError):
    """A period that can't be reported on."""

    status = 400
    title = "This period can't be reported on"


@blueprint.get("")
@require("see")
def index() -> Any:
    """Choose a period, and see its figures."""
    problem: ScreeningError | None = None
    found: PeriodFigures | None = None
    start, end = _usual()
    try:
        start, end = read_period(request.args)
        found = _figures(start, end, rows=0)
    except ScreeningError as raised:
        problem = raised
    page = render_template(
        "reports.html",
        found=found,
        error=problem,
        start=request.args.get("from") or f"{start:%Y-%m-%d}",
        end=request.args.get("to") or f"{end - timedelta(days=1):%Y-%m-%d}",
        whose="everybody" if owner_seen() is None else user().username,
    )
    return page, problem.status if problem else 200


@blueprint.get("/period.pdf", defaults={"kind": "pdf"})
@blueprint.get("/period.xlsx", defaults={"kind": "xlsx"})
@require("see")
def period(kind: str) -> Response:
    """Send the document of a period."""
    # nothing else needs what it loads
    from screening.reports import period_report

    start, end = read_period(request.args)
    told: dict[str, Any] = {
        "whose": "everybody" if owner_seen() is None else user().username,
        "author": user().username,
        "made": datetime.now(UTC),
    }
    if kind == "pdf":
        body = period_report.period_pdf(_figures(start, end, rows=period_report.MOST_ROWS), **told)
    else:
        body = _workbook(start, end, told)
    request_audit.record("report", start=f"{start:%Y-%m-%d}", end=f"{end:%Y-%m-%d}", kind=kind)
    answer = Response(body, content_type=KINDS[kind])
    file = f"decisions-{start:%Y-%m-%d}-to-{end - timedelta(days=1):%Y-%m-%d}.{kind}"
    answer.headers.set("Content-Disposition", "attachment", filename=file)
    return answer


def _workbook(start: datetime, end: datetime, told: Mapping[str, Any]) -> bytes:
    from screening.reports.period_workbook import write_period

    out = io.BytesIO()
    chosen = DecisionFilter(owner=owner_seen(), start=start, end=end)
    questions = services().ledger.questions
    found = _figures(start, end, rows=0)
    write_period(out, found, questions, chosen, whole=False, files=lambda _one: None, **told)
    return out.getvalue()


def _figures(start: datetime, end: datetime, *, rows: int) -> PeriodFigures:
    from screening.reports import period_report

    return period_report.figures(
        services().ledger.questions, DecisionFilter(owner=owner_seen(), start=start, end=end), most_rows=rows
    )


def _usual() -> tuple[datetime, datetime]:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=USUAL_DAYS - 1), today + timedelta(days=1)


def read_period(given: Mapping[str, str]) -> tuple[datetime, datetime]:
    """Return the beginning and the end of the period that a query or form names; both of its days are included.

    Raises:
        BadPeriod: a day can't be read, or it ends before it begins, or is longer than ten years.
    """
    start, end = _usual()
    start, last = _day(given, "from", start), _day(given, "to", end - timedelta(days=1))
    if last < start:
        raise BadPeriod(
            "The last day is before the first.", where="to", remedy="Choose the days the other way round."
        )
    if last - start > timedelta(days=LONGEST_DAYS):
        raise BadPeriod(
            "The period is longer than ten years.", where="from", remedy="Choose a later first day."
        )
    return start, last + timedelta(days=1)


def _day(given: Mapping[str, str], name: str, usual: datetime) -> datetime:
    raw = given.get(name, "").strip()
    if not raw:
        return usual
    try:
        return datetime.strptime(raw, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise BadPeriod(f"“{raw[:40]}” isn't a day.", where=name, remedy="Write it as 2026-01-31.") from None
