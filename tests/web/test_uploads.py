from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

import pytest

from screening.settings import ROOT
from screening.uploads.screenings import QUEUED
from screening.uploads.upload_folder import UploadFolder
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.served import BOUNDARY


class Sending(io.BytesIO):
    """A body that does something when its second quarter of a megabyte is asked for."""

    def __init__(self, body: bytes, then: Callable[[], None]) -> None:
        super().__init__(body)
        self._then = then

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            self._then()
        return super().read(size)


def form_of(token: str, content: bytes) -> bytes:
    part = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    head = f'{part}"csrf_token"\r\n\r\n{token}\r\n{part}"file"; filename="a.csv"\r\n\r\n'
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def many(sample: bytes) -> bytes:
    header, _, rows = sample.partition(b"\n")
    return header + b"\n" + rows * 10


def test_a_screening_that_is_deleted_while_it_arrives_leaves_nothing(
    analyst: Person, services: Services, sample: bytes
) -> None:
    screenings = services.settings.instance / "screenings"

    def delete() -> None:
        for screening in services.screenings.ids():
            services.screenings.remove(screening)
            UploadFolder(services.settings.instance, screening).remove()

    body = form_of(analyst.token("/upload"), many(sample))
    answer = analyst.client.post(
        "/upload",
        input_stream=Sending(body, delete),
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
        content_length=len(body),
        headers={"Accept": "application/json"},
    )
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert "deleted before it was done" in answer.get_json()["what"]
    assert not list(screenings.iterdir())
    assert not services.screenings.ids()


def test_a_screening_that_is_deleted_while_somebody_waits_for_it_is_not_found(
    analyst: Person, services: Services, sample: bytes
) -> None:
    """No worker runs here, so that it waits until it is deleted."""

    def delete() -> None:
        deadline = time.monotonic() + 60
        while not (
            waiting := [one for one in services.screenings.ids() if services.screenings.state(one) == QUEUED]
        ):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        services.screenings.remove(waiting[0])

    deleting = threading.Thread(target=delete)
    deleting.start()
    answer = analyst.upload(sample)
    deleting.join()
    assert answer.status_code == 404
    assert "deleted before it was done" in answer.get_data(as_text=True)


@pytest.mark.security(25)
def test_a_file_with_card_numbers_waits_for_its_answers_with_tokens(
    analyst: Person, services: Services, worker: Worker, sample: bytes
) -> None:
    header, *rows = sample.replace(b"Amount", b"Betrag", 1).decode().splitlines()
    numbers = ("4111111111111111", "5500005555555559")
    lines = [f"{header},pan", *(f"{row},{numbers[place % 2]}" for place, row in enumerate(rows))]
    answer = analyst.upload("\n".join(lines).encode(), may_map="1")
    text = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert "holds payment card numbers" in text
    assert "/mapping" not in text
    (folder,) = (services.settings.instance / "screenings").iterdir()
    assert {path.name for path in folder.iterdir()} == {"whole", "tokens.csv", "tokens.json"}
    assert not any(number in (folder / "tokens.csv").read_text() for number in numbers)
    assert services.screenings.ids() == {folder.name}

    answer = analyst.upload("\n".join([header, *rows]).encode(), may_map="1")
    assert "/mapping" in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"check": "true"}, "“check” is neither 1 nor 0"),
        ({"tokenize": "yes"}, "“tokenize” is neither 1 nor 0"),
        ({"tokenise": "1"}, "“tokenise”, which means nothing here"),
        ({"4111 1111 1111 1111": "1"}, "means nothing here"),
    ],
)
def test_a_wish_that_means_nothing_is_refused_and_nothing_is_screened(
    analyst: Person, services: Services, sample: bytes, fields: dict[str, str], said: str
) -> None:
    """`check=true` would otherwise be a file that is scored and remembered at once."""
    answer = analyst.upload(sample, **fields)
    assert answer.status_code == 400
    text = answer.get_data(as_text=True)
    assert said in text
    assert "1111 1111" not in text
    assert services.screenings.count("ana") == 0


@pytest.mark.parametrize(
    ("media", "status"), [("text/csv; charset=utf-8", 303), ("image/png", 415), ("", 415)]
)
def test_a_file_without_a_name_of_its_own_is_known_by_its_media_type(
    analyst: Person, worker: Worker, sample: bytes, media: str, status: int
) -> None:
    """Browsers call what a script sends “blob”."""
    file = (io.BytesIO(sample), "blob", media) if media else (io.BytesIO(sample), "blob")
    data = {"csrf_token": analyst.token("/upload"), "file": file}
    answer = analyst.client.post("/upload", data=data, content_type="multipart/form-data")
    assert answer.status_code == status


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("kind", ["multipart/form-data", "application/x-www-form-urlencoded"])
def test_a_sample_is_screened_in_one_click(analyst: Person, services: Services, kind: str) -> None:
    fields = {"csrf_token": analyst.token("/"), "sample": "payments"}
    answer = analyst.client.post("/upload", data=fields, content_type=kind)
    assert answer.status_code == 303
    screening = services.screenings.get(answer.headers["Location"].rpartition("/")[2])
    assert screening is not None
    assert (screening.filename, screening.detector, screening.state) == (
        "payments-sample.csv",
        "payments",
        "done",
    )
    assert screening.rows == (ROOT / "model/detectors/payments/sample.csv").read_bytes().count(b"\n") - 1


@pytest.mark.parametrize(
    ("more", "status", "word"),
    [
        ({"sample": "nobody"}, 404, "There are samples for payments"),
        ({"sample": "card", "colour": "red"}, 400, "colour"),
        ({"sample": "card", "csrf_token": "x"}, 400, "form"),
        ({}, 400, "No file was chosen"),
    ],
)
def test_a_sample_that_cant_be_screened_leaves_nothing(
    analyst: Person, services: Services, more: dict[str, str], status: int, word: str
) -> None:
    fields = {"csrf_token": analyst.token("/"), **more}
    answer = analyst.client.post("/upload", data=fields)
    assert answer.status_code == status
    assert word in answer.get_data(as_text=True)
    assert services.screenings.count("ana") == 0


def test_a_file_and_a_sample_together_are_refused(analyst: Person, sample: bytes, services: Services) -> None:
    answer = analyst.upload(sample, sample="card")
    assert answer.status_code == 409
    assert "Send one of them" in answer.get_data(as_text=True)
    assert services.screenings.count("ana") == 0
