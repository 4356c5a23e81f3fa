"""The detectors of this installation: found by their names, loaded when first asked for, chosen by a file's header."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from screening.cards.masking import masked
from screening.detectors.compilation.cache import CompiledCache
from screening.detectors.detector import Detector, load_detector
from screening.detectors.promotions import PromotionRow, Promotions
from screening.detectors.provenance import Provenance, ProvenanceKind
from screening.detectors.shadow_runs import ShadowRun, ShadowRuns
from screening.detectors.states import DetectorStanding, DetectorState, DetectorStates, StateRow
from screening.errors import BadArtefact, Conflict, NotFound, NotReady
from screening.infra.audit.log import AuditLog
from screening.infra.instance_secret import InstanceSecret
from screening.settings import ROOT, Settings

DEFAULT = "card"
WITHOUT_STATES = "this registry was made without a place to keep states"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A detector that was loaded, and what its card's file was like then."""

    stamp: tuple[int, int] | None
    detector: Detector
    card: Path


class Detectors:
    """The detectors of this installation: the pair at the root, shipped ones, and those that users trained.

    Each is loaded when first asked for and then kept; the default one when the registry is made, so that a
    bad pair stops the start.
    """

    def __init__(self, settings: Settings, states: DetectorStates | None = None) -> None:
        """Load the default detector.

        Args:
            settings: where the detectors are.
            states: what was said of those that were trained here; without them all of these are on trial.

        Raises:
            BadArtefact: it can't be loaded; the message says why in one line.
        """
        self._cache = cache_of(settings.instance)
        self._folders = (ROOT / "model" / "detectors", settings.instance / "detectors")
        self._states = states
        self._promotions = None if states is None else Promotions(states.database)
        self._shadows = None if states is None else ShadowRuns(states.database)
        self._provenance = None if states is None else Provenance(states.database)
        self._told: set[int] = set()
        self._lock = threading.Lock()
        self.default = load_default(settings)
        """The detector of the pair at the root, or of MODEL_FILE and VECTORIZER_FILE."""
        self._note(self.default)
        self._loaded: dict[str, _Loaded] = {}
        self._model_file = settings.model_file
        self._files = {path: stamp_of(path) for path in (settings.model_file, settings.vectorizer_file)}

    def require_ready(self) -> None:
        """Check that the default detector's files are still those that were loaded.

        Raises:
            NotReady: one is gone or was changed: what serves now is not what the next start would serve.
        """
        for path, stamp in self._files.items():
            if stamp_of(path) != stamp:
                state = "was changed" if path.exists() else "is gone"
                log.error("%s %s since it was loaded", path, state)
                raise NotReady(
                    f"{path.name} {state} since it was loaded.",
                    where=str(path),
                    remedy="Put the right file there and start the server again.",
                )

    def names(self) -> list[str]:
        """Return the default detector's name, then the others in alphabetical order."""
        found = {path.parent.name for folder in self._folders for path in folder.glob("*/model.h5")}
        return [self.default.name, *sorted(found - {self.default.name})]

    def net_hashes(self) -> set[str]:
        """Return the SHA-256 of every detector's net, also of those that can't be loaded."""
        files = [path for folder in self._folders for path in folder.glob("*/model.h5")]
        return {self.default.model_sha256, *(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)}

    def net_file(self, name: str) -> Path:
        """Return where the net of a detector lies that is there."""
        if name == self.default.name:
            return self._model_file
        return next(
            each / name / "model.h5" for each in self._folders if (each / name / "model.h5").is_file()
        )

    def get(self, name: str | None = None) -> Detector:
        """Return the detector of this name; without one the default.

        Raises:
            NotFound: there is none.
            BadArtefact: there is one, which can't be loaded.
        """
        wanted = name or self.default.name
        if wanted == self.default.name:
            return self.default
        loaded = self._loaded.get(wanted)
        if loaded is not None and loaded.stamp is not None and loaded.stamp == stamp_of(loaded.card):
            return loaded.detector
        if wanted not in self.names():
            raise self.unknown(wanted)
        folder = next(each / wanted for each in self._folders if (each / wanted / "model.h5").is_file())
        stamp = stamp_of(folder / "card.json")
        # one thread loads, the others wait for it
        with self._lock:
            loaded = self._loaded.get(wanted)
            # removed and trained again under the same name
            if loaded is None or loaded.stamp != stamp:
                card = folder / "card.json"
                detector = load_detector(
                    wanted,
                    folder / "model.h5",
                    folder / "vectorizer.pkl",
                    folder / "card.json",
                    self._cache,
                    late=True,
                )
                self._note(detector)
                loaded = self._loaded[wanted] = _Loaded(stamp, detector, card)
        return loaded.detector

    def _note(self, detector: Detector) -> None:
        """Keep what a detector is made of, before it decides on anything: its decisions name only its fingerprint."""
        if self._provenance is not None:
            told = {"net": detector.model_sha256, "vectorizer": detector.vectorizer_sha256}
            self._provenance.note(detector.fingerprint, ProvenanceKind.DETECTOR, detector.name, told)

    def known_to(self, name: str, user: str | None, *, decides: bool) -> Detector:
        """Return a detector that a user may know of.

        Args:
            name: the detector's.
            user: the user's name; ``None`` for a visitor.
            decides: whether the user decides on detectors.

        Raises:
            NotFound: there is none, or none that this user may know of; the answer doesn't tell which.
            BadArtefact: it can't be loaded.
        """
        detector = self.get(name)
        if not self.standing(name).is_known_to(user, decides=decides):
            raise self.unknown(name)
        return detector

    def unknown(self, name: str) -> NotFound:
        """Return the error for a name that no detector has, or none that the caller may know of."""
        return NotFound(
            f"There is no detector {masked(name)[:60]!r}.",
            remedy=f"These are there: {', '.join(one.name for one in self.offered())}.",
        )

    def all(self) -> list[Detector]:
        """Return every detector that can be loaded, the default one first; of others the log tells why not."""
        found = []
        for name in self.names():
            try:
                found.append(self.get(name))
            except BadArtefact as problem:  # one user's broken detector mustn't stop the others' work
                log.error("Detector %s can't be loaded: %s", name, problem)
        return found

    def offered(self) -> list[Detector]:
        """Return those that may be chosen for a file without being asked for: the approved ones that can be loaded."""
        rows = self._rows()
        return [one for one in self.all() if self._standing(one.name, rows).state is DetectorState.APPROVED]

    def choosable(self) -> list[Detector]:
        """Return those that a file's header may choose: the approved ones that can be loaded, but for those in whose
        place another one was promoted.
        """
        return [one for one in self.offered() if self.in_place_of(one)[0] is one]

    def in_place_of(self, detector: Detector) -> tuple[Detector, str]:
        """Return what decides where a detector would, were it not for a promotion, and what is to be told of it.

        A detector that was promoted and can't be used any more leaves the place to the earlier one, which is told with
        each result and appears in the log: nobody has approved anything else, and payments mustn't wait for it.
        """
        holding = {} if self._promotions is None else self._promotions.holding()
        while (row := holding.get(detector.name)) is not None:
            found = self._promoted(row)
            if found is None:
                if row.id not in self._told:
                    self._told.add(row.id)
                    log.error(
                        "Detector %s can't be used; %s decides in its place", row.promoted, row.replaced
                    )
                return detector, (
                    f"The detector {row.promoted}, which was promoted, can't be used at the moment: {detector.name} "
                    "decided instead."
                )
            detector = found
        return detector, ""

    def _promoted(self, row: PromotionRow) -> Detector | None:
        """Return the detector that was promoted, if it may still be used."""
        try:
            found = self.get(row.promoted)
        except (BadArtefact, NotFound):
            return None
        approved = self.standing(found.name).state is DetectorState.APPROVED
        return found if found.fingerprint == row.fingerprint and approved else None

    def standing(self, name: str) -> DetectorStanding:
        """Return the state of a detector. One that isn't there, or can't be loaded, is on trial."""
        return self._standing(name, self._rows())

    def standings(self) -> dict[str, DetectorStanding]:
        """Return the state of every detector, by its name."""
        rows = self._rows()
        return {name: self._standing(name, rows) for name in self.names()}

    def is_trained_here(self, name: str) -> bool:
        """Return whether a detector isn't one that ships with the product."""
        shipped, trained = self._folders
        return name != self.default.name and not (shipped / name).is_dir() and (trained / name).is_dir()

    def require_in_use(self, name: str) -> None:
        """Check that a detector may score something new.

        Raises:
            Conflict: it is retired.
        """
        if self.standing(name).state is DetectorState.RETIRED:
            raise Conflict(
                f"The detector {name} is retired: it scores no new files.",
                remedy="Choose another one, or have a manager approve it again.",
            )

    def approve(self, name: str, by: str, *, confirmed: bool) -> Detector:
        """Let a detector score every file that it fits.

        Args:
            name: which one.
            by: who says so.
            confirmed: whether that was said knowing what the card says against it.

        Raises:
            NotFound: there is none.
            BadArtefact: it can't be loaded.
            Conflict: it may do no better than guessing, and ``confirmed`` is false.
        """
        detector = self.require_approvable(name, confirmed=confirmed)
        self._say(detector, DetectorState.APPROVED, by)
        return detector

    def require_approvable(self, name: str, *, confirmed: bool) -> Detector:
        """Return a detector that can be approved; see :meth:`approve`."""
        detector = self.get(name)
        doubt = "" if detector.card is None else detector.card.metrics.doubt
        if doubt and not confirmed:
            raise Conflict(doubt, where=name, remedy="If it shall score files all the same, confirm that.")
        return detector

    def retire(self, name: str, by: str) -> Detector:
        """Let a detector score nothing new; what it has scored stays readable.

        Raises:
            NotFound: there is none.
            BadArtefact: it can't be loaded.
            Conflict: it is the default one.
        """
        detector = self.require_retirable(name)
        self._say(detector, DetectorState.RETIRED, by)
        return detector

    def require_retirable(self, name: str) -> Detector:
        """Return a detector that can be retired; see :meth:`retire`."""
        detector = self.get(name)
        if detector is self.default:
            raise Conflict(
                f"The detector {name} is the default one and can't be retired.",
                remedy="Set MODEL_FILE and VECTORIZER_FILE to another pair, and start the server again.",
            )
        self.require_without_place(name)
        return detector

    @property
    def promotions(self) -> Promotions:
        """Promotions of detectors: which one decides in whose place."""
        if self._promotions is None:
            raise RuntimeError(WITHOUT_STATES)
        return self._promotions

    @property
    def shadows(self) -> ShadowRuns:
        """Shadow runs: which detector scores in whose shadow."""
        if self._shadows is None:
            raise RuntimeError(WITHOUT_STATES)
        return self._shadows

    def shadow_of(self, name: str) -> ShadowRun | None:
        """Return the run of the detector that scores in the shadow of one, if any does."""
        return None if self._shadows is None else self._shadows.running().get(name)

    def require_without_place(self, name: str) -> None:
        """Check that a detector is in no other one's place.

        Raises:
            Conflict: it is.
        """
        for row in () if self._promotions is None else self._promotions.holding().values():
            if row.promoted == name:
                raise Conflict(
                    f"The detector {name} decides in the place of {row.replaced}.",
                    remedy="Take that promotion back first.",
                )

    def shadow(self, first: str, name: str, by: str) -> ShadowRun:
        """Let a detector score, from now on, what another one decides on.

        Raises:
            NotFound, BadArtefact: there is no such one, or it can't be loaded.
            Conflict: the first isn't approved, the other is retired, or one runs in its shadow already.
        """
        deciding, scoring = self.get(first), self.get(name)
        self.require_approved(first)
        self.require_in_use(name)
        return self.shadows.start(deciding, scoring, by)

    def promote(self, first: str, name: str, by: str, *, confirmed: bool) -> PromotionRow:
        """Let a detector decide in another one's place; one on trial is approved by this.

        Args:
            first: whose place it takes.
            name: which one.
            by: who says so.
            confirmed: whether that was said knowing what the card says against it.

        Raises:
            NotFound, BadArtefact: there is no such one, or it can't be loaded.
            Conflict: the first isn't approved or was replaced already, the other is retired, or may be guessing and
                ``confirmed`` is false.
        """
        self.require_promotable(first, name)
        promoted = self.get(name)
        # it may have to be compiled, for which no payment shall wait
        promoted.prepare()
        if self.standing(name).state is not DetectorState.APPROVED:
            self.approve(name, by, confirmed=confirmed)
        return self.promotions.promote(first, name, promoted.fingerprint, by)

    def require_promotable(self, first: str, name: str) -> None:
        """See that a detector can decide in another one's place; see :meth:`promote`."""
        replaced, promoted = self.get(first), self.get(name)
        self.require_approved(first)
        self.require_in_use(name)
        if replaced.name == promoted.name:
            raise Conflict(f"{name} can't take its own place.", remedy="Choose another one.")

    def take_back(self, number: int, by: str) -> PromotionRow:
        """Let the earlier detector decide in its own place again.

        Raises:
            Conflict: the promotion doesn't hold any more, or the earlier detector may not decide.
        """
        row = next((row for row in self.promotions.history() if row.id == number), None)
        if row is not None and row.holds:
            self.require_approved(row.replaced)
        return self.promotions.take_back(number, by)

    def require_approved(self, name: str) -> None:
        """Raise :class:`Conflict` for a detector that isn't approved."""
        if self.standing(name).state is not DetectorState.APPROVED:
            raise Conflict(f"The detector {name} isn't approved.", remedy="Have a manager approve it first.")

    def forget(self, name: str) -> None:
        """Drop what was said of a detector that is removed, and end its runs in anybody's shadow."""
        if self._states is not None:
            self._states.forget(name)
        for run in () if self._shadows is None else self._shadows.running().values():
            if name in (run.first, run.shadow):
                self.shadows.stop(run.id, None, f"The detector {name} was removed.")

    def adopt(self) -> list[Detector]:
        """Approve what an earlier version had trained, once: it was in use. Gives those that were approved now."""
        if self._states is None or not self._states.to_adopt():
            return []
        found = [one for one in self.all() if self.is_trained_here(one.name)]
        return found if self._states.adopt({one.name: one.fingerprint for one in found}) else []

    def _say(self, detector: Detector, state: DetectorState, by: str) -> None:
        if self._states is None:
            raise RuntimeError(WITHOUT_STATES)
        owner = self.standing(detector.name).owner
        self._states.say(detector.name, detector.fingerprint, state, by, owner)

    def _rows(self) -> Mapping[str, StateRow]:
        return {} if self._states is None else self._states.rows()

    def _standing(self, name: str, rows: Mapping[str, StateRow]) -> DetectorStanding:
        row, trained = rows.get(name), self.is_trained_here(name)
        if row is not None and (
            row.state == DetectorState.RETIRED or not trained or row.fingerprint == self._mark(name)
        ):
            return DetectorStanding(DetectorState(row.state), row.owner, row.said_by, row.said)
        return DetectorStanding(DetectorState.TRIAL if trained else DetectorState.APPROVED)

    def _mark(self, name: str) -> str:
        """Return the fingerprint of a detector; empty if it can't be loaded."""
        try:
            return self.get(name).fingerprint
        except (BadArtefact, NotFound):
            return ""

    def choose(self, header: Sequence[str], wanted: str | None = None) -> Detector:
        """Return the detector for a file with this header: the wanted one, or of the approved ones whose columns are
        all there the one that uses the most of them. Where another one was promoted in that one's place, that other
        one.

        Raises:
            NotFound: the wanted one doesn't exist.
            Conflict: it is retired.
            BadFile: columns are missing or stand twice; with nothing wanted, by the default detector's
                contract.
        """
        if wanted is not None:
            found = self.get(wanted)
            self.require_in_use(wanted)
            found.contract.match(header)
            return found
        fitting = [detector for detector in self.offered() if detector.contract.fits(header)]
        if not fitting:
            self.default.contract.match(header)
        found, _ = self.in_place_of(max(fitting, key=lambda detector: len(detector.contract.columns)))
        found.contract.match(header)
        return found


def stamp_of(path: Path) -> tuple[int, int] | None:
    """Return the time of a file's last change, in nanoseconds, and its size; ``None`` where it can't be read."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def adopt_detectors(detectors: Detectors, audit: AuditLog) -> None:
    """Approve, at the first start after an upgrade, what was trained before detectors had states, and say so."""
    for detector in detectors.adopt():
        log.warning(
            "Detector %s was in use before detectors were approved, and counts as approved. If it shouldn't: "
            "flask --app app detectors retire %s",
            detector.name,
            detector.name,
        )
        audit.record(
            "detector_approved", user="upgrade", name=detector.name, fingerprint=detector.fingerprint
        )


def load_default(settings: Settings) -> Detector:
    """Return the detector of the settings' pair: the one at the root must match its card, other files need none.

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
