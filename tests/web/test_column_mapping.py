"""A file whose columns are called otherwise: its sender says which is which, and next time nobody asks."""

from __future__ import annotations

import html
import re

import pytest
from werkzeug.test import TestResponse

from screening.uploads.questions.column_mappings import Mapping, mark
from screening.uploads.screenings import DONE, OPEN_STATES
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.waiting import wait_until


@pytest.fixture
def renamed(sample: bytes) -> bytes:
    """The sample with its amount and time called otherwise, in other places."""
    header, rows = sample.split(b"\n", 1)
    return header.replace(b"Amount", b"Betrag").replace(b"Time", b"Seconds") + b"\n" + rows


def fields_of(page: str) -> dict[str, str]:
    """What the form would send as it stands: the chosen option of each select."""
    found = {}
    for name, options in re.findall(r'<select[^>]* name="(column-\d+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', options)
        found[name] = chosen[1] if chosen else ""
    return found


def mapping_link(page: str) -> str:
    """The address of the page where columns are said, of a page that leads there."""
    found = re.search(r'href="(/results/\w+/mapping)"', page)
    assert found is not None
    return found[1]


def done(services: Services, screening_id: str) -> bool:
    """Wait until the worker's thread has finished a screening."""
    wait_until(lambda: services.screenings.state(screening_id) not in OPEN_STATES)
    return services.screenings.state(screening_id) == DONE


def test_the_refusal_offers_to_say_which_column_is_which(
    analyst: Person, worker: Worker, renamed: bytes, services: Services
) -> None:
    answer = analyst.upload(renamed, may_map="1")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert "Amount" in page
    (link,) = set(re.findall(r'href="(/results/\w+/mapping)"', page))
    form = analyst.client.get(link).get_data(as_text=True)
    fields = fields_of(form)
    assert len(fields) == 30
    assert fields["column-29"] == "Betrag"
    sent = {"csrf_token": analyst.token(link), "detector": "card", **fields, "column-0": "Seconds"}
    location = analyst.client.post(link, data=sent).headers["Location"]
    assert done(services, location.rsplit("/", 1)[1])
    result = analyst.client.get(location).get_data(as_text=True)
    assert "Betrag as Amount" in result
    assert "flagged" in result


def test_the_next_file_with_this_header_is_screened_at_once(
    analyst: Person, worker: Worker, renamed: bytes, services: Services
) -> None:
    columns = {name: name for name in services.detectors.default.contract.columns}
    header = renamed.split(b"\n", 1)[0].decode().split(",")
    services.mappings.remember(
        header, Mapping("card", {**columns, "Amount": "Betrag", "Time": "Seconds"}), "ana"
    )
    answer = analyst.upload(renamed)
    assert answer.status_code == 303
    page = analyst.client.get(answer.headers["Location"]).get_data(as_text=True)
    assert "Seconds as Time" in page
    assert "as was said by ana on 20" in page
    screening_id = answer.headers["Location"].rsplit("/", 1)[1]
    forget = f"/results/{screening_id}/mapping/forget"
    analyst.client.post(forget, data={"csrf_token": analyst.token("/upload")})
    assert services.mappings.recall(header, "ana") is None


def test_a_wrong_choice_is_said_beside_it_and_nothing_is_remembered(
    analyst: Person, worker: Worker, renamed: bytes, services: Services
) -> None:
    page = analyst.upload(renamed, may_map="1").get_data(as_text=True)
    link = mapping_link(page)
    fields = fields_of(analyst.client.get(link).get_data(as_text=True))
    sent = {
        "csrf_token": analyst.token(link),
        "detector": "card",
        **fields,
        "column-0": "",
        "column-1": "Betrag",
    }
    answer = analyst.client.post(link, data=sent)
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert "Choose a column" in page
    assert "chosen for" in page
    assert services.mappings.recall(renamed.split(b"\n", 1)[0].decode().split(","), "ana") is None


def test_programs_and_other_faults_are_refused_as_ever_and_nothing_is_kept(
    analyst: Person, worker: Worker, renamed: bytes, sample: bytes, services: Services
) -> None:
    assert analyst.upload(renamed).status_code == 400
    assert analyst.upload(sample.replace(b"Amount,", b"Time,"), may_map="1").status_code == 400
    assert services.screenings.count("ana") == 0
    assert list((services.settings.instance / "screenings").glob("*")) == []


def test_a_screening_that_does_not_wait_has_no_mapping_page(
    analyst: Person, worker: Worker, sample: bytes
) -> None:
    location = analyst.upload(sample).headers["Location"]
    assert analyst.client.get(f"{location}/mapping").status_code == 409


def test_the_order_and_the_case_of_a_header_do_not_matter() -> None:
    assert mark(["A", " b"]) == mark(["B", "a "])
    assert mark(["a", "b"]) != mark(["a", "c"])


def test_a_form_without_a_detector_is_refused(analyst: Person, worker: Worker, renamed: bytes) -> None:
    page = analyst.upload(renamed, may_map="1").get_data(as_text=True)
    link = mapping_link(page)
    fields = fields_of(analyst.client.get(link).get_data(as_text=True))
    sent = {"csrf_token": analyst.token(link), **fields, "column-0": "Seconds"}
    assert analyst.client.post(link, data=sent).status_code == 400


def test_a_long_name_is_cut_and_a_number_of_a_card_in_one_is_not_shown(
    analyst: Person, worker: Worker, renamed: bytes
) -> None:
    spoiled = renamed.replace(b"Betrag", b"Betrag 4111 1111 1111 1111", 1).replace(b"Seconds", b"S" * 5000, 1)
    page = analyst.upload(spoiled, may_map="1").get_data(as_text=True)
    (link,) = set(re.findall(r'href="(/results/\w+/mapping)"', page))
    shown = re.sub(r'value="[^"]*"', "", analyst.client.get(link).get_data(as_text=True))
    assert "Betrag ••••" in shown
    assert "4111" not in shown
    assert "S" * 40 not in shown
    assert "S" * 39 + "…" in shown


HEADER = "TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,"


def statement(names: str, *amounts: str) -> bytes:
    """Payments with the amount in other columns."""
    rows = [f"2025-01-{day:02} 07:30:44,50{day % 3},31,{amounts[day % len(amounts)]}" for day in range(1, 29)]
    return "\n".join([HEADER + names, *rows, ""]).encode()


def waiting(analyst: Person, content: bytes) -> tuple[str, str]:
    """Send a file that waits for its mapping; gives the address of the page, and the page."""
    answer = analyst.upload(content, may_map="1")
    assert answer.status_code == 400
    (link,) = set(re.findall(r'href="(/results/\w+/mapping)"', answer.get_data(as_text=True)))
    return link, html.unescape(analyst.client.get(link).get_data(as_text=True))


def map_amount(analyst: Person, link: str, value: str, **parts: str) -> TestResponse:
    names = ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID")
    sent = {f"column-{place}": name for place, name in enumerate(names)}
    chosen = {"csrf_token": analyst.token(link), "detector": "payments", **sent, "column-3": value, **parts}
    return analyst.client.post(link, data=chosen)


def test_an_amount_that_may_be_two_columns_is_shown_each_way_and_chosen(
    analyst: Person, worker: Worker, services: Services
) -> None:
    content = statement("TX_AMOUNT,grade", "12.5,D", "99,C", "7,D", "1070,D", "3,C")
    link, page = waiting(analyst, content)
    assert "grade may belong to TX_AMOUNT, which isn't certain" in page
    assert "TX_AMOUNT = TX_AMOUNT alone" in page
    assert "TX_AMOUNT = TX_AMOUNT, signed by grade" in page
    assert page.count("<dt><code>99") == 2
    assert "<dt><code>99 | C</code></dt><dd>-99</dd>" in page
    (value,) = re.findall(r'<option value="(\{[^>]*\})"', page)
    location = map_amount(analyst, link, value).headers["Location"]
    assert done(services, location.rsplit("/", 1)[1])
    page = analyst.client.get(location).get_data(as_text=True)
    assert "TX_AMOUNT was made of TX_AMOUNT, positive where grade says debit" in page
    location = analyst.upload(content).headers["Location"]
    later = analyst.client.get(f"{location}?view=receipt").get_data(as_text=True)
    assert "TX_AMOUNT and grade as TX_AMOUNT" in later
    assert "/mapping/forget" in later
    other = statement("TX_AMOUNT,grade", "12.5,A", "99,C", "7,B", "1070,D", "3,C")
    link, page = waiting(analyst, other)
    refused = analyst.client.get(link.removesuffix("/mapping")).get_data(as_text=True)
    assert "this file contradicts it: grade" in html.unescape(refused)
    assert "Forget the mapping" in page


@pytest.mark.parametrize(
    ("words", "part", "told"),
    [
        (("D", "", "D", "D", ""), "direction-blank-in", "says credit or nothing"),
        (("", "Haben", "", "", "Haben"), "direction-blank-out", "says debit or nothing"),
    ],
)
def test_what_a_blank_means_is_offered_and_chosen(
    analyst: Person, worker: Worker, services: Services, words: tuple[str, ...], part: str, told: str
) -> None:
    amounts = [f"{amount},{word}" for amount, word in zip((12.5, 99, 7, 1070, 3), words, strict=True)]
    content = statement("TX_AMOUNT,Type", *amounts)
    link, page = waiting(analyst, content)
    assert "<dt><code>99 |" in page
    (value,) = [each for each in re.findall(r'<option value="(\{[^>]*\})"', page) if part in each]
    sign = {"direction-blank-in": "blank: comes in", "direction-blank-out": "blank: leaves"}[part]
    assert f"TX_AMOUNT, signed by Type ({sign})" in page
    assert "<dd>-99</dd>" in page
    chosen = {f"part-3-{part}": "Type", "part-3-amount": "TX_AMOUNT"}
    for sent_value, parts in ((value, {}), (":parts", chosen)):
        link, _ = waiting(analyst, content)
        location = map_amount(analyst, link, sent_value, **parts).headers["Location"]
        assert done(services, location.rsplit("/", 1)[1])
        assert told in analyst.client.get(location).get_data(as_text=True)
        services.mappings.forget(content.decode().splitlines()[0].split(","), "ana")


def test_a_word_far_below_the_first_rows_is_shown_as_a_guess(
    analyst: Person, worker: Worker, services: Services
) -> None:
    header, *rows = statement("TX_AMOUNT,Type", "12.5,D", "99,D").decode().splitlines()
    later = [row.replace(",D", ",C") for row in rows]
    content = "\n".join([header, *30 * rows, *later, ""]).encode()
    link, page = waiting(analyst, content)
    assert "Type says “D” from row 1 on and “C” from row 841 on: it may belong to TX_AMOUNT" in page
    assert "A guess: look at it." in page
    assert "<dt><code>99 | C</code></dt><dd>-99</dd>" in page, "the row that told of it is shown"
    (value,) = re.findall(r'<option value="(\{[^>]*\})" selected', page)
    location = map_amount(analyst, link, value).headers["Location"]
    assert done(services, location.rsplit("/", 1)[1])
    result = analyst.client.get(location).get_data(as_text=True)
    assert "TX_AMOUNT was made of TX_AMOUNT, positive where Type says debit" in result


def test_parts_are_chosen_one_by_one(analyst: Person, worker: Worker, services: Services) -> None:
    content = statement("sum_a,sum_b", "12.5,", ",99", "7,", "1070,", ",3")
    link, page = waiting(analyst, content)
    assert 'name="part-3-debit"' in page
    assert 'name="part-0-year"' in page
    wrong = map_amount(analyst, link, ":parts", **{"part-3-debit": "sum_a"})
    assert wrong.status_code == 400
    assert "Choose money that leaves and money that comes in" in wrong.get_data(as_text=True)
    both = {"part-3-debit": "sum_a", "part-3-credit": "sum_b"}
    location = map_amount(analyst, link, ":parts", **both).headers["Location"]
    assert done(services, location.rsplit("/", 1)[1])
    page = analyst.client.get(location).get_data(as_text=True)
    assert "made of sum_a (positive: money that leaves) and sum_b (negative)" in page


@pytest.mark.parametrize(
    "value", ["{", "[]", '{"debit": "x"}', '{"date": "sum_a", "time": "sum_b"}', '{"debit": 1, "credit": []}']
)
def test_what_makes_no_amount_is_refused(
    analyst: Person, worker: Worker, services: Services, value: str
) -> None:
    link, _ = waiting(analyst, statement("sum_a,sum_b", "12.5,", ",99"))
    assert map_amount(analyst, link, value).status_code == 400
    assert services.screenings.state(link.split("/")[2]) == "failed"
