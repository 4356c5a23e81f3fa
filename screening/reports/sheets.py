"""Workbooks of any size, written row by row into one file: what is in memory is one batch of rows.

XlsxWriter takes 46 s for the cells of 285,000 rows of 33 columns; here Arrow makes the text of a whole batch at once.
Every text is an inline string, so that none can be a formula; one that would be a formula if somebody typed it is also
marked as text (``quotePrefix``), as a spreadsheet does with an apostrophe.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, Self
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
import pyarrow.compute as pc

from screening.intake.formulas import safe
from screening.uploads.exports import LONGEST_CELL, as_number, sheet_text

# Excel's own bound, the header included.
MOST_ROWS = 1_048_576
# Bytes of a sheet's text: beyond 2 GiB a ZIP file has a form that Excel offers to repair.
MOST_BYTES = 1_900_000_000
# Compression level: 6 takes three times as long for 6 % less.
LEVEL = 3
MOST_NAME = 31
"""Characters of a sheet's name."""
TEXT, BOLD, QUOTED = 0, 1, 2
"""Styles of cells, as they appear in ``styles.xml``."""

EMPTY = "<c/>"
OPEN_TEXT = '<c t="inlineStr"><is><t xml:space="preserve">'
CLOSE_TEXT = "</t></is></c>"
PLAIN_NUMBER = r"\A-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?\z"
"""Numbers that a sheet keeps as they are, as almost all numbers of files are; others are looked at one by one."""
PLAIN_TEXT = r"\A[\pL\pN][^\x00-\x08\x0b-\x1f\x{fffe}\x{ffff}]*\z"
"""Texts in which only the three characters of XML are written otherwise."""
NEARLY_NUMBER = r"\A[0-9.,eE+\- ]+\z"
"""Texts that may be a number written in an unusual way, or a name of digits, as 007."""
# Form in which a sheet writes characters that XML lacks. Text that only looks like it gets its underscore
# written that way.
ESCAPE_OF_SHEETS = re.compile(r"_x[0-9A-Fa-f]{4}_")


class Workbook:
    """One workbook, written from the front to the end. A context manager; the file is whole when it is left.

    Args:
        file: where it goes, opened for writing bytes.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL)
        self._names: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
        self._zip.close()

    def table(self, name: str, heads: Sequence[str], widths: Sequence[float] = ()) -> SheetTable:
        """Return a table that goes on to further sheets, with its heads repeated, where one is full.

        Args:
            name: of the first sheet; the others are called ``name (2)`` and so on.
            heads: of the columns; without any the first column is bold instead.
            widths: of the first columns, in characters; the others have the usual one.
        """
        return SheetTable(self, name, heads, widths)

    @contextmanager
    def sheet(self, name: str) -> Iterator[IO[bytes]]:
        """Give what a sheet's XML is written to."""
        self._names.append(name[:MOST_NAME])
        with self._zip.open(f"xl/worksheets/sheet{len(self._names)}.xml", "w") as out:
            yield out

    def _finish(self) -> None:
        numbers = range(1, len(self._names) + 1)
        parts = {
            "[Content_Types].xml": _TYPES.format(
                "".join(
                    f'<Override PartName="/xl/worksheets/sheet{at}.xml" ContentType="{_SHEET_TYPE}"/>'
                    for at in numbers
                )
            ),
            "_rels/.rels": _RELATIONS.format(
                f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
            ),
            "xl/workbook.xml": _WORKBOOK.format(
                "".join(
                    f'<sheet name={quoteattr(name)} sheetId="{at}" r:id="rId{at}"/>'
                    for at, name in enumerate(self._names, 1)
                )
            ),
            "xl/_rels/workbook.xml.rels": _RELATIONS.format(
                "".join(
                    f'<Relationship Id="rId{at}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{at}.xml"/>'
                    for at in numbers
                )
                + f'<Relationship Id="rId{len(self._names) + 1}" Type="{_OFFICE}/styles" Target="styles.xml"/>'
            ),
            "xl/styles.xml": _STYLES,
        }
        for name, text in parts.items():
            self._zip.writestr(name, text)


class SheetTable:
    """Rows of one kind, in one sheet or several. A context manager, entered while no other table is.

    Args:
        book: whose sheets they are.
        name, heads, widths: as :meth:`Workbook.table` takes them.
    """

    def __init__(self, book: Workbook, name: str, heads: Sequence[str], widths: Sequence[float]) -> None:
        self._book, self._name, self._heads, self._widths = book, name, heads, widths
        self._count = self._rows = self._bytes = 0
        self._open: Any = None
        self._out: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._end()
        else:
            self._open.__exit__(kind, value, trace)

    def columns(self, columns: Sequence[Sequence[Any] | pa.Array]) -> None:
        """Add rows.

        Args:
            columns: each of shape (rows,): texts, of which those that are numbers become such, or numbers; ``None``
                and ``""`` are empty cells.
        """
        bold = None if self._heads else 0
        cells = [cells_xml(column, bold=at == bold) for at, column in enumerate(columns)]
        # a scalar first and last: each row is joined in one go
        rows = pc.binary_join_element_wise(pa.scalar("<row>"), *cells, pa.scalar("</row>"), "")
        at = 0
        while at < len(rows):
            if self._rows == MOST_ROWS or self._bytes > MOST_BYTES:
                self._end()
                self._begin()
            some = rows[at : at + MOST_ROWS - self._rows]
            self._write(_bytes_of(some), len(some))
            at += len(some)

    def rows(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows, each a sequence of its cells, as :meth:`columns` takes them."""
        if rows:
            self.columns(
                [["" if cell is None else str(cell) for cell in column] for column in zip(*rows, strict=True)]
            )

    def _begin(self) -> None:
        self._count += 1
        again = f" ({self._count})" if self._count > 1 else ""
        self._open = self._book.sheet(self._name[: MOST_NAME - len(again)] + again)
        self._out = self._open.__enter__()
        self._rows = self._bytes = 0
        frozen = (
            '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
            if self._heads
            else ""
        )
        widths = "".join(
            f'<col min="{at}" max="{at}" width="{width:g}" customWidth="1"/>'
            for at, width in enumerate(self._widths, 1)
        )
        self._write(
            (
                f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">{frozen}</sheetView>'
                f'</sheetViews><sheetFormatPr defaultColWidth="16" defaultRowHeight="15"/>'
                f"{f'<cols>{widths}</cols>' if widths else ''}<sheetData>"
            ).encode(),
            0,
        )
        if self._heads:
            cells = "".join(_text_cell(head, BOLD) for head in self._heads)
            self._write(f"<row>{cells}</row>".encode(), 1)

    def _end(self) -> None:
        self._write(b"</sheetData></worksheet>", 0)
        self._open.__exit__(None, None, None)

    def _write(self, data: Any, rows: int) -> None:
        assert self._out is not None
        self._out.write(data)
        self._rows += rows
        self._bytes += len(data)


def cells_xml(column: Sequence[Any] | pa.Array, *, bold: bool) -> pa.Array:
    """Return the XML of a column's cells, (rows,)."""
    texts = column if isinstance(column, pa.Array) else pa.array(column)
    if pa.types.is_null(texts.type):
        return pa.array([EMPTY] * len(texts))
    if not pa.types.is_string(texts.type):
        texts = pc.cast(texts, pa.string())
    texts = pc.fill_null(texts, "")
    if bold:
        return pa.array([_text_cell(str(text), BOLD) for text in texts.to_pylist()])
    number = pc.match_substring_regex(texts, PLAIN_NUMBER)
    made = pc.binary_join_element_wise("<c><v>", texts, "</v></c>", "")
    # as in most columns of most files: nothing else needs to be looked for
    if pc.all(number).as_py():
        return made
    rest = pc.invert(number)
    return pc.replace_with_mask(made, rest, text_cells_xml(texts.filter(rest)))


def text_cells_xml(texts: pa.Array) -> pa.Array:
    """Return the XML of cells that are no plain numbers."""
    known: dict[str, str] = {"": EMPTY}
    found = texts.dictionary_encode()  # texts are mostly the same few
    words = found.dictionary
    plain = pc.and_(
        pc.match_substring_regex(words, PLAIN_TEXT),
        pc.invert(pc.or_(pc.match_substring(words, "_x"), pc.match_substring_regex(words, NEARLY_NUMBER))),
    )
    plain = pc.and_(plain, pc.less(pc.utf8_length(words), LONGEST_CELL))
    written = words
    for sign, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        written = pc.replace_substring(written, sign, name)
    made = pc.binary_join_element_wise(OPEN_TEXT, written, CLOSE_TEXT, "")
    odd = pc.invert(plain)
    slow = [known.get(text) or _odd_cell(text) for text in words.filter(odd).to_pylist()]
    return pc.replace_with_mask(made, odd, pa.array(slow, pa.string())).take(found.indices)


def _odd_cell(text: str) -> str:
    number = as_number(text)
    if number is not None:
        return f"<c><v>{number!r}</v></c>"
    return _text_cell(text, TEXT if safe(text) == text else QUOTED)


def _text_cell(text: str, style: int) -> str:
    shown = ESCAPE_OF_SHEETS.sub(lambda found: f"_x005F{found[0]}", sheet_text(text))
    shown = escape(shown).replace("\r", "_x000D_")
    return f'<c s="{style}" t="inlineStr"><is><t xml:space="preserve">{shown}{CLOSE_TEXT}'


def _bytes_of(texts: pa.Array) -> memoryview:
    """Return the texts one after the other, as they lie in memory."""
    _, offsets, data = texts.buffers()
    places = memoryview(offsets).cast("i")
    return memoryview(data)[places[texts.offset] : places[texts.offset + len(texts)]]


_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_SPREADSHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_SHEET_TYPE = f"{_SPREADSHEET}.worksheet+xml"
_TYPES = (
    f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_SPREADSHEET}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_SPREADSHEET}.styles+xml"/>{{}}</Types>'
)
_RELATIONS = f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">{{}}</Relationships>'
_WORKBOOK = f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{{}}</sheets></workbook>'
_STYLES = (
    f'{_XML}<styleSheet xmlns="{_MAIN}">'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/><family val="2"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/><family val="2"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>'
    '<xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0" quotePrefix="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)
