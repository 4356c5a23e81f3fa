"""Keeps rules: each change one short transaction, with what it was before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from screening.cards.masking import masked
from screening.detectors.registry import Detectors
from screening.errors import BadArtefact, Conflict, NotFound
from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.rules.facts import KnownFacts, common_vocabulary
from screening.rules.language.parser import parse
from screening.rules.language.problems import BadRule, did_you_mean
from screening.rules.language.tree import Condition
from screening.rules.language.vocabulary import Vocabulary
from screening.rules.tables import (
    ASKED,
    MOST_NAME,
    MOST_NOTE,
    Effect,
    Rule,
    RuleClock,
    RuleList,
    RuleState,
    RuleVersion,
)

NAME = re.compile(r"[^\W_][\w .,:'()/+-]*")
FRAUD_TYPE = re.compile(r"[^\W_][\w -]*")
MOST_RULES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDraft:
    """A rule as somebody writes it."""

    name: str
    condition: str
    effect: str = Effect.FLAG
    detector: str | None = None
    fraud_type: str | None = None
    note: str = ""
    owner: str = ""

    def stripped(self) -> RuleDraft:
        """Return it without the white space around its parts."""
        return replace(
            self,
            name=" ".join(self.name.split()),
            condition=self.condition.replace("\r\n", "\n").strip(),
            effect=self.effect.strip().casefold(),
            detector=(self.detector or "").strip() or None,
            fraud_type=" ".join((self.fraud_type or "").split()).casefold() or None,
            note=" ".join(self.note.split()),
            owner=" ".join(self.owner.split()),
        )


class RuleStore:
    """The rules of one instance.

    Args:
        database: where they are.
        detectors: whose columns they speak of.
    """

    def __init__(self, database: Database, detectors: Detectors) -> None:
        self.database, self.detectors = database, detectors

    def all(self) -> Sequence[Rule]:
        """Return the rules, by name."""
        with self.database.read() as session:
            return session.scalars(select(Rule).order_by(func.lower(Rule.name))).all()

    def get(self, number: int) -> Rule:
        """Return one rule.

        Raises:
            NotFound: there is none of this number.
        """
        with self.database.read() as session:
            found = session.get(Rule, number)
        if found is None:
            raise NotFound("There is no such rule.", remedy="Choose one of the list.")
        return found

    def named(self, name: str) -> Rule:
        """Return the rule of this name, whatever its case.

        Raises:
            NotFound: there is none.
        """
        rules = self.all()
        found = next((rule for rule in rules if rule.name.casefold() == name.strip().casefold()), None)
        if found is None:
            raise NotFound(
                f"There is no rule {name}.", remedy=did_you_mean(name, (rule.name for rule in rules))
            )
        return found

    def versions(self, number: int) -> Sequence[RuleVersion]:
        """Return what a rule was after each of its changes, the latest first."""
        query = select(RuleVersion).where(RuleVersion.rule == number).order_by(RuleVersion.version.desc())
        with self.database.read() as session:
            return session.scalars(query).all()

    def kinds(self) -> Mapping[str, str]:
        """Return the kinds of the lists, by name."""
        with self.database.read() as session:
            return {row.name: row.kind for row in session.execute(select(RuleList.name, RuleList.kind))}

    def vocabulary(self, detector: str | None, lists: Mapping[str, str] | None = None) -> Vocabulary:
        """Return what a rule can speak of.

        Args:
            detector: whose transactions it is asked of; ``None`` is everybody's.
            lists: the kinds of the lists; by default of those that there are.

        Raises:
            BadRule: there is no such detector.
            BadArtefact: it can't be loaded.
        """
        kinds = self.kinds() if lists is None else lists
        if detector is None:
            return common_vocabulary(kinds)
        try:
            return KnownFacts.of(self.detectors.get(detector)).vocabulary(kinds)
        except NotFound:
            names = self.detectors.names()
            raise BadRule(
                f"There is no detector {detector}.",
                remedy=did_you_mean(detector, names) or f"There are: {', '.join(names)}.",
            ) from None

    def check(self, draft: RuleDraft, lists: Mapping[str, str] | None = None) -> Condition:
        """Return what a rule means.

        Args:
            draft: the rule, stripped.
            lists: the kinds of the lists; by default of those that there are.

        Raises:
            BadRule: it can't be used.
        """
        check_words(draft)
        return parse(draft.condition, self.vocabulary(draft.detector, lists))

    def problem(self, rule: Rule) -> BadRule | None:
        """Return why a rule that is kept can't be used any more; ``None`` where it can."""
        try:
            self.check(draft_of(rule))
        except BadRule as problem:
            return problem
        except BadArtefact as problem:
            return BadRule(problem.what, rule.detector, problem.remedy)
        return None

    def add(self, draft: RuleDraft, by: str) -> Rule:
        """Keep a new rule as a draft.

        Raises:
            BadRule: it can't be used.
            Conflict: there is one of this name already.
        """
        draft = draft.stripped()
        self.check(draft)
        with changing(self.database) as session:
            _require_free(session, draft.name)
            if (session.scalar(select(func.count()).select_from(Rule)) or 0) >= MOST_RULES:
                raise Conflict(f"There are {MOST_RULES} rules already.", remedy="Change one of them.")
            rule = Rule(version=1, state=RuleState.DRAFT.value, **columns_of(draft, by))
            session.add(rule)
            session.flush()
            session.add(RuleVersion(rule=rule.id, version=1, **rule.told()))
        return rule

    def change(
        self, number: int, draft: RuleDraft, by: str, *, decides: bool = True, seen: int | None = None
    ) -> Rule:
        """Keep what somebody made of a rule; its state stays.

        Args:
            number: the rule's.
            draft: what it says from now on.
            by: who says so.
            decides: whether they may also change a rule that is asked of each transaction.
            seen: the version that was changed; ``None`` for whatever is there.

        Raises:
            BadRule: it can't be used.
            Conflict: somebody else has changed it meanwhile, or there is another one of this name.
            NotFound: there is no such rule.
        """
        draft = draft.stripped()
        self.check(draft)

        def apply(session: Session, rule: Rule) -> None:
            require_seen(rule, seen)
            if rule.state in ASKED and not decides:
                raise Conflict(
                    f"{rule.name} is {rule.state}, and a manager's to change.",
                    remedy="Write a rule of another name, or ask a manager.",
                )
            _require_free(session, draft.name, other_than=rule.id)
            for name, value in columns_of(draft, by).items():
                setattr(rule, name, value)

        return self._changed(number, apply)

    def set_state(self, number: int, state: RuleState, by: str, *, seen: int | None = None) -> Rule:
        """Let a rule do something else. Whether it still can be understood is looked at before it is asked anything.

        Args:
            number: the rule's.
            state: what it may do from now on.
            by: who says so.
            seen: the version that was looked at; ``None`` for whatever is there.

        Raises:
            BadRule: it can't be used any more.
            Conflict: it is in this state already, or somebody has changed it meanwhile.
            NotFound: there is no such rule.
        """
        if state in ASKED:
            self.check(draft_of(self.get(number)))

        def apply(_session: Session, rule: Rule) -> None:
            _require_other(rule, state, seen)
            rule.state, rule.changed, rule.changed_by = state.value, now(), by

        return self._changed(number, apply)

    def require_changeable(self, rule: Rule, state: RuleState, seen: int) -> None:
        """See that a rule could do something else; see :meth:`set_state`."""
        _require_other(rule, state, seen)
        if state in ASKED:
            self.check(draft_of(rule))

    def _changed(self, number: int, apply: Callable[[Session, Rule], None]) -> Rule:
        with changing(self.database) as session:
            rule = session.get(Rule, number, with_for_update=True)
            if rule is None:
                raise NotFound("There is no such rule.", remedy="Choose one of the list.")
            apply(session, rule)
            rule.version += 1
            session.add(RuleVersion(rule=rule.id, version=rule.version, **rule.told()))
        return rule


@contextmanager
def changing(database: Database) -> Iterator[Session]:
    """Give a transaction that every process notices which has read the rules before."""
    with database.write() as session:
        yield session
        clock = session.get(RuleClock, 1, with_for_update=True)
        if clock is None:
            session.add(RuleClock(id=1, version=1))
        else:
            clock.version += 1


def draft_of(rule: Rule | RuleVersion) -> RuleDraft:
    """Return a rule as somebody would write it."""
    return RuleDraft(
        name=rule.name,
        condition=rule.condition,
        effect=rule.effect,
        detector=rule.detector,
        fraud_type=rule.fraud_type,
        note=rule.note,
        owner=rule.owner,
    )


def columns_of(draft: RuleDraft, by: str) -> dict[str, Any]:
    """Return the columns of a rule's row as a draft has them, changed now by somebody."""
    return {
        "name": draft.name,
        "detector": draft.detector,
        "condition": draft.condition,
        "effect": draft.effect,
        "fraud_type": draft.fraud_type,
        "note": draft.note,
        "owner": draft.owner or by[:64],
        "changed": now(),
        "changed_by": by,
    }


def require_seen(rule: Rule, seen: int | None) -> None:
    """Raise :class:`Conflict` for a rule that was changed since somebody looked at it."""
    if seen is not None and rule.version != seen:
        raise Conflict(
            f"{rule.changed_by} has changed this rule since you opened it.",
            remedy="Look at it again, and decide then.",
        )


def _require_other(rule: Rule, state: RuleState, seen: int | None) -> None:
    require_seen(rule, seen)
    if rule.state == state.value:
        raise Conflict(f"{rule.name} is {state.value} already.", remedy="Load the page again.")


def _require_free(session: Session, name: str, other_than: int | None = None) -> None:
    there = session.scalar(select(Rule).where(func.lower(Rule.name) == name.lower()))
    if there is not None and there.id != other_than:
        raise Conflict(f"There is a rule {there.name} already.", remedy="Give this one another name.")


def check_words(draft: RuleDraft) -> None:
    """See that the parts of a rule beside its condition can be used.

    Raises:
        BadRule: one can't.
    """
    if not NAME.fullmatch(draft.name) or len(draft.name) > MOST_NAME:
        raise BadRule(
            f"“{draft.name[:MOST_NAME]}” can't be the name of a rule."
            if draft.name
            else "The rule has no name.",
            "name",
            f"Give it 1 to {MOST_NAME} letters, digits, spaces and .,:'()/+-, a letter or a digit first.",
        )
    if draft.effect not in list(Effect):
        raise BadRule(
            f"“{draft.effect[:20]}” is no effect.", "effect", f"Choose one of: {', '.join(Effect)}."
        )
    if draft.fraud_type is not None and (
        not FRAUD_TYPE.fullmatch(draft.fraud_type) or len(draft.fraud_type) > MOST_NAME
    ):
        raise BadRule(
            "This can't be a type of fraud.", "fraud type", "Use letters, digits, spaces and hyphens."
        )
    if len(draft.note) > MOST_NOTE or len(draft.owner) > MOST_NAME:
        raise BadRule(f"Note and owner may have {MOST_NOTE} and {MOST_NAME} characters.", "note")
    for part, text in (("name", draft.name), ("condition", draft.condition), ("note", draft.note)):
        if masked(text) != text:
            raise BadRule(
                "The rule holds what may be a card number, and was not kept.",
                part,
                "Put cards into a list of cards: there each is kept as a token.",
            )
