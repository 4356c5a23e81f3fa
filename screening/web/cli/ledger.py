"""``flask --app app ledger …``: the ledger from the command line."""

from __future__ import annotations

import sys

import click
from flask.cli import AppGroup

from screening.web.cli.commands import plainly
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
