"""The image: what is let in is all that the app needs, and the commands of the README are those of the files."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest
import xlsxwriter

from screening.settings import ROOT
from tests.served import Server

IGNORED = (ROOT / ".dockerignore").read_text("utf-8").splitlines()


def let_in(target: Path) -> None:
    """Copy what .dockerignore lets through, which here is a list of names after an asterisk."""
    rules = [line for line in IGNORED if line and not line.startswith("#")]
    assert rules[0] == "*"
    names = [rule[1:] for rule in rules if rule.startswith("!")]
    kept_out = [rule.rpartition("/")[2] for rule in rules[1:] if not rule.startswith("!")]
    for name in names:
        source = ROOT / name
        (target / name).parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns(*kept_out))
        else:
            shutil.copy2(source, target / name)


ONLY_SERVING = """
import sys
from importlib.abc import MetaPathFinder

MISSING = frozenset({names})


class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())
"""
"""What every Python imports as it starts: packages that aren't in the image look as if they weren't installed."""


def without_what_the_image_lacks(folder: Path) -> dict[str, str]:
    """Return the environment of processes that find, of what is installed here, only the packages of serve.txt."""
    locked = {name for name, _ in pinned(ROOT / "requirements" / "serve.txt")}
    others = [
        name
        for name, packages in packages_distributions().items()
        if not locked & {re.sub(r"[-_.]+", "-", package).lower() for package in packages}
    ]
    assert {"tensorflow", "keras", "xgboost", "catboost", "pandas", "sklearn", "scipy"} <= set(others)
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(ONLY_SERVING.replace("{names}", repr(sorted(others))))
    return {"PYTHONPATH": str(folder)}


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on Unix: run `make test` on Linux")
def test_the_image_has_what_serving_needs_and_no_more(tmp_path: Path, compiled: Path, sample: bytes) -> None:
    clone, kept = tmp_path / "app", tmp_path / "data"
    clone.mkdir()
    kept.mkdir()
    let_in(clone)
    before = sorted(path.relative_to(clone) for path in clone.rglob("*"))
    assert not [path for path in before if fnmatch(path.name, "*.pyc") or "instance" in path.parts]
    lean = without_what_the_image_lacks(tmp_path / "lean")
    hosts = "fraud.bank.example, 127.0.0.1"
    server = Server(kept, compiled, clone, PYTHONDONTWRITEBYTECODE="1", TRUSTED_HOSTS=hosts, **lean)
    try:
        assert server.get("/readyz")[0] == 200
        image = (ROOT / "Dockerfile").read_text("utf-8")
        (check,) = re.findall(r"HEALTHCHECK .*\n +CMD (\[.*\])", image)
        _, *arguments = json.loads(check)
        subprocess.run([sys.executable, *arguments], check=True, env=server.environ, timeout=60)
        server.log_in()
        for name, content in as_files(sample).items():
            body = server.form_body(content).replace(b'"a.csv"', f'"{name}"'.encode())
            status, headers, page = server.post_form("/upload", body, Prefer="wait=60")
            assert status == 303, page
            assert b"flagged" in server.get(headers["Location"])[2], name
        for path in (
            "/detectors",
            "/sample.csv",
            "/static/css/app.css",
            "/dashboard/",
            "/dashboard/_dash-layout",
            "/monitoring",
            "/review",
            "/rules",
            "/explore/transactions",
            "/detectors/payments/learn",
            "/detectors/payments/classroom",
            "/detectors/card",
            f"{headers['Location']}/rows/1",
            f"{headers['Location']}/report.xlsx",
            f"{headers['Location']}/report.pdf",
            "/reports/period.pdf",
        ):
            status, _, page = server.get(path)
            assert status == 200, (path, page)
        transaction = dict(zip(*csv.reader(sample.decode().splitlines()[:2]), strict=True))
        del transaction["Class"]
        status, _, answer = server.request(
            "POST",
            "/detect_fraud",
            json.dumps({"transaction": {name: float(value) for name, value in transaction.items()}}),
            **{"Content-Type": "application/json", "X-CSRFToken": server.token("/upload")},
        )
        assert status == 200, answer
        assert "a training waits until a worker takes it" in server.get("/detectors/new")[2].decode()
        told = flask(server, "train", "transactions_data.csv", "--label", "Class")
        assert told.returncode == 1
        assert "Training needs tensorflow, keras, sklearn, xgboost, catboost" in told.stderr
        server.stop()
    finally:
        server.close()
    assert sorted(path.relative_to(clone) for path in clone.rglob("*")) == before
    log = (kept / "server.log").read_text("utf-8")
    assert "trainings wait for a worker that has tensorflow" in log
    assert "Traceback" not in log


def as_files(sample: bytes) -> dict[str, bytes]:
    """Return the sample as a file of each kind, by its name."""
    table = pyarrow.csv.read_csv(io.BytesIO(sample))
    parquet, workbook = io.BytesIO(), io.BytesIO()
    pyarrow.parquet.write_table(table, parquet)
    with xlsxwriter.Workbook(workbook) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(csv.reader(sample.decode().splitlines())):
            sheet.write_row(number, 0, row if number == 0 else [float(cell) for cell in row])
    return {"a.csv": sample, "a.parquet": parquet.getvalue(), "a.xlsx": workbook.getvalue()}


def flask(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the app beside its server."""
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "app", *arguments],
        cwd=server.clone,
        env=server.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_image_has_the_python_that_the_requirements_are_for() -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8")
    least = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert least
    # Debian 12 has Python 3.11 (and a later one another)
    assert least[1] == "3.11"
    assert "\nARG BASE=debian:bookworm-slim\n" in image


def test_each_target_of_the_image_is_closed_and_the_last_one_serves() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    stages = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM|\Z)", text, re.MULTILINE | re.DOTALL))
    for name in ("training", "batch", "stream", "serving"):
        assert "\nUSER app\n" in stages[name], name
        assert f"COPY --from={name}-parts /venv /venv" in stages[name]
        assert "pip" not in stages[name]
    assert list(stages)[-1] == "serving"
    assert "/readyz" in stages["serving"]
    for name in (
        "requirements.txt",
        "requirements/serve.txt",
        "requirements/batch.txt",
        "requirements/stream.txt",
    ):
        assert f"--require-hashes -r {name}" in text


def test_what_serves_is_locked_as_everything_is_and_has_no_part_for_training() -> None:
    everything, serving = (pinned(ROOT / name) for name in ("requirements.txt", "requirements/serve.txt"))
    assert serving
    assert {name: everything.get(name) for name in serving} == serving
    asked, learning = (named(ROOT / "requirements" / name) for name in ("serve.in", "learn.in"))
    assert asked <= {name for name, _ in serving}
    assert not learning & {name for name, _ in serving}
    assert asked | learning <= {name for name, _ in everything}
    # PySpark asks for it, and what serves has none
    batch = pinned(ROOT / "requirements" / "batch.txt")
    assert {"pyspark", "pandas"} <= {name for name, _ in batch}


def pinned(lock: Path) -> dict[tuple[str, str], list[str]]:
    """Return the hashes of each pinned package, by name and version."""
    found: dict[tuple[str, str], list[str]] = {}
    for block in re.split(r"\n(?=[a-z])", lock.read_text("utf-8")):
        if head := re.match(r"([a-z0-9-]+)==([\w.]+)", block):
            found[head[1], head[2]] = re.findall(r"--hash=(\S+)", block)
    return found


def named(asked: Path) -> set[str]:
    """Return the packages that a list asks for, without their extras."""
    return set(re.findall(r"^([a-z0-9-]+)", asked.read_text("utf-8"), re.MULTILINE))


def test_the_commands_of_the_readme_are_those_of_the_image() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "docker build -t fraud_detection ." in readme
    assert "docker run -p 5000:5000" in readme
    compose = (ROOT / "compose.yaml").read_text("utf-8")
    assert "image: fraud_detection" in compose
    assert "read_only: true" in compose
