"""docs/security.md says which tests hold which item of the security list.

``python -m tests.test_security_table`` writes its table again.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from screening.settings import ROOT

DOCUMENT = ROOT / "docs" / "security.md"
HELD = {*range(1, 32), 33, 34, 35}
"""Items that must have a test; the others belong to parts that are still to come, or have one already."""
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.*) \|$", re.MULTILINE)


@cache
def marked_files() -> dict[int, list[str]]:
    """Item number to the test files that carry its mark."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.security":
                for argument in node.args:
                    assert isinstance(argument, ast.Constant), f"{path}: numbers only"
                    found[int(str(argument.value))].add(path.relative_to(ROOT / "tests").as_posix())
    return {number: sorted(paths) for number, paths in found.items()}


def rewritten(text: str) -> str:
    """The document with the last column of its table as the marks say."""
    files = marked_files()

    def row(found: re.Match[str]) -> str:
        tests = ", ".join(f"`{path}`" for path in files.get(int(found[1]), [])) or "–"
        return f"| {found[1]} | {found[2]} | {tests} |"

    return ROW.sub(row, text)


@pytest.mark.parametrize("number", sorted(HELD))
def test_each_item_is_held_by_a_test(number: int) -> None:
    assert marked_files().get(number), f"no test carries @pytest.mark.security({number})"


def test_the_table_says_what_the_marks_say() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert text == rewritten(text), "run python -m tests.test_security_table"


def test_every_marked_item_has_a_row() -> None:
    rows = {int(number) for number, _, _ in ROW.findall(DOCUMENT.read_text("utf-8"))}
    assert set(marked_files()) | HELD <= rows


def main(document: Path = DOCUMENT) -> None:
    """Write the table again."""
    document.write_text(rewritten(document.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
