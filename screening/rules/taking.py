"""Takes the rules and lists of a file into the app: as drafts, which nothing is asked by yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from screening.rules.lists import RuleLists
from screening.rules.rules_file import RulesFile
from screening.rules.store import RuleStore
from screening.rules.tables import Rule


@dataclass(frozen=True, slots=True)
class RulesFileResult:
    """Result for a file."""

    rules: Sequence[Rule]
    """That are new."""
    known: int
    """Rules of which there was one of the same name, which stayed as it is."""
    lists: Sequence[str]
    """That are new."""


def take(file: RulesFile, store: RuleStore, lists: RuleLists, by: str) -> RulesFileResult:
    """Keep the rules of a file as drafts, and its lists with their entries.

    Args:
        file: whose rules can be used, as :meth:`screening.rules.trying.Trials.problems` says.
        store: where rules are kept.
        lists: where lists are kept.
        by: who does so.

    Raises:
        BadRule: an entry of a list can't be kept.
    """
    there = store.kinds()
    made = []
    for each in file.lists:
        entries = lists.read(each.kind, each.entries)  # before anything is kept
        if each.name not in there:
            lists.make(each.name, each.kind, each.purpose, each.note, by)
            made.append(each.name)
            lists.add(each.name, entries, by)
    names = {rule.name.casefold() for rule in store.all()}
    new = [one.draft for one in file.rules if one.draft.name.casefold() not in names]
    return RulesFileResult([store.add(draft, by) for draft in new], len(file.rules) - len(new), made)
