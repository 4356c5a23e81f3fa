"""The look of a PDF: fonts, paragraphs, tables with repeated heads, bars, and a foot that counts the pages.

Built with ReportLab's platypus. Tables split over pages; nothing is drawn at a fixed place but the foot.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from reportlab.graphics.shapes import Drawing, Line, Rect, String
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, LongTable, PageTemplate, Paragraph, Spacer

FONTS = Path(__file__).parent / "fonts"
REGULAR, BOLD = "IBMPlexSans-Regular", "IBMPlexSans-SemiBold"
MARGIN, FOOT = 16 * mm, 12 * mm
WIDTH = A4[0] - 2 * MARGIN
INK, SOFT, LINE, HEAD = (HexColor(value) for value in ("#14202b", "#55616c", "#dcddd8", "#eeeeea"))
RISK, QUIET = HexColor("#a3201a"), HexColor("#9aa9b3")
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
# Characters of a table's cell: a cell that is higher than a page can't be printed.
LONGEST = 400
BAR_HEIGHT = 40 * mm


@cache
def _signs() -> frozenset[int]:
    """Return the signs that the font has; loads the fonts."""
    for name in (REGULAR, BOLD):
        pdfmetrics.registerFont(TTFont(name, FONTS / f"{name}.ttf"))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    return frozenset(pdfmetrics.getFont(REGULAR).face.charToGlyph)


def _style(size: float, font: str = REGULAR, **more: Any) -> ParagraphStyle:
    given = {"leading": size * 1.35, "textColor": INK, "splitLongWords": 1, **more}
    return ParagraphStyle(f"{font}{size}{sorted(more.items())}", fontName=font, fontSize=size, **given)


TITLE, HEADING = _style(17, BOLD, spaceAfter=2 * mm), _style(12, BOLD, spaceBefore=6 * mm, spaceAfter=2 * mm)
BODY, NOTE = _style(9, spaceAfter=1.5 * mm), _style(8, textColor=SOFT, spaceAfter=1.5 * mm)
CELL, CELL_HEAD, CELL_RIGHT = _style(7.5), _style(7.5, BOLD, textColor=SOFT), _style(7.5, alignment=2)
CELL_HEAD_RIGHT = _style(7.5, BOLD, textColor=SOFT, alignment=2)


def printable(text: object) -> str:
    """Return a text with � in place of each sign that the fonts haven't."""
    signs = _signs()
    return "".join(sign if ord(sign) in signs else UNKNOWN for sign in str(text).replace("\t", " "))


def plain(text: object) -> str:
    """Return a text as a paragraph takes it: no markup in it, and no sign that the font hasn't."""
    return escape(printable(text))


def title(text: str) -> Flowable:
    """Return the title of the document."""
    return Paragraph(plain(text), TITLE)


def heading(text: str) -> Flowable:
    """Return the heading of a section."""
    return Paragraph(plain(text), HEADING)


def body(text: str) -> Flowable:
    """Return a paragraph."""
    return Paragraph(plain(text), BODY)


def note(text: str) -> Flowable:
    """Return a paragraph in small, soft letters."""
    return Paragraph(plain(text), NOTE)


def gap() -> Flowable:
    """Return some room."""
    return Spacer(1, 3 * mm)


def facts(pairs: Sequence[tuple[str, object]]) -> Flowable:
    """Return names and values in two columns."""
    rows = [[Paragraph(plain(name), CELL_HEAD), Paragraph(plain(value), CELL)] for name, value in pairs]
    return LongTable(
        rows, colWidths=[45 * mm, WIDTH - 45 * mm], style=[*GRID, ("LINEABOVE", (0, 0), (-1, 0), 0.5, LINE)]
    )


GRID: list[tuple[Any, ...]] = [
    ("LINEBELOW", (0, 0), (-1, -1), 0.5, LINE),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("TOPPADDING", (0, 0), (-1, -1), 2.5),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
    ("LEFTPADDING", (0, 0), (-1, -1), 4),
    ("RIGHTPADDING", (0, 0), (-1, -1), 4),
]


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[object]],
    widths: Sequence[float],
    numbers: Sequence[int] = (),
) -> Flowable:
    """Return a table whose head is repeated on each page.

    Args:
        heads: of the columns.
        rows: of as many cells each.
        widths: shares of the page's width; they are scaled to fill it.
        numbers: which columns are set to the right.
    """
    right = set(numbers)
    lines = [
        [
            Paragraph(plain(head), CELL_HEAD_RIGHT if at in right else CELL_HEAD)
            for at, head in enumerate(heads)
        ]
    ]
    lines += [
        [
            Paragraph(plain(str(cell)[:LONGEST]), CELL_RIGHT if at in right else CELL)
            for at, cell in enumerate(row)
        ]
        for row in rows
    ]
    scale = WIDTH / sum(widths)
    style = [*GRID, ("BACKGROUND", (0, 0), (-1, 0), HEAD)]
    return LongTable(lines, colWidths=[width * scale for width in widths], repeatRows=1, style=style)


def bars(values: Sequence[tuple[str, float, float]], *, words: str, scale: bool = True) -> Flowable:
    """Return columns of counts, the part that is flagged in red; the table beside it has the numbers.

    Args:
        values: for each column its name, all, and how many of these are flagged.
        words: what the axis counts.
        scale: whether the largest value is written.
    """
    _signs()
    drawing = Drawing(WIDTH, BAR_HEIGHT + 8 * mm)
    most = max((every for _, every, _ in values), default=0) or 1
    step = WIDTH / max(len(values), 1)
    drawing.add(String(0, BAR_HEIGHT + 5 * mm, plain(words), fontName=REGULAR, fontSize=7, fillColor=SOFT))
    if scale:
        drawing.add(
            String(
                WIDTH,
                BAR_HEIGHT + 5 * mm,
                f"{most:,.0f}",
                fontName=REGULAR,
                fontSize=7,
                fillColor=SOFT,
                textAnchor="end",
            )
        )
    shown = max(1, -(-len(values) // 12))
    for at, (name, every, flagged) in enumerate(values):
        x, height = at * step + step * 0.1, every / most * BAR_HEIGHT
        drawing.add(Rect(x, 4 * mm, step * 0.8, height, fillColor=QUIET, strokeColor=None))
        drawing.add(
            Rect(x, 4 * mm, step * 0.8, flagged / most * BAR_HEIGHT, fillColor=RISK, strokeColor=None)
        )
        if at % shown == 0:
            drawing.add(String(x, 0, plain(name), fontName=REGULAR, fontSize=6.5, fillColor=SOFT))
    drawing.add(Line(0, 4 * mm, WIDTH, 4 * mm, strokeColor=SOFT, strokeWidth=0.5))
    return drawing


class _Numbered(Canvas):  # type: ignore[misc]
    """A canvas that knows how many pages there are by the time it writes their feet."""

    foot = ""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._pages: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 -- ReportLab's name
        self._pages.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        for number, page in enumerate(self._pages, start=1):
            self.__dict__.update(page)
            self.setFont(REGULAR, 7)
            self.setFillColor(SOFT)
            self.drawString(MARGIN, FOOT, self.foot)
            self.drawRightString(A4[0] - MARGIN, FOOT, f"Page {number} of {len(self._pages)}")
            super().showPage()
        super().save()


def document(name: str, author: str, parts: Sequence[Flowable], made: datetime) -> bytes:
    """Return a PDF.

    Args:
        name: the title, also in the document's properties and in the foot of each page.
        author: who had it made.
        parts: from the top to the end.
        made: when; the foot says it in UTC.
    """
    _signs()
    out = io.BytesIO()
    foot = f"{name} · made {made.astimezone(UTC):%Y-%m-%d %H:%M} UTC by {author}"
    shown = "".join(sign if ord(sign) in _signs() else UNKNOWN for sign in foot)
    canvas = type("Numbered", (_Numbered,), {"foot": shown[:130]})
    template = BaseDocTemplate(
        out, pagesize=A4, title=name, author=author, lang="en", leftMargin=MARGIN, rightMargin=MARGIN,
        topMargin=MARGIN, bottomMargin=MARGIN + 4 * mm,
    )  # fmt: skip
    frame = Frame(MARGIN, MARGIN + 4 * mm, WIDTH, A4[1] - 2 * MARGIN - 4 * mm, 0, 0, 0, 0)
    template.addPageTemplates(PageTemplate("page", [frame]))
    template.build(list(parts), canvasmaker=canvas)
    return out.getvalue()
