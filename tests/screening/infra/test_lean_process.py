"""Long-lived processes do without what they don't use."""

from __future__ import annotations

import json
import subprocess
import sys

from screening.settings import ROOT

REPORT = """
import json, sys
import pyarrow as pa
array = pa.array(["a", None]).to_pylist()
held = "pandas" in sys.modules
try:
    import pandas.core
    refused = ""
except ModuleNotFoundError as problem:
    refused = str(problem)
import xml.dom.minidom
print(json.dumps([array, held, refused, sum(type(each).__name__ == "_LeftOut" for each in sys.meta_path)]))
"""
RUN_APP = """
import runpy, sys
sys.argv = ["app.py", "nonsense"]
try:
    runpy.run_path("app.py", run_name="__main__")
except SystemExit as ended:
    assert ended.code == 2
"""


def told(code: str) -> list[object]:
    """Return what a fresh interpreter reports after running ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_arrow_finds_no_pandas_in_a_lean_process() -> None:
    twice = "from screening.infra.lean_process import be_lean\nbe_lean()\nbe_lean()"
    assert told(twice) == [["a", None], False, "pandas is left out of this process.", 1]


def test_the_app_is_a_lean_process() -> None:
    assert told(RUN_APP) == [["a", None], False, "pandas is left out of this process.", 1]


def test_others_keep_what_is_installed() -> None:
    assert told("") == [["a", None], True, "", 0]
