"""What is made again for each app although it is the same for all apps of a process: made once for all tests.

Each test has an app of its own, and most of what that took were these. Each keeps what the library, or the app itself,
made, by all that it is made of: a template or a card that was changed is read again. Nothing that failed is kept.
"""

from __future__ import annotations

import functools
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy import Engine
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule

from screening.detectors import detector, vectorizer
from screening.detectors.compilation import cache, form
from screening.detectors.model_card import ModelCard, read_card
from screening.infra.database import Database

STATEMENTS = 2000
"""SQL statements that are kept; SQLAlchemy keeps 500 for each database."""
FOR_THE_RUN = pytest.MonkeyPatch()
"""What is put in place of a library's parts, as long as the process lives: it is never undone."""


class Templates(BytecodeCache):
    """The code of templates, by name and content."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self.kept.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self.kept[bucket.key, bucket.checksum] = bucket.code


def keep_templates() -> None:
    """Compile each template once, not once for each app."""
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": Templates()}


def keep_routes() -> None:
    """Take each route's address apart once, and compile what builds it once, not once for each app.

    What a route is compiled to depends on its address, its host and its map's converters. The functions that build
    addresses take the route as an argument and ask it for its converters, so that equal routes can share them.
    """
    compile_rule: Callable[[Rule], None] = Rule.compile
    kept: dict[tuple[Any, ...], Rule] = {}

    def compile_once(rule: Rule) -> None:
        if rule.defaults:
            compile_rule(rule)
            return
        converters = frozenset(rule.map.converters.items())
        key = (rule.rule, rule.host, rule.subdomain, rule.merge_slashes, rule.map.host_matching, converters)
        first = kept.get(key)
        if first is None:
            compile_rule(rule)
            kept[key] = rule
            return
        rule._parts, rule._trace = first._parts, first._trace
        rule._converters = first._converters
        rule.arguments |= first.arguments
        build: Any = first._build  # a method, and typed as a function
        build_unknown: Any = first._build_unknown
        rule._build = build.__func__.__get__(rule, None)
        rule._build_unknown = build_unknown.__func__.__get__(rule, None)

    FOR_THE_RUN.setattr(Rule, "compile", compile_once)


def keep_statements() -> None:
    """Compile each SQL statement once, not once for each app's databases: those in SQLite speak one dialect."""
    make: Callable[..., None] = Engine.__init__
    statements: Any = LRUCache(STATEMENTS)

    def make_with_statements(engine: Engine, *given: Any, **more: Any) -> None:
        make(engine, *given, **more)
        if type(engine.dialect) is SQLiteDialect_pysqlite and engine._compiled_cache is not None:
            engine._compiled_cache = statements

    FOR_THE_RUN.setattr(Engine, "__init__", make_with_statements)
    # the dialect is a part of the key by which a statement is kept
    FOR_THE_RUN.setattr(SQLiteDialect_pysqlite, "__hash__", lambda own: hash(type(own)))
    FOR_THE_RUN.setattr(SQLiteDialect_pysqlite, "__eq__", lambda own, other: type(own) is type(other))


def keep_migrations() -> None:
    """Migrate the first of all new databases in SQLite; each later one gets a copy of what that made.

    One that holds something, as of an older version, is migrated like any other.
    """
    migrate: Callable[[Database], None] = Database._migrate
    made: dict[tuple[str, str], sqlite3.Connection] = {}

    def copy_or_migrate(own: Database) -> None:
        if own.engine.dialect.name != "sqlite":
            migrate(own)
            return
        key = own._schema.migrations, own._schema.head
        with own.engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            new = raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        if not new:
            migrate(own)
        elif key in made:
            with own.engine.connect() as connection:
                raw = connection.connection.driver_connection
                made[key].backup(raw)
                if raw.execute(
                    "SELECT count(*) FROM sqlite_master WHERE name = 'ledger_name'"
                ).fetchone() == (1,):
                    # what tells the states of several ledgers in one Redis apart is drawn again
                    raw.execute("UPDATE ledger_name SET name = ?", [secrets.token_hex(8)])
        else:
            migrate(own)
            kept = sqlite3.connect(":memory:", check_same_thread=False)
            with own.engine.connect() as connection:
                raw = connection.connection.driver_connection
                raw.backup(kept)
            made[key] = kept

    FOR_THE_RUN.setattr(Database, "_migrate", copy_or_migrate)


def keep_detectors() -> None:
    """Read the parts of each detector's files that nobody can change once, by their bytes, not once for each app."""
    cards: dict[tuple[Path, bytes], ModelCard] = {}

    def card_of(path: Path) -> ModelCard:
        try:
            key = path, path.read_bytes()
        except OSError:
            return read_card(path)
        if key not in cards:
            cards[key] = read_card(path)
        return cards[key]

    FOR_THE_RUN.setattr(detector, "read_card", card_of)
    FOR_THE_RUN.setattr(detector, "open_vectorizer", functools.cache(vectorizer.open_vectorizer))
    unpacked = functools.cache(form.unpack)
    FOR_THE_RUN.setattr(cache, "unpack", lambda data: dict(unpacked(data)))
