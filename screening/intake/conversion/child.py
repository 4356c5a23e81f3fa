"""The child process of :mod:`screening.intake.conversion.convert`, run as a module with its order on stdin."""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from screening.errors import BadFile, TooLarge
from screening.intake.batch import ReadLimits
from screening.intake.conversion.convert import REFUSED
from screening.intake.kinds import FileKind


def main() -> int:
    """Carry out one order; the exit status is 0, or ``REFUSED`` with the reason on stdout.

    What must be known of the file beside its table is on stdout as well.
    """
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limits = ReadLimits(**order["limits"])
    _confine(limits)
    try:
        since_1904 = _convert(
            FileKind(order["kind"]), Path(order["source"]), Path(order["target"]), limits, order.get("sheet")
        )
    except BadFile as problem:
        return _refuse(problem)
    except OSError as problem:
        if problem.errno != errno.EFBIG:
            raise
        return _refuse(
            TooLarge("The file unpacks to more than is allowed.", remedy="Split it, or send it as .csv.")
        )
    answer_parent({"since_1904": since_1904})
    return 0


def _end_with_parent() -> None:
    """End with the parent: nobody waits for the work of a child whose parent is gone, however that ended."""
    while sys.stdin.read(1024):
        pass
    os._exit(1)


def _convert(kind: FileKind, source: Path, target: Path, limits: ReadLimits, sheet: str | None) -> bool:
    if kind is FileKind.PARQUET:
        from screening.intake.conversion import parquet

        parquet.to_csv(source, target, limits)
        return False
    from screening.intake.conversion import workbook

    return workbook.to_csv(source, target, kind, limits, sheet)


def _refuse(problem: BadFile) -> int:
    answer = {"what": problem.what, "where": problem.where, "remedy": problem.remedy}
    answer_parent({**answer, "too_large": isinstance(problem, TooLarge)})
    return REFUSED


def answer_parent(answer: Mapping[str, object]) -> None:
    """Write what the parent is told, as one line of JSON."""
    sys.stdout.write(json.dumps(answer) + "\n")


def _confine(limits: ReadLimits) -> None:
    try:
        import resource
    except ImportError:
        return
    seconds = int(limits.child_seconds) + 1
    for what, most in (
        (resource.RLIMIT_AS, limits.child_memory),
        (resource.RLIMIT_FSIZE, limits.unpacked),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (bound, bound))


if __name__ == "__main__":
    sys.exit(main())
