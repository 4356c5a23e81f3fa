from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from screening.detectors.artifacts import fingerprint, read_artefact
from screening.detectors.compilation.cache import DRAFT, key_of
from screening.infra.job_runner import IDLE_SECONDS
from screening.settings import ROOT, Settings
from screening.transactions.schema import ColumnContract
from screening.uploads.screenings import DONE, RECEIVING, UploadRequest, new_id
from screening.uploads.upload_folder import UploadFolder
from screening.web.services import Services
from screening.worker.loop import Worker

WISH = UploadRequest(
    owner="ana", filename="a.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8
)


def begun(services: Services, wish: UploadRequest = WISH) -> UploadFolder:
    """An upload that has begun to arrive."""
    folder = UploadFolder(services.settings.instance, new_id())
    folder.create()
    services.screenings.begin(folder.path.name, wish)
    return folder


def arrived(services: Services, folder: UploadFolder, content: bytes) -> None:
    with folder.input.open("ab", buffering=0) as out:
        out.write(content)
    services.screenings.received(folder.path.name, folder.input.stat().st_size, "00")
    folder.complete()


def comes_true(what: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not what() and time.monotonic() < deadline:
        time.sleep(0.02)
    return what()


def test_a_slow_sender_keeps_nobody_waiting(services: Services, worker: Worker, sample: bytes) -> None:
    """However many they are: each may be tried for a second, but not before what is whole."""
    half = len(sample) // 2
    slow = [begun(services) for _ in range(12)]
    for folder in slow:
        folder.input.write_bytes(sample[:half])
    ids = [folder.path.name for folder in slow]
    assert comes_true(lambda: any(getattr(services.screenings.get(one), "holder", None) for one in ids))

    quick = begun(services)
    arrived(services, quick, sample)
    assert comes_true(
        lambda: services.screenings.state(quick.path.name) == DONE, seconds=10
    )  # all of them would take twelve
    assert {services.screenings.state(one) for one in ids} == {RECEIVING}

    for folder in slow:
        arrived(services, folder, sample[half:])
    assert comes_true(lambda: {services.screenings.state(one) for one in ids} == {DONE})
    kept = services.screenings.get(ids[0])
    assert kept is not None
    assert (kept.rows, kept.attempts) == (200, 1)


def test_a_slow_sender_does_not_keep_the_worker_from_stopping(
    services: Services, settings: Settings, sample: bytes
) -> None:
    worker = Worker(settings, services.screenings, services.detectors)
    thread = threading.Thread(target=worker.loop)
    thread.start()
    folder = begun(services)
    folder.input.write_bytes(sample[:1000])
    name = folder.path.name
    assert comes_true(lambda: bool(getattr(services.screenings.get(name), "holder", None)))
    worker.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert services.screenings.state(name) == RECEIVING


def test_nets_are_compiled_before_anybody_asks_and_a_bad_one_stops_none(
    services: Services, settings: Settings, compiled: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = settings.instance / "compiled"  # a copy: into the shared one others compile meanwhile
    cache.unlink()
    shutil.copytree(compiled, cache, ignore=shutil.ignore_patterns(f"{DRAFT}*"))
    shipped, own = ROOT / "model" / "detectors", settings.instance / "detectors"
    mine, bad = own / "mine", own / "bad"
    shutil.copytree(shipped / "ecommerce", mine, ignore=shutil.ignore_patterns("*.compiled.tar.xz"))
    shutil.copytree(shipped / "payments", bad)
    (bad / "model.h5").write_bytes(b"no net")
    model, vectorizer = read_artefact(bad / "model.h5"), read_artefact(bad / "vectorizer.pkl")
    card = json.loads((bad / "card.json").read_text())
    contract = ColumnContract.from_dict(card["contract"])
    card |= {"model_sha256": model.sha256, "fingerprint": fingerprint(model, vectorizer, contract)}
    (bad / "card.json").write_text(json.dumps(card))
    Worker(settings, services.screenings, services.detectors).prepare_others()
    assert "Detector bad can't be used" in caplog.text
    assert (cache / key_of(read_artefact(mine / "model.h5").sha256) / "meta.json").is_file()
    assert not (cache / key_of(read_artefact(shipped / "payments" / "model.h5").sha256)).exists()
    with patch.object(subprocess, "run", side_effect=AssertionError("compiled again")):
        for name in ("payments", "ecommerce", "mine"):
            services.detectors.get(name).prepare()


def test_an_idle_worker_stops_at_once(services: Services, settings: Settings) -> None:
    """Not only when it would have looked for work again; the quickest of some tries, for machines are noisy."""
    taken = []
    for _ in range(4):
        worker = Worker(settings, services.screenings, services.detectors)
        thread = threading.Thread(target=worker.loop)
        thread.start()
        time.sleep(0.3)
        began = time.monotonic()
        worker.stop()
        thread.join(timeout=10)
        taken.append(time.monotonic() - began)
        assert not thread.is_alive()
    assert min(taken) < IDLE_SECONDS / 4
