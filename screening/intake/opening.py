"""The one door: a file of any kind as batches of transactions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from screening.intake import streams
from screening.intake.batch import Batch, Limits
from screening.intake.converting import convert
from screening.intake.csvfile import Choose, open_table, read_table
from screening.intake.kinds import Kind

DEFAULT = Limits()


def open_transactions(
    source: BinaryIO | Path,
    kind: Kind,
    choose: Choose,
    *,
    set_aside: bool = False,
    canonical: Path,
    limits: Limits = DEFAULT,
) -> Iterator[Batch]:
    """The transactions of a file, batch by batch.

    Args:
        source: the file; a stream may still be growing (its ``read`` waits) if ``kind.streams``, else a path.
        kind: what it is, from :func:`screening.intake.identify`.
        choose: picks the contract by the header as it is read, or raises BadFile.
        set_aside: whether rows with cells that can't be used are marked ``bad`` and listed; else the file is
            refused.
        canonical: where a canonical copy (UTF-8, commas, one header) is written if the file isn't one itself.
            It is removed when the file is refused or the iterator is closed before its end.
        limits: the bounds.

    Raises:
        BadFile: the file can't be screened. It may come after batches: then those count for nothing.
    """
    done = False
    try:
        if not kind.streams:
            yield from _converted(source, kind, choose, canonical, limits, set_aside=set_aside)
        elif isinstance(source, Path):
            with source.open("rb") as stream:
                yield from _streamed(stream, kind, choose, canonical, limits, set_aside=set_aside)
        else:
            yield from _streamed(source, kind, choose, canonical, limits, set_aside=set_aside)
        done = True
    finally:
        if not done:
            canonical.unlink(missing_ok=True)


def _streamed(
    stream: BinaryIO, kind: Kind, choose: Choose, canonical: Path, limits: Limits, *, set_aside: bool
) -> Iterator[Batch]:
    raw = streams.pieces(stream, limits.block)
    if kind is Kind.CSV_GZ:
        raw = streams.unpacked(raw, limits)
    opened = open_table(raw, choose, limits, copied=kind is Kind.CSV_GZ)
    yield from read_table(opened, canonical if opened.copied else None, limits, set_aside=set_aside)


def _converted(
    source: BinaryIO | Path, kind: Kind, choose: Choose, canonical: Path, limits: Limits, *, set_aside: bool
) -> Iterator[Batch]:
    if not isinstance(source, Path):
        raise TypeError(f"A {kind} file is read from a path: it must be complete.")
    convert(source.resolve(), kind, canonical.resolve(), limits)
    with canonical.open("rb") as stream:
        opened = open_table(streams.pieces(stream, limits.block), choose, limits, copied=True, delimiter=",")
        yield from read_table(opened, None, limits, set_aside=set_aside, lines=False)
