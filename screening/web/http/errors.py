"""One handler for everything that goes wrong: a page for people, problem+json (RFC 9457) for programs."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g, render_template, request
from werkzeug.exceptions import HTTPException

from screening.web.http import api_keys, failures, problems
from screening.web.services import services

# What the database said of its own damage. It is kept until the next start, since the damage stays.
DAMAGED = "screening.damaged"
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
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _failure)


def wants_json() -> bool:
    """Return whether the caller is a program."""
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
    """Return the error as a page or as JSON. ``problem`` is :meth:`ScreeningError.as_dict`."""
    status = int(problem["status"])
    if wants_json():
        text = problems.encoded(problem, path=request.path, request_id=g.get("request_id"))
        return Response(text, mimetype=problems.MIMETYPE), status
    return render_template("error.html", **problem, request_id=g.get("request_id")), status


def _failure(error: Exception) -> tuple[Response | str, int, dict[str, str]]:
    failure = failures.told(
        error,
        request_id=g.get("request_id"),
        instance=services().settings.instance,
        on_damage=partial(current_app.extensions.__setitem__, DAMAGED),
    )
    return (*answer(failure.problem), dict(failure.headers))


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
