"""Keeps a long-lived process small: without packages that nothing in it uses, and with few heaps."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from types import ModuleType

# Neither web processes nor job workers use it, but Arrow imports it with its first array, to know its types:
# 56 MB, and a third of a second. Trainings, which may use it, have processes of their own.
UNUSED = "pandas"
ARENA_MAX = -8
"""``M_ARENA_MAX`` of glibc's ``mallopt``."""
# Heaps that threads share. By itself glibc gives one to each thread, up to eight times the cores, and each
# keeps its largest size; with one interpreter two are seldom wanted at once.
ARENAS = 2


class _LeftOut(MetaPathFinder):
    """Says of some packages that they aren't installed.

    Args:
        names: of packages, without their parts.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> None:
        """Return nothing, so that others look.

        Raises:
            ModuleNotFoundError: it is one of those that are left out.
        """
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"{fullname} is left out of this process.", name=fullname)


def be_lean() -> None:
    """Make this process a lean one, and those that are forked from it.

    What was imported before stays. Call it where a process begins, not where one may be a part of another.
    """
    leave_out(UNUSED)
    # another C library has no such setting
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(ARENA_MAX, ARENAS)


def leave_out(*names: str) -> None:
    """Have packages look as if they weren't installed."""
    wanted = frozenset(names)
    if not any(isinstance(each, _LeftOut) and each.names == wanted for each in sys.meta_path):
        sys.meta_path.insert(0, _LeftOut(wanted))
