"""The one door: a file of any kind as batches of transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from screening.errors import BadFile
from screening.intake import streams
from screening.intake.batch import Batch, ReadLimits
from screening.intake.conversion.convert import convert
from screening.intake.forms import NOTHING_SAID, Answers
from screening.intake.kinds import FileKind
from screening.intake.text import other_header
from screening.intake.text.csv_file import Choose, OpenedTable, open_table, read_table
from screening.intake.text.survey import Forms, Unsettled, survey

DEFAULT = ReadLimits()
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class _Wish:
    """Request of the caller of :func:`open_transactions`."""

    kind: FileKind
    choose: Choose
    canonical: Path
    limits: ReadLimits
    set_aside: bool
    all_bad: bool
    waiting: Callable[[], None]
    forms: Forms | None
    answers: Answers
    fraud: tuple[str, ...]


def open_transactions(
    source: BinaryIO | Path,
    kind: FileKind,
    choose: Choose,
    *,
    set_aside: bool = False,
    all_bad: bool = False,
    canonical: Path,
    limits: ReadLimits = DEFAULT,
    waiting: Callable[[], None] = lambda: None,
    forms: Forms | None = None,
    answers: Answers = NOTHING_SAID,
    fraud: tuple[str, ...] = (),
) -> Iterator[Batch]:
    """Yield the transactions of a file, batch by batch.

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
        forms: how the columns are written, from :func:`look_over`. Without them only cells of one meaning are read.
        answers: what was said of columns that can be read in two ways; for files that are converted first, which are
            looked over here.
        fraud: the values of the label that mean fraud, as :func:`screening.intake.numbers.label_value` gives them.

    Raises:
        Unsettled: a text table has cells of another meaning, or of several: :func:`look_over` tells which, and the
            file must be opened again. What was given before counts for nothing.
        BadFile: the file can't be screened. It may come after batches: then those count for nothing.
    """
    done = False
    wish = _Wish(kind, choose, canonical, limits, set_aside, all_bad, waiting, forms, answers, fraud)
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
    if wish.kind is FileKind.CSV_GZ:
        raw = streams.unpacked(raw, wish.limits)
    opened = open_table(raw, wish.choose, wish.limits, copied=wish.kind is FileKind.CSV_GZ)
    copy = wish.canonical if opened.copied else None
    forms, bad = wish.forms, {"set_aside": wish.set_aside, "all_bad": wish.all_bad}
    yield from read_table(opened, copy, wish.limits, **bad, forms=forms, fraud=wish.fraud)


def settled(
    read: Callable[[Forms | None], Outcome], look: Callable[[], Forms], *, at_once: bool = True
) -> Outcome:
    """Have a file read; once more, by what :func:`look_over` finds, where the first try leaves it unsettled.

    Args:
        read: reads it from its beginning, with the forms that it is given.
        look: looks it over.
        at_once: whether it may be tried without a look.
    """
    if at_once:
        try:
            return read(None)
        except Unsettled:
            pass
    return read(look())


def look_over(
    source: Path,
    kind: FileKind,
    choose: Choose,
    *,
    limits: ReadLimits = DEFAULT,
    answers: Answers = NOTHING_SAID,
    waiting: Callable[[], None] = lambda: None,
) -> Forms:
    """Return the forms of the columns of a whole text table.

    Raises:
        BadFile: as :func:`open_transactions`; ``Undecided`` where whoever sent it must be asked.
    """

    def opened() -> OpenedTable:
        raw = streams.pieces(stream, limits.block)
        if kind is FileKind.CSV_GZ:
            raw = streams.unpacked(raw, limits)
        return open_table(raw, choose, limits, copied=False)

    with source.open("rb") as stream:
        return surveyed(stream, opened, limits, answers, waiting)


def surveyed(
    stream: BinaryIO,
    opened: Callable[[], OpenedTable],
    limits: ReadLimits,
    answers: Answers,
    waiting: Callable[[], None],
    *,
    since_1904: bool = False,
) -> Forms:
    """Look a table over; where its columns contradict themselves since another header appears in it, say that."""
    table = opened()
    try:
        return survey(table.pieces, table.layout, limits, answers, waiting, since_1904=since_1904)
    except BadFile:
        stream.seek(0)
        table = opened()
        moved = other_header.problem_of(table.pieces, table.layout.header, table.layout.delimiter, limits)
        if moved is not None:
            raise moved from None
        raise


def _converted(source: BinaryIO | Path, wish: _Wish) -> Iterator[Batch]:
    limits = wish.limits
    if not isinstance(source, Path):
        raise TypeError(f"A {wish.kind} file is read from a path: it must be complete.")
    since_1904 = convert(source.resolve(), wish.kind, wish.canonical.resolve(), limits, wish.waiting)
    forms = wish.forms
    for looking in (True, False):
        if looking and forms is not None:
            continue
        with wish.canonical.open("rb") as stream:

            def opened(stream: BinaryIO = stream) -> OpenedTable:
                raw = streams.pieces(stream, limits.block)
                return open_table(raw, wish.choose, limits, copied=True, delimiter=",")

            if looking:
                forms = surveyed(stream, opened, limits, wish.answers, wish.waiting, since_1904=since_1904)
            else:
                bad = {"set_aside": wish.set_aside, "all_bad": wish.all_bad}
                yield from read_table(
                    opened(), None, limits, **bad, lines=False, forms=forms, fraud=wish.fraud
                )
