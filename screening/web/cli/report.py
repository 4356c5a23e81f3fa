"""``flask --app app report``: a document of a screening or of a period, as a file."""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from flask.cli import with_appcontext

from screening.reports.documents import DocumentSubject
from screening.reports.making import DocumentOrder, ReportServices, make
from screening.web.cli.commands import operator, plainly
from screening.web.http import request_audit
from screening.web.services import services

DAY = click.DateTime(formats=["%Y-%m-%d"])
STEPS = 1000


@click.command("report")
@click.argument("screening", required=False)
@click.option("--from", "start", type=DAY, help="The first day of a period, as 2026-01-31.")
@click.option("--to", "end", type=DAY, help="Its last day.")
@click.option("--detector", help="A detector, for its model-risk pack (PDF).")
@click.option("--format", "kind", type=click.Choice(["pdf", "xlsx"]), default="pdf", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where it is written.")
@with_appcontext
@plainly
def report(
    *,
    screening: str | None,
    start: datetime | None,
    end: datetime | None,
    detector: str | None,
    kind: str,
    output: Path | None,
) -> None:
    """Write a document about SCREENING (its id), about all decisions of a period, or about a detector.

    A workbook (xlsx) has all rows.
    """
    if [screening is not None, start is not None and end is not None, detector is not None].count(True) != 1:
        raise click.UsageError(
            "Name a screening, or a period with --from and --to, or a detector with --detector."
        )
    if detector is not None and kind != "pdf":
        raise click.UsageError("A model-risk pack is a PDF.")
    if start is not None and end is not None and end < start:
        raise click.UsageError("--to is before --from.")
    mine = services()
    desk = ReportServices(mine.settings, mine.database, mine.screenings, mine.ledger, lambda: mine.detectors)
    order = DocumentOrder(
        what=DocumentSubject.SCREENING
        if screening is not None
        else DocumentSubject.PERIOD
        if detector is None
        else DocumentSubject.MODEL,
        kind=kind,
        author=operator(),
        made=datetime.now(UTC),
        subject=screening or detector,
        start=start and start.replace(tzinfo=UTC),
        end=end and end.replace(tzinfo=UTC) + timedelta(days=1),
    )
    target = output or Path(_name(order, desk))
    write_beside(order, desk, target)
    request_audit.record(
        "report", user=operator(), what=order.what.value, subject=order.subject, name=target.name
    )
    click.echo(f"{target}: {target.stat().st_size:,} bytes")


def _name(order: DocumentOrder, desk: ReportServices) -> str:
    if order.start is not None and order.end is not None:
        return f"decisions-{order.start:%Y-%m-%d}-to-{order.end - timedelta(days=1):%Y-%m-%d}.{order.kind}"
    if order.what is DocumentSubject.MODEL:
        return f"{order.subject}-model-risk.pdf"
    found = desk.screenings.get(str(order.subject))
    stem = "screening" if found is None else found.filename.split(".")[0] or "screening"
    return f"{stem}-report.{order.kind}"


def write_beside(order: DocumentOrder, desk: ReportServices, target: Path) -> None:
    """Write beside the target first: what was there stays until the document is whole."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with (
            draft.open("wb") as file,
            click.progressbar(length=STEPS, label="Making it", file=sys.stderr) as bar,
        ):

            def show(share: float, _stage: str) -> None:
                bar.update(round(share * STEPS) - bar.pos)

            make(order, desk, file, show)
            show(1.0, "")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
