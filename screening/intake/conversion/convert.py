"""Workbooks and Parquet files as canonical CSV, made in a process with a memory limit and a time limit.

The parsers of such formats allocate what a file tells them to. In a child the worst that a hostile file gets is
the child's end; the web worker and the job worker don't notice.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from screening.errors import BadFile, TooLarge
from screening.intake.batch import MEGABYTE, Limits
from screening.intake.kinds import Kind
from screening.intake.numbers import masked
from screening.settings import ROOT

SECRETS = ("SECRET_KEY", "DATABASE_URL")
"""What a process that reads hostile files needn't know."""
REFUSED = 3
"""The child's exit status when it has said on its standard output, as JSON, why the file is refused."""


def convert(source: Path, kind: Kind, target: Path, limits: Limits) -> None:
    """Write ``source`` as canonical CSV to ``target``.

    Raises:
        BadFile: it can't be read, or takes more memory or time than ``limits`` allow.
        TooLarge: it unpacks to more than they allow.
    """
    order = json.dumps({"source": str(source), "kind": kind, "target": str(target), "limits": asdict(limits)})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "screening.intake.conversion.child"],
            input=order.encode(),
            capture_output=True,
            cwd=ROOT,
            env={**_environment(), "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2"},
            timeout=limits.child_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadFile(
            f"Reading the file took more than {limits.child_seconds:.0f} seconds.",
            remedy="Save it as .csv and send that.",
        ) from None
    if done.returncode == REFUSED:
        answer = json.loads(done.stdout)
        answer["what"] = masked(answer["what"])
        raise (TooLarge if answer.pop("too_large") else BadFile)(**answer)
    if done.returncode:
        raise BadFile(
            f"The file is damaged, or takes more than {limits.child_memory // MEGABYTE} MB of memory to read.",
            remedy="Save it as .csv and send that.",
        )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in SECRETS}
