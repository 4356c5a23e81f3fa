"""One handler for everything that goes wrong: a page for people, problem+json (RFC 9457) for programs."""

from __future__ import annotations

import errno
import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g, jsonify, render_template, request
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, ProgrammingError
from werkzeug.exceptions import HTTPException

from screening.errors import NotReady, ScreeningError, StorageFull
from screening.infra.disk_space import release_reserve
from screening.web.http import api_keys, problems
from screening.web.services import services

log = logging.getLogger("screening.web")
DAMAGED = "screening.damaged"
"""What the database said of its own damage, in the extensions of the app: it stays so until the next start."""
API_PATHS = (
    "/detect_fraud",
    "/transactions",
    "/labels",
    "/summary",
    "/fraud_",
    "/openapi.json",
    "/healthz",
    "/readyz",
    "/metrics",
)


def init_app(app: Flask) -> None:
    """Answer every error in one form."""
    app.register_error_handler(ScreeningError, _screening_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(OSError, _os_error)
    app.register_error_handler(DatabaseError, _database_error)
    app.register_error_handler(Exception, _unexpected)


def wants_json() -> bool:
    """Whether the caller is a program."""
    if (
        api_keys.is_sent_with(request)
        or request.path.startswith(API_PATHS)
        or request.path.endswith(".json")
        or request.is_json
    ):
        return True
    accepted = request.accept_mimetypes
    return accepted["application/json"] > accepted["text/html"]


def answer(problem: dict[str, Any]) -> tuple[Response | str, int]:
    """The error as a page or as JSON. ``problem`` is :meth:`ScreeningError.as_dict`."""
    status = int(problem["status"])
    if wants_json():
        response = jsonify(problems.body(problem, path=request.path, request_id=g.get("request_id")))
        response.mimetype = problems.MIMETYPE
        return response, status
    return render_template("error.html", **problem, request_id=g.get("request_id")), status


def _screening_error(error: ScreeningError) -> tuple[Response | str, int, dict[str, str]]:
    return (*answer(error.as_dict()), error.headers())


def _http_error(error: HTTPException) -> Any:
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST or error.response is not None:
        return error
    described = {
        "title": error.name,
        "status": error.code,
        "what": REMARKS.get(error.code, (error.description or "", None))[0],
        "where": None,
        "remedy": REMARKS.get(error.code, ("", None))[1],
        "problems": [],
        "problem_count": 0,
    }
    body, status = answer(described)
    response = Response(body) if isinstance(body, str) else body
    response.status_code = status
    for name, value in error.get_headers(request.environ):
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _os_error(error: OSError) -> tuple[Response | str, int]:
    return _full() if error.errno in (errno.ENOSPC, errno.EDQUOT) else _unexpected(error)


def _full() -> tuple[Response | str, int]:
    """The disk is full: what is asked next, as to delete something, may use the reserve."""
    release_reserve(services().settings.instance)
    full = StorageFull(
        "The server's disk is full; nothing was changed.",
        remedy="Try once more; then delete screenings that nobody needs, or tell the operator.",
    )
    return answer(full.as_dict())


def _database_error(error: DatabaseError) -> tuple[Response | str, int]:
    """The store is damaged, locked or full: not ready. What our own statements did wrong is unexpected."""
    if isinstance(error, (DataError, IntegrityError, ProgrammingError)):
        return _unexpected(error)
    log.error("request %s failed: the database said %s", g.get("request_id"), error.orig)
    said = str(error.orig)
    if "is full" in said:
        return _full()
    if "malformed" in said or "not a database" in said:
        current_app.extensions[DAMAGED] = said
    away = NotReady(
        "The database can't be used at the moment; nothing was changed.",
        remedy="Try again, then tell the operator.",
    )
    return answer(away.as_dict())


def _unexpected(error: Exception) -> tuple[Response | str, int]:
    log.error("request %s failed", g.get("request_id"), exc_info=error)
    problem = ScreeningError(
        "Something went wrong here, and it was written to the log.",
        remedy="Try once more. If it happens again, tell the operator the request number below.",
    ).as_dict()
    return answer({**problem, "status": 500, "title": "An error on the server"})


REMARKS: dict[int, tuple[str, str | None]] = {
    403: ("Your role doesn't allow this.", "Ask an administrator if you need it."),
    404: ("There is nothing at this address.", "Go back to the start page."),
    405: ("This address doesn't take that kind of request.", None),
    413: (
        "What was sent is larger than this address takes.",
        "Send less at once; for files the operator can raise MAX_UPLOAD_MB.",
    ),
    429: ("There were too many requests from your address.", "Wait a little and try again."),
}
