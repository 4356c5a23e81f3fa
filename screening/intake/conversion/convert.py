"""Workbooks and Parquet files as canonical CSV, made in a process with a memory limit and a time limit.

The parsers of such formats allocate what a file tells them to. In a child the worst that a hostile file gets is
the child's end; the web worker and the job worker don't notice.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from screening.cards.masking import masked
from screening.errors import BadFile, TooLarge
from screening.intake.batch import MEGABYTE, ReadLimits
from screening.intake.kinds import FileKind
from screening.settings import ROOT

# Kept from a process that reads hostile files: it needs no secrets.
SECRETS = ("SECRET_KEY", "DATABASE_URL")
COMMAND = [sys.executable, "-m", "screening.intake.conversion.child"]
LOOK_SECONDS = 0.25
"""Seconds between two looks whether the file is still wanted."""
REFUSED = 3
"""The child's exit status when it has said on its standard output, as JSON, why the file is refused."""


def convert(
    source: Path,
    kind: FileKind,
    target: Path,
    limits: ReadLimits,
    waiting: Callable[[], None] = lambda: None,
    *,
    sheet: str | None = None,
) -> bool:
    """Write ``source`` as canonical CSV to ``target``; give whether it is a workbook that counts its days from 1904.

    ``sheet`` is the one of a workbook that is read, by its name; without it there must be one with data.
    ``waiting`` is called again and again while the child works. It may raise to leave: the child is gone then.

    Raises:
        BadFile: it can't be read, or takes more memory or time than ``limits`` allow.
        TooLarge: it unpacks to more than they allow.
    """
    order = json.dumps(
        {
            "source": str(source),
            "kind": kind,
            "target": str(target),
            "limits": asdict(limits),
            "sheet": sheet,
        }
    )
    status, said = run_child(order, limits.child_seconds, waiting)
    if status == REFUSED:
        answer = json.loads(said)
        answer["what"] = masked(answer["what"])
        raise (TooLarge if answer.pop("too_large") else BadFile)(**answer)
    if status:
        raise BadFile(
            f"The file is damaged, or takes more than {limits.child_memory // MEGABYTE} MB of memory to read.",
            remedy="Save it as .csv and send that.",
        )
    return bool(json.loads(said)["since_1904"])


def run_child(order: str, seconds: float, waiting: Callable[[], None]) -> tuple[int, bytes]:
    """Run the child; return its exit status and what it wrote.

    Its standard input stays open while it is wanted: a child whose parent was killed reads the end of it, and goes.

    Raises:
        BadFile: it took too long.
    """
    deadline = time.monotonic() + seconds
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    with subprocess.Popen(  # noqa: S603  our own module
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**environment, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            # it could not start: its status says so
            with suppress(BrokenPipeError):
                child.stdin.write(f"{order}\n".encode())
                child.stdin.flush()
            while (
                status := status_within(child, min(LOOK_SECONDS, max(deadline - time.monotonic(), 0)))
            ) is None:
                if time.monotonic() > deadline:
                    raise BadFile(
                        f"Reading the file took more than {seconds:.0f} seconds.",
                        remedy="Save it as .csv and send that.",
                    )
                waiting()
            # an answer of some hundred bytes: it never fills the pipe
            return status, child.stdout.read()
        finally:
            child.kill()


def status_within(child: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Return the exit status of a child; ``None`` where it still runs after so many seconds."""
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
