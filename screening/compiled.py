"""Keeps the compiled form of nets, by the hash of their file; has what isn't there compiled in a process of
its own.

TensorFlow holds about 700 MB and takes seconds to import, so only that process (:mod:`screening.compiler`)
imports it, and ends. What it leaves in the cache is small, quick, and all that a web process reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from screening.artefacts.files import Artefact
from screening.errors import BadArtefact
from screening.scorer import CompiledNet

COMPILER_VERSION = 2
SIZES = (1, 16, 128)
"""Rows of one call: a flatbuffer for each, of fixed shape, so that nothing is allocated when rows come."""
SECONDS = 300
PASSED_ON = (
    "PATH",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "HOME",
    "USERPROFILE",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
)
"""What the compiler's process gets of the environment: no key, no address of a database."""
ROOT = Path(__file__).resolve().parent.parent


def compiled(model: Artefact, cache: Path) -> CompiledNet:
    """The compiled form of a net, from the cache or made now (some ten seconds).

    Raises:
        BadArtefact: the net is unsafe, damaged, no probability, or can't be compiled.
    """
    key = _key(model)
    found = _read(cache / key)
    if found:
        return found
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _lock(cache / f"{key}.lock"):  # a second process waits, and finds the first one's work
            found = _read(cache / key)
            if not found:
                _compile(model, cache, key)
                found = _read(cache / key)
    except OSError as problem:
        raise BadArtefact(
            f"The compiled form of {model.path.name} can't be kept: {problem.strerror}.",
            where=str(cache),
            remedy="The server's user needs a folder there that can be written, with some room on the disk.",
        ) from None
    if not found:
        raise BadArtefact(f"The compiled form of {model.path.name} can't be kept.", where=str(cache))
    return found


def _key(model: Artefact) -> str:
    parts = [
        model.sha256,
        str(COMPILER_VERSION),
        *(package_version(name) for name in ("keras", "ai-edge-litert")),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def package_version(package: str) -> str:
    """The version of an installed package, read without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _read(folder: Path) -> CompiledNet | None:
    """What is kept, or ``None`` when nothing is or any byte of it changed."""
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
        flatbuffers = {size: (folder / f"net-{size}.tflite").read_bytes() for size in SIZES}
        whole = all(
            hashlib.sha256(data).hexdigest() == meta["sha256"][str(size)]
            for size, data in flatbuffers.items()
        )
        return CompiledNet(flatbuffers, int(meta["inputs"])) if whole else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _compile(model: Artefact, cache: Path, key: str) -> None:
    for left in cache.glob("compile-*"):  # of a process that was killed
        if time.time() - left.stat().st_mtime > 2 * SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="compile-", dir=cache) as draft:
        folder = Path(draft) / "net"
        folder.mkdir()
        (folder / "model.h5").write_bytes(model.data)  # the bytes that were hashed, not the file again
        _run(folder, model)
        (folder / "model.h5").unlink()
        shutil.rmtree(cache / key, ignore_errors=True)  # what was there is damaged
        folder.rename(cache / key)


def _run(folder: Path, model: Artefact) -> None:
    """Run the compiler's process; its error is raised here with the same words."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0"}
    keras = {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": str(folder.parent / "keras")}
    command = [sys.executable, "-m", "screening.compiler", str(folder), model.path.name]
    try:
        done = subprocess.run(  # noqa: S603  our own module, with our own arguments
            command, cwd=ROOT, env=kept | quiet | keras, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise BadArtefact(
            f"{model.path.name} took more than {SECONDS} s to compile.", where=str(model.path)
        ) from None
    if done.returncode == 0:
        return
    try:
        told = json.loads((folder / "error.json").read_bytes())
    except (OSError, ValueError):
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        told = {
            "what": f"{model.path.name} can't be compiled (exit {done.returncode}): {''.join(last)[:200]}"
        }
    raise BadArtefact(str(told["what"]), where=str(model.path), remedy=told.get("remedy"))


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Held by one process at a time; where the system has no such lock, both compile."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
