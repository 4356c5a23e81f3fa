"""The worker: takes screenings that wait, one at a time, and finishes them or says why not."""

from __future__ import annotations

import io
import logging
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.errors import BadArtefact, ScreeningError
from screening.infra.wake_signal import Doorbell
from screening.intake import Kind, open_transactions
from screening.ledger.history import Context
from screening.scoring.score import Probabilities, own_probabilities
from screening.settings import Settings
from screening.uploads import deletion, preflight
from screening.uploads.column_mappings import Mapping, Mappings
from screening.uploads.pipeline import Found, screen
from screening.uploads.screenings import CHECKED, DONE, FAILED, History, Screening
from screening.uploads.upload_folder import Abandoned, Folder
from screening.worker.upkeep import Upkeep

log = logging.getLogger("screening.worker.loop")
RENEW_SECONDS = 5.0
IDLE_SECONDS = 1.0
PROGRESS_SECONDS = 0.3
AHEAD_SECONDS = 5.0
"""After the start, when the first page has been answered."""
WARM_ROWS = 600
SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter while another waits: parsing and scoring take turns often, and Python's
5 ms would leave the other core idle each time."""


class Taken(Exception):  # not an error: the row was removed or went to another worker
    """The screening isn't ours any more."""


class Stopping(Exception):  # the order to stop came in the middle of a file
    """The worker was told to stop; the screening goes back to those that wait."""


class Overtaken(Exception):  # not an error: a slow sender mustn't keep everybody else waiting
    """The file is still arriving and others are whole: it waits until it is, too."""


class Worker:
    """Holds a slot: its name is the same after a restart, so what a dead predecessor held is freed at once."""

    def __init__(
        self,
        settings: Settings,
        history: History,
        detectors: Detectors,
        slot: str = "worker-0",
        *,
        probabilities: Probabilities = own_probabilities,
    ) -> None:
        self._settings = settings
        self._history = history
        self._detectors = detectors
        self._slot = slot
        self._probabilities = probabilities
        self._upkeep = Upkeep(settings, history, detectors)
        self._bell = Doorbell(settings.instance)
        self._stop = threading.Event()
        self._slow: set[str] = set()
        """Uploads that were too slow to be read while they arrive."""

    def run(self) -> None:
        """Work until told to stop (SIGTERM, SIGINT)."""
        sys.setswitchinterval(SWITCH_SECONDS)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.loop()

    def loop(self) -> None:
        """Work until :meth:`stop` is called; what a dead predecessor of this slot held is freed first."""
        self._history.release(self._slot)
        warm_up(self._detectors.default)
        ahead = threading.Timer(AHEAD_SECONDS, self.prepare_others)
        ahead.daemon = True
        ahead.start()
        while not self._stop.is_set():
            worked = self.work_once()
            self._upkeep.step()
            if not worked:
                self._tidy()
                self._bell.wait(IDLE_SECONDS)
        ahead.cancel()

    def prepare_others(self) -> None:
        """Compile the nets that aren't yet, beside the work: else whoever asks such a detector first waits for it."""
        for detector in self._detectors.all():
            if self._stop.is_set():
                return
            try:
                detector.prepare()
            except (
                BadArtefact
            ) as problem:  # whoever asks it is told, too; the others' nets are no worse for it
                log.error("Detector %s can't be used: %s", detector.name, problem)  # noqa: TRY400

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop after the batch in hand; what isn't finished goes back to those that wait."""
        self._stop.set()
        with suppress(OSError):  # else it wakes by itself within a second
            self._bell.ring()

    def work_once(self) -> bool:
        """Do one screening; ``False`` when none waits."""
        screening = self._history.claim(self._slot, slow=self._slow)
        if screening is None:
            return False
        with _Lease(self._history, screening.id, self._slot):
            self._work(screening)
        return True

    def _work(self, screening: Screening) -> None:
        folder = Folder(self._settings.instance, screening.id)
        folder.on_wait = lambda: self._let_others_pass(screening.id)
        started = time.monotonic()
        try:
            outcome = (self._check if screening.check_first else self._screen)(screening, folder)
        except Abandoned:
            self._lost(screening, folder)
        except Taken:
            self._removed(screening)
        except (Stopping, Overtaken):
            self._history.release(self._slot, in_order=True)
        except ScreeningError as problem:
            self._finish(screening, started, state=FAILED, error=problem.as_dict())
        except Exception:
            log.exception("screening %s failed", screening.id)
            self._finish(screening, started, state=FAILED, error=_unexpected(screening.id).as_dict())
        else:
            self._finish(screening, started, error=None, **outcome)
            if outcome["state"] == DONE:  # one that was checked is probably read once more
                # in a thread: a slow disk mustn't hold up the next file
                threading.Thread(target=folder.settle, daemon=True).start()

    def _check(self, screening: Screening, folder: Folder) -> dict[str, object]:
        found = preflight.check(
            folder,
            _readable(screening, folder),
            self._detectors,
            wanted=screening.wanted_detector,
            on_batch=_Progress(self._history, screening, self._slot, self._stop),
            recall=self._recall(screening),
        )
        return {"state": CHECKED, **_values(found)}

    def _screen(self, screening: Screening, folder: Folder) -> dict[str, object]:
        preflight.discard(folder)
        report = _Progress(self._history, screening, self._slot, self._stop)
        found = screen(
            folder,
            _readable(screening, folder),
            self._detectors,
            wanted=screening.wanted_detector,
            set_aside=screening.set_aside_bad,
            threshold=screening.threshold,
            on_batch=report,
            context=lambda detector: Context(self._settings.instance, detector),
            remember=True,
            recall=self._recall(screening),
            probabilities=self._probabilities,
        )
        return {"state": DONE, **_values(found)}

    def _let_others_pass(self, screening_id: str) -> None:
        """Leave a file whose sender is slow when other work waits; it is screened once it is whole."""
        if self._stop.is_set():
            raise Stopping
        if self._history.others_wait(screening_id, slow=self._slow):
            self._slow.add(screening_id)
            raise Overtaken

    def _recall(self, screening: Screening) -> Callable[[list[str]], Mapping | None]:
        """What the user said of this file's columns, or what was said of files like it."""
        said = screening.mapping
        if said is not None:
            return lambda _header: Mapping(str(screening.wanted_detector), said)
        return Mappings(self._history.database).recall

    def _finish(self, screening: Screening, started: float, **outcome: object) -> None:
        outcome["seconds"] = round(time.monotonic() - started, 3)
        if not self._history.finish(screening.id, self._slot, **outcome):
            self._removed(screening)

    def _removed(self, screening: Screening) -> None:
        """What was written or remembered after somebody deleted the screening goes, too."""
        log.info("screening %s was removed, or taken by another worker, while it ran", screening.id)
        if self._history.state(screening.id) is None:
            deletion.remove_files(self._settings.instance, screening.id)

    def _lost(self, screening: Screening, folder: Folder) -> None:
        """The sender left: forget it. Accepted but not on the disk: say so. Accepted and whole: go on."""
        current = self._history.get(screening.id)
        if current is None or current.size is None:
            deletion.delete(self._history, self._settings.instance, screening.id)
        elif folder.input.exists() and folder.input.stat().st_size == current.size:
            folder.complete()  # the server died between writing the row and marking the file
            self._history.release(self._slot)
        else:
            gone = ScreeningError(
                "The uploaded file is not whole on the disk any more.", remedy="Send it again."
            )
            self._history.finish(screening.id, self._slot, state=FAILED, error=gone.as_dict())

    def _tidy(self) -> None:
        for screening_id in self._history.give_up():
            deletion.remove_files(self._settings.instance, screening_id)
        if self._slow:
            self._slow &= self._history.ids()


class _Lease:
    """Renews the lease in the background, since one slow step must not look like a death."""

    def __init__(self, history: History, screening_id: str, slot: str) -> None:
        self._history, self._id, self._slot = history, screening_id, slot
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._done.wait(RENEW_SECONDS):
            self._history.renew(self._id, self._slot)


class _Progress:
    """Writes progress down a few times a second, and notices when the work is no longer wanted."""

    def __init__(self, history: History, screening: Screening, slot: str, stop: threading.Event) -> None:
        self._history = history
        self._id, self._slot, self._stop = screening.id, slot, stop
        self._size = screening.size
        self._next = time.monotonic() + PROGRESS_SECONDS

    def __call__(self, done: int) -> None:
        if self._stop.is_set():
            raise Stopping
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PROGRESS_SECONDS
        if self._size is None:
            current = self._history.get(self._id)
            self._size = None if current is None else current.size
        progress = min(done / self._size, 0.99) if self._size else 0.0
        if not self._history.renew(self._id, self._slot, progress=progress):
            raise Taken


def warm_up(detector: Detector) -> None:
    """Screen a few rows of nothing, so that the first file of the day doesn't pay for imports and interpreters."""
    header = ",".join(detector.contract.columns)
    row = ",".join(repr(sum(detector.typical[name]) / 2) for name in detector.contract.columns)
    stream = io.BytesIO("\n".join([header, *[row] * WARM_ROWS]).encode())
    with tempfile.TemporaryDirectory() as folder:
        canonical = Path(folder) / "canonical.csv"
        for batch in open_transactions(
            stream, Kind.CSV, lambda _header: detector.contract, canonical=canonical
        ):
            detector.probabilities(batch.transactions)


def _readable(screening: Screening, folder: Folder) -> Kind:
    """What the file is, once enough of it is there to be read."""
    kind = Kind(screening.kind)
    if not kind.streams:
        folder.wait_until_whole()
    return kind


def _values(found: Found | preflight.Checked) -> dict[str, object]:
    return {name: getattr(found, name) for name in found.__slots__}


def _unexpected(screening_id: str) -> ScreeningError:
    return ScreeningError(
        "Something went wrong here while the file was read or scored; the file isn't to blame as far as is known.",
        remedy=f"Try once more. If it happens again, tell the operator this number: {screening_id}.",
    )
