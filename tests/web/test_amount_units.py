"""A file whose amounts may be whole cents: its sender is asked, and what was said goes for files like it."""

from __future__ import annotations

import re
from pathlib import Path

from flask import Flask

from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.screening.uploads.payment_forms import payments, table
from tests.screening.uploads.test_amount_units import cents
from tests.web.test_column_mapping import done

CENTS = table(payments(), amount=cents).encode()
WHOLE_UNITS = table(payments()).encode()


def asked(person: Person, content: bytes) -> tuple[str, str]:
    """Send a file of cents; gives the address of the page that asks, and the page."""
    answer = person.upload(content, may_map="1")
    assert answer.status_code == 400
    (link,) = set(re.findall(r'href="(/results/\w+/questions)"', answer.get_data(as_text=True)))
    return link, person.client.get(link).get_data(as_text=True)


def say(person: Person, services: Services, link: str, unit: str) -> str:
    """Answer; gives the address of the result."""
    answer = person.client.post(link, data={"csrf_token": person.token(link), "unit": unit})
    location: str = answer.headers["Location"]
    assert done(services, location.rsplit("/", 1)[1])
    return location


def result(person: Person, content: bytes) -> str:
    answer = person.upload(content)
    assert answer.status_code == 303
    return person.client.get(answer.headers["Location"]).get_data(as_text=True)


def test_the_page_shows_five_cells_each_way_and_the_answer_is_noted(
    analyst: Person, worker: Worker, services: Services
) -> None:
    link, page = asked(analyst, CENTS)
    assert page.count('type="radio"') == 3
    assert page.count("<dd>") == 15
    assert "<code>1250</code></dt><dd>12.50" in page
    assert "<code>1250</code></dt><dd>1,250.00" in page
    shown = analyst.client.get(say(analyst, services, link, "cents")).get_data(as_text=True)
    assert "was read in cents, as was said" in shown


def test_one_click_goes_on_with_amounts_as_they_stand(
    analyst: Person, worker: Worker, services: Services
) -> None:
    link, _ = asked(analyst, CENTS)
    shown = analyst.client.get(say(analyst, services, link, "whole")).get_data(as_text=True)
    assert "was read as it stands, as was said, and is about 100 times as large" in shown
    again = result(analyst, CENTS)
    assert "Read as was said by ana" in again
    assert "as it stands" in again


def test_an_answer_goes_for_files_like_it_also_where_their_amounts_are_small(
    analyst: Person, worker: Worker, services: Services
) -> None:
    link, _ = asked(analyst, CENTS)
    say(analyst, services, link, "cents")
    assert "was read in cents" in result(analyst, CENTS)
    rows = [(*row[:3], 1.25) for row in payments()[:3]]
    small = result(analyst, table(rows, amount=cents).encode())
    assert "Read as was said by ana" in small
    assert "“125” is 1.25" in small


def test_an_answer_is_not_taken_where_the_cells_speak_against_it(
    analyst: Person, worker: Worker, services: Services
) -> None:
    link, _ = asked(analyst, CENTS)
    say(analyst, services, link, "cents")
    page = result(analyst, WHOLE_UNITS)
    assert "cents" not in page
    rounded = table([(*row[:3], float(round(row[3]))) for row in payments()]).encode()
    _, page = asked(analyst, rounded)
    assert "and looks otherwise here" in page


def test_cents_that_were_said_arent_taken_from_a_currency_that_has_none(
    analyst: Person, worker: Worker, services: Services
) -> None:
    def content(code: str) -> bytes:
        head, *lines = CENTS.decode().splitlines()
        return "\n".join([f"{head},currency", *(f"{line},{code}" for line in lines), ""]).encode()

    link, _ = asked(analyst, content("EUR"))
    say(analyst, services, link, "cents")
    assert "was read in cents" in result(analyst, content("EUR"))
    asked(analyst, content("JPY"))


def test_what_was_said_is_kept_with_a_screening_so_that_it_can_be_read_once_more(
    analyst: Person, worker: Worker, services: Services
) -> None:
    link, _ = asked(analyst, CENTS)
    say(analyst, services, link, "cents")
    location = analyst.upload(CENTS).headers["Location"]
    screening = services.screenings.get(location.rsplit("/", 1)[1])
    assert screening is not None
    assert screening.answers == {"unit": "cents"}


def test_a_program_is_told_and_the_command_line_takes_the_option(
    app: Flask, analyst: Person, worker: Worker, tmp_path: Path
) -> None:
    analyst.client.environ_base["HTTP_ACCEPT"] = "application/json"
    answer = analyst.upload(CENTS)
    assert answer.status_code == 400
    (question,) = answer.get_json()["questions"]
    assert question["option"] == "unit"
    assert [reading["answer"] for reading in question["readings"]] == ["cents", "mils", "whole"]
    file = tmp_path / "a.csv"
    file.write_bytes(CENTS)
    runner = app.test_cli_runner()
    refused = runner.invoke(args=["screen", str(file)])
    assert refused.exit_code == 1
    assert "--unit cents (in cents)" in refused.output
    said = runner.invoke(args=["screen", str(file), "--unit", "cents"])
    assert said.exit_code == 0, said.output
    assert "in cents, as was said" in said.output
    assert runner.invoke(args=["screen", str(file), "--unit", "whole"]).exit_code == 0
    assert runner.invoke(args=["screen", str(file), "--unit", "dimes"]).exit_code == 2
