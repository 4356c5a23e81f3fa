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


def test_no_two_classes_have_one_name() -> None:
    """Whoever reads `Found` in a signature shouldn't have to look which of four it is."""
    places: dict[str, list[str]] = {}
    for path in _sources():
        for name in re.findall(r"(?m)^class ([A-Z]\w+)", path.read_text(encoding="utf-8")):
            places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def _retired() -> dict[str, str]:
    """Return the words that the glossary retires, with what is said instead."""
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    _, _, table = glossary.partition("## Retired")
    rows = re.findall(r"(?m)^\| ([^|]+?) \| ([^|]+?) \|$", table)
    return {word: instead for word, instead in rows if not word.startswith(("--", "word"))}


def test_retired_words_are_in_no_code_and_on_no_page() -> None:
    retired = _retired()
    assert len(retired) > 10
    pages = sorted((ROOT / "templates").rglob("*.html"))
    wanted = re.compile(rf"(?i)(?<![a-z])(?:{'|'.join(map(re.escape, retired))})s?(?![a-z])")
    found = [
        f"{path.relative_to(ROOT)}:{number}: “{match.group()}”"
        for path in (*_sources(), *pages)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (match := wanted.search(line))
    ]
    assert not found, "See “Retired” in docs/glossary.md:\n" + "\n".join(found)
