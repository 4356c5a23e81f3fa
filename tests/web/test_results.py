from __future__ import annotations

import pytest
from werkzeug.http import parse_options_header

from screening.web.services import Services
from screening.worker import Worker
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
