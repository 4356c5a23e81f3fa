"""Train on what is known of a detector's transactions: by its page and by the command line."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from sqlalchemy import select

from screening.detectors.detector import Detector
from screening.ledger.filters import DecisionFilter
from screening.ledger.identity import parse
from screening.ledger.tables import Label
from screening.transactions.schema import Role
from screening.uploads.labelled_rows import GatheredRows

if TYPE_CHECKING:
    from screening.ledger.ledger import Ledger

# Labels that come at once are as good as ones a minute late.
LEAST_DELAY = 60.0
MOST_NAMES = 100
SOURCES: Mapping[str, tuple[str, str]] = {
    "file": ("label of files", "labels of files"),
    "feed": ("label of programs", "labels of programs"),
    "review": ("decision on cases", "decisions on cases"),
}
"""Sources of labels, for one label and for several."""
QUERY = (
    "SELECT coalesce(says.says, 'file') AS says, count(*) AS rows, count(*) FILTER (WHERE known = 1) AS frauds, "
    "median(greatest(0, date_diff('millisecond', moment, known_at) / 1000)) FILTER (WHERE known_at IS NOT NULL) "
    "AS delay FROM chosen c "
    "LEFT JOIN says ON says.origin = c.origin AND says.number = c.number "
    "WHERE known IS NOT NULL GROUP BY 1 ORDER BY rows DESC"
)


@dataclass(frozen=True, slots=True)
class KnownLabels:
    """Labels from one source for a detector's transactions; of each its last word counts."""

    source: str
    rows: int
    frauds: int
    delay: float | None
    """Seconds after which half of it was there; ``None`` for labels that came with their rows."""

    @property
    def words(self) -> str:
        """Counts in words."""
        one, more = SOURCES.get(self.source, (self.source, self.source))
        return f"{self.rows:,} {one if self.rows == 1 else more}"


def known(detector: str, ledger: Ledger) -> list[KnownLabels]:
    """Return what is known of a detector's transactions, by who said it, the most rows first.

    Raises:
        TooMuch: the ledger didn't answer in time.
    """
    # web processes do without it until somebody asks
    import pyarrow as pa

    with ledger.tables.read() as session:
        said = [(parse(row.id), row.source) for row in session.execute(select(Label.id, Label.source))]
    there = [(each, source) for each, source in said if each is not None]
    table = pa.table(
        {
            "origin": pa.array([each.origin for each, _ in there], pa.binary()),
            "number": pa.array([each.number for each, _ in there], pa.uint32()),
            "says": pa.array([source for _, source in there], pa.string()),
        }
    )
    rows = ledger.questions.ask(QUERY, DecisionFilter(detector=detector), tables={"says": table}).rows
    return [KnownLabels(row["says"], row["rows"], row["frauds"], row["delay"]) for row in rows]


def description(found: GatheredRows, detector: Detector) -> str:
    """Return what the new detector's card says of what it learned from."""
    told = ", ".join(KnownLabels(source, rows, 0, None).words for source, rows in found.sources.most_common())
    left = f" {found.left_out:,} more can't be read any more, and are left out." if found.left_out else ""
    return (
        f"What was known here of {found.rows:,} transactions of {detector.name} ({detector.fingerprint[:12]}), "
        f"{found.frauds:,} of them fraud: {told}.{left}"
    )


def delay_of(found: GatheredRows) -> float | None:
    """Return the delay of labels in seconds, as training takes it; ``None`` where none came later than its row."""
    return None if found.delay is None else max(found.delay, LEAST_DELAY)


def roles_of(detector: Detector) -> Mapping[str, Role]:
    """Return the roles of a detector's columns, by name."""
    return {column.name: column.role for column in detector.contract.parts()}


def free_name(detector: str, taken: Collection[str]) -> str:
    """Return what the new detector is called if nobody says otherwise."""
    first = f"{detector}-reviewed"
    names: Sequence[str] = [
        first,
        *(f"{first}-{number}" for number, _ in zip(count(2), range(MOST_NAMES), strict=False)),
    ]
    return next(each for each in names if each not in taken)
