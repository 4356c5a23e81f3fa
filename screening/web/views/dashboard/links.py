"""Link the marks of the dashboard: the list of transactions with its filters, and those of the mark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from screening.ledger.filters import Basis, DecisionFilter, TrendInterval
from screening.web.http.ledger_filters import MOST_CHARACTERS


@dataclass(frozen=True, slots=True)
class RowLinks:
    """Makes addresses of rows.

    Args:
        page: the path of the list.
        query: the filters of the dashboard, as they appear in its address.
        chosen: what they mean.
    """

    page: str
    query: Mapping[str, str]
    chosen: DecisionFilter

    def rows(self, *, fraud: bool = False, **more: str | None) -> str | None:
        """Return the address of the rows of a mark.

        Args:
            fraud: only its fraud cases.
            more: filters of the mark by their name in the address (``from_`` for ``from``); they go before the
                dashboard's own.

        Returns:
            ``None`` where no address can say it: a value that is blank, or longer than one may be.
        """
        own = {name.rstrip("_"): value for name, value in more.items() if value is not None}
        if any(not value.strip() or len(value) > MOST_CHARACTERS for value in own.values()):
            return None
        case = {}
        if fraud:
            case = {"flagged": "true"} if self.chosen.basis is Basis.FLAGGED else {"label": "fraud"}
        return f"{self.page}?{urlencode({**self.query, **own, **case})}"

    def period(self, begins: datetime, interval: TrendInterval, *, fraud: bool = False) -> str | None:
        """Return the address of the rows of one period, within the times that the dashboard is set to.

        Args:
            begins: UTC without a zone.
            interval: how long it is.
            fraud: only its fraud cases.
        """
        first, last = begins.replace(tzinfo=UTC), following(begins, interval).replace(tzinfo=UTC)
        if self.chosen.start is not None:
            first = max(first, self.chosen.start)
        if self.chosen.end is not None:
            last = min(last, self.chosen.end)
        return self.rows(fraud=fraud, from_=written(first), to=written(last))


def following(begins: datetime, interval: TrendInterval) -> datetime:
    """Return when the next period begins."""
    if interval is TrendInterval.MONTH:
        year, month = divmod(begins.year * 12 + begins.month, 12)
        return begins.replace(year=year, month=month + 1)
    return (
        begins
        + {
            TrendInterval.HOUR: timedelta(hours=1),
            TrendInterval.DAY: timedelta(days=1),
            TrendInterval.WEEK: timedelta(days=7),
        }[interval]
    )


def written(moment: datetime) -> str:
    """Return a time as an address has it: the day where it is midnight, UTC."""
    utc = moment.astimezone(UTC)
    if utc.time() == datetime.min.time():
        return f"{utc:%Y-%m-%d}"
    return utc.isoformat().replace("+00:00", "Z")
