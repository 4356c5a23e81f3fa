"""What a generator of requests can't know of the data API from its description. ``schemathesis run`` reads it.

OpenAPI has no words for it; docs/api.md says it to people. No check is left out, and no operation.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import re
from collections import defaultdict
from typing import Any

import openpyxl
import schemathesis
from hypothesis import strategies as st

from screening.settings import ROOT
from screening.web.views.api_description import PATHS
from tests.openapi_run import CHECKED, IDS, KEPT

SAMPLE = (ROOT / "model" / "detectors" / "payments" / "sample.csv").read_bytes().splitlines(keepends=True)
FILES = st.integers(1, 20).map(lambda rows: b"".join(SAMPLE[: rows + 1]))
KEY = "Idempotency-Key"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
GIVES = {("/detect_fraud", 200): "transaction_id", ("/upload", 201): "screening_id"}
_numbers = itertools.count()
_known: dict[str, list[str]] = defaultdict(list, json.loads(os.environ.get(IDS, "{}")))
"""Ids that the server knows, by the name that they have in addresses."""
_kept: dict[str, list[str]] = json.loads(os.environ.get(KEPT, "{}"))
"""Ids for questions alone: of two requests at a time one may delete, or screen, what the other asks for."""

# "A string of the media type text/csv" isn't a table of transactions yet: these are.
schemathesis.openapi.media_type("text/csv", FILES)


@schemathesis.deserializer(XLSX)
def workbook(_context: Any, response: Any) -> list[str]:
    """Open a workbook as a spreadsheet does."""
    names: list[str] = openpyxl.load_workbook(io.BytesIO(response.content)).sheetnames
    return names


@schemathesis.deserializer("application/pdf")
def document(_context: Any, response: Any) -> list[str]:
    """Look whether a PDF is whole: it begins and ends as one does."""
    content: bytes = response.content
    if not content.startswith(b"%PDF-") or not content.rstrip().endswith(b"%%EOF"):
        raise ValueError("this is no whole PDF")
    return []


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """Send what a client would send that has read more than the description."""
    headers = case.headers or {}
    key = headers.get(KEY)
    if isinstance(key, str) and re.fullmatch("[!-~]([ -~]*[!-~])?", key) and len(key) < 256:
        # each request has a key of its own: one that was used for another body is refused, whatever the body
        headers[KEY] = f"{next(_numbers)}.{key}"[:255].rstrip()
    for name, given in (case.path_parameters or {}).items():
        # of all ids that there can be, the server knows none: every second time one that it gave
        kind = CHECKED if case.operation.path.endswith("/check") else name
        known = (case.method in ("GET", "HEAD") and _kept.get(kind)) or _known[kind]
        if known and name in PATHS and re.fullmatch(PATHS[name][1]["pattern"], str(given)):
            number = next(_numbers)
            if number % 2:
                case.path_parameters[name] = known[number // 2 % len(known)]
    if case.operation.path == "/upload" and isinstance(case.body, dict) and "file" in case.body:
        # the file is the last field; its name must end in .csv, which it does where bytes are sent
        file = case.body.pop("file")
        case.body["file"] = file.encode() if isinstance(file, str) else file


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    """Remember ids."""
    name = GIVES.get((case.operation.path, response.status_code))
    if name and response.content:  # a HEAD has none
        found = response.json()
        if "id" in found:
            _known[CHECKED if found.get("state") == "checked" else name].append(found["id"])
