"""A list of transactions, in an order that was asked for, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from screening.explore.entities import ROWS
from screening.ledger.filters import DecisionFilter

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

ORDERS: Mapping[str, str] = {"time": "moment", "probability": "probability", "amount": "amount"}
"""What rows can be sorted by, and the column of the ledger."""
NEAR = 1_000
"""So many rows from the first one on the time of the last of them is found first. Most files are in the order of time,
and so each row is among the latest so far: with their ids, all of them would be kept for a moment."""


@dataclass(frozen=True, slots=True)
class ListOrder:
    """Order of a list; rows without a value come last."""

    by: str = "time"
    """A key of :data:`ORDERS`."""
    descending: bool = True

    @property
    def sql(self) -> str:
        """The clause of a question; rows that are the same in it keep their places."""
        way = "DESC" if self.descending else "ASC"
        return f"ORDER BY {ORDERS[self.by]} {way} NULLS LAST, origin {way}, number {way}"


def page_of(
    questions: Questions, chosen: DecisionFilter, order: ListOrder, *, size: int, page: int
) -> list[dict[str, Any]]:
    """Return one page of the chosen rows.

    Their ids are found first and the rows read for them alone: sorting a million whole rows takes more memory than a
    question may have.

    Args:
        questions: of the ledger.
        chosen: which rows.
        order: of all of them.
        size: rows on a page.
        page: from 1.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    import pyarrow as pa  # the start of a web process does without it

    limit = f"LIMIT {int(size)} OFFSET {int((page - 1) * size)}"
    where, edge = "", {}
    if order.by == "time" and size * page <= NEAR:
        way, sign = ("max", ">=") if order.descending else ("min", "<=")
        (found,) = questions.ask(
            f"SELECT {way}(moment, {int(size * page)}) AS first FROM chosen", chosen
        ).rows or [{}]
        if found.get("first"):
            where, edge = f"WHERE moment {sign} $edge::TIMESTAMP ", {"edge": found["first"][-1]}
    keys = questions.ask(f"SELECT origin, number FROM chosen {where}{order.sql} {limit}", chosen, edge).rows
    if not keys:
        return []
    wanted = pa.table(
        {
            "origin": pa.array([key["origin"] for key in keys], pa.binary()),
            "number": pa.array([key["number"] for key in keys], pa.uint32()),
        }
    )
    origins = [key["origin"] for key in keys]
    where = "origin BETWEEN $first::BLOB AND $last::BLOB AND (origin, number) IN (FROM wanted)"
    given = {"first": min(origins), "last": max(origins)}
    return questions.ask(f"{ROWS} WHERE {where} {order.sql}", chosen, given, tables={"wanted": wanted}).rows
