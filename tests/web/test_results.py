from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from contextlib import suppress

import pytest
from flask import Flask
from werkzeug.http import parse_options_header

from screening.settings import Settings
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person


@pytest.mark.parametrize(
    "names",
    [
        ("payments.csv", "filename=payments-scores.csv", "payments-scores.csv"),
        ("Zürich 日.csv", 'filename="Zurich -scores.csv"', "Zürich 日-scores.csv"),
        ("a" * 300 + ".csv", f"filename={'a' * 100}...-scores.csv", f"{'a' * 100}…-scores.csv"),
    ],
)
def test_a_download_is_called_like_its_file_in_ascii_headers(
    analyst: Person, worker: Worker, sample: bytes, names: tuple[str, str, str]
) -> None:
    sent, plain, full = names
    answer = analyst.client.get(analyst.upload(sample, sent).location + "/scores.csv")
    said = answer.headers["Content-Disposition"]
    assert said.isascii()
    assert plain in said
    assert parse_options_header(said)[1]["filename"] == full


@pytest.mark.parametrize("left", ["," * 30 + "\n", "," * 30 + "\r\n", "\n\n"])
def test_every_download_of_a_file_with_empty_rows_at_the_end_is_whole(
    analyst: Person, worker: Worker, sample: bytes, left: str
) -> None:
    whole, spoiled = (analyst.upload(content).location for content in (sample, sample + 3 * left.encode()))
    for name in ("scores.csv", "flagged.csv"):
        first, second = (analyst.client.get(f"{location}/{name}") for location in (whole, spoiled))
        assert (second.status_code, second.get_data(as_text=True)) == (200, first.get_data(as_text=True)), (
            name
        )
    assert analyst.client.get(f"{spoiled}/report.xlsx").status_code == 200


DOUBT = "may not be worth trusting"


def test_a_note_casts_no_doubt_on_the_probabilities_and_a_warning_does(
    services: Services, analyst: Person, worker: Worker, sample: bytes
) -> None:
    location = analyst.upload(sample.replace(b",1\n", b",perhaps\n")).location
    page = analyst.client.get(location).get_data(as_text=True)
    assert "holds something else than 0, 1 and blanks" in page
    assert DOUBT not in page
    services.detectors.default.warnings.append("Its scaler does nothing.")
    location = analyst.upload(sample).location
    page = analyst.client.get(location).get_data(as_text=True)
    assert DOUBT in page.split("Its scaler does nothing.")[0]


@pytest.mark.parametrize("check", ["0", "1"])
def test_an_entry_whose_files_are_gone_says_so_and_can_be_deleted(
    analyst: Person, worker: Worker, services: Services, sample: bytes, check: str
) -> None:
    page = analyst.upload(sample, check=check).headers["Location"]
    screening_id = page.split("/")[2]
    shutil.rmtree(services.settings.instance / "screenings" / screening_id)
    answer = analyst.client.get(page, follow_redirects=True)
    assert answer.status_code == 404
    text = answer.get_data(as_text=True)
    assert "payments.csv are gone from the disk" in text
    assert f'action="/results/{screening_id}/delete"' in text
    as_json = analyst.client.get(page, headers={"Accept": "application/json"})
    assert as_json.status_code == 404
    assert as_json.mimetype == "application/problem+json"
    assert analyst.post(f"/results/{screening_id}/delete", "/upload").status_code == 303
    assert services.screenings.state(screening_id) is None


def test_the_pages_say_how_long_a_screening_is_kept(app_with: Callable[..., Flask]) -> None:
    promised = {}
    for days in (None, 1, 400):
        person = Person(app_with(keep_screenings_days=days), f"ana{days}").sign_up().log_in()
        promised[days] = person.client.get("/results").get_data(as_text=True)
    assert "until you delete it. Only" in promised[None]
    assert "until you delete it, at most 1 day. Only" in promised[1]
    assert "until you delete it, at most 400 days. Only" in promised[400]


@pytest.mark.security(25)
def test_a_card_number_as_a_files_name_is_neither_kept_nor_shown(
    analyst: Person, worker: Worker, services: Services, settings: Settings, sample: bytes
) -> None:
    location = analyst.upload(sample, "4111111111111111.csv").headers["Location"]
    kept = services.screenings.get(location.rpartition("/")[2])
    assert kept is not None
    assert kept.filename == "[digits].csv"
    for page in (location, "/results", f"{location}/scores.csv"):
        answer = analyst.client.get(page)
        assert b"4111111111111111" not in answer.data
        assert "4111111111111111" not in str(answer.headers)
    for written in settings.instance.rglob("*"):
        with suppress(FileNotFoundError):  # the worker gives files their name when they are whole
            assert written.is_dir() or b"4111111111111111" not in written.read_bytes(), written


def test_what_has_no_result_is_a_conflict_and_not_a_server_that_isnt_ready(
    analyst: Person, services: Services, sample: bytes
) -> None:
    """A program that is told 503 asks again for ever."""
    data = {"csrf_token": analyst.token("/upload"), "file": (io.BytesIO(sample), "a.csv")}
    sent = analyst.client.post(
        "/upload", data=data, content_type="multipart/form-data", headers={"Prefer": "wait=0"}
    )
    url = sent.headers["Location"] + "/scores.csv"
    answer = analyst.client.get(url, headers={"Accept": "application/json"})
    assert (answer.status_code, "no result yet" in answer.get_data(as_text=True)) == (409, True)


@pytest.mark.parametrize(
    ("part", "page"),
    [
        ("/rows", "?view=rows"),
        ("/rows?view=queue&page=2", "?view=queue&page=2"),
        ("/threshold?at=0.5", "?view=overview&at=0.5"),
        ("/progress", ""),
        # names that Flask's own url_for takes for something else
        ("/rows?endpoint=x&_method=POST&_scheme=ftp", "?view=rows&endpoint=x&_method=POST&_scheme=ftp"),
        ("/rows?q=a%26b&q=c", "?view=rows&q=a%26b&q=c"),
    ],
)
def test_who_opens_a_part_of_a_page_by_its_address_gets_the_page(
    analyst: Person, worker: Worker, sample: bytes, part: str, page: str
) -> None:
    location = analyst.upload(sample).location
    opened = analyst.client.get(location + part, headers={"Sec-Fetch-Dest": "document"})
    assert (opened.status_code, opened.headers["Location"]) == (302, location + page)
    assert analyst.client.get(location + page).status_code == 200
