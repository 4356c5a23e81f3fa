"""Answer when something goes wrong, whoever serves the request: status, words and headers.

The same for pages, for the data API in Flask and for requests that never meet it.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from screening.errors import NotReady, ScreeningError, StorageFull
from screening.infra.database import is_unusable
from screening.infra.disk_space import release_reserve

log = logging.getLogger("screening.web")


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is told."""

    problem: dict[str, Any]
    """As :meth:`ScreeningError.as_dict` has it."""
    headers: Mapping[str, str]

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.problem["status"])


def told(
    error: Exception, *, request_id: str | None, instance: Path, on_damage: Callable[[str], object]
) -> Failure:
    """Return what is said of an error; what nobody expected is logged.

    Args:
        error: what was raised.
        request_id: the number of the request, for the log.
        instance: the folder of the instance, whose reserve of the disk is let go when it is full.
        on_damage: called with what the database says of its own damage.
    """
    if isinstance(error, ScreeningError):
        return Failure(error.as_dict(), error.headers())
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(instance)
    if is_unusable(error):
        return database_failure(error, request_id, instance, on_damage)
    log.error("request %s failed", request_id, exc_info=error)
    problem = ScreeningError(
        "Something went wrong here, and it was written to the log.",
        remedy="Try once more. If it happens again, tell the operator the request number below.",
    ).as_dict()
    return Failure({**problem, "status": 500, "title": "An error on the server"}, {})


def database_failure(
    error: SQLAlchemyError, request_id: str | None, instance: Path, on_damage: Callable[[str], object]
) -> Failure:
    """Answer when the store is damaged, locked or full: not ready."""
    said = str(getattr(error, "orig", error))
    log.error("request %s failed: the database said %s", request_id, said)
    if "is full" in said:
        return disk_full(instance)
    if "malformed" in said or "not a database" in said:
        on_damage(said)
    away = NotReady(
        "The database can't be used at the moment; nothing was changed.",
        remedy="Try again, then tell the operator.",
    )
    return Failure(away.as_dict(), away.headers())


def disk_full(instance: Path) -> Failure:
    """Answer when the disk is full: what is asked next, as to delete something, may use the reserve."""
    release_reserve(instance)
    full = StorageFull(
        "The server's disk is full; nothing was changed.",
        remedy="Try once more; then delete screenings that nobody needs, or tell the operator.",
    )
    return Failure(full.as_dict(), full.headers())
