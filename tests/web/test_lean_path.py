"""Programs with a key are answered past Flask, and get the answer that Flask would give: the same status, headers and
bytes, but for numbers and times.
"""

from __future__ import annotations

import csv
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from screening.accounts import key_text
from screening.accounts.api_keys import MOST_BURST, MOST_PER_MINUTE
from screening.accounts.users_text import Account
from screening.detectors.detector import Detector
from screening.detectors.states import DetectorState
from screening.features import PastIndex
from screening.ledger.history import DetectorHistory, HistoryCache
from screening.ledger.tables import IdempotentAnswer, TailRow
from screening.settings import ROOT
from screening.web.api import deciding
from screening.web.app_factory import create_front
from screening.web.http.front import Front
from screening.web.services import Services
from tests.web.asgi import Heard, Told, call, call_together

Row = dict[str, Any]
UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
NUMBER = re.compile(rb'"request_id":"[0-9a-f]{16}"')
COUNTED = {"x-request-id", "date"}
LOOKING_BACK = ("payments", "ecommerce")
ENTITIES = {"CUSTOMER_ID", "TERMINAL_ID", "user_id", "device_id", "ip_address"}
CARD_NUMBER = "4111 1111 1111 1111"


def sample(name: str) -> list[Row]:
    """Transactions as a program has them: numbers as numbers."""
    folder = ROOT / "model" / "detectors" / name
    file = ROOT / "transactions_data.csv" if name == "card" else folder / "sample.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        return [{key: _value(cell) for key, cell in row.items()} for row in list(csv.DictReader(lines))[:40]]


def _value(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell


class Desk:
    """Keys of the team, and both ways in."""

    def __init__(self, app: Flask, services: Services) -> None:
        self.front: Front = create_front(app)
        self.services = services
        self.forget()
        self._client = app.test_client()
        self._made = 0
        self.mia = self.key("mia")
        self.ana = self.key("ana")

    def key(self, owner: str, *scopes: str, **more: Any) -> str:
        made = {"by": "ada", "per_minute": MOST_PER_MINUTE, "burst": MOST_BURST, **more}
        self._made += 1
        return self.services.keys.create(f"till {self._made}", owner, scopes or ("score",), **made)[1]

    def told(self, body: Any, key: str | None = None, **headers: str) -> Told:
        """A request with a key: mia's, who decides on detectors, unless said."""
        given = {"Content-Type": "application/json", "Authorization": f"Bearer {key or self.mia}"}
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Told(text, {**given, **more})

    def lean(self, told: Told) -> Heard:
        return call(self.front, told)

    def flask(self, told: Told) -> Heard:
        answer = self._client.open(
            told.path,
            method=told.method,
            data=told.body,
            query_string=told.query,
            headers=told.fields(),
            base_url=f"{told.scheme}://localhost",
        )
        headers = [(name.lower(), value) for name, value in answer.headers]
        return Heard(answer.status_code, headers, answer.get_data())

    def forget(self) -> None:
        """As if nothing had been asked before: what was asked would count for what is asked next."""
        velocity = self.services.ledger.velocity
        for name in LOOKING_BACK:
            velocity.forget(name)
            subject = velocity.subject(self.services.detectors.get(name))
            assert subject is not None
            velocity.is_built(subject)

    def rows(self) -> int:
        with self.services.ledger.tables.read() as session:
            return sum(session.scalars(select(TailRow.rows)))


@pytest.fixture
def desk(app: Flask, services: Services, team: dict[str, Account]) -> Iterator[Desk]:
    yield Desk(app, services)
    services.ledger.tables.engine.dispose()


def strangers(bodies: Iterable[Any]) -> Iterator[Any]:
    """The same requests, but nobody in one is anybody in another: rows of one look back on rows of the other else."""
    for number, body in enumerate(bodies):
        if not isinstance(body, dict) or body.get("detector") not in LOOKING_BACK:
            yield body
            continue
        found = dict(body)
        for kind in ("transaction", "transactions"):
            given = body.get(kind)
            if isinstance(given, dict):
                found[kind] = _renamed(given, number)
            elif isinstance(given, list):
                found[kind] = [_renamed(row, number) for row in given]
        yield found


def _renamed(row: Row, number: int) -> Row:
    names = {
        name: value for name, value in row.items() if name in ENTITIES and isinstance(value, (str, float))
    }
    new = {name: f"{value}/{number}" for name, value in names.items() if name != "ip_address"}
    if isinstance(row.get("ip_address"), (str, float)):
        new["ip_address"] = f"198.51.{number // 250}.{number % 250}"
    return {**row, **new}


def plain(heard: Heard) -> tuple[int, list[tuple[str, str]], bytes]:
    """An answer without what differs between any two requests."""
    headers = sorted((name, value) for name, value in heard.headers if name not in COUNTED)
    return heard.status, headers, NUMBER.sub(b'"request_id":0', UUID.sub(b"an id", heard.body))


def good(card: list[Row], shop: list[Row], payments: list[Row]) -> Iterator[Any]:
    for row in card:
        yield {"transaction": row}
        yield {"transaction": {f" {name.upper()} ": value for name, value in reversed(row.items())}}
    for row in (*shop[:8], *payments[:8]):
        name = "payments" if "TX_AMOUNT" in row else "ecommerce"
        yield {"transaction": row, "detector": name}
        yield {"transactions": [row, row], "detector": name}
    for count in (1, 2, 3, 15, 16, 17, 40):
        yield {"transactions": card[:count]}
        yield {"transactions": payments[:count], "detector": "payments"}
    for name in ("Amount", "V1", "V14", "Time"):
        for value in (0, -1, 7, 10**9, -0.0, 1e-300, 3.4e38, 10**30, 2**53 + 1):
            yield {"transaction": {**card[0], name: value}}
    yield {
        "transaction": {**card[0], "country": "DE", "customer_id": "C 7", "currency": "JPY", "device_id": 9}
    }
    yield {"transaction": {**card[0], "x": {"y": [1, "z", {"w": None}]}}}
    for label in (
        0,
        1,
        1.0,
        "0",
        "1",
        " 1 ",
        True,
        False,
        "true",
        "Fraud",
        "legit",
        None,
        "",
        "NULL",
        "pending",
    ):
        yield {"transaction": {**card[0], "Class": label}}
    yield {"transaction": {**card[0], "merchant": 'Käse & Söhne \\ “a”\n\t"b"'}}


def bad(card: list[Row], shop: list[Row], payments: list[Row]) -> Iterator[Any]:
    yield from (
        b"", b"{", b"[]", b"null", b"7", b'"x"', b"{}", b'{"transaction": NaN}', b"\xff\xfe", b"\xef\xbb\xbf{}",
        b"{}{}", b'{"transaction": {"V1": NaN}}', b'{"transaction": {"V1": Infinity}}', b'{"a": 1, "a": 2}',
        b'{"transaction": {"V1": 1, "V1": 1}}', b'{"transactions": [{"V1": "a", "V1": "a"}]}',
        b"[" * 100_000 + b"]" * 9,
        b'{"a":' * 3000 + b"1" + b"}" * 3000, b'{"transaction": {"V1": ' + b"9" * 41 + b"}}", b"{'a': 1}", b'{"a": 01}',
        b'{"a": "\x01"}', b'{"a": "\\ud800"}', b'{"a": "\xed\xa0\x80"}', b'{"a": 1,}', b"x" * 70_000, b"\x00",
    )  # fmt: skip
    value: Any
    given: Any
    detector: Any
    for name in ("Time", "V1", "V28", "Amount"):
        yield {"transaction": {key: value for key, value in card[0].items() if key != name}}
        yield {"transaction": {**card[0], name.swapcase(): 1.0, f" {name}": 2.0}}
        for value in (None, True, "1,5", "", "abc", [], {}, [1], 1e39, -(10**39), "NaN", CARD_NUMBER):
            yield {"transaction": {**card[0], name: value}}
            yield {"transactions": [card[1], {**card[0], name: value}]}
    yield {"transaction": {**card[0], "V1": 1e999}}
    for label in (2, -1, 0.5, 1e300, "2", "maybe", "none", [1], {}, {"a": 1}):
        yield {"transaction": {**card[0], "Class": label}}
        yield {"transactions": [shop[0], {**shop[1], "class": label}], "detector": "ecommerce"}
    for name in ("user_id", "purchase_time", "purchase_value", "ip_address", "device_id"):
        for value in (None, True, "", "yesterday", [], 1e300, "1969-01-01T00:00:00"):
            yield {"transaction": {**shop[0], name: value}, "detector": "ecommerce"}
    for name in ("pan", "note", "card_number", "V1 "):
        for value in (CARD_NUMBER, int(CARD_NUMBER.replace(" ", "")), [CARD_NUMBER], {"a": CARD_NUMBER}):
            yield {"transaction": {**card[0], name: value}}
    for given in (None, 1, "x", {}, [], [1], [None], [[]], [card[0], "x"], [{}] * 3, [{}] * 10_001):
        yield {"transactions": given}
        yield {"transaction": given}
    for detector in ("nobody", "", "../card", "card\x00", CARD_NUMBER, 7, True, [], {}, "x" * 1000):
        yield {"transaction": card[0], "detector": detector}
    yield {"transaction": payments[0]}
    yield {"transaction": card[0], "detector": "payments"}
    yield {"transaction": card[0], "Detector": "payments"}
    yield {"transaction": card[0], CARD_NUMBER: 1}
    yield {"transaction": card[0], "transactions": card[:2]}


def test_300_requests_get_the_same_both_ways(desk: Desk) -> None:
    given = [sample(name) for name in ("card", "ecommerce", "payments")]
    every = [desk.told(body) for body in (*good(*given), *bad(*given))]
    assert len(every) >= 300
    wrong = []
    for told in every:
        lean = plain(desk.lean(told))
        desk.forget()
        flask = plain(desk.flask(told))
        desk.forget()
        if lean != flask:
            wrong.append((told.body[:100], lean[0], lean[2][:300], flask[0], flask[2][:300]))
    assert wrong == []
    statuses = {desk.lean(told).status for told in every}
    assert statuses == {200, 404, 422}


@pytest.mark.both_databases
def test_together_they_get_what_they_get_alone(desk: Desk) -> None:
    given = [sample(name) for name in ("card", "ecommerce", "payments")]
    every = [desk.told(body) for body in strangers((*good(*given), *bad(*given)))]
    alone = [plain(desk.flask(told)) for told in every]
    before = desk.rows()
    desk.forget()
    assert [plain(heard) for heard in call_together(desk.front, every)] == alone
    assert desk.rows() == 2 * before


HEADERS = [
    {},
    {"Content-Type": "text/plain"},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "multipart/form-data; boundary=x"},
    {"Accept": "text/html"},
    {"Cookie": "session=abc"},
    {"Cookie": "session=~abc", "X-CSRFToken": "no"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Transfer-Encoding": "chunked"},
    {"Host": "other.example:8000"},
    {"Host": "not a host"},
    {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"},
    {"HX-Request": "true"},
    *({"Idempotency-Key": key} for key in ("", "x" * 256, "ä", "a\tb", "a,b")),
]


@pytest.mark.security(4, 8)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("more", HEADERS, ids=[str(each)[:50] for each in HEADERS])
def test_whatever_the_headers_say_both_ways_answer_the_same(
    desk: Desk, more: dict[str, str], scheme: str
) -> None:
    bodies: list[dict[str, Any]] = [{"transaction": sample("card")[0]}, {"transaction": {}}]
    for body in bodies:
        told = desk.told(body)
        told = replace(told, headers={**dict(told.headers), **more}, scheme=scheme)
        if "Transfer-Encoding" in more:
            assert (
                plain(desk.lean(told))
                == plain(desk.flask(desk.told(body)))[0:1]
                + plain(desk.lean(replace(desk.told(body), scheme=scheme)))[1:]
            )
        else:
            assert plain(desk.lean(told)) == plain(desk.flask(told))


@pytest.mark.parametrize(
    "other",
    [
        {"method": "GET"}, {"method": "PUT"}, {"method": "OPTIONS"}, {"method": "DELETE"}, {"query": "a=1"},
        {"path": "/detect_fraud/"}, {"path": "/detect_frau%64"}, {"path": "/Detect_fraud"},
    ],
    ids=str,
)  # fmt: skip
def test_other_requests_go_through_flask(desk: Desk, other: dict[str, Any]) -> None:
    told = replace(desk.told({"transaction": sample("card")[0]}), **other)
    assert plain(desk.lean(told)) == plain(desk.flask(told))


@pytest.mark.security(34, 35)
def test_keys_that_open_nothing_are_refused_alike(desk: Desk, services: Services) -> None:
    revoked, limited = desk.key("ana"), [desk.key("ana", per_minute=1, burst=1) for _ in range(2)]
    services.keys.revoke(revoked[key_text.ID], by="ada")
    services.key_ring.tend()
    keys = {
        "revoked": revoked,
        "wrong scope": desk.key("ana", "read"),
        "damaged": desk.mia[:-1] + ("a" if desk.mia[-1] != "a" else "b"),
        "cut off": desk.mia[:30],
        "unknown": key_text.make().text,
        "too long": desk.mia + "a" * 5000,
    }
    for what, key in keys.items():
        told = desk.told({"transaction": sample("card")[0]}, key)
        lean, flask = plain(desk.lean(told)), plain(desk.flask(told))
        assert lean == flask, what
        assert lean[0] == (403 if what == "wrong scope" else 401)
        assert any(name == "www-authenticate" for name, _ in lean[1])
    over = []
    for key, way in zip(limited, (desk.lean, desk.flask), strict=True):
        first, second = (way(desk.told({"transaction": sample("card")[0]}, key)) for _ in range(2))
        assert first.status == 200
        over.append(plain(second))
    assert over[0] == over[1]
    assert over[0][0] == 429
    assert any(name == "retry-after" for name, _ in over[0][1])


@pytest.mark.security(34)
def test_a_disabled_owner_is_refused_alike(desk: Desk, services: Services) -> None:
    services.users.set_state("ana", active=False)
    services.key_ring.tend()
    told = desk.told({"transaction": sample("card")[0]}, desk.ana)
    assert plain(desk.lean(told)) == plain(desk.flask(told))
    assert desk.lean(told).status == 401


def test_what_a_detector_is_said_to_be_counts_at_once_both_ways(desk: Desk, services: Services) -> None:
    row, detectors = sample("ecommerce")[0], services.detectors
    mark = detectors.get("ecommerce").fingerprint
    expected = {
        DetectorState.TRIAL: (200, 404),
        DetectorState.RETIRED: (409, 409),
        DetectorState.APPROVED: (200, 200),
    }
    for state, statuses in expected.items():
        services.states.say("ecommerce", mark, state, "mia", None)
        for key, status in zip((desk.mia, desk.ana), statuses, strict=True):
            told = desk.told({"transaction": row, "detector": "ecommerce"}, key)
            lean = plain(desk.lean(told))
            desk.forget()
            flask = plain(desk.flask(told))
            desk.forget()
            assert lean == flask
            assert lean[0] == status
            assert (b"on trial" in lean[2]) == (state is DetectorState.TRIAL and status == 200)


def test_a_request_is_repeated_whichever_way_it_came(desk: Desk, services: Services) -> None:
    told = desk.told({"transaction": sample("card")[0]}, Idempotency_Key="a")
    other = desk.told({"transaction": sample("card")[1]}, Idempotency_Key="a")
    first = desk.flask(told)
    assert desk.lean(told).body == first.body == desk.flask(told).body
    assert plain(desk.lean(other)) == plain(desk.flask(other))
    assert desk.lean(other).status == 422
    assert desk.rows() == 1
    heard = call_together(desk.front, [desk.told(json.loads(told.body), Idempotency_Key="b")] * 9)
    assert {each.body for each in heard} == {heard[0].body}
    assert heard[0].body != first.body
    assert desk.rows() == 2
    with services.ledger.tables.read() as session:
        assert set(session.scalars(select(IdempotentAnswer.key))) == {"a", "b"}


@pytest.mark.parametrize(
    "problem", [OperationalError("x", {}, Exception("locked")), ValueError("y"), OSError(28, "")]
)
def test_a_fault_of_ours_is_told_alike(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def fail(*_args: object, **_more: object) -> None:
        raise problem

    monkeypatch.setattr(deciding, "decide", fail)
    told = desk.told({"transaction": sample("card")[0]})
    lean, flask = plain(desk.lean(told)), plain(desk.flask(told))
    assert lean == flask
    assert lean[0] in (500, 503, 507)


def test_sessions_go_through_flask(desk: Desk, login: Callable[[str], Any]) -> None:
    person = login("ana")
    body = {"transaction": sample("card")[0]}
    answer = person.client.post("/detect_fraud", json=body, headers={"X-CSRFToken": person.token("/account")})
    lean = desk.lean(desk.told(body))
    assert plain(lean)[2] == plain(Heard(200, [], answer.get_data()))[2]


def test_a_body_in_pieces_is_put_together(desk: Desk) -> None:
    told = desk.told({"transaction": sample("card")[0]})
    assert plain(desk.lean(replace(told, pieces=7))) == plain(desk.lean(told))


def test_too_much_at_once_is_told_to_come_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screening.web.api.lean_path.MOST_QUEUED", 2)
    monkeypatch.setattr("screening.web.api.lean_path.MOST_TOGETHER", 1)
    told = desk.told({"transaction": sample("card")[0]})
    statuses = [heard.status for heard in call_together(desk.front, [told] * 12)]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 2
    assert desk.rows() == statuses.count(200)


def test_a_slow_detector_holds_up_nobody_else(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, usual_way = threading.Event(), HistoryCache.of

    def slowly(self: HistoryCache, detector: Detector, context: DetectorHistory) -> PastIndex | None:
        assert go_on.wait(30)
        return usual_way(self, detector, context)

    monkeypatch.setattr(HistoryCache, "of", slowly)
    named = desk.told({"transaction": sample("payments")[0], "detector": "payments"})
    answered: list[int] = []
    thread = threading.Thread(target=lambda: answered.append(desk.lean(named).status))
    thread.start()
    assert desk.lean(desk.told({"transaction": sample("card")[0]})).status == 200
    assert answered == []
    go_on.set()
    thread.join()
    assert answered == [200]
