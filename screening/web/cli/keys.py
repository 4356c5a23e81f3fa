"""``flask --app app keys …``: API keys from the command line."""

from __future__ import annotations

from datetime import datetime

import click
from flask.cli import AppGroup

from screening.accounts.api_keys import (
    DEFAULT_BURST,
    DEFAULT_DAYS,
    DEFAULT_PER_MINUTE,
    MOST_BURST,
    MOST_DAYS,
    MOST_PER_MINUTE,
    SCOPES,
    ApiKey,
)
from screening.web.cli.commands import operator, plainly
from screening.web.http import request_audit
from screening.web.services import services

keys = AppGroup("keys", help="Make, list and revoke API keys.")


@keys.command("create")
@click.argument("name")
@click.option("--owner", required=True, metavar="USER", help="The account that the key acts as.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(tuple(SCOPES)),
    help="What it may be used for; may be given several times.",
)
@click.option(
    "--days",
    type=click.IntRange(1, MOST_DAYS),
    help=f"When it expires; {DEFAULT_DAYS} unless this is said.",
)
@click.option("--no-expiry", is_flag=True, help="It holds until it is revoked.")
@click.option(
    "--per-minute",
    type=click.IntRange(1, MOST_PER_MINUTE),
    default=DEFAULT_PER_MINUTE,
    show_default=True,
    help="Requests a minute in the long run.",
)
@click.option(
    "--burst",
    type=click.IntRange(1, MOST_BURST),
    default=DEFAULT_BURST,
    show_default=True,
    help="Requests at once.",
)
@plainly
def create(
    *,
    name: str,
    owner: str,
    scopes: tuple[str, ...],
    days: int | None,
    no_expiry: bool,
    per_minute: int,
    burst: int,
) -> None:
    """Make a key for NAME and print it: this once, alone on the last line."""
    if no_expiry and days is not None:
        raise click.UsageError("--days and --no-expiry contradict each other: give one of them.")
    key, text = services().keys.create(
        name,
        owner,
        scopes,
        by=operator(),
        days=None if no_expiry else days or DEFAULT_DAYS,
        per_minute=per_minute,
        burst=burst,
    )
    request_audit.record("key_created", user=operator(), **request_audit.key_fields(key))
    click.echo(_line(key), err=True)
    click.echo("Keep it now: it can't be shown again.", err=True)
    click.echo(text)


@keys.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that were revoked.")
@plainly
def show(*, every: bool) -> None:
    """Show one line for each key: id, state, name, owner, scopes, limits, expiry, last use."""
    for key in services().keys.all():
        if every or key.revoked is None:
            click.echo(_line(key))


@keys.command("revoke")
@click.argument("key")
@plainly
def revoke(key: str) -> None:
    """End a key at once, in every process. KEY: its id, as the list shows it."""
    ended, now = services().keys.revoke(key, by=operator())
    if now:
        request_audit.record("key_revoked", user=operator(), **request_audit.key_fields(ended))
    click.echo(f"{ended.id}: {ended.name}, " + ("revoked" if now else "was revoked before"))


def _line(key: ApiKey) -> str:
    withheld = key.withheld(owner := services().users.get(key.owner))
    return "\t".join(
        (
            key.id,
            key.state(owner),
            key.name,
            key.owner,
            " ".join(scope + (" (role)" if scope in withheld else "") for scope in key.scopes),
            f"{key.per_minute:,} a minute, {key.burst:,} at once",
            f"expires {minute_of(key.expires)}" if key.expires else "no expiry",
            f"last used {minute_of(key.last_used)}" if key.last_used else "never used",
        )
    )


def minute_of(when: datetime) -> str:
    """Return a moment to the minute, in UTC."""
    return f"{when:%Y-%m-%d %H:%M} UTC"
