"""``flask --app app backup`` and ``restore``: all of an instance as one file, and back; ``move-database``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from flask.cli import with_appcontext

from screening.backup import making, moving, restoring
from screening.web.cli.commands import operator, plainly
from screening.web.services import services
from screening.web.views.formatting import plural

FILE = click.Path(dir_okay=False, path_type=Path)


def _tell(text: str) -> None:
    click.echo(text, err=True)


@click.command("backup")
@click.argument("file", type=FILE)
@click.option(
    "--secret-to",
    "secret",
    type=FILE,
    metavar="FILE",
    help="Keep the secret of the instance (what tokens of card numbers are made with) in this file, not in the backup.",
)
@with_appcontext
@plainly
def backup(file: Path, secret: Path | None) -> None:
    """Save accounts, databases and files of one moment in FILE (.tar, or .tar.gz); the server goes on."""
    mine = services()
    made = making.make(mine.settings, mine.database, mine.ledger, file, secret=secret, say=_tell)
    making.record(mine.settings.instance, made, by=operator())
    about = made.about
    click.echo(f"{about.files:,} {plural(about.files, 'file')} of {about.made}, {made.size:,} bytes: {file}")
    click.echo(f"sha256 {made.sha256}")
    for name in about.lacking:
        _tell(f"Missing from the instance, and so from the backup: {name}")
    for name in made.damaged:
        _tell(f"Damaged on the disk, and so in the backup: {name}")
    if about.lacking or made.damaged:
        _tell("Everything else is in it. What to do about a damaged file: docs/ledger.md.")
        sys.exit(1)


@click.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--secret",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The secret of the instance, where the backup was made with --secret-to.",
)
@with_appcontext
@plainly
def restore(file: Path, secret: Path | None) -> None:
    """Make this instance, which nobody has used yet, of the backup FILE, and verify it."""
    mine = services()
    found = restoring.restore(mine.settings, mine.database, mine.ledger, file, secret=secret, say=_tell)
    restoring.record(mine.settings.instance, found, by=operator())
    click.echo(f"Restored as it was at {found.about.made}:")
    click.echo(f"  {found.accounts:,} {plural(found.accounts, 'account')}")
    click.echo(f"  {found.screenings:,} {plural(found.screenings, 'screening')}")
    segments = f"{found.segments:,} {plural(found.segments, 'segment')} verified"
    click.echo(f"  {found.decisions:,} {plural(found.decisions, 'decision')}, {segments}")
    click.echo(f"  {found.entries:,} {plural(found.entries, 'entry', 'entries')} of the audit log verified")
    if mine.settings.state_url is not None:
        click.echo("The Redis of STATE_URL wasn't saved: run flask --app app ledger velocity --rebuild.")
    for fault in found.faults:
        _tell(f"Damaged: {fault}")
    if found.faults:
        sys.exit(1)


@click.command("move-database")
@click.argument("url")
@with_appcontext
@plainly
def move_database(url: str) -> None:
    """Copy all tables of this instance from SQLite into the empty PostgreSQL of URL, and compare them.

    URL is as in DATABASE_URL; “-” reads it from the standard input, where no list of processes shows its password.
    """
    mine = services()
    address = sys.stdin.readline().strip() if url == "-" else url
    moved = moving.move(mine.settings, mine.database, mine.ledger, address, say=_tell)
    moving.record(mine.settings.instance, moved, by=operator())
    click.echo(f"{moved.tables:,} tables with {moved.rows:,} rows are in {moved.target}, each row compared.")
    click.echo("Set DATABASE_URL to it, and start the server. The files of SQLite were only read.")
