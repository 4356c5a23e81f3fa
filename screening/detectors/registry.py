"""The detectors of this installation: found by their names, loaded when first asked for, chosen by a file's header."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from screening.detectors.compilation.cache import CompiledCache
from screening.detectors.detector import Detector, load_detector
from screening.errors import BadArtefact, BadFile, NotFound, NotReady
from screening.infra.instance_secret import InstanceSecret
from screening.settings import ROOT, Settings

DEFAULT = "card"
log = logging.getLogger(__name__)


class Detectors:
    """The detectors of this installation: the pair at the root, shipped ones, and those that users trained.

    Each is loaded when first asked for and then kept; the default one when the registry is made, so that a
    bad pair stops the start.
    """

    def __init__(self, settings: Settings) -> None:
        """Load the default detector.

        Raises:
            BadArtefact: it can't be loaded; the message says why in one line.
        """
        self._cache = cache_of(settings.instance)
        self._folders = (ROOT / "model" / "detectors", settings.instance / "detectors")
        self._lock = threading.Lock()
        self.default = load_default(settings)
        """The detector of the pair at the root, or of MODEL_FILE and VECTORIZER_FILE."""
        self._loaded: dict[str, tuple[tuple[int, int] | None, Detector]] = {}
        self._files = {path: _stamp(path) for path in (settings.model_file, settings.vectorizer_file)}

    def require_ready(self) -> None:
        """Check that the default detector's files are still those that were loaded.

        Raises:
            NotReady: one is gone or was changed: what serves now is not what the next start would serve.
        """
        for path, stamp in self._files.items():
            if _stamp(path) != stamp:
                state = "was changed" if path.exists() else "is gone"
                log.error("%s %s since it was loaded", path, state)
                raise NotReady(
                    f"{path.name} {state} since it was loaded.",
                    where=str(path),
                    remedy="Put the right file there and start the server again.",
                )

    def names(self) -> list[str]:
        """The default detector's name, then the others in alphabetical order."""
        found = {path.parent.name for folder in self._folders for path in folder.glob("*/model.h5")}
        return [self.default.name, *sorted(found - {self.default.name})]

    def net_hashes(self) -> set[str]:
        """The SHA-256 of every detector's net, also of those that can't be loaded."""
        files = [path for folder in self._folders for path in folder.glob("*/model.h5")]
        return {self.default.model_sha256, *(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)}

    def get(self, name: str | None = None) -> Detector:
        """The detector of this name; without one the default.

        Raises:
            NotFound: there is none.
            BadArtefact: there is one, which can't be loaded.
        """
        wanted = name or self.default.name
        if wanted == self.default.name:
            return self.default
        if wanted not in self.names():
            raise NotFound(
                f"There is no detector {wanted[:60]!r}.",
                remedy=f"These are there: {', '.join(self.names())}.",
            )
        folder = next(each / wanted for each in self._folders if (each / wanted / "model.h5").is_file())
        stamp = _stamp(folder / "card.json")
        with self._lock:  # one thread loads, the others wait for it
            loaded = self._loaded.get(wanted)
            if loaded is None or loaded[0] != stamp:  # removed and trained again under the same name
                loaded = self._loaded[wanted] = stamp, self._load(wanted, folder)
        return loaded[1]

    def all(self) -> list[Detector]:
        """Every detector that can be loaded, the default one first; of others the log tells why not."""
        found = []
        for name in self.names():
            try:
                found.append(self.get(name))
            except BadArtefact as problem:  # one user's broken detector mustn't stop the others' work
                log.error("Detector %s can't be loaded: %s", name, problem)  # noqa: TRY400
        return found

    def choose(self, header: Sequence[str], wanted: str | None = None) -> Detector:
        """The detector for a file with this header: the wanted one, or of those whose columns are all there the one
        that uses the most of them.

        Raises:
            NotFound: the wanted one doesn't exist.
            BadFile: columns are missing or stand twice; with nothing wanted, by the default detector's
                contract.
        """
        if wanted is not None:
            found = self.get(wanted)
            found.contract.match(header)
            return found
        fitting = [detector for detector in self.all() if _fits(detector, header)]
        if not fitting:
            self.default.contract.match(header)
        return max(fitting, key=lambda detector: len(detector.contract.columns))

    def _load(self, name: str, folder: Path) -> Detector:
        return load_detector(
            name,
            folder / "model.h5",
            folder / "vectorizer.pkl",
            folder / "card.json",
            self._cache,
            late=True,
        )


def _fits(detector: Detector, header: Sequence[str]) -> bool:
    try:
        detector.contract.match(header)
    except BadFile:
        return False
    return True


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def load_default(settings: Settings) -> Detector:
    """The detector of the settings' pair: the one at the root must match its card, other files need none.

    Raises:
        BadArtefact: it can't be loaded.
    """
    card = ROOT / "model" / "card.json" if settings.is_default_pair else None
    return load_detector(
        DEFAULT, settings.model_file, settings.vectorizer_file, card, cache_of(settings.instance)
    )


def cache_of(instance: Path) -> CompiledCache:
    """Return the cache of compiled nets of an instance, sealed with its secret."""
    secret = InstanceSecret(instance)
    return CompiledCache(instance / "compiled", lambda: secret.derive("compiled nets"))
