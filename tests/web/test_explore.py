"""The pages over the ledger: home, search, one decision, one customer or device; each figure counted once more."""

from __future__ import annotations

import html
import math
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from screening.explore.overview import overview
from screening.explore.who import who_of
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder
from screening.web.services import Services
from screening.web.views.decisions import level_of
from screening.web.views.formatting import times
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.test_data_api import PAYMENTS, SHOP, asked, scored, sent
from tests.web.test_decisions_are_kept import detect, post, shop


def page(person: Person, url: str, status: int = 200) -> str:
    answer = person.client.get(url)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def words(text: str) -> str:
    """What a page says, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def kpi(text: str, name: str) -> str:
    found = re.search(rf">{name}</abbr></dt>\s*<dd class=\"kpi-value\">([^<]*)", text)
    assert found, name
    return found[1].strip()


def test_the_figures_of_the_home_page_are_those_of_the_files(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    assert "Nothing screened yet" in page(ana, "/")
    first = re.findall(r'name="sample" value="(\w+)"><button class="btn btn-primary"', page(ana, "/"))
    assert first == ["payments"], "a newcomer sees whom rows are about"
    assert kpi(page(ana, "/"), "Scored") == "0"
    rows = {"ana": scored(ana, sent(ana, services, PAYMENTS)), "mia": scored(mia, sent(mia, services, SHOP))}

    def figures(found: list[dict[str, str]]) -> dict[str, str]:
        flagged = [row for row in found if row["flagged"] == "true"]
        money = sum(Decimal(row.get("TX_AMOUNT") or row["purchase_value"]) for row in flagged)
        return {
            "Scored": f"{len(found):,}",
            "Flagged": f"{len(flagged):,}",
            "Amount at risk": f"{money:,.2f}",
        }

    for person, seen in ((ana, rows["ana"]), (mia, rows["ana"] + rows["mia"])):
        text = page(person, "/")
        assert {name: kpi(text, name) for name in figures(seen)} == figures(seen)
    assert "Your decisions" in words(page(ana, "/"))
    assert "Everybody's decisions" in words(page(mia, "/"))


def test_days_and_those_before_are_counted_apart(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    sent(login("ana"), services, PAYMENTS)
    ask, count = services.ledger.questions, PAYMENTS.count(b"\n") - 1
    today = datetime.now(UTC)
    for later, now, before in ((0, count, 0), (29, count, 0), (30, 0, count), (59, 0, count), (60, 0, 0)):
        found = overview(ask, "ana", today + timedelta(days=later))
        assert (found.now.scored, found.before.scored) == (now, before), later
        assert sum(day.scored for day in found.days) == now
        assert len(found.days) == 30


def test_an_id_leads_to_what_has_it(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    screening = sent(ana, services, SHOP, "shop of may.csv")
    decision = asked(ana, "/transactions", limit="1")["transactions"][0]
    device = decision["device"]

    def leads(person: Person, wanted: str) -> str:
        answer = person.client.get("/search", query_string={"q": wanted})
        return str(answer.headers.get("Location", answer.status_code))

    assert leads(ana, screening) == f"/results/{screening}"
    assert leads(ana, f" {decision['id']} ") == f"/decisions/{decision['id']}"
    assert leads(ana, device) == leads(ana, device.lower()) == f"/entities/device/{device}"
    assert leads(mia, screening) == "200", (
        "somebody else's screening is not found, even by those who see all rows"
    )
    assert leads(mia, device) == f"/entities/device/{device}"
    assert "shop of may.csv" in page(ana, "/search?q=OF+MAY")
    assert "shop of may.csv" not in page(mia, "/search?q=OF+MAY")
    assert "Nothing has this id" in page(ana, "/search?q=%25")
    assert "Nothing has this id" not in page(ana, "/search?q=+")
    assert "&lt;b&gt;" in page(ana, "/search?q=<b>")


@pytest.mark.security(25)
def test_a_card_number_that_is_searched_for_is_not_shown_again(login: Callable[[str], Person]) -> None:
    text = page(login("ana"), "/search?q=4111111111111111")
    assert "4111111111111111" not in text


def test_what_one_customer_did_is_what_the_file_says(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, dora = login("ana"), login("mia")
    found = scored(ana, sent(ana, services, PAYMENTS))
    busiest, count = Counter(row["CUSTOMER_ID"] for row in found).most_common(1)[0]
    mine = [row for row in found if row["CUSTOMER_ID"] == busiest]
    text = page(ana, f"/entities/customer/{busiest}")
    flagged = sum(row["flagged"] == "true" for row in mine)
    total = sum(Decimal(row["TX_AMOUNT"]) for row in mine)
    said = words(text)
    assert f"Transactions {count}" in said
    assert f"Flagged {flagged} " in said
    assert f"{total:,.2f}" in said
    terminals = Counter(row["TERMINAL_ID"] for row in mine)
    top = min(terminals.items(), key=lambda item: (-item[1], item[0]))
    assert f'href="/entities/terminal/{top[0]}"' in text
    assert len(re.findall(r'<th [^>]*scope="row"><a href="/decisions/', text)) == min(count, 50)
    with_whom = re.findall(
        r'data-label="With"[^>]*><span class="soft">Terminal</span> <code>(\d+)</code></td>', text
    )
    assert len(with_whom) == min(count, 50)
    assert set(with_whom) <= set(terminals), "each row says with whom"
    assert (
        f"/entities/customer/{busiest}" in page(dora, f"/search?q={busiest}")
        or dora.client.get(f"/search?q={busiest}").headers["Location"]
    )


def test_nobody_sees_what_others_customers_did_unless_they_may(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    device = next(row["device_id"] for row in scored(login("mia"), sent(login("mia"), services, SHOP)))
    ana = login("ana")
    assert "No decision here" in page(ana, f"/entities/device/{device}", 404)
    assert "no such kind" in page(ana, "/entities/planet/1", 404)
    page(login("otto"), f"/entities/device/{device}")


def test_a_row_shows_every_cell_its_neighbours_and_what_its_customer_did_before(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    screening = sent(ana, services, PAYMENTS)
    found = scored(ana, screening)
    number = next(at for at, row in enumerate(found, start=1) if row["flagged"] == "true")
    row = found[number - 1]
    text = page(ana, f"/results/{screening}/rows/{number}")
    said = words(text)
    assert f"Row {number:,}: flagged" in said
    (rail,) = re.findall(r'<a href="[^"]*" title="(\w+)" aria-current', text)
    assert rail == "Screenings", "one section is the open one"
    for name in ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD"):
        assert f"<dt>{name}</dt><dd>{row[name]}</dd>" in text
    assert f'href="/results/{screening}/rows/{number - 1}" rel="prev"' in text
    assert f'href="/results/{screening}/rows/{number + 1}" rel="next"' in text
    reasons = page(ana, f"/results/{screening}/flagged.csv")
    assert html.unescape(re.findall(r"<li><span>([^<]+)</span>", text.split("why-title", 1)[1])[0]) in reasons
    before = sum(
        each["CUSTOMER_ID"] == row["CUSTOMER_ID"] and each["TX_DATETIME"] <= row["TX_DATETIME"]
        for each in found
    )
    assert f"Its last {min(before, 20)} transactions up to this one" in said
    decision = asked(
        ana, "/transactions", screening=screening, entity=f"customer:{row['CUSTOMER_ID']}", limit="1000"
    )
    (own,) = (each["id"] for each in decision["transactions"] if each["row"] == number)
    assert own in said
    assert ana.client.get(f"/decisions/{own}").headers["Location"] == f"/results/{screening}/rows/{number}"


def test_reasons_have_bars_as_long_as_their_part_in_the_probability(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    screening = sent(ana, services, PAYMENTS)
    found = ScreeningOutcome(UploadFolder(services.settings.instance, screening), 0.8)
    assert found.effects.keys() == found.reasons.keys()
    row, effects = max(found.effects.items(), key=lambda each: len(each[1]))
    text = page(ana, f"/results/{screening}/rows/{row + 1}")
    widths = [float(width) for width in re.findall(r'class="bar-part" width="([\d.]+)"', text)]
    assert widths == pytest.approx([100 * effect / max(effects) for effect in effects], abs=0.06)
    assert re.findall(r"odds × ([\d,.]+)", text) == [times(math.exp(effect)) for effect in effects]
    (found.canonical.parent / "effects.json").unlink()  # as those of an earlier version
    before = page(ana, f"/results/{screening}/rows/{row + 1}")
    assert "odds ×" not in before
    assert found.reasons[row][0] in html.unescape(before)


def test_the_reasons_of_a_decision_of_the_api_get_their_bars_from_the_same_detector(
    login: Callable[[str], Person], services: Services
) -> None:
    ana = login("ana")
    answer = next(found for row in shop(1500) for found in detect(ana, [row]) if found["reasons"])
    text = page(ana, f"/decisions/{answer['id']}")
    assert text.count("odds ×") == len(answer["reasons"])
    for reason in answer["reasons"]:
        assert reason in html.unescape(text)


def test_little_past_is_said_with_what_it_costs_by_the_files_own_labels(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    screening = sent(ana, services, PAYMENTS)
    rows = scored(ana, screening)
    said = words(page(ana, f"/results/{screening}").split('id="missing-past"')[1].split("</div>")[0])
    for column in ("CUSTOMER_ID", "TERMINAL_ID"):
        count = len({row[column] for row in rows})
        assert f"{count:,} of {count:,} values of {column}" in said
    frauds = [row for row in rows if row["TX_FRAUD"] == "1"]
    caught = sum(row["flagged"] == "true" for row in frauds)
    assert f"{caught} of {len(frauds)} were caught of those without a past" in said
    begins = datetime.fromisoformat(min(row["TX_DATETIME"] for row in rows))
    definition = services.detectors.get("payments").vectorizer.definition
    assert definition is not None
    since = begins - timedelta(seconds=definition.horizon)
    assert f"Upload the transactions from {since:%-d %b %Y} to before {begins:%-d %b %Y} first" in said


def test_a_file_whose_customers_are_known_from_the_one_before_lacks_nothing(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    head, *lines = PAYMENTS.splitlines(keepends=True)
    half = len(lines) // 2
    ana.upload(head + b"".join(lines[:half]))
    later = sent(ana, services, head + b"".join(lines[half:]), "later.csv")
    assert 'id="missing-past"' not in page(ana, f"/results/{later}")


def test_rows_that_arent_there_and_those_of_others_are_not_found(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia = login("ana"), login("mia")
    screening = sent(ana, services, SHOP)
    last = SHOP.count(b"\n") - 1
    assert 'rel="next"' not in page(ana, f"/results/{screening}/rows/{last}")
    assert 'rel="prev"' not in page(ana, f"/results/{screening}/rows/1")
    for number in (0, last + 1, 10**12):
        page(ana, f"/results/{screening}/rows/{number}", 404)
    page(mia, f"/results/{screening}/rows/1", 404)
    decision = asked(mia, "/transactions", limit="1")["transactions"][0]["id"]
    assert "All columns" not in page(mia, f"/decisions/{decision}"), (
        "the file is ana's; the ledger's row may be seen"
    )
    page(login("otto"), f"/decisions/{decision}")
    page(ana, "/decisions/not-an-id", 404)


def test_a_decision_of_the_api_has_a_page_with_its_values_and_its_label(
    login: Callable[[str], Person],
) -> None:
    ana = login("ana")
    (row,) = shop(1)
    (answer,) = detect(ana, [row])
    post(ana, "/labels", {"labels": [{"id": answer["id"], "label": "fraud"}]})
    said = words(page(ana, f"/decisions/{answer['id']}"))
    assert "Known as fraud" in said
    assert f"device_id {row['device_id']}" in said
    assert "All values" in said


def test_an_unreadable_row_says_why_it_was_not_scored(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    lines = PAYMENTS.splitlines(keepends=True)
    lines[3] = re.sub(rb"(\d+\.\d+)(,[01]\s*)$", rb"much\2", lines[3])
    answer = ana.upload(b"".join(lines), set_aside="1")
    screening = answer.headers["Location"].split("/")[2]
    said = words(page(ana, f"/results/{screening}/rows/3"))
    assert "Row 3: not scored" in said
    assert "This row was not scored: TX_AMOUNT:" in said
    overview_of = page(ana, f"/results/{screening}?view=overview")
    assert "1 unreadable row" in overview_of
    assert f'href="/results/{screening}/rows/3"' in overview_of


def test_the_views_of_a_screening(login: Callable[[str], Person], worker: Worker, services: Services) -> None:
    ana = login("ana")
    screening = sent(ana, services, PAYMENTS)
    found = scored(ana, screening)
    flagged = sorted(
        (
            (float(row["fraud_probability"]), at)
            for at, row in enumerate(found, 1)
            if row["flagged"] == "true"
        ),
        key=lambda item: -item[0],
    )

    def rows(query: str) -> list[int]:
        text = page(ana, f"/results/{screening}{query}")
        return [
            int(number) for number in re.findall(r'class="row-link" href="/results/\w+/rows/(\d+)"', text)
        ]

    assert rows("") == [at for _, at in flagged]
    assert rows("?view=queue&sort=row&order=asc") == sorted(at for _, at in flagged)
    assert rows("?view=rows") == list(range(1, 51))
    assert rows("?page=2") == list(range(51, 101)), "an address of before there were views"
    assert rows("?view=nothing") == rows("")
    terminal = found[0]["TERMINAL_ID"]
    wanted = [
        at
        for at, row in enumerate(found, 1)
        if terminal in (row["TERMINAL_ID"], row["CUSTOMER_ID"], row["TRANSACTION_ID"])
    ]
    assert rows(f"?view=rows&q={terminal}") == wanted[:50]
    assert rows("?view=rows&q=no+such+cell") == []
    at_risk = sum(Decimal(found[at - 1]["TX_AMOUNT"]) for _, at in flagged)
    for view, word in (
        ("queue", "Strongest reason"), ("rows", "Find a cell"), ("overview", "Score distribution"),
        ("performance", "Against your labels"), ("receipt", "File's SHA-256"),
    ):  # fmt: skip
        said = words(page(ana, f"/results/{screening}?view={view}"))
        assert word in said
        assert f"Amount at risk {at_risk:,.2f}" in said
        assert f"Flagged {len(flagged)} " in said
    for row_words in ("Legitimate", "Set aside"):
        assert row_words not in page(ana, f"/results/{screening}?view=rows")


def test_a_file_without_labels_says_what_labels_would_bring(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    without = b"\n".join(line.rpartition(b",")[0] for line in PAYMENTS.splitlines()) + b"\n"
    screening = sent(login("ana"), services, without)
    assert "TX_FRAUD" in page(login("ana"), f"/results/{screening}?view=performance")


@pytest.mark.parametrize(
    ("probability", "level"),
    [
        (None, "none"), (1, "high"), (0.8, "high"), (0.7999, "medium"),
        (0.2, "medium"), (0.1999, "low"), (0, "low"),
    ],
)  # fmt: skip
def test_risk_has_three_levels(probability: float | None, level: str) -> None:
    assert level_of(probability, 0.8) == level


def test_the_columns_that_say_who_are_ids_and_entities() -> None:
    header = [
        "TX_TIME",
        "Transaction ID",
        "order status",
        "CUSTOMER_ID",
        "shop",
        "device_id",
        "ip",
        "iban",
        "amount",
    ]
    assert who_of(header, {}, None) == [
        ("id", "Transaction ID"), ("customer", "CUSTOMER_ID"), ("account", "iban"), ("merchant", "shop"),
    ]  # fmt: skip
    assert who_of(["Time", "V1", "Amount"], {}, None) == []
