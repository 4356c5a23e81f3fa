"""Migrations only add: the version before goes on with the same tables while hosts are upgraded one after another."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from screening.infra.database import OLDEST
from screening.ledger.tables import SCHEMA
from screening.settings import ROOT

# The first of each set that had to keep to it, and the oldest version whose code works with the newest tables.
SETS = {
    ROOT / "screening" / "infra" / "migrations" / "versions": ("0033", OLDEST),
    ROOT / "screening" / "ledger" / "migrations" / "versions": ("0008", SCHEMA.oldest),
}
FILES = [
    pytest.param(path, oldest, id=f"{path.parts[-4]}-{path.stem}")
    for folder, (first, oldest) in SETS.items()
    for path in sorted(folder.glob("[0-9]*.py"))
    if path.name[:4] >= first
]
TAKES_AWAY = {
    "drop_table",
    "drop_column",
    "rename_table",
    "drop_constraint",
    "create_unique_constraint",
    "create_check_constraint",
    "create_foreign_key",
    "create_exclude_constraint",
    "create_primary_key",
}
"""What code that doesn't know of it can't go on with; a constraint may refuse what it writes."""
STATEMENT = re.compile(
    r"\b(DROP|RENAME|SET\s+NOT\s+NULL|ALTER\s+COLUMN|ADD\s+CONSTRAINT|TRUNCATE)\b", re.IGNORECASE
)


def problems(source: str) -> Iterator[str]:
    """What a migration does that the version before can't go on with."""
    tree = ast.parse(source)
    upgrade = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
    made = {text_of(call.args[0]) for call in calls(upgrade) if name_of(call) == "create_table"}
    for call in calls(upgrade):
        name, given = name_of(call), {each.arg: each.value for each in call.keywords}
        on = text_of(call.args[0]) if call.args else None
        if name in TAKES_AWAY:
            yield f"{name} {on}"
        if name == "create_index" and is_true(given.get("unique")) and text_of(call.args[1]) not in made:
            yield f"create_index {on}, which is unique"
        if name == "alter_column" and not (
            is_true(given.get("nullable"))
            and all(each == "nullable" or str(each).startswith("existing_") for each in given)
        ):
            yield f"alter_column {on}"
        if name == "add_column":
            column = next(each for each in call.args if isinstance(each, ast.Call))
            said = {each.arg: each.value for each in column.keywords}
            needed = "nullable" in said and not is_true(said["nullable"])
            if (
                needed or is_true(said.get("primary_key")) or is_true(said.get("unique"))
            ) and "server_default" not in said:
                yield f"add_column {on}, which the version before doesn't fill"
        if name == "execute" and STATEMENT.search(ast.unparse(call)):
            yield f"execute {ast.unparse(call)[:80]}"


def calls(node: ast.AST) -> Iterator[ast.Call]:
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute):
            yield each


def name_of(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    return call.func.attr


def text_of(node: ast.expr) -> str | None:
    return str(node.value) if isinstance(node, ast.Constant) else None


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def works_from(source: str) -> str | None:
    """The oldest version whose code works after a migration that takes something away, as it says itself."""
    found = re.search(r'^oldest = "(\d{4})"$', source, re.MULTILINE)
    return None if found is None else found[1]


@pytest.mark.parametrize(("path", "oldest"), FILES)
def test_a_migration_only_adds_or_says_whose_code_works_without(path: Path, oldest: str) -> None:
    source = path.read_text("utf-8")
    needs = works_from(source)
    if needs is not None:
        assert oldest >= needs, f"raise OLDEST to {needs}: code of {oldest} doesn't work any more"
        return
    assert list(problems(source)) == [], "do it in a later version, once no host runs code that needs it"


ADDS = """
def upgrade():
    op.create_table("new", sa.Column("id", sa.Integer, primary_key=True), sa.Column("a", sa.String, nullable=False))
    op.create_index("new_by_a", "new", ["a"], unique=True)
    op.add_column("old", sa.Column("b", sa.String(9)))
    op.add_column("old", sa.Column("c", sa.Boolean, nullable=False, server_default=sa.false()))
    op.alter_column("old", "d", nullable=True, existing_type=sa.Integer)
    op.execute("UPDATE old SET b = 'x'")

def downgrade():
    op.drop_table("new")
"""


def test_what_only_adds_passes() -> None:
    assert list(problems(ADDS)) == []


@pytest.mark.parametrize(
    "line",
    [
        'op.drop_table("old")',
        'op.drop_column("old", "a")',
        'op.rename_table("old", "new")',
        'op.add_column("old", sa.Column("b", sa.String, nullable=False))',
        'op.alter_column("old", "a", nullable=False)',
        'op.alter_column("old", "a", new_column_name="b")',
        'op.alter_column("old", "a", type_=sa.BigInteger)',
        'op.create_index("old_by_a", "old", ["a"], unique=True)',
        'op.create_unique_constraint("once", "old", ["a"])',
        'op.execute("ALTER TABLE old ALTER COLUMN a SET NOT NULL")',
        'with op.batch_alter_table("old") as table:\n        table.drop_column("a")',
    ],
)
def test_what_older_code_cant_go_on_with_is_found(line: str) -> None:
    assert len(list(problems(f"def upgrade():\n    {line}\n"))) == 1
