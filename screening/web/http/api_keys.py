"""API keys on Flask's side: who sends a request with ``Authorization: Bearer``, before anything is read of its body.

A view that programs may use says which scope it wants (:func:`screening.web.http.sessions.require`). There a key stands
for a session: nothing is read from a cookie and no form token is wanted, since a browser never sends the header by
itself. Views without a scope are for people.
"""

from __future__ import annotations

from typing import cast

from flask import Request, current_app, g, request

from screening.accounts.key_refusals import NotByKey, Refusal
from screening.accounts.key_ring import KeyHolder, bearer
from screening.infra.audit.log import KEY_PREFIX
from screening.web.services import services


def is_sent_with(given: Request) -> bool:
    """Return whether a request carries a key of ours, good or bad: a program sends it."""
    return (bearer(given.headers.get("Authorization")) or "").startswith(KEY_PREFIX)


def caller() -> KeyHolder | None:
    """Return the key behind the request, if it was let in by one."""
    return cast("KeyHolder | None", g.get("api_caller"))


def identify() -> None:
    """Let a request with a key in, or refuse it. Requests without a key pass: their session decides.

    Raises:
        Refusal: 401, 403, 429 or 503.
    """
    ring = services().key_ring
    pass_or_raise(ring.check_url(request.path, request.remote_addr))
    if request.query_string:
        pass_or_raise(ring.check_url(request.query_string.decode("latin-1"), request.remote_addr))
    header = request.headers.get("Authorization")
    if bearer(header) is None:
        return
    view = current_app.view_functions.get(request.endpoint or "")
    scope = getattr(view, "scope", None)
    if scope is not None:
        found = ring.check(header, scope, request.remote_addr)
        if isinstance(found, Refusal):
            raise found
        g.api_caller = found
    elif hasattr(view, "permission") and is_sent_with(request):
        refusal = NotByKey(
            "This address is a page for people; API keys open the data API only.",
            remedy="See the documentation of the API for the addresses that take keys.",
        )
        raise ring.note(refusal, request.remote_addr)


def pass_or_raise(refusal: Refusal | None) -> None:
    """Raise the refusal, if there is one."""
    if refusal is not None:
        raise refusal
