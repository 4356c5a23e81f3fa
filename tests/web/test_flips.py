"""Which rows flip between two thresholds or two detectors: counted against the files' own scores."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import Any

from flask import Flask

from screening.infra.audit.log import AuditLog
from screening.settings import Settings
from screening.uploads.upload_folder import UploadFolder
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.second_detector import second_detector
from tests.web.test_data_api import SHOP, scored, sent, wait_until_entered
from tests.web.test_explore import page, words

FLIPS = re.compile(r"([\d,]+) of ([\d,]+) rows? flip")


def chances(person: Person, screening: str) -> list[float]:
    return [float(row["fraud_probability"]) for row in scored(person, screening)]


def linked(text: str, title: str) -> list[str]:
    start = text.index(f'<h2 id="{title}"')
    return re.findall(r'href="/decisions/([\w-]+)"', text[start : text.index("</section>", start)])


def number(row: str) -> int:
    return int(row.rpartition("-")[2][4:], 16)


def test_between_two_thresholds_rows_money_and_labels_are_those_of_the_file(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    screening = sent(ana, services, SHOP)
    rows = scored(ana, screening)
    below = sorted(
        (each for each in chances(ana, screening) if each < services.settings.threshold), reverse=True
    )
    low = round(below[20], 4)
    flipped = [
        place
        for place, row in enumerate(rows, 1)
        if low <= float(row["fraud_probability"]) < services.settings.threshold
    ]
    assert 15 < len(flipped) < 30
    address = f"/explore/flips?screening={screening}&other_threshold={low}"
    text = page(ana, address)
    assert FLIPS.search(words(text)).groups() == (str(len(flipped)), f"{len(rows):,}")  # type: ignore[union-attr]
    assert sorted(map(number, linked(text, "gained-title"))) == flipped
    assert linked(text, "lost-title") == []
    frauds = sum(rows[place - 1]["class"] == "1" for place in flipped)
    assert f"Caught fraud +{frauds}" in words(text)
    assert f"False alarms +{len(flipped) - frauds}" in words(text)
    money = sum(float(rows[place - 1]["purchase_value"]) for place in flipped)
    assert f"{money:,.2f}".removesuffix(".00") in words(text)
    back = page(
        mia,
        f"/explore/flips?detector=ecommerce&threshold={low}&other_threshold={services.settings.threshold}",
    )
    assert sorted(map(number, linked(back, "lost-title"))) == flipped, (
        "the other way round, over all that mia sees"
    )


def test_between_two_detectors_of_one_file(
    app: Flask, login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings
) -> None:
    ana, mia, bo = login("ana"), login("mia"), Person(app, "bo").sign_up().log_in()
    second_detector(settings.instance, "ecommerce")
    services.detectors.approve("second", "mia", confirmed=True)
    first = sent(ana, services, SHOP, detector="ecommerce")
    address = f"/explore/flips?screening={first}&other=second"
    text = words(page(ana, address, 409))
    assert "second hasn't scored these rows" in text
    assert "Screen the same file with second, too" in text
    second = sent(ana, services, SHOP, detector="second")
    threshold = services.settings.threshold
    pairs = list(zip(chances(ana, first), chances(ana, second), strict=True))
    gained = [place for place, (one, other) in enumerate(pairs, 1) if one < threshold <= other]
    lost = [place for place, (one, other) in enumerate(pairs, 1) if other < threshold <= one]
    assert gained or lost
    for person in (ana, mia):
        text = page(person, address)
        assert sorted(map(number, linked(text, "gained-title"))) == gained
        assert sorted(map(number, linked(text, "lost-title"))) == lost
        assert "has scored the same file" in words(text)
    page(bo, address, 404)


def test_one_click_has_the_kept_file_scored_by_the_other_detector_and_comes_back_to_the_comparison(
    app: Flask, login: Callable[[str], Person], worker: Worker, services: Services, settings: Settings
) -> None:
    ana, mia, bo = login("ana"), login("mia"), Person(app, "bo").sign_up().log_in()
    second_detector(settings.instance, "ecommerce")
    services.detectors.approve("second", "mia", confirmed=True)
    first = sent(ana, services, SHOP, detector="ecommerce")
    address = f"/explore/flips?screening={first}&other=second"
    assert "Screen it with second" in page(ana, address, 409)
    assert "who can have it screened" in words(page(mia, address, 409))
    for person in (mia, bo):
        assert (
            person.post("/explore/flips/screen", address, screening=first, other="second").status_code == 404
        )
    given = {"screening": first, "detector": "ecommerce", "other": "second", "other_threshold": "0.5"}
    back = ana.post("/explore/flips/screen", address, **given)
    assert back.status_code == 303
    assert back.location.startswith("/explore/flips?")
    assert "other_threshold=0.5" in back.location
    kept = services.screenings.get(first)
    assert kept is not None
    twin = services.screenings.twin(kept, "second")
    assert twin is not None
    assert (twin.sha256, twin.filename, twin.owner) == (kept.sha256, kept.filename, "ana")
    wait_until_entered(services, twin.id)
    text = words(page(ana, back.location))
    assert "second has scored the same file, too" in text
    assert FLIPS.search(text)
    assert chances(ana, twin.id) != chances(ana, first)
    input_of = [UploadFolder(settings.instance, one).input.read_bytes() for one in (first, twin.id)]
    assert input_of[0] == input_of[1]
    told = [json.loads(line) for line in AuditLog(settings.instance).path.read_text().splitlines()]
    (event,) = [one for one in told if one["event"] == "screened_again"]
    assert (event["screening"], event["of"], event["detector"]) == (twin.id, first, "second")


def test_while_it_is_scored_nobody_asks_twice_and_a_file_that_is_gone_is_said(
    login: Callable[[str], Person], services: Services, settings: Settings
) -> None:
    ana = login("ana")
    second_detector(settings.instance, "ecommerce")
    services.detectors.approve("second", "mia", confirmed=True)
    working = Worker(settings, services.screenings, services.detectors)
    thread = threading.Thread(target=working.loop)
    thread.start()
    try:
        first = sent(ana, services, SHOP, detector="ecommerce")
    finally:
        working.stop()
        thread.join(timeout=30)
    address = f"/explore/flips?screening={first}&other=second"
    given = {"screening": first, "other": "second"}
    assert ana.post("/explore/flips/screen", address, **given).status_code == 303
    text = words(page(ana, address, 409))
    assert "second scores these rows just now" in text
    assert "See how far it is" in text
    assert "Screen it with second" not in text
    again = ana.post("/explore/flips/screen", address, **given)
    assert again.status_code == 409
    assert "second scores this file just now" in again.text
    UploadFolder(settings.instance, first).input.unlink()
    other = f"/explore/flips?screening={first}&other=payments"
    assert "The file isn't kept any more" in words(page(ana, other, 409))
    assert ana.post("/explore/flips/screen", other, screening=first, other="payments").status_code == 409


def test_what_can_not_be_compared_is_said(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    assert "Nothing to compare" in words(page(ana, "/explore/flips"))
    cases: dict[str, Any] = {
        "threshold=2": (400, "“threshold” can't be used"),
        "other=nobody": (404, "There is no detector “nobody”"),
        "screening=ffff": (404, "There is no such screening"),
        "from=yesterday": (400, "“from” can't be used"),
        "other=payments": (409, "payments hasn't scored these rows"),
    }
    for query, (status, said) in cases.items():
        assert said in words(page(ana, f"/explore/flips?{query}", status)), query
    assert "1 problem" not in page(ana, "/explore/flips?threshold=2", 400), "a table says nothing more of it"
    assert "No rows" in words(page(ana, "/explore/flips?other_threshold=0.5"))
