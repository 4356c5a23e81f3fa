"""Sessions of the web: what the cookie says, who that is, and what they may do.

The cookie is Flask's own, signed: it carries the token of the forms, what the next page is to say, and after a log-in
the id of a session, for which Flask-Login asks. The session itself lies in the store: logging out, changing a password
or role and disabling an account end it at once, and a copied cookie is then worth nothing.
"""

from __future__ import annotations

import functools
import logging
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from flask import Flask, Request, Response, abort, g, redirect, request, session, url_for
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask_login import LoginManager, UserMixin, current_user, login_user
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy.exc import DatabaseError

from screening.accounts.api_keys import ANY_SCOPE, SCOPES
from screening.accounts.key_refusals import no_key
from screening.accounts.roles import allows
from screening.accounts.sessions import SessionStore, proof_of
from screening.accounts.user_store import Account
from screening.errors import NotReady, ScreeningError
from screening.web.http import api_keys, errors, request_audit
from screening.web.services import services

log = logging.getLogger("screening.accounts")
View = TypeVar("View", bound=Callable[..., Any])
PLAIN_NAME, SECURE_NAME = "session", "__Host-session"
ID = "_user_id"
"""Of the session's id in the cookie; Flask-Login reads it there."""
# Pages poll these by themselves: such requests must not keep an idle session alive.
PASSIVE = frozenset({"results.progress", "trainings.progress"})
BEFORE_CHANGE = frozenset(
    {
        "static",
        "auth.account",
        "auth.change_password",
        "auth.enter",
        "auth.login",
        "auth.logout",
        "auth.signin",
        "health.alive",
        "health.ready",
    }
)
"""Endpoints that an account may use before it has chosen a password of its own."""


class PasswordHandedOver(ScreeningError):
    """The password was chosen by somebody else and must be changed before anything else."""

    status = 403
    title = "Choose your own password first"


class User(UserMixin):  # type: ignore[misc]
    """The account behind a request, as templates see it. ``must_change``: whether it must choose a password first."""

    def __init__(self, account: Account, session_id: str | None = None, *, must_change: bool = False) -> None:
        self.account = account
        self.must_change = must_change
        self.username = account.username
        self.email = account.email
        self.role = account.role
        self._session_id = session_id

    @property
    def is_active(self) -> bool:
        return self.account.active

    def get_id(self) -> str | None:
        """Return the id of the session, not the account's name: it ends with the session."""
        return self._session_id


class CookieSessions(SecureCookieSessionInterface):
    """Flask's sessions, for requests that have one: static files and programs with an API key have none."""

    def __init__(self, app: Flask) -> None:
        # made once: each page needs it
        self._signer = super().get_signing_serializer(app)

    def get_signing_serializer(self, _app: Flask) -> URLSafeTimedSerializer | None:
        """Return what signs cookies."""
        return self._signer

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return what the cookie says; nothing where it isn't asked."""
        return super().open_session(app, request) if has_session(app) else self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Send the cookie if something of it has changed."""
        if has_session(app):
            super().save_session(app, session, response)

    def get_cookie_name(self, app: Flask) -> str:
        """Return the name: over HTTPS one that only HTTPS can set."""
        return SECURE_NAME if self.get_cookie_secure(app) else PLAIN_NAME

    def get_cookie_secure(self, _app: Flask) -> bool:
        """Return whether the browser must keep the cookie for HTTPS: the operator says it, or the request."""
        forced = services().settings.cookie_secure
        return request.is_secure if forced is None else forced


def has_session(app: Flask) -> bool:
    """Return whether the request has a session.

    Static files are the same for everybody, and kept by browsers whoever logs in. Whoever sends a key gets no session,
    let in or refused.
    """
    return not (request.path.startswith(f"{app.static_url_path}/") or api_keys.is_sent_with(request))


def init_app(app: Flask) -> None:
    """Let the app keep its sessions on the server and know its users."""
    app.session_interface = CookieSessions(app)
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    manager = LoginManager(app)
    # the proof in the store binds a session to its account
    manager.session_protection = None
    manager.user_loader(load_user)
    manager.request_loader(_load_caller)
    manager.unauthorized_handler(unauthorized)
    app.before_request(settle)
    app.before_request(require_own_password)
    app.jinja_env.globals["may"] = may


def user() -> User:
    """Return the account behind this request; only for views that :func:`require` one."""
    return cast("User", current_user._get_current_object())  # noqa: SLF001 -- flask-login's own way


def store() -> SessionStore:
    """Return the sessions of this app."""
    mine = services()
    return SessionStore(
        mine.database, mine.settings.idle_minutes * 60.0, most=mine.settings.sessions_per_account
    )


def begin(account: Account, *, must_change: bool = False) -> None:
    """Log in: the session before this one ends, a new one begins with a new cookie and a new form token.

    ``must_change``: the session is good for changing the password only.
    """
    # a cookie that somebody planted before the log-in must not be good after it (session fixation)
    end()
    session["csrf_token"] = secrets.token_hex(20)
    session_id = store().begin(account, must_change=must_change)
    login_user(User(account, session_id, must_change=must_change))
    # notes of Flask-Login's that nobody here asks for
    for name in ("_id", "_fresh"):
        session.pop(name)


def end() -> None:
    """Log out: the session's row goes, and what the cookie says; what is left is a visitor."""
    if ID in session:
        store().end(session[ID])
    session.clear()


def may(permission: str) -> bool:
    """Return whether the present user has a permission; nobody has none."""
    return bool(current_user.is_authenticated) and allows(current_user.role, permission)


def require(permission: str, scope: str | None = None) -> Callable[[View], View]:
    """Let only those in who have the permission: 401 or the login page for nobody, 403 for the others.

    Args:
        permission: of :mod:`screening.accounts.roles`.
        scope: what an API key must be made for to be let in, too, or ``ANY_SCOPE``; without it the view is for people.
    """
    if scope not in (None, ANY_SCOPE) and SCOPES[scope].permission != permission:
        raise ValueError(
            f"keys with the scope {scope} are made for {SCOPES[scope].permission}, not {permission}"
        )

    def guard(view: View) -> View:
        @functools.wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if not current_user.is_authenticated:
                return unauthorized()
            if not may(permission):
                request_audit.record("forbidden", permission=permission, path=request.path)
                abort(HTTPStatus.FORBIDDEN)
            return view(*args, **kwargs)

        guarded.permission, guarded.scope = permission, scope  # type: ignore[attr-defined]
        return cast("View", guarded)

    return guard


def settle() -> None:
    """Know before the view who it is: a session that is over must not lend its form token to the page.

    A session that can't be read isn't a visitor's: 503, and the cookie stays as it is.
    """
    if ID in session:
        user()  # loads it
    if g.get("sessions_unreadable"):
        raise NotReady("Sessions can't be read at the moment.", remedy="Try again, then tell the operator.")


def load_user(session_id: str) -> User | None:
    """Return the account of a session, looked up at each request: what was changed in users.txt counts at once."""
    try:
        found = store().find(session_id)
    except DatabaseError as problem:
        log.error("sessions can't be read: %s", problem.orig)
        g.sessions_unreadable = True
        return None
    if found is None:
        session.clear()
        return None
    try:
        account = services().users.get(found.username)
    except NotReady as problem:
        log.error("%s", problem)
        return None
    if account is None or not account.active or found.proof != proof_of(account):
        # it must not come back when the account does
        end()
        return None
    if request.endpoint not in PASSIVE:
        try:
            store().touch(session_id, found)
        except DatabaseError as problem:  # only the time of the last use is lost
            log.error("the last use of a session was not kept: %s", problem.orig)
    return User(account, session_id, must_change=found.must_change)


def _load_caller(_request: Request) -> User | None:
    """Return the account whose key was sent; asked only where there is no session."""
    key = api_keys.caller()
    return None if key is None else User(key.account)


def require_own_password() -> Any:
    """Let a password that was handed over open one page only: the one where another is chosen."""
    handed = current_user.is_authenticated and current_user.must_change
    if not handed or request.endpoint is None or request.endpoint in BEFORE_CHANGE:
        return None
    if errors.wants_json():
        raise PasswordHandedOver(
            "The password of this account was set by an administrator and holds for one log-in.",
            remedy=f"Log in with a browser, choose another password on {url_for('auth.account')}, and try again.",
        )
    if request.headers.get("HX-Request"):
        here = path_of(request.headers.get("HX-Current-URL"))
        answer = Response(status=HTTPStatus.FORBIDDEN)
        answer.headers["HX-Redirect"] = url_for("auth.account", next=here)
        return answer
    return redirect(url_for("auth.account", next=way_back()), HTTPStatus.SEE_OTHER)


def way_back() -> str | None:
    """Return the page that was asked for, to go on with afterwards; nothing that changes something."""
    return request.full_path.rstrip("?") if request.method in ("GET", "HEAD") else None


def unauthorized() -> Any:
    """Answer when nobody is logged in: programs get 401, people the login page, which brings them back."""
    if errors.wants_json():
        raise no_key()
    # a fragment must not be replaced by a whole page
    if request.headers.get("HX-Request"):
        here = request.headers.get("HX-Current-URL")
        answer = Response(status=HTTPStatus.UNAUTHORIZED)
        answer.headers["HX-Redirect"] = url_for("auth.login", next=path_of(here))
        return answer
    return redirect(url_for("auth.login", next=way_back()), HTTPStatus.SEE_OTHER)


def path_of(address: str | None) -> str | None:
    """Return the path of an address; ``None`` for none, or for a text that is no address."""
    try:
        return urlsplit(address).path if address else None
    except ValueError:  # "http://[" is none
        return None
