"""The examples of docs/api.md run as they are printed, against the real server; what it says of routes is true."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from screening.accounts.api_keys import DEFAULT_BURST, DEFAULT_PER_MINUTE, SCOPES
from screening.settings import ROOT
from screening.web.api.transactions import PAGES
from screening.web.http.ledger_filters import TRENDS
from tests.served import Server

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Iterator[dict[str, str]]:
    """A server, a key for it, and the folder in which the examples run, as their environment says."""
    server = Server(tmp_path_factory.mktemp("api"), compiled, WORKERS="1", JOB_WORKERS="1")
    server.log_in()
    command = [sys.executable, "-m", "flask", "--app", "app", "keys", "create", "docs", "--owner", "ana"]
    scopes = [word for scope in ("score", "read", "label") for word in ("--scope", scope)]
    made = subprocess.run(
        [*command, *scopes], cwd=ROOT, env=server.environ, capture_output=True, text=True, check=True
    )
    folder = tmp_path_factory.mktemp("program")
    shutil.copy(ROOT / "model" / "detectors" / "payments" / "sample.csv", folder / "payments.csv")
    yield {
        "PATH": os.environ["PATH"],
        "PWD": str(folder),
        "FRAUD_URL": f"http://127.0.0.1:{server.port}",
        "FRAUD_KEY": made.stdout.splitlines()[-1],
    }
    server.close()


def run(environ: dict[str, str], *command: str, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        input=script,
        cwd=environ["PWD"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash")
def test_the_examples_for_the_shell_run(environ: dict[str, str]) -> None:
    (settings,) = blocks("console")
    (header,) = (line[2:] for line in settings.splitlines() if "printf" in line)
    fails = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; echo; }\n'
    assert len(blocks("sh")) == 4
    done = run(environ, "bash", script=fails + header + "\n" + "\n".join(blocks("sh")))
    assert done.returncode == 0, done.stderr + done.stdout
    decided, labelled, rows, weeks, screening = (line for line in done.stdout.splitlines() if line)
    assert '"detector":"payments"' in decided
    assert '"accepted":1' in labelled
    assert rows.count('"customer":"6"') == 2
    assert '"fraud_cases":1' in weeks
    assert '"state":"done"' in screening
    scores = (Path(environ["PWD"]) / "scores.csv").read_text(encoding="utf-8")
    assert scores.splitlines()[0].endswith(",fraud_probability,flagged")
    assert (Path(environ["PWD"]) / "fraud-key.header").stat().st_mode & 0o077 == 0


def test_the_example_in_python_runs_and_says_what_is_wrong(environ: dict[str, str]) -> None:
    (program,) = blocks("python")
    done = run(environ, sys.executable, "-", script=program)
    assert done.returncode == 0, done.stderr
    identifier, fraud, probability = done.stdout.split()
    assert (len(identifier), fraud) == (36, "False")
    assert 0 <= float(probability) < 0.8
    bad = run({**environ, "FRAUD_KEY": "fsk_"}, sys.executable, "-", script=program)
    assert "ValueError: What was sent has 4 characters and is no key" in bad.stderr
    wrong = run(environ, sys.executable, "-", script=program.replace('"TX_AMOUNT": 51.40', '"AMOUNT": 5'))
    assert "TX_AMOUNT" in wrong.stderr or "column" in wrong.stderr


def test_every_route_scope_parameter_and_default_is_there(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        if getattr(app.view_functions[rule.endpoint], "scope", None):
            whole = re.sub("<[^>]+>", "<id>", rule.rule)
            assert whole in TEXT or f"`{whole.rsplit('/', 1)[1]}`" in TEXT, whole
    for name in (*PAGES, *TRENDS, *SCOPES):
        assert f"`{name}`" in TEXT or f"`{name}=" in TEXT, name
    assert f"{DEFAULT_BURST} if nothing else is said" in TEXT
    assert f"({DEFAULT_PER_MINUTE:,})" in TEXT
