"""The chain of the audit log: each entry names the hash of the one before, and a signed head names the last.

An entry's hash is SHA-256 of its canonical JSON (keys sorted, no blanks, ASCII) without the hash itself; it covers the
hash of the entry before, so that none can be changed, removed or moved without the next one telling. What no hash can
tell is whether the end was cut off: that is the head's business, which lies beside the log, is signed with a key of
the instance, and is worth most when a copy of it is kept elsewhere.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import lock_descriptor

from screening.infra.host_locks import between_hosts

CHAIN = "chain"
"""The field of an entry that has ``number`` (from 1), ``previous`` and ``hash``; the first entry of a file also
``opens``, the first of all ``earlier``. ``fragment`` is there after a torn line, ``head_lost`` after a lost head."""
NOTHING = "0" * 64
"""The hash before the first entry."""
HEAD, LOCK = "audit.head", "audit.lock"
# One sector: the head is written in place, and a loss of power leaves no half of a sector.
HEAD_BYTES = 512
MODE = 0o600
encode = json.JSONEncoder().encode
_sort = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
# The last entry of a file is looked for so far from its end: no entry is longer.
LAST_BYTES = 1 << 16
# Between two looks whether another writer's turn is over, which takes a fraction of a millisecond.
POLL_SECONDS = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """The last entry of a log: its number, hash and time, the file that it is in, and where it ends there (bytes)."""

    number: int
    hash: str
    file: str
    size: int
    time: str
    signature: str = ""

    def signed(self, key: bytes) -> ChainHead:
        """Return it with its signature, HMAC-SHA256 over the rest as canonical JSON."""
        return replace(self, signature=self._signature(key))

    def holds(self, key: bytes) -> bool:
        """Return whether the signature is that of the key."""
        return hmac.compare_digest(self.signature, self._signature(key))

    def text(self) -> str:
        """Return it as a line of JSON."""
        return encode({**self._said(), "signature": self.signature})

    def _signature(self, key: bytes) -> str:
        return hmac.digest(key, canonical(self._said()), "sha256").hex()

    def _said(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "hash": self.hash,
            "file": self.file,
            "size": self.size,
            "time": self.time,
        }


def read_head(text: str | bytes) -> ChainHead | None:
    """Return the head that a text holds; ``None`` if it holds none."""
    try:
        found = ChainHead(**json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None
    words = (found.hash, found.file, found.time, found.signature)
    numbers = all(type(number) is int and number >= 0 for number in (found.number, found.size))
    return found if numbers and all(isinstance(word, str) and word.isascii() for word in words) else None


def canonical(entry: Mapping[str, Any]) -> bytes:
    """Return the one form of JSON that an entry is hashed in."""
    return _sort(entry).encode("ascii")


def hash_of(entry: Mapping[str, Any]) -> str:
    """Return the hash of an entry, whatever hash it names itself."""
    link = {name: value for name, value in entry[CHAIN].items() if name != "hash"}
    return hashlib.sha256(canonical({**entry, CHAIN: link})).hexdigest()


def parse(line: bytes) -> dict[str, Any] | None:
    """Return an entry that is in the chain, byte for byte as it was written; ``None`` for any other line."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    link = entry.get(CHAIN) if isinstance(entry, dict) else None
    if not isinstance(link, dict) or type(link.get("number")) is not int:
        return None
    whole = isinstance(link.get("previous"), str) and isinstance(link.get("hash"), str)
    # an entry in any other spelling isn't what was written, even if it says the same
    return entry if whole and encoded(entry) == line else None


def encoded(entry: Mapping[str, Any]) -> bytes:
    """Return an entry as its line has it, without the line's end."""
    return encode(entry).encode("ascii")


class Chain:
    """Appends to the files of one log, in whatever process; writers take turns by a lock beside them.

    Args:
        folder: where the files are.
        key: gives what heads are signed with.
        files: gives the files of the log that are there, the oldest first.
    """

    def __init__(self, folder: Path, key: Callable[[], bytes], files: Callable[[], list[Path]]) -> None:
        self._folder, self._key, self._files = folder, key, files

    def append(self, make: Callable[[], tuple[str, dict[str, Any]]]) -> None:
        """Append one entry.

        Args:
            make: called when it is this writer's turn; gives the name of the file and the entry, of what JSON has.

        Raises:
            OSError: it can't be written; the file is as before.
            BadSetting: the key of the instance can't be read.
        """
        key = self._key()
        with self.locked(), _opened(self._folder / HEAD) as head_handle:
            head = read_head(os.pread(head_handle, HEAD_BYTES, 0)) if os.fstat(head_handle).st_size else None
            if head is None:
                # the room that it needs, before a line needs it
                write_at_start(head_handle, b" " * HEAD_BYTES)
            link: dict[str, Any] = {}
            if head is None or not head.holds(key):
                head, link = self._begun()
            name, entry = make()
            name = max(name, head.file) if head.file.startswith("audit-") else name
            with _opened(self._folder / name, os.O_APPEND) as handle:
                following = append_entry(handle, name, entry, link=link, head=head)
            text = following.signed(key).text().ljust(HEAD_BYTES - 1)
            write_at_start(head_handle, text.encode("ascii") + b"\n")

    def head(self) -> ChainHead | None:
        """Return the head that lies beside the log; ``None`` if nothing was written yet, or it is no head any more."""
        with self.locked():
            return self.head_as_written()

    def head_as_written(self) -> ChainHead | None:
        """Return the same to whoever has the lock."""
        try:
            return read_head((self._folder / HEAD).read_bytes())
        except FileNotFoundError:
            return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep writers out meanwhile. A writer's own turn takes a fraction of a millisecond.

        Raises:
            OSError: the lock can't be had.
        """
        if not os.path.isdir(self._folder):  # noqa: PTH112 -- each line comes by here: a third of the time
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _opened(self._folder / LOCK) as handle:
            lock_descriptor(handle, poll_interval=POLL_SECONDS)
            with between_hosts(self._folder / LOCK, wait=True) as held:
                if not held:
                    raise OSError(errno.EAGAIN, "another host has its lock for too long")
                yield

    def _begun(self) -> tuple[ChainHead, dict[str, Any]]:
        """Return where to go on without a head, and what the next entry says of that."""
        files = self._files()
        for path in reversed(files):
            last = last_entry(path)
            if last is not None:
                link = last[CHAIN]
                return (
                    ChainHead(
                        number=link["number"],
                        hash=link["hash"],
                        file=path.name,
                        size=path.stat().st_size,
                        time="",
                    ),
                    {"head_lost": True},
                )
        earlier = [{"file": path.name, **digest_of(path)} for path in files]
        start = ChainHead(number=0, hash=NOTHING, file="", size=0, time="")
        if not earlier:
            return start, {}
        return replace(start, file=files[-1].name, size=files[-1].stat().st_size), {"earlier": earlier}


def append_entry(
    handle: int, name: str, entry: dict[str, Any], *, link: dict[str, Any], head: ChainHead
) -> ChainHead:
    """Append an entry to an open file, and return the head that it makes, not signed yet."""
    size, start = os.fstat(handle).st_size, b""
    if size != (head.size if name == head.file else 0):
        head, rest = catch_up(handle, name, size, head)
        if rest:
            start, link = b"\n", {**link, "fragment": hashlib.sha256(rest).hexdigest()}
    if size == 0:
        link = {"opens": name, **link}
    link = {"number": head.number + 1, "previous": head.hash, **link}
    made = {**entry, CHAIN: link}
    link["hash"] = hash_of(made)
    line = start + encoded(made) + b"\n"
    if os.write(handle, line) != len(line):
        os.ftruncate(handle, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return ChainHead(
        number=link["number"], hash=link["hash"], file=name, size=size + len(line), time=str(entry["time"])
    )


def catch_up(handle: int, name: str, size: int, head: ChainHead) -> tuple[ChainHead, bytes]:
    """Return the head after what a writer appended that was killed before it wrote its head, and the torn line at the
    end of the file.
    """
    known = head.size if name == head.file and head.size < size else 0
    text = os.pread(handle, size - known, known)
    whole, _, rest = text.rpartition(b"\n")
    for line in whole.splitlines() if name == head.file and known else ():
        entry = parse(line)
        if entry is None or entry[CHAIN]["previous"] != head.hash or hash_of(entry) != entry[CHAIN]["hash"]:
            break
        head = replace(head, number=entry[CHAIN]["number"], hash=entry[CHAIN]["hash"])
    return head, rest


def last_entry(path: Path) -> dict[str, Any] | None:
    """Return the last entry of a file that is whole; ``None`` where there is none."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LAST_BYTES))
        lines = file.read().splitlines()
    return next((entry for entry in map(parse, reversed(lines)) if entry is not None), None)


def digest_of(path: Path) -> dict[str, Any]:
    """Return the SHA-256 of a file and its size, as the first entry of the chain names them."""
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": file.tell()}


@contextmanager
def _opened(path: Path, flags: int = 0) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | flags, MODE)
    try:
        yield handle
    finally:
        os.close(handle)


def write_at_start(handle: int, text: bytes) -> None:
    """Write at the beginning of a file. Raises ``OSError`` where there is no room."""
    os.lseek(handle, 0, os.SEEK_SET)
    if os.write(handle, text) != len(text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
