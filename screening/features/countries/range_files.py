"""Reads tables of address ranges: CSV files with all their damage, and MaxMind's .mmdb."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from screening.errors import BadFile, CellProblem
from screening.features.countries.addresses import GLOBAL_V6, AddressCountries, first_half
from screening.features.countries.ranges import ADDRESSES, MOST_COUNTRIES, MOST_RANGES, Ranges
from screening.transactions.encoding import NUMBER
from screening.transactions.schema import normalise

SHOWN = 20
LOWER, UPPER = ("lower", "start", "from", "begin", "first"), ("upper", "end", "to", "last")
HALF = 2**64 - 1
COUNTRY = ("country", "nation", "iso")


class _Range(NamedTuple):
    lower: int
    upper: int
    country: str
    row: int


class _Damage:
    """Counts what is wrong, and keeps the first few."""

    def __init__(self) -> None:
        self.problems: list[CellProblem] = []
        self.count = 0

    def add(self, problem: str, row: int, column: str | None = None, value: str | None = None) -> None:
        self.count += 1
        if len(self.problems) < SHOWN:
            self.problems.append(CellProblem(problem, column=column, row=row, value=value and value[:40]))


def read_ranges(path: Path) -> Ranges:
    """Read a table of ranges: a CSV with lower bound, upper bound and country, or a MaxMind .mmdb file.

    Bounds are whole numbers or dotted IPv4 addresses. A range that is damaged, or overlaps with others, is skipped and
    reported; of those that overlap as many are kept as can be.

    Raises:
        BadFile: the file can't be read, or holds no range.
    """
    return _read(path, bound_of, ipv4_bounds)


def read_countries(path: Path) -> AddressCountries:
    """Read a table of ranges for what people are told: as :func:`read_ranges`, with IPv6 addresses, too.

    Bounds of IPv6 are written as addresses, and a range is of whole /64 networks.

    Raises:
        BadFile: the file can't be read, or holds no range.
    """
    found = _read(path, any_bound, any_bounds)
    return AddressCountries.of_ranges(found)


Bound = Callable[[str, bool], "int | str"]
"""Reads a bound, and whether it is the last address: its number, or what is wrong with it."""
Numbers = Callable[["IPv4Network | IPv6Network"], "tuple[int, int] | None"]


def _read(path: Path, bound: Bound, numbers: Numbers) -> Ranges:
    damage = _Damage()
    try:
        found = list(
            ranges_of_mmdb(path, numbers)
            if path.suffix.casefold() == ".mmdb"
            else ranges_of_csv(path, damage, bound)
        )
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise BadFile(f"The table of address ranges can't be read: {problem}.", where=path.name) from None
    kept = without_overlaps(found, damage)
    if not kept or len({each.country for each in kept}) > MOST_COUNTRIES:
        raise BadFile(
            "The table of address ranges holds no range that can be used."
            if not kept
            else f"The table of address ranges names more than {MOST_COUNTRIES:,} countries.",
            where=path.name,
            remedy="Give a CSV with the columns lower bound, upper bound, country, or a country .mmdb file.",
            problems=damage.problems,
            problem_count=damage.count,
        )
    return joined_ranges(kept, damage)


def without_overlaps(found: Iterable[_Range], damage: _Damage) -> list[_Range]:
    """Return as many ranges as can be kept without an overlap: by their ends, each that begins after the last one kept.

    A bound that is wrong by much makes one range overlap with hundreds: it is the one that goes.
    """
    kept: list[_Range] = []
    for each in sorted(found, key=lambda each: (each.upper, -each.lower, each.row)):
        if kept and each.lower <= kept[-1].upper:
            twice = each[:3] == kept[-1][:3]
            damage.add("stands twice" if twice else "overlaps with another range", each.row)
        else:
            kept.append(each)
    return kept


def joined_ranges(kept: Sequence[_Range], damage: _Damage) -> Ranges:
    """Return the ranges as arrays, neighbours of one country as one."""
    names = tuple(sorted({each.country for each in kept}))
    number = {name: place for place, name in enumerate(names)}
    lower, upper, country = (
        np.array(part, np.int64)
        for part in zip(*((each.lower, each.upper, number[each.country]) for each in kept), strict=True)
    )
    same = (lower[1:] == upper[:-1] + 1) & (country[1:] == country[:-1])
    first: NDArray[np.bool_] = np.append(True, ~same)
    last = np.append(~same, True)
    problems = tuple(sorted(damage.problems, key=lambda problem: problem.row or 0))
    return Ranges(lower[first], upper[last], country[first], names, problems, damage.count)


def ranges_of_csv(path: Path, damage: _Damage, bound: Bound) -> Iterator[_Range]:
    """Yield the ranges of a table as CSV; what is wrong with a row is added to ``damage``. Raises :class:`BadFile`."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        head = stream.read(4096)
        stream.seek(0)
        separator = max(",;\t", key=head.split("\n", 1)[0].count)
        rows = csv.reader(stream, delimiter=separator)
        header = next(rows, [])
        places = column_places(header, path)
        for number, cells in enumerate(rows, start=1):
            if number > MOST_RANGES:
                raise BadFile(
                    f"The table of address ranges has more than {MOST_RANGES:,} rows.", where=path.name
                )
            if any(cell.strip() for cell in cells):
                found = range_of_row(cells, header, places, _Row(number, damage, bound))
                if found is not None:
                    yield found


def column_places(header: Sequence[str], path: Path) -> tuple[int, int, int]:
    """Return the columns of the bounds and of the country."""
    names = [normalise(name) for name in header]
    found = []
    for what, words in (("lower bound", LOWER), ("upper bound", UPPER), ("country", COUNTRY)):
        places = [
            place
            for place, name in enumerate(names)
            if any(name.startswith(word) or f"_{word}" in name or f" {word}" in name for word in words)
        ]
        if not places:
            raise BadFile(
                f"The table of address ranges has no column for the {what}.",
                where=path.name,
                remedy="Its first line must name the columns lower bound, upper bound, country.",
            )
        found.append(places[0])
    return found[0], found[1], found[2]


class _Row(NamedTuple):
    number: int
    damage: _Damage
    bound: Bound


def range_of_row(
    cells: Sequence[str], header: Sequence[str], places: tuple[int, int, int], given: _Row
) -> _Range | None:
    """Return the range of a row; ``None`` for one that can't be used, which is added to the damage."""
    row, damage = given.number, given.damage
    if len(cells) <= max(places):
        damage.add("is too short", row)
        return None
    bounds = []
    for last, place in enumerate(places[:2]):
        bound = given.bound(cells[place], bool(last))
        if isinstance(bound, str):
            damage.add(bound, row, header[place].strip(), cells[place])
            return None
        bounds.append(bound)
    country = cells[places[2]].strip()
    if bounds[1] < bounds[0]:
        damage.add("ends before it begins", row)
    elif not country:
        damage.add("is blank", row, header[places[2]].strip())
    else:
        return _Range(bounds[0], bounds[1], country, row)
    return None


def bound_of(text: str, _last: bool) -> int | str:
    """Return a bound as a number, or what is wrong with it."""
    plain = text.strip()
    try:
        if plain.count(".") == 3:  # a dotted address
            return int(IPv4Address(plain))
        number = float(plain) if NUMBER.fullmatch(plain) else math.nan
    except (AddressValueError, ValueError):
        return "isn't an IPv4 address"
    if math.isnan(number):
        return "isn't an IPv4 address"
    if not 0 <= number < ADDRESSES:
        return "is no IPv4 address: it isn't from 0 to 4294967295"
    return int(number) if number == int(number) else "isn't a whole number"


def ranges_of_mmdb(path: Path, numbers_of: Numbers) -> Iterator[_Range]:
    """Yield the ranges of a table in MaxMind's format. Raises :class:`BadFile` for one that can't be read."""
    try:
        import maxminddb
    except ImportError:
        raise BadFile(
            "Files of the kind .mmdb can't be read in this installation.",
            where=path.name,
            remedy="Install maxminddb (pip install maxminddb), or give the ranges as a CSV.",
        ) from None
    try:
        with maxminddb.open_database(path) as database:
            for row, (network, record) in enumerate(database, start=1):
                country = country_name(record)
                numbers = numbers_of(network)
                if country and numbers:
                    yield _Range(*numbers, country, row)
    except maxminddb.InvalidDatabaseError as problem:
        raise BadFile(f"The table of address ranges is damaged: {problem}.", where=path.name) from None


def ipv4_bounds(network: IPv4Network | IPv6Network) -> tuple[int, int] | None:
    """Return the bounds of an IPv4 network, also where it is written as one of IPv6 (::/96)."""
    lower, upper = int(network[0]), int(network[-1])
    return (lower, upper) if upper < ADDRESSES else None


def any_bound(text: str, last: bool) -> int | str:
    """Read a bound as :func:`bound_of` does, or the first half of an IPv6 address."""
    if ":" not in text:
        return bound_of(text, last)
    try:
        address = IPv6Address(text.strip())
    except AddressValueError:
        return "isn't an address"
    if address not in GLOBAL_V6:
        return "isn't an address of the internet"
    rest = int(address) & HALF
    return first_half(address) if rest == (HALF if last else 0) else "is finer than a /64 network"


def any_bounds(network: IPv4Network | IPv6Network) -> tuple[int, int] | None:
    """Read a network as :func:`ipv4_bounds` does, or a whole one of IPv6."""
    plain = ipv4_bounds(network)
    if plain is not None or not isinstance(network, IPv6Network):
        return plain
    whole = network.prefixlen <= 64 and network.subnet_of(GLOBAL_V6)
    return (first_half(network[0]), first_half(network[-1])) if whole else None


def country_name(record: Any) -> str | None:
    """Return the ISO code, or the name where there is none, as GeoLite2, DB-IP and ip-location-db write them."""
    if not isinstance(record, dict):
        return None
    country = record.get("country") or record.get("registered_country") or record.get("country_code")
    if isinstance(country, dict):
        names = country.get("names")
        country = country.get("iso_code") or (names.get("en") if isinstance(names, dict) else None)
    return country if isinstance(country, str) and country else None
