"""Contexts of templates as dataclasses, and the words, charts and links that all use.

Templates do no arithmetic. Whatever must be worked out for a page is a property here, a filter in
:mod:`screening.web.views.formatting` or a chart in :mod:`screening.web.views.charts.geometry`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flask import Flask

from screening.web.views import formatting, navigation, notices
from screening.web.views.charts import geometry
from screening.web.views.detectors import access, columns, model_cards

PRODUCT = "Fraud Screening"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """One transaction of a screening. ``probability`` is ``None`` for a row that was set aside."""

    row: int
    """Counted from 1, the header not counted."""
    probability: float | None
    flagged: bool
    amount: float | None = None
    time: float | None = None
    label: int | None = None
    reasons: Sequence[str] = ()
    rules: Sequence[str] = ()
    """The names of the rules that fired."""
    cells: Mapping[str, str] = field(default_factory=dict)
    who: Sequence[str] = ()
    """The cells of :attr:`RowsView.who`."""
    level: str = "none"
    """``high``, ``medium``, ``low``, or ``none`` for a row that wasn't scored."""
    stop: bool = False
    """Whether it is flagged and reaches the second threshold, too."""

    @property
    def verdict(self) -> str:
        """``flagged``, ``legitimate`` or ``set-aside``: also the name of the CSS class and of the shape."""
        if self.probability is None:
            return "set-aside"
        return "flagged" if self.flagged else "legitimate"

    @property
    def label_text(self) -> str:
        """Words for the file's own label of the row, and of the flag where they differ."""
        said = formatting.label_word(self.label)
        if self.probability is None or self.label not in (0, 1) or self.flagged == bool(self.label):
            return said
        return f"{said}, missed" if self.label else f"{said}, false alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsView:
    """One page of all rows, with what is needed to ask for another."""

    rows: Sequence[RowView]
    page: int
    pages: int
    total: int
    """Number of rows that pass the filter."""
    first: int
    """The place of the first row shown among those that pass, from 1; 0 when there is none."""
    sort: str = "row"
    order: str = "asc"
    filters: Mapping[str, str] = field(default_factory=dict)
    """The given filter fields as text: flagged, min_probability, max_probability, min_amount, max_amount, q."""
    view: str = "rows"
    """``queue``: the flagged rows, the most probable first unless another order is asked for; ``rows``: all."""
    who: Sequence[tuple[str, str]] = ()
    """The columns that say who and what: what each is, and its name in the file."""

    @property
    def last(self) -> int:
        """The place of the last row shown."""
        return self.first + len(self.rows) - 1 if self.rows else 0

    @property
    def turns(self) -> tuple[tuple[str, int | None], ...]:
        """The links of the pager: word, and the page, or ``None`` where there is none to go to."""
        return turns(self.page, self.pages)

    def query(self, **changes: object) -> dict[str, object]:
        """Return the query of a link that keeps filter and order but for ``changes``."""
        asked: dict[str, object] = {
            "view": self.view,
            "sort": self.sort,
            "order": self.order,
            "page": self.page,
            **self.filters,
        }
        return {name: value for name, value in {**asked, **changes}.items() if value not in (None, "")}

    def sorted_by(self, column: str) -> dict[str, object]:
        """Return the query of a column's heading: sort by it, or the other way round if it is sorted so."""
        first = "asc" if column in ("row", "time") else "desc"
        other = "desc" if self.order == "asc" else "asc"
        return self.query(sort=column, order=other if column == self.sort else first, page=1)

    def aria_sort(self, column: str) -> str:
        """Return the value of a heading's ``aria-sort``."""
        if column != self.sort:
            return "none"
        return "descending" if self.order == "desc" else "ascending"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """Flags at another threshold. Expected figures come from the probabilities, not from labels."""

    value: float
    flagged: int
    rows: int
    """Rows that were scored."""
    expected_precision: float | None = None
    """Mean probability of the rows that would be flagged: the share of them that is expected to be fraud."""
    expected_recall: float | None = None
    """Expected fraud among the flagged rows over expected fraud among all."""

    @property
    def share(self) -> float:
        """Flagged rows over scored rows."""
        return formatting.share(self.flagged, self.rows)


def turns(page: int, pages: int) -> tuple[tuple[str, int | None], ...]:
    """Return the links of a pager: word, and the page, or ``None`` where there is none to go to."""
    back, on = page > 1, page < pages
    return (
        ("First", 1 if back else None),
        ("Previous", page - 1 if back else None),
        ("Next", page + 1 if on else None),
        ("Last", pages if on else None),
    )


def init_app(app: Flask) -> None:
    """Teach the app's templates the words, the charts and the navigation."""
    environment = app.jinja_env
    environment.filters.update({one.__name__: one for one in (*formatting.FILTERS, *columns.FILTERS)})
    environment.globals.update(
        charts=geometry,
        cleaning_of=columns.cleaning_of,
        columns_of=columns.columns_of,
        describe=model_cards.describe,
        features_of=columns.features_of,
        doubt_of=access.doubt_of,
        silence_of=access.silence_of,
        is_default=access.is_default,
        in_place_of=access.in_place_of,
        is_own=access.is_own,
        four_eyes=app.extensions["screening"].settings.four_eyes,
        keep_days=app.extensions["screening"].settings.keep_screenings_days,
        rooms=navigation.rooms,
        product=PRODUCT,
        sample_of=access.sample_of,
        samples=access.samples,
        standing_of=access.standing_of,
        turns=turns,
        unread=notices.unread,
    )
    environment.trim_blocks = environment.lstrip_blocks = True
