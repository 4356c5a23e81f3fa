"""The arrows between the rooms: imports go down only, and heavy libraries stay out of the web process."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from screening.settings import ROOT

GROUND = {"errors", "settings", "schema", "database"}
LINE = {
    *(
        "intake",
        "artefacts",
        "compiled",
        "compiler",
        "treeform",
        "pruning",
        "cells",
        "context",
        "drift",
        "features",
        "guess",
        "leaks",
        "typed_records",
        "vocabulary",
        "vectorizer",
        "scorer",
        "detector",
        "records",
        "flags",
        "reasons",
        "strangeness",
    ),
}
FLOORS = {"ground": 0, "line": 1, "kept": 2, "web": 3, "root": 4}
ROOT_MODULES = {"app"}
HEAVY = ("tensorflow", "keras", "sklearn", "pandas", "h5py", "joblib", "scipy", "pyarrow")


def floor(module: str) -> str:
    """Where a module of the project lives; ``utils`` belongs to the line."""
    parts = module.split(".")
    if parts[0] != "screening":
        return "line" if parts[0] == "utils" else "workshop" if parts[0] == "model" else "root"
    name = parts[1] if len(parts) > 1 else "errors"
    return "web" if name == "web" else "ground" if name in GROUND else "line" if name in LINE else "kept"


@cache
def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    files = [*ROOT.glob("*.py"), *ROOT.glob("screening/**/*.py"), *ROOT.glob("model/**/*.py")]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files
    }


@cache
def imports(module: str) -> dict[str, bool]:
    """What a module imports, by dotted name, and whether that happens when it is itself imported."""
    found: dict[str, bool] = {}

    def walk(node: ast.AST, at_start: bool) -> None:
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.If) and "TYPE_CHECKING" in ast.unparse(inner.test):
                continue
            now = at_start and not isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            for name in _names(inner):
                found[name] = found.get(name, False) or now
            walk(inner, now)

    walk(ast.parse(modules()[module].read_text(encoding="utf-8")), at_start=True)
    return found


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        inner = [f"{node.module}.{name.name}" for name in node.names]
        return [name if name in modules() else str(node.module) for name in inner]
    if isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
        return [str(part.value) for part in node.args[:1] if isinstance(part, ast.Constant)]
    return []


def importers(library: str) -> set[str]:
    """The modules that import a library, at once or late."""
    return {name for name in modules() if any(given.split(".")[0] == library for given in imports(name))}


@pytest.mark.parametrize(
    "module", sorted(name for name in modules() if floor(name) not in ("root", "workshop"))
)
def test_imports_go_down_only(module: str) -> None:
    up = {
        name
        for name in imports(module)
        if name in modules() and FLOORS.get(floor(name), 9) > FLOORS[floor(module)]
    }
    assert not up, f"{module} ({floor(module)}) imports from above: {up}"


def test_the_workshop_stands_on_the_line_and_the_ground() -> None:
    for module in modules():
        if floor(module) == "workshop":
            up = {
                name
                for name in imports(module)
                if name in modules() and floor(name) in ("kept", "web", "root")
            }
            assert not up, f"{module} imports {up}"


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {
        name: {
            given
            for given, at_start in imports(name).items()
            if at_start and given in modules() and given != name
        }
        for name in modules()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as problem:
        pytest.fail(f"import cycle: {' -> '.join(problem.args[1])}")


def test_tensorflow_is_imported_by_the_workshop_and_the_compiler_only() -> None:
    compiling = {"screening.compiler", "screening.treeform"}
    instead_of_litert = {
        "screening.scorer"
    }  # where there is no package of it; see the tests of what is loaded
    for library, allowed in (("tensorflow", compiling | instead_of_litert), ("keras", compiling)):
        found = {name for name in importers(library) if not name.startswith("model")}
        assert found <= allowed, library


def test_the_compiler_is_run_and_never_imported() -> None:
    assert not [name for name in modules() if "screening.compiler" in imports(name)]
    others = {name for name in modules() if "screening.treeform" in imports(name)} - {"screening.compiler"}
    assert all(name.startswith("model.") for name in others), others


def test_flask_is_known_to_the_web_and_the_root_only() -> None:
    for library in ("flask", "flask_login", "flask_wtf"):
        assert {name for name in importers(library) if not name.startswith("screening.web")} <= {"app"}, (
            library
        )


def loaded_by(code: str, *arguments: str) -> list[str]:
    """Which heavy libraries a fresh interpreter holds after running ``code``."""
    report = f"\nimport sys, json; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    command = [sys.executable, "-c", code + report, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_starting_imports_nothing_heavy() -> None:
    assert loaded_by("import app, utils, screening.web, screening.reasons, screening.detector") == []


SCORING = """
import sys
from pathlib import Path
from screening.detector import load_detector
from screening.reasons import explain
from utils import as_transactions, get_probabilities
nets = Path(sys.argv[1])
detector = load_detector("tiny", nets / "good.h5", nets / "vectorizer.pkl", None, nets / "cache")
row = dict.fromkeys(detector.contract.columns, 1.0)
assert get_probabilities([row] * 300, detector).shape == (300,)
assert len(explain(detector, as_transactions(row, detector.contract))) == 1
"""


def test_scoring_and_explaining_import_nothing_heavy(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.artefact_factory import build_nets

    assert loaded_by(SCORING, str(build_nets(tmp_path_factory.getbasetemp()))) == []
