"""Describe the operations of the data API beside the views that serve them: the API description is made of this.

A form that is fixed is a msgspec struct. The view encodes its answer with it, or decodes the body by it, so a field
that the description lacks can't be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from flask import Response, current_app, request

from screening.errors import ScreeningError

View = TypeVar("View", bound=Callable[..., Any])
JSON = "application/json"
FORM = "multipart/form-data"
URL_FORM = "application/x-www-form-urlencoded"
QUESTION = "DecisionRequest"
"""The name of the schema of a question to any detector that the reader of the description may ask."""
Schema = Mapping[str, Any]
"""A JSON Schema, draft 2020-12."""
encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class TextKind:
    """One kind of value that a text can hold: what reads it, and the schema that says which texts that takes."""

    read: Callable[[str], Any]
    """Raises a ``ValueError`` whose words say what the text must be."""
    schema: Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of the query string."""

    kind: TextKind
    words: str
    field: str | None = None
    """Of :class:`screening.ledger.filters.DecisionFilter`, if it is a filter."""
    example: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderSpec:
    """A header of a request or an answer."""

    words: str
    schema: Schema
    example: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BodySpec:
    """Body of a request.

    Its form is ``form``, or, where detectors or settings decide, what ``named`` says: the name of a schema that the
    description makes.
    """

    words: str
    media: str = JSON
    form: Any = None
    named: str | None = None
    required: bool = True
    examples: Mapping[str, Any] = field(default_factory=dict)
    """Bodies that work, by a short title each; docs/api.md shows the same."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Of a form: the media type of a field that is a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSpec:
    """A good answer: JSON of a form, or of one of several, or a file of a media type."""

    words: str
    form: Any = None
    media: str = JSON
    headers: Mapping[str, HeaderSpec] = field(default_factory=dict)
    links: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Links to operations that take its fields, as OpenAPI writes links."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A route of the data API, beside what its address, its guard and its docstring say."""

    id: str
    tag: str
    answers: Mapping[int, AnswerSpec]
    query: Mapping[str, Parameter] = field(default_factory=dict)
    headers: Mapping[str, HeaderSpec] = field(default_factory=dict)
    body: BodySpec | None = None
    raises: Sequence[type[ScreeningError]] = ()
    """Errors that the view itself raises, beside what the guard does."""
    open_here: bool = False
    """Whether it wants no key of whoever asks on the server's own machine, and takes no session."""

    @classmethod
    def giving(
        cls, name: str, tag: str, form: Any, words: str, *raises: type[ScreeningError], **more: Any
    ) -> Operation:
        """Return an operation with one good answer, 200 and JSON of a form.

        Args:
            name: its id.
            tag: the group that it is listed in.
            form: of the answer.
            words: what the answer is.
            raises: what the view itself raises.
            more: further fields, ``query`` or ``body``.
        """
        return cls(id=name, tag=tag, answers={200: AnswerSpec(words=words, form=form)}, raises=raises, **more)


def describes(operation: Operation) -> Callable[[View], View]:
    """Mark a view as a route of the data API. It stands below the guards, which keep the mark."""

    def mark(view: View) -> View:
        view.operation = operation  # type: ignore[attr-defined]
        return view

    return mark


def operation_of(endpoint: str | None) -> Operation | None:
    """Return what is said of the view of an endpoint, if anything is."""
    found: Operation | None = getattr(current_app.view_functions.get(endpoint or ""), "operation", None)
    return found


def present() -> Operation:
    """Return what is said of the view that serves the present request.

    Raises:
        LookupError: nothing is.
    """
    found = operation_of(request.endpoint)
    if found is None:
        raise LookupError(f"{request.endpoint} has no description")
    return found


def answered(form: Any, status: int = 200, **headers: str) -> Response:
    """Return a form as the answer.

    Args:
        form: a struct, or a list of them.
        status: the HTTP status.
        headers: of the answer, with ``_`` for ``-``.
    """
    response = Response(encode(form) + b"\n", status, mimetype=JSON)
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response
