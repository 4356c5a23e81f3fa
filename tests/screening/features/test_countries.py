"""Tables of address ranges: read with their damage reported, and asked for the country of an address."""

from __future__ import annotations

import sys
from ipaddress import IPv4Address
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.errors import BadFile
from screening.features import Options, Ranges, compute, define, read_ranges
from screening.transactions.schema import CellKind, Column, ColumnContract, Role
from tests.screening.features.mmdb import database

GOOD = "lower_bound_ip_address,upper_bound_ip_address,country\n16777216,16777471,Australia\n16777472,16778239,China\n"


def table(tmp_path: Path, text: str, name: str = "ranges.csv") -> Ranges:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_ranges(path)


def names(ranges: Ranges, *addresses: float) -> list[str | None]:
    found = ranges.country(np.array(addresses, float))
    return [None if place < 0 else ranges.names[place] for place in found]


def test_an_address_is_of_the_country_whose_range_it_is_in(tmp_path: Path) -> None:
    ranges = table(tmp_path, GOOD)
    assert ranges.skipped == 0
    assert names(ranges, 16777215, 16777216, 16777471, 16777472, 16778239, 16778240) == [
        *(None, "Australia", "Australia", "China", "China", None)
    ]


def test_blanks_and_ipv6_have_no_country(tmp_path: Path) -> None:
    assert names(table(tmp_path, GOOD), np.nan, -12345.0, 2.0**33) == [None, None, None]


@pytest.mark.parametrize(
    "text",
    [
        "Lower Bound;Upper Bound;Country\n1.0.0.0;1.0.0.255;Australia\n1.0.1.0;1.0.3.255;China\n",
        "\ufeffSTART_IP,END_IP,COUNTRY_CODE\r\n1.0.0.0,1.0.0.255,Australia\r\n\r\n1.0.1.0,1.0.3.255,China\r\n",
        "country\tfrom\tto\nAustralia\t16777216.0\t16777471\nChina\t 16777472\t16778239 \n",
    ],
)
def test_headers_of_any_case_and_dotted_addresses_are_read(tmp_path: Path, text: str) -> None:
    assert table(tmp_path, text) == table(tmp_path, GOOD)


def test_damaged_ranges_are_reported_with_their_row_and_skipped(tmp_path: Path) -> None:
    rows = [
        "lower,upper,country",
        "0,9,Austria",
        "30,20,Brazil",
        "x,40,Brazil",
        "50,99999999999,Brazil",
        "-5,60,Brazil",
        "60,60.5,Brazil",
        "70,75,",
        "80",
        "5,200,Brazil",
        "100,109,Brazil",
        "100,109,Brazil",
        "256.1.1.1,1.1.1.1,Brazil",
        "300,nan,Brazil",
    ]
    ranges = table(tmp_path, "\n".join(rows))
    assert len(ranges) == 2
    assert ranges.skipped == len(rows) - 3
    said = {problem.row: problem.problem for problem in ranges.problems if problem.row is not None}
    assert len(said) == len(ranges.problems)
    assert list(said) == sorted(said)
    assert said[2] == "ends before it begins"
    assert said[3] == said[12] == "isn't an IPv4 address"
    assert "4294967295" in said[4]
    assert said[6] == "isn't a whole number"
    assert said[7] == "is blank"
    assert said[8] == "is too short"
    assert said[9] == "overlaps with another range"
    assert said[11] == "stands twice"
    assert names(ranges, 5, 105, 60) == ["Austria", "Brazil", None]


def test_one_wrong_bound_costs_one_range(tmp_path: Path) -> None:
    rows = [f"{100 * number},{100 * number + 99},C{number}" for number in range(50)]
    rows.append("150,4800,Wrong")
    ranges = table(tmp_path, "lower,upper,country\n" + "\n".join(rows))
    assert ranges.skipped == 1
    assert ranges.problems[0].row == 51


def test_only_the_first_problems_are_listed_but_all_are_counted(tmp_path: Path) -> None:
    ranges = table(tmp_path, "lower,upper,country\n1,2,Austria\n" + "9,8,Brazil\n" * 100)
    assert ranges.skipped == 100
    assert len(ranges.problems) < 100


def test_neighbours_of_one_country_become_one_range(tmp_path: Path) -> None:
    ranges = table(tmp_path, "lower,upper,country\n10,19,Austria\n20,29,Austria\n31,40,Austria\n")
    assert len(ranges) == 2
    assert names(ranges, 19, 20, 30) == ["Austria", "Austria", None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lower bound"),
        ("a,b,c\n1,2,X\n", "lower bound"),
        ("lower,upper,land\n1,2,X\n", "country"),
        ("lower,upper,country\n", "no range"),
        ("lower,upper,country\n5,2,X\n", "no range"),
    ],
)
def test_a_table_that_holds_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadFile, match=said):
        table(tmp_path, text)


def test_a_table_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile):
        read_ranges(tmp_path / "nothing.csv")
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(BadFile):
        read_ranges(tmp_path / "image.csv")


def test_mmdb_files_are_read_in_the_ways_that_they_name_countries(tmp_path: Path) -> None:
    pytest.importorskip("maxminddb", reason="needs requirements.txt: run `make .venv/.run`")
    path = tmp_path / "countries.mmdb"
    networks = {
        "1.0.0.0/8": {"country": {"iso_code": "AU", "names": {"en": "Australia"}}},
        "2.0.0.0/16": {"country": {"names": {"en": "Nowhere"}}},
        "3.0.0.0/8": {"registered_country": {"iso_code": "US"}},
        "4.0.0.0/8": {"country_code": "DE"},
        "5.0.0.0/8": {"city": "Linz"},
    }
    path.write_bytes(database(networks))
    ranges = read_ranges(path)
    addresses = [
        int(IPv4Address(text)) for text in ("1.2.3.4", "2.0.9.9", "2.1.0.0", "3.3.3.3", "4.0.0.0", "5.0.0.1")
    ]
    assert names(ranges, *addresses) == ["AU", "Nowhere", None, "US", "DE", None]


def test_damaged_mmdb_files_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("maxminddb", reason="needs requirements.txt: run `make .venv/.run`")
    (tmp_path / "countries.mmdb").write_bytes(b"junk" * 100)
    with pytest.raises(BadFile, match="damaged"):
        read_ranges(tmp_path / "countries.mmdb")


def test_mmdb_files_need_their_library_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    with pytest.raises(BadFile, match="maxminddb"):
        read_ranges(tmp_path / "countries.mmdb")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 60), st.integers(0, 3)), min_size=1, max_size=60)
)
def test_ranges_are_apart_come_back_from_json_and_lose_as_few_as_can_be(
    tmp_path_factory: pytest.TempPathFactory, given_ranges: list[tuple[int, int, int]]
) -> None:
    rows = [(low, low + size, f"C{country}") for low, size, country in given_ranges]
    text = "lower,upper,country\n" + "\n".join(",".join(map(str, row)) for row in rows)
    ranges = table(tmp_path_factory.mktemp("ranges"), text)
    assert (ranges.lower[1:] > ranges.upper[:-1]).all()
    assert Ranges.from_dict(ranges.as_dict()) == ranges
    for address in range(0, 2100, 7):
        found = names(ranges, address)[0]
        assert found is None or any(low <= address <= high and found == name for low, high, name in rows)
    alone = [row for row in rows if sum(row[0] <= other[1] and other[0] <= row[1] for other in rows) == 1]
    assert all(names(ranges, low, high) == [name, name] for low, high, name in alone)


def test_countries_are_features_of_addresses() -> None:
    contract = ColumnContract.of((Column("address", Role.CATEGORY, CellKind.ADDRESS, optional=True),))
    ranges = Ranges(np.array([0, 100]), np.array([9, 199]), np.array([1, 0]), ("Austria", "Brazil"))
    training = np.array([[5.0]] * 3 + [[150.0]] * 2 + [[50.0]])
    definition = define(contract, training, Options(least=2), ranges)
    found = compute(definition, np.array([[7.0], [101.0], [50.0], [np.nan]]))
    columns = {name: found[:, place].tolist() for place, name in enumerate(definition.names)}
    words = {feature.name: feature.words for feature in definition.features}
    assert words["country(address)#1"] == "country(address) is Brazil"
    assert columns["country(address)#1"] == [1, 0, 0, 0]
    assert columns["country(address)#2"] == [0, 1, 0, 0]
    assert columns["unknown country(address)"] == [0, 0, 1, 1]
    assert columns["other(country(address))"] == [0, 0, 0, 0]
