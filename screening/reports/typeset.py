"""Accessible PDF (PDF/UA-1), set by typst: headings, lists, tables with heads and charts with words are tagged as such.

What is said goes to ``typeset.typ`` as data and is never read as markup. Nothing is fetched: the fonts lie beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from screening.reports.pages import printable

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Heading:
    """The head of a section; ``level`` 1 or 2."""

    text: str
    level: int = 1
    kind: Literal["heading"] = field(default="heading", init=False)


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    strong: bool = False
    kind: Literal["text"] = field(default="text", init=False)


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values."""

    pairs: Sequence[tuple[str, str]]
    kind: Literal["facts"] = field(default="facts", init=False)


@dataclass(frozen=True, slots=True)
class Points:
    """A list."""

    items: Sequence[str]
    kind: Literal["points"] = field(default="points", init=False)


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose head is repeated on each page; columns in ``numbers`` are set to the right."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    kind: Literal["table"] = field(default="table", init=False)


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing (SVG), with what it shows in words for whoever doesn't see it."""

    svg: str
    words: str
    caption: str
    kind: Literal["chart"] = field(default="chart", init=False)


Block = Heading | Text | Facts | Points | Table | Chart


def accessible_pdf(title: str, author: str, blocks: Sequence[Block], made: datetime) -> bytes:
    """Return a PDF/UA-1 document, in English.

    Args:
        title: the title, also in the document's properties and in the foot of each page.
        author: who had it made.
        blocks: from the top to the end; headings leave no level out.
        made: when; the foot says it in UTC.
    """
    # 81 MB on the disk: loaded by who makes such a document
    import typst

    moment = made.astimezone(UTC)
    told = _printable(
        {
            "title": title,
            "author": author,
            "foot": f"{title} · made {moment:%Y-%m-%d %H:%M} UTC by {author}",
            "blocks": [asdict(block) for block in blocks],
        }
    )
    pdf: bytes = typst.compile(
        HERE / "typeset.typ",
        root=HERE,
        font_paths=[HERE / "fonts"],
        ignore_system_fonts=True,
        pdf_standards="ua-1",
        timestamp=int(moment.timestamp()),
        sys_inputs={"told": json.dumps(told, ensure_ascii=False)},
    )
    return pdf


def _printable(told: Any) -> Any:
    """Return what is told with � for signs that the fonts haven't: typst refuses them, since nobody could read them."""
    if isinstance(told, str):
        return printable(told.replace("\n", " "))
    if isinstance(told, dict):
        return {name: _printable(value) for name, value in told.items()}
    return [_printable(value) for value in told] if isinstance(told, list | tuple) else told
