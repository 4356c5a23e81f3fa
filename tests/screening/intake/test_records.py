"""Pieces of a file cut again at the ends of records: nothing is lost, whatever is in quotes, wherever it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from screening.intake.batch import ReadLimits
from screening.intake.text.records import BLANK, blocks, ends, marks_of, stray_quote

TEXTS = st.lists(
    st.sampled_from([b"1", b"a,", b'"', b'"x\ny"', b'""', b"\n", b"\r\n", b"\n\n\n", b" "]), max_size=60
).map(b"".join)


def pieces_of(data: bytes, sizes: list[int]) -> list[bytes]:
    found, start = [], 0
    for size in [*sizes, len(data)]:
        if start < len(data):
            found.append(data[start : start + size])
            start += size
    return found


def is_end(data: bytes, place: int) -> bool:
    """Whether a record ends at a place: past a newline, with every quotation mark before it closed."""
    return data[place - 1 : place] == b"\n" and data.count(b'"', 0, place) % 2 == 0


@given(data=TEXTS, sizes=st.lists(st.integers(1, 30), max_size=20))
def test_blocks_are_whole_records_and_nothing_but_blanks_at_the_end_is_lost(
    data: bytes, sizes: list[int]
) -> None:
    found = list(blocks(iter(pieces_of(data, sizes)), ReadLimits()))
    joined = b"".join(block.data for block in found)
    assert data.startswith(joined)
    assert not data[len(joined) :].strip(BLANK)
    assert all(block.quotes == block.data.count(b'"') for block in found)
    place = 0
    for block in found:
        place += len(block.data)
        assert block.last or is_end(data, place)
        assert block.data.strip(BLANK)
    assert not any(block.last for block in found[:-1])


@given(data=TEXTS.filter(bool))
def test_ends_are_where_counting_says(data: bytes) -> None:
    expected = [place for place in range(1, len(data) + 1) if is_end(data, place)]
    expected += [len(data)] if not expected or expected[-1] < len(data) else []
    assert ends(data, quoted=True).tolist() == expected
    marks = marks_of(data, ",", quoted=True)
    assert marks.ends.tolist() == expected
    assert marks.newlines == data.count(b"\n")
    assert marks.stray == stray_quote(data, ",")
