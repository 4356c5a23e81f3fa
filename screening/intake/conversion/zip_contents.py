"""Check the content of an .xlsx file before any parser gets it: sizes, entities, bare formulas."""

from __future__ import annotations

import errno
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from screening.errors import BadFile
from screening.intake.batch import MEGABYTE, ReadLimits
from screening.intake.kinds import FileKind
from screening.intake.streams import check_growth

ENTRIES = 10_000
# Bytes kept from one piece for the next, so that a match across their border is found.
OVERLAP = 4096
_FORBIDDEN = re.compile(rb"<!(?:DOCTYPE|ENTITY)")
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml", re.IGNORECASE)
# possessive throughout, and no part reaches over a "<": each byte is looked at once, whatever stands there
_UNCALCULATED = re.compile(
    rb"<c\b([^<>]*+)>\s*+<f\b[^<>]*+>(?:(?<=/>)|(?<!/>)[^<]*+</f>)\s*+(?:<v\s*+/>|<v>\s*+</v>)?+\s*+</c>"
)
_ERROR = re.compile(
    rb"<c\b([^<>]*+)>\s*+(?:<f\b[^<>]*+>(?:(?<=/>)|(?<!/>)[^<]*+</f>)\s*+)?+<v>(#[^<>]{1,12}+)</v>"
)
_SINCE_1904 = re.compile(
    rb"<(?:\w+:)?workbookPr\b[^<>]*\bdate1904\s*=\s*[\"'](?:1|true|on)[\"']", re.IGNORECASE
)
_OLD_1904 = b"\x22\x00\x02\x00\x01\x00\x0e\x00\x02\x00"
"""Of an old workbook: the record Date1904, which is set, and the head of the record that always follows it ([MS-XLS]
2.1.7.20.3)."""
MOST_ERRORS = 100_000
_PLACE = re.compile(rb'\br="([A-Z]{1,3}[0-9]{1,7})"')


def check_workbook(source: Path, limits: ReadLimits) -> dict[str, str]:
    """Refuse an .xlsx that is no workbook, unpacks to too much, or holds what no spreadsheet writes.

    Gives the cells that show an error, as ``#DIV/0!``, by their places: parsers give nothing for them.

    Raises:
        BadFile: what and why.
        TooLarge: it unpacks to more than ``limits.unpacked``.
    """
    errors: dict[str, str] = {}
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            check_list(entries, source.stat().st_size, limits)
            for entry in entries:
                if entry.filename.lower().endswith((".xml", ".rels")):
                    check_entry(archive, entry, errors)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        UnicodeDecodeError,
        OSError,
    ) as problem:
        # a place before the beginning
        if isinstance(problem, OSError) and problem.errno not in {
            None,
            errno.EINVAL,
        }:
            raise
        raise BadFile(
            "The workbook is damaged or cut off.", remedy="Open it in Excel, save it again, and send that."
        ) from None
    return errors


def counts_from_1904(source: Path, kind: FileKind) -> bool:
    """Return whether a workbook that was checked counts its days from 1904, as those of the first Macs do."""
    if kind is FileKind.XLS:
        return _OLD_1904 in source.read_bytes()
    with zipfile.ZipFile(source) as archive, archive.open("xl/workbook.xml") as book:
        return _SINCE_1904.search(book.read(MEGABYTE)) is not None


def check_list(entries: list[zipfile.ZipInfo], packed: int, limits: ReadLimits) -> None:
    """Refuse an archive by its table of contents.

    Raises:
        BadFile: it is encrypted or no workbook, or has too many entries, or some twice.
        TooLarge: it would unpack to too much.
    """
    check_growth(packed, sum(entry.file_size for entry in entries), limits)
    names = {entry.filename.lower() for entry in entries}
    if len(names) != len(entries) or len(entries) > ENTRIES:
        raise BadFile(
            "The workbook holds entries twice or too many of them.", remedy="Save it again in Excel."
        )
    if any(entry.flag_bits & 1 for entry in entries):
        raise BadFile(
            "The workbook is encrypted with a password.", remedy="Remove the password and send it again."
        )
    if "xl/workbook.xml" not in names:
        raise BadFile(
            "The file is a zip archive without an Excel workbook in it.",
            remedy="Save it as .xlsx or .csv and send that.",
        )


def check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, errors: dict[str, str]) -> None:
    """Refuse an entry with what an XML parser must not see, or with formulas without values.

    Raises:
        BadFile: it has.
    """
    is_sheet = bool(_SHEET.fullmatch(entry.filename))
    for text in overlapping_pieces(archive, entry):
        if _FORBIDDEN.search(text) or text.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise BadFile(
                "The workbook holds XML entities or an encoding that no spreadsheet writes.",
                remedy="Open it in Excel, save it again, and send that.",
            )
        if is_sheet and b"<f" in text:
            check_formulas(text)
        if is_sheet and b't="e"' in text:
            for found in _ERROR.finditer(text):
                place = _PLACE.search(found[1])
                if place and b't="e"' in found[1] and len(errors) < MOST_ERRORS:
                    errors[place[1].decode()] = found[2].decode("ascii", "replace")


def check_formulas(text: bytes) -> None:
    """Raise :class:`BadFile` for formulas whose values weren't stored: of them nothing could be screened."""
    for found in _UNCALCULATED.finditer(text):
        # a formula whose value is the empty text
        if b't="str"' in found[1]:
            continue
        place = _PLACE.search(found[1])
        cell = place[1].decode() if place else "unknown"
        raise BadFile(
            f"The workbook holds formulas without values; the first is in cell {cell}.",
            where=f"cell {cell}",
            remedy="Open it in Excel and save it, which stores the values, or save it as .csv.",
        )


def overlapping_pieces(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield an entry in pieces that overlap. Reading to its end also checks its true size and its checksum."""
    with archive.open(entry) as file:
        before = b""
        while piece := file.read(MEGABYTE):
            yield before + piece
            before = piece[-OVERLAP:]
