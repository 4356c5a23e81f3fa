"""Vocabulary of rules: names with their types, and how a name that isn't one of them was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from screening.rules.language.problems import did_you_mean
from screening.rules.language.tree import Fact
from screening.transactions.schema import normalise


@dataclass(frozen=True)
class Vocabulary:
    """The facts of one detector's transactions, or of everybody's."""

    facts: Mapping[str, Fact]
    """By their spellings, as :func:`normalise` has them; several may mean the same."""
    lists: Mapping[str, str] = field(default_factory=dict)
    """The kinds of the lists, by their names in small letters."""
    whose: str = "transactions"
    """For messages."""

    @classmethod
    def of(
        cls, facts: Iterable[Fact], lists: Mapping[str, str] | None = None, whose: str = "transactions"
    ) -> Vocabulary:
        """Return the vocabulary of some facts; where two have one spelling, the later one counts."""
        return cls({normalise(fact.name): fact for fact in facts}, lists or {}, whose)

    def get(self, name: str) -> Fact | None:
        """Return the fact of a name, whatever its case."""
        return self.facts.get(normalise(name))

    def advice(self, name: str) -> str | None:
        """Return what a misspelt name was probably meant to be."""
        return did_you_mean(name, (fact.name for fact in self.facts.values()))

    def list_advice(self, name: str) -> str:
        """Return which list was probably meant."""
        known = did_you_mean(name, self.lists)
        return known or (
            "Make the list first." if not self.lists else f"There are: {', '.join(sorted(self.lists))}."
        )
