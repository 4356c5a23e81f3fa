"""Texts, times and addresses as the numbers that stand for them: one meaning for files, JSON and training.

Standard library and NumPy only: a web process that scores one transaction pays for nothing else.
"""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

CODE_BITS = 53
"""As many as a float64 holds exactly. Of ten million different texts, one pair in 180 such files shares a code."""
FIRST_YEAR, LAST_YEAR = 1970, 2100
MILLISECONDS = 1e11
"""A number of seconds beyond it would be past the year 5100: it is milliseconds."""
WHOLE = re.compile(r"([+-]?(?:0|[1-9]\d{0,17}))\.0+", re.ASCII)
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- times without a zone are taken as written
DAY_FIRST = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?:[ T]+(.+))?", re.ASCII)
CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*([AaPp]\.?[Mm]\.?)?", re.ASCII)
COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:[ T]?(\d{2})(\d{2})(\d{2})?)?", re.ASCII)
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
Floats = NDArray[np.float64]


class TimeFormat(StrEnum):
    """How a column writes its dates; ``AUTO`` takes what has one meaning only."""

    AUTO = "auto"
    DAY_FIRST = "31/12/2025"
    MONTH_FIRST = "12/31/2025"


def text_code(text: str) -> float:
    """The number of a text: equal for texts that differ by case, surrounding spaces, Unicode form, or by a ``.0``.

    Case plays no part, as in headers: "Visa" and "VISA" are one scheme, and identifiers that differ by case alone are
    rarer than exports that change it. Leading zeros do: account 007 isn't account 7.
    """
    plain = text.strip()
    if not plain.isascii():
        plain = unicodedata.normalize("NFC", plain)
    whole = WHOLE.fullmatch(plain)
    key = whole[1] if whole else plain.casefold()
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return float(int.from_bytes(digest, "big") >> (64 - CODE_BITS))


def address_code(text: str) -> float | None:
    """An IP address: IPv4, dotted or as a number (its fraction is dropped), from 0; IPv6 as a negative code.

    ``None`` for a text that is none.
    """
    plain = text.strip()
    if NUMBER.fullmatch(plain):
        value = math.floor(float(plain))
        return float(value) if 0 <= value < 2**32 else None
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return float(int(mapped)) if mapped else -1.0 - text_code(address.compressed)
    return float(int(address))


def time_of(text: str, form: TimeFormat = TimeFormat.AUTO) -> float | None:
    """Seconds since 1970 of a date with or without a time: ISO 8601, 31.12.2025, 31/12/2025 or 12/31/2025 as ``form``
    says, 20251231, or a number of seconds or milliseconds. With a zone it becomes UTC, without one it is as written.

    ``None`` for a text that is none, that means two things, or that lies outside 1970 to 2100.
    """
    plain = text.strip()
    try:
        found = datetime.fromisoformat(plain) if plain[4:5] == "-" else _other(plain, form)
    except ValueError:
        return None
    if found is None:
        return _epoch(plain)
    if found.tzinfo is not None:
        try:
            found = found.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:  # before the year 1 or after 9999, in UTC
            return None
    return (found - EPOCH).total_seconds() if FIRST_YEAR <= found.year < LAST_YEAR else None


def _other(plain: str, form: TimeFormat) -> datetime | None:
    compact = COMPACT.fullmatch(plain)
    if compact and FIRST_YEAR <= int(compact[1]) < LAST_YEAR and int(compact[2]) <= 12:  # months
        parts = [int(part) for part in compact.groups() if part]
        return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001
    found = DAY_FIRST.fullmatch(plain)
    if not found:
        return None
    first, second, year = int(found[1]), int(found[3]), int(found[4])
    day, month = _day_and_month(first, second, found[2], form)
    hour, minute, sec = _clock(found[5])
    return datetime(year, month, day, hour, minute, sec)  # noqa: DTZ001


def _day_and_month(first: int, second: int, sign: str, form: TimeFormat) -> tuple[int, int]:
    """Points are day first everywhere; a number beyond twelve is a day; else the form must say."""
    if sign == "." or form is TimeFormat.DAY_FIRST or (form is TimeFormat.AUTO and first > 12):
        return first, second
    if form is TimeFormat.MONTH_FIRST or second > 12:
        return second, first
    raise ValueError("the day can't be told from the month")


def _clock(text: str | None) -> tuple[int, int, int]:
    if not text:
        return 0, 0, 0
    found = CLOCK.fullmatch(text.strip())
    if not found:
        raise ValueError("no time of day")
    hour = int(found[1])
    if found[4]:
        if not 1 <= hour <= 12:
            raise ValueError("no hour of twelve")
        hour = hour % 12 + (12 if found[4][0] in "Pp" else 0)
    return hour, int(found[2]), int(found[3] or 0)


def _epoch(plain: str) -> float | None:
    if not NUMBER.fullmatch(plain):
        return None
    return seconds_of(float(plain))


def seconds_of(value: float) -> float | None:
    """Seconds since 1970 of a number of seconds or milliseconds; ``None`` outside 1970 to 2100."""
    seconds = value / 1000 if abs(value) >= MILLISECONDS else value
    return seconds if 0 <= seconds < (datetime(LAST_YEAR, 1, 1) - EPOCH).total_seconds() else None  # noqa: DTZ001


def form_of(texts: Iterable[str]) -> tuple[TimeFormat, bool]:
    """How a column writes its dates, judged by some of its cells, and whether they leave it open.

    A first number beyond twelve anywhere means day first for all, a second one month first; where neither comes
    (or both do), the day comes first, as in most of the world.
    """
    day, month, slashed = False, False, False
    for text in texts:
        found = DAY_FIRST.fullmatch(text.strip())
        if found and found[2] != ".":
            slashed = True
            day, month = day or int(found[1]) > 12, month or int(found[3]) > 12
    if not slashed:
        return TimeFormat.AUTO, False
    if month and not day:
        return TimeFormat.MONTH_FIRST, False
    return TimeFormat.DAY_FIRST, day == month


def codes(texts: Sequence[str], read: Callable[[str], float | None]) -> Floats:
    """What ``read`` makes of each text, float64 (len(texts),), NaN for ``None``; equal texts are read once."""
    known: dict[str, float] = {}
    found = np.empty(len(texts))
    for place, text in enumerate(texts):
        value = known.get(text)
        if value is None:
            made = read(text)
            value = known[text] = math.nan if made is None else made
        found[place] = value
    return found
