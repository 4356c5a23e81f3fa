"""Progress of a long computation: a share from 0 to 1 and some words."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[float, str], None]


def silent(_share: float, _text: str) -> None:
    """Say nothing."""


def part(say: Say, low: float, high: float) -> Say:
    """Return progress within a part of the whole."""
    return lambda share, text: say(round(low + (high - low) * share, 9), text)  # 0.2 + 0.4 is more than 0.6
