"""What the processes write to standard error."""

from __future__ import annotations

import logging


def begin_logging() -> None:
    """One line an event, with its time; libraries speak only when something is wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("screening").setLevel(logging.INFO)
