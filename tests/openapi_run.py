"""Requests of all kinds, made from the description of the data API, against a real server: ``schemathesis run``."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

from screening.accounts.api_keys import MOST_BURST, MOST_PER_MINUTE
from screening.settings import ROOT
from tests.served import Server

LONGEST = 240
IDS, KEPT = "OPENAPI_IDS", "OPENAPI_KEPT_IDS"
CHECKED = "checked_id"


def key_of(server: Server, *scopes: str, per_minute: int = MOST_PER_MINUTE, burst: int = MOST_BURST) -> str:
    """Make a key of the first account, which isn't held up by a limit unless one is said; return it."""
    limits = ("--per-minute", str(per_minute), "--burst", str(burst))
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
            f"api {secrets.token_hex(4)}",
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
    report = ("--report", "json", "--report-json-path", str(folder / "report.json"))
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", f"http://127.0.0.1:{server.port}/openapi.json"),
        *("--header", f"Authorization: Bearer {key}"),
        *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"),
        *("--generation-database", "none"),  # what an earlier run failed with isn't this run's affair
        *("--max-examples", str(examples), "--seed", str(seed), "--workers", "2"),
        # ten thousand transactions in one request, on a machine that is busy
        *("--request-timeout", str(LONGEST), "--max-response-time", str(LONGEST)),
        *("--continue-on-failure", "--no-color", *report, *more),
    ]
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": "tests.openapi_hooks",
        # the tables of Unicode that Hypothesis makes for seconds; another test of the run has mostly made them
        "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),
        IDS: json.dumps({"screening_id": _files(server, 2), CHECKED: _files(server, 9, check="1")}),
        KEPT: json.dumps({"screening_id": _files(server, 1), CHECKED: _files(server, 2, check="1")}),
    }
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


def _files(server: Server, count: int, **fields: str) -> list[str]:
    """Have some files screened or checked; return the ids."""
    sample = (ROOT / "model" / "detectors" / "payments" / "sample.csv").read_bytes()
    return [server.upload(sample, 60, **fields)[1]["Location"].split("/")[2] for _ in range(count)]
