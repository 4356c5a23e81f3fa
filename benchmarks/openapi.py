"""Requests made from the description of the data API, many more than the suite makes: ``python -m benchmarks.openapi``.

Every operation, rightly and wrongly, with every check of schemathesis, against a server of its own. ``--examples``
says how many random requests there are for each operation, ``--seed`` which ones. The report is kept in build/openapi;
the exit status is 1 if anything was found.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from screening.settings import ROOT
from tests.openapi_run import key_of, run
from tests.served import Server


def main() -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = parser.parse_args()
    folder = ROOT / "build" / "openapi"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        server = Server(Path(work), None, WORKERS="1", JOB_WORKERS="1")
        try:
            server.log_in()
            key = key_of(server, "score", "read", "label")
            done = run(server, key, folder, examples=given.examples, seed=given.seed)
        finally:
            server.close()
    print(done.stdout, done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
