"""Identify the kind of a file: by its name *and* its first bytes. One that belies its name is refused."""

from __future__ import annotations

import re
from enum import StrEnum

from screening.errors import BadFile, UnsupportedKind

READ = ".csv, .csv.gz, .txt, .xlsx, .xlsm, .xls or .parquet"


class FileKind(StrEnum):
    """The kinds that are read."""

    CSV = "csv"
    CSV_GZ = "csv.gz"
    XLSX = "xlsx"
    XLS = "xls"
    PARQUET = "parquet"

    @property
    def streams(self) -> bool:
        """Return whether rows can be read before the file is complete."""
        return self in (FileKind.CSV, FileKind.CSV_GZ)


_ENDINGS = {
    ".csv.gz": FileKind.CSV_GZ,
    ".tsv.gz": FileKind.CSV_GZ,
    ".csv": FileKind.CSV,
    ".tsv": FileKind.CSV,
    ".txt": FileKind.CSV,
    ".xlsx": FileKind.XLSX,
    ".xlsm": FileKind.XLSX,
    ".xls": FileKind.XLS,
    ".parquet": FileKind.PARQUET,
}
_MEDIA_TYPES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.apache.parquet": ".parquet",
}
_NAMES = {
    FileKind.CSV: "a text table",
    FileKind.CSV_GZ: "a gzip file",
    FileKind.XLSX: "an Excel workbook (.xlsx)",
    FileKind.XLS: "an old Excel workbook (.xls)",
    FileKind.PARQUET: "a Parquet file",
}
_CONTAINERS = {
    b"PK\x03\x04": FileKind.XLSX,
    b"PK\x05\x06": FileKind.XLSX,
    b"PAR1": FileKind.PARQUET,
    b"\x1f\x8b": FileKind.CSV_GZ,
}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FOREIGN = (
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"SQLite format 3", "a SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"ARROW1", "an Arrow file"),
    (b"Obj\x01", "an Avro file"),
)
# BIFF 2 to 5 without a container
_OLD_XLS = (b"\x09\x08", b"\x09\x04", b"\x09\x02", b"\x09\x00")
_MARKUP = re.compile(rb"\s*(?:<!doctype|<html|<\?xml|<table|<script|<svg)", re.IGNORECASE)
_JSON = re.compile(rb'\s*(?:\{\s*"|\[\s*[\{\[])')


def with_ending(filename: str, media_type: str | None) -> str:
    """Return a file's name with an ending.

    Programs send files that have no name of their own ("blob", "file") and say by the media type what they are. The
    bytes must agree with it, as with any ending.
    """
    if not filename or "." in filename or media_type is None:
        return filename
    return filename + _MEDIA_TYPES.get(media_type.partition(";")[0].strip().lower(), "")


def identify(filename: str, head: bytes) -> FileKind:
    """Return the kind of a file, from its name's ending and its first bytes (a few hundred are enough).

    Raises:
        UnsupportedKind: the ending is none that is read here.
        BadFile: the content is something else than the ending says; ``what`` names what it looks like.
    """
    name = filename.strip().lower()
    kind = next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), None)
    if kind is None:
        ending = re.search(r"\.[a-z0-9]{1,8}$", name)
        what = (
            f"Files that end in {ending[0]} aren't read here."
            if ending
            else "The file's name has no known ending."
        )
        raise UnsupportedKind(what, remedy=f"Send a {READ} file.")
    if not head:
        raise BadFile("The file is empty: it holds no bytes at all.", remedy="Export it again and send that.")
    seen = _looks_like(head)
    if seen != kind and not (seen == FileKind.XLS and kind == FileKind.XLSX):
        words = _NAMES[seen] if isinstance(seen, FileKind) else seen
        raise BadFile(
            f"The name says {_NAMES[kind]}, but the content is {words}.",
            remedy=f"Send it under its true ending, or export it as {READ}.",
        )
    return kind


def _looks_like(head: bytes) -> FileKind | str:
    for magic, kind in _CONTAINERS.items():
        if head.startswith(magic):
            return kind
    if head.startswith(_OLE) or head.startswith(_OLD_XLS):
        return FileKind.XLS
    for magic, words in _FOREIGN:
        if head.startswith(magic):
            return words
    if _MARKUP.match(head):
        return "a web page or XML"
    if _JSON.match(head):
        return "JSON"
    return FileKind.CSV
