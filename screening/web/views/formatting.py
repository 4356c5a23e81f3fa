"""Format numbers, sizes, times and shares for pages: Jinja filters, each a small pure function.

Rounding never changes what a number says: a probability below the threshold never reads as the threshold, and
a share above nought never reads as nought.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from screening.intake.numbers import excerpt
from screening.scoring.drift import MUCH, SOME

NOTHING = "–"
PERCENT = "\u00a0%"
HOUR, DAY = 3600, 86_400
# 1980 to 2100: no file's own clock runs that long
EARLIEST_DATE, LATEST_DATE = 315_532_800, 4_102_444_800
DIGITS = 4
BYTE_UNITS = ("bytes", "kB", "MB", "GB", "TB")
AGES = ((365 * DAY, "year"), (30 * DAY, "month"), (DAY, "day"), (3600, "hour"), (60, "minute"))
STATE_WORDS = {
    "receiving": "being sent",
    "queued": "waiting",
    "running": "being scored",
    "checking": "being checked",
    "checked": "checked, not scored",
    "done": "done",
    "failed": "failed",
}
DOCUMENT_WORDS = {
    "waiting": "Waiting",
    "running": "Being made",
    "done": "Made",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
TRAINING_WORDS = {
    "receiving": "being sent",
    "choosing": "columns to be chosen",
    "waiting": "waiting",
    "running": "being made",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}
FIELD_WORDS = {
    "username": "Username",
    "email": "E-mail address",
    "password": "Password",
    "current_password": "Present password",
    "new_password": "New password",
    "role": "Role",
    "state": "State",
    "file": "File",
    "name": "Name",
    "label": "Label column",
    "label_delay": "Label delay, days",
    "owner": "Owner",
    "scopes": "Scopes",
    "days": "Expires",
    "per_minute": "Requests a minute",
    "burst": "Requests at once",
}
LABEL_WORDS = {0: "legitimate", 1: "fraud"}


def number(value: float | None) -> str:
    """Return a count with separators: ``284,807``."""
    return NOTHING if value is None else f"{value:,.0f}"


def amount(value: float | None) -> str:
    """Return a sum of money with two decimals, in the currency of the file: ``1,234.50``."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:,.2f}"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share (0..1) as ``4.2 %``, with a space that doesn't break; what isn't nought or all never reads so."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value in (0, 1):
        return f"{value * 100:.0f}{PERCENT}"
    least = 10.0**-digits
    if 0 < value * 100 < least / 2:
        return f"< {least:.{digits}f}{PERCENT}"
    if 100 - least / 2 < value * 100 < 100:  # per cent
        return f"> {100 - least:.{digits}f}{PERCENT}"
    return f"{value * 100:.{digits}f}{PERCENT}"


def probability(value: float | None, threshold: float | None = None) -> str:
    """Return a probability with four decimals, more where rounding would carry it over ``threshold``.

    0.79999 under a threshold of 0.8 must not read as 0.8: it was not flagged.
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    least = 10.0**-DIGITS
    if 0 < value < least / 2:
        return f"< {least:.{DIGITS}f}"
    if 1 - least / 2 < value < 1:
        return f"> {1 - least:.{DIGITS}f}"
    for digits in range(DIGITS, 10):
        text = f"{value:.{digits}f}"
        if threshold is None or (float(text) >= threshold) == (value >= threshold):
            return text
    return repr(value)


def score(value: float | None, threshold: float | None = None) -> str:
    """Return a probability as a score from 0 to 100: ``99.8``, with more decimals where rounding would carry it over
    ``threshold``.
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if 0 < value < 0.0005:  # would read as nothing
        return "< 0.1"
    if 0.9995 <= value < 1:  # would read as certain
        return "> 99.9"
    for digits in range(1, 8):
        text = f"{value * 100:.{digits}f}"
        if threshold is None or (float(text) / 100 >= threshold) == (value >= threshold):
            return text
    return repr(value * 100)


def times(value: float) -> str:
    """Return how many times: with one digit below ten, in whole numbers above."""
    return f"{value:,.1f}" if value < 9.95 else f"{value:,.0f}"


def plain(value: float | None) -> str:
    """Return a setting such as a threshold, as short as it can be: ``0.8``; float32 noise is left out."""
    return NOTHING if value is None else f"{value:.6g}"


def figure(value: float | None, digits: int = 3) -> str:
    """Return a measure such as AUC with fixed decimals: ``0.857``."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def reading(value: float | None) -> str:
    """Return a value of a column with as many decimals as its size asks for: ``−0.952``, ``47,459``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    digits = 3 if abs(value) < 100 else 0  # beyond it, decimals are noise
    return f"{value:,.{digits}f}".replace("-", "−")


def byte_size(value: float | None) -> str:
    """Return a size as ``150.8 MB`` (powers of 1,000, as file managers count)."""
    if value is None:
        return NOTHING
    size = float(value)
    for unit in BYTE_UNITS:
        if size < 1000 or unit == BYTE_UNITS[-1]:  # the prefix's factor
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return NOTHING


def mebibytes(value: float) -> str:
    """Return a limit that was set in MB of 2^20 bytes, as it was set: ``1,024 MB``."""
    return f"{value / 2**20:,.0f} MB"


def clock(seconds: float | None) -> str:
    """Return seconds since the file's clock began, as ``1 d 03:12:45``; a date where the clock is that of 1970."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if EARLIEST_DATE <= seconds < LATEST_DATE:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    whole = int(seconds)
    days, rest = divmod(whole, DAY)
    text = f"{rest // 3600:02d}:{rest % 3600 // 60:02d}:{rest % 60:02d}"
    return f"{days} d {text}" if days else text


def duration(seconds: float | None) -> str:
    """Return a duration in words: ``0.4 s``, ``2 min 5 s``, ``3 h 20 min``, ``12 days``."""
    if seconds is None:
        return NOTHING
    if seconds < 0.1:  # would round to nothing
        return "less than 0.1 s"
    if seconds < 60:  # seconds in a minute
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    if seconds < 2 * DAY:
        return f"{int(seconds // HOUR)} h {int(seconds % HOUR) // 60} min"
    return f"{seconds // DAY:,.0f} days"


def latency(seconds: float | None) -> str:
    """Return the latency of a request: ``3.2 ms``, ``1.4 s``."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def days(seconds: float | None) -> str:
    """Return a span that was set in days: ``7 days``."""
    return NOTHING if seconds is None else f"{seconds / DAY:g} {plural(seconds / DAY, 'day')}"


def moment(when: datetime | None) -> str:
    """Return a point in time, UTC, to the minute: ``20 Nov 2026, 22:15 UTC``."""
    return NOTHING if when is None else f"{in_utc(when):%-d %b %Y, %H:%M} UTC"


def date(when: datetime | None) -> str:
    """Return the day of a point in time, UTC: ``20 Nov 2026``."""
    return NOTHING if when is None else f"{in_utc(when):%-d %b %Y}"


def iso(when: datetime | None) -> str:
    """Return a point in time for ``<time datetime>``."""
    return "" if when is None else in_utc(when).isoformat(timespec="seconds")


def ago(when: datetime | None, now: datetime | None = None) -> str:
    """Return the time since a moment in one unit: ``3 minutes ago``."""
    if when is None:
        return NOTHING
    seconds = ((now or datetime.now(UTC)) - in_utc(when)).total_seconds()
    if seconds < 60:  # seconds in a minute
        return "just now"
    for size, word in AGES:
        count = int(seconds // size)
        if count:
            return f"{count} {plural(count, word)} ago"
    return "just now"


def plural(count: float, one: str, many: str | None = None) -> str:
    """Return the word that goes with a count."""
    return one if count == 1 else many or f"{one}s"


def out_of_hundred(value: float | None) -> str:
    """Return a calibrated probability in words: ``97 in 100``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value >= 0.995:  # would round to 100 in 100
        return "more than 99 in 100"
    if value < 0.005:  # would round to 0 in 100
        return "fewer than 1 in 100"
    return f"{value * 100:.0f} in 100"


def short_hash(text: str | None, length: int = 12) -> str:
    """Return the beginning of a hash, for reading; the whole appears in the title."""
    return NOTHING if not text else text[:length]


def state_word(state: str) -> str:
    """Return a screening's state as a person says it."""
    return STATE_WORDS.get(state, state)


def training_word(state: str) -> str:
    """Return a training's state as a person says it."""
    return TRAINING_WORDS.get(state, state)


def document_word(state: str) -> str:
    """Return a document's state as a person says it."""
    return DOCUMENT_WORDS.get(state, state)


def days_later(when: datetime, count: int) -> datetime:
    """Return the day so many days after a moment."""
    return when + timedelta(days=count)


def day(seconds: float | None) -> str:
    """Return seconds since 1970 as a date: ``20 Nov 2026``."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%-d %b %Y}"
    except (OverflowError, ValueError, OSError):
        return reading(seconds)


def label_word(label: int | None) -> str:
    """Return a row's own label in words; -1 and ``None`` are rows without one."""
    return LABEL_WORDS.get(-1 if label is None else label, NOTHING)


def place(where: str) -> str:
    """Return the place of an error in words: the words on a field for its name, anything else as it is."""
    return FIELD_WORDS.get(where, where)


def change_word(index: float) -> str:
    """Return the meaning of a population stability index in words."""
    return "a large change" if index > MUCH else "some change" if index > SOME else "no change"


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters, with … in the place of the rest."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def short_name(name: str) -> str:
    """Return the name of a file's column as a page may show it: short, and without a card number."""
    return excerpt(name)


def columns_in_short(columns: Sequence[str]) -> str:
    """Return names with their runs drawn together: ``Time, V1 to V28, Amount``."""
    runs: list[list[str]] = []
    for name in columns:
        if runs and _follows(runs[-1][-1], name):
            runs[-1].append(name)
        else:
            runs.append([name])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


def share(part: float, whole: float) -> float:
    """Return a part over the whole, 0 when there is no whole."""
    return part / whole if whole else 0.0


def _follows(name: str, after: str) -> bool:
    """Return whether ``after`` is ``name`` with its number one higher, as V2 after V1."""
    stem = name.rstrip("0123456789")
    number = name[len(stem) :]
    return bool(number) and after == f"{stem}{int(number) + 1}"


def in_utc(when: datetime) -> datetime:
    """Return a moment in UTC, which one without a zone is taken for."""
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


FILTERS: tuple[Callable[..., Any], ...] = (
    number, amount, percent, probability, score, times, plain, figure, reading, byte_size, mebibytes, clock, duration,
    latency, moment, date, iso, ago, plural, out_of_hundred, short_hash, state_word, training_word, document_word,
    day, days, days_later,
    label_word, share, place,
    change_word,
    columns_in_short,
    short_name,
)  # fmt: skip
"""Every filter; its name in templates is the function's."""
