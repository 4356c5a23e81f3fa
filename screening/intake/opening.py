"""The one door: a file of any kind as batches of transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from screening.intake import streams
from screening.intake.batch import Batch, Limits
from screening.intake.conversion.convert import convert
from screening.intake.kinds import Kind
from screening.intake.text.csv_file import Choose, open_table, read_table

DEFAULT = Limits()


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the caller of :func:`open_transactions` asked for."""

    kind: Kind
    choose: Choose
    canonical: Path
    limits: Limits
    set_aside: bool
    all_bad: bool
    waiting: Callable[[], None]


def open_transactions(
    source: BinaryIO | Path,
    kind: Kind,
    choose: Choose,
    *,
    set_aside: bool = False,
    all_bad: bool = False,
    canonical: Path,
    limits: Limits = DEFAULT,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[Batch]:
    """The transactions of a file, batch by batch.

    Args:
        source: the file; a stream may still be growing (its ``read`` waits) if ``kind.streams``, else a path.
        kind: what it is, from :func:`screening.intake.identify`.
        choose: picks the contract by the header as it is read, or raises BadFile.
        set_aside: whether rows with cells that can't be used are marked ``bad`` and listed; else the file is
            refused.
        all_bad: whether a file may be set aside as a whole: it is looked at and not scored.
        canonical: where a canonical copy (UTF-8, commas, one header) is written if the file isn't one itself.
            It is removed when the file is refused or the iterator is closed before its end.
        limits: the bounds.
        waiting: called again and again while a child process reads the file; it may raise to leave.

    Raises:
        BadFile: the file can't be screened. It may come after batches: then those count for nothing.
    """
    done = False
    wish = _Wish(kind, choose, canonical, limits, set_aside, all_bad, waiting)
    try:
        if not kind.streams:
            yield from _converted(source, wish)
        elif isinstance(source, Path):
            with source.open("rb") as stream:
                yield from _streamed(stream, wish)
        else:
            yield from _streamed(source, wish)
        done = True
    finally:
        if not done:
            canonical.unlink(missing_ok=True)


def _streamed(stream: BinaryIO, wish: _Wish) -> Iterator[Batch]:
    raw = streams.pieces(stream, wish.limits.block)
    if wish.kind is Kind.CSV_GZ:
        raw = streams.unpacked(raw, wish.limits)
    opened = open_table(raw, wish.choose, wish.limits, copied=wish.kind is Kind.CSV_GZ)
    copy = wish.canonical if opened.copied else None
    yield from read_table(opened, copy, wish.limits, set_aside=wish.set_aside, all_bad=wish.all_bad)


def _converted(source: BinaryIO | Path, wish: _Wish) -> Iterator[Batch]:
    limits = wish.limits
    if not isinstance(source, Path):
        raise TypeError(f"A {wish.kind} file is read from a path: it must be complete.")
    convert(source.resolve(), wish.kind, wish.canonical.resolve(), limits, wish.waiting)
    with wish.canonical.open("rb") as stream:
        opened = open_table(
            streams.pieces(stream, limits.block), wish.choose, limits, copied=True, delimiter=","
        )
        yield from read_table(
            opened, None, limits, set_aside=wish.set_aside, all_bad=wish.all_bad, lines=False
        )
