"""The country of an address, through a table of ranges that the operator supplies; none is shipped."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import CellProblem
from screening.features import json_reading

ADDRESSES = 2**32
MOST_RANGES = 5_000_000
MOST_COUNTRIES = 1000
UNKNOWN = -1
Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ranges:
    """Address ranges by country: ``lower`` and ``upper`` int64 (r,), both included, ascending and apart.

    ``countries`` (r,) are places in ``names``. ``problems`` are the first damaged ranges of the file that
    they were read from, ``skipped`` the number of all.
    """

    lower: Whole
    upper: Whole
    countries: Whole
    names: tuple[str, ...]
    problems: tuple[CellProblem, ...] = ()
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.lower)

    def __eq__(self, other: object) -> bool:
        """Return whether both say the same of every address."""
        return isinstance(other, Ranges) and self.as_dict() == other.as_dict()

    __hash__ = None  # type: ignore[assignment]

    def country(self, addresses: NDArray[np.float64]) -> Whole:
        """Return the place in ``names`` of the country of each address, -1 where the table has none; (n,).

        IPv6 (negative codes, see :mod:`screening.transactions.encoding`) and blanks have none.
        """
        if not len(self):
            return np.full(len(addresses), UNKNOWN, np.int64)
        place = np.searchsorted(self.lower, addresses, side="right") - 1
        inside = (place >= 0) & (addresses < self.upper[place] + 1)
        return np.where(inside, self.countries[place], UNKNOWN)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types: the bounds as differences, packed, in base 64."""
        gaps = np.diff(self.lower, prepend=0)
        packed = [
            part.astype("<u4").view(np.uint8).reshape(-1, 4).T for part in (gaps, self.upper - self.lower)
        ]
        countries = self.countries.astype("<u2").view(np.uint8).reshape(-1, 2).T
        raw = np.concatenate([*packed, countries]).tobytes()
        table = base64.b64encode(zlib.compress(raw, 9)).decode("ascii")
        return {"names": list(self.names), "ranges": len(self), "table": table}

    @classmethod
    def from_dict(cls, given: object) -> Ranges:
        """Return the ranges that :meth:`as_dict` wrote.

        Raises:
            TypeError, ValueError: they aren't.
        """
        found = json_reading.record(given, "the country table", {"names", "ranges", "table"})
        names = json_reading.names(found["names"], "the countries")
        count = json_reading.count(found["ranges"], "the number of ranges", MOST_RANGES)
        rows = np.frombuffer(unpacked(found["table"], 10 * count), np.uint8).reshape(10, count)
        gaps, sizes, countries = (
            np.ascontiguousarray(rows[low:high].T).view(kind).astype(np.int64).reshape(count)
            for low, high, kind in ((0, 4, "<u4"), (4, 8, "<u4"), (8, 10, "<u2"))
        )
        lower = np.cumsum(gaps)
        upper = lower + sizes
        apart = bool((lower[1:] > upper[:-1]).all()) and bool((upper < ADDRESSES).all())
        if not apart or len(names) > MOST_COUNTRIES or (countries >= len(names)).any():
            raise ValueError("the country table's ranges overlap, or name a country that it doesn't have")
        return cls(lower, upper, countries, names)


def unpacked(text: object, size: int) -> bytes:
    """Return the bytes of a packed table, which must be so many."""
    if not isinstance(text, str):
        raise TypeError("the country table is no text")
    try:
        opener = zlib.decompressobj()
        raw = opener.decompress(base64.b64decode(text, validate=True), size + 1)
    except (binascii.Error, zlib.error) as problem:
        raise ValueError(f"the country table can't be unpacked: {problem}") from None
    if len(raw) != size:
        raise ValueError("the country table isn't as long as it says")
    return raw
