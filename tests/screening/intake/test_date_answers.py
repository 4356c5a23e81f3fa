"""What was said of dates goes for columns that leave it open, never against a column's own cells."""

from __future__ import annotations

import pytest

from screening.errors import Undecided
from screening.intake.evidence import TimeEvidence
from screening.intake.forms import Answers, time_form
from screening.transactions.times import DateOrder, TimeUnit


def evidence(*cells: str) -> TimeEvidence:
    seen = TimeEvidence()
    for cell in cells:
        seen.add(cell)
    return seen


@pytest.mark.parametrize("said", ["dmy", "mdy"])
@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (["03/04/2025", "25/04/2025"], DateOrder.DAY_FIRST),
        (["03/04/2025", "04/25/2025"], DateOrder.MONTH_FIRST),
        (["03/04/2025", "05/04/2025"], None),
    ],
)
def test_an_order_decides_only_what_the_cells_leave_open(
    cells: list[str], order: DateOrder | None, said: str
) -> None:
    form, notes = time_form("opened", evidence(*cells), Answers.of({"dates": said}))
    assert form.order == (order or DateOrder(said))
    assert ("as was said" in notes[0]) is (order is None)


def test_an_order_that_no_cell_can_have_is_no_answer() -> None:
    with pytest.raises(Undecided, match="no row tells which"):
        time_form("opened", evidence("03/04/2025", "05/04/2025"), Answers.of({"dates": "ymd"}))


@pytest.mark.parametrize(
    ("cell", "unit"),
    [
        ("1735980000", TimeUnit.SECONDS),
        ("1735980000000", TimeUnit.MILLISECONDS),
        ("45661.5", TimeUnit.SHEET_DAYS),
        ("150000000", None),
    ],
)
def test_a_unit_decides_only_what_the_numbers_leave_open(cell: str, unit: TimeUnit | None) -> None:
    form, _ = time_form("opened", evidence(cell), Answers.of({"time_unit": "us"}))
    assert form.unit == (unit or TimeUnit.MICROSECONDS)
