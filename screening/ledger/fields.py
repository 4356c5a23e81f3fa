"""Find the columns of a file, or keys of a JSON transaction, for which the ledger has fields: who, where, with what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from screening.columns.vocabulary import word_set, words_of
from screening.transactions.schema import CellKind, Column, Role

ENTITIES = ("customer", "card", "account", "merchant", "terminal", "device", "address")
"""The kinds of entities: each is a field of the ledger."""
DIMENSIONS = ("country", "browser", "channel", "currency", "fraud_type")
FIELDS = (*ENTITIES, *DIMENSIONS)
SHADOW_RULES = "l:shadow rules"
"""The further column with the rules in the shadow that a row fulfils: they decide nothing."""
RULES_MARK = "t: rules"
"""The further column with the mark of the rules that were asked of a row (:mod:`screening.detectors.provenance`). With
its space it is no column's name."""


def entities_of(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return who and what a row of the ledger is about: kind and value."""
    return [(kind, row[kind]) for kind in ENTITIES if row.get(kind) is not None]


WORDS = {
    "card": word_set("card cards pan cc karte tarjeta carte"),
    "customer": word_set("customer client cust kunde cliente user payer holder cardholder sender orig"),
    "merchant": word_set(
        "merchant shop store seller haendler händler comercio payee beneficiary recipient dest receiver"
    ),
    "terminal": word_set("terminal pos atm"),
    "device": word_set("device geraet gerät dispositivo"),
    "address": word_set("ip ipaddress"),
    "account": word_set("account acct konto cuenta iban"),
    "country": word_set("country countrycode land pais país pays"),
    "browser": word_set("browser"),
    "channel": word_set("channel kanal canal source"),
    "currency": word_set("currency ccy waehrung währung moneda devise"),
    "fraud_type": word_set("fraudtype"),
}
"""Words of a column's name that speak for a field; a name of two kinds (``card_country``) is of the later one."""
BESIDE = word_set(
    "id ids no nr num number nummer key code name name hash token address adresse tx trx transaction of the"
)
"""Words that may stand beside them in the name of a column that no detector needs."""


def assign(header: Sequence[str], columns: Iterable[Column] = ()) -> dict[str, int]:
    """Return for each field that a table has where its column stands.

    A column that a detector knows as an entity needs one word of a field in its name, any other nothing but such words:
    ``device_distinct_emails`` is no device.

    Args:
        header: the names of the table.
        columns: those of the detector, by the names that they have in the table.
    """
    entities = {
        column.name.strip().casefold()
        for column in columns
        if column.role is Role.ENTITY or column.kind is CellKind.ADDRESS
    }
    found: dict[str, int] = {}
    sure: set[str] = set()
    for place, name in enumerate(header):
        known = name.strip().casefold() in entities
        field = field_of(name, loosely=known)
        if field is not None and (field not in found or (known and field not in sure)):
            found[field] = place
            if known:
                sure.add(field)
    return found


def called(column: Column, names: Mapping[str, str]) -> Column:
    """Return a detector's column under the name that it has in a file."""
    return replace(column, name=names.get(column.name, column.name))


def field_of(name: str, *, loosely: bool) -> str | None:
    """Return the ledger's field for a column of this name; ``None`` where there is none."""
    words = words_of(name)
    if {"fraud", "type"} == set(words):
        return "fraud_type"
    said = [field for field, theirs in WORDS.items() if not theirs.isdisjoint(words)]
    if not said:
        return None
    strict = all(word in BESIDE or any(word in WORDS[field] for field in said) for word in words)
    if not strict and not loosely:
        return None
    last = [field for field in said if words[-1] in WORDS[field] or len(said) == 1]
    # "user_device_id": the last word that says something
    if len(said) > 1 and not last:
        last = [field for field in said if any(word in WORDS[field] for word in words[-2:])]
    return last[-1] if last else None
