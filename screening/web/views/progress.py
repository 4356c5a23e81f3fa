"""The progress of a job, which its page asks for again and again."""

from __future__ import annotations

from typing import Any

from flask import Response, render_template


def progress_fragment(template: str, *, ended: bool, **context: Any) -> Response:
    """Return a fragment of a page; once the job has ended it asks htmx to load the page again, with the outcome."""
    response = Response(render_template(template, **context))
    if ended:
        response.headers["HX-Refresh"] = "true"
    return response
