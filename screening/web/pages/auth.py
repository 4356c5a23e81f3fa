"""Signing up, logging in and out, changing one's password."""

from __future__ import annotations

import hmac
import re
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, current_app, flash, redirect, render_template, request, url_for

from screening.accounts import passwords
from screening.accounts.login_throttle import FAILED_LOGINS, SIGN_UPS, Lockout, Throttle, TooMany
from screening.accounts.users_text import Account
from screening.errors import NotReady, ScreeningError, StorageFull
from screening.web.http import request_audit, sessions
from screening.web.http.sessions import require, user
from screening.web.services import services

blueprint = Blueprint("auth", __name__)


class WrongLogin(ScreeningError):
    """Unknown, wrong, disabled or locked: the answer is the same."""

    status = 401
    title = "That didn't work"


class SignupClosed(ScreeningError):
    """``SIGNUP=closed``."""

    status = 403
    title = "Signing up is closed"


@blueprint.get("/signup")
def signup() -> Any:
    """Show the form."""
    return signup_page(None)


@blueprint.post("/signup")
def create() -> Any:
    """Make an account and log it in; the first becomes admin. With ``SIGNUP=approval`` an admin lets it in first."""
    try:
        if services().settings.signup == "closed":
            raise SignupClosed(
                "Accounts are made by the administrator here.", remedy="Ask the administrator."
            )
        account = sign_up()
    except (NotReady, StorageFull):
        raise
    except ScreeningError as problem:
        return signup_page(problem)
    if not account.active:
        flash("Account created. An administrator has to let you in; then log in.")
        return redirect(url_for("auth.login"), HTTPStatus.SEE_OTHER)
    sessions.begin(account)
    request_audit.record("login", user=account.username)
    return redirect(url_for("pages.index"), HTTPStatus.SEE_OTHER)


def sign_up() -> Account:
    """Make the account that the form asks for. Raises :class:`ScreeningError`: why there is none."""
    form, mine = request.form, services()
    throttle, address = Throttle(mine.database), request.remote_addr or ""
    throttle.require_room(SIGN_UPS, address)
    mine.users.check_new(form.get("username", ""), form.get("email", ""), form.get("password", ""))
    # also when the name turns out to be taken: that is how names are guessed
    throttle.count(SIGN_UPS, address)
    account = mine.users.add(
        form.get("username", ""),
        form.get("email", ""),
        form.get("password", ""),
        waits=mine.settings.signup == "approval",
    )
    request_audit.record("signup", user=account.username, role=account.role, state=account.state)
    for key in mine.part_from_namesake(account.username, by="sign-up"):
        request_audit.record("key_revoked", user=account.username, key=key.id, key_name=key.name)
    return account


def signup_page(error: ScreeningError | None) -> Any:
    """Return the page to sign up on, with what was wrong."""
    mine = services()
    page = render_template(
        "signup.html",
        form=echo("username", "email"),
        error=error,
        first=mine.users.is_empty(),
        signup=mine.settings.signup,
        password_min_length=mine.settings.password_min_length,
    )
    return _answer(page, error)


@blueprint.get("/login")
def login() -> Any:
    """Show the form."""
    return login_page(None)


@blueprint.post("/login")
def enter() -> Any:
    """Begin a session, or say that it didn't work; never why."""
    try:
        account, must_change = identify()
    except (WrongLogin, TooMany) as problem:
        return login_page(problem)
    sessions.begin(account, must_change=must_change)
    request_audit.record("login", user=account.username)
    return redirect(safe_target(wanted_page()), HTTPStatus.SEE_OTHER)


def identify() -> tuple[Account, bool]:
    """Return the account that logs in, and whether with a password that was handed over.

    Raises:
        WrongLogin, TooMany: nobody does.
    """
    mine, throttle, address = services(), Throttle(services().database), request.remote_addr or ""
    username, password = request.form.get("username", ""), request.form.get("password", "")
    throttle.require_room(FAILED_LOGINS, address)
    before = mine.users.get(username)
    account = mine.users.verify(username, password)
    verdict = Lockout(mine.database).settle(username, fits=account is not None)
    if account is not None and verdict.allowed:
        return account, was_handed(before, account)
    throttle.count(FAILED_LOGINS, address)
    shown = shown_name(username)
    request_audit.record("login_failed", user=shown, locked=verdict.was_locked or verdict.locked_now)
    if verdict.locked_now:
        request_audit.record("account_locked", user=shown)
    raise WrongLogin(
        "The username or the password is wrong, or the account is closed for now.",
        remedy="Try again. After ten failures an account stays locked for 30 minutes.",
    )


def was_handed(before: Account | None, account: Account) -> bool:
    """Return whether the password was handed over; also when its weak hash was made again in this moment."""
    handed = services().temporary_passwords
    if before is None or not handed.has(before):
        return handed.has(account)
    if before.password_hash != account.password_hash:
        handed.note(account)
    return True


def login_page(error: ScreeningError | None) -> Any:
    """Return the page to log in on, with what was wrong."""
    page = render_template("login.html", form=echo("username"), error=error, next=wanted_page())
    return _answer(page, error)


@blueprint.get("/signin")
def signin() -> Any:
    """Redirect from the old address of the login page."""
    return redirect(url_for("auth.login", next=wanted_page() or None), HTTPStatus.MOVED_PERMANENTLY)


@blueprint.post("/logout")
def logout() -> Any:
    """End the session, here and on the server."""
    request_audit.record("logout")
    sessions.end()
    return redirect(url_for("auth.login"), HTTPStatus.SEE_OTHER)


@blueprint.get("/account")
@require("see")
def account() -> Any:
    """Show the account, and the form to change the password."""
    return account_page(None)


@blueprint.post("/account")
@require("see")
def change_password() -> Any:
    """Change the password; every other session of the account ends."""
    mine = services()
    username, must_change = user().username, user().must_change
    try:
        fits = mine.users.check(username, request.form.get("current_password", "")) is not None
        verdict = Lockout(mine.database).settle(username, fits=fits)
        if not verdict.allowed:
            request_audit.record("password_refused")
            if verdict.locked_now:
                request_audit.record("account_locked", user=username)
            raise WrongLogin(
                "The present password is wrong.", where="current_password", remedy="Type it again."
            )
        changed = mine.users.set_password(username, new_password())
    except (NotReady, StorageFull):
        raise
    except ScreeningError as problem:
        return account_page(problem)
    sessions.store().end_all(username)
    mine.temporary_passwords.forget(changed)
    sessions.begin(changed)
    request_audit.record("password_changed", account=username)
    flash("The password was changed. Every other session of this account has ended.")
    target = safe_target(wanted_page()) if must_change else url_for("auth.account")
    return redirect(target, HTTPStatus.SEE_OTHER)


def new_password() -> str:
    """Return the new password of the form.

    Raises:
        WeakPassword: it is the present one: nothing would be changed.
    """
    new = request.form.get("new_password", "")
    if passwords.same(new, request.form.get("current_password", "")):
        raise passwords.WeakPassword(
            "The new password is the present one.", where="new_password", remedy="Choose another one."
        )
    return new


def account_page(error: ScreeningError | None) -> Any:
    """Return the page of one's own account, with what was wrong."""
    page = render_template(
        "account.html",
        error=error,
        password_min_length=services().settings.password_min_length,
        next=wanted_page() if user().must_change else "",
    )
    return _answer(page, error)


def _answer(page: str, error: ScreeningError | None) -> Response:
    answer = Response(page, status=error.status if error else HTTPStatus.OK, mimetype="text/html")
    answer.headers.update(error.headers() if error else {})
    return answer


def echo(*names: str) -> dict[str, str]:
    """Return the typed values, but never a password."""
    return {name: request.form.get(name, "") for name in names}


def wanted_page() -> str:
    """Return the page that was asked for before the login, as the browser sends it: not checked yet."""
    return request.form.get("next") or request.args.get("next") or ""


def safe_target(wanted: str) -> str:
    """Return the address to go to after the login: a path of this server, or home.

    Browsers drop tabs and line ends in an address and read a backslash as a slash, so that anything but a plain path
    could lead elsewhere.
    """
    if re.fullmatch(r"/(?![/\\])[!-\[\]-~]*", wanted):
        return wanted
    return url_for("pages.index")


def shown_name(username: str) -> str:
    """Return a name that failed to log in, as the log may keep it: in clear only where there is such an account.

    Anything else may be a password that was typed too early. Equal ones have equal marks, so that a series of tries can
    be seen; a mark can't be turned back without the instance's key, and tells 40 bits.
    """
    account = services().users.get(username)
    if account is not None:
        return account.username
    key = str(current_app.config["SECRET_KEY"]).encode()
    mark = hmac.digest(key, b"login name\0" + username.encode("utf-8", "surrogatepass"), "sha256")
    return f"(unknown, {mark[:5].hex()})"
