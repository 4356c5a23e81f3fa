"""The dashboard: its figures are the data API's and the files', each mark leads to its rows, nobody else sees them."""

from __future__ import annotations

import csv
import hashlib
import html
import importlib.util
import io
import itertools
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from benchmarks.ledger import month_of
from screening.explore.board import AMOUNT_EDGES, SCORE_EDGES, board
from screening.explore.countries import country, on_map
from screening.ledger.filters import DecisionFilter, TrendInterval
from screening.ledger.rows import table_of
from screening.ledger.tables import FILE
from screening.settings import ROOT
from screening.uploads.screenings import UploadRequest, new_id
from screening.web.pages.explore.dashboard import FRAUD_TYPES, PLOTLY, POLICY, make_ready
from screening.web.services import Services
from screening.web.views.dashboard.app import dash_app
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.test_data_api import PAYMENTS, SHOP, asked, scored, sent
from tests.web.test_explore import words

UPDATE = "/dashboard/_dash-update-component"
PANELS = ("trends", "geography", "types", "devices", "browsers", "amounts", "scores", "detectors")
FILLED = [
    ("status", "children"),
    ("summary", "children"),
    ("board", "data"),
    *((f"{name}-notes", "children") for name in PANELS),
]
PLACES = ("DE", "Germany", "US", "SG", "Atlantis", "")
TYPES = (*FRAUD_TYPES, "Courier scam", "")
BROWSERS = ("Chrome", "<b>Fire</b>fox", "")


def wide(currencies: tuple[str, ...] = ("EUR",)) -> bytes:
    """The sample of payments with columns that no detector needs: countries, types of fraud, browsers, currencies."""
    chance = random.Random(4)
    rows = list(csv.reader(io.StringIO(PAYMENTS.decode())))
    kept = io.StringIO()
    writer = csv.writer(kept, lineterminator="\n")
    writer.writerow([*rows[0], "country", "fraud_type", "browser", "device_id", "currency"])
    for row in rows[1:]:
        more = [chance.choice(given) for given in (PLACES, TYPES, BROWSERS)]
        device = f"D{int(chance.paretovariate(0.7)) % 40}"
        writer.writerow([*row, *more, device, chance.choice(currencies)])
    return kept.getvalue().encode()


def token(person: Person) -> str:
    found = re.search(r'data-token="([^"]+)"', person.client.get("/dashboard/").get_data(as_text=True))
    assert found
    return found[1]


def body(search: str) -> dict[str, Any]:
    return {
        "output": ".." + "...".join(f"{name}.{prop}" for name, prop in FILLED) + "..",
        "outputs": [{"id": name, "property": prop} for name, prop in FILLED],
        "inputs": [{"id": "address", "property": "search", "value": search}],
        "changedPropIds": ["address.search"],
        "parsedChangedPropsIds": ["address.search"],
    }


def shown(person: Person, search: str = "") -> dict[str, Any]:
    """What Dash is told for an address, by the id of what it fills; each panel's figure as ``-data``, and its table."""
    answer = person.client.post(UPDATE, json=body(search), headers={"X-CSRFToken": token(person)})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    response: dict[str, dict[str, Any]] = answer.get_json()["response"]
    found = {name: next(iter(parts.values())) for name, parts in response.items()}
    return {**found, **panels_of(found["board"])}


def panels_of(board: dict[str, Any] | None) -> dict[str, Any]:
    found = {}
    for name in PANELS:
        panel = board[name] if board else {"graph": None, "rows": []}
        found[f"{name}-data"] = panel["graph"] and panel["graph"]["props"]["figure"]
        found[f"{name}-table"] = panel["rows"]
    return found


def text_of(part: Any) -> str:
    """The text of what Dash builds."""
    if part is None:
        return ""
    if isinstance(part, list):
        return " ".join(filter(None, map(text_of, part)))
    return text_of(part["props"].get("children")) if isinstance(part, dict) else str(part)


def found_in(part: Any, kind: str) -> list[Any]:
    if isinstance(part, list):
        return [one for each in part for one in found_in(each, kind)]
    if not isinstance(part, dict):
        return []
    own = [part] if part.get("type") == kind else []
    return own + found_in(part.get("props", {}).get("children"), kind)


def text_in(cell: str | list[str]) -> str:
    """The text of a table's cell, which may have a link."""
    return cell if isinstance(cell, str) else cell[0]


def rows_of(table: list[Any]) -> dict[str, list[str]]:
    """The rows of a panel's table by their first cell."""
    return {text_in(row[0]): [text_in(cell) for cell in row[1:]] for row in table}


def kpis(found: dict[str, Any]) -> dict[str, str]:
    return {text_of(found_in(each, "Dt")): text_of(found_in(each, "Dd")[0]) for each in found["summary"]}


def marks(figure: dict[str, Any], trace: int = 0) -> list[tuple[int, str | None]]:
    """What each mark of a trace counts, and where it leads."""
    one = figure["data"][trace]
    values = one["z"] if "z" in one else one["x"] if one.get("orientation") == "h" else one["y"]
    return list(zip(values, one["customdata"], strict=True))


def test_the_figures_are_those_of_the_data_api_and_of_the_file(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    rows = scored(ana, sent(ana, services, wide()))
    flagged = [row for row in rows if row["flagged"] == "true"]
    found = shown(ana)
    assert text_of(found["status"]) == ""
    money = [sum(Decimal(row["TX_AMOUNT"]) for row in some) for some in (rows, flagged)]
    confirmed = sum(row["TX_FRAUD"] == "1" for row in rows)
    assert kpis(found) == {
        "Transactions": f"{len(rows):,}",
        "Fraud cases": f"{len(flagged):,}",
        "Amount": f"{money[0]:,.2f} EUR",
        "Amount of fraud cases": f"{money[1]:,.2f} EUR",
        "Flagged": f"{len(flagged):,}",
        "Confirmed fraud": f"{confirmed:,}",
    }
    totals = asked(ana, "/summary")
    assert (totals["total_transactions"], totals["total_fraud_cases"]) == (len(rows), len(flagged))

    def counted(column: str) -> dict[str, tuple[int, int]]:
        cases = Counter(row[column] for row in flagged if row[column])
        return {
            name: (count, cases[name]) for name, count in Counter(row[column] for row in rows).items() if name
        }

    for panel, column, url, key in (
        ("types", "fraud_type", "/fraud_types", "fraud_type"),
        ("browsers", "browser", "/fraud_browsers", "browser"),
        ("devices", "device_id", "/fraud_devices", "device_id"),
        ("geography", "country", "/fraud_geography", "country"),
    ):
        said = asked(ana, url)
        assert {each[key]: (each["transactions"], each["fraud_cases"]) for each in said} == counted(column)
        table = rows_of(found[f"{panel}-table"])
        assert len(table) == min(len(said), 12)
        for each in said[: len(table)]:
            known = country(each[key]) if panel == "geography" else None
            name = f"{known.name} ({each[key]})" if known and known.name != each[key] else each[key]
            cells = table[name]
            assert cells[:2] == [f"{each['transactions']:,}", f"{each['fraud_cases']:,}"]
            assert cells[3:] == [f"{each['amount']:,.2f} EUR", f"{each['fraud_amount']:,.2f} EUR"]
    days = Counter(row["TX_DATETIME"][:10] for row in rows)
    trend = found["trends-data"]["data"][0]
    assert dict(zip((x[:10] for x in trend["x"]), trend["y"], strict=True)) == days
    assert [count for count, _ in marks(found["detectors-data"])] == [len(rows)]
    assert sum(count for count, _ in marks(found["scores-data"])) == len(rows)
    assert sum(count for count, _ in marks(found["scores-data"], 1)) == len(flagged)
    for low, high, (count, _) in zip(
        SCORE_EDGES, [*SCORE_EDGES[1:], 2.0], marks(found["scores-data"]), strict=True
    ):
        assert count == sum(low <= float(row["fraud_probability"]) < high for row in rows)
    amounts = [float(row["TX_AMOUNT"]) for row in rows]
    bins = {low: count for low, (count, _) in zip(AMOUNT_EDGES, marks(found["amounts-data"]), strict=False)}
    for low, high in itertools.pairwise(AMOUNT_EDGES):
        assert bins.get(low, 0) == sum(low <= amount < high for amount in amounts), low


@pytest.mark.parametrize(
    "search",
    [
        "",
        "?basis=confirmed",
        "?fraud_type=Identity+theft&interval=week",
        "?from=2025-01-05&to=2025-01-09&interval=hour",
    ],
)
def test_every_mark_leads_to_a_list_of_as_many_rows(
    search: str, login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    sent(ana, services, wide(("EUR", "JPY", "")))
    found = shown(ana, search)
    tried = 0
    for name in PANELS:
        figure = found[f"{name}-data"]
        for trace in range(len(figure["data"]) if name != "geography" else 0):
            for count, target in marks(figure, trace)[-25:]:
                assert target is not None
                query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
                api = asked(ana, "/summary", **{key: query[key] for key in query if key in {
                    "from", "to", "detector", "fraud_type", "country", "source", "basis"}})  # fmt: skip
                if count and trace == 0 and tried % 7 == 0:
                    text = words(ana.client.get(target).get_data(as_text=True))
                    assert f"Transactions {count:,} " in text, target
                rows = asked(ana, "/transactions", limit="1000", **query)["transactions"]
                assert len(rows) == min(count, 1000), (name, target)
                assert api["total_transactions"] >= count
                tried += 1
    assert tried > 20
    for name in PANELS:
        linked = [cell for row in found[f"{name}-table"] for cell in row if isinstance(cell, list)]
        assert linked
        assert all(target.startswith("/explore/transactions?") for _, target in linked)


def test_countries_are_those_that_the_ledger_means_and_none_is_dropped(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    rows = scored(ana, sent(ana, services, wide()))
    counts = Counter(row["country"] for row in rows)
    found = shown(ana)
    figure = found["geography-data"]["data"][0]
    assert set(figure["locations"]) == {"DEU", "USA"}
    place = figure["locations"].index("DEU")
    assert f"{counts['DE'] + counts['Germany']:,} transactions" in figure["hovertext"][place]
    assert figure["customdata"][place] == "#geography-table", "two spellings: the table has a link for each"
    notes = text_of(found["geography-notes"])
    assert f"No country that the map knows: Atlantis: {counts['Atlantis']:,}" in notes
    assert f"Too small for this map: Singapore (SG): {counts['SG']:,}" in notes
    assert f"{counts['']:,} transactions have no country" in notes


def test_a_country_is_known_by_its_codes_and_its_names() -> None:
    for text, code in {
        "de": "DEU", "DEU": "DEU", " germany ": "DEU", "United  States": "USA", "UK": "GBR", "GB": "GBR",
        "Türkiye": "TUR", "Turkey": "TUR", "South Korea": "KOR", "Côte d'Ivoire": "CIV",
    }.items():  # fmt: skip
        known = country(text)
        assert known is not None, text
        assert known.code == code
    assert country("Atlantis") is country("") is country("EUR") is None
    assert {"DEU", "USA", "CHN"} <= on_map()
    assert "SGP" not in on_map()


def test_amounts_of_several_currencies_are_not_added_up(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    rows = scored(ana, sent(ana, services, wide(("EUR", "JPY", ""))))
    sums: dict[str, Decimal] = {}
    for row in rows:
        digits = Decimal(1) if row["currency"] == "JPY" else Decimal("0.01")
        amount = Decimal(row["TX_AMOUNT"]).quantize(digits, "ROUND_HALF_EVEN")
        sums[row["currency"]] = sums.get(row["currency"], Decimal(0)) + amount
    found = shown(ana)
    lines = text_of(found["summary"][2])
    for currency, amount in sums.items():
        assert f"{amount:,.2f}{' ' + currency if currency else ''}" in lines
    assert "several currencies" in rows_of(found["detectors-table"])["payments"]
    assert "Not drawn:" in text_of(found["amounts-notes"])


def test_each_sees_their_own_and_whoever_may_see_all_sees_all(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, mia, otto = login("ana"), login("mia"), login("otto")
    sent(ana, services, SHOP)
    sent(mia, services, PAYMENTS)
    own, all_of_them = SHOP.count(b"\n") - 1, SHOP.count(b"\n") + PAYMENTS.count(b"\n") - 2
    assert kpis(shown(ana))["Transactions"] == f"{own:,}"
    for person in (mia, otto):
        assert kpis(shown(person))["Transactions"] == f"{all_of_them:,}"
    assert set(rows_of(shown(ana)["detectors-table"])) == {"ecommerce"}
    page = ana.client.get("/dashboard/").get_data(as_text=True)
    assert '<option value="payments"' not in page
    assert '<option value="payments"' in mia.client.get("/dashboard/").get_data(as_text=True)
    assert f"Transactions {own:,} " in words(ana.client.get("/explore/transactions").get_data(as_text=True))


def test_the_list_gives_each_row_once_page_by_page_in_the_order_that_was_asked_for(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    sent(ana, services, SHOP)
    expected = asked(ana, "/transactions", browser="Chrome", limit="1000")["transactions"]
    by_id = {row["id"]: row for row in expected}
    for order, key in (
        ("", lambda row: (row["event_time"], row["id"])),
        ("&sort=amount&order=asc", lambda row: (row["amount"], row["id"])),
        ("&sort=probability", lambda row: (row["fraud_probability"], row["id"])),
    ):
        url, seen = f"/explore/transactions?browser=Chrome{order}", []
        while url:
            page = ana.client.get(url).get_data(as_text=True)
            rows = re.findall(
                r'<a href="/decisions/([\w-]+)".*?data-label="Who and what"[^>]*>(.*?)</td>'
                r'.*?class="why wide"([^>]*)>',
                page,
                re.DOTALL,
            )
            for name, who, why in rows:
                assert f"<code>{by_id[name]['device']}</code>" in who, "whom a row is about is said"
                assert ("title=" in why) == bool(by_id[name]["reasons"])
            seen += [name for name, _, _ in rows]
            found = re.search(r'href="([^"]+)" rel="next"', page)
            url = found[1].replace("&amp;", "&") if found else ""
        assert seen == [row["id"] for row in sorted(expected, key=key, reverse="asc" not in order)]
    past_the_end = ana.client.get("/explore/transactions?browser=Chrome&page=9999").get_data(as_text=True)
    assert f"of {len(expected)} transactions" in past_the_end
    for query, named in (("country=&colour=red", "colour"), ("sort=colour", "sort"), ("page=0", "page")):
        answer = ana.client.get(f"/explore/transactions?{query}")
        assert answer.status_code == 400
        assert named in answer.get_data(as_text=True)


def test_bad_filters_and_questions_that_are_too_large_say_so_and_show_no_figures(
    login: Callable[[str], Person], worker: Worker, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = login("ana")
    sent(ana, services, SHOP)
    for search, words_of_it in (
        ("?from=yesterday", "from"),
        ("?colour=red", "colour"),
        ("?from=1&from=2", "from"),
    ):
        found = shown(ana, search)
        assert words_of_it in text_of(found["status"])
        assert found["summary"] == []
        assert all(found[f"{name}-data"] is None for name in PANELS)
    # names that Flask's own url_for takes for something else
    page = ana.client.get("/dashboard/?endpoint=x&_method=POST&country=DE")
    assert page.status_code == 200
    assert 'href="/explore/transactions?country=DE" id="all-rows"' in page.text
    services.ledger.segments.add("f" * 32, FILE, table_of(month_of(1)))
    monkeypatch.setattr(
        services.ledger.questions._engine, "_seconds", 0.005
    )  # its shortest question takes 20 ms
    assert "Ask for a shorter period" in text_of(shown(login("mia"))["status"])


def test_empty_panels_say_which_column_would_bring_their_chart(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    empty = shown(ana)
    assert "No transactions" in text_of(empty["trends-notes"])
    sent(ana, services, PAYMENTS)
    for found, lack in ((empty, "No transactions."), (shown(ana), "No transaction here ")):
        for name, column in {
            "geography": "country", "types": "fraud_type", "devices": "device_id", "browsers": "browser"
        }.items():  # fmt: skip
            assert found[f"{name}-data"] is None
            assert f"column {column}" in text_of(found[f"{name}-notes"])
            assert lack in text_of(found[f"{name}-notes"])


@pytest.mark.security(12)
def test_dashs_own_addresses_are_behind_the_same_log_in(app: Flask, login: Callable[[str], Person]) -> None:
    ana, nobody = login("ana"), Person(app, "nobody")
    page = ana.client.get("/dashboard/").get_data(as_text=True)
    scripts = re.findall(r'src="(/dashboard/_dash-component-suites/[^"]+)"', page)
    assert len(scripts) >= 8
    for path in ("/dashboard/", "/dashboard/_dash-layout", "/dashboard/_dash-dependencies", *scripts):
        answer = nobody.client.get(path)
        assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (303, "/login")
    assert nobody.client.post(UPDATE, json=body("")).status_code == 401
    refused = ana.client.post(UPDATE, json=body(""))
    assert refused.status_code == 400, "without the form's token"
    headers = {"X-CSRFToken": token(ana)}
    wrong: Any
    for wrong in (
        [],
        {},
        {"output": "x.y"},
        body("") | {"inputs": [1]},
        body("") | {"outputs": []},
        body("") | {"output": []},
    ):
        assert ana.client.post(UPDATE, json=wrong, headers=headers).status_code == 400, wrong
    for path in (
        "/dashboard/_dash-component-suites/dash/../__init__.py",
        "/dashboard/_dash-component-suites/flask/app.py",
        "/dashboard/_dash-component-suites/dash/dash.py",
        "/dashboard/_reload-hash",
        "/dashboard/anything",
    ):
        assert ana.client.get(path).status_code == 404, path


def test_a_process_that_never_made_the_page_gives_its_scripts(login: Callable[[str], Person]) -> None:
    """Dash gives what it has named, and named it when it made the page: another process answered 404 once."""
    page = login("ana").client.get("/dashboard/").get_data(as_text=True)
    another = dash_app.__wrapped__().server.test_client()
    for path in re.findall(r'src="(/dashboard/_dash-component-suites/[^"]+)"', page):
        assert another.get(path).status_code == 200, path


@pytest.mark.security(35)
def test_the_policy_is_relaxed_for_styles_and_there_alone(login: Callable[[str], Person]) -> None:
    ana = login("ana")
    page = ana.client.get("/dashboard/")
    policy = page.headers["Content-Security-Policy"]
    assert policy == POLICY
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "script-src" not in policy, "scripts come from here alone, as everywhere"
    assert "eval" not in policy
    for path in ("/", "/explore/transactions", "/dashboard/_dash-layout", "/results"):
        assert "unsafe" not in ana.client.get(path).headers["Content-Security-Policy"]
    text = page.get_data(as_text=True)
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", text) == [
        '<script id="_dash-config" type="application/json">'
    ]
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)
    assert "python_version" not in text


def test_scripts_are_compressed_and_kept_and_the_map_lies_here(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    sent(ana, services, PAYMENTS)
    page = ana.client.get("/dashboard/").get_data(as_text=True)
    for path in re.findall(r'src="(/dashboard/_dash-component-suites/[^"]+)"', page):
        packed = ana.client.get(path, headers={"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "immutable" in packed.headers["Cache-Control"]
        plain = ana.client.get(path)
        assert "Content-Encoding" not in plain.headers
        assert len(packed.data) < len(plain.data) or len(plain.data) < 1000
    layout = json.dumps(ana.client.get("/dashboard/_dash-layout").json)
    (folder,) = set(re.findall(r'"topojsonURL": "([^"]+)"', layout))
    assert ana.client.get(f"{folder}world_110m.json").status_code == 200
    version = re.search(r"plotly.js v([\d.]+)", ana.client.get(
        next(path for path in re.findall(r'src="([^"]+)"', page) if "plotly-" in path)
    ).get_data(as_text=True)[:200])  # fmt: skip
    assert version is not None
    spec = importlib.util.find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    with package.open(encoding="utf-8") as script:
        assert f"plotly.js v{version[1]}\n" in script.read(200), "Dash's charts are made for this version"
    assert f"plotly.js-{version[1]}/" in folder, "the map is of the version that draws it"
    assert (ROOT / "static" / "vendor" / f"plotly.js-{version[1]}" / "LICENSE").exists()


def test_a_file_is_screened_from_the_dashboard_and_its_result_stands_there(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana, otto = login("ana"), login("otto")
    before = ana.client.get("/dashboard/").get_data(as_text=True)
    assert "Upload File" in before
    assert "Run Fraud Detection" in before
    assert "No file screened yet" in before
    screening = sent(ana, services, PAYMENTS, "may.csv")
    flagged = [row for row in scored(ana, screening) if row["flagged"] == "true"]
    after = ana.client.get("/dashboard/").get_data(as_text=True)
    result = after.split('id="result-title"')[1]
    assert f"{len(flagged)} flagged" in words(result)
    assert result.count(f"/results/{screening}/rows/") == min(len(flagged), 10)
    best = max(flagged, key=lambda row: float(row["fraud_probability"]))
    first = re.search(rf"/results/{screening}/rows/(\d+)", result)
    assert first is not None
    assert scored(ana, screening)[int(first[1]) - 1] == best
    assert best["TERMINAL_ID"] in words(result)
    assert "Run Fraud Detection" not in otto.client.get("/dashboard/").get_data(as_text=True)


def test_whoever_uploads_on_the_dashboard_comes_back_to_it(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    answer = ana.upload(PAYMENTS, "june.csv", back="dashboard")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/dashboard/#result-title")
    assert "june.csv" in ana.client.get("/dashboard/").get_data(as_text=True).split('id="result-title"')[1]
    bad = ana.upload(b"a,b\n1,2\n", "bad.csv", back="dashboard")
    assert bad.status_code == 400, "what is wrong is said where a file can be sent again"
    result = ana.client.get("/dashboard/").get_data(as_text=True).split('id="result-title"')[1]
    assert "june.csv" in result
    elsewhere = ana.upload(PAYMENTS, back="http://stranger.example/")
    assert elsewhere.status_code == 400
    assert "field back" in words(elsewhere.get_data(as_text=True))


def test_a_file_that_still_runs_or_failed_is_said_on_the_dashboard(
    login: Callable[[str], Person], services: Services
) -> None:
    ana = login("ana")
    screening = new_id()
    wish = UploadRequest(
        owner="ana", filename="july.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8
    )
    services.screenings.begin(screening, wish)
    page = ana.client.get("/dashboard/").get_data(as_text=True)
    assert f'hx-get="/results/{screening}/progress"' in page
    assert "htmx.min.js" in page


def test_the_layout_has_the_figures_of_the_address_that_asks(
    login: Callable[[str], Person], worker: Worker, services: Services
) -> None:
    ana = login("ana")
    sent(ana, services, wide())
    for search in ("", "?fraud_type=Identity+theft&interval=week", "?colour=red"):
        page = ana.client.get(f"/dashboard/{search}").get_data(as_text=True)
        asked_for = re.search(r'data-layout="([^"]+)"', page)
        assert asked_for is not None
        assert f'<link rel="preload" href="{asked_for[1]}" as="fetch" crossorigin>' in page
        layout = ana.client.get(html.unescape(asked_for[1])).json
        by_id: dict[str, Any] = {}
        gather(layout, by_id)
        assert by_id["address"]["search"] == search, "Dash asks again where it differs from the address"
        found = shown(ana, search)
        assert by_id["board"]["data"] == found["board"]
        for name, prop in FILLED:
            assert by_id[name][prop] == found[name], name


def gather(part: Any, into: dict[str, Any]) -> None:
    """Put the properties of all parts of a layout that have an id into ``into``."""
    if isinstance(part, list):
        for each in part:
            gather(each, into)
    elif isinstance(part, dict) and "props" in part:
        into[part["props"].get("id")] = part["props"]
        gather(part["props"].get("children"), into)


def test_it_is_made_ready_once_and_draws_with_a_part_of_plotly(app: Flask) -> None:
    make_ready(str(app.static_folder))
    names = {name for name in ("dash", "duckdb") if name in sys.modules}
    assert names == {"dash", "duckdb"}
    served = app.test_client().get(f"/static/{PLOTLY}", headers={"Accept-Encoding": "gzip"})
    assert served.headers["Content-Encoding"] == "gzip"
    assert "immutable" in served.headers["Cache-Control"]
    assert len(served.data) < 500_000
    folder = (ROOT / "static" / PLOTLY).parent
    assert hashlib.sha256((ROOT / "static" / PLOTLY).read_bytes()).hexdigest() in (
        folder.parent / "README.md"
    ).read_text("utf-8")
    assert "plotly.js 4.1.1, MIT" in (folder / "LICENSES.txt").read_text("utf-8")


def test_rows_at_the_edges_of_ranges_are_counted_where_the_filters_find_them(services: Services) -> None:
    import numpy as np
    import pyarrow as pa

    from benchmarks.ledger import month_of
    from screening.ledger.rows import table_of

    edges = np.array(SCORE_EDGES, np.float32)
    near = np.concatenate([edges, np.nextafter(edges, np.float32(-1)), np.nextafter(edges, np.float32(2))])
    near = np.clip(near, 0, 1)
    table = table_of(month_of(0)).slice(0, len(near))
    table = table.set_column(table.schema.get_field_index("probability"), "probability", pa.array(near))
    services.ledger.segments.add("0" * 32, "file", table)
    ask = services.ledger.questions
    found = board(ask, DecisionFilter(), TrendInterval.DAY)
    for each in found.scores:
        chosen = DecisionFilter(min_probability=each.low or None, max_probability=each.high)
        assert board(ask, chosen, TrendInterval.DAY).transactions == each.transactions
    assert sum(each.transactions for each in found.scores) == len(near)
