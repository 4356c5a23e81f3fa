"""Accessible PDF (PDF/UA-1), set by typst: headings, lists, tables with heads and charts with words are tagged as such.

What is said goes to ``typeset.typ`` as data and is never read as markup. Nothing is fetched: the fonts lie beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from screening.reports.signs import printable
from screening.settings import ROOT

SET_BY = "screening.reports.setting_process"
LONGEST = 400
"""Signs of a table's cell that are shown: a file may have anything in it."""
SET_SECONDS = 120
"""At most so long a document may take; 500 rows of flagged transactions take less than one second."""


@dataclass(frozen=True, slots=True)
class Heading:
    """The head of a section; ``level`` 1 or 2."""

    text: str
    level: int = 1
    kind: Literal["heading"] = field(default="heading", init=False)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph."""

    text: str
    strong: bool = False
    soft: bool = False
    """In small, soft letters."""
    kind: Literal["text"] = field(default="text", init=False)


@dataclass(frozen=True, slots=True)
class NamedValues:
    """Names and values."""

    pairs: Sequence[tuple[str, str]]
    kind: Literal["facts"] = field(default="facts", init=False)


@dataclass(frozen=True, slots=True)
class BulletList:
    """A list."""

    items: Sequence[str]
    kind: Literal["points"] = field(default="points", init=False)


@dataclass(frozen=True, slots=True)
class TypesetTable:
    """A table whose head is repeated on each page; columns in ``numbers`` are set to the right.

    ``widths`` are shares of the page's width; without them numbers take half as much as texts.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    widths: Sequence[float] = ()
    kind: Literal["table"] = field(default="table", init=False)


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing (SVG), with what it shows in words for whoever doesn't see it."""

    svg: str
    words: str
    caption: str
    kind: Literal["chart"] = field(default="chart", init=False)


Block = Heading | Paragraph | NamedValues | BulletList | TypesetTable | Chart


def accessible_pdf(title: str, author: str, blocks: Sequence[Block], made: datetime) -> bytes:
    """Return a PDF/UA-1 document, in English.

    Args:
        title: the title, also in the document's properties and in the foot of each page.
        author: who had it made.
        blocks: from the top to the end; headings leave no level out.
        made: when; the foot says it in UTC.
    """
    moment = made.astimezone(UTC)
    told = in_fonts(
        {
            "title": title,
            "author": author,
            "foot": f"{title} · made {moment:%Y-%m-%d %H:%M} UTC by {author}",
            "blocks": [_told(block) for block in blocks],
        }
    )
    order = json.dumps({"timestamp": int(moment.timestamp()), "told": told})
    done = subprocess.run(  # noqa: S603 -- this interpreter, and a module of ours
        [sys.executable, "-m", SET_BY],
        cwd=ROOT,
        input=order.encode(),
        capture_output=True,
        timeout=SET_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the document could not be set: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout


def _told(block: Block) -> dict[str, Any]:
    told = asdict(block)
    if isinstance(block, TypesetTable):
        told["rows"] = [[cell[:LONGEST] for cell in row] for row in block.rows]
    return told


def in_fonts(told: Any) -> Any:
    """Return what is told with � for signs that the fonts haven't: typst refuses them, since nobody could read them."""
    if isinstance(told, str):
        return printable(told)
    if isinstance(told, dict):
        return {name: in_fonts(value) for name, value in told.items()}
    return [in_fonts(value) for value in told] if isinstance(told, list | tuple) else told
