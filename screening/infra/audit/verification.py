"""Verify the chain of the audit log: name the first entry that was changed, removed, moved or added."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from screening.infra.audit.chain import CHAIN, NOTHING, ChainHead, hash_of, parse

LOST = (
    "the head was missing or damaged when this entry was written: whether entries before it were cut off, only a head "
    "can tell that was kept elsewhere since"
)


@dataclass(frozen=True, slots=True)
class AuditFault:
    """First fault of an audit log: the number of the entry, its file, and the line there (from 1)."""

    problem: str
    number: int | None = None
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        where = ", ".join(
            part
            for part in (
                self.file or "",
                f"line {self.line:,}" if self.line else "",
                f"entry {self.number:,}" if self.number else "",
            )
            if part
        )
        return f"{where}: {self.problem}" if where else self.problem


@dataclass(slots=True)
class Verification:
    """Result of a verification: how many entries are whole and from which to which, the first fault, and what a reader
    must know besides.
    """

    entries: int = 0
    first: int | None = None
    last: int | None = None
    fault: AuditFault | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a file: where it is, its bytes, where they end there, whether a line's end follows, and its entry."""

    file: Path
    number: int
    text: bytes
    end: int
    whole: bool
    entry: dict[str, Any] | None


def verify(
    files: Sequence[Path], key: bytes, heads: Sequence[tuple[str, ChainHead | None]], since: str | None = None
) -> Verification:
    """Verify the files of a log.

    Args:
        files: all that there are; also those that were moved away, if they are at hand.
        key: what heads are signed with.
        heads: what each is called, and the head: first the one beside the log, then those that were kept elsewhere.
        since: a month, as ``2026-11``: what came before was moved away, and isn't missed.
    """
    walk = _Walk(files, since, {head.number: None for _, head in heads if head is not None})
    found = walk.found
    found.fault = walk.fault()
    for index, (name, head) in enumerate(heads):
        if found.fault is None and (head is not None or walk.chained or index):
            found.fault = check_head(found, name, head, key, walk.pinned, beside=index == 0)
    proven = max((head.number for _, head in heads[1:] if head is not None), default=0)
    for fault in walk.lost:
        if found.fault is None and proven < (fault.number or 0) - 1:
            found.fault = fault
    return found


class _Walk:
    """Goes through all entries to the first fault; notes the hashes that heads pin, and where a head was lost."""

    def __init__(self, files: Sequence[Path], since: str | None, pinned: dict[int, str | None]) -> None:
        self.found = Verification()
        self.chained, self._plain = arrange_files(files)
        self.pinned = pinned
        self.lost: list[AuditFault] = []
        self._files, self._since = files, since
        self._previous, self._number = NOTHING, 0
        if not self.chained:
            self.found.notes.append("no entry is in the chain yet")

    def fault(self) -> AuditFault | None:
        """Return the first fault."""
        for index, file in enumerate(self.chained):
            between: _Line | None = None
            for line in lines_of_chain(file, first=index == 0):
                if line.entry is None:
                    between = line
                    continue
                fault = self._first(line, file) or next(self._problems(line, between), None)
                if fault is not None:
                    return fault
                self._count(line)
                between = None
            if between is not None and between.whole:
                problem = "was changed, or the line was added: it is no entry"
                return AuditFault(problem, self._number + 1, file.name, between.number)
            if between is not None:
                self.found.notes.append(f"{file.name} ends in a torn line, which was never an entry")
        return None

    def _count(self, line: _Line) -> None:
        link = (line.entry or {})[CHAIN]
        self._number, self._previous = link["number"], link["hash"]
        self.found.entries += 1
        self.found.last = self._number
        if self._number in self.pinned:
            self.pinned[self._number] = self._previous
        if link.get("head_lost"):
            self.lost.append(AuditFault(LOST, self._number, line.file.name, line.number))

    def _first(self, line: _Line, file: Path) -> AuditFault | None:
        """Begin at the first entry that is there; return what is missing before it."""
        if self.found.first is not None:
            return None
        link = (line.entry or {})[CHAIN]
        self.found.first = link["number"]
        self._previous, self._number = link["previous"], link["number"] - 1
        if self._number > 0:
            return _missing(self.found, link["number"], file, self._since)
        self._previous = NOTHING
        return check_earlier(self.found, link, self._plain, self._files, self._since)

    def _problems(self, line: _Line, between: _Line | None) -> Iterator[AuditFault]:
        """Yield what is wrong with an entry, the most telling first."""
        entry, number = line.entry or {}, self._number + 1
        link = entry[CHAIN]

        def at(problem: str, where: int = 0) -> AuditFault:
            return AuditFault(problem, number, line.file.name, where or line.number)

        if link["number"] != number:
            if between is not None:
                yield at("was changed: the line isn't as it was written", between.number)
            elif number in numbers_in(self.chained):
                yield at(f"isn't where it was written: entry {link['number']:,} is there")
            yield at(f"was removed: entry {link['number']:,} follows entry {number - 1:,}")
        whole = hash_of(entry) == link["hash"]
        if whole and link["previous"] != self._previous:
            fault = at("was changed: the next entry names another hash", max(1, line.number - 1))
            yield replace(fault, number=number - 1)
        if not whole:
            yield at("was changed: its hash isn't the one that it names")
        if (line.number == 1) != ("opens" in link):
            yield at("isn't where it was written: lines before it were removed or added")
        if (None if between is None else hashlib.sha256(between.text).hexdigest()) != link.get("fragment"):
            where = line.number if between is None else between.number
            yield at("doesn't know the text before it: a line was added, changed or removed", where)


def check_head(
    found: Verification,
    name: str,
    head: ChainHead | None,
    key: bytes,
    pinned: dict[int, str | None],
    *,
    beside: bool,
) -> AuditFault | None:
    """Return what a head tells: an end that was cut off, or a chain that was written again."""
    last = found.last or 0
    if head is None or not head.holds(key):
        return AuditFault(f"the head {name} is missing, was changed, or isn't this instance's")
    if head.number > last:
        missing = f"entries {last + 1:,} to {head.number:,} are" if head.number > last + 1 else "it is"
        return AuditFault(
            f"was cut off with the end: the head {name} is of entry {head.number:,}; {missing} missing",
            last + 1,
        )
    if head.number < (found.first or 0):
        found.notes.append(f"the head {name} is of entry {head.number:,}, which was moved away")
    elif pinned[head.number] != head.hash:
        return AuditFault(f"was changed, or all of the chain: the head {name} has another hash", head.number)
    # one may be: its writer was killed before it wrote the head
    if beside and head.number < last - 1:
        return AuditFault(f"was added: the head {name} is of entry {head.number:,}", head.number + 1)
    return None


def _missing(found: Verification, first: int, file: Path, since: str | None) -> AuditFault | None:
    said = f"entries 1 to {first - 1:,} aren't here" if first > 2 else "entry 1 isn't here"
    if since is not None and file.name >= f"audit-{since}":
        found.notes.append(f"{said}: they were moved away")
        return None
    return AuditFault(f"was removed, or moved away: {said}", 1, file.name, 1)


def check_earlier(
    found: Verification,
    link: dict[str, Any],
    plain: dict[str, list[Path]],
    files: Sequence[Path],
    since: str | None,
) -> AuditFault | None:
    """Compare what was written before there was a chain with what the first entry says of it."""
    told = link.get("earlier", ())
    for each in told:
        same = [path for path in files if path.name == each["file"]]
        if not same and since is None:
            return AuditFault("was removed, or moved away: the first entry names it", file=each["file"])
        if not same:
            found.notes.append(f"{each['file']} was moved away")
        elif not any(_begins(path, each) for path in same):
            return AuditFault("was changed since the chain began after it", file=each["file"])
    added = sorted(set(plain) - {each["file"] for each in told})
    return (
        AuditFault("holds no entry of the chain: it was changed or added", file=added[0]) if added else None
    )


def _begins(path: Path, said: dict[str, Any]) -> bool:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        left = int(said["bytes"])
        while left and (part := file.read(min(left, 1 << 20))):
            digest.update(part)
            left -= len(part)
    return not left and digest.hexdigest() == said["sha256"]


def arrange_files(files: Sequence[Path]) -> tuple[list[Path], dict[str, list[Path]]]:
    """Return files with entries of the chain, by their first one's number, and by name those without any."""
    numbered: list[tuple[int, Path]] = []
    plain: dict[str, list[Path]] = {}
    for file in files:
        first = next((line.entry for line in _lines(file) if line.entry is not None), None)
        if first is not None:
            numbered.append((first[CHAIN]["number"], file))
        elif file.stat().st_size:
            plain.setdefault(file.name, []).append(file)
    return [file for _, file in sorted(numbered, key=lambda each: (each[0], each[1].name))], plain


def lines_of_chain(file: Path, *, first: bool) -> Iterator[_Line]:
    """Yield the lines of a file without those from before there was a chain, which only the first may have."""
    begun = 0
    if first:
        entry = next(line.entry for line in _lines(file) if line.entry is not None)
        told = {each["file"]: int(each["bytes"]) for each in entry[CHAIN].get("earlier", ())}
        begun = told.get(file.name, 0)
    return (line for line in _lines(file) if line.end > begun + 1)


def _lines(file: Path) -> Iterator[_Line]:
    end = 0
    with file.open("rb") as lines:
        for number, text in enumerate(lines, 1):
            end += len(text)
            whole = text.endswith(b"\n")
            bare = text.removesuffix(b"\n")
            yield _Line(file, number, bare, end, whole, parse(bare) if whole else None)


def numbers_in(chained: Sequence[Path]) -> set[int]:
    """Return the numbers of all entries in some files."""
    return {
        line.entry[CHAIN]["number"] for file in chained for line in _lines(file) if line.entry is not None
    }
