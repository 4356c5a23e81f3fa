"""Sessions of the web: what the cookie says, who that is, and what they may do.

A visitor without an account has a signed cookie (it carries the token of the forms). A login gives a new cookie with
random bits, whose session lies in the store: logging out, changing a password or role and disabling an account end
it at once, and a copied cookie is then worth nothing.
"""

from __future__ import annotations

import functools
import logging
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from flask import Flask, Request, Response, abort, current_app, redirect, request, session, url_for
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionInterface, SessionMixin
from flask_login import LoginManager, UserMixin, current_user, login_user
from itsdangerous import BadSignature
from sqlalchemy.exc import DatabaseError

from screening.accounts.api_keys import ANY_SCOPE, SCOPES
from screening.accounts.key_refusals import no_key
from screening.accounts.roles import allows
from screening.accounts.sessions import Found, SessionStore, proof_of
from screening.accounts.user_store import Account
from screening.errors import NotReady, ScreeningError
from screening.web.http import api_keys, errors, request_audit
from screening.web.services import Services, services

log = logging.getLogger("screening.accounts")
View = TypeVar("View", bound=Callable[..., Any])
PLAIN_NAME, SECURE_NAME = "session", "__Host-session"
# First character of an anonymous visitor's cookie. No session token begins with it, so the two can't be
# confused.
VISITOR = "~"
# Pages poll these by themselves: such requests must not keep an idle session alive.
PASSIVE = frozenset({"results.progress", "trainings.progress"})
MUST_CHANGE = "must_change"
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
NOT_KEPT = frozenset({"_user_id", "_fresh", "_id", "_permanent", "_remember"})


class PasswordHandedOver(ScreeningError):
    """The password was chosen by somebody else and must be changed before anything else."""

    status = 403
    title = "Choose your own password first"


class User(UserMixin):  # type: ignore[misc]
    """The account behind a request, as templates see it. ``must_change``: whether it must choose a password first."""

    def __init__(self, account: Account, *, must_change: bool = False) -> None:
        self.account = account
        self.must_change = must_change
        self.username = account.username
        self.email = account.email
        self.role = account.role

    @property
    def is_active(self) -> bool:
        return self.account.active

    def get_id(self) -> str:
        return self.username


class WebSession(SecureCookieSession):
    """Flask's session; ``token`` and ``found`` are there when it lies in the store."""

    token: str | None = None
    found: Found | None = None
    begun = False
    unreadable = False
    """The store didn't answer: nobody knows whose session it is."""
    sent = False
    """Whether the request brought a cookie."""

    def kept(self) -> dict[str, Any]:
        """Return the data that is written; who it is stands in the row itself."""
        return {name: value for name, value in self.items() if name not in NOT_KEPT}


def init_app(app: Flask) -> None:
    """Let the app keep its sessions on the server and know its users."""
    app.session_interface = _Interface()
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
    return _store_of(current_app)


def begin(account: Account, *, must_change: bool = False) -> None:
    """Log in: the session before this one ends, a new one begins with a new cookie and a new form token.

    ``must_change``: the session is good for changing the password only.
    """
    mine = cast("WebSession", session)
    if mine.token is not None:
        store().end(mine.token)
    # a cookie that somebody planted before the log-in must not be good after it (session fixation)
    mine.clear()
    mine["csrf_token"] = secrets.token_hex(20)
    if must_change:
        mine[MUST_CHANGE] = True
    mine.token, mine.begun = store().begin(account, mine.kept()), True
    # what the view still says (a message for the next page) is kept, too
    mine.found = store().find(mine.token)
    login_user(User(account, must_change=must_change))


def end() -> None:
    """Log out: the session's row goes, and the cookie with it; what is left is a visitor."""
    mine = cast("WebSession", session)
    if mine.token is not None:
        store().end(mine.token)
    mine.token = mine.found = None
    mine.clear()


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


def is_static(app: Flask, request: Request) -> bool:
    """Return whether a static file is asked for, which needs no session."""
    return request.path.startswith(f"{app.static_url_path}/")


class _Interface(SessionInterface):
    _signed = SecureCookieSessionInterface()

    def open_session(self, app: Flask, request: Request) -> WebSession:
        cookie = request.cookies.get(cookie_name(app, request))
        if not cookie or api_keys.is_sent_with(request) or is_static(app, request):
            return WebSession()
        opened = self._visitor(app, cookie[1:]) if cookie.startswith(VISITOR) else self._of_store(app, cookie)
        opened.sent = True
        return opened

    def _visitor(self, app: Flask, value: str) -> WebSession:
        signer = self._signed.get_signing_serializer(app)
        try:
            return WebSession(signer.loads(value) if signer is not None else {})
        except BadSignature:
            return WebSession()

    def _of_store(self, app: Flask, token: str) -> WebSession:
        try:
            found = _store_of(app).find(token)
        except DatabaseError as problem:
            log.error("sessions can't be read: %s", problem.orig)  # noqa: TRY400
            broken = WebSession()
            broken.unreadable = True
            return broken
        if found is None:
            return WebSession()
        opened = WebSession({**found.data, "_user_id": found.username, "_fresh": True})
        opened.token, opened.found = token, found
        return opened

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        mine = cast("WebSession", session)
        if api_keys.is_sent_with(request):
            # it has no session, and gets none, whether it was let in or refused
            return
        if is_static(app, request):
            # the same for everybody, and kept by browsers whoever logs in
            return
        if mine.accessed or mine.sent:
            response.vary.add("Cookie")
        name = cookie_name(app, request)
        if mine.token is not None:
            self._keep(app, mine)
            if mine.begun:
                set_cookie(response, name, mine.token)
        elif mine.modified and mine.kept():
            signer = self._signed.get_signing_serializer(app)
            if signer is not None:
                set_cookie(response, name, VISITOR + str(signer.dumps(mine.kept())))
        elif mine.modified and mine.sent:
            response.delete_cookie(name, path="/", secure=name == SECURE_NAME, httponly=True, samesite="Lax")

    def _keep(self, app: Flask, mine: WebSession) -> None:
        if mine.token is None or mine.found is None:
            return
        try:
            _store_of(app).keep(mine.token, mine.found, mine.kept(), used=request.endpoint not in PASSIVE)
        except DatabaseError as problem:  # the answer is made; only the time of the last use is lost
            log.error("the last use of a session was not kept: %s", problem.orig)  # noqa: TRY400


def _store_of(app: Flask) -> SessionStore:
    mine: Services = app.extensions["screening"]
    settings = mine.settings
    return SessionStore(mine.database, settings.idle_minutes * 60.0, most=settings.sessions_per_account)


def set_cookie(response: Response, name: str, value: str) -> None:
    """Send the session's cookie, which scripts can't read and which comes with no request from another site."""
    response.set_cookie(name, value, path="/", secure=name == SECURE_NAME, httponly=True, samesite="Lax")


def cookie_name(app: Flask, request: Request) -> str:
    """Return the name of the session's cookie: over HTTPS one that only HTTPS can set."""
    forced: bool | None = app.extensions["screening"].settings.cookie_secure
    return SECURE_NAME if (request.is_secure if forced is None else forced) else PLAIN_NAME


def settle() -> None:
    """Know before the view who it is: a session that is over must not lend its form token to the page.

    A session that can't be read isn't a visitor's: 503, and the cookie stays as it is.
    """
    mine = cast("WebSession", session)
    if mine.unreadable:
        raise NotReady("Sessions can't be read at the moment.", remedy="Try again, then tell the operator.")
    if mine.token is not None:
        current_user._get_current_object()  # noqa: SLF001 -- loads it


def load_user(username: str) -> User | None:
    """Return the account of the session, looked up at each request: what was changed in users.txt counts at once."""
    mine = cast("WebSession", session)
    try:
        account = services().users.get(username)
    except NotReady as problem:
        log.error("%s", problem)  # noqa: TRY400
        return None
    if mine.token is None or mine.found is None:
        return None
    if account is None or not account.active or mine.found.proof != proof_of(account):
        # it must not come back when the account does
        end()
        return None
    return User(account, must_change=MUST_CHANGE in mine)


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
