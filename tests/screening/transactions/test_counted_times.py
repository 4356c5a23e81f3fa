"""A time that counts from a start: the same seconds from a file, from JSON and from a frame; kept with the contract."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from screening.errors import BadTransaction
from screening.features import Definition, define
from screening.intake import FileKind, look_over, open_transactions, settled
from screening.transactions.json_records import from_frame, from_mapping, from_mappings
from screening.transactions.schema import CellKind, Column, ColumnContract, Role
from screening.transactions.times import StartUnit


def contract(since: StartUnit | None) -> ColumnContract:
    return ColumnContract.of(
        [Column("step", Role.TIME, CellKind.NUMBER, since=since), Column("amount", Role.AMOUNT)]
    )


@pytest.mark.parametrize("since", StartUnit)
def test_every_door_reads_the_same_seconds(tmp_path: Path, since: StartUnit) -> None:
    rows = [{"step": 3, "amount": 7.5}, {"step": 4.5, "amount": 1.25}]
    frame = pd.DataFrame(rows)
    file = tmp_path / "a.csv"
    frame.to_csv(file, index=False)
    ours = contract(since)
    expected = np.array([3, 4.5]) * since.seconds
    read = settled(
        lambda forms: list(
            open_transactions(file, FileKind.CSV, lambda _: ours, canonical=tmp_path / "c", forms=forms)
        ),
        lambda: look_over(file, FileKind.CSV, lambda _: ours),
    )
    for given in (read[0].transactions, from_mappings(rows, ours), from_frame(frame, ours)):
        np.testing.assert_array_equal(given.column("step"), expected)
        np.testing.assert_array_equal(given.column("amount"), [7.5, 1.25])
    assert from_mapping(rows[0], ours).column("step")[0] == expected[0]


def test_decimal_commas_and_bad_cells_are_read_the_exact_way_with_the_same_unit(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("step;amount\n3;7,5\n4;1,25\nx;2,5\n")
    ours = contract(StartUnit.HOURS)
    read = settled(
        lambda forms: list(
            open_transactions(
                io.BytesIO(file.read_bytes()),
                FileKind.CSV,
                lambda _: ours,
                set_aside=True,
                canonical=tmp_path / "c",
                forms=forms,
            )
        ),
        lambda: look_over(file, FileKind.CSV, lambda _: ours),
    )
    np.testing.assert_array_equal(read[0].transactions.column("step"), [3 * 3600.0, 4 * 3600.0, np.nan])


def test_the_contract_keeps_the_unit_and_others_keep_their_fingerprint() -> None:
    ours = contract(StartUnit.HOURS)
    assert ColumnContract.from_dict(ours.as_dict()) == ours
    assert not ours.plain
    assert "since" not in contract(None).as_dict()
    for damage in ({"since": "weeks"}, {"kinds": ["time", "number"]}, {"roles": ["number", "amount"]}):
        with pytest.raises(ValueError, match=r"since|weeks|time"):
            ColumnContract.from_dict({**ours.as_dict(), **damage})


def test_no_feature_pretends_to_know_the_clock() -> None:
    values = np.array([[3600.0 * step, 5.0] for step in range(50)])
    for since, part in ((StartUnit.HOURS, True), (StartUnit.DAYS, False)):
        definition = define(contract(since), values)
        assert Definition.from_dict(definition.as_dict()) == definition
        names = [name for name in definition.names if "step" in name]
        assert bool(names) is part
        assert not any(name.startswith(("hour", "night", "week")) for name in names)
        assert all("hour of" not in feature.words for feature in definition.features)


def test_a_moment_may_be_before_1970_and_a_time_may_not() -> None:
    ours = ColumnContract.of(
        [Column("when", Role.TIME, CellKind.TIME), Column("dob", Role.MOMENT, CellKind.TIME)]
    )
    given = {"when": "2025-01-01", "dob": "1950-01-01"}
    assert from_mapping(given, ours).column("dob")[0] == -631_152_000.0
    with pytest.raises(BadTransaction, match="when in row 1 is before 1970"):
        from_mapping({**given, "when": "1950-01-01"}, ours)
