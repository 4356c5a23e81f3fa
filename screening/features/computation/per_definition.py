"""Derive what follows from a definition and nothing else, made once: for one row it would cost more than the row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from screening.features.definitions.definition import Definition

Made = TypeVar("Made")
# Definitions that are cached: a process works with a few detectors only.
KEPT = 16


class PerDefinition(Generic[Made]):
    """Gives what was made of a definition; a definition is known by being the very same object.

    Args:
        make: makes it.
    """

    def __init__(self, make: Callable[[Definition], Made]) -> None:
        self._make = make
        self._known: dict[int, tuple[Definition, Made]] = {}

    def of(self, definition: Definition) -> Made:
        """Return what was made of a definition; threads may make it at the same time, and get equal ones."""
        known = self._known.get(id(definition))
        if known is not None and known[0] is definition:
            return known[1]
        made = self._make(definition)
        if len(self._known) >= KEPT:
            self._known = {}
        # the definition is held, so that no other one can get its id as long as this is known
        self._known[id(definition)] = definition, made
        return made
