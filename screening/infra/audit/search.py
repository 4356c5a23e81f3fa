"""Search the audit log: entries by user, object, event and time, the latest first, a page at a time."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from screening.errors import ScreeningError
from screening.infra.audit.chain import CHAIN

ABOUT = ("time", "event", "user", "address", "request_id", "key", "key_name", CHAIN)
"""Fields that say when, who and from where; all others say what an entry is about."""
PLACE = re.compile(r"(audit(?:-\d{4}-\d\d)?\.jsonl):(\d{1,15})", re.ASCII)


class BadSearch(ScreeningError):
    """A filter of the audit log that can't be used."""

    title = "The filter can't be used"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSearch:
    """Filter of audit entries: of one user, about one object (the value of any field), of one event, from a time up to
    before another. ``None``: all.
    """

    user: str | None = None
    about: str | None = None
    event: str | None = None
    begin: datetime | None = None
    end: datetime | None = None

    def takes(self, entry: dict[str, Any]) -> bool:
        """Return whether an entry is one of them."""
        if self.event is not None and entry.get("event") != self.event:
            return False
        if self.user is not None and str(entry.get("user", "")).casefold() != self.user.casefold():
            return False
        if self.about is not None and self.about.casefold() not in values_in(about_of(entry)):
            return False
        moment = moment_of(entry)
        return (self.begin is None or moment >= self.begin) and (self.end is None or moment < self.end)


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry, and where it begins: ``<file>:<byte>``."""

    entry: dict[str, Any]
    place: str


def search(files: Sequence[Path], chosen: AuditSearch, before: str | None = None) -> Iterator[FoundEntry]:
    """Yield entries, the latest first.

    Args:
        files: of the log, the oldest first.
        chosen: which entries.
        before: the place of an entry; those that were written before it come.

    Raises:
        BadSearch: ``before`` is no place.
    """
    name, place = place_of(before)
    for file in reversed(files_within(files, chosen)):
        if name is not None and order_of(file.name) > order_of(name):
            continue
        for start, line in lines_backwards(file, place if file.name == name else None):
            entry = read_entry(line)
            if entry is not None and chosen.takes(entry):
                yield FoundEntry(entry, f"{file.name}:{start}")


def forwards(files: Sequence[Path], chosen: AuditSearch) -> Iterator[dict[str, Any]]:
    """Yield entries in the order in which they were written."""
    for file in files_within(files, chosen):
        with file.open("rb") as lines:
            for line in lines:
                entry = read_entry(line)
                if entry is not None and chosen.takes(entry):
                    yield entry


def about_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an entry that say what it is about."""
    return {name: value for name, value in entry.items() if name not in ABOUT}


def files_within(files: Sequence[Path], chosen: AuditSearch) -> list[Path]:
    """Return the files of the months in question; the one of old versions may have any."""
    first = "" if chosen.begin is None else f"audit-{chosen.begin.astimezone(UTC):%Y-%m}.jsonl"
    last = "audit-9999" if chosen.end is None else f"audit-{chosen.end.astimezone(UTC):%Y-%m}.jsonl"
    return [file for file in files if file.name == "audit.jsonl" or first <= file.name <= last]


def values_in(value: Any) -> set[str]:
    """Return all values of an entry's field as texts in small letters."""
    if isinstance(value, dict):
        return set().union(*map(values_in, value.values()))
    if isinstance(value, list):
        return set().union(*map(values_in, value))
    return {str(value).casefold()}


def moment_of(entry: dict[str, Any]) -> datetime:
    """Return the time of an entry; the earliest there is for one that can't be read."""
    try:
        found = datetime.fromisoformat(str(entry.get("time")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_entry(line: bytes) -> dict[str, Any] | None:
    """Return the entry of a line; ``None`` for a line that is none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        # torn; verification tells of it
        return None
    return found if isinstance(found, dict) and "event" in found else None


def place_of(text: str | None) -> tuple[str | None, int | None]:
    """Return the file and the place that an address names. Raises :class:`BadSearch` for any other text."""
    if text is None:
        return None, None
    found = PLACE.fullmatch(text)
    if found is None:
        raise BadSearch(
            "“before” is no place in the audit log.", where="before", remedy="Begin at the first page."
        )
    return found[1], int(found[2])


def order_of(name: str) -> str:
    """Return what files are sorted by: the one of old versions comes before those of months."""
    return "" if name == "audit.jsonl" else name


def lines_backwards(file: Path, end: int | None) -> Iterator[tuple[int, bytes]]:
    """Yield where each line begins, and the line, from the last one that begins before a place."""
    with file.open("rb") as opened:
        size = opened.seek(0, 2)
        if not size:
            return
        with mmap.mmap(opened.fileno(), size, access=mmap.ACCESS_READ) as text:
            stop = size if end is None else min(end, size)
            while stop > 0:
                start = text.rfind(b"\n", 0, stop - 1) + 1
                yield start, text[start:stop]
                stop = start
