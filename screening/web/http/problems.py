"""The body of an error for programs: problem+json (RFC 9457), the same whoever serves it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from screening.infra.audit_log import mask_keys

MIMETYPE = "application/problem+json"
EXTRA = ("mapping", "questions", "card_columns", "scope")
"""Fields that only some problems have."""


def encoded(problem: Mapping[str, Any], *, path: str, request_id: str | None) -> bytes:
    """Return the body of an error as JSON.

    Args:
        problem: what :meth:`ScreeningError.as_dict` gives.
        path: of the request; a key that stands in it is left out.
        request_id: the number of the request, as in ``X-Request-ID``.
    """
    found = {
        "type": "about:blank",
        "title": problem["title"],
        "status": int(problem["status"]),
        "detail": " ".join(filter(None, (problem["what"], problem["remedy"]))),
        "instance": mask_keys(path),
        "request_id": request_id,
        "what": problem["what"],
        "where": problem["where"],
        "remedy": problem["remedy"],
        "errors": problem["problems"],
        "error_count": problem["problem_count"],
        **{name: problem[name] for name in EXTRA if problem.get(name)},
    }
    return json.dumps(found, sort_keys=True, separators=(",", ":")).encode() + b"\n"
