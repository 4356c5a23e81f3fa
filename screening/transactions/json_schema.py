"""The JSON Schema of one transaction, made of a detector's column contract.

It says which values :mod:`screening.transactions.json_records` takes: what fits the schema is scored. Of times that
schema is narrower than the reader, which takes all spellings that mean one moment only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from screening.transactions import times
from screening.transactions.guards import UNSEEN
from screening.transactions.missing import WORDS
from screening.transactions.schema import CellKind, Column, ColumnContract

Schema = dict[str, Any]


def either_case(word: str) -> str:
    """Return a pattern that takes a word in capitals and small letters: programs have no flag for it."""
    return "".join(
        f"[{letter.lower()}{letter.upper()}]"
        if letter.isalpha()
        else f"\\{letter}"
        if letter in SIGNS
        else letter
        for letter in word
    )


SIGNS = frozenset(r"\.?()[]|+*^$/{}")
SPACE = r"[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
SPACE += "".join(f"\\u{ord(mark):04x}" for mark in UNSEEN) + "]*"
"""What is around a text and isn't part of it; the ``\\s`` of other languages is less."""
NOTHING = f"^{SPACE}(?:{'|'.join(sorted(either_case(word) for word in WORDS))})?{SPACE}$"
"""Texts that say that there is nothing."""
SOMETHING = f"^(?!{NOTHING[1:-1]}$)[\\s\\S]*$"
LONG_MONTHS, SHORT_MONTHS = (
    "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])",
    "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)",
)
LEAP_YEARS = "(?:0[48]|[2468][048]|[13579][26])"
CLOCK = r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9])?"


def date_pattern(years: str, leap: str) -> str:
    """Return the pattern of the dates of some years, with 29 February in those that leap."""
    return f"(?:(?:{years})-(?:{LONG_MONTHS}|{SHORT_MONTHS}|02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:{leap})-02-29)"


# Dates from 1971 to 2099 as ISO 8601 writes them, with a time of day or without; a 30 February isn't one.
LEAPS = f"19(?:7[26]|8[048]|9[26])|20(?:00|{LEAP_YEARS})"
RECENT = f"^{date_pattern('197[1-9]|19[89][0-9]|20[0-9]{2}', LEAPS)}(?:{CLOCK})?$"
TEXT: Schema = {"type": "string", "pattern": SOMETHING}
ADDRESS = (
    {"type": "string", "format": "ipv4"},
    {"type": "string", "format": "ipv6"},
    {"type": "string", "pattern": r"^\+?[0-9]{1,9}(?:\.[0-9]+)?$"},
    {"type": "number", "minimum": 0, "exclusiveMaximum": 2**32},
)


LABEL: Schema = {
    "description": "What it turned out to be, if that is known: 1 or true is fraud. It isn't asked for: nothing, or "
    "`null`, where nobody knows.",
    "anyOf": [{"enum": [0, 1, "0", "1"]}, {"type": "boolean"}, {"type": "null"}],
}


REFERRED = {CellKind.TIME: "Time", CellKind.ADDRESS: "Address"}
"""The names of the schemas of :func:`kinds` by the kinds of cells; any other is text."""


def kinds() -> dict[str, Schema]:
    """Return the schemas that those of transactions refer to, by their names."""
    numbers = [{"type": "number", "minimum": low, "exclusiveMaximum": high} for low, high in times.numbers()]
    return {
        "Time": {
            "title": "A date, with a time of day or without",
            "description": "ISO 8601, UTC unless it says otherwise; or seconds, milliseconds, microseconds or "
            "nanoseconds since 1970, or days as spreadsheets count them. Other spellings are taken where they mean one "
            "moment only.",
            "examples": ["2026-01-31T17:04:22Z"],
            "anyOf": [{"type": "string", "pattern": RECENT}, *numbers],
        },
        "Text": {
            "title": "A text that says something",
            "description": "Case and surrounding spaces don't matter. Words for nothing, such as `NULL`, are refused.",
            "anyOf": [TEXT, {"type": "number"}],
        },
        "Address": {
            "title": "An IP address",
            "description": "Of version 4 (also as a number) or 6.",
            "examples": ["192.0.2.1"],
            "anyOf": list(ADDRESS),
        },
        "Nothing": {
            "title": "Nothing",
            "description": "`null`, a blank text, or a word for nothing.",
            "anyOf": [{"type": "null"}, {"type": "string", "pattern": NOTHING}],
        },
    }


def of_contract(
    contract: ColumnContract, words: Mapping[str, str], limits: Mapping[str, tuple[float, float]], ref: str
) -> Schema:
    """Return the schema of one transaction.

    Args:
        contract: the detector's.
        words: by column, what it is.
        limits: by column, between which numbers its number must lie.
        ref: how the schemas of :func:`kinds` are referred to; it has ``{name}``.
    """
    parts = contract.parts()
    properties = {
        column.name: {**_of_column(column, limits[column.name], ref), "description": words[column.name]}
        for column in parts
    }
    if contract.label is not None:
        properties[contract.label] = LABEL
    return {
        "type": "object",
        "properties": properties,
        "required": [column.name for column in parts if not column.optional],
        "additionalProperties": True,
    }


def _of_column(column: Column, limits: tuple[float, float], ref: str) -> Schema:
    way: Schema
    if column.kind is CellKind.NUMBER:
        low, high = (limit / max(column.scale, 1.0) for limit in limits)
        way = {"type": "number", "minimum": low, "maximum": high}
    else:
        way = {"$ref": ref.format(name=REFERRED.get(column.kind, "Text"))}
    return {"anyOf": [way, {"$ref": ref.format(name="Nothing")}]} if column.optional else way
