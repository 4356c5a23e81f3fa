"""Finds the compiled form of a net: shipped beside it, or in the cache by the hash of its file, or compiled now in a
process of its own.

TensorFlow holds about 700 MB and takes seconds to import, so only that process
(:mod:`screening.detectors.compilation.compiler`) imports it, and ends. What it leaves in the cache is small, quick, and
all that a web process reads. A form is bound to its net by hashes. Whoever can write a form with its hashes still can't
forge it: in the cache it carries a seal, which only this instance can make, and a shipped one counts if the detector's
card names its hash. It holds golden rows, with Keras' probabilities; no process scores with one before it has run those
rows through it (:func:`checked`).
"""

from __future__ import annotations

import errno
import functools
import hashlib
import hmac
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from filelock import FileLock

from screening.detectors.artifacts import Artefact
from screening.detectors.compilation.form import (
    COMPILER_VERSION,
    META,
    BadCompiledForm,
    CompiledForm,
    open_form,
    read_folder,
    shipped_file,
    unpack,
)
from screening.detectors.runtime import CompiledNet
from screening.detectors.training_parts import COMPILING, ELSEWHERE, lacking
from screening.errors import BadArtefact
from screening.settings import ROOT

log = logging.getLogger(__name__)
SECONDS = 300
DAY = 24 * 3600
DRAFT = "compile-"
SEAL = "seal"
"""In a compiled net's folder: the keyed hash of its meta file, which has the hashes of the net and all other files."""
# Environment of the compiler's process: no key and no address of a database, which it doesn't need.
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


@dataclass(frozen=True, slots=True)
class CompiledCache:
    """The folder of compiled nets, and the secret with which this instance seals what it puts there."""

    folder: Path
    key: Callable[[], bytes] = field(repr=False)
    """Gives the secret; asked only when a net is read from the folder or put there."""

    def seal(self, net_sha256: str, meta_sha256: str) -> str:
        """Return the HMAC-SHA-256, hex, of a net's hash and of the hash of its form's meta file."""
        return hmac.new(self.key(), f"{net_sha256}\n{meta_sha256}".encode(), hashlib.sha256).hexdigest()


def compiled(model: Artefact, cache: CompiledCache, shipped_sha256: str | None = None) -> CompiledForm:
    """Return the compiled form of a net: shipped, from the cache, or made now, which takes some ten seconds.

    Its golden rows weren't run: see :func:`checked`.

    Args:
        model: the net.
        cache: where compiled nets are kept.
        shipped_sha256: the hash of the form that is shipped beside the net, as the detector's card names it; without
            one, no form beside the net counts.

    Raises:
        BadArtefact: the net is unsafe, damaged, no probability, or can't be compiled.
    """
    key = key_of(model.sha256)
    found = read_shipped(model, shipped_sha256) or read_cached(cache, model.sha256)
    if found:
        note_use(cache.folder / key)
        return found

    def make() -> CompiledForm | None:
        # a second process has waited, and finds the first one's work
        found = read_cached(cache, model.sha256)
        if not found:
            compile_net(model, cache)
            found = read_cached(cache, model.sha256)
        return found

    return compile_locked(model, cache.folder, make)


def checked(form: CompiledForm, model: Artefact, cache: CompiledCache) -> CompiledNet:
    """Run a form's golden rows in this process and return its net; if they differ, that of one compiled again.

    Raises:
        BadArtefact: the new one gives other probabilities than Keras, too, or can't be made.
    """
    problem = form.disagreement()
    if problem is None:
        return form.net
    log.warning("the compiled form of %s is not used: %s", model.path.name, problem)

    def make() -> CompiledForm | None:
        # there is a good one if the shipped form failed before, or another process was first
        kept = read_cached(cache, model.sha256)
        if kept and kept.disagreement() is None:
            return kept
        compile_net(model, cache)
        fresh = read_cached(cache, model.sha256)
        problem = fresh and fresh.disagreement()
        if problem:
            shutil.rmtree(cache.folder / key_of(model.sha256), ignore_errors=True)
            raise BadArtefact(
                f"{model.path.name} can't be scored with: compiled again, {problem}.",
                where=str(model.path),
                remedy="Install the packages again as requirements.txt has them, or use another machine.",
            )
        return fresh

    return compile_locked(model, cache.folder, make).net


def compile_locked(model: Artefact, cache: Path, make: Callable[[], CompiledForm | None]) -> CompiledForm:
    """Have a form made in the cache while no other process does."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(lock_of(cache, key_of(model.sha256))):
            found = make()
    except OSError as problem:
        raise BadArtefact(
            f"The compiled form of {model.path.name} can't be kept: {problem.strerror}.",
            where=str(cache),
            remedy="The server's user needs a folder there that can be written, with some room on the disk.",
        ) from None
    if not found:
        raise BadArtefact(f"The compiled form of {model.path.name} can't be kept.", where=str(cache))
    return found


def key_of(sha256: str) -> str:
    """Return the name under which the compiled form of a net is kept: another compiler makes another form.

    Versions of libraries aren't in it, as they aren't in a shipped form: golden rows show at each load that the
    installed runtime gives Keras' probabilities. So who serves without Keras finds what was compiled with it.
    """
    return hashlib.sha256(f"{sha256}\n{COMPILER_VERSION}".encode()).hexdigest()


@functools.cache
def package_version(package: str) -> str:
    """Return the version of an installed package without importing it, and once: a process keeps what it imported."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def read_shipped(model: Artefact, sha256: str | None) -> CompiledForm | None:
    """Read the form beside the net, or ``None`` when there is none that counts; the log says why."""
    path = shipped_file(model.path)
    try:
        data = path.read_bytes()
        _require_named(data, sha256)
        return open_form(unpack(data), model.sha256)
    except FileNotFoundError:
        return None
    except (BadCompiledForm, OSError) as problem:
        log.warning("%s is not used: %s", path, problem)
        return None


def _require_named(data: bytes, sha256: str | None) -> None:
    if sha256 is None:
        raise BadCompiledForm("no card names its hash")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BadCompiledForm("it isn't the file that the detector's card names")


def read_cached(cache: CompiledCache, net_sha256: str) -> CompiledForm | None:
    """Read a form in the cache, or ``None`` when nothing is there, any byte of it changed, or it is another's work."""
    folder = cache.folder / key_of(net_sha256)
    if not folder.is_dir():
        return None
    try:
        files = read_folder(folder)
        form = open_form(files, net_sha256)
        _require_sealed(folder, cache.seal(net_sha256, hashlib.sha256(files[META]).hexdigest()))
    except (BadCompiledForm, OSError) as problem:
        name = folder.name[:12]
        log.warning("the compiled net %s is not used, and the net is compiled again: %s", name, problem)
        return None
    return form


def _require_sealed(folder: Path, wanted: str) -> None:
    try:
        found = (folder / SEAL).read_bytes().strip()
    except FileNotFoundError:
        raise BadCompiledForm("it has no seal of this instance") from None
    # in constant time: how much of a seal is right must not show
    if not hmac.compare_digest(found, wanted.encode("ascii")):
        raise BadCompiledForm("its seal isn't this instance's: somebody else has made or changed it")


def note_use(folder: Path) -> None:
    """Note, once a day at most, that a compiled net is still wanted: the folder's time of change says when last.

    Nothing is noted where there is no such folder: the form is a shipped one.
    """
    try:
        if time.time() - folder.stat().st_mtime > DAY:
            os.utime(folder)
    except FileNotFoundError:
        pass
    except OSError as problem:
        # pruned in this moment, or a cache that can't be written and so can't be pruned
        log.info("the use of the compiled net %s can't be noted: %s", folder.name[:12], problem.strerror)


def compile_net(model: Artefact, cache: CompiledCache) -> None:
    """Compile a net and seal what the compiler's process says that it wrote, not what lies in the folder by then."""
    key = key_of(model.sha256)
    # in the cache's own folder: a rename from another disk would be a copy
    with tempfile.TemporaryDirectory(prefix=DRAFT, dir=cache.folder) as draft:
        folder = Path(draft) / "net"
        meta_sha256 = compile_into(folder, model)
        (folder / SEAL).write_text(cache.seal(model.sha256, meta_sha256), encoding="ascii")
        shutil.rmtree(cache.folder / key, ignore_errors=True)  # what was there is damaged
        try:
            folder.rename(cache.folder / key)
        except OSError as problem:
            # another host was first, whose lock isn't seen here: what it has made is as good
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


def compile_into(folder: Path, model: Artefact) -> str:
    """Have a process of its own make the files of a net's compiled form, in a new folder.

    Returns:
        The SHA-256, hex, of the meta file that the process has written; it names the net and has the hashes of the
        other files.

    Raises:
        BadArtefact: it can't be compiled, with the compiler's own words; or not here, without the training parts.
        OSError: the folder can't be made or written.
    """
    if missing := lacking(COMPILING):
        raise BadArtefact(
            f"{model.path.name} isn't compiled yet, and compiling needs {' and '.join(missing)}, not installed here.",
            where=str(model.path),
            remedy=f"Run flask --app app detectors compile {ELSEWHERE}; what it makes is found here at once.",
        )
    folder.mkdir()
    # the bytes that were hashed, not the file again
    (folder / "model.h5").write_bytes(model.data)
    meta_sha256 = run_compiler(folder, model)
    (folder / "model.h5").unlink()
    return meta_sha256


def run_compiler(folder: Path, model: Artefact) -> str:
    """Run the compiler's process and return what it prints last; its error is raised here with the same words."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0"}
    keras = {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": str(folder.parent / "keras")}
    module = "screening.detectors.compilation.compiler"
    command = [sys.executable, "-m", module, str(folder), model.path.name, model.sha256]
    try:
        done = subprocess.run(  # noqa: S603  our own module, with our own arguments
            command, cwd=ROOT, env=kept | quiet | keras, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise BadArtefact(
            f"{model.path.name} took more than {SECONDS} s to compile.", where=str(model.path)
        ) from None
    if done.returncode == 0:
        return done.stdout.decode("ascii", errors="replace").split()[-1]
    try:
        told = json.loads((folder / "error.json").read_bytes())
    except (OSError, ValueError):
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        told = {
            "what": f"{model.path.name} can't be compiled (exit {done.returncode}): {''.join(last)[:200]}"
        }
    raise BadArtefact(str(told["what"]), where=str(model.path), remedy=told.get("remedy"))


def lock_of(cache: Path, key: str) -> Path:
    """Return the file beside a compiled net that is locked (:class:`filelock.FileLock`) while the net is made or
    removed.

    Its holder may remove it: those that wait go on with the file that takes its place.
    """
    return cache / f"{key}.lock"
