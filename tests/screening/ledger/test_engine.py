"""DuckDB is locked down, and a question that would take too long or too much ends with words."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from screening.ledger.filters import TooMuch
from screening.ledger.queries.engine import Engine, Unreadable, listed

ENDLESS = "SELECT count(*) FROM range(10000000000) a, range(1000) b"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "ledger of o'brien"
    inside.mkdir()
    pq.write_table(pa.table({"a": [1, 2]}), inside / "x.parquet")
    pq.write_table(pa.table({"a": [3]}), tmp_path / "outside.parquet")
    return inside


def test_it_reads_the_ledgers_folder_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    engine = Engine(folder)
    read = "SELECT sum(a) AS a FROM read_parquet($paths)"
    assert engine.ask(read, {"paths": listed([folder / "x.parquet"])}) == [{"a": 3}]
    for path in (tmp_path / "outside.parquet", folder / ".." / "outside.parquet", folder / "gone.parquet"):
        with pytest.raises(Exception, match=r"(?i)permission|cannot|no files"):
            engine.ask(read, {"paths": [str(path)]})
    assert engine.ask(read, {"paths": listed([folder / "x.parquet"])}) == [{"a": 3}]


@pytest.mark.parametrize(
    "statement",
    [
        "SET threads=8",
        "SET memory_limit='1TB'",
        "SET enable_external_access=true",
        "SET allowed_directories=['/']",
        "RESET lock_configuration",
        "INSTALL httpfs",
        "LOAD httpfs",
        "ATTACH '{}/evil.db'",
        "COPY (SELECT 1) TO '{}/evil.csv'",
        "EXPORT DATABASE '{}/evil'",
        "SELECT * FROM read_csv('{}/outside.parquet')",
        "SELECT * FROM '{}/outside.parquet'",
        "SELECT * FROM glob('{}/*')",
        "SELECT * FROM read_text('/etc/passwd')",
    ],
)
def test_no_statement_gets_out_of_it(folder: Path, tmp_path: Path, statement: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((Unreadable, FileNotFoundError)):
        Engine(folder).ask(statement.format(tmp_path), {})
    assert sorted(tmp_path.rglob("*")) == before


def test_what_takes_too_long_ends_and_the_next_question_is_answered(folder: Path) -> None:
    engine = Engine(folder, seconds=0.3)
    with pytest.raises(TooMuch, match=r"longer than 0\.3 seconds") as refused:
        engine.ask(ENDLESS, {})
    assert refused.value.status == 503
    assert "shorter period" in str(refused.value.remedy)
    assert engine.ask("SELECT 1 AS a", {}) == [{"a": 1}]


def test_what_takes_too_much_memory_ends_and_the_next_question_is_answered(folder: Path) -> None:
    engine = Engine(folder)
    with pytest.raises(TooMuch, match="of memory"):
        engine.ask("SELECT list(range::VARCHAR || repeat('x', 1000)) AS a FROM range(10000000)", {})
    assert engine.ask("SELECT 1 AS a", {}) == [{"a": 1}]
