"""A guess: which columns of a file make a value together, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

from screening.transactions.composition import Composition

SURE, LIKELY, PERHAPS, HARDLY = 0.95, 0.8, 0.6, 0.4
"""Names and cells say it; cells say it, and hardly mean anything else; cells alone say it; the name alone does."""
CERTAIN = 0.9
"""From here on nobody need be asked."""


@dataclass(frozen=True, slots=True)
class CompositionGuess:
    """A guess: what makes a value, and how sure that is, from 0 to 1."""

    composition: Composition
    score: float

    @property
    def certain(self) -> bool:
        """Return whether nobody need be asked."""
        return self.score >= CERTAIN
