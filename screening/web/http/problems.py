"""The body of an error for programs: problem+json (RFC 9457), the same whoever serves it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from screening.errors import CellProblem, Question
from screening.infra.audit.log import mask_keys

MIMETYPE = "application/problem+json"


class Problem(Struct):
    """Problem that kept a request from its answer (RFC 9457). Tell people `detail`, and the operator `request_id`."""

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: Annotated[str, Meta(description="what happened and what to do about it, in words")]
    instance: Annotated[str, Meta(description="the path of the request")]
    request_id: Annotated[
        str | None, Meta(description="the number of the request, as in the header `X-Request-ID`")
    ]
    what: Annotated[str, Meta(description="what is wrong")]
    where: Annotated[str | None, Meta(description="where it is wrong")]
    remedy: Annotated[str | None, Meta(description="what to do about it")]
    errors: Annotated[
        list[CellProblem],
        Meta(description="cells, rows or parameters that can't be used; the first few of them"),
    ]
    error_count: Annotated[int, Meta(ge=0, description="how many of them there are")]
    scope: Annotated[str, Meta(description="which scope a key needs here")] | UnsetType = UNSET
    mapping: (
        Annotated[str, Meta(description="the page where the owner says which column is which")] | UnsetType
    ) = UNSET
    questions: (
        Annotated[list[Question], Meta(description="what the file leaves open, and the answers")] | UnsetType
    ) = UNSET
    card_columns: Annotated[list[str], Meta(description="columns that hold card numbers")] | UnsetType = UNSET


EXTRA = ("mapping", "questions", "card_columns", "scope")
"""Fields that only some problems have."""


def encoded(problem: Mapping[str, Any], *, path: str, request_id: str | None) -> bytes:
    """Return the body of an error as JSON.

    Args:
        problem: what :meth:`ScreeningError.as_dict` gives.
        path: of the request; a key that appears in it is left out.
        request_id: the number of the request, as in ``X-Request-ID``.
    """
    found = Problem(
        type="about:blank",
        title=problem["title"],
        status=int(problem["status"]),
        detail=" ".join(filter(None, (problem["what"], problem["remedy"]))),
        instance=mask_keys(path),
        request_id=request_id,
        what=problem["what"],
        where=problem["where"],
        remedy=problem["remedy"],
        errors=problem["problems"],
        error_count=problem["problem_count"],
        **{name: problem[name] for name in EXTRA if problem.get(name)},
    )
    # not msgspec: what was sent, and is repeated here, may have half a character in it
    return json.dumps(to_builtins(found), sort_keys=True, separators=(",", ":")).encode() + b"\n"
