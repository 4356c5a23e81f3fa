"""Lists that rules look into: who is blocked, who is let pass. A card's number becomes its token before it is kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select

from screening.cards.finding import card_numbers
from screening.cards.masking import masked
from screening.cards.tokens import TOKEN, Tokens
from screening.errors import Conflict, NotFound
from screening.infra.database import Database
from screening.infra.job_queue import now
from screening.rules.facts import TEXTS
from screening.rules.language.parser import ANY, parse
from screening.rules.language.problems import BadRule, did_you_mean
from screening.rules.language.texts import plain
from screening.rules.language.tokens import WORDS
from screening.rules.language.tree import lists as named_in
from screening.rules.store import RuleStore, changing, draft_of
from screening.rules.tables import (
    MOST_ENTRY,
    MOST_NAME,
    MOST_NOTE,
    ListEntry,
    Purpose,
    Rule,
    RuleList,
    RuleState,
)

NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
KINDS = (*TEXTS, ANY)
MOST_ENTRIES = 100_000
"""Of one list."""
MOST_LISTS = 100


@dataclass(frozen=True, slots=True)
class AddedEntries:
    """Result of adding entries to a list."""

    new: int
    known: int
    """That were there already, or twice among them."""


class RuleLists:
    """The lists of one instance.

    Args:
        database: where they are.
        tokens: asked for what makes tokens, where an entry has a card's number.
    """

    def __init__(self, database: Database, tokens: Callable[[], Tokens]) -> None:
        self._database, self._tokens = database, tokens

    def all(self) -> Sequence[tuple[RuleList, int]]:
        """Return the lists, by name, each with the number of its entries."""
        counts = select(ListEntry.list, func.count().label("entries")).group_by(ListEntry.list)
        with self._database.read() as session:
            entries = {row.list: row.entries for row in session.execute(counts)}
            found = session.scalars(select(RuleList).order_by(RuleList.name)).all()
        return [(each, entries.get(each.name, 0)) for each in found]

    def get(self, name: str) -> RuleList:
        """Return one list.

        Raises:
            NotFound: there is none of this name.
        """
        with self._database.read() as session:
            found = session.get(RuleList, name.casefold())
            if found is None:
                names = session.scalars(select(RuleList.name)).all()
                raise NotFound(
                    f"There is no list {masked(name)[:MOST_NAME]}.", remedy=did_you_mean(name, names)
                )
        return found

    def entries(self, name: str, limit: int = 1000) -> Sequence[ListEntry]:
        """Return entries of a list, the latest first."""
        query = (
            select(ListEntry).where(ListEntry.list == name).order_by(ListEntry.added.desc(), ListEntry.entry)
        )
        with self._database.read() as session:
            return session.scalars(query.limit(limit)).all()

    def make(self, name: str, kind: str, purpose: str, note: str, by: str) -> RuleList:
        """Make an empty list.

        Raises:
            BadRule: it can't be made so.
            Conflict: there is one of this name already.
        """
        name = name.strip().casefold()
        if not NAME.fullmatch(name) or len(name) > MOST_NAME or name in WORDS:
            raise BadRule(
                "This can't be the name of a list.",
                "name",
                "Use letters, digits and _, a letter first, as in blocked_devices: rules name it so.",
            )
        if kind not in KINDS:
            raise BadRule("There are no lists of this kind.", "kind", f"Choose one of: {', '.join(KINDS)}.")
        if purpose not in list(Purpose):
            raise BadRule("A list is there to block or to allow.", "purpose", "Choose one of the two.")
        if len(note) > MOST_NOTE or masked(note) != note:
            raise BadRule(
                "This note can't be kept.",
                "note",
                f"Write at most {MOST_NOTE} characters, no number of a card.",
            )
        with changing(self._database) as session:
            if session.get(RuleList, name) is not None:
                raise Conflict(f"There is a list {name} already.", remedy="Give this one another name.")
            if (session.scalar(select(func.count()).select_from(RuleList)) or 0) >= MOST_LISTS:
                raise Conflict(f"There are {MOST_LISTS} lists already.", remedy="Use or remove one of them.")
            made = RuleList(name=name, kind=kind, purpose=purpose, note=note, made=now(), made_by=by)
            session.add(made)
        return made

    def add(self, name: str, texts: Iterable[str], by: str, note: str = "") -> AddedEntries:
        """Add entries to a list, all or none; blank ones are passed over.

        Args:
            name: the list's.
            texts: as people write them. A card's number is kept as its token.
            by: who adds them.
            note: why.

        Raises:
            BadRule: one can't be an entry; it is named by its place, never by what it is.
            NotFound: there is no such list.
        """
        kept = self.get(name)
        self.check_note(note)
        given = self.read(kept.kind, texts)
        entries = dict.fromkeys(given)
        count = len(given)
        with changing(self._database) as session:
            there = set(session.scalars(select(ListEntry.entry).where(ListEntry.list == kept.name)))
            new = [each for each in entries if each not in there]
            if len(there) + len(new) > MOST_ENTRIES:
                raise BadRule(
                    f"The list would have more than {MOST_ENTRIES:,} entries.", remedy="Remove some."
                )
            moment = now()
            session.add_all(
                ListEntry(list=kept.name, entry=each, note=note, added=moment, added_by=by) for each in new
            )
        return AddedEntries(len(new), count - len(new))

    def check_note(self, note: str) -> None:
        """Refuse what can't be the note of an entry.

        Raises:
            BadRule: it is too long, or holds what may be a card's number.
        """
        if len(note) > MOST_ENTRY or masked(note) != note:
            raise BadRule("This note can't be kept.", "note", "Write less, and no number of a card.")

    def read(self, kind: str, texts: Iterable[str]) -> list[str]:
        """Return entries as they are kept and compared; blank ones are passed over.

        Args:
            kind: of their list.
            texts: as people write them.

        Raises:
            BadRule: as :meth:`add`.
        """
        return [self._entry(kind, text, place) for place, text in enumerate(texts, start=1) if text.strip()]

    def require_entry(self, name: str, entry: str) -> None:
        """Refuse an entry that isn't on a list.

        Raises:
            NotFound: it isn't on it.
        """
        with self._database.read() as session:
            if session.get(ListEntry, (name.casefold(), entry)) is None:
                raise gone()

    def remove(self, name: str, entry: str) -> None:
        """Take an entry off a list.

        Raises:
            NotFound: it isn't on it.
        """
        with changing(self._database) as session:
            found = session.get(ListEntry, (name.casefold(), entry))
            if found is None:
                raise gone()
            session.delete(found)

    def require_unused(self, name: str, rules: RuleStore) -> None:
        """Refuse to remove a list that a rule looks into which isn't off.

        Raises:
            Conflict: there are such rules.
        """
        asking = [
            rule.name for rule in rules.all() if rule.state != RuleState.OFF and names_list(rules, rule, name)
        ]
        if asking:
            raise Conflict(
                f"{', '.join(asking[:3])} {'looks' if len(asking) == 1 else 'look'} into {name}.",
                remedy="Switch off or change what looks into it first.",
            )

    def drop(self, name: str, rules: RuleStore) -> None:
        """Remove a list with its entries.

        Raises:
            Conflict: a rule that isn't off looks into it.
            NotFound: there is no such list.
        """
        kept = self.get(name)
        self.require_unused(kept.name, rules)
        with changing(self._database) as session:
            session.execute(delete(ListEntry).where(ListEntry.list == kept.name))
            session.execute(delete(RuleList).where(RuleList.name == kept.name))

    def _entry(self, kind: str, text: str, place: int) -> str:
        """Return an entry as it is kept."""
        bare = text.strip()
        if TOKEN.fullmatch(bare) is None and (
            card_numbers(bare, slips=kind == "card") or masked(bare) != bare
        ):
            if not card_numbers(bare, slips=True):
                raise (
                    BadRule(
                        f"Entry {place} is a long number that is no card's, and was not kept.",
                        remedy="Give the card's number, or the token that stands for it in a transaction.",
                    )
                    if kind == "card"
                    else BadRule(
                        f"Entry {place} may be a card's number, and was not kept.",
                        remedy="Put cards into a list of cards; other numbers may have 11 digits at most.",
                    )
                )
            bare = self._tokens().replaced(bare)
        found = plain(bare)
        if found is None or len(found) > MOST_ENTRY:
            raise BadRule(f"Entry {place} says nothing that a cell could say.", remedy="Leave it out.")
        return found


def gone() -> NotFound:
    """Return the error of an entry that somebody has removed meanwhile."""
    return NotFound("This entry isn't on the list any more.", remedy="Load the page again.")


def names_list(rules: RuleStore, rule: Rule, name: str) -> bool:
    """Return whether a rule looks into a list; one that can't be read any more does if its text has the name."""
    try:
        draft = draft_of(rule)
        return name in set(named_in(parse(draft.condition, rules.vocabulary(draft.detector))))
    except BadRule:
        return name in rule.condition.casefold()


def entries_of(database: Database, names: Collection[str]) -> Mapping[str, frozenset[str]]:
    """Return the entries of some lists, by name."""
    query = select(ListEntry.list, ListEntry.entry).where(ListEntry.list.in_(names))
    found: dict[str, set[str]] = {name: set() for name in names}
    with database.read() as session:
        for name, entry in session.execute(query):
            found[name].add(entry)
    return {name: frozenset(each) for name, each in found.items()}
