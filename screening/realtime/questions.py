"""Questions of programs: transactions on which it wants a decision, and for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from screening.detectors.detector import Detector
from screening.detectors.vectorizer import History
from screening.features.countries.addresses import AddressCountries
from screening.ledger.tables import API
from screening.ledger.tail import Repeatable
from screening.ledger.velocity.live_past import LivePast
from screening.realtime.entries import ReadTransactions
from screening.rules.ruleset import RuleSet
from screening.scoring.thresholds import Thresholds

Answer = bytes | Exception
"""JSON, or why there is none."""


@dataclass(slots=True, kw_only=True)
class Caller:
    """Caller that asks for a decision."""

    owner: str
    """The account, in small letters."""
    key: str | None = None
    """The id of the API key, where one was shown."""
    request: str | None = None
    """The number of the request."""
    source: str = API
    """Source of its transactions in the ledger."""
    shared: bool = False
    """Whether its transactions count as everybody's past, as a manager's do."""


@dataclass(slots=True, kw_only=True)
class DecisionRequest:
    """One request: what is to be decided, by what, and for whom. Nobody changes it; frozen, it would take three times
    as long to make.
    """

    transactions: Sequence[Mapping[str, Any]] | ReadTransactions
    """As they came, or read already."""
    single: bool
    """Whether the answer is one object, and not a list of them."""
    detector: Detector
    """Detector that scores."""
    history: History
    """Earlier rows, for features that look back."""
    caller: Caller
    notes: Sequence[str] = ()
    """Notes about the detector in each answer."""
    shadowed: tuple[str, ...] = ()
    """Columns that the ledger keeps of the transactions beside its own, for a detector in its shadow."""
    countries: AddressCountries | None = None
    """Of which country addresses are, for transactions that bring none."""
    repeatable: Repeatable | None = None
    """Under which key the request may be sent again."""
    alone: bool = False
    """Whether the ledger is to keep it as an entry of its own; with rules it is."""
    limits: Thresholds | None = None
    """The thresholds of its detector; ``None`` where the one holds that is given for all."""
    rules: RuleSet | None = None
    """Rules beside the net; ``None`` where there is no rule."""

    @property
    def live(self) -> LivePast | None:
        """Velocity state that its rows look back on and are added to, if its detector looks back."""
        return self.history.past if isinstance(self.history.past, LivePast) else None
