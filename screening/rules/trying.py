"""Tries rules on the past before anybody switches them on: those that are kept, one that is being written, a file's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from screening.ledger.filters import DecisionFilter
from screening.monitoring.comparison import USUAL_DELAY
from screening.rules.backtest import BacktestOutcome, MatchedRow, TriedRule, backtest, counterexamples
from screening.rules.language.problems import BadRule
from screening.rules.language.tree import lists
from screening.rules.lists import RuleLists, entries_of
from screening.rules.rules_file import FileRule, RulesFile
from screening.rules.store import RuleDraft, RuleStore
from screening.rules.tables import Effect, RuleState

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions


@dataclass(frozen=True, slots=True)
class Trial:
    """Trial of one rule: its outcome, and legitimate rows that it would have met."""

    outcome: BacktestOutcome
    counterexamples: Sequence[MatchedRow]


@dataclass(frozen=True, slots=True)
class RuleProblem:
    """Problem of a rule of a file that can't be used."""

    rule: FileRule
    problem: BadRule


class Trials:
    """Tries rules on one instance's ledger.

    Args:
        store: the rules.
        questions: asks the ledger.
        delay_days: after how many days labels have come; ``None`` where nobody has said.
    """

    def __init__(self, store: RuleStore, questions: Questions, delay_days: int | None = None) -> None:
        self._store, self._questions = store, questions
        self.delay = USUAL_DELAY if delay_days is None else timedelta(days=delay_days)
        """After which labels have come."""

    def of_file(
        self, file: RulesFile, keep: RuleLists, *, chosen: DecisionFilter, now: datetime
    ) -> list[BacktestOutcome]:
        """Return what the rules of a file would have done, which may bring entries of lists.

        Args:
            file: the rules.
            keep: reads entries as lists keep them.
            chosen: of which rows.
            now: the present moment.

        Raises:
            BadRule: one can't be used.
            TooMuch: it takes too long or too much memory.
        """
        # a list that is there stays as it is
        kinds = {**file.kinds, **self._store.kinds()}
        own = {each.name: frozenset(keep.read(each.kind, each.entries)) for each in file.lists}
        tried = [self._tried(one.draft, kinds) for one in file.rules]
        return self._of(tried, own, chosen, now)

    def one(self, draft: RuleDraft, *, chosen: DecisionFilter, now: datetime) -> Trial:
        """Return what one rule would have done, with legitimate rows that it would have met.

        Raises:
            BadRule, TooMuch: as :meth:`of_file`.
        """
        rule = self._tried(draft)
        (outcome,) = self._of([rule], {}, chosen, now)
        entries = self._entries([rule], {})
        return Trial(outcome, counterexamples(rule, entries, self._questions, chosen=chosen))

    def problems(self, file: RulesFile) -> list[RuleProblem]:
        """Return which rules of a file can't be used, and why."""
        kinds = {**file.kinds, **self._store.kinds()}
        found = []
        for one in file.rules:
            try:
                self._store.check(one.draft, kinds)
            except BadRule as problem:
                found.append(RuleProblem(one, problem))
        return found

    def _tried(self, draft: RuleDraft, kinds: Mapping[str, str] | None = None) -> TriedRule:
        draft = draft.stripped()
        return TriedRule(
            name=draft.name,
            condition=self._store.check(draft, kinds),
            effect=Effect(draft.effect),
            detector=draft.detector,
        )

    def _of(
        self,
        rules: Sequence[TriedRule],
        own: Mapping[str, frozenset[str]],
        chosen: DecisionFilter,
        now: datetime,
    ) -> list[BacktestOutcome]:
        flagging = [
            rule.name
            for rule in self._store.all()
            if rule.state == RuleState.ACTIVE and rule.effect == Effect.FLAG
        ]
        return backtest(
            rules,
            self._entries(rules, own),
            self._questions,
            chosen=chosen,
            now=now,
            delay=self.delay,
            flagging=flagging,
        )

    def _entries(
        self, rules: Sequence[TriedRule], own: Mapping[str, frozenset[str]]
    ) -> Mapping[str, frozenset[str]]:
        names = {name for rule in rules for name in lists(rule.condition)}
        kept = entries_of(self._store.database, names) if names else {}
        return {name: each | own.get(name, frozenset()) for name, each in kept.items()}
