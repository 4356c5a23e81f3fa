"""The bytes on their way in: pieces of a stream, unpacked and turned into UTF-8 as they come."""

from __future__ import annotations

import codecs
import io
import re
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from screening.errors import BadFile, TooLarge
from screening.intake.batch import MEGABYTE, ReadLimits

SLICE = 4096
# Gzip members without content in a row. No packer writes any, and each takes the setup of a decompressor for
# 20 bytes.
MOST_EMPTY_MEMBERS = 1000
# zlib's number for "expect a gzip head"
GZIP_WINDOW = 31
SINGLE_BYTE = "cp1252"


def pieces(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the stream in pieces of exactly ``size`` bytes, the last one shorter; short reads are put together."""
    while True:
        piece = stream.read(size)
        if not piece:
            return
        if len(piece) < size:
            parts, have = [piece], len(piece)
            while have < size and (more := stream.read(size - have)):
                parts.append(more)
                have += len(more)
            piece = b"".join(parts)
        yield piece


def with_head(raw: Iterator[bytes], least: int, size: int) -> tuple[bytes, Iterator[bytes]]:
    """Return the first ``least`` bytes or more (all, if there are fewer), and the whole again in pieces of ``size``."""
    head = b""
    for piece in raw:
        head += piece
        if len(head) >= least:
            break
    return head, chain(pieces(io.BytesIO(head), size), raw)


def unpacked(packed: Iterator[bytes], limits: ReadLimits) -> Iterator[bytes]:
    """Yield the content of a gzip file, in pieces of at most ``limits.block`` bytes.

    Raises:
        BadFile: the file is damaged, cut off, or grows by more than ``limits.ratio`` (a bomb).
        TooLarge: it unpacks to more than ``limits.unpacked``.
    """
    machine = zlib.decompressobj(GZIP_WINDOW)
    taken = given = empty = before = 0
    # what is left after a member is copied: of a slice, not of all
    for piece in slices(packed, SLICE):
        taken += len(piece)
        data = piece
        while data:
            # a gzip file may hold several members, one after the other; zeros may pad it
            if machine.eof:
                data = data.lstrip(b"\0")
                if not data:
                    break
                empty, before = empty + 1 if given == before else 0, given
                if empty > MOST_EMPTY_MEMBERS:
                    raise BadFile(
                        f"The gzip file holds more than {MOST_EMPTY_MEMBERS:,} empty parts in a row.",
                        remedy="Pack it again and send that.",
                    )
                machine = zlib.decompressobj(GZIP_WINDOW)
            try:
                # bounded, since a small piece may unpack to gigabytes
                text = machine.decompress(data, limits.block)
            except zlib.error:
                raise BadFile("The gzip file is damaged.", remedy="Pack it again and send that.") from None
            given += len(text)
            check_growth(taken, given, limits)
            if text:
                yield text
            data = machine.unused_data if machine.eof else machine.unconsumed_tail
    if not machine.eof:
        raise BadFile("The gzip file is cut off: its end is missing.", remedy="Send the whole file again.")


def slices(packed: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield pieces of any size in pieces of at most ``size`` bytes."""
    for piece in packed:
        for start in range(0, len(piece), size):
            yield piece[start : start + size]


def check_growth(packed: int, given: int, limits: ReadLimits) -> None:
    """Refuse what unpacks to too much, before it is read any further."""
    if given > limits.ratio_from and given > limits.ratio * max(packed, 1):
        raise BadFile(
            f"The file unpacks to more than {limits.ratio} times its size, as a zip bomb does.",
            remedy="Send it unpacked, as .csv.",
        )
    if given > limits.unpacked:
        raise TooLarge(
            f"The file unpacks to more than {limits.unpacked // MEGABYTE} MB.",
            remedy="Split it, or send it unpacked, as .csv.",
        )


def as_utf8(raw: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Turn pieces in ``encoding`` into UTF-8; a byte order mark is dropped.

    Raises:
        BadFile: bytes that the encoding doesn't have.
    """
    if encoding == SINGLE_BYTE:
        for piece in raw:
            check_western(piece)
            yield single_byte(piece).encode()
        return
    # a piece may end in the middle of a character
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for piece in raw:
            yield decoder.decode(piece).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError:
        raise BadFile(
            f"The file begins as {encoding.upper()} text but holds bytes that can't be, or is cut off.",
            remedy="Save it again as CSV UTF-8.",
        ) from None


def single_byte(data: bytes) -> str:
    """Read text in Windows-1252, the usual superset of Latin-1; in Latin-1 where that has no sign for a byte."""
    try:
        return data.decode(SINGLE_BYTE)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def readable(data: bytes) -> str:
    """Read bytes of a canonical file as text: UTF-8, or a single-byte encoding where it can't be that."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return single_byte(data)


_RUN = re.compile(rb"[\x80-\xff]{3,}")
_FEW_SIGNS = 3


def check_western(data: bytes, where: str | None = None) -> None:
    """Hold text that isn't UTF-8 against what Western European text looks like: no bytes that Windows-1252 lacks, few
    accents in a row, and few of its rare signs.

    Shift-JIS, GBK, Big5, EUC or Cyrillic text can be read as Windows-1252 and says something else: names would be
    others than in the same file as UTF-8.

    Raises:
        BadFile: it looks like another encoding.
    """
    runs = sum(len(run[0]) for run in _RUN.finditer(data) if len(set(run[0])) >= _FEW_SIGNS)
    high = len(data) - len(data.translate(None, _HIGH))
    rare = data.translate(None, _USUAL)
    strange = len(set(rare)) >= _MANY_SIGNS and 4 * len(rare) >= high
    if strange or (runs and 3 * runs >= high) or len(data.translate(None, _UNDEFINED)) < len(data):
        raise BadFile(
            "The text in this file is neither UTF-8 nor Western European (Windows-1252): it looks like Shift-JIS, "
            "GBK, Big5, EUC, Cyrillic or the like, which can't be told apart for certain.",
            where=where,
            remedy="Save it as CSV UTF-8.",
        )


# Windows-1252 has no characters for these bytes, so a text with them is in another encoding.
_UNDEFINED = b"\x81\x8d\x8f\x90\x9d"
_HIGH = bytes(range(0x80, 0x100))
# Characters that Western text seldom has: 0x80 to 0x9F but for the euro, quotation marks and dashes.
_USUAL = bytes({*range(0x80), *range(0xA0, 0x100), 0x80, 0x85, *range(0x91, 0x98), 0x99})
_MANY_SIGNS = 5


def newlines(raw: Iterator[bytes]) -> Iterator[bytes]:
    """Give lines that end in a lone carriage return (an old Mac's) the newline that all else expects."""
    for piece in raw:
        yield piece.replace(b"\r", b"\n")


class EncodingWatch:
    """Watches over the encoding of a file that isn't copied: UTF-8 or a single-byte one, throughout."""

    def __init__(self) -> None:
        self._utf8 = False

    def check(self, data: bytes, row: int) -> None:
        """Look at the next block, whose first record is data row ``row``.

        Raises:
            BadFile: the file was UTF-8 so far and this block is not.
        """
        if data.isascii():
            return
        try:
            data.decode()
        except UnicodeDecodeError as problem:
            if self._utf8:
                at = row + data.count(b"\n", 0, problem.start)
                raise BadFile(
                    "The file begins as UTF-8 text but holds bytes that aren't.",
                    where=f"near row {at}",
                    remedy="Save it again as CSV UTF-8.",
                ) from None
            check_western(data, f"near row {row}")
        else:
            self._utf8 = True
