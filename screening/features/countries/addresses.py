"""The country of an address as text, IPv4 and IPv6, through the operator's table of ranges.

What a net is told goes by :class:`screening.features.countries.ranges.Ranges`, which travels with its detector and has
IPv4 alone. This is for what people are told: of which country a transaction was.
"""

from __future__ import annotations

import ipaddress
import socket
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.features.countries.ranges import ADDRESSES, Ranges
from screening.transactions.encoding import NUMBER
from screening.transactions.guards import unguarded

PRIVATE = "private"
"""Stands in the place of a country for addresses that nobody on the internet has: private and reserved ones."""
UNKNOWN_COUNTRY = "unknown"
"""Stands there for addresses that the table doesn't have, and for what is no address."""
# Up to so many addresses are looked up one by one: a call of NumPy takes longer than its work there.
FEW = 16
RESERVED = np.array(
    [
        (int(network[0]), int(network[-1]))
        for network in map(
            ipaddress.IPv4Network,
            (
                "0.0.0.0/8",
                "10.0.0.0/8",
                "100.64.0.0/10",
                "127.0.0.0/8",
                "169.254.0.0/16",
                "172.16.0.0/12",
                "192.0.0.0/24",
                "192.0.2.0/24",
                "192.168.0.0/16",
                "198.18.0.0/15",
                "198.51.100.0/24",
                "203.0.113.0/24",
                "224.0.0.0/3",
            ),
        )
    ],
    np.int64,
)
"""IPv4 ranges that aren't of the internet (IANA's registry, RFC 6890), both ends included."""
GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
"""All IPv6 addresses of the internet."""
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
SPECIAL_BLOCKS = {0x2001, 0x2002, 0x3FFF}
"""First 16 bits of those in which there are reserved ranges."""
NONE, RESERVED_ONE = -1, -2


@dataclass(frozen=True, eq=False)
class AddressCountries:
    """Address ranges by country: bounds int64 (r,), both included, ascending and apart.

    An IPv4 address is its number, an IPv6 address 2**32 and its first 64 bits: nobody gives a country less.
    """

    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    countries: NDArray[np.int64]
    """(r,), places in ``names``."""
    names: tuple[str, ...]
    skipped: int = 0
    """Rows of the file that were damaged."""

    @classmethod
    def of_ranges(cls, ranges: Ranges) -> AddressCountries:
        """Return what a detector's own table says."""
        return cls(ranges.lower, ranges.upper, ranges.countries, ranges.names, ranges.skipped)

    def __len__(self) -> int:
        return len(self.lower)

    def of(self, texts: Sequence[str | None]) -> list[str | None]:
        """Return the country of each address: :data:`PRIVATE` and :data:`UNKNOWN_COUNTRY` where there is none, and
        ``None`` where there is no address.
        """
        if len(texts) <= FEW:
            return [None if text is None else self._of_one(code_of(text)) for text in texts]
        codes = np.array([NONE if text is None else code_of(text) for text in texts], np.int64)
        place = np.full(len(codes), len(self.names) + 1)
        if len(self):
            at = np.searchsorted(self.lower, codes, side="right") - 1
            inside = (at >= 0) & (codes <= self.upper[at])
            place = np.where(inside, self.countries[at], place)
        place[_are_reserved(codes)] = len(self.names)
        told = np.array([*self.names, PRIVATE, UNKNOWN_COUNTRY], object)[place].tolist()
        return [None if text is None else each for text, each in zip(texts, told, strict=True)]

    def _of_one(self, code: int) -> str:
        if code == RESERVED_ONE or range_of(code, RESERVED[:, 0], RESERVED[:, 1]) is not None:
            return PRIVATE
        place = range_of(code, self.lower, self.upper)
        return UNKNOWN_COUNTRY if place is None else self.names[self.countries[place]]


def range_of(code: int, lower: NDArray[np.int64], upper: NDArray[np.int64]) -> int | None:
    """Return the place of the range that an address is in."""
    # an array can be asked as a list
    place = bisect_right(lower, code) - 1
    return place if place >= 0 and code <= upper[place] else None


def code_of(text: str) -> int:
    """Return the number of an address as :class:`AddressCountries` counts them; negative for none, and for a reserved
    IPv6 address.
    """
    if text.count(".") == 3:  # nearly every one
        try:
            return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
        except OSError:
            pass
    elif ":" in text:
        try:
            first = int.from_bytes(socket.inet_pton(socket.AF_INET6, text)[:8], "big")
        except OSError:
            pass
        else:
            block = first >> 48
            if block >> 13 == 1 and block not in SPECIAL_BLOCKS:
                return ADDRESSES + first
    plain = unguarded(text.strip()).strip()
    if NUMBER.fullmatch(plain):
        number = float(plain)
        return int(number) if 0 <= number < ADDRESSES else NONE
    try:
        # without the name of a network card
        address = ipaddress.ip_address(plain.partition("%")[0])
    except ValueError:
        return NONE
    return int(address) if isinstance(address, ipaddress.IPv4Address) else _code_of_v6(address)


def _code_of_v6(address: ipaddress.IPv6Address) -> int:
    if address.ipv4_mapped is not None:
        return int(address.ipv4_mapped)
    if address in NAT64:
        return int(address) % ADDRESSES
    return first_half(address) if address in GLOBAL_V6 and address.is_global else RESERVED_ONE


def first_half(address: ipaddress.IPv6Address) -> int:
    """Return the number of an IPv6 address of the internet."""
    return ADDRESSES + (int(address) >> 64)


def _are_reserved(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    at = np.searchsorted(RESERVED[:, 0], codes, side="right") - 1
    found: NDArray[np.bool_] = ((at >= 0) & (codes <= RESERVED[at, 1])) | (codes == RESERVED_ONE)
    return found
