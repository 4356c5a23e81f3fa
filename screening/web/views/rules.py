"""Show rules on pages and on the command line, and describe them for the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from screening.rules.language.problems import BadRule
from screening.rules.lists import RuleLists
from screening.rules.store import RuleStore
from screening.rules.tables import Rule, RuleState
from screening.uploads.questions.card_tokens import tokens_of
from screening.web.http import request_audit
from screening.web.services import services

if TYPE_CHECKING:
    from screening.rules.hits import Hits

FRAUD_TYPES = (
    "account takeover",
    "card testing",
    "compromised terminal",
    "friendly fraud",
    "new account",
    "shared device",
    "stolen card",
)
"""Offered where a type of fraud is asked for; any other can be written."""
STATES: Mapping[str, str] = {
    RuleState.ACTIVE: "Active",
    RuleState.SHADOW: "In the shadow",
    RuleState.DRAFT: "Drafts",
    RuleState.OFF: "Off",
}
"""In the order of the page."""
EFFECTS: Mapping[str, str] = {"flag": "Flag", "raise": "Raise", "silence": "Silence"}


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule of the list."""

    rule: Rule
    hits: Hits | None
    problem: BadRule | None


def lines(
    rules: Sequence[Rule],
    active: Mapping[str, Hits],
    shadow: Mapping[str, Hits],
    problems: Mapping[int, BadRule | None],
) -> list[tuple[str, list[RuleLine]]]:
    """Return the rules by state, in the order of the page, those without rules left out."""
    found = []
    for state, title in STATES.items():
        counted = {RuleState.ACTIVE: active, RuleState.SHADOW: shadow}.get(RuleState(state), {})
        mine = [
            RuleLine(rule, counted.get(rule.name), problems.get(rule.id))
            for rule in rules
            if rule.state == state
        ]
        if mine:
            found.append((title, mine))
    return found


def record_change(event: str, rule: Rule, **more: Any) -> None:
    """Tell the audit log of a rule that was changed."""
    request_audit.record(
        event,
        rule=rule.id,
        name=rule.name,
        version=rule.version,
        state=rule.state,
        effect=rule.effect,
        detector=rule.detector,
        condition=rule.condition,
        **more,
    )


def store_of() -> RuleStore:
    """Return the rules of the app that serves the present request."""
    return RuleStore(services().database, services().detectors)


def lists_of() -> RuleLists:
    """Return its lists."""
    return RuleLists(services().database, lambda: tokens_of(services().settings.instance))
