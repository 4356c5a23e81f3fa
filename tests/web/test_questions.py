"""A file that can be read in two ways: its sender says which one is meant, and nobody else can."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from screening.ledger.history import DetectorHistory
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.screening.uploads.payment_forms import DAYS, payments, table
from tests.web.test_column_mapping import done

FEW = [row for row in DAYS if row[0].day <= 12]
OPEN = table(FEW, when=lambda day: f"{day:%d/%m/%Y}").encode()
NEGATIVE = table(payments(), amount=lambda value: f"-{value:g}").encode()


def asked(person: Person, content: bytes) -> tuple[str, str]:
    """Send a file that leaves something open; gives the page that asks and its address."""
    answer = person.upload(content, may_map="1")
    assert answer.status_code == 400
    page = answer.get_data(as_text=True)
    assert "Answer the question" in page
    (link,) = set(re.findall(r'href="(/results/\w+/questions)"', page))
    return link, person.client.get(link).get_data(as_text=True)


def test_the_page_shows_cells_each_way_and_the_answer_is_used_and_noted(
    analyst: Person, worker: Worker, services: Services
) -> None:
    link, page = asked(analyst, OPEN)
    assert page.count('type="radio"') == 2
    assert "<code>04/01/2025</code></dt><dd>2025-01-04" in page
    assert "<code>04/01/2025</code></dt><dd>2025-04-01" in page
    sent = {"csrf_token": analyst.token(link), "dates": "dmy"}
    location = analyst.client.post(link, data=sent).headers["Location"]
    assert done(services, location.rsplit("/", 1)[1])
    result = analyst.client.get(location).get_data(as_text=True)
    assert "was read as 2025-01-04, as was said." in result
    assert analyst.client.get(link).status_code == 409


def test_one_answer_after_the_other_and_a_check_stays_a_check(
    analyst: Person, worker: Worker, services: Services
) -> None:
    both = table(FEW, when=lambda day: f"{day:%d/%m/%Y}", amount=lambda value: f"-{value:g}").encode()
    answer = analyst.upload(both, may_map="1", check="1")
    link = re.findall(r'href="(/results/\w+/questions)"', answer.get_data(as_text=True))[0]
    screening_id = link.split("/")[2]
    for option, value in (("dates", "dmy"), ("sign", "turn")):
        page = analyst.client.get(link).get_data(as_text=True)
        assert f'name="{option}"' in page
        analyst.client.post(link, data={"csrf_token": analyst.token(link), option: value})
        done(services, screening_id)
    screening = services.screenings.get(screening_id)
    assert screening is not None
    assert screening.state == "checked"
    assert screening.answers == {"dates": "dmy", "sign": "turn"}


@pytest.mark.parametrize("value", ["", "soon", "keep' or 1=1"])
def test_what_is_no_answer_is_refused_and_the_file_waits(
    analyst: Person, worker: Worker, services: Services, value: str
) -> None:
    link, _ = asked(analyst, NEGATIVE)
    answer = analyst.client.post(link, data={"csrf_token": analyst.token(link), "sign": value})
    assert answer.status_code == 400
    assert "Choose one of the readings" in answer.get_data(as_text=True)
    assert services.screenings.state(link.split("/")[2]) == "failed"


@pytest.mark.security(17)
def test_nobody_elses_file_is_answered_for(analyst: Person, worker: Worker, app: Flask) -> None:
    link, _ = asked(analyst, NEGATIVE)
    other = Person(app, "bert").sign_up().log_in()
    assert other.client.get(link).status_code == 404
    sent = {"csrf_token": other.token("/upload"), "sign": "turn"}
    assert other.client.post(link, data=sent).status_code == 404


def test_nothing_is_remembered_of_a_file_that_waits_for_an_answer(
    analyst: Person, worker: Worker, services: Services
) -> None:
    asked(analyst, NEGATIVE)
    detector = services.detectors.get("payments")
    assert DetectorHistory(services.settings.instance, detector, counting=None).past() is None


def test_a_program_is_told_what_it_can_answer(analyst: Person, worker: Worker) -> None:
    analyst.client.environ_base["HTTP_ACCEPT"] = "application/json"
    answer = analyst.upload(OPEN)
    assert answer.status_code == 400
    said = answer.get_json()
    assert [reading["answer"] for reading in said["questions"][0]["readings"]] == ["dmy", "mdy"]
    assert "--dates dmy" in said["remedy"]


def test_the_command_line_asks_and_is_answered_by_an_option(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(OPEN)
    runner = app.test_cli_runner()
    open_ = runner.invoke(args=["screen", str(file)])
    assert open_.exit_code == 1
    assert "--dates dmy (day before month) or --dates mdy" in open_.output
    said = runner.invoke(args=["screen", str(file), "--dates", "dmy"])
    assert said.exit_code == 0, said.output
    assert "as was said" in said.output
    file.write_bytes(NEGATIVE)
    assert "--sign turn" in runner.invoke(args=["screen", str(file)]).output
    assert runner.invoke(args=["screen", str(file), "--sign", "turn"]).exit_code == 0
    assert runner.invoke(args=["screen", str(file), "--sign", "sideways"]).exit_code == 2


def test_an_answer_is_remembered_and_taken_where_a_file_leaves_the_same_question_open(
    analyst: Person, worker: Worker, services: Services
) -> None:
    link, _ = asked(analyst, OPEN)
    location = analyst.client.post(link, data={"csrf_token": analyst.token(link), "dates": "dmy"}).headers[
        "Location"
    ]
    assert done(services, location.rsplit("/", 1)[1])
    later = analyst.upload(OPEN)
    assert later.status_code == 303
    page = analyst.client.get(later.headers["Location"]).get_data(as_text=True)
    assert "Read as was said by ana on 20" in page
    assert "TX_DATETIME: day before month" in page
    clear = table(DAYS, when=lambda day: f"{day:%m/%d/%Y}").encode()
    page = analyst.client.get(analyst.upload(clear).headers["Location"]).get_data(as_text=True)
    assert "month before day" in page
    assert "as was said" not in page
    digits = table(FEW, when=lambda day: f"{day:%y%m%d}").encode()
    assert analyst.upload(digits).status_code in (303, 400)
    receipt = analyst.client.get(f"{later.headers['Location']}?view=receipt").get_data(as_text=True)
    forget = re.search(r'action="(/results/\w+/mapping/forget)"', receipt)
    assert forget is not None
    analyst.client.post(forget[1], data={"csrf_token": analyst.token("/upload")})
    asked(analyst, OPEN)


def test_a_sign_that_was_said_is_not_turned_where_the_amounts_are_positive(
    analyst: Person, worker: Worker, services: Services
) -> None:
    link, _ = asked(analyst, NEGATIVE)
    location = analyst.client.post(link, data={"csrf_token": analyst.token(link), "sign": "turn"}).headers[
        "Location"
    ]
    assert done(services, location.rsplit("/", 1)[1])
    assert "with the other sign, as was said" in analyst.client.get(
        analyst.upload(NEGATIVE).headers["Location"]
    ).get_data(as_text=True)
    page = analyst.client.get(analyst.upload(table(payments()).encode()).headers["Location"])
    assert "other sign" not in page.get_data(as_text=True)
