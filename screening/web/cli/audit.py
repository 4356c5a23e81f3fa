"""``flask --app app audit …``: prove that the audit log is as it was written."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from flask.cli import AppGroup

from screening.infra.audit.chain import read_head
from screening.infra.audit.log import KEY_PURPOSE, AuditLog, log_files
from screening.infra.audit.verification import verify as verify_files
from screening.infra.instance_secret import InstanceSecret
from screening.web.cli.commands import plainly
from screening.web.services import services
from screening.web.views.formatting import plural

audit = AppGroup("audit", help="The audit log and its chain.")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@audit.command("verify")
@click.option(
    "--head", "kept", type=FILE, multiple=True, help="A head that was kept elsewhere; may be given again."
)
@click.option("--with", "more", type=FOLDER, multiple=True, help="A folder with months that were moved away.")
@click.option(
    "--since",
    help="A month, as 2026-11: earlier ones were moved away, and aren't missed.",
    callback=lambda _context, _option, given: _month(given),
)
@plainly
def verify(kept: tuple[Path, ...], more: tuple[Path, ...], since: str | None) -> None:
    """Verify the chain; exit status 1, and the first entry that was changed or removed, if it isn't whole."""
    instance = services().settings.instance
    log = AuditLog(instance)
    key = InstanceSecret(instance).derive(KEY_PURPOSE)
    elsewhere = [(file.name, read_head(file.read_bytes())) for file in kept]
    with log.chain.locked():
        beside = log.chain.head_as_written()
        files = [path for folder in more for path in log_files(folder)] + log.files()
        found = verify_files(files, key, [("beside the log", beside), *elsewhere], since)
    for note in found.notes:
        click.echo(note)
    reach = f", {found.first:,} to {found.last:,}" if found.entries else ""
    click.echo(f"{found.entries:,} {plural(found.entries, 'entry', 'entries')} verified{reach}")
    if found.fault is not None:
        click.echo(f"The chain is broken. {found.fault}", err=True)
        sys.exit(1)


@audit.command("head")
@click.option("-o", "output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
@plainly
def head(output: Path | None) -> None:
    """Print the signed head of the chain: keep it elsewhere, to prove later that no entry up to it was cut off."""
    found = AuditLog(services().settings.instance).chain.head()
    if found is None:
        raise click.ClickException(
            "There is no head: nothing was written to the audit log yet, or it was damaged."
        )
    if output is None:
        click.echo(found.text())
    else:
        output.write_text(found.text() + "\n", encoding="ascii")


def _month(given: str | None) -> str | None:
    if given is not None and not (len(given) == 7 and given[4] == "-" and given.replace("-", "").isdigit()):
        raise click.BadParameter("must be a month, as 2026-11")
    return given
