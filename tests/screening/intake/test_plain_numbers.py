"""Cells of numbers taken all at once are the evidence that they are one by one, wherever their column is cut."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from screening.intake.evidence import NumberEvidence, TimeEvidence
from screening.intake.text.plain_numbers import take_numbers

PLAIN = st.from_regex(r"[+-]?[0-9]{0,4}[.,]?[0-9]{0,4}", fullmatch=True)
ODD = st.sampled_from(
    [
        *(
            "",
            " ",
            "-",
            ".",
            ",",
            "1,070.10",
            "1.070,10",
            "1.070.100",
            "1,070,100",
            " 12.5",
            "12.5 ",
            "1 070",
        ),
        *("EUR 12.50", "12,50 €", "12.50 DR", "12.50 CR", "(12.50)", "12.50-", "1.07E+03", "1e-05", "240.-"),
        *("007", "0012", "0.000", "-0", "+5", "--5", "5-", "1_000", "n/a", "0.125", "'5", "1" * 300, "é"),
    ]
)
CELLS = st.lists(PLAIN | ODD, max_size=40)


def one_by_one(cells: list[str]) -> NumberEvidence:
    seen = NumberEvidence()
    for cell in cells:
        seen.add(cell)
    return seen


def at_once(cells: list[str]) -> NumberEvidence:
    seen = NumberEvidence()
    # a slice: its bytes begin somewhere in those of a larger array
    take_numbers(seen, pa.array(["1.5", *cells], pa.string())[1:])
    return seen


@given(CELLS)
@example(["1.5"] * 7 + ["2", "3", "4", "5", "6"])
@example(["9,999", "1" * 300, "1.5"])
@settings(deadline=None)
def test_all_at_once_is_one_by_one(cells: list[str]) -> None:
    assert at_once(cells) == one_by_one(cells)


@given(CELLS, CELLS)
@settings(deadline=None)
def test_parts_of_a_column_of_numbers_tell_what_the_whole_tells(one: list[str], other: list[str]) -> None:
    assert at_once(one).merged(at_once(other)) == at_once([*one, *other])


TIMES = st.lists(
    st.sampled_from(
        [
            *(
                "2026-11-27",
                "2026-11-27 12:30:00",
                "27/11/2026",
                "11/27/2026",
                "03.04.2026",
                "2026-11-27T12:00:00Z",
            ),
            *(
                "03/04/2026 1:15 PM",
                "03/04/2026 11:15",
                "1764244800",
                "46000.5",
                "1.7E+12",
                "20261127",
                "",
                "soon",
            ),
        ]
    ),
    max_size=30,
)


@given(TIMES, TIMES)
@settings(deadline=None)
def test_parts_of_a_column_of_times_tell_what_the_whole_tells(one: list[str], other: list[str]) -> None:
    def seen(cells: list[str]) -> TimeEvidence:
        found = TimeEvidence()
        for cell in cells:
            found.add(cell)
        return found

    both, whole = seen(one).merged(seen(other)), seen([*one, *other])
    for each in (both, whole):
        each.settle()
    assert both == whole
