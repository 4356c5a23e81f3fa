"""The JSON object that a program sends, read strictly."""

from __future__ import annotations

import json
from typing import Any

from flask import request

from screening.errors import BadTransaction


def read(refusal: type[BadTransaction] = BadTransaction) -> dict[str, Any]:
    """Return the object of this request: no NaN, no key twice, no nesting that ends the parser.

    Args:
        refusal: what is raised if it isn't one; its title says of what.
    """
    try:
        body = json.loads(
            request.get_data(), parse_constant=_no_constant, object_pairs_hook=_once, parse_int=_short_int
        )
    except (ValueError, RecursionError) as problem:
        raise refusal(f"The body is not usable JSON: {str(problem)[:100]}.") from None
    if not isinstance(body, dict):
        raise refusal("The body must be a JSON object.")
    return body


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _short_int(digits: str) -> int:
    if len(digits) > 40:  # beyond float32 anyway, and int() takes quadratic time
        raise ValueError("a whole number has more than 40 digits")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
