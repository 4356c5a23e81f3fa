"""Parts of pages that scripts ask for, and what becomes of who opens one by its address."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from flask import Response, redirect, render_template, request, url_for

View = Callable[..., Any]


def fragment_of(page: str, **query: str) -> Callable[[View], View]:
    """Have a browser that opens a fragment as if it were a page be sent to the page of which it is a part.

    Args:
        page: the endpoint of that page, which takes the same parts of an address.
        query: what the page is asked for beside the fragment's own query, which goes before it.
    """

    def decorated(view: View) -> View:
        @wraps(view)
        def answer(**parts: Any) -> Any:
            # no script sends this of its own requests
            if request.headers.get("Sec-Fetch-Dest") == "document":
                own = [(name, value) for name, value in query.items() if name not in request.args]
                asked = urlencode([*own, *request.args.items(multi=True)])
                return redirect(f"{url_for(page, **parts)}{asked and '?'}{asked}")
            return view(**parts)

        return answer

    return decorated


def progress_fragment(template: str, *, ended: bool, **context: Any) -> Response:
    """Return a fragment of a page; once the job has ended it asks htmx to load the page again, with the outcome."""
    response = Response(render_template(template, **context))
    if ended:
        response.headers["HX-Refresh"] = "true"
    return response
