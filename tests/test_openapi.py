"""Whatever the description of the data API allows is answered as it says, and whatever it doesn't is refused.

``schemathesis run`` makes the requests: all operations, all of its checks, against the real server.
``python -m benchmarks.openapi`` makes more of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.openapi_run import key_of, run
from tests.served import Server

EXAMPLES, SEED = 2, 1
"""Nine of ten requests are those of the boundaries; ``python -m benchmarks.openapi`` makes more random ones."""


@pytest.mark.timeout(900)
@pytest.mark.security(36)
def test_whatever_is_generated_from_the_description_is_answered_as_it_says(
    tmp_path: Path, compiled: Path
) -> None:
    # no power is lost here: each of a thousand payments would wait for the disk
    server = Server(tmp_path, compiled, WORKERS="1", JOB_WORKERS="1", LEDGER_DURABILITY="normal")
    try:
        server.log_in()
        done = run(
            server,
            key_of(server, "score", "read", "label", "metrics"),
            tmp_path,
            examples=EXAMPLES,
            seed=SEED,
        )
    finally:
        server.close()
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    operations, cases = report["operations"], report["test_cases"]
    assert operations["tested"] == operations["selected"] == operations["total"] > 20
    assert report["complete"]
    assert cases["generated"] > 1500
    assert {name: found for name, found in report["warnings"].items() if found} == {}
