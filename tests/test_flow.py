"""The whole way through: sign up, log in, a file in, flags out."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from flask import Flask
from werkzeug.test import TestResponse

import utils
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person


def screening_of(answer: TestResponse) -> str:
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return answer.headers["Location"].rsplit("/", 1)[1]


@pytest.fixture
def done(analyst: Person, worker: Worker, sample: bytes) -> str:
    return screening_of(analyst.upload(sample))


def test_the_sample_comes_back_with_its_frauds_flagged(analyst: Person, done: str) -> None:
    page = analyst.client.get(f"/results/{done}")
    state = analyst.client.get(f"/results/{done}.json").get_json()

    assert page.status_code == 200
    assert state["state"] == "done"
    assert state["progress"] == 1
    assert state["error"] is None
    assert state["rows"] == 200
    assert state["flagged"] >= 5
    assert f"{state['flagged']}" in page.get_data(as_text=True)


def test_scores_csv_gives_every_row_untouched_with_its_probability_and_flag(
    analyst: Person, done: str, sample: bytes
) -> None:
    text = analyst.client.get(f"/results/{done}/scores.csv").get_data(as_text=True)
    rows = list(csv.DictReader(io.StringIO(text)))
    given = list(csv.DictReader(io.StringIO(sample.decode())))
    expected = utils.get_probabilities(pd.read_csv(io.BytesIO(sample)))

    assert [{name: row[name] for name in given[0]} for row in rows] == given
    assert list(rows[0])[-2:] == ["fraud_probability", "flagged"]
    np.testing.assert_allclose([float(row["fraud_probability"]) for row in rows], expected, atol=1e-6)
    assert [row["flagged"] for row in rows] == ["true" if p >= np.float32(0.8) else "false" for p in expected]


@pytest.mark.security(31)
def test_file_batch_and_api_give_the_same_probability(analyst: Person, done: str, sample: bytes) -> None:
    frame = pd.read_csv(io.BytesIO(sample)).drop(columns="Class")
    scores = pd.read_csv(io.BytesIO(analyst.client.get(f"/results/{done}/scores.csv").data))
    token = analyst.token("/upload")
    records = frame.to_dict("records")
    batch = analyst.client.post(
        "/detect_fraud", json={"transactions": records}, headers={"X-CSRFToken": token}
    )
    one = analyst.client.post(
        "/detect_fraud", json={"transaction": records[0]}, headers={"X-CSRFToken": token}
    )

    assert batch.status_code == one.status_code == 200
    answers = batch.get_json()["results"]
    np.testing.assert_allclose(
        [a["fraud_probability"] for a in answers], scores["fraud_probability"], atol=1e-6
    )
    assert [a["fraud"] for a in answers] == scores["flagged"].tolist()
    assert one.get_json()["fraud_probability"] == pytest.approx(answers[0]["fraud_probability"], abs=1e-6)
    assert all(len(a["reasons"]) == (3 if a["fraud"] else 0) for a in answers)


def test_the_flagged_rows_come_first_with_three_reasons_each(analyst: Person, done: str) -> None:
    rows = list(
        csv.DictReader(io.StringIO(analyst.client.get(f"/results/{done}/flagged.csv").get_data(as_text=True)))
    )
    probabilities = [float(row["fraud_probability"]) for row in rows]

    assert probabilities == sorted(probabilities, reverse=True)
    assert min(probabilities) >= np.float32(0.8)
    assert all(len(row["reasons"].split("; ")) == 3 for row in rows)


def test_the_workbook_opens_and_counts_what_the_page_counts(analyst: Person, done: str) -> None:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(analyst.client.get(f"/results/{done}/report.xlsx").data))
    flagged = analyst.client.get(f"/results/{done}.json").get_json()["flagged"]
    summary = {row[0].value: row[1].value for row in book["Summary"].iter_rows()}

    assert summary["Flagged"] == flagged
    assert book["Flagged rows"].max_row == flagged + 1
    assert isinstance(book["Flagged rows"].cell(2, 7).value, int | float)


def test_a_file_of_other_amounts_is_compared_with_the_training_data(
    analyst: Person, worker: Worker, sample: bytes
) -> None:
    usual = analyst.client.get(analyst.upload(sample).headers["Location"] + "?view=overview").get_data(
        as_text=True
    )
    assert "Compared with the training data" in usual
    header, *lines = sample.decode().splitlines()
    place = header.split(",").index("Amount")
    moved = [header]
    for line in lines:
        cells = line.split(",")
        cells[place] = str(float(cells[place]) * 1000 + 50_000.5)
        moved.append(",".join(cells))
    location = analyst.upload("\n".join(moved).encode()).headers["Location"]
    page = analyst.client.get(f"{location}?view=overview").get_data(as_text=True)
    assert "Amount differs much" in page


def test_a_broken_cell_refuses_the_file_and_says_where(
    analyst: Person, worker: Worker, sample: bytes
) -> None:
    lines = sample.decode().splitlines()
    cells = lines[7].split(",")
    cells[3] = "oops"
    lines[7] = ",".join(cells)
    answer = analyst.upload("\n".join(lines).encode())
    text = answer.get_data(as_text=True)

    assert answer.status_code == 400
    assert "V3" in text
    assert "oops" in text
    assert re.search(r"\b7\b", text)
    assert analyst.client.get("/results").status_code == 200


def test_a_refused_file_leaves_no_history_and_no_file(
    analyst: Person, worker: Worker, services: Services, sample: bytes
) -> None:
    assert analyst.upload(b"Time,V1\n1,2\n").status_code == 400
    assert analyst.upload(sample, "picture.png").status_code == 415
    assert services.screenings.count("ana") == 0
    assert list((services.settings.instance / "screenings").glob("*")) == []


def test_rows_with_bad_cells_can_be_set_aside_and_are_listed(
    analyst: Person, worker: Worker, sample: bytes
) -> None:
    lines = sample.decode().splitlines()
    lines[5] = "," + lines[5].split(",", 1)[1]
    done = screening_of(analyst.upload("\n".join(lines).encode(), set_aside="1"))
    scores = list(
        csv.DictReader(io.StringIO(analyst.client.get(f"/results/{done}/scores.csv").get_data(as_text=True)))
    )
    page = analyst.client.get(f"/results/{done}?view=overview").get_data(as_text=True)

    assert len(scores) == 200
    assert (scores[4]["fraud_probability"], scores[4]["flagged"]) == ("", "")
    assert all(row["fraud_probability"] for place, row in enumerate(scores) if place != 4)
    assert "1 unreadable row" in page
    text = analyst.client.get(f"/results/{done}/rejected.csv").get_data(as_text=True)
    (rejected,) = csv.DictReader(io.StringIO(text))
    assert (rejected["row"], rejected["problem"]) == ("5", "Time is empty")
    assert rejected["Time"] == ""
    assert rejected["V1"] == scores[4]["V1"]


@pytest.mark.security(13)
def test_another_users_screening_does_not_exist(app: Flask, analyst: Person, done: str) -> None:
    eve = Person(app, "eve").sign_up().log_in()
    for path in (
        "",
        ".json",
        "/rows",
        "/progress",
        "/threshold",
        "/scores.csv",
        "/flagged.csv",
        "/report.xlsx",
    ):
        assert eve.client.get(f"/results/{done}{path}").status_code == 404, path
    assert eve.post(f"/results/{done}/delete", "/upload").status_code == 404
    assert analyst.client.get(f"/results/{done}").status_code == 200


def test_columns_in_another_order_give_the_same_scores(
    analyst: Person, worker: Worker, done: str, sample: bytes
) -> None:
    frame = pd.read_csv(io.BytesIO(sample))
    shuffled = frame[frame.columns[::-1]].rename(columns=lambda name: f" {name.upper()} ")
    other = screening_of(analyst.upload(shuffled.to_csv(index=False).encode()))
    scores = [
        pd.read_csv(io.BytesIO(analyst.client.get(f"/results/{one}/scores.csv").data))["fraud_probability"]
        for one in (done, other)
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)


def test_labels_are_measured_but_never_make_flags(
    analyst: Person, worker: Worker, done: str, sample: bytes
) -> None:
    frame = pd.read_csv(io.BytesIO(sample))
    frame["Class"] = 1 - frame["Class"]
    turned = screening_of(analyst.upload(frame.to_csv(index=False).encode()))
    first, second = (analyst.client.get(f"/results/{one}.json").get_json() for one in (done, turned))

    assert first["flagged"] == second["flagged"]
    page = analyst.client.get(f"/results/{done}?view=performance").get_data(as_text=True)
    assert "recall" in page.lower()


def test_a_program_gets_json(analyst: Person, worker: Worker, sample: bytes) -> None:
    data = {"csrf_token": analyst.token("/upload"), "file": (io.BytesIO(sample), "a.csv")}
    answer = analyst.client.post("/upload", data=data, headers={"Accept": "application/json"})
    assert answer.status_code == 201
    assert answer.get_json()["state"] == "done"

    data = {"csrf_token": analyst.token("/upload"), "file": (io.BytesIO(b""), "a.csv")}
    refused = analyst.client.post("/upload", data=data, headers={"Accept": "application/json"})
    assert refused.status_code == 400
    assert refused.mimetype == "application/problem+json"
    assert "empty" in json.loads(refused.data)["detail"]
