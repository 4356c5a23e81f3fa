"""PostgreSQL's programs are told where the database is, and never its password where others can read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from screening.backup import postgres_tools
from screening.errors import NotReady

URL = make_url("postgresql://fraud:s3cret%20word@db.bank.example:5433/fraud?sslmode=require")


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_password_is_in_the_environment_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program(tmp_path, "pg_dump", f'printf "%s\\n" "$PGPASSWORD" "$@" > {tmp_path}/told')
    postgres_tools.dump(URL, tmp_path / "dump", "00000003-1")
    password, *arguments = (tmp_path / "told").read_text().splitlines()
    assert password == "s3cret word"
    assert not any("s3cret" in each for each in arguments)
    (address,) = (each for each in arguments if each.startswith("--dbname="))
    assert {"user=fraud", "host=db.bank.example", "port=5433", "sslmode=require"} <= set(
        address.removeprefix("--dbname=").split()
    )
    assert "--snapshot=00000003-1" in arguments
    assert (tmp_path / "dump").stat().st_mode & 0o777 == 0o600


def test_what_a_program_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    program(tmp_path, "pg_restore", 'echo "error: server version mismatch" >&2; exit 1')
    with pytest.raises(NotReady, match="pg_restore ended with status 1: error: server version mismatch"):
        postgres_tools.restore(URL, tmp_path / "dump")


def test_a_program_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgres_tools, "DEBIAN", tmp_path)
    with pytest.raises(NotReady, match=r"pg_dump isn't here. Install it"):
        postgres_tools.require("pg_dump")
