"""Pages for a class: what they show is what screening the same rows gives, without script and with bad input said."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable

import numpy as np
import pytest

from screening.settings import ROOT
from screening.teaching.board import CLASSROOM, LessonPrices
from screening.teaching.lesson import NoLesson
from screening.teaching.stream import DAYS, QUIET, Attack, StreamColumns, StreamPlan, generate
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.test_data_api import scored, sent


def places(services: Services) -> StreamColumns:
    found = StreamColumns.of(services.detectors.get("payments").contract)
    assert found is not None
    return found


def test_the_page_follows_a_row_a_moved_value_and_the_threshold(login: Callable[[str], Person]) -> None:
    ana = login("ana")
    page = ana.client.get("/detectors/payments/learn?row=1289").get_data(as_text=True)
    assert "0.9993" in page
    assert "Flagged" in page
    assert "fraud_probability" in page, "the last layer"
    assert "Probability as V14 moves" in ana.client.get("/detectors/card/learn").get_data(as_text=True), (
        "what tells most"
    )
    moved = ana.client.get("/detectors/payments/learn?row=1289&column=TX_AMOUNT&value=80").get_data(
        as_text=True
    )
    assert "0.9993 as it is in the file" in moved
    assert "Not flagged" in moved
    for threshold, caught, missed in (("0.8", 7, 3), ("0.2", 10, 0)):
        text = ana.client.get(f"/detectors/payments/learn?threshold={threshold}").get_data(as_text=True)
        assert f"{caught} caught" in text
        assert f"{missed} missed" in text


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("row=0", "no whole number from 1"),
        ("row=99999", "no whole number from 1"),
        ("row=x", "no whole number"),
        ("threshold=2", "isn&#39;t from 0 to 1"),
        ("column=TX_AMOUNT&value=much", "no number"),
        ("column=TX_AMOUNT&value=nan", "no number"),
        ("column=CUSTOMER_ID&value=3", "can&#39;t be moved"),
        ("column=TX_AMOUNT&value=1e300", "too large"),
    ],
)
def test_what_cant_be_shown_is_said_and_the_page_stays(
    login: Callable[[str], Person], query: str, word: str
) -> None:
    answer = login("ana").client.get(f"/detectors/payments/learn?{query}", headers={"Accept": "text/html"})
    text = answer.get_data(as_text=True)
    assert 400 <= answer.status_code < 500
    assert word in text
    assert "Robust scaling" in text


def test_a_plan_gives_the_same_payments_each_time_and_attacks_as_many_as_asked(services: Services) -> None:
    columns = places(services)
    plan = StreamPlan(seed=5, spikes=9, terminals=1, cards=2)
    stream = generate(plan, columns)
    assert stream.content == generate(plan, columns).content
    assert stream.content != generate(StreamPlan(seed=6, spikes=9, terminals=1, cards=2), columns).content
    rows = list(csv.DictReader(io.StringIO(stream.content.decode())))
    assert [row["TX_DATETIME"] for row in rows] == sorted(row["TX_DATETIME"] for row in rows)
    fraud = np.array([row["TX_FRAUD"] == "1" for row in rows])
    assert np.array_equal(fraud, ~stream.of(None))
    assert int(stream.of(Attack.SPIKE).sum()) in range(7, 10), (
        "one may fall on a payment that is fraud already"
    )
    first = min(row["TX_DATETIME"] for row, each in zip(rows, fraud, strict=True) if each)
    assert first >= f"2025-03-{3 + QUIET:02d}"
    assert (
        len({row["TERMINAL_ID"] for row, each in zip(rows, stream.of(Attack.TERMINAL), strict=True) if each})
        == 1
    )
    assert (
        len({row["CUSTOMER_ID"] for row, each in zip(rows, stream.of(Attack.CARD), strict=True) if each}) <= 2
    )
    assert len({row["TX_DATETIME"][:10] for row in rows}) == DAYS
    assert not generate(StreamPlan(seed=5, spikes=0, terminals=0, cards=0), columns).of(Attack.CARD).any()
    for wrong in ({"spikes": 1000}, {"terminals": -1}, {"seed": 10**6}):
        with pytest.raises(NoLesson):
            StreamPlan(**wrong)


def test_the_board_counts_what_screening_the_same_file_flags(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    plan, prices = StreamPlan(seed=7, spikes=10, terminals=1, cards=3), LessonPrices(review=3.0, stopped=20.0)
    stream = generate(plan, places(services))
    rows = scored(ana, sent(ana, services, stream.content))
    flagged = [row for row in rows if row["flagged"] == "true"]
    missed = [row for row in rows if row["flagged"] == "false" and row["TX_FRAUD"] == "1"]
    stopped = {row["CUSTOMER_ID"] for row in flagged if row["TX_FRAUD"] == "0"}
    total = sum(float(row["TX_AMOUNT"]) for row in missed) + 3.0 * len(flagged) + 20.0 * len(stopped)
    cost = CLASSROOM.scored(services.detectors.get("payments"), plan).cost(0.8, prices)
    assert (cost.reviews, cost.missed, cost.stopped) == (len(flagged), len(missed), len(stopped))
    assert cost.total == pytest.approx(total)
    assert flagged
    query = "seed=7&spikes=10&terminals=1&cards=3&threshold=0.8&review=3&stopped=20"
    page = ana.client.get(f"/detectors/payments/classroom?{query}").get_data(as_text=True)
    assert f"{total:,.2f}" in page
    kept = re.search(r'name="rounds" value="([^"]+)"', page)
    assert kept is not None
    assert kept[1] == "7-10-1-3-0.8"
    again = ana.client.get(
        f"/detectors/payments/classroom?seed=8&rounds={kept[1]}&review=3&stopped=20"
    ).get_data(as_text=True)
    assert "Rounds before" in again
    assert f"{total:,.2f}" in again


def test_bad_numbers_and_odd_rounds_break_nothing(login: Callable[[str], Person]) -> None:
    ana = login("ana")
    for query, word in (
        ("spikes=1000", "no number from 0 to 40"),
        ("review=-1", "no price"),
        ("threshold=x", "no number"),
    ):
        answer = ana.client.get(f"/detectors/payments/classroom?{query}", headers={"Accept": "text/html"})
        assert answer.status_code == 400
        assert word in answer.get_data(as_text=True)
    odd = "1-2-3,a-b-c-d-e,1-999-1-1-0.5,1-1-1-1-9,1-1-1-1-.,,²-1-1-1-1"
    assert ana.client.get(f"/detectors/payments/classroom?rounds={odd}").status_code == 200


def test_only_detectors_that_fit_have_a_classroom(login: Callable[[str], Person]) -> None:
    ana = login("ana")
    for name in ("card", "ecommerce"):
        assert ana.client.get(f"/detectors/{name}/classroom").status_code == 404
        assert "Attack classroom" not in ana.client.get(f"/detectors/{name}/learn").get_data(as_text=True)
    assert ana.client.get("/detectors/nothing/learn").status_code == 404
    assert (ROOT / "docs" / "teaching.md").is_file()
