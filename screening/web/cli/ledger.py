"""``flask --app app ledger …``: the ledger from the command line."""

from __future__ import annotations

import sys

import click
from flask.cli import AppGroup

from screening.web.cli.commands import plainly
from screening.web.services import services

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
    click.echo(f"{len(kept):,} segments, {rows:,} transactions, {flagged:,} flagged; {len(faults):,} faults")
    if faults:
        sys.exit(1)
