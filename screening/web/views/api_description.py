"""The description of the data API (OpenAPI 3.1), made of the routes, their guards and forms, and the detectors.

It is made for whoever reads it: it has the detectors that they may ask.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import current_app
from werkzeug.routing import Rule

from screening.accounts.api_keys import ANY_SCOPE, SCOPES
from screening.detectors.detector import Detector
from screening.infra.audit.log import KEY_PREFIX
from screening.ledger import identity
from screening.realtime.answers import MOST_TRANSACTIONS
from screening.transactions import json_schema
from screening.transactions.schema import CellKind
from screening.web.http import problems
from screening.web.http.operations import (
    QUESTION,
    AnswerSpec,
    BodySpec,
    HeaderSpec,
    Operation,
    Schema,
    operation_of,
)
from screening.web.views import formatting
from screening.web.views.detectors.access import is_usual, sample_of, usable
from screening.web.views.detectors.columns import columns_of, role_help

Document = dict[str, Any]
REF = "#/components/schemas/{name}"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
TAGS = {
    "Transactions": "Decide on transactions, look them up, and say what they turned out to be.",
    "Statistics": "Counts and sums over what was decided. Each caller sees their own; managers, auditors and "
    "administrators see all.",
    "Files": "Screen whole files.",
    "Health": "For whoever watches the server.",
    "Description": "This description.",
}
PATHS: Mapping[str, tuple[str, Schema]] = {
    "transaction_id": (
        "The `id` of a decision.",
        {"type": "string", "pattern": identity.PATTERN},
    ),
    "screening_id": ("The `id` of a file's screening.", {"type": "string", "pattern": "^[0-9a-f]{32}$"}),
}
"""Parameters in addresses."""
WORDS: Mapping[int, str] = {
    400: "The request can't be used: the host isn't ours, or a session's cookie came without its form token.",
    401: "No key and no session; or a key that is damaged, unknown, revoked, expired, or appears in the address.",
    403: "The key hasn't the scope, or the role of its owner doesn't allow this any more.",
    404: "There is no such thing, or the caller may not see it.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    429: "The key sent more than it may.",
    500: "An error of ours: tell the operator the number of the request.",
    503: "The server is busy or not ready; behind a full queue it is plain text.",
    507: "The disk of the server is full; nothing was changed.",
}
"""Meaning of statuses that many routes answer with."""
KEY_IN_ADDRESS = "An API key appears in the address, where logs keep it."
HEADERS: Mapping[str, HeaderSpec] = {
    "X-Request-ID": HeaderSpec(words="The number of the request.", schema={"type": "string"}),
    "WWW-Authenticate": HeaderSpec(
        words="What is wanted (RFC 6750); missing where another key wouldn't help.", schema={"type": "string"}
    ),
    "Retry-After": HeaderSpec(
        words="In how many seconds to send it again.", schema={"type": "integer", "minimum": 0}
    ),
}
HEADERS_OF = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the data API: its address, method and guard, and what is said of it."""

    path: str
    """As OpenAPI writes it."""
    method: str
    endpoint: str
    operation: Operation
    summary: str
    words: str
    scope: str | None
    """Scope that a key needs, if anybody is asked for one."""

    @property
    def parameters(self) -> list[str]:
        """The names in its address."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def statuses(self) -> dict[int, str]:
        """Statuses of refusals, and the reasons."""
        found = dict.fromkeys((400, 401, 500, 503))
        if self.scope is not None:
            found |= dict.fromkeys((403, 429))
        if self.method not in SAFE:
            found |= dict.fromkeys((408, 413, 507))
        said = {status: [WORDS[status]] for status in found}
        if self.scope is None:
            said[401] = [KEY_IN_ADDRESS]
        for each in self.operation.raises:
            reasons = said.setdefault(each.status, [WORDS[each.status]] if each.status == 404 else [])
            if each.status != 404 and f"{each.title}." not in reasons:
                reasons.append(f"{each.title}.")
        return {status: " ".join(reasons) for status, reasons in sorted(said.items())}


def routes() -> list[Route]:
    """Return the routes of the data API, in the order of their tags and as they were made."""
    found = [route for rule in current_app.url_map.iter_rules() for route in routes_of_rule(rule)]
    return sorted(found, key=lambda route: list(TAGS).index(route.operation.tag))


def described() -> Document:
    """Return the whole description, for the caller of the present request."""
    every = routes()
    forms = [problems.Problem, *(form for route in every for form in _forms(route.operation))]
    made, components = msgspec.json.schema_components(forms, ref_template=REF)
    schemas = dict(zip(map(repr, forms), made, strict=True))
    asked = usable()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fraud Screening",
            "version": "1",
            "description": "Ask whether a transaction is fraud before it goes through, say later which ones were, and "
            "look back on what was decided. The columns of transactions are those of the detectors that you may use.",
        },
        "tags": [{"name": name, "description": words} for name, words in TAGS.items()],
        "paths": paths_of(every, schemas, asked),
        "components": {
            "schemas": {**components, **json_schema.kinds(), **dict(question_schemas(asked))},
            "headers": {name: _header(header) for name, header in HEADERS.items()},
            "securitySchemes": security_schemes(),
        },
    }


def routes_of_rule(rule: Rule) -> Iterator[Route]:
    """Yield the routes of an address that are described: one for each method."""
    operation = operation_of(rule.endpoint)
    if operation is None:
        return
    view = current_app.view_functions[rule.endpoint]
    summary, _, more = (view.__doc__ or "").partition("\n\n")
    for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
        yield Route(
            path=re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule),
            method=method,
            endpoint=rule.endpoint,
            operation=operation,
            summary=summary.strip().rstrip("."),
            words=" ".join(more.split()),
            scope=getattr(view, "scope", None),
        )


def _forms(operation: Operation) -> Iterator[Any]:
    for answer in operation.answers.values():
        yield from all_forms(answer.form)
    if operation.body is not None:
        yield from all_forms(operation.body.form)


def all_forms(form: Any) -> Sequence[Any]:
    """Return a form, or the forms of a tuple, as a sequence."""
    return form if isinstance(form, tuple) else () if form is None else (form,)


def paths_of(every: Sequence[Route], schemas: Mapping[str, Any], asked: Sequence[Detector]) -> Document:
    """Return the part ``paths``: each address with its operations."""
    found: Document = {}
    for route in every:
        operation = route.operation
        told: Document = {
            "operationId": operation.id,
            "tags": [operation.tag],
            "summary": route.summary,
            "description": _words(route),
            "parameters": parameters_of(route),
            "responses": {
                **{str(status): answer_of(answer, schemas) for status, answer in operation.answers.items()},
                **{str(status): refusal_of(status, words) for status, words in route.statuses.items()},
            },
            "security": security_of(route),
        }
        if operation.body is not None:
            told["requestBody"] = body_of(operation.body, schemas, asked)
        found.setdefault(route.path, {})[route.method.lower()] = told
    return found


def _words(route: Route) -> str:
    if route.scope is None:
        return route.words or f"{route.summary}."
    scope = "any scope" if route.scope == ANY_SCOPE else f"the scope `{route.scope}`"
    return f"{route.words or f'{route.summary}.'} A key needs {scope}."


def parameters_of(route: Route) -> list[Document]:
    """Return the parameters of an operation: of its address, its query and its headers."""
    found: list[Document] = []
    for name in route.parameters:
        words, schema = PATHS[name]
        found.append({"name": name, "in": "path", "required": True, "description": words, "schema": schema})
    for name, parameter in route.operation.query.items():
        one = {"name": name, "in": "query", "description": parameter.words, "schema": parameter.kind.schema}
        found.append(one if parameter.example is None else {**one, "example": parameter.example})
    for name, header in route.operation.headers.items():
        found.append({"name": name, "in": "header", **_header(header)})
    return found


def _header(header: HeaderSpec) -> Document:
    found: Document = {"description": header.words, "schema": header.schema}
    return found if header.example is None else {**found, "example": header.example}


def answer_of(answer: AnswerSpec, schemas: Mapping[str, Any]) -> Document:
    """Return an answer that an operation gives."""
    binary = {"type": "string"} if answer.media.startswith("text/") else {}
    found: Document = {
        "description": answer.words,
        "headers": {
            "X-Request-ID": header_named("X-Request-ID"),
            **{name: {**_header(header), "required": True} for name, header in answer.headers.items()},
        },
        "content": {answer.media: {"schema": _schema(answer.form, schemas) if answer.form else binary}},
    }
    return {**found, "links": answer.links} if answer.links else found


def refusal_of(status: int, words: str) -> Document:
    """Return an answer that an operation refuses with."""
    content: Document = {problems.MIMETYPE: {"schema": {"$ref": REF.format(name="Problem")}}}
    if status == 503:
        content["text/plain"] = {"schema": {"type": "string"}}
    headers = ("X-Request-ID", *HEADERS_OF.get(status, ()))
    return {
        "description": words,
        "headers": {name: header_named(name) for name in headers},
        "content": content,
    }


def header_named(header: str) -> Document:
    """Return the reference to a header that is described once for all answers."""
    return {"$ref": f"#/components/headers/{header}"}


def _schema(form: Any, schemas: Mapping[str, Any]) -> Any:
    several = [schemas[repr(each)] for each in all_forms(form)]
    return several[0] if len(several) == 1 else {"anyOf": several}


def body_of(body: BodySpec, schemas: Mapping[str, Any], asked: Sequence[Detector]) -> Document:
    """Return the body that an operation takes, with examples."""
    schema = {"$ref": REF.format(name=body.named)} if body.named else _schema(body.form, schemas)
    content: Document = {"schema": schema}
    examples = dict(body.examples)
    if body.named == QUESTION:
        known = {detector.name for detector in asked}
        examples = {title: each for title, each in examples.items() if each.get("detector") in known}
        examples |= {f"by {one.name}": each for one in asked if (each := example_of(one)) is not None}
    if examples:
        content["examples"] = {title: {"value": each} for title, each in examples.items()}
    if body.parts:
        content["encoding"] = {name: {"contentType": media} for name, media in body.parts.items()}
    return {"description": body.words, "required": body.required, "content": {body.media: content}}


def question_schemas(asked: Sequence[Detector]) -> Iterator[tuple[str, Document]]:
    """Yield the schemas of what each detector may be asked, and of all that may be asked."""
    names = []
    for detector in asked:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", detector.name)
        usual = is_usual(detector.name)
        transaction = REF.format(name=f"Transaction.{name}")
        yield (
            f"Transaction.{name}",
            {
                "title": f"A transaction for the detector {detector.name}",
                **json_schema.of_contract(
                    detector.contract, column_words(detector), detector.vectorizer.limits(), REF
                ),
            },
        )
        yield f"{QUESTION}.{name}", _question(detector.name, transaction, usual=usual)
        names.append(REF.format(name=f"{QUESTION}.{name}"))
    yield QUESTION, {"title": "What is to be decided", "anyOf": [{"$ref": name} for name in names]}


def _question(name: str, transaction: str, *, usual: bool) -> Document:
    detector: Document = {"const": name, "description": "which detector decides"}
    if usual:
        detector = {
            "enum": [name, None],
            "default": name,
            "description": "it decides if nothing else is said",
        }
    one = {"$ref": transaction}
    several = {"type": "array", "minItems": 1, "maxItems": MOST_TRANSACTIONS, "items": one}
    required = [] if usual else ["detector"]
    return {
        "title": f"What {name} is asked",
        "anyOf": [
            {
                "type": "object",
                "properties": {"detector": detector, field: schema},
                "required": [*required, field],
                "additionalProperties": False,
            }
            for field, schema in (("transaction", one), ("transactions", several))
        ],
    }


def column_words(detector: Detector) -> dict[str, str]:
    """Describe each column of a detector in words."""
    found = {}
    for column, view in zip(detector.contract.parts(), columns_of(detector), strict=True):
        usual = "" if view.usual == formatting.NOTHING else f" Usual: {view.usual}."
        remark = f" ({view.remark})" if view.remark else ""
        found[column.name] = f"{view.role}{remark}: {role_help(column.role)}.{usual}"
    return found


def example_of(detector: Detector) -> Document | None:
    """Return a question to a detector that works, of the first row of its sample file, if it has one."""
    file = sample_of(detector.name)
    if file is None:
        return None
    with file.open(encoding="utf-8", newline="") as lines:
        row = next(csv.DictReader(lines))
    cells = {column.name: (column.kind, row.get(column.name)) for column in detector.contract.parts()}
    if any(cell is None for _, cell in cells.values()):
        return None
    transaction = {
        name: float(cell) if kind is CellKind.NUMBER and cell else cell
        for name, (kind, cell) in cells.items()
    }
    named = {} if is_usual(detector.name) else {"detector": detector.name}
    return {**named, "transaction": transaction}


def security_of(route: Route) -> list[Document]:
    """Return what lets a request in: a key with a scope, a session, or for what is open here nothing."""
    if route.scope is None:
        return []
    scopes = [] if route.scope == ANY_SCOPE else [route.scope]
    if route.operation.open_here:
        return [{"key": scopes}, {}]
    session: Document = {"session": []}
    return [{"key": scopes}, session if route.method in SAFE else {**session, "form_token": []}]


def security_schemes() -> Document:
    """Return the ways to say who asks: a key or a session."""
    scopes = "; ".join(f"`{name}`: {scope.what}" for name, scope in SCOPES.items())
    return {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": f"{KEY_PREFIX}…",
            "description": f"An API key, which an administrator makes. Its scopes say what it opens: {scopes}.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "session",
            "description": "A log-in by the page; `__Host-session` by https.",
        },
        "form_token": {
            "type": "apiKey",
            "in": "header",
            "name": "X-CSRFToken",
            "description": "With a session, for whatever changes something: the token of its forms.",
        },
    }
