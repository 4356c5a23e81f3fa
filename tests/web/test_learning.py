"""A new detector of decisions, chargebacks and labels of files, by its page: decisions, labels, detector, card."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from screening.detectors.model_card import read_card
from screening.settings import Settings
from screening.training.trainer_process import WORKSHOP
from screening.training.trainings import DONE
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.training_runner import TrainingRunner
from tests.web.test_audit_log import events
from tests.web.test_data_api import SHOP, sent
from tests.web.test_decisions_are_kept import detect, post, shop
from tests.web.test_explore import page, words
from tests.web.test_review import do, flags, opened, taken

PAGE = "/detectors/from-reviews"


def started(person: Person, **fields: str) -> Any:
    return person.post(PAGE, PAGE, detector="ecommerce", **fields)


def test_decisions_chargebacks_and_labels_of_files_become_a_detector_whose_card_says_so(
    login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings
) -> None:
    ana, mia, ada = login("ana"), login("mia"), login("ada")
    screening = sent(ana, services, SHOP)
    flagged = flags(ana, screening)
    cases = opened(services, len(flagged))
    first = taken(ana)
    do(ana, f"/review/{first}/decision", decision="fraud", then="stay")
    decided = next(case.items for case in cases if case.id == first)
    told = detect(mia, [{**row, "class": None} for row in shop(4)])
    said = [{"id": each["id"], "label": "legitimate"} for each in told[:3]]
    assert post(mia, "/labels", {"labels": said}).status_code == 200
    text = words(page(ada, f"{PAGE}?detector=ecommerce"))
    rows = len(list(csv.DictReader(io.StringIO(SHOP.decode()))))
    assert f"It will learn from {rows + 3} transactions" in text
    assert f"Labels of files {rows - decided}" in text
    assert text.count("came with the rows") == 1
    assert f"Decisions on cases {decided} {decided} 0" in text
    assert "Labels of programs, chargebacks 3 0 3" in text
    answer = started(ada, name="learned", quick="1")
    assert answer.status_code == 303, answer.get_data(as_text=True)
    training = services.trainings.found(answer.headers["Location"].split("/")[2])
    assert training.options["label_delay"] >= 60
    roles = {each["name"]: each["role"] for each in training.options["columns"]}
    contract = services.detectors.get("ecommerce").contract
    assert roles == {each.name: str(each.role) for each in contract.parts()} | {"known_fraud": "label"}
    assert TrainingRunner(settings, services.trainings, WORKSHOP).work_once()
    done = services.trainings.found(training.id)
    assert done.state == DONE, done.error
    card = read_card(settings.instance / "detectors" / "learned" / "card.json")
    description = card.training_data.description or ""
    assert f"What was known here of {rows + 3} transactions of ecommerce" in description
    assert f"{rows - decided} labels of files" in description
    assert f"{decided} decision" in description
    assert "3 labels of programs" in description
    assert card.training_data.rows == rows, (
        "the three of the API are in the file, too: cleaning leaves them out"
    )
    assert description in words(page(ada, "/detectors/learned"))
    (line,) = [each for each in events(settings, "training_started") if each["name"] == "learned"]
    assert line["learned_from"] == description
    answers = post(ada, "/detect_fraud", {"transactions": shop(2), "detector": "learned"})
    assert answers.status_code == 200, answers.get_data(as_text=True)
    assert {each["detector"] for each in answers.get_json()["results"]} == {"learned"}


def test_what_cannot_be_is_said_and_leaves_nothing(
    login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    ada = login("ada")
    assert "Of no transaction of ecommerce is it known" in words(page(ada, f"{PAGE}?detector=ecommerce"))
    for fields, said, status in (
        ({"name": "learned"}, "Of no transaction of ecommerce that can still be read", 400),
        ({"name": "Not A Name"}, "name", 400),
        ({"name": "ecommerce"}, "ecommerce", 409),
    ):
        answer = started(ada, **fields)
        assert answer.status_code == status, answer.get_data(as_text=True)
        assert said in words(answer.get_data(as_text=True))
    assert "There is no such detector" in words(page(ada, f"{PAGE}?detector=nobody", 404))
    assert services.trainings.recent() == []
    assert not list((settings.instance / "trainings").glob("*/*"))
