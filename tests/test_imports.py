"""The rooms: import-linter's contracts (pyproject.toml) hold, and heavy libraries stay out of the web process."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from screening.settings import ROOT

HEAVY = (
    "tensorflow",
    "keras",
    "sklearn",
    "pandas",
    "h5py",
    "joblib",
    "scipy",
    "pyarrow",
    "dash",
    "plotly",
    "pyspark",
    "py4j",
)


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


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the project in ``folder``, without its cache."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache", str(folder / "pyproject.toml")]
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False
    )


def test_imports_keep_the_contracts() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for package in ("screening", "model"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("*.h5", "__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("package", ["screening/attic", "screening/web/attic", "model/attic"])
def test_a_package_that_no_contract_names_fails(package: str, copied: Path) -> None:
    (copied / package).mkdir()
    (copied / package / "__init__.py").write_text("")
    done = lint_imports(copied)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert "attic" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("screening/settings.py", "from screening.worker import loop", "screening import downwards"),
        (
            "screening/web/http/guard.py",
            "from screening.web.pages import auth",
            "screening.web import downwards",
        ),
        ("model/data/order.py", "import model.trainer", "model import downwards"),
        ("screening/scoring/drift.py", "def late():\n    import utils", "modules that compose"),
        ("screening/uploads/deletion.py", "import flask", "knows Flask"),
        ("screening/training/trainings.py", "import model.data.order", "never imports it"),
        ("model/data/order.py", "import screening.infra.database", "what lies below them"),
        (
            "screening/features/countries/ranges.py",
            "import screening.features.definitions.definition",
            "circle",
        ),
    ],
)
def test_an_import_that_a_contract_forbids_fails(module: str, line: str, contract: str, copied: Path) -> None:
    with (copied / module).open("a", encoding="utf-8") as file:
        file.write(f"\n\n{line}\n")
    done = lint_imports(copied)
    broken = [told for told in done.stdout.splitlines() if told.endswith("BROKEN")]
    assert done.returncode == 1
    assert any(contract in told for told in broken), done.stdout[-3000:] + done.stderr[-2000:]


def test_tensorflow_is_imported_by_the_workshop_and_the_compiler_only() -> None:
    compiling = {"screening.detectors.compilation.compiler", "screening.detectors.compilation.tree_layers"}
    instead_of_litert = {
        "screening.detectors.runtime"
    }  # where there is no package of it; see the tests of what is loaded
    for library, allowed in (("tensorflow", compiling | instead_of_litert), ("keras", compiling)):
        found = {name for name in importers(library) if not name.startswith("model")}
        assert found <= allowed, library


def test_the_compiler_is_run_and_never_imported() -> None:
    assert not [name for name in modules() if "screening.detectors.compilation.compiler" in imports(name)]
    others = {
        name for name in modules() if "screening.detectors.compilation.tree_layers" in imports(name)
    } - {"screening.detectors.compilation.compiler"}
    assert all(name.startswith("model.") for name in others), others


def loaded_by(code: str, *arguments: str) -> list[str]:
    """Which heavy libraries a fresh interpreter holds after running ``code``."""
    report = f"\nimport sys, json; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    command = [sys.executable, "-c", code + report, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_starting_imports_nothing_heavy() -> None:
    assert (
        loaded_by(
            "import app, utils, screening.web.app_factory, screening.scoring.reason_codes, screening.detectors.detector"
        )
        == []
    )


SCORING = """
import sys
from pathlib import Path
from screening.detectors.detector import load_detector
from screening.scoring.reason_codes import explain
from tests.artifact_factory import cache_in
from utils import as_transactions, get_probabilities
nets = Path(sys.argv[1])
detector = load_detector("tiny", nets / "good.h5", nets / "vectorizer.pkl", None, cache_in(nets / "cache"))
row = dict.fromkeys(detector.contract.columns, 1.0)
assert get_probabilities([row] * 300, detector).shape == (300,)
assert len(explain(detector, as_transactions(row, detector.contract))) == 1
"""


def test_scoring_and_explaining_import_nothing_heavy(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.artifact_factory import build_nets
    from tests.shared import run_folder

    assert loaded_by(SCORING, str(build_nets(run_folder(tmp_path_factory)))) == []
