"""Requests of all kinds, made from the description of the data API, against a real server: ``schemathesis run``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from screening.accounts.api_keys import MOST_BURST, MOST_PER_MINUTE
from screening.settings import ROOT
from tests.served import Server


def key_of(server: Server, *scopes: str) -> str:
    """Make a key of the first account that isn't held up by a limit; return it."""
    limits = ("--per-minute", str(MOST_PER_MINUTE), "--burst", str(MOST_BURST))
    words = [word for scope in scopes for word in ("--scope", scope)]
    made = subprocess.run(
        [
            sys.executable,
            "-m",
            "flask",
            "--app",
            "app",
            "keys",
            "create",
            "api",
            "--owner",
            "ana",
            *limits,
            *words,
        ],
        cwd=ROOT,
        env=server.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.splitlines()[-1]


def run(
    server: Server, key: str, folder: Path, *more: str, examples: int, seed: int
) -> subprocess.CompletedProcess[str]:
    """Ask for every operation of the description, rightly and wrongly; every check that schemathesis has is made.

    Args:
        server: which is asked.
        key: with all scopes.
        folder: where the report is left.
        more: further options.
        examples: how many random requests there are for each operation, beside those that its boundaries give.
        seed: the same seed gives the same requests.
    """
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", f"http://127.0.0.1:{server.port}/openapi.json"),
        *("--header", f"Authorization: Bearer {key}"),
        *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"),
        *("--max-examples", str(examples), "--seed", str(seed)),
        *(
            "--continue-on-failure",
            "--no-color",
            "--report",
            "json",
            "--report-json-path",
            str(folder / "report.json"),
        ),
        *more,
    ]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.openapi_hooks"}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
