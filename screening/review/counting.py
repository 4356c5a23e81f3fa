"""Sum up the transactions of a case, and limit how many go into one statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

Each = TypeVar("Each")
Values = dict[str, Any]
"""Of a row of a table, by the names of its columns."""
MOST_PARAMETERS = 400
"""Of one statement."""


def parts(all_of_them: Sequence[Each], size: int) -> Iterator[Sequence[Each]]:
    """Give some at a time."""
    for start in range(0, len(all_of_them), size):
        yield all_of_them[start : start + size]


def joined(counted: Values, items: Iterable[Values]) -> Values:
    """Return what a case comes to with some more items."""
    found = {**counted, "version": counted["version"] + 1}
    for item in items:
        found["opened"] = min(found.get("opened", item["decided_at"]), item["decided_at"])
        found["items"] += 1
        found["probability"] = max(found["probability"], item["probability"])
        found["loss"] += loss_of(item["probability"], item["amount"])
        if item["amount"] is not None:
            first = found.get("amount") is None
            found["currency"] = (
                item["currency"] if first else one_or_mixed(found["currency"], item["currency"])
            )
            found["amount"] = (0.0 if first else found["amount"]) + item["amount"]
        found["fraud_type"] = item["fraud_type"] or found.get("fraud_type")
    return found


def one_or_mixed(first: str | None, second: str | None) -> str | None:
    """Return a currency that both are in; ``mixed`` where they differ."""
    return first if first == second else "mixed"


def loss_of(probability: float, amount: float | None) -> float:
    """Return what a transaction is expected to cost: its probability times its amount, whatever its sign."""
    return probability * abs(amount or 0.0)
