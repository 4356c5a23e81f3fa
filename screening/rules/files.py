"""Apply rules to a file: what is collected for them while it is scored, and how their answers count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.rules.ruleset import RuleBook, RuleSet
from screening.rules.tables import Effect
from screening.scoring.places import AddressTables
from screening.scoring.score import Scored
from screening.transactions.schema import Transactions

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FileRules:
    """Rules for the rows of a file."""

    book: RuleBook
    places: AddressTables
    """Of which country addresses are."""
    instance: Path
    """The folder of the instance."""


@dataclass
class CollectedFacts:
    """Data of a file's rows, kept while it is scored, for its rules and for the ledger."""

    rules: RuleSet
    columns: list[NDArray[np.float64]] = field(default_factory=list)
    inputs: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, rows: Transactions, scored: Scored, places: NDArray[np.int64], count: int) -> None:
        """Keep what is wanted of some rows.

        Args:
            rows: those that were scored.
            scored: what was said of them.
            places: where each stands among the rows of this part, from 0.
            count: how many this part has, with those that were set aside.
        """
        if self.rules.columns:
            some = np.full((count, len(self.rules.columns)), np.nan)
            for place, key in enumerate(self.rules.columns):
                some[places, place] = self.rules.known.column(key, rows)
            self.columns.append(some)
        if scored.kept is not None:
            features = np.full((count, len(self.rules.inputs)), np.nan, np.float32)
            features[places] = scored.kept
            self.inputs.append(features)

    def told(self) -> dict[str, Any]:
        """Return what the arrays are of, as JSON types."""
        names = {"columns": list(self.rules.columns), "inputs": list(self.rules.inputs)}
        return {"facts": names} if any(names.values()) else {}

    def arrays(self) -> dict[str, NDArray[Any] | None]:
        """Return what is to be kept beside the file, by the names of its arrays."""
        return {
            "fact_columns": np.concatenate(self.columns) if self.columns else None,
            "fact_inputs": np.concatenate(self.inputs) if self.inputs else None,
        }


def with_rules(net: Bools, effects: Sequence[str], hits: Bools) -> Bools:
    """Return which rows are flagged, (rows,), as :func:`screening.rules.ruleset.decided` says of each.

    Args:
        net: (rows,), what the net says.
        effects: of the active rules.
        hits: (rows, rules), the active ones first.
    """
    final = net.copy()
    for wanted, flag in ((Effect.SILENCE, False), (Effect.FLAG, True)):  # the later one goes first
        places = [place for place, effect in enumerate(effects) if effect == wanted]
        final[hits[:, places].any(axis=1)] = flag
    return final


@dataclass(frozen=True)
class FileVerdicts:
    """Verdicts of the rules on the rows of a file."""

    rules: RuleSet
    hits: Bools
    """(rows, rules that were asked), the active ones first."""

    def flagged(self, net: Bools) -> Bools:
        """Return which rows are flagged, (rows,), by what the net says."""
        return with_rules(net, [rule.effect for rule in self.rules.active], self.hits)

    def reasons(self, row: int) -> list[str]:
        """Return what is told of a flag that rules have set."""
        return [
            rule.reason
            for rule, hit in zip(self.rules.active, self.hits[row].tolist(), strict=False)
            if hit and rule.effect is Effect.FLAG
        ]

    def set_by_rules(self) -> NDArray[np.int64]:
        """Return the rows, from 0, that a rule flags."""
        wanted = [place for place, rule in enumerate(self.rules.active) if rule.effect is Effect.FLAG]
        return np.flatnonzero(self.hits[:, wanted].any(axis=1))

    def told(self) -> dict[str, Any]:
        """Return which rules were asked, as JSON types: :func:`screening.rules.file_table.columns_of` reads them."""
        return {
            "active": [[rule.name, rule.effect.value, rule.fraud_type] for rule in self.rules.active],
            "shadow": [rule.name for rule in self.rules.shadow],
            "mark": self.rules.mark,
        }
