"""However the rows of a folder lie in its parts, they tell what one file with all of them tells."""

from __future__ import annotations

import csv
import io
import pickle
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from screening.batch.cells import RAW
from screening.batch.lines import RaggedLines
from screening.batch.observing import Observe, PartEvidence, merged_all, put_together, written
from screening.batch.settling import check_cards
from screening.cards.finding import passes_luhn
from screening.cards.masking import with_zeros
from screening.errors import BadFile, CardNumbersFound
from screening.intake import NOTHING_SAID, FileKind, Forms, look_over, open_transactions
from screening.intake.text.parse import Layout
from screening.intake.text.rows import layout_of
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

NAMES = ("when", "who", "amount", "other", "currency")
CONTRACT = replace(
    ColumnContract.of(
        (
            Column("when", Role.TIME, CellKind.TIME),
            Column("who", Role.ENTITY, CellKind.TEXT),
            Column("amount", Role.AMOUNT),
            Column("other", Role.NUMBER),
        )
    ),
    watched=("currency",),
)
Rows = Sequence[tuple[str, ...]]
TIMES = ("2026-11-27 12:30:00", "27/11/2026 10:00", "03/04/2026 11:00", "11/27/2026 09:00", "1764244800")
AMOUNTS = (
    "12.50",
    "12,50",
    "1250",
    "1.070",
    "1,070",
    "7",
    "12.50 DR",
    "-3.25",
    "EUR 5.00",
    "oops",
    "1.07E+03",
)


TWO_MARKS = ("2026-11-27 12:30:00", "C1", "12.50")
"""The beginning of rows whose amounts have a decimal point, and whose other numbers a comma."""


@st.composite
def tables(draw: st.DrawFn) -> Rows:
    """Rows of one way to write times and two to write amounts, or of any."""
    times = draw(st.lists(st.sampled_from(TIMES), min_size=1, max_size=2))
    amounts = draw(st.lists(st.sampled_from(AMOUNTS), min_size=1, max_size=3))
    row = st.tuples(
        st.sampled_from(times),
        st.sampled_from(["C1", "C2", ""]),
        st.sampled_from(amounts),
        st.sampled_from(["1.5", "2,5", "3"]),
        st.sampled_from(["EUR", "usd", ""]),
    )
    return draw(st.lists(row, min_size=1, max_size=30))


def batch_of(rows: Rows, names: Sequence[str] = NAMES) -> Any:
    columns = [pa.array([row[place] for row in rows], pa.string()) for place in range(len(names))]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def layout(forms: Forms | None) -> Layout:
    return layout_of(CONTRACT, NAMES, forms, watched=True)


def of_parts(
    parts: Sequence[Rows], forms: Forms | None, *, reads: bool, others: Sequence[str] = ()
) -> PartEvidence:
    """Each part as a partition leaves it, and half of them put together before the driver gets them."""
    look = Observe(layout(forms), surveys=True, reads=reads, others=tuple(others), key=b"key")
    names = (*NAMES, *others)
    rows = [
        row
        for number, part in enumerate(parts)
        for row in written(number, look.look([batch_of(part, names)] if part else [])).to_pylist()
    ]
    half = len(rows) // 2
    some = pa.Table.from_pylist(rows[:half]).to_batches() if half else []
    return merged_all([row for batch in put_together(some) for row in batch.to_pylist()] + rows[half:])


def told_of(evidence: PartEvidence) -> str:
    assert evidence.told is not None
    with np.printoptions(threshold=sys.maxsize):
        return repr(evidence.told)


def forms_or_words(ask: Any) -> Forms | tuple[str, ...]:
    """The forms, or the refusal: what is asked, and between which answers."""
    try:
        found: Forms = ask()
    except BadFile as problem:
        return (type(problem).__name__, str(problem))
    return found


@example([(*TWO_MARKS, "2,5", "EUR")] * 3 + [(*TWO_MARKS, "1.5", "EUR")], [3])
@given(tables(), st.lists(st.integers(0, 30), max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parts_of_a_folder_tell_what_a_file_tells(tmp_path: Path, rows: Rows, cuts: list[int]) -> None:
    file = tmp_path / "all.csv"
    out = io.StringIO(newline="")
    csv.writer(out).writerows([NAMES, *rows])
    file.write_text(out.getvalue(), newline="")
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [rows[begin:end] for begin, end in pairwise(edges)]

    by_file = forms_or_words(lambda: look_over(file, FileKind.CSV, lambda _head: CONTRACT))
    seen = of_parts(parts, None, reads=False)
    assert seen.survey is not None
    survey = seen.survey
    by_folder = forms_or_words(lambda: survey.forms(layout(None), NOTHING_SAID))
    assert by_folder == by_file
    if isinstance(by_file, Forms):
        assert told_of(of_parts(parts, by_file, reads=True)) == told_of(of_parts([rows], by_file, reads=True))


CELLS = (
    "4111111111111111",
    "4012 8888 8888 1881",
    "5555-5555-5555-4444",
    "4111111111111112",
    "5500000000000005",
    "paid by visa 378282246310005",
    "order 5105105105105106",
    "4.111111111111111E+15",
    "1234567890123456",
    "abc",
    "",
)
"""Numbers that pass the check, numbers that don't, some that no network gives out, and none."""


@given(
    st.sampled_from(["note", "card number"]),
    st.lists(st.tuples(*[st.sampled_from(CELLS)] * 2, st.booleans()), min_size=1, max_size=40),
    st.lists(st.integers(0, 40), max_size=4),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_card_numbers_are_refused_as_in_one_file_wherever_it_is_cut(
    tmp_path: Path, name: str, cells: list[tuple[str, str, bool]], cuts: list[int]
) -> None:
    rows = [
        ("2026-11-27 12:30:00", who, f"{place}.25" if plain else note or "oops", "1.5", "EUR", note)
        for place, (who, note, plain) in enumerate(cells)
    ]
    names = (*NAMES, name)
    file = tmp_path / "all.csv"
    out = io.StringIO(newline="")
    csv.writer(out).writerows([names, *rows])
    file.write_text(out.getvalue(), newline="")
    forms = Forms(layout(None).readers or ())
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = [rows[begin:end] for begin, end in pairwise(edges)]

    def of_file() -> tuple[str, ...]:
        batches = open_transactions(
            file,
            FileKind.CSV,
            lambda _head: CONTRACT,
            canonical=tmp_path / "canonical.csv",
            set_aside=True,
            all_bad=True,
            forms=forms,
        )
        try:
            for _ in batches:
                pass
        except CardNumbersFound as found:
            return found.columns
        except BadFile:
            # it isn't read to its end for its unreadable cells, which are no matter here
            assume(False)
        return ()

    def of_folder() -> tuple[str, ...]:
        seen = of_parts(parts, forms, reads=True, others=[name])
        assert seen.cards is not None
        folder: Any = SimpleNamespace(names=list(names))
        try:
            check_cards(seen.cards, names, folder)
        except CardNumbersFound as found:
            return found.columns
        return ()

    assert of_folder() == of_file()


def test_no_card_number_travels_with_the_evidence() -> None:
    number = "4012888888881881"
    rows = [(number, number, f"EUR {number}", f"{number}.00", f"x {number}", "no", number)] * 3
    look = Observe(layout(None), surveys=True, reads=True, others=("a", "card"), key=b"key")
    evidence = look.look([batch_of(rows, (*NAMES, "a", "card"))])
    assert number in repr(evidence.survey)
    (row,) = written(0, evidence).to_pylist()
    assert number.encode() not in row["evidence"]
    again: PartEvidence = pickle.loads(row["evidence"])
    assert number not in repr(again)
    assert again.cards is not None
    assert again.cards.found()


CARDS = ("4012888888881881", "5105105105105100", "378282246310005")
RAGGED = RaggedLines(",", (*NAMES, "note"))


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("2026-11-27,C1,1.25,1.5,EUR,{},more", ("note",)),
        ("2026-11-27,C1,1.25,1.5,EUR,no,x,{},y", ("number 7",)),
        ("{},C1", ("when",)),
        ('2026-11-27,"C1,1.25,1.5,EUR,{}', ("who",)),
        ("2026-11-27,C1,{}.25,1.5,EUR,no,more", ()),
    ],
    ids=["one more", "beyond the header", "short", "quotation mark", "amounts"],
)
def test_card_numbers_in_ragged_rows_are_refused(line: str, columns: tuple[str, ...]) -> None:
    """They are written as they stand, and a file with them is refused for the numbers, too."""
    rows = [("2026-11-27 12:30:00", "C1", "1.25", "1.5", "EUR", "no")] * 3
    whole = batch_of(rows, RAGGED.header)
    lines = pa.array([line.format(card) for card in CARDS], pa.string())
    batch = whole.append_column(RAW, lines)
    forms = Forms(layout(None).readers or ())
    look = Observe(layout(forms), surveys=False, reads=True, others=("note",), key=b"key", ragged=RAGGED)
    # rows that aren't ragged come before and behind, with other columns
    parts = [look.look([whole.append_column(RAW, pa.nulls(3, pa.string())), batch]), look.look([batch])]
    seen = parts[0].merged(parts[1])
    assert seen.told is not None
    assert seen.cards is not None
    assert (seen.told.rows, seen.told.unread) == (3, 6)
    folder: Any = SimpleNamespace(names=list(RAGGED.header))
    if columns:
        with pytest.raises(CardNumbersFound) as found:
            check_cards(seen.cards, look.names, folder)
        assert found.value.columns == columns
    else:
        check_cards(seen.cards, look.names, folder)


def test_card_numbers_in_bytes_are_refused_and_do_not_travel() -> None:
    rows = [("2026-11-27 12:30:00", "C1", "1.25", "1.5", "EUR")] * 3
    cells = [f"{card[:4]}-{card[4:8]}-{card[8:]}".encode() for card in CARDS]
    batch = batch_of(rows).append_column("card", pa.array(cells, pa.binary()))
    forms = Forms(layout(None).readers or ())
    seen = Observe(layout(forms), surveys=False, reads=True, others=("card",), key=b"key").look([batch])
    assert seen.cards is not None
    assert [seen.cards.name(place) for place in seen.cards.found()] == ["card"]
    assert with_zeros(f"0x{cells[0].hex()}") == f"0x{re.sub('[0-9]', '0', cells[0].hex())}"


def test_cards_that_end_before_other_numbers_begin_are_found_in_any_part() -> None:
    """A file is refused where they are; so is a folder, though as a whole few of its numbers are cards'."""
    cards = [str(number) for number in range(4000000000000000, 4000000000004000) if passes_luhn(str(number))]
    others = [
        str(number) for number in range(4000000000000000, 4000000000004000) if not passes_luhn(str(number))
    ]
    rows = [
        ("2026-11-27 12:30:00", "C1", "1.25", "1.5", "EUR", each) for each in (*cards[:60], *others[:3000])
    ]
    parts = [rows[:60], *(rows[begin : begin + 200] for begin in range(60, len(rows), 200))]
    seen = of_parts(parts, Forms(layout(None).readers or ()), reads=True, others=["note"])
    assert seen.cards is not None
    assert [seen.cards.name(place) for place in seen.cards.found()] == ["note"]


def test_what_is_read_of_parts_is_what_is_read_of_the_whole() -> None:
    rows = [
        (
            f"2026-11-{1 + row % 28:02} {row % 24:02}:00:00",
            "C1",
            f"{row + 0.25}",
            "1.5",
            ["EUR", "USD"][row % 2],
        )
        for row in range(3000)
    ]
    forms = Observe(layout(None), surveys=True, reads=False).look([batch_of(rows)]).survey
    assert forms is not None
    settled = forms.forms(layout(None), NOTHING_SAID)
    whole = of_parts([rows], settled, reads=True)
    assert told_of(of_parts([rows[:1], rows[1:1700], [], rows[1700:]], settled, reads=True)) == told_of(whole)
    told = whole.told
    assert told is not None
    assert told.amounts is not None
    assert told.rows == told.amounts.rows == 3000
    assert told.amounts.parts.total == 3000
    middle = told.amounts.sizes.quantiles([0.5])[0]
    assert middle == pytest.approx(np.median(np.arange(3000) + 0.25), rel=0.001)
    assert told.words["currency"].counts == {"eur": 1500, "usd": 1500}
    assert told.words["currency"].first == {"eur": (1, "EUR"), "usd": (2, "USD")}
