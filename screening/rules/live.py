"""Asks rules of transactions that a program waits for: each as a function, of what the ledger will keep of the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from screening.features.countries.addresses import AddressCountries
from screening.ledger.fields import RULES_MARK, SHADOW_RULES
from screening.ledger.tail import Kept
from screening.rules.facts import ADDRESS_COUNTRY, AMOUNT, HOUR, PROBABILITY, TEXTS, WEEKDAY, amount_of, clock
from screening.rules.ruleset import RuleSet, RuleVerdict
from screening.scoring.score import Scored
from screening.transactions.encoding import plain_text
from screening.transactions.schema import Transactions, normalise

Column = Sequence[Any]


def decide(
    rules: RuleSet,
    kept: Kept,
    given: Sequence[Mapping[str, Any]],
    rows: Transactions,
    scored: Scored,
    *,
    countries: AddressCountries | None = None,
) -> list[RuleVerdict]:
    """Ask the rules of the rows of a request, and write into what the ledger keeps of them what they say.

    Args:
        rules: those of the detector that scored.
        kept: the rows as the ledger will have them; flags, reasons, rules, types of fraud and facts are set.
        given: the transactions as they came.
        rows: the same as the detector has read them.
        scored: what it said of them, with the inputs at the places that the rules ask for.
        countries: of which country addresses are.

    Returns:
        of each row what net and rules say together.
    """
    facts = ledger_facts(rules, given, rows, scored)
    if countries is not None and ADDRESS_COUNTRY in rules.named and "address" in kept.columns:
        facts[ADDRESS_COUNTRY] = list(countries.of(kept.columns["address"]))
    kept.columns.update(facts)
    if rules.mark:
        kept.same[RULES_MARK] = rules.mark
    verdicts = _verdicts(rules, kept, facts)
    columns = kept.columns
    columns["flagged"] = [each.flagged for each in verdicts]
    fired = [each.names or None for each in verdicts]
    shadow = [list(each.shadow) or None for each in verdicts]
    if any(fired):
        columns["rules"] = fired
        own = columns.get("fraud_type") or [None] * kept.rows
        columns["fraud_type"] = [mine or each.fraud_type for mine, each in zip(own, verdicts, strict=True)]
        reasons = columns.get("reasons") or [None] * kept.rows
        columns["reasons"] = [
            [*(said or ()), *each.reasons] or None if each.flagged else None
            for said, each in zip(reasons, verdicts, strict=True)
        ]
    if any(shadow):
        columns[SHADOW_RULES] = shadow
    return verdicts


def ledger_facts(
    rules: RuleSet, given: Sequence[Mapping[str, Any]], rows: Transactions, scored: Scored
) -> dict[str, list[Any]]:
    """Return what the ledger keeps beside its own fields, by key; only what any row has."""
    found: dict[str, list[Any]] = {key: rules.known.column(key, rows).tolist() for key in rules.columns}
    if scored.kept is not None:
        found |= zip(rules.inputs, rules.quantities.of(scored.kept).T.tolist(), strict=True)
    for key, cells in found.items():
        if any(cell != cell for cell in cells):  # noqa: PLR0124 -- NaN alone isn't itself
            found[key] = [None if math.isnan(cell) else cell for cell in cells]
    for key in rules.texts:
        found[key] = [_text(mapping, rules.known.texts[key]) for mapping in given]
    return {key: cells for key, cells in found.items() if any(cell is not None for cell in cells)}


def _text(mapping: Mapping[str, Any], column: str) -> str | None:
    value = mapping.get(column)
    if value is None:
        wanted = normalise(column)
        value = next((each for name, each in mapping.items() if normalise(name) == wanted), None)
    if value is None or isinstance(value, (bool, list, dict)):
        return None
    return plain_text(str(value))


def _verdicts(rules: RuleSet, kept: Kept, facts: Mapping[str, Column]) -> list[RuleVerdict]:
    flags = kept.columns["flagged"]
    if not rules.asked:
        return [RuleVerdict(flag) for flag in flags]
    asked = {key: column_of(key, kept, facts) for key in rules.needed}
    columns = {key: cells for key, cells in asked.items() if cells is not None}
    verdicts = []
    for place, flag in enumerate(flags):
        row = {key: cells[place] for key, cells in columns.items()}
        fired = [rule for rule in rules.active if rule.answer(row)]
        shadow = [rule.name for rule in rules.shadow if rule.answer(row)]
        verdicts.append(rules.verdict(flag, fired, shadow))
    return verdicts


def column_of(key: str, kept: Kept, facts: Mapping[str, Column]) -> Column | None:
    """Return the cells of one fact, (rows,); ``None`` where no row has it."""
    columns = kept.columns
    if key in TEXTS or key == PROBABILITY:
        return columns.get(key)
    if key == AMOUNT:
        units = columns.get("amount")
        if units is None:
            return None
        currencies = columns.get("currency") or [None] * kept.rows
        return [amount_of(each, code) for each, code in zip(units, currencies, strict=True)]
    if key in {HOUR, WEEKDAY}:
        times = columns.get("event_time")
        return None if times is None else [clock(each)[key == WEEKDAY] for each in times]
    return facts.get(key)


def asked_again(rules: RuleSet, row: Mapping[str, Any], *, net: bool) -> RuleVerdict:
    """Return what rules say of a row of the ledger, by what the ledger kept of it.

    Args:
        rules: which ones.
        row: with the ledger's own fields, and of further ones those that the rules need.
        net: whether the net flags it.
    """
    columns = {name: [value] for name, value in row.items()}
    columns["flagged"] = [net]
    if (moment := row["event_time"]) is not None:
        columns["event_time"] = [round(moment.replace(tzinfo=UTC).timestamp() * 1e6)]
    else:
        del columns["event_time"]
    if row["amount"] is None:
        del columns["amount"]
    (verdict,) = _verdicts(rules, Kept(1, {}, columns, []), columns)
    return verdict
