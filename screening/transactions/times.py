"""Read times in all their forms as seconds since 1970: one meaning for files, JSON and training.

A cell of one meaning is read as it stands. Of a cell that could mean several times (04/05/2025, 250104) the whole
column must say which one: :mod:`screening.intake.forms` looks at it and gives a :class:`TimeForm`.

Standard library only: a web process that scores one transaction pays for nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

from screening.transactions import guards

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- times without a zone are taken as written
# Nobody who pays was born before 1901, and 1900-01-01 is how databases write a missing date.
FIRST_YEAR, LAST_YEAR = 1901, 2100
# Transactions happened in 1970 or later; other dates, such as births, may be earlier.
EARLIEST = 0.0
# Smaller numbers aren't times: 20250104 is a date, and not a day of August 1970.
FIRST_NUMBER_YEAR = 1990
AHEAD = timedelta(days=366)
"""Time that a moment may lie in the future whose century or order of parts isn't written."""

Parts = tuple[int, int, int]
"""Year, month and day."""


class DateOrder(StrEnum):
    """In which order day, month and year stand."""

    DAY_FIRST = "dmy"
    MONTH_FIRST = "mdy"
    YEAR_FIRST = "ymd"


class TimeUnit(StrEnum):
    """Units of numbers that count since 1970; a spreadsheet counts days since 1900."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"
    SHEET_DAYS = "days"
    DAYS_1904 = "days-1904"
    """As the workbooks of old Macs count: no number shows it, the workbook or its user says it."""


class StartUnit(StrEnum):
    """Units of numbers that count since a start that nobody names: the clock of a file without a calendar."""

    SECONDS = "seconds"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"

    @property
    def seconds(self) -> float:
        """Length of the unit in seconds."""
        return _SECONDS_PER[self]


_SECONDS_PER = {
    StartUnit.SECONDS: 1.0,
    StartUnit.MINUTES: 60.0,
    StartUnit.HOURS: 3600.0,
    StartUnit.DAYS: 86_400.0,
}


class CellFamily(StrEnum):
    """Families of cells that look the same: cells of one column that look differently were mostly not written by one
    program.
    """

    ISO = "2025-12-31 23:59:00"
    SLASHED_YEAR = "2025/12/31"
    NAMED = "31-Dec-2025"
    POINTS = "31.12.2025"
    SLASHES = "31/12/2025"
    DASHES = "31-12-2025"
    DIGITS_14 = "20251231235900"
    DIGITS_8 = "20251231"
    DIGITS_6 = "251231"
    NUMBER = "1767225540"
    SHEET = "46022.99"


@dataclass(frozen=True, slots=True)
class TimeForm:
    """Form that the cells of a column have together; ``None`` where each must say it by itself."""

    order: DateOrder | None = None
    unit: TimeUnit | None = None


AUTO = TimeForm()
SPELLINGS = "2025-12-31 23:59:00, 31.12.2025 23:59, 31/12/2025, 12/31/2025 11:59 PM, 31-Dec-2025, 20251231, 1767225540"
"""Forms that a message names as readable."""

_PER_SECOND = {
    TimeUnit.SECONDS: 1.0,
    TimeUnit.MILLISECONDS: 1e3,
    TimeUnit.MICROSECONDS: 1e6,
    TimeUnit.NANOSECONDS: 1e9,
}
# Fourteen digits that would make an earlier time are an identifier.
_FIRST_COMPACT = 1970
_SHEET_ZERO = (datetime(1899, 12, 30) - EPOCH).total_seconds()  # noqa: DTZ001
_ZERO_1904 = (datetime(1904, 1, 1) - EPOCH).total_seconds()  # noqa: DTZ001
_FROM = (datetime(FIRST_NUMBER_YEAR, 1, 1) - EPOCH).total_seconds()  # noqa: DTZ001
_TO = (datetime(LAST_YEAR, 1, 1) - EPOCH).total_seconds()  # noqa: DTZ001
_DAY = 86_400.0

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janvier enero ene janeiro gennaio gen januari jänner",
            "feb february februar février fév fevrier fev febrero fevereiro febbraio februari",
            "mar march märz mär mrz mars marzo março marco maart mrt",
            "apr april avril avr abril abr aprile",
            "may mai mayo maio maggio mag mei",
            "jun june juni juin junio junho giugno giu",
            "jul july juli juillet juil julio julho luglio lug",
            "aug august août aout aoû agosto ago augustus",
            "sep sept september septembre septiembre setembro set settembre",
            "oct october oktober okt octobre octubre outubro out ottobre ott",
            "nov november novembre noviembre novembro",
            "dec december dezember dez décembre déc decembre diciembre dic dezembro dicembre desember",
        ),
        1,
    )
    for name in names.split()
}
_WEEKDAY = r"(?:[^\W\d_]{2,10}\.?,? +)?"
_REST = r"(?:(?:[ T]|, ?)+(?:(?:at|um) )?(?P<clock>.+))?"
_ISO = re.compile(r"(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})" + _REST, re.ASCII)
_MAINFRAME = re.compile(
    r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})-(?P<clock>\d{2}\.\d{2}\.\d{2}(?:\.\d+)?)", re.ASCII
)
"""As DB2 writes it: 2025-12-31-23.59.00.000000."""
_DATE_FIRST = re.compile(r"\d{1,2}([./-])\d{1,2}\1(?:\d{4}|\d{2})(?=[ ,]|$)", re.ASCII)
_YEAR_FIRST = re.compile(r"(?P<y>\d{4})(?P<sign>[/.])(?P<m>\d{1,2})(?P=sign)(?P<d>\d{1,2})" + _REST, re.ASCII)
_THREE = re.compile(
    r"(?P<a>\d{1,2})(?P<sign>[./-])(?P<b>\d{1,2})(?P=sign)(?P<c>\d{4}|\d{2})" + _REST, re.ASCII
)
_DAY_NAMED = re.compile(
    _WEEKDAY + r"(?P<d>\d{1,2})\.?[ ./-]*(?P<name>[^\W\d_]{3,10})\.?[ ./,-]*(?P<y>\d{4}|\d{2})" + _REST
)
_NAMED_DAY = re.compile(
    _WEEKDAY + r"(?P<name>[^\W\d_]{3,10})\.?[ -]+(?P<d>\d{1,2})(?:st|nd|rd|th)?(?:,? +|-)(?P<y>\d{4})" + _REST
)
# What may stand before the time of day. Python accepts anything there, and takes the zone of 2025-12-31-07:00
# for the hour.
_BETWEEN = frozenset({"", " ", "T", "t"})
# Only behind seconds: Python also takes the 30 of 07.30 for a fraction of a second, which nobody means.
_FRACTION_MARKS = frozenset({".", ","})
# As web servers and SAS write it: 31/Dec/2025:23:59:00 +0000, 31DEC2025:23:59:00. The year must be whole.
_LOGGED = re.compile(
    r"(?P<d>\d{1,2})[/-]?(?P<name>[^\W\d_]{3,10})[/-]?(?P<y>\d{4}):"
    r"(?P<clock>\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?[+-]\d{4})?)"
)
_C_TIME = re.compile(
    _WEEKDAY
    + r"(?P<name>[^\W\d_]{3,10}) +(?P<d>\d{1,2}) +(?P<clock>\d{1,2}:\d{2}(?::\d{2})?)(?: +(?P<zone>UTC|GMT))?"
    r" +(?P<y>\d{4})"
)
_CLOCK = re.compile(
    r"(?P<h>\d{1,2})(?:(?P<sign>[:.h])(?P<m>\d{2}))?(?:(?P=sign)(?P<s>\d{2})(?:[.,](?P<f>\d+))?)?\s*(?P<half>[ap]\.?\s?m\.?)?\s*"
    r"(?:uhr)?\s*(?:(?P<zone>utc|gmt|z|[+-]\d{2}(?::?\d{2})?)(?:\[[\w/+-]+\])?)?",
    re.ASCII | re.IGNORECASE,
)
_HALF = re.compile(r"[ap]\.?\s?m\.?\s*$", re.ASCII | re.IGNORECASE)
_SHEET_CLOCK = re.compile(r"(?:1899-12-3[01]|1900-01-0[01]|1904-01-01)[ T]", re.ASCII)
_FRACTION = re.compile(r"0(?:\.\d+)?", re.ASCII)
_DIGITS_14 = re.compile(r"(\d{4})(\d{2})(\d{2})[ T_-]?(\d{2}):?(\d{2})(?::?(\d{2}))?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
# A long whole number as a spreadsheet shows it in a narrow column: its other digits are lost.
SHORTENED = re.compile(r"[+-]?\d(?:[.,]\d+)?E\+\d{2}", re.ASCII)


def has_zone(plain: str) -> bool | None:
    """Return whether the time of day of a cell says its zone; ``None`` for a cell without a time of day."""
    # what is in brackets names the zone once more
    _, colon, tail = plain.partition("[")[0].partition(":")
    if not colon:
        return None
    return "+" in tail or "-" in tail or tail[-1:] in "zZ" or "UTC" in tail.upper() or "GMT" in tail.upper()


def half_of_day(plain: str) -> bool | int | None:
    """Return whether the time of day of a cell says its half of the day, ``AM`` or ``PM``.

    Returns:
        ``True`` where it does, its hour where it doesn't, ``None`` for a cell without a time of day.
    """
    before, colon, tail = plain.partition(":")
    if not colon:
        return None
    if tail.rstrip(". ")[-1:] in "mM" and _HALF.search(tail):
        return True
    hour = before[-2:].strip()
    return int(hour) if hour.isdecimal() else None


def clock_has_zone(plain: str) -> bool | None:
    """Return whether a time of day alone says its zone; ``None`` for a cell that is none."""
    found = _CLOCK.fullmatch(plain)
    return bool(found["zone"]) if found else False if plain.isdecimal() else None


def iso_offset(plain: str) -> bool:
    """Return whether a cell that begins with a date of ISO 8601 ends with an offset from UTC; ``Z`` is none."""
    return "+" in plain or "-" in plain[10:]


def time_of(text: str, form: TimeForm = AUTO) -> float | None:
    """Return seconds since 1970 of a date with or without a time of day, or of a number that counts since 1970 or 1900.

    With a zone it becomes UTC, without one it is as written; negative before 1970. ``None`` for a text that is none,
    that means several times and ``form`` doesn't say which, or that lies outside 1901 to 2100.
    """
    if text[4:5] == "-" and text[10:11] in _BETWEEN:  # nearly always ISO 8601
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            if not found.microsecond or text[19:20] in _FRACTION_MARKS or text[17:18] in _FRACTION_MARKS:
                return _seconds(found)
    plain = bare(text)
    if form.unit is not None:
        return time_of_count(plain, form.unit)
    if form.order is not None and (three := _THREE.fullmatch(plain)) and three["sign"] != ".":
        return time_of_three(three, form.order)
    written = split_time(plain)
    if written is not None:
        parts, clock, zone = written
        return moment_of(parts, clock, zone)
    readings = {order: seconds for order, seconds in orders_of(plain) if seconds is not None}
    if readings:
        if form.order is not None:
            return readings.get(form.order)
        return next(iter(readings.values())) if len(set(readings.values())) == 1 else None
    return seconds_of(float(plain)) if _NUMBER.fullmatch(plain) and not SHORTENED.fullmatch(plain) else None


def clock_of(text: str) -> float | None:
    """Return seconds since midnight, UTC where there is a zone, of ``07:59``, ``7:59:03 pm``, ``0759`` or ``075903``.

    A spreadsheet's fraction of a day counts, too, where it can't be hours and minutes with a point; its times of day
    may have the day before them that it counts from. ``None`` for any other text; three or five digits may have lost a
    zero or two, and mean several times.
    """
    plain = _SHEET_CLOCK.sub("", bare(text))
    if len(plain) in (4, 6) and plain.isdecimal() and plain.isascii():
        plain = ":".join(plain[at : at + 2] for at in range(0, len(plain), 2))
    # 0.30 may be half past midnight, too
    if _FRACTION.fullmatch(plain):
        return None if len(plain) == 4 else round(float(plain) * _DAY * 1000) / 1000
    found = _CLOCK.fullmatch(plain)
    since = None if found is None else since_midnight(found)
    if found is None or since is None or not found["zone"]:
        return since
    return since - (zone_of(found["zone"]).utcoffset(None) or timedelta()).total_seconds()


def month_of(text: str) -> float | None:
    """Return 1 to 12, of a number or of a month's name in one of the languages that dates are read in."""
    plain = bare(text).rstrip(".").casefold()
    if re.fullmatch(r"\d{1,2}(?:\.0+)?", plain, re.ASCII):
        return float(plain)
    found = _MONTHS.get(plain)
    return None if found is None else float(found)


def date_part(text: str) -> str:
    """Return the date of a cell that begins with one of three numbers, without its time of day; else the whole cell."""
    found = _DATE_FIRST.match(text)
    return found[0] if found else text


def readings_of(text: str) -> dict[DateOrder, float]:
    """Return the possible meanings of a cell by the order of its parts; empty for others."""
    return {order: seconds for order, seconds in orders_of(bare(text)) if seconds is not None}


def family_of(text: str) -> CellFamily | None:
    """Return the family of a cell, ``None`` where it is no time at all."""
    plain = bare(text)
    if _ISO.fullmatch(plain) or _MAINFRAME.fullmatch(plain):
        return CellFamily.ISO
    if _YEAR_FIRST.fullmatch(plain):
        return CellFamily.SLASHED_YEAR
    three = _THREE.fullmatch(plain)
    if three:
        return {".": CellFamily.POINTS, "/": CellFamily.SLASHES, "-": CellFamily.DASHES}[three["sign"]]
    if _DIGITS_14.fullmatch(plain) and time_of(plain) is not None:
        return CellFamily.DIGITS_14
    if plain.isdecimal() and plain.isascii() and len(plain) in (6, 8):
        return CellFamily.DIGITS_8 if len(plain) == 8 else CellFamily.DIGITS_6
    if _NUMBER.fullmatch(plain):
        return CellFamily.SHEET if unit_of(float(plain)) is TimeUnit.SHEET_DAYS else CellFamily.NUMBER
    return CellFamily.NAMED if split_time(plain) is not None else None


def unit_of(value: float) -> TimeUnit | None:
    """Return the unit of a number, if that makes a time from 1990 to 2100; no number fits two units."""
    for unit, each in _PER_SECOND.items():
        if _FROM <= value / each < _TO:
            return unit
    return TimeUnit.SHEET_DAYS if _FROM <= value * _DAY + _SHEET_ZERO < _TO else None


def seconds_of(value: float) -> float | None:
    """Return seconds since 1970 of a number that makes one plausible time; ``None`` for any other."""
    unit = unit_of(value)
    if unit is not None:
        return in_seconds(value, unit)
    # 20250104, as JSON and Parquet have it
    if 1e7 <= value < 1e8 and value == int(value):
        return moment_of(date_of_digits(f"{int(value)}", DateOrder.YEAR_FIRST), None, None)
    return None


def numbers() -> list[tuple[float, float]]:
    """Return which numbers :func:`seconds_of` takes for what counts since 1970 or 1900: from where to below where."""
    since = [(_FROM * each, _TO * each) for each in _PER_SECOND.values()]
    return [*since, ((_FROM - _SHEET_ZERO) / _DAY, (_TO - _SHEET_ZERO) / _DAY)]


def bare(text: str) -> str:
    """Return a cell without surrounding and with plain white space, and without what guards it from a spreadsheet."""
    return " ".join(guards.bare(text.replace("\u200b", "").replace("\ufeff", "")).split())


def in_seconds(value: float, unit: TimeUnit) -> float:
    """Return a count of a unit as seconds since 1970."""
    if unit is TimeUnit.SHEET_DAYS:
        # a double of days holds about a microsecond
        return round(value * _DAY * 1000) / 1000 + _SHEET_ZERO
    if unit is TimeUnit.DAYS_1904:
        return round(value * _DAY * 1000) / 1000 + _ZERO_1904
    return value / _PER_SECOND[unit]


def time_of_count(plain: str, unit: TimeUnit) -> float | None:
    """Return the time of a cell that counts units; ``None`` where it is none."""
    if not _NUMBER.fullmatch(plain) or SHORTENED.fullmatch(plain):
        return None
    seconds = in_seconds(float(plain), unit)
    return seconds if 0 <= seconds < _TO else None


def split_time(plain: str) -> tuple[Parts | None, str | None, str | None] | None:
    """Return date, clock and zone of a cell of one meaning; ``None`` where it isn't one."""
    for pattern in (_ISO, _YEAR_FIRST, _MAINFRAME):
        found = pattern.fullmatch(plain)
        if found:
            return (int(found["y"]), int(found["m"]), int(found["d"])), found["clock"], None
    three = _THREE.fullmatch(plain)
    if three:
        if three["sign"] != ".":
            return None
        return (full_year(three["c"]), int(three["b"]), int(three["a"])), three["clock"], None
    digits = _DIGITS_14.fullmatch(plain)
    if digits and _FIRST_COMPACT <= int(digits[1]) < LAST_YEAR:
        parts = (int(digits[1]), int(digits[2]), int(digits[3]))
        if is_valid(parts):
            return parts, ":".join(part for part in digits.groups()[3:] if part), None
    for pattern in (_DAY_NAMED, _NAMED_DAY, _C_TIME, _LOGGED):
        found = pattern.fullmatch(plain)
        month = found and _MONTHS.get(found["name"].casefold())
        if found and month:
            zone = found.groupdict().get("zone")
            return (full_year(found["y"]), month, int(found["d"])), found["clock"], zone
    return None


def orders_of(plain: str) -> Iterator[tuple[DateOrder, float | None]]:
    """Yield every order of the parts of a cell, and the time that it makes, if any."""
    three = _THREE.fullmatch(plain)
    if three and three["sign"] != ".":
        for order in DateOrder:
            yield order, time_of_three(three, order)
    elif len(plain) in (6, 8) and plain.isdecimal() and plain.isascii():
        for order in DateOrder:
            yield order, plausible_time(moment_of(date_of_digits(plain, order), None, None))


def time_of_three(three: re.Match[str], order: DateOrder) -> float | None:
    """Return the time of three numbers with slashes or dashes between them, and a time of day perhaps."""
    a, b, c = three["a"], three["b"], three["c"]
    if order is DateOrder.DAY_FIRST:
        return moment_of((full_year(c), int(b), int(a)), three["clock"], None)
    if order is DateOrder.MONTH_FIRST:
        return moment_of((full_year(c), int(a), int(b)), three["clock"], None)
    if len(c) > 2 or len(a) < 2:
        return None
    return plausible_time(moment_of((full_year(a), int(b), int(c)), three["clock"], None))


def date_of_digits(plain: str, order: DateOrder) -> Parts:
    """Return year, month and day of six or eight digits."""
    long = len(plain) == 8
    if order is DateOrder.YEAR_FIRST:
        year, month, day = plain[:-4], plain[-4:-2], plain[-2:]
    else:
        first, second, year = plain[:2], plain[2:4], plain[4:]
        day, month = (first, second) if order is DateOrder.DAY_FIRST else (second, first)
    return (int(year) if long else full_year(year)), int(month), int(day)


def full_year(year: str) -> int:
    """Return the year that two digits mean: the latest one that isn't far ahead."""
    if len(year) > 2:
        return int(year)
    latest = (datetime.now(UTC) + AHEAD).year
    return latest - (latest - int(year)) % 100


def plausible_time(seconds: float | None) -> float | None:
    """Return a time whose order of parts is a guess only if it lies between 1990 and the next year: else it is another
    order.
    """
    if seconds is None:
        return None
    latest = (datetime.now(UTC).replace(tzinfo=None) + AHEAD - EPOCH).total_seconds()
    return seconds if _FROM <= seconds <= latest else None


def is_valid(parts: Parts) -> bool:
    """Return whether the parts of a date can be one."""
    try:
        datetime(*parts)  # noqa: DTZ001
    except ValueError:
        return False
    return True


def moment_of(parts: Parts | None, clock: str | None, zone: str | None) -> float | None:
    """Return the seconds since 1970 of a date with its time of day and zone; ``None`` where they make none."""
    if parts is None or not is_valid(parts):
        return None
    found = datetime(*parts)  # noqa: DTZ001
    if clock:
        match = _CLOCK.fullmatch(clock.strip())
        since = None if match is None else since_midnight(match)
        if match is None or since is None:
            return None
        found += timedelta(seconds=since)
        zone = match["zone"] or zone
    return _seconds(found.replace(tzinfo=zone_of(zone)) if zone else found)


def since_midnight(clock: re.Match[str]) -> float | None:
    """Return seconds of a time of day as it is written, without its zone."""
    if clock["m"] is None and clock["half"] is None:
        return None
    hour, minute, second = int(clock["h"]), int(clock["m"] or 0), int(clock["s"] or 0)
    if clock["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if clock["half"][0] in "Pp" else 0)
    end_of_day = hour == 24 and minute == second == 0  # as ISO 8601 had it
    if (hour > 23 and not end_of_day) or minute > 59 or second > 60:
        return None
    return hour * 3600.0 + minute * 60 + second + float(f"0.{clock['f'] or 0}")


def zone_of(text: str) -> timezone:
    """Return a zone as it is written: Z, or hours and minutes."""
    if text[0] not in "+-":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(ahead if text[0] == "+" else -ahead)


def _seconds(found: datetime) -> float | None:
    if found.tzinfo is not None:
        try:
            found = found.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:  # before the year 1 or after 9999, in UTC
            return None
    return (found - EPOCH).total_seconds() if FIRST_YEAR <= found.year < LAST_YEAR else None
