"""``flask --app app report``: the report of a screening or of a period, as a file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from flask.cli import with_appcontext

from screening.errors import Conflict, NotFound
from screening.ledger.filters import Filter
from screening.uploads import exports
from screening.uploads.results import Outcome
from screening.uploads.screenings import DONE
from screening.uploads.upload_folder import Folder
from screening.web.cli.commands import operator, plainly
from screening.web.services import services

DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command("report")
@click.argument("screening", required=False)
@click.option("--from", "start", type=DAY, help="The first day of a period, as 2026-01-31.")
@click.option("--to", "end", type=DAY, help="Its last day.")
@click.option("--format", "kind", type=click.Choice(["pdf", "xlsx"]), default="pdf", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where it is written.")
@with_appcontext
@plainly
def report(
    screening: str | None, start: datetime | None, end: datetime | None, kind: str, output: Path | None
) -> None:
    """Write the report of SCREENING (its id), or of all decisions of a period."""
    if (screening is None) == (start is None or end is None):
        raise click.UsageError("Name a screening, or a period with --from and --to.")
    if screening is not None:
        name, body = _of_screening(screening, kind)
    elif start is not None and end is not None:
        if end < start:
            raise click.UsageError("--to is before --from.")
        name, body = _of_period(start.replace(tzinfo=UTC), end.replace(tzinfo=UTC) + timedelta(days=1), kind)
    target = output or Path(name)
    target.write_bytes(body)
    click.echo(f"{target}: {len(body):,} bytes")


def _of_screening(wanted: str, kind: str) -> tuple[str, bytes]:
    from screening.reports.screening_report import screening_pdf

    mine = services()
    found = mine.history.get(wanted)
    if found is None:
        raise NotFound(
            f"There is no screening {wanted[:60]}.", remedy="Take the id at the end of its page's address."
        )
    if found.state != DONE:
        raise Conflict(
            "This screening has no result.", remedy="Wait until it is done, or screen the file again."
        )
    outcome = Outcome(Folder(mine.settings.instance, found.id), found.threshold)
    name = f"{found.filename.split('.')[0] or 'screening'}-report.{kind}"
    if kind == "xlsx":
        return name, b"".join(exports.workbook(outcome, found))
    detector = next((one for one in mine.detectors.all() if one.fingerprint == found.fingerprint), None)
    return name, screening_pdf(found, outcome, detector, author=operator(), made=datetime.now(UTC))


def _of_period(start: datetime, end: datetime, kind: str) -> tuple[str, bytes]:
    from screening.reports import period_report

    most = period_report.MOST_ROWS if kind == "pdf" else period_report.MOST_SHEET_ROWS
    found = period_report.figures(services().ledger.questions, Filter(start=start, end=end), most_rows=most)
    write = period_report.period_pdf if kind == "pdf" else period_report.period_workbook
    name = f"decisions-{start:%Y-%m-%d}-to-{end - timedelta(days=1):%Y-%m-%d}.{kind}"
    return name, write(found, whose="everybody", author=operator(), made=datetime.now(UTC))
