"""The trainer with a real child process that speaks as the workshop does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from screening.detectors.registry import Detectors
from screening.detectors.states import DetectorStates
from screening.errors import Conflict, NotReady
from screening.infra.database import Database
from screening.infra.job_queue import DONE, FAILED, MOST_ATTEMPTS, RUNNING, new_id
from screening.settings import ROOT, Settings
from screening.training import training_job as module
from screening.training.trainings import CANCELLED, WAITING, Training, TrainingFolder, Trainings
from screening.uploads.instance_check import claim
from screening.worker.trainer import Trainer
from tests.training_runner import FAKE, TrainingRunner
from tests.waiting import wait_until

OPTIONS = {"label": "fraud", "columns": [], "label_delay": 0, "remember": True}


@pytest.fixture
def trainings(settings: Settings) -> Iterator[Trainings]:
    database = Database(settings.database_url)
    database.create_tables()
    claim(settings.instance, database)
    yield Trainings(database)
    database.engine.dispose()


@pytest.fixture
def order(settings: Settings, trainings: Trainings) -> Callable[..., str]:
    """Orders a training whose file holds a word for the fake."""

    def begun(word: str, name: str = "mine") -> str:
        made = new_id()
        folder = TrainingFolder(settings.instance, made)
        folder.create()
        folder.input.write_text(word)
        trainings.begin(made, owner="ada", filename="a.csv", kind="csv", name=name)
        trainings.received(made, len(word), "ab" * 32, OPTIONS)
        trainings.order(made, name, OPTIONS)
        return made

    return begun


@pytest.fixture
def trainer(settings: Settings, trainings: Trainings) -> TrainingRunner:
    return TrainingRunner(settings, trainings)


def row(trainings: Trainings, training_id: str) -> Training:
    found = trainings.get(training_id)
    assert found is not None
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def pid_of(settings: Settings, training_id: str) -> int:
    file = TrainingFolder(settings.instance, training_id).scratch / "pid"
    wait_until(lambda: file.exists() and file.read_text())
    return int(file.read_text())


def test_a_detector_is_made_and_put_into_its_place_and_its_file_is_gone(
    settings: Settings, trainings: Trainings, trainer: TrainingRunner, order: Callable[..., str]
) -> None:
    made = order("make")
    assert trainer.work_once()
    done = row(trainings, made)
    assert (done.state, done.progress, done.error, done.holder) == (DONE, 1.0, None, None)
    assert done.seconds is not None
    assert {path.name for path in (settings.instance / "detectors" / "mine").iterdir()} >= {
        "model.h5",
        "card.json",
    }
    assert not (settings.instance / "trainings" / made).exists()
    assert not trainer.work_once()


def test_what_the_workshop_refuses_is_told_as_it_said_it_and_can_be_mended(
    settings: Settings, trainings: Trainings, trainer: TrainingRunner, order: Callable[..., str]
) -> None:
    made = order("refuse")
    trainer.work_once()
    failed = row(trainings, made)
    assert failed.state == FAILED
    assert failed.error is not None
    assert (failed.error["what"], failed.error["remedy"]) == ("There are 3 frauds.", "Give at least 20.")
    folder = TrainingFolder(settings.instance, made)
    assert folder.input.exists(), "other columns may be chosen without sending the file again"
    folder.input.write_text("make")
    trainings.order(made, "mine", OPTIONS)
    trainer.work_once()
    assert row(trainings, made).state == DONE


def test_a_mistake_of_ours_is_not_put_on_the_file_and_is_logged(
    trainings: Trainings, trainer: TrainingRunner, order: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    made = order("crash")
    trainer.work_once()
    failed = row(trainings, made)
    assert failed.error is not None
    assert "isn't to blame" in failed.error["what"]
    assert "a mistake in the workshop" in caplog.text


def test_a_library_that_isnt_installed_is_named_with_what_to_do(
    trainings: Trainings, trainer: TrainingRunner, order: Callable[..., str]
) -> None:
    made = order("lack")
    trainer.work_once()
    error = row(trainings, made).error
    assert error is not None
    assert "boosting" in error["what"]
    assert "requirements.txt" in error["remedy"]


def test_a_trainer_trains_and_compiles_and_a_server_without_the_parts_leaves_it_to_that(
    settings: Settings, trainings: Trainings, order: Callable[..., str]
) -> None:
    made = order("make")
    detectors = Detectors(settings, DetectorStates(trainings.database))
    with (
        patch("screening.training.trainer_process.lacking", return_value=["catboost"]),
        pytest.raises(NotReady, match="catboost") as refused,
    ):
        Trainer(settings, trainings.database, detectors, FAKE)
    assert "requirements.txt" in str(refused.value.remedy)
    assert row(trainings, made).state == WAITING
    trainer = Trainer(settings, trainings.database, detectors, FAKE)
    thread = threading.Thread(target=trainer.loop)
    with patch("screening.worker.trainer.prepare_all") as prepared:
        thread.start()
        try:
            wait_until(lambda: row(trainings, made).state == DONE and prepared.called)
        finally:
            trainer.stop()
            thread.join()


def test_what_kills_its_process_again_and_again_is_given_up_with_a_reason(
    trainings: Trainings, trainer: TrainingRunner, order: Callable[..., str]
) -> None:
    made = order("die")
    for _ in range(MOST_ATTEMPTS):
        assert trainer.work_once()
    assert not trainer.work_once()
    trainings.give_up()
    failed = row(trainings, made)
    assert failed.state == FAILED
    assert failed.error is not None
    assert "memory" in failed.error["remedy"]


@pytest.mark.parametrize("how", ["cancelled", "removed"])
def test_what_is_called_off_leaves_no_process_and_no_file(
    settings: Settings, trainings: Trainings, trainer: TrainingRunner, order: Callable[..., str], how: str
) -> None:
    made = order("wait")
    with trainer:
        child = pid_of(settings, made)
        wait_until(lambda: row(trainings, made).stage == "Learning")
        assert row(trainings, made).progress == pytest.approx(0.4)
        assert alive(child)
        if how == "cancelled":
            assert trainings.cancel(made)
        else:
            trainings.remove(made)
        wait_until(lambda: not alive(child))
        wait_until(lambda: not (settings.instance / "trainings" / made).exists())
    assert not trainings.cancel(made)
    assert trainings.state(made) == (CANCELLED if how == "cancelled" else None)
    assert not (settings.instance / "detectors" / "mine").exists()


def test_an_orderly_stop_ends_the_child_and_lets_it_begin_again(
    settings: Settings, trainings: Trainings, trainer: TrainingRunner, order: Callable[..., str]
) -> None:
    made = order("wait")
    with trainer:
        child = pid_of(settings, made)
    assert not alive(child)
    waiting = row(trainings, made)
    assert (waiting.state, waiting.attempts) == (WAITING, 0)
    TrainingFolder(settings.instance, made).input.write_text("make")
    assert TrainingRunner(settings, trainings).work_once()
    assert row(trainings, made).state == DONE


def test_a_child_that_doesnt_listen_is_ended_all_the_same(
    settings: Settings, trainings: Trainings, order: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.infra.child_work.STOP_SECONDS", 0.3)
    made = order("deaf")
    with TrainingRunner(settings, trainings):
        child = pid_of(settings, made)
        wait_until(lambda: row(trainings, made).stage == "Learning")
    assert not alive(child)


PROGRAM = """
import sys
from pathlib import Path
from screening.infra.database import Database
from screening.settings import Settings
from screening.training.trainings import Trainings
from screening.uploads.instance_check import claim
from screening.worker.trainer import Trainer
from tests.training_runner import FAKE, TrainingRunner
settings = Settings(instance=Path(sys.argv[1]), database_url=sys.argv[2])
with TrainingRunner(settings, Trainings(Database(settings.database_url))) as runner:
    runner._thread.join()
"""


@pytest.mark.security(37)
def test_a_job_process_killed_in_mid_training_takes_the_child_with_it_and_another_begins_again(
    settings: Settings, trainings: Trainings, order: Callable[..., str]
) -> None:
    made = order("wait")
    command = [sys.executable, "-c", PROGRAM, str(settings.instance), settings.database_url]
    first = subprocess.Popen(command, cwd=ROOT)
    child = pid_of(settings, made)
    wait_until(lambda: row(trainings, made).stage == "Learning")
    first.kill()
    first.wait()
    wait_until(lambda: not alive(child))
    assert row(trainings, made).state == RUNNING
    TrainingFolder(settings.instance, made).input.write_text("make")
    second = subprocess.Popen(command, cwd=ROOT)
    wait_until(lambda: row(trainings, made).state == DONE)
    second.terminate()
    second.wait()
    assert row(trainings, made).attempts == 2


def test_a_crash_between_the_last_two_steps_doesnt_train_again(
    settings: Settings, trainings: Trainings, trainer: TrainingRunner, order: Callable[..., str]
) -> None:
    made = order("make")
    with (
        patch.object(trainings, "finish", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        trainer.work_once()
    TrainingFolder(settings.instance, made).input.write_text("crash")
    trainings.release("trainer-0")
    assert trainer.work_once()
    assert row(trainings, made).state == DONE


def test_a_name_that_was_taken_meanwhile_is_said_and_nothing_is_overwritten(
    settings: Settings, trainings: Trainings, trainer: TrainingRunner, order: Callable[..., str]
) -> None:
    made = order("make")
    theirs = settings.instance / "detectors" / "mine" / "card.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    trainer.work_once()
    failed = row(trainings, made)
    assert failed.error is not None
    assert "by now" in failed.error["what"]
    assert theirs.read_text() == "theirs"


def test_two_trainings_of_one_name_are_refused(trainings: Trainings, order: Callable[..., str]) -> None:
    first = order("make")
    with pytest.raises(Conflict):
        order("make")
    assert trainings.cancel(first)
    order("make")


def test_a_training_that_runs_or_has_ended_cant_be_ordered_again(
    trainings: Trainings, trainer: TrainingRunner, order: Callable[..., str]
) -> None:
    made = order("make")
    with pytest.raises(Conflict):
        trainings.order(made, "mine", OPTIONS)
    trainer.work_once()
    with pytest.raises(Conflict):
        trainings.order(made, "mine", OPTIONS)


def test_folders_that_belong_to_nothing_are_removed_but_not_while_they_are_young(
    settings: Settings, trainings: Trainings, trainer: TrainingRunner, order: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    made = order("make")
    orphan = TrainingFolder(settings.instance, new_id())
    orphan.create()
    trainer.job.tidy()
    assert orphan.path.exists()
    monkeypatch.setattr(module, "YOUNG_SECONDS", -1)
    trainer.job.tidy()
    assert not orphan.path.exists()
    assert TrainingFolder(settings.instance, made).input.exists()


def test_many_trainers_never_make_the_same(
    settings: Settings, trainings: Trainings, order: Callable[..., str]
) -> None:
    wanted = {order("make", f"mine-{number}") for number in range(4)}
    taken: list[str] = []

    def work(slot: str) -> None:
        while claimed := trainings.claim(slot):
            taken.append(claimed.id)

    threads = [threading.Thread(target=work, args=(f"trainer-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(wanted)


def test_the_child_gives_way_to_the_rest_and_knows_no_secrets(
    settings: Settings, trainings: Trainings, trainer: TrainingRunner, order: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SECRET_KEY", "s" * 40)
    made = order("wait")
    with trainer:
        child = pid_of(settings, made)
        assert os.getpriority(os.PRIO_PROCESS, child) > os.getpriority(os.PRIO_PROCESS, 0)
        assert b"SECRET_KEY" not in Path(f"/proc/{child}/environ").read_bytes()
