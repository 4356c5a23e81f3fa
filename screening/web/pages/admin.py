"""The administrator's page: roles, states and passwords of the accounts."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for

from screening.accounts import passwords
from screening.accounts.login_throttle import Lockout
from screening.accounts.roles import PERMISSIONS
from screening.accounts.user_store import ROLES, BadAccount
from screening.web.http import request_audit, sessions
from screening.web.http.sessions import require
from screening.web.services import services

blueprint = Blueprint("admin", __name__, url_prefix="/admin")


@blueprint.get("/users")
@require("manage_users")
def users() -> str:
    """Show all accounts, and the lines of users.txt that can't be used."""
    return _page()


@blueprint.post("/users/<username>/role")
@require("manage_users")
def change_role(username: str) -> Any:
    """Give another role; the account has to log in again."""
    before = services().users.get(username)
    changed = services().users.set_role(username, request.form.get("role", ""))
    sessions.store().end_all(changed.username)
    request_audit.record(
        "role_changed", account=changed.username, role=changed.role, before=before and before.role
    )
    flash(f"{changed.username} is now {changed.role}.")
    return redirect(url_for("admin.users"), HTTPStatus.SEE_OTHER)


@blueprint.post("/users/<username>/state")
@require("manage_users")
def change_state(username: str) -> Any:
    """Open or close an account; closing ends its sessions."""
    state = request.form.get("state", "")
    if state not in ("active", "disabled"):
        raise BadAccount("There is no such state.", where="state", remedy="States: active, disabled.")
    changed = services().users.set_state(username, active=state == "active")
    if not changed.active:
        sessions.store().end_all(changed.username)
    request_audit.record("state_changed", account=changed.username, state=state)
    flash(f"{changed.username} is now {state}.")
    return redirect(url_for("admin.users"), HTTPStatus.SEE_OTHER)


@blueprint.post("/users/<username>/password")
@require("manage_users")
def reset_password(username: str) -> str:
    """Give a random password, which is shown once and holds for one log-in; the account's sessions and its lock end."""
    password = passwords.one_time()
    changed = services().users.set_password(username, password)
    services().temporary_passwords.note(changed)
    sessions.store().end_all(changed.username)
    Lockout(services().database).unlock(changed.username)
    request_audit.record("password_reset", account=changed.username)
    return _page(one_time_password=password, one_time_username=changed.username)


def _page(**more: Any) -> str:
    store = services().users
    return render_template(
        "admin_users.html",
        accounts=store.accounts(),
        handed=services().temporary_passwords.of(store.accounts()),
        problems=store.problems(),
        roles=ROLES,
        permissions=PERMISSIONS,
        **more,
    )
