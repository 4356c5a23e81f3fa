"""The country of an address as people are told it: IPv4 and IPv6, private and reserved ones, and unknown ones."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.features.countries.addresses import AddressCountries
from screening.features.countries.range_files import read_countries
from tests.screening.features.mmdb import database

TABLE = """lower,upper,country
1.0.0.0,1.0.0.255,Australia
16777472,16778239,China
10.0.0.0,10.0.0.255,Nowhere
2001:db8::,2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,Documents
2a00:1450::,2a00:1450:ffff:ffff:ffff:ffff:ffff:ffff,Ireland
2a02:1::,2a02:1:0:0:ffff:ffff:ffff:ffff,Germany
2a02:2::1,2a02:2::ff,Tiny
fe80::,fe80:0:0:0:ffff:ffff:ffff:ffff,Local
"""


@pytest.fixture
def table(tmp_path: Path) -> AddressCountries:
    file = tmp_path / "ranges.csv"
    file.write_text(TABLE, encoding="utf-8")
    return read_countries(file)


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("1.0.0.0", "Australia"),
        ("1.0.0.255", "Australia"),
        ("1.0.1.0", "China"),
        (" 1.0.3.255 ", "China"),
        ("1.0.4.0", "unknown"),
        ("16777216", "Australia"),
        ("16777216.7", "Australia"),  # as spreadsheets write it
        ("0.255.255.255", "private"),
        ("10.0.0.7", "private"),  # whatever the table says
        ("172.31.255.255", "private"),
        ("172.32.0.0", "unknown"),
        ("192.168.1.1", "private"),
        ("127.0.0.1", "private"),
        ("255.255.255.255", "private"),
        ("2a00:1450:4001:81b::200e", "Ireland"),
        ("2A00:1450::1", "Ireland"),
        ("2a00:1451::1", "unknown"),
        ("2a02:1::1", "Germany"),
        ("2a02:1:0:1::1", "unknown"),
        ("2a02:2::5", "unknown"),  # its range is finer than a /64 network
        ("::ffff:1.0.0.9", "Australia"),
        ("64:ff9b::1.0.0.9", "Australia"),
        ("::1", "private"),
        ("fe80::1%eth0", "private"),
        ("fd00::1", "private"),
        ("2001:db8::1", "private"),
        ("", "unknown"),
        ("unknown", "unknown"),
        ("1.2.3", "unknown"),
        ("256.1.1.1", "unknown"),
        ("4294967296", "unknown"),
        ("-1", "unknown"),
        ("nan", "unknown"),
        (None, None),
    ],
)
def test_addresses(table: AddressCountries, address: str | None, country: str | None) -> None:
    assert table.of([address]) == [country]
    assert table.of([address] * 40) == [country] * 40, "many are looked up in another way"


def test_damage_is_counted_and_the_rest_is_used(table: AddressCountries) -> None:
    assert table.skipped == 2  # Tiny is finer than a /64 network, Local isn't of the internet
    assert "Ireland" in table.names


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6, network="2000::/3"))
def test_what_is_reserved_is_what_the_standard_library_says(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if address in ipaddress.ip_network("192.0.0.0/24"):
        return  # two of its addresses are of the internet, and nobody has them
    empty = np.empty(0, np.int64)
    nothing = AddressCountries(empty, empty, empty, ())
    outside = not address.is_global or address.is_multicast
    assert (nothing.of([str(address)]) == ["private"]) == outside


def test_a_database_of_maxmind_has_both(tmp_path: Path) -> None:
    file = tmp_path / "countries.mmdb"
    file.write_bytes(database({"1.0.0.0/24": {"country": {"iso_code": "AU"}}}))
    assert read_countries(file).of(["1.0.0.1", "1.0.1.1"]) == ["AU", "unknown"]
