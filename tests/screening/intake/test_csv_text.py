"""What is written as CSV is read back to the same rows by whoever reads it."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.intake.formulas import csv_text


@pytest.mark.security(49)
@given(
    st.lists(
        st.lists(st.text(st.sampled_from("a,\r\n\"' "), max_size=4), min_size=2, max_size=2),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=500, deadline=None)
def test_rows_are_read_back_as_they_were_written_by_csv_and_pandas(rows: list[list[str]]) -> None:
    written = csv_text([["x", "y"], *rows])
    assert list(csv.reader(io.StringIO(written, newline=""))) == [["x", "y"], *rows]
    frame = pd.read_csv(
        io.StringIO(written, newline=""), keep_default_na=False, dtype=str, skip_blank_lines=False
    )
    assert len(frame) == len(rows)
