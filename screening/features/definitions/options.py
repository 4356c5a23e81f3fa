"""Options of features: chosen, not learned."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from screening.features import json_reading
from screening.features.definitions.feature import DAY, HOUR

YEARS = 100 * 366 * DAY
MOST_WINDOWS = 12


@dataclass(frozen=True, slots=True)
class Options:
    """All times are in seconds."""

    windows: tuple[float, ...] = (HOUR, DAY, 7 * DAY, 30 * DAY)
    """Windows of the sums and counts; ascending."""
    label_delay: float = 7 * DAY
    """Seconds after a transaction until it is known whether it was fraud."""
    memory: float = 90 * DAY
    """Seconds that "ever" reaches back; at least the longest window."""
    levels: int = 40
    """Levels of a category that get an input of their own."""
    known: int = 1000
    """Levels of a category whose frequency is remembered."""
    least: int = 10
    """Training rows that a level must have to get an input of its own."""
    smoothing: float = 5.0
    """Transactions without fraud that are added to those of an entity before its share of frauds is taken."""

    @property
    def long_windows(self) -> tuple[float, ...]:
        """Those of a day or more: an hour tells nothing of what is usual."""
        return tuple(window for window in self.windows if window >= DAY) or self.windows

    @property
    def horizon(self) -> float:
        """Longest time that anything looks back: at a fraud of the longest window, and from there at what was usual."""
        return max(self.memory, self.label_delay + 2 * self.windows[-1])

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self) | {"windows": list(self.windows)}

    @classmethod
    def from_dict(cls, given: object) -> Options:
        """Return the options that :meth:`as_dict` wrote.

        Raises:
            TypeError, ValueError: they aren't.
        """
        found = json_reading.record(given, "the options", {part.name for part in fields(cls)})
        windows = tuple(
            json_reading.number(window, "a window", 1e-3, YEARS)
            for window in json_reading.listed(found["windows"], "windows")
        )
        return cls(
            windows=windows,
            label_delay=json_reading.number(found["label_delay"], "the label delay", 0, YEARS),
            memory=json_reading.number(found["memory"], "the memory", 1e-3, YEARS),
            levels=json_reading.count(found["levels"], "the number of levels", 1000),
            known=json_reading.count(found["known"], "the number of known levels", json_reading.MOST),
            least=json_reading.count(found["least"], "the least rows of a level", 2**53),
            smoothing=json_reading.number(found["smoothing"], "the smoothing", 1e-9, 1e9),
        )

    def __post_init__(self) -> None:
        """Make whole numbers floats, and refuse what contradicts itself.

        Raises:
            ValueError: no window, too many, or not ascending; or a memory shorter than a window.
        """
        object.__setattr__(self, "windows", tuple(map(float, self.windows)))
        for name in ("label_delay", "memory", "smoothing"):
            object.__setattr__(self, name, float(getattr(self, name)))
        if not 1 <= len(self.windows) <= MOST_WINDOWS:
            raise ValueError(f"{len(self.windows)} windows are not 1 to {MOST_WINDOWS}")
        if any(late <= early for early, late in zip(self.windows, self.windows[1:], strict=False)):
            raise ValueError("the windows don't ascend")
        if self.memory < self.windows[-1]:
            raise ValueError("the memory is shorter than the longest window")


DEFAULTS = Options()
