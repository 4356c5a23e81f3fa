"""A program with an API key, as the app meets it."""

from __future__ import annotations

import csv
import io
from typing import Any

from flask import Flask

from screening.settings import ROOT
from screening.transactions.schema import CARD
from screening.web.services import Services


def made(services: Services, *scopes: str, owner: str = "mia", **more: Any) -> str:
    """Make a key as an administrator does; returns its text."""
    more.setdefault("name", f"{owner}: {', '.join(scopes)}")
    return services.keys.create(owner=owner, scopes=scopes, by="ada", **more)[1]


def ask(app: Flask, key: str, url: str, method: str = "GET", **more: Any) -> Any:
    """Send a request with a key, from a program that keeps no cookies."""
    headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
    return app.test_client(use_cookies=False).open(url, method=method, headers=headers, **more)


def payment() -> dict[str, float]:
    """A transaction that the usual detector takes."""
    with (ROOT / "transactions_data.csv").open(encoding="utf-8") as lines:
        row = next(csv.DictReader(lines))
    return {name: float(row[name]) for name in CARD.columns}


def file(lines: int = 11) -> dict[str, Any]:
    """A small file as the form for uploads has it."""
    content = b"".join((ROOT / "transactions_data.csv").read_bytes().splitlines(keepends=True)[:lines])
    return {"file": (io.BytesIO(content), "payments.csv")}
