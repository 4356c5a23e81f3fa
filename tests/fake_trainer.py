"""Stands in for ``model.trainer`` where a real training would take too long: the same order, output and manners.

A column of its file, or all of it, says what to do: one of WORDS. Else it makes the shipped detector under
another name.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from screening.settings import ROOT

WORDS = ("refuse", "crash", "lack", "die", "deaf", "wait")
REFUSAL = {
    "title": "This file can't be screened",
    "status": 400,
    "what": "There are 3 frauds.",
    "where": "column fraud",
    "remedy": "Give at least 20.",
    "problems": [],
    "problem_count": 0,
}


def tell(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def make(out: Path) -> None:
    part = out.with_name(f".{out.name}.part")
    part.mkdir(parents=True)
    for file in (ROOT / "model.h5", ROOT / "vectorizer.pkl", ROOT / "model" / "card.json"):
        shutil.copy(file, part)
    part.rename(out)


def main() -> int:
    order = json.loads(Path(sys.argv[1]).read_text())
    first = Path(order["file"]).read_text().partition("\n")[0]
    word = next((word for word in WORDS if word in first.split(",")), "make")
    Path(os.environ["TMPDIR"], "pid").write_text(str(os.getpid()))
    sys.stdout.write("a library's chatter\n")
    tell(progress=0.1, stage="Reading the file")
    if word == "refuse":
        tell(error=REFUSAL)
        return 1
    if word == "crash":
        raise RuntimeError("a mistake in the workshop")
    if word == "lack":
        raise ModuleNotFoundError("No module named 'boosting'")
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while word in ("wait", "deaf"):
        tell(progress=0.4, stage="Learning")
        time.sleep(0.05)
    make(Path(order["out"]))
    tell(done={"name": order["name"], "metrics": {"validation": {"auc": 0.98}}})
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
