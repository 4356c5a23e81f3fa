"""What a library makes anew for each app although it is the same for all apps of a process: made once for all tests.

Each test has an app of its own, and two thirds of what that took were these. Both keep what the library itself made, by
all that it is made of: a template that was changed is compiled anew.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule


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
    """Compile what builds a route's addresses once, not once for each app.

    The functions take the route as an argument and ask it for its converters, so that equal routes can share them.
    """
    compile_builder: Callable[..., Any] = Rule._compile_builder
    kept: dict[tuple[Any, ...], Any] = {}

    def compile_once(rule: Rule, append_unknown: bool = True) -> Any:
        if rule.defaults:
            return compile_builder(rule, append_unknown)
        key = (rule.rule, tuple(rule._trace), append_unknown)
        if key not in kept:
            kept[key] = compile_builder(rule, append_unknown)
        return kept[key]

    Rule._compile_builder = compile_once  # type: ignore[method-assign]
