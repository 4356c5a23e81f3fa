"""What was said of a decimal mark goes for columns that leave it open, never against a column's own cells."""

from __future__ import annotations

import pytest

from screening.intake.evidence import NumberEvidence
from screening.intake.forms import Answers, number_form


@pytest.mark.parametrize("said", [",", "."])
@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["1.234", "1.5", "2.75"], "."),
        (["1,234", "1,5", "2,75"], ","),
        (["1.234", "2.500"], None),
        (["1,234", "2,500"], None),
    ],
)
def test_an_answer_decides_only_what_the_cells_leave_open(
    cells: list[str], mark: str | None, said: str
) -> None:
    seen = NumberEvidence()
    for cell in cells:
        seen.add(cell)
    form, _notes = number_form("amount", seen, (), Answers.of({"decimal": said}), amount=True)
    assert form.decimal == (mark or said)
