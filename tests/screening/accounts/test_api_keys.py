"""Making, listing and revoking API keys, and the text of a key."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from screening.accounts import key_text
from screening.accounts.api_keys import SCOPES, BadKeyRequest, may_have
from screening.accounts.roles import PERMISSIONS
from screening.errors import Conflict, NotFound, ScreeningError
from screening.infra.audit.log import mask_keys
from tests.clock import Clock
from tests.screening.accounts.keys_fixture import Desk

pytestmark = pytest.mark.both_databases


@pytest.fixture
def desk(tmp_path: Path, database_url: str) -> Iterator[Desk]:
    made = Desk(tmp_path, Clock(), database_url)
    yield made
    made.close()


@pytest.mark.security(14)
def test_a_key_has_256_random_bits_and_the_promised_form() -> None:
    made = [key_text.make() for _ in range(200)]
    for key in made:
        assert re.fullmatch(r"fsk_[2-9a-hjkmnp-z]{10}_[0-9A-Za-z]{49}", key.text)
        assert len(key.text) == key_text.LENGTH
        assert key.text[key_text.ID] == key.id
        assert key_text.is_whole(key.text)
        assert key.text not in repr(key)
    assert len({key.text[15:58] for key in made}) == 200
    assert key_text.SECRET_BITS == 256
    assert 62**key_text.SECRET_LENGTH > 2**key_text.SECRET_BITS
    places = list(zip(*(key.text[16:58] for key in made), strict=True))
    assert all(len(set(place)) > 30 for place in places), "every place of the secret varies"


@given(st.integers(0, 2**256 - 1))
def test_no_two_secrets_have_one_text(number: int) -> None:
    text = key_text.base62(number, key_text.SECRET_LENGTH)
    value = 0
    for sign in text:
        value = value * 62 + key_text.DIGITS.index(sign)
    assert (value, len(text)) == (number, key_text.SECRET_LENGTH)


def test_a_wrong_or_a_missing_sign_is_seen_by_the_checksum() -> None:
    text = key_text.make().text
    for place in range(15, len(text)):
        other = "a" if text[place] != "a" else "b"
        assert not key_text.is_whole(text[:place] + other + text[place + 1 :]), place
        assert not key_text.is_whole(text[:place] + text[place + 1 :])
    for place, (one, two) in enumerate(itertools.pairwise(text)):
        if one != two and place >= 15:
            assert not key_text.is_whole(text[:place] + two + one + text[place + 2 :]), "signs exchanged"


@pytest.mark.security(14)
def test_only_the_hash_is_kept(desk: Desk) -> None:
    text = desk.make()
    with desk.database.engine.connect() as connection:
        row = connection.exec_driver_sql("SELECT * FROM api_keys").mappings().one()
    assert row["digest"] == hashlib.sha256(text.encode()).hexdigest()
    secret = text[15:]
    assert not any(secret in str(value) or secret[:43] in str(value) for value in row.values())
    for file in desk.folder.rglob("*"):
        assert not file.is_file() or secret[:20].encode() not in file.read_bytes(), file
    (key,) = desk.keys.all()
    assert secret[:8] not in repr(key)
    assert row["digest"] not in repr(key)


def test_a_key_says_what_it_is(desk: Desk) -> None:
    key, text = desk.keys.create(
        " core banking ", "ANA", ["read", "score"], by="ada", days=30, per_minute=7, burst=2
    )
    assert desk.keys.all() == [key]
    assert desk.keys.get(key.id) == key
    assert desk.keys.get(text) == key, "for whoever found one"
    assert (key.name, key.owner, key.scopes, key.created_by) == (
        "core banking",
        "ana",
        ("score", "read"),
        "ada",
    )
    assert (key.per_minute, key.burst, key.last_used, key.revoked) == (7, 2, None, None)
    assert key.expires is not None
    assert round((key.expires - key.created).total_seconds()) == 30 * 86_400


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "right\u202eleft"}, "name"),
        ({"name": "lone \ud800"}, "name"),
        ({"name": "fsk_2auy84bsw7_abcdefgh"}, "name"),
        ({"owner": "zoe"}, "owner"),
        ({"owner": ""}, "owner"),
        ({"owner": "dora"}, "owner"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"scopes": ["score", "read "]}, "scopes"),
        ({"owner": "otto", "scopes": ["score"]}, "scopes"),
        ({"owner": "otto", "scopes": ["read", "label"]}, "scopes"),
        ({"days": 0}, "days"),
        ({"days": 3_651}, "days"),
        ({"per_minute": 0}, "per_minute"),
        ({"per_minute": 10_000_001}, "per_minute"),
        ({"burst": 0}, "burst"),
        ({"burst": -5}, "burst"),
    ],
)
def test_what_makes_no_key_is_refused_by_name_and_nothing_is_kept(
    desk: Desk, given: dict[str, Any], where: str
) -> None:
    desk.hire(disabled=("dora",), ana="analyst", otto="auditor", dora="analyst")
    wanted: dict[str, Any] = {"name": "a program", "owner": "ana", "scopes": ["score"], **given}
    with pytest.raises(ScreeningError) as refused:
        desk.keys.create(by="ada", **wanted)
    assert refused.value.where == where
    assert refused.value.status in (400, 404)
    assert desk.keys.all() == []


def test_active_keys_have_names_of_their_own(desk: Desk) -> None:
    desk.make(name="Core")
    with pytest.raises(Conflict, match="name core"):
        desk.make(name="core", owner="mia")
    desk.keys.revoke(desk.keys.all()[0].id, by="ada")
    desk.make(name="core")
    desk.clock.now += 366 * 86_400  # type: ignore[attr-defined]
    desk.make(name="core")
    assert len(desk.keys.all()) == 3


def test_a_key_is_revoked_once_and_stays_in_the_list(desk: Desk) -> None:
    text = desk.make()
    (key,) = desk.keys.all()
    ended, now = desk.keys.revoke(text, by="ada")
    assert now
    assert ended.revoked is not None
    assert ended.revoked_by == "ada"
    desk.clock.now += 60  # type: ignore[attr-defined]
    assert desk.keys.revoke(key.id, by="mia") == (ended, False)
    assert desk.keys.all() == [ended]


@pytest.mark.parametrize(
    "given", ["", "zzzzzzzzzz", "a program", "../..", "fsk_", "%", "2auy84bsw7'--", "\ud800"]
)
def test_a_key_that_is_not_there_cannot_be_revoked(desk: Desk, given: str) -> None:
    desk.make()
    with pytest.raises(NotFound, match="no such key"):
        desk.keys.revoke(given, by="ada")
    assert desk.keys.all()[0].revoked is None


def test_the_keys_of_one_owner_end_together(desk: Desk) -> None:
    for number in range(3):
        desk.make(name=f"of ana {number}")
    desk.make(name="of mia", owner="mia")
    assert {key.name for key in desk.keys.revoke_of("ANA", by="x")} == {f"of ana {n}" for n in range(3)}
    assert [key.name for key in desk.keys.all() if key.revoked is None] == ["of mia"]
    assert desk.keys.revoke_of("ana", by="x") == []


def test_every_change_is_seen_in_the_sum_of_revisions(desk: Desk) -> None:
    def revision() -> int:
        with desk.database.read() as session:
            return int(session.scalar(text("SELECT sum(revision) FROM api_keys")) or 0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: desk.make(name=f"key {number}"), range(24)))
    assert revision() == 24
    ids = [key.id for key in desk.keys.all()]
    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(lambda one: desk.keys.revoke(one, by="ada")[1], ids + ids))
    assert (sum(ended), revision()) == (24, 48)


@pytest.mark.security(12)
def test_no_scope_opens_more_than_the_owners_role() -> None:
    for role, permissions in PERMISSIONS.items():
        for name, scope in SCOPES.items():
            assert may_have(name, role) is (scope.permission in permissions)
    assert not may_have("score", "emperor")
    assert not may_have("everything", "admin")


def test_states_are_told_in_words(desk: Desk) -> None:
    desk.make(days=1)
    (key,) = desk.keys.all()
    ana, otto = desk.users.get("ana"), desk.users.get("otto")
    assert key.state(ana, key.created) == "active"
    assert key.state(ana, key.expires) == "expired"
    assert key.state(None, key.created) == "owner is gone"
    assert (key.withheld(ana), key.withheld(otto)) == ([], ["score"])
    assert desk.keys.revoke(key.id, by="ada")[0].state(ana) == "revoked"


@pytest.mark.security(14, 33)
@given(st.text(max_size=20), st.text(max_size=20))
def test_a_key_in_a_text_is_cut_down_to_its_id_and_found_in_an_address(before: str, after: str) -> None:
    made = key_text.make()
    masked = mask_keys(f"{before}{made.text} {after}")
    assert made.text[15:] not in masked
    assert f"fsk_{made.id}_[withheld]" in masked
    encoded = "".join(f"%{ord(sign):02x}" for sign in made.text)
    twice = encoded.replace("%", "%25")
    for inside in (made.text, encoded, twice, made.text[:30]):
        assert key_text.id_in_url(f"/results/x.json?key={inside}&a=1") == made.id


def test_an_ordinary_address_holds_no_key() -> None:
    for target in ("/", "/results/0123abcd.json?a=%00%ff%zz", "/fsk_", "/?q=fsk_ab_", "/?q=" + "%25" * 500):
        assert key_text.id_in_url(target) is None


def test_bad_requests_are_told_from_conflicts() -> None:
    assert (BadKeyRequest.status, Conflict.status) == (400, 409)
