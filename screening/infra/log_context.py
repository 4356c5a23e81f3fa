"""What a line of the log is about: the request, the job, and who asked. It is said once and stands in every line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

Value = str | list[str]
NOTHING: Mapping[str, Value] = MappingProxyType({})
_context: ContextVar[Mapping[str, Value]] = ContextVar("log_context", default=NOTHING)


@contextmanager
def bound(**fields: Value) -> Iterator[None]:
    """Put fields into all lines that this thread writes within; what is added within ends with it."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def add(**fields: Value) -> None:
    """Put fields into the lines that follow within the innermost :func:`bound`."""
    _context.set({**_context.get(), **fields})


def current() -> Mapping[str, Value]:
    """Return the fields of a line that is written now."""
    return _context.get()
