"""The one door: a file of any kind as batches of transactions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from screening.intake import streams
from screening.intake.batch import Batch, Limits
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
        set_aside: whether rows with cells that can't be used are marked ``bad`` and listed; else they refuse the file.
        canonical: where a canonical copy (UTF-8, commas, one header) is written if the file isn't one itself.
        limits: the bounds.

    Raises:
        BadFile: the file can't be screened. It may come after batches: then those count for nothing.
    """
    if isinstance(source, Path):
        with source.open("rb") as stream:
            yield from _from_stream(stream, kind, choose, set_aside=set_aside, canonical=canonical, limits=limits)
        return
    yield from _from_stream(source, kind, choose, set_aside=set_aside, canonical=canonical, limits=limits)


def _from_stream(
    stream: BinaryIO, kind: Kind, choose: Choose, *, set_aside: bool, canonical: Path, limits: Limits
) -> Iterator[Batch]:
    raw = streams.pieces(stream, limits.block)
    if kind is Kind.CSV_GZ:
        raw = streams.unpacked(raw, limits)
    opened = open_table(raw, choose, copied=kind is Kind.CSV_GZ)
    yield from read_table(opened, canonical, limits, set_aside=set_aside)
