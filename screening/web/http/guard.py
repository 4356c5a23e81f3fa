"""Guard every page: the right host, a bounded body, and a token on every request that changes something.

The order matters: Flask-WTF looks for the token in the form, and parsing a form reads the whole body, 150 MB of it
for anybody. So the body's limit comes first, and pages that take large bodies read the token from the stream
themselves and hand it to :func:`check_csrf`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any, TypeVar

from flask import Flask, current_app, g, request
from flask_login import current_user
from flask_wtf.csrf import CSRFError, CSRFProtect, validate_csrf
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from wtforms.validators import ValidationError

from screening.errors import ScreeningError
from screening.infra import log_context
from screening.setting_values import SECRET_BYTES
from screening.settings import Settings
from screening.web.http import api_keys
from screening.web.http.admission import Admission
from screening.web.http.front import REFUSED, ROUTE, SMALL_BYTES
from screening.web.http.headers import NO_STORE, REQUEST_ID, SecurityHeaders
from screening.web.http.proxies import HOST, TrustedProxies
from screening.web.services import services

__all__ = ["body_limit", "check_csrf", "init_app", "is_ours", "streams"]

View = TypeVar("View", bound=Callable[..., Any])
FORM_BYTES = 1 << 20
SAME_FOR_ALL = frozenset({"static", "dashboard.suites"})
STREAMED = frozenset({"uploads.receive"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
csrf = CSRFProtect()


def init_app(app: Flask) -> None:
    """Put the guard before everything else: call it before blueprints and other hooks are registered."""
    if len(str(app.secret_key or "").encode()) < SECRET_BYTES:
        raise RuntimeError("the app has no secret key of its own: sessions can't be signed")
    app.config.update(
        # check_token does it, where it doesn't read large bodies
        WTF_CSRF_CHECK_DEFAULT=False,
        # a token lives as long as its session
        WTF_CSRF_TIME_LIMIT=None,
        MAX_CONTENT_LENGTH=FORM_BYTES,
    )
    # the order matters: what the first ones refuse takes neither a database nor a body
    app.before_request(_number)
    app.before_request(_refuse)
    app.before_request(_check_host)
    # before the body: nobody sends 10 MB for a 401
    app.before_request(api_keys.identify)
    app.before_request(_name_for_logs)
    app.before_request(limit_body)
    csrf.init_app(app)
    app.before_request(check_token)
    app.after_request(_forbid_keeping)
    settings: Settings = app.extensions["screening"].settings
    # proxies outermost: everything behind goes by the sender's own address
    app.wsgi_app = TrustedProxies(  # type: ignore[method-assign]
        Admission(SecurityHeaders(app.wsgi_app), settings.uploads_per_account), settings.trusted_proxies
    )


def streams(view: View) -> View:
    """Mark a view that reads its body itself: it must call :func:`check_csrf` before it does anything."""
    view.streams = True  # type: ignore[attr-defined]
    return view


def body_limit(limit: int | Callable[[Settings], int]) -> Callable[[View], View]:
    """Mark a view that takes more, or less, than the usual megabyte."""

    def mark(view: View) -> View:
        view.body_limit = limit  # type: ignore[attr-defined]
        return view

    return mark


def check_csrf(token: str | None) -> None:
    """Let pass when the token belongs to this request's session, or a key takes the session's place.

    Raises:
        CSRFError: 400; it is missing, damaged or belongs to another session.
    """
    if api_keys.caller() is not None:
        # no browser sends a key by itself
        return
    try:
        validate_csrf(token)
    except ValidationError as problem:
        raise CSRFError(problem.args[0]) from None
    g.csrf_valid = True


def _number() -> None:
    g.request_id = request.environ[REQUEST_ID]
    if request.url_rule is not None:
        request.environ[ROUTE] = request.url_rule.rule


def _name_for_logs() -> None:
    """Have the lines of the log say who asks; a page that is everybody's doesn't ask the database for it."""
    caller = api_keys.caller()
    if caller is not None:
        log_context.add(user=caller.account.username, key=caller.key_id)
    elif request.endpoint != "static" and current_user.is_authenticated:
        log_context.add(user=current_user.username)


def _refuse() -> None:
    """Answer what the front has refused already: a body that didn't come, or that is none."""
    refused: ScreeningError | None = request.environ.get(REFUSED)
    if refused is not None:
        raise refused


def _check_host() -> None:
    """Refuse a request to a name that isn't ours: links in pages and mails are made from it."""
    host = request.environ.get("HTTP_HOST", "")
    if not HOST.fullmatch(host):
        raise BadRequest("The request names no host, more than one, or none that can be.")
    if not is_ours(host, services().settings.trusted_hosts):
        raise BadRequest("This server doesn't answer to that host name.")


def is_ours(host: str, allowed: Collection[str]) -> bool:
    """Return whether a request to a host is for us.

    Args:
        host: the header ``Host``.
        allowed: our names; with none, any name that can be one is ours.
    """
    return HOST.fullmatch(host) is not None and (not allowed or _without_port(host) in allowed)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower().strip("[]").rstrip(".")


def limit_body() -> None:
    """Refuse what is too long by its own account, and stop reading what turns out to be."""
    limit = _body_limit()
    visitor = not current_user.is_authenticated
    if visitor and not needs_login():
        # whoever isn't known has no thread while a body is on its way
        limit = min(limit, SMALL_BYTES)
    request.max_content_length = limit
    if request.content_length is not None:
        too_long = request.content_length > limit
    elif request.method in SAFE_METHODS or is_streamed() or (visitor and needs_login()):
        return
    else:  # sent in chunks: werkzeug would cut a long form off at the limit and take what is left for the whole
        request.max_content_length = limit + 1
        too_long = len(request.get_data()) > limit
    if too_long:
        raise RequestEntityTooLarge


def _body_limit() -> int:
    if request.endpoint in STREAMED:
        return services().settings.max_upload + FORM_BYTES
    limit = getattr(current_view(), "body_limit", FORM_BYTES)
    return int(limit(services().settings) if callable(limit) else limit)


def check_token() -> None:
    """Require a token on every request that changes something, also on addresses that don't exist yet."""
    if request.method in SAFE_METHODS or request.endpoint is None:
        return
    if is_streamed() or api_keys.caller() is not None:
        return
    if needs_login() and not current_user.is_authenticated:
        # nobody's session can be misused; the view itself asks for a login
        return
    sent = next(filter(None, map(request.headers.get, ("X-CSRFToken", "X-CSRF-Token"))), None)
    check_csrf(sent or request.form.get("csrf_token"))


def needs_login() -> bool:
    """Return whether nobody gets in without an account: the body of somebody else isn't read."""
    return hasattr(current_view(), "permission")


def is_streamed() -> bool:
    """Return whether the view reads the body itself, piece by piece."""
    return request.endpoint in STREAMED or bool(getattr(current_view(), "streams", False))


def current_view() -> Callable[..., Any] | None:
    """Return the view behind this request, if there is one."""
    return current_app.view_functions.get(request.endpoint or "")


def _forbid_keeping(response: Any) -> Any:
    """Keep copies of pages out of caches; files that are the same for everybody may stay there. Refusals aren't.
    Refusals aren't.
    """
    if request.endpoint not in SAME_FOR_ALL or response.status_code >= HTTPStatus.BAD_REQUEST:
        request.environ[NO_STORE] = True
    return response
