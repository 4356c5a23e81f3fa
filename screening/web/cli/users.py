"""``flask --app app users …``: accounts from the command line."""

from __future__ import annotations

import sys

import click
from flask.cli import AppGroup

from screening.accounts import passwords
from screening.accounts.login_throttle import Lockout
from screening.accounts.user_store import ROLES, Account
from screening.web.cli.commands import operator, plainly
from screening.web.http import request_audit
from screening.web.http.sessions import store
from screening.web.services import services

users = AppGroup("users", help="Add, list and change accounts.")


@users.command("add")
@click.argument("username")
@click.argument("email")
@click.option(
    "--role", type=click.Choice(ROLES), help="Without it: admin for the first account, analyst after it."
)
@click.option("--must-change", is_flag=True, help="The password must be changed at the first log-in.")
@plainly
def add(username: str, email: str, role: str | None, must_change: bool) -> None:
    """Make an account; the password is asked for, or read from standard input."""
    account = services().users.add(username, email, _password(), role)
    if must_change:
        services().temporary_passwords.note(account)
    _record("signup", account)
    for key in services().part_from_namesake(account.username, by=operator()):
        request_audit.record("key_revoked", user=operator(), key=key.id, key_name=key.name)


@users.command("list")
@plainly
def show() -> None:
    """Show all accounts, and the lines of users.txt that can't be used."""
    for account in services().users.accounts():
        click.echo(f"{account.username}\t{account.email}\t{account.role}\t{account.state}")
    for problem in services().users.problems():
        click.echo(f"{services().users.path.name}, {problem}", err=True)


@users.command("disable")
@click.argument("username")
@plainly
def disable(username: str) -> None:
    """Close an account; its sessions end."""
    _record("state_changed", services().users.set_state(username, active=False))


@users.command("enable")
@click.argument("username")
@plainly
def enable(username: str) -> None:
    """Open an account, or let one in that waits; a lock after failed logins ends too."""
    account = services().users.set_state(username, active=True)
    Lockout(services().database).unlock(account.username)
    _record("state_changed", account)


@users.command("password")
@click.argument("username")
@click.option("--generate", is_flag=True, help="Make a random one and show it once.")
@click.option(
    "--must-change", is_flag=True, help="It must be changed at the next log-in, as a random one must."
)
@plainly
def password(username: str, generate: bool, must_change: bool) -> None:
    """Give another password; the account's sessions end."""
    new = passwords.one_time() if generate else _password()
    account = services().users.set_password(username, new)
    (
        services().temporary_passwords.note
        if generate or must_change
        else services().temporary_passwords.forget
    )(account)
    Lockout(services().database).unlock(account.username)
    _record("password_reset", account)
    if generate:
        click.echo(new)


@users.command("role")
@click.argument("username")
@click.argument("role", type=click.Choice(ROLES))
@plainly
def role(username: str, role: str) -> None:
    """Give another role; the account has to log in again."""
    _record("role_changed", services().users.set_role(username, role))


def _record(event: str, account: Account) -> None:
    if event != "signup":
        store().end_all(account.username)
    request_audit.record(
        event,
        user=operator(),
        account=account.username,
        role=account.role,
        state=account.state,
    )
    click.echo(f"{account.username}: {account.role}, {account.state}")


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
