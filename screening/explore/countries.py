"""Match country texts of the ledger with the map of the world."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from screening.settings import ROOT

TABLE = Path(__file__).with_name("countries.txt")
MAP = ROOT / "static" / "vendor" / "plotly.js-4.1.1" / "topojson" / "world_110m.json"
"""The shapes that the map is drawn of."""


@dataclass(frozen=True, slots=True)
class IsoCountry:
    """A country of ISO 3166-1. ``code`` has three letters."""

    code: str
    name: str


def country(text: str) -> IsoCountry | None:
    """Return the country of a code of two or three letters, or of a name in English; ``None`` if nothing says which."""
    return _table().get(" ".join(text.split()).casefold())


@cache
def on_map() -> frozenset[str]:
    """Return the codes of the countries that the map shows; the smallest have no shape at its scale."""
    shapes = json.loads(MAP.read_bytes())["objects"]["countries"]["geometries"]
    return frozenset(str(shape["id"]) for shape in shapes)


@cache
def _table() -> dict[str, IsoCountry]:
    found: dict[str, IsoCountry] = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        first, *others = line.split("; ")
        code, short, name = first.split(" ", 2)
        for text in (code, short, name, *others):
            found[text.casefold()] = IsoCountry(code, name)
    return found
