"""The rules of one detector, ready to be asked: read once, and read again when anybody changes a rule or a list."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import select

from screening.detectors.detector import Detector
from screening.detectors.promotions import Promotions
from screening.detectors.provenance import Provenance, ProvenanceKind, mark_of
from screening.infra.database import Database, UntilChanged
from screening.rules.facts import KnownFacts, Quantities
from screening.rules.language.closure import Answer, compiled
from screening.rules.language.parser import parse
from screening.rules.language.problems import BadRule
from screening.rules.language.tree import Condition, facts, lists
from screening.rules.lists import entries_of
from screening.rules.tables import ASKED, Effect, Rule, RuleClock, RuleList, RuleState

log = logging.getLogger("screening.rules")


@dataclass(frozen=True, slots=True)
class ArmedRule:
    """A rule that is asked of transactions."""

    name: str
    effect: Effect
    fraud_type: str | None
    note: str
    tree: Condition
    answer: Answer

    @property
    def reason(self) -> str:
        """Reason given for a transaction that the rule flags."""
        return f"Rule “{self.name}”" + (f": {self.note}" if self.note else "")


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """Verdict of the rules on one transaction, together with the net."""

    flagged: bool
    fired: Sequence[ArmedRule] = ()
    """The active rules that it fulfils."""
    shadow: Sequence[str] = ()
    """The names of those in the shadow."""

    @property
    def names(self) -> list[str]:
        """Of the rules that fired."""
        return [rule.name for rule in self.fired]

    @property
    def fraud_type(self) -> str | None:
        """Fraud type of the first rule that flags, or else that raises."""
        return fraud_type(self.fired)

    @property
    def reasons(self) -> list[str]:
        """Reasons given for a flag that rules have set."""
        return [rule.reason for rule in self.fired if rule.effect is Effect.FLAG]


@dataclass(frozen=True)
class RuleSet:
    """The rules of one detector at one moment."""

    known: KnownFacts
    active: Sequence[ArmedRule] = ()
    shadow: Sequence[ArmedRule] = ()
    named: frozenset[str] = frozenset()
    """The keys of the facts that any rule of it asks for, whatever its state."""
    entries: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Of the lists that they look into."""
    stored: bool = False
    """Whether there is any rule for this detector."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """Record of its rules, and the hashes of the lists, as JSON types."""
    mark: str = ""
    """SHA-256, hex, of that; empty where none is asked of transactions."""

    @property
    def asked(self) -> Sequence[ArmedRule]:
        """All rules that are asked of transactions, the active ones first."""
        return (*self.active, *self.shadow)

    @cached_property
    def kept(self) -> Sequence[str]:
        """The keys of the facts that the ledger keeps of each transaction, beside its own fields."""
        return self.known.kept(self.named)

    @cached_property
    def inputs(self) -> Sequence[str]:
        """Those of them that are features."""
        return self.known.inputs(self.kept)

    @cached_property
    def quantities(self) -> Quantities:
        """Quantities that these values stand for."""
        return self.known.quantities(self.inputs)

    @cached_property
    def columns(self) -> Sequence[str]:
        """Those that are other numbers."""
        return [key for key in self.kept if key in self.known.numbers and key not in self.known.places]

    @cached_property
    def texts(self) -> Sequence[str]:
        """Those that are texts."""
        return [key for key in self.kept if key in self.known.texts]

    @cached_property
    def places(self) -> Sequence[int]:
        """Places of the features among the net's inputs."""
        return [self.known.places[key] for key in self.inputs]

    @cached_property
    def needed(self) -> frozenset[str]:
        """The keys of the facts that its rules ask transactions for."""
        return frozenset(fact.key for rule in self.asked for fact in facts(rule.tree))

    def verdict(self, flagged: bool, fired: Sequence[ArmedRule], shadow: Sequence[str] = ()) -> RuleVerdict:
        """Return what net and rules say together."""
        return RuleVerdict(decided(flagged, (rule.effect for rule in fired)), fired, shadow)


def decided(flagged: bool, effects: Iterable[Effect]) -> bool:
    """Return whether a transaction is flagged, by the net's flag and the effects of the rules that it fulfils.

    A rule that flags goes before one that silences: who is on two lists is looked at.
    """
    found = set(effects)
    return Effect.FLAG in found or (flagged and Effect.SILENCE not in found)


def fraud_type(fired: Sequence[ArmedRule]) -> str | None:
    """Return the type of fraud of the first rule that flags and has one, or else that raises."""
    for effect in (Effect.FLAG, Effect.RAISE):
        for rule in fired:
            if rule.effect is effect and rule.fraud_type is not None:
                return rule.fraud_type
    return None


_Kept = tuple[int, Sequence[Rule], dict[tuple[str, str, frozenset[str]], RuleSet]]
"""The version of the rules, all of them, and those of each detector."""


class RuleBook:
    """Gives each detector its rules. One for each process.

    Args:
        database: where rules are.
    """

    def __init__(self, database: Database) -> None:
        self._database, self._promotions = database, Promotions(database)
        self._provenance = Provenance(database)
        self._version: UntilChanged[None, int] = UntilChanged(database)
        self._kept: _Kept = -1, (), {}

    def of(self, detector: Detector) -> RuleSet:
        """Return the rules that are asked of what a detector decides on; perhaps none."""
        _, rules, known = self._present()
        names = self._names(detector) if rules else frozenset({detector.name})
        key = (detector.name, detector.fingerprint, names)
        if key not in known:
            mine = [rule for rule in rules if rule.detector is None or rule.detector in names]
            found = self._made(detector, mine)
            # before it has a say: decisions name the mark alone
            if found.mark:
                self._provenance.note(found.mark, ProvenanceKind.RULES, detector.name, found.told)
            known[key] = found
        return known[key]

    def again(self, detector: Detector, told: Mapping[str, Any]) -> RuleSet:
        """Return rules as they were once: their mark is the same again if the lists are, too.

        Args:
            detector: whose transactions they were asked of.
            told: what they said, as :attr:`RuleSet.told` has it.
        """
        return self._made(detector, [Rule(**each) for each in told["rules"]])

    def live(self, detector: Detector) -> RuleSet | None:
        """Return the same for a transaction that somebody waits for; ``None`` where no rule is stored for it."""
        if not self._present()[1]:
            return None
        found = self.of(detector)
        return found if found.stored else None

    def _present(self) -> _Kept:
        version = self._version.get(None, self._read_version)
        kept = self._kept
        if kept[0] != version:
            with self._database.read() as session:
                rules = session.scalars(select(Rule).order_by(Rule.name)).all()
            kept = self._kept = version, rules, {}
        return kept

    def _read_version(self) -> int:
        with self._database.read() as session:
            return session.scalar(select(RuleClock.version).where(RuleClock.id == 1)) or 0

    def _names(self, detector: Detector) -> frozenset[str]:
        """Return the names under which a detector decides: its own, and those in whose place it was put."""
        holding = self._promotions.holding()
        names = {detector.name}
        while more := {old for old, row in holding.items() if row.promoted in names} - names:
            names |= more
        return frozenset(names)

    def _made(self, detector: Detector, rules: Sequence[Rule]) -> RuleSet:
        known = KnownFacts.of(detector)
        if not rules:
            return RuleSet(known)
        with self._database.read() as session:
            kinds = {row.name: row.kind for row in session.execute(select(RuleList.name, RuleList.kind))}
        vocabulary = known.vocabulary(kinds)
        trees: list[tuple[Rule, Condition]] = []
        for rule in rules:
            try:
                trees.append((rule, parse(rule.condition, vocabulary)))
            except BadRule as problem:
                tell = log.error if rule.state in ASKED and rule.detector is not None else log.debug
                tell("rule %s can't be asked of %s: %s", rule.name, detector.name, problem)
        names = {name for _, tree in trees for name in lists(tree)}
        entries = entries_of(self._database, names) if names else {}
        told = _told([rule for rule, _ in trees if rule.state in ASKED], entries)
        armed = {
            state: [
                ArmedRule(
                    rule.name, Effect(rule.effect), rule.fraud_type, rule.note, tree, compiled(tree, entries)
                )
                for rule, tree in trees
                if rule.state == state
            ]
            for state in ASKED
        }
        return RuleSet(
            known,
            active=armed[RuleState.ACTIVE],
            shadow=armed[RuleState.SHADOW],
            named=frozenset(fact.key for _, tree in trees for fact in facts(tree)),
            entries=entries,
            stored=True,
            told=told,
            mark=mark_of(told) if told["rules"] else "",
        )


TOLD_OF_RULE = ("name", "detector", "condition", "effect", "fraud_type", "note", "state")
"""Parts of a rule that take part in a decision, or in its words."""


def _told(rules: Sequence[Rule], entries: Mapping[str, frozenset[str]]) -> dict[str, Any]:
    """Return all that rules say, and of the lists that they look into the hashes: a list may be long, and is secret."""
    trees = [{name: getattr(rule, name) for name in TOLD_OF_RULE} for rule in rules]
    return {
        "rules": trees,
        "lists": {name: mark_of({"entries": sorted(each)}) for name, each in entries.items()},
    }
