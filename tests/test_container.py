"""The image: what is let in is all that the app needs, and the commands of the README are those of the files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

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
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns(*kept_out))
        else:
            shutil.copy2(source, target / name)


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on Unix: run `make test` on Linux")
def test_the_image_has_what_a_start_and_a_screening_need_and_no_more(
    tmp_path: Path, compiled: Path, sample: bytes
) -> None:
    clone, kept = tmp_path / "app", tmp_path / "data"
    clone.mkdir()
    kept.mkdir()
    let_in(clone)
    before = sorted(path.relative_to(clone) for path in clone.rglob("*"))
    assert not [path for path in before if fnmatch(path.name, "*.pyc") or "instance" in path.parts]
    hosts = "fraud.bank.example, 127.0.0.1"
    server = Server(kept, compiled, clone, PYTHONDONTWRITEBYTECODE="1", TRUSTED_HOSTS=hosts)
    try:
        assert server.get("/readyz")[0] == 200
        image = (ROOT / "Dockerfile").read_text("utf-8")
        (check,) = re.findall(r"HEALTHCHECK .*\n +CMD (\[.*\])", image)
        _, *arguments = json.loads(check)
        subprocess.run([sys.executable, *arguments], check=True, env=server.environ, timeout=60)
        server.log_in()
        status, headers, page = server.upload(sample)
        assert status == 303, page
        assert server.get(headers["Location"])[0] == 200
        for page_path in ("/detectors", "/sample.csv", "/static/css/app.css"):
            assert server.get(page_path)[0] == 200
        server.stop()
    finally:
        server.close()
    assert sorted(path.relative_to(clone) for path in clone.rglob("*")) == before


def test_the_image_has_the_python_that_the_requirements_are_for() -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8")
    bases = set(re.findall(r"^FROM (\S+)", image, re.MULTILINE))
    least = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert least
    assert bases == {f"python:{least[1]}-slim-bookworm"}
    assert "\nUSER app\n" in image
    assert "/readyz" in image


def test_what_serves_is_locked_as_everything_is_and_has_no_part_for_training() -> None:
    everything, serving = (pinned(ROOT / name) for name in ("requirements.txt", "requirements/serve.txt"))
    assert serving
    assert {name: everything.get(name) for name in serving} == serving
    asked, learning = (named(ROOT / "requirements" / name) for name in ("serve.in", "learn.in"))
    assert asked <= {name for name, _ in serving}
    assert not learning & {name for name, _ in serving}
    assert asked | learning <= {name for name, _ in everything}


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
