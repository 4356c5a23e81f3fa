"""``flask --app app ledger …``: the ledger from the command line."""

from __future__ import annotations

import sys

import click
from flask.cli import AppGroup

from screening.infra.audit.log import AuditLog
from screening.uploads import deletion
from screening.uploads.history_policy import sharing
from screening.web.cli.commands import operator, plainly
from screening.web.services import services
from screening.web.views.formatting import plural

ledger = AppGroup("ledger", help="The ledger of all decisions.")


@ledger.command("verify")
@plainly
def verify() -> None:
    """Compare every segment with the manifest, by hash and by count; exit status 1 if one differs."""
    segments = services().ledger.segments
    faults = segments.verify()
    for fault in faults:
        click.echo(f"{fault.name} {fault.problem}", err=True)
    kept = segments.all()
    rows, flagged = sum(each.rows for each in kept), sum(each.flagged for each in kept)
    many = f"{len(kept):,} {plural(len(kept), 'segment')}, {rows:,} {plural(rows, 'transaction')}"
    click.echo(f"{many}, {flagged:,} flagged; {len(faults):,} {plural(len(faults), 'fault')}")
    if faults:
        sys.exit(1)


@ledger.command("compact")
@plainly
def compact() -> None:
    """Put the small segments of each day together. The worker does so by itself for days that are over."""
    mine = services().ledger
    before = len(mine.segments.all())
    for some in mine.compaction.due(today=True):
        mine.compaction.put_together(some)
    click.echo(f"{before:,} {plural(before, 'segment')} before, {len(mine.segments.all()):,} now")


@ledger.command("jobs")
@plainly
def jobs() -> None:
    """List the jobs over folders whose decisions were entered, the latest first."""
    for each in services().ledger.jobs.all():
        click.echo(
            f"{each.id}  {each.entered:%Y-%m-%d %H:%M} UTC  {each.owner}  {each.detector}  {each.rows:,} "
            f"{plural(each.rows, 'row')}, {each.flagged:,} flagged  {each.folder}"
        )


@ledger.command("remove-job")
@click.argument("job", metavar="ID")
@plainly
def remove_job(job: str) -> None:
    """Take the decisions of a job over a folder out of the ledger, with labels and cases: all of them, or none."""
    mine = services()
    found, rows = deletion.remove_job(mine.ledger, mine.database, job)
    AuditLog(mine.settings.instance).record(
        "job_removed", user=operator(), job=job, owner=found.owner, folder=found.folder, rows=rows
    )
    click.echo(f"{rows:,} {plural(rows, 'decision')} of {found.folder} left the ledger.")


@ledger.command("velocity")
@click.option(
    "--rebuild", is_flag=True, help="Make it of the ledger: what is missing comes, what is wrong goes."
)
@click.option("--detector", "name", help="Of this detector alone.")
@plainly
def velocity(name: str | None, *, rebuild: bool) -> None:
    """Tell what the API was asked, as later transactions look back on it, by detector; or make it of the ledger."""
    mine = services()
    names = mine.detectors.names() if name is None else [name]
    told = False
    for each in names:
        detector = mine.detectors.get(each)
        subject = mine.ledger.velocity.subject(detector)
        if subject is None:
            if name is not None:
                click.echo(f"{each} doesn't look back: its transactions are decided on alone")
            continue
        told = True
        if rebuild:
            made = mine.ledger.rebuilding.rebuild(detector, sharing(mine.users))
            click.echo(
                f"{each}: {made.added:,} {plural(made.added, 'row')} added, {made.removed:,} removed"
                + (f", {made.unreadable:,} unreadable" if made.unreadable else "")
            )
        standing = mine.ledger.velocity.standing(subject)
        click.echo(
            f"{each}: {standing.rows:,} {plural(standing.rows, 'row')} of {standing.entered:,} that came in, "
            f"{standing.late:,} late, {standing.repeated:,} repeated"
        )
    if not told and name is None:
        click.echo("no detector looks back")
