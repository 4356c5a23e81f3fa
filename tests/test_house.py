"""Docstrings open as Flask's and Django's do: with a verb or a noun, never with a question word."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from screening.settings import ROOT

QUESTION_WORDS = {"how", "what", "when", "where", "whether", "which", "who", "whom", "whose", "why"}
# Parsing all of the code takes seconds, and a search milliseconds: only suspects are parsed.
SUSPECT = re.compile(rf'(?:\A|:\n)\s*[rR]?"""\s*(?:{"|".join(QUESTION_WORDS)})\b', re.IGNORECASE)
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _sources() -> Iterator[Path]:
    yield from (ROOT / "app.py", ROOT / "utils.py")
    for package in ("screening", "model"):
        yield from sorted(path for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts)


def _questions(path: Path) -> Iterator[str]:
    source = path.read_text(encoding="utf-8")
    if not SUSPECT.search(source):
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED):
            words = (ast.get_docstring(node) or "").split()
            if words and words[0].strip(".,:").lower() in QUESTION_WORDS:
                name = getattr(node, "name", "the module")
                yield f"{path.relative_to(ROOT)}:{node.body[0].lineno}: {name} opens with {words[0]}"


def test_no_docstring_opens_with_a_question_word() -> None:
    found = [place for path in _sources() for place in _questions(path)]
    assert not found, "Say what it does (“Return whether …”) or is (“Kinds of …”):\n" + "\n".join(found)
