"""A file that is checked before it is scored: what is found, who sees it, and what becomes of it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask import Flask
from sqlalchemy import update

from screening.settings import Settings
from screening.uploads.screenings import CHECKED, DONE, OPEN_STATES, Screening
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.waiting import wait_until
from tests.web.test_audit_log import events
from tests.web.test_column_mapping import done, fields_of, mapping_link, renamed  # noqa: F401 -- the fixture

JSON = {"Accept": "application/json"}


@pytest.fixture
def frame(sample: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(sample), dtype=str)


def content(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def checked(person: Person, file: bytes, **fields: str) -> tuple[str, dict[str, Any]]:
    """Send a file to be checked; gives the address of its check and what a program is told there."""
    answer = person.upload(file, check="1", **fields)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    location = answer.headers["Location"]
    assert re.fullmatch(r"/results/\w{32}/check", location)
    return location, person.client.get(location, headers=JSON).get_json()


def settled(services: Services, screening_id: str) -> str | None:
    wait_until(lambda: services.screenings.state(screening_id) not in OPEN_STATES)
    return services.screenings.state(screening_id)


def scores(person: Person, screening_id: str) -> pd.Series:
    text = person.client.get(f"/results/{screening_id}/scores.csv").data
    found: pd.Series = pd.read_csv(io.BytesIO(text))["fraud_probability"]
    return found


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (
            1,
            (
                "1 of 200 rows has cells",
                "Set the 1 bad row aside and score the others",
                "It is listed",
                "This row",
            ),
        ),
        (2, ("2 of 200 rows have cells", "Set the 2 bad rows aside", "They are listed", "These rows with")),
        (199, ("199 of 200 rows have cells", "and score the other<")),
    ],
)
def test_one_bad_row_is_spoken_of_as_one(
    analyst: Person, worker: Worker, frame: pd.DataFrame, bad: int, words: tuple[str, ...]
) -> None:
    frame.loc[: bad - 1, "V3"] = "much"
    location, found = checked(analyst, content(frame))
    assert found["set_aside"] == bad
    page = analyst.client.get(location).get_data(as_text=True)
    for one in words:
        assert one in page, one


@pytest.mark.parametrize("change", [{"fingerprint": "0" * 64}, {"detector": "gone"}])
def test_a_check_for_another_detector_than_there_is_now_says_so(
    analyst: Person, worker: Worker, services: Services, sample: bytes, change: dict[str, str]
) -> None:
    location, found = checked(analyst, sample)
    assert not found["detector_changed"]
    assert "has changed since" not in analyst.client.get(location).get_data(as_text=True)
    with services.database.write() as session:
        session.execute(update(Screening).where(Screening.id == found["id"]).values(change))
    assert analyst.client.get(location, headers=JSON).get_json()["detector_changed"]
    assert "has changed since" in analyst.client.get(location).get_data(as_text=True)


@pytest.mark.security(12)
def test_who_may_only_look_is_offered_nothing_that_would_be_refused(
    app: Flask, analyst: Person, worker: Worker, services: Services, sample: bytes
) -> None:
    """An analyst who has become auditor still owns what she sent."""
    done = analyst.upload(sample).headers["Location"]
    location, _ = checked(analyst, sample)
    for words, page in (
        ("Screen this file", location),
        ("Discard", location),
        ("Delete it", f"{done}?view=receipt"),
    ):
        assert words in analyst.client.get(page).get_data(as_text=True)
    services.users.set_role("ana", "auditor")
    auditor = Person(app, "ana").log_in()
    for page in (location, done, f"{done}?view=receipt"):
        answer = auditor.client.get(page)
        assert answer.status_code == 200
        text = answer.get_data(as_text=True)
        assert "Screen this file" not in text
        assert "/delete" not in text
    assert "not to screen or discard it" in auditor.client.get(location).get_data(as_text=True)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("suspect", "words"),
    [
        (("leak", True), "will look better than the detector is"),
        (("leak", False), "don't train on it"),
        (("telling", False), "train on it only if it is known"),
        (("name", True), "if it is filled in afterwards, the figures"),
        (("name", False), "train on it only if it is known"),
    ],
)
def test_what_is_said_of_a_suspect_is_no_more_than_is_known(
    analyst: Person, sample: bytes, services: Services, suspect: tuple[str, bool], words: str
) -> None:
    location, found = checked(analyst, sample)
    kind, used = suspect
    written = {"column": "closed_by", "kind": kind, "used": used, "auc": 0.999}
    report = services.settings.instance / "screenings" / found["id"] / "check.json"
    report.write_text(json.dumps({**json.loads(report.read_text()), "suspects": [written]}))
    page = analyst.client.get(location).get_data(as_text=True)
    (item,) = re.findall(r"<li><strong>closed_by</strong>(.*?)</li>", page, re.DOTALL)
    assert words in item
    assert ("don't train on it" in item) == (kind == "leak" and not used)


def test_a_sound_file_is_said_to_be_one_in_every_section(
    analyst: Person, worker: Worker, sample: bytes
) -> None:
    location, found = checked(analyst, sample)
    page = analyst.client.get(location).get_data(as_text=True)
    assert (found["state"], found["rows"], found["set_aside"]) == ("checked", 200, 0)
    assert found["labels"] == {
        "column": "Class", "compared": True, "fraud": 12, "legitimate": 188, "blank": 0,
    }  # fmt: skip
    for words in (
        "Every row can be screened",
        "No duplicates.",
        "No column gives the label away",
        "not scored",
    ):
        assert words in page, words
    assert page.count("Nothing in the way") >= 3


def test_bad_rows_are_listed_and_never_refuse_a_check(
    analyst: Person, worker: Worker, frame: pd.DataFrame
) -> None:
    frame.loc[4, "V7"] = "oops"
    frame.loc[9, "Amount"] = ""
    location, found = checked(analyst, content(frame))
    assert found["set_aside"] == 2
    assert [(one["row"], one["column"], one["problem"]) for one in found["problems"]] == [
        (5, "V7", "is not a number"),
        (10, "Amount", "is empty"),
    ]
    page = analyst.client.get(location).get_data(as_text=True)
    assert "198 of 200 rows can be screened" in page
    assert "oops" in page
    assert "Needs your decision" in page
    text = analyst.client.get(location.replace("/check", "/rejected.csv")).get_data(as_text=True)
    rejected = list(csv.DictReader(io.StringIO(text)))
    assert [(row["row"], row["problem"], row["V7"]) for row in rejected] == [
        ("5", "V7 is not a number", "oops"),
        ("10", "Amount is empty", frame.loc[9, "V7"]),
    ]


def test_a_workbook_is_checked_too_and_its_bad_rows_come_back(
    analyst: Person, worker: Worker, services: Services, frame: pd.DataFrame
) -> None:
    frame.loc[4, "V7"] = "oops"
    book = io.BytesIO()
    frame.apply(pd.to_numeric, errors="coerce").assign(V7=frame["V7"]).to_excel(book, index=False)
    answer = analyst.upload(book.getvalue(), "payments.xlsx", check="1")
    location = answer.headers["Location"]
    text = analyst.client.get(location.replace("/check", "/rejected.csv")).get_data(as_text=True)
    assert [(row["row"], row["V7"]) for row in csv.DictReader(io.StringIO(text))] == [("5", "oops")]
    assert analyst.post(location, location, set_aside="1").status_code == 303
    assert settled(services, location.split("/")[2]) == DONE


def test_a_file_whose_rows_are_all_bad_is_listed_and_cannot_be_screened(
    analyst: Person, worker: Worker, frame: pd.DataFrame
) -> None:
    frame["V1"] = "x"
    location, found = checked(analyst, content(frame))
    assert found["rows"] == found["set_aside"] == 200
    page = analyst.client.get(location).get_data(as_text=True)
    assert "No row of this file can be screened" in page
    assert "Screen this file" not in page
    assert analyst.post(location, "/upload", set_aside="1").status_code == 400


def test_more_than_a_thousand_bad_rows_are_counted_and_the_first_thousand_listed(
    analyst: Person, worker: Worker, frame: pd.DataFrame
) -> None:
    many = pd.concat([frame] * 10)
    many["V2"] = ["?" if at < 1500 else value for at, value in enumerate(many["V2"])]
    location, found = checked(analyst, content(many))
    assert found["set_aside"] == 1500
    assert len(found["problems"]) == 1000
    assert "The first 1,000 problems" in analyst.client.get(location).get_data(as_text=True)
    text = analyst.client.get(location.replace("/check", "/rejected.csv")).get_data(as_text=True)
    assert len(list(csv.DictReader(io.StringIO(text)))) == 1500


def test_rows_that_repeat_another_one_are_counted_and_named_with_it(
    analyst: Person, worker: Worker, frame: pd.DataFrame
) -> None:
    again = pd.concat([frame, frame.iloc[[3, 3, 7]]])
    again.iloc[-1, again.columns.get_loc("Class")] = ""
    again.iloc[-1, again.columns.get_loc("Amount")] += (
        "0"  # 12.50 is 12.5, and a label is no part of a payment
    )
    location, found = checked(analyst, content(again))
    assert found["duplicates"] == {
        "count": 3,
        "first": [{"row": 201, "repeats": 4}, {"row": 202, "repeats": 4}, {"row": 203, "repeats": 8}],
    }
    page = analyst.client.get(location).get_data(as_text=True)
    assert "3 rows repeat" in page
    assert "Row 203 repeats row 8" in page


def test_columns_that_moved_are_named(analyst: Person, worker: Worker, frame: pd.DataFrame) -> None:
    frame["Amount"] = [str(float(value) * 1000 + 50_000.5) for value in frame["Amount"]]
    location, found = checked(analyst, content(frame))
    assert found["drift"][0]["column"] == "Amount"
    assert found["drift"][0]["index"] > 0.25
    page = analyst.client.get(location).get_data(as_text=True)
    assert re.search(r"Amount\b[^<]* much from the training data", page)
    assert "Worth a look" in page
    few = checked(analyst, content(frame[:50]))
    assert few[1]["drift"] == []
    assert "Too few rows" in analyst.client.get(few[0]).get_data(as_text=True)


def test_columns_that_know_the_label_are_named_and_honest_ones_are_not(
    analyst: Person, worker: Worker, frame: pd.DataFrame
) -> None:
    fraud = frame["Class"] == "1"
    generator = np.random.default_rng(0)
    frame["closed_by"] = np.where(fraud, "desk 7", "")
    frame["fraud_scenario"] = generator.integers(0, 3, len(frame)).astype(str)
    frame["shop"] = generator.choice(["a", "b", "c"], len(frame))
    location, found = checked(analyst, content(frame))
    suspects = {
        one["column"]: (one["kind"], one["used"]) for one in found["suspects"] if one["kind"] != "telling"
    }
    assert suspects == {"closed_by": ("leak", False), "fraud_scenario": ("name", False)}
    page = analyst.client.get(location).get_data(as_text=True)
    assert "<strong>closed_by</strong> alone tells fraud" in page
    assert "<strong>fraud_scenario</strong> is named" in page
    unlabelled = checked(analyst, content(frame.drop(columns="Class")))
    assert unlabelled[1]["labels"] is None
    assert unlabelled[1]["suspects"] == []
    assert "no labels" in analyst.client.get(unlabelled[0]).get_data(as_text=True)


def test_a_needed_column_that_was_filled_in_afterwards_is_named(
    analyst: Person, worker: Worker, frame: pd.DataFrame
) -> None:
    frame["V20"] = np.where(frame["Class"] == "1", "1", "0")
    _, found = checked(analyst, content(frame))
    assert ("V20", "leak", True) in [(one["column"], one["kind"], one["used"]) for one in found["suspects"]]


def test_a_checked_file_is_screened_with_the_same_scores_as_directly(
    analyst: Person, worker: Worker, services: Services, sample: bytes
) -> None:
    direct = analyst.upload(sample).headers["Location"].rsplit("/", 1)[1]
    location, _ = checked(analyst, sample)
    screening_id = location.split("/")[2]
    answer = analyst.post(location, location)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/results/{screening_id}")
    assert settled(services, screening_id) == DONE
    np.testing.assert_array_equal(scores(analyst, screening_id), scores(analyst, direct))
    assert analyst.client.get(location).headers["Location"] == f"/results/{screening_id}"
    folder = services.settings.instance / "screenings"
    assert {path.name for path in (folder / screening_id).iterdir()} == {
        path.name for path in (folder / direct).iterdir()
    }, "nothing of the check stays"


def test_bad_rows_must_be_set_aside_aloud_before_a_checked_file_is_scored(
    analyst: Person, worker: Worker, services: Services, frame: pd.DataFrame
) -> None:
    frame.loc[4, "V7"] = "oops"
    location, _ = checked(analyst, content(frame))
    refused = analyst.post(location, location)
    assert refused.status_code == 400
    assert "Tick that they are to be set aside" in refused.get_data(as_text=True)
    screening_id = location.split("/")[2]
    assert services.screenings.state(screening_id) == CHECKED, "and the check is still there"
    assert analyst.post(location, location, set_aside="1").status_code == 303
    assert settled(services, screening_id) == DONE
    assert np.isnan(scores(analyst, screening_id)[4])


def test_a_check_is_no_past_for_other_files_and_its_screening_is(
    analyst: Person, worker: Worker, services: Services
) -> None:
    payments = analyst.client.get("/detectors/payments/sample.csv").data
    location, found = checked(analyst, payments)
    assert found["detector"] == "payments"
    context = services.settings.instance / "context"
    assert list(context.glob("*/*")) == []
    analyst.post(location, location)
    screening_id = location.split("/")[2]
    assert settled(services, screening_id) == DONE
    assert [path.stem for path in context.glob("*/*.npz")] == [screening_id]


def test_the_list_shows_what_was_checked_and_leads_to_it(
    analyst: Person, worker: Worker, services: Services, sample: bytes
) -> None:
    location, _ = checked(analyst, sample)
    page = analyst.client.get("/results").get_data(as_text=True)
    assert f'<a href="{location}">checked, not scored</a>' in page
    result = location.removesuffix("/check")
    assert analyst.client.get(result).headers["Location"] == location
    assert analyst.client.get(f"{result}.json").get_json()["state"] == "checked"
    assert analyst.client.get(f"{result}/scores.csv").status_code == 409
    assert analyst.post(f"{result}/delete", location).status_code == 303
    assert services.screenings.count("ana") == 0
    assert list((services.settings.instance / "screenings").glob("*")) == []


@pytest.mark.security(13)
def test_somebody_elses_check_does_not_exist(
    login: Callable[[str], Person], worker: Worker, services: Services, sample: bytes
) -> None:
    location, _ = checked(login("ana"), sample)
    for name in ("mia", "ada"):
        other = login(name)
        assert other.client.get(location).status_code == 404
        assert other.client.get(location, headers=JSON).status_code == 404
        assert other.client.get(location.replace("/check", "/rejected.csv")).status_code == 404
        assert other.post(location, "/upload").status_code == 404
    assert services.screenings.state(location.split("/")[2]) == CHECKED


def test_a_program_sends_reads_and_goes_on(
    analyst: Person, worker: Worker, services: Services, sample: bytes
) -> None:
    token = analyst.token("/upload")
    data = {"csrf_token": token, "check": "1", "file": (io.BytesIO(sample), "a.csv")}
    answer = analyst.client.post("/upload", data=data, headers=JSON)
    told = answer.get_json()
    assert answer.status_code == 201
    assert (told["state"], told["location"]) == ("checked", f"/results/{told['id']}/check")
    report = analyst.client.get(told["location"], headers=JSON).get_json()
    assert {"rows", "set_aside", "problems", "duplicates", "drift", "labels", "suspects"} <= set(report)
    odd = {"set_aside": "AAA", "csrf_token": token}
    assert analyst.client.post(told["location"], data=odd, headers=JSON).status_code == 400
    going = analyst.client.post(told["location"], headers={**JSON, "X-CSRFToken": token})
    assert (going.status_code, going.get_json()["location"]) == (202, f"/results/{told['id']}")
    assert settled(services, told["id"]) == DONE
    assert analyst.client.post(told["location"], data=odd, headers=JSON).status_code == 400, (
        "at whatever time"
    )
    assert analyst.client.get(told["location"], headers=JSON).status_code == 409


def test_a_file_that_cannot_be_read_is_refused_as_ever(
    analyst: Person, worker: Worker, services: Services, sample: bytes
) -> None:
    assert analyst.upload(b"Time,V1\n1,2\n", check="1").status_code == 400
    assert analyst.upload(sample + b"1,2\n", check="1").status_code == 400
    assert services.screenings.count("ana") == 0
    assert list((services.settings.instance / "screenings").glob("*")) == []


def test_columns_are_mapped_checked_and_mapped_again(
    analyst: Person,
    worker: Worker,
    renamed: bytes,  # noqa: F811 -- the fixture
    services: Services,
) -> None:
    page = analyst.upload(renamed, may_map="1", check="1").get_data(as_text=True)
    link = mapping_link(page)
    form = analyst.client.get(link).get_data(as_text=True)
    assert 'name="check" value="1"' in form
    fields = {**fields_of(form), "column-0": "V1", "column-1": "Seconds"}
    token = analyst.token(link)
    sent = {"csrf_token": token, "detector": "card", **fields, "check": "1"}
    assert analyst.client.post(link, data=sent).status_code == 303
    screening_id = link.split("/")[2]
    assert settled(services, screening_id) == CHECKED
    check = analyst.client.get(f"/results/{screening_id}/check").get_data(as_text=True)
    assert "V1 as Time" in check
    assert f'href="{link}"' in check
    again = fields_of(analyst.client.get(link).get_data(as_text=True))
    assert (again["column-0"], again["column-1"]) == ("V1", "Seconds"), "as it was said"
    fixed = {**sent, "column-0": "Seconds", "column-1": "V1"}
    assert analyst.client.post(link, data=fixed).status_code == 303
    assert settled(services, screening_id) == CHECKED
    location = f"/results/{screening_id}/check"
    assert analyst.client.get(location, headers=JSON).get_json()["mapping"]["Time"] == "Seconds"
    analyst.post(location, location)
    assert done(services, screening_id)


@pytest.mark.security(33)
def test_a_check_its_acceptance_and_its_download_are_written_down(
    login: Callable[[str], Person],
    worker: Worker,
    services: Services,
    settings: Settings,
    frame: pd.DataFrame,
) -> None:
    person = login("ana")
    frame.loc[4, "V7"] = "oops"
    location, _ = checked(person, content(frame))
    screening_id = location.split("/")[2]
    person.client.get(location.replace("/check", "/rejected.csv"))
    person.post(location, location, set_aside="1")
    (upload,) = events(settings, "upload")
    (export,) = events(settings, "export")
    (accepted,) = events(settings, "check_accepted")
    assert upload["check_first"] is True
    assert export["name"] == "rejected.csv"
    assert (accepted["user"], accepted["screening"], accepted["set_aside"]) == ("ana", screening_id, True)


def test_a_check_waits_for_its_owner_through_a_new_start(
    app: Flask, analyst: Person, worker: Worker, settings: Settings, sample: bytes
) -> None:
    from screening.web.app_factory import create_app

    location, found = checked(analyst, sample)
    later = create_app(settings)
    returned = Person(later, "ana").log_in()
    assert returned.client.get(location, headers=JSON).get_json() == found
    later.extensions["screening"].database.engine.dispose()
