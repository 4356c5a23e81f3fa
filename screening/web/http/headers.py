"""Headers that every answer carries, and the number of the request.

They are set outside of Flask: whatever goes wrong inside, a 500 has them too.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from werkzeug.datastructures import Headers

from screening.cards.finding import card_numbers
from screening.cards.masking import masked
from screening.infra import log_context
from screening.infra.audit.log import KEY_PREFIX

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_ID = "screening.request_id"
NO_STORE = "screening.no_store"
POLICY = (
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; object-src 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
ALWAYS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""A page may set its own value instead (a dashboard that needs a wider policy)."""
HSTS = "max-age=31536000; includeSubDomains"


FOR_PROGRAMS = tuple((name.lower().encode(), value.encode()) for name, value in ALWAYS.items())


GIVEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
HEXADECIMAL = re.compile(r"[0-9a-f-]{16,64}")


def request_id(given: str | None) -> str:
    """Return the number of a request: the one that it came with in ``X-Request-ID``, or a new one nobody can guess.

    A given one is taken if it has 1 to 64 letters, digits, dots, hyphens and underscores, and holds neither an API key
    nor what may be a card number: it is written to logs and to the ledger.
    """
    if given is None or not GIVEN.fullmatch(given) or KEY_PREFIX in given.lower() or card_numbers(given):
        return secrets.token_hex(8)
    if HEXADECIMAL.fullmatch(given) or masked(given) == given:
        return given
    return secrets.token_hex(8)


def of_program(
    kind: str, body: bytes, request_id: str, more: Mapping[str, str], *, https: bool
) -> list[tuple[bytes, bytes]]:
    """Return all headers of an answer to a program that isn't Flask's; they are those that Flask's would have.

    Args:
        kind: the media type.
        body: the whole answer.
        request_id: the number of the request.
        more: headers of this answer alone.
        https: whether the request came by https.
    """
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        *FOR_PROGRAMS,
        (b"x-request-id", request_id.encode()),
        (b"cache-control", b"no-store"),
    ]
    if more:
        headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in more.items()]
    if https:
        headers.append((b"strict-transport-security", HSTS.encode()))
    return headers


class SecurityHeaders:
    """Numbers each request (``environ["screening.request_id"]``) and completes the headers of each answer."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if REQUEST_ID not in environ:  # the front has said it
            environ[REQUEST_ID] = request_id(environ.get("HTTP_X_REQUEST_ID"))

        def start(
            status: str, given: list[tuple[str, str]], exc_info: OptExcInfo | None = None
        ) -> Callable[[bytes], object]:
            headers = Headers(given)
            for name, value in ALWAYS.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = environ[REQUEST_ID]
            if environ["wsgi.url_scheme"] == "https":
                headers["Strict-Transport-Security"] = HSTS
            if environ.get(NO_STORE):
                headers["Cache-Control"] = "no-store"
            return start_response(status, headers.to_wsgi_list(), exc_info)

        with log_context.bound(request_id=environ[REQUEST_ID]):
            return self._app(environ, start)
