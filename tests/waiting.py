"""Wait for what must come to be, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 60.0
PAUSE = 0.01


def wait_until(
    holds: Callable[[], object], why: str = "it never came to be", seconds: float = PATIENCE
) -> None:
    """Return once something holds; fail, and say why, where it doesn't within some seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, why
        time.sleep(PAUSE)
