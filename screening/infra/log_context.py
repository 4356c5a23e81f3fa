"""Keep the context of log lines: the request, the job, and who asked. It is said once and appears in every line."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType

Value = str | list[str]
NOTHING: Mapping[str, Value] = MappingProxyType({})
_context: ContextVar[Mapping[str, Value]] = ContextVar("log_context", default=NOTHING)


class bound:  # noqa: N801 -- used as a function is; a generator takes four times as long
    """Put fields into all lines that this thread writes within; what is added within ends with it."""

    __slots__ = ("_fields", "_token")

    def __init__(self, **fields: Value) -> None:
        self._fields = fields
        self._token: Token[Mapping[str, Value]] | None = None

    def __enter__(self) -> None:
        self._token = _context.set({**_context.get(), **self._fields})

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _context.reset(self._token)


def add(**fields: Value) -> None:
    """Put fields into the lines that follow within the innermost :func:`bound`."""
    _context.set({**_context.get(), **fields})


def current() -> Mapping[str, Value]:
    """Return the fields of a line that is written now."""
    return _context.get()
