"""Rules, their versions, lists and files are kept, and what can't be kept is refused with its reason."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from screening.cards.tokens import TOKEN, Tokens
from screening.detectors.registry import Detectors
from screening.errors import Conflict, NotFound
from screening.infra.database import Database
from screening.rules.facts import KnownFacts
from screening.rules.language.parser import parse
from screening.rules.language.problems import BadRule
from screening.rules.language.tree import Missing
from screening.rules.lists import RuleLists, entries_of
from screening.rules.rules_file import RulesFile, read, shipped, written
from screening.rules.store import RuleDraft, RuleStore
from screening.rules.tables import RuleClock, RuleState
from screening.settings import Settings
from screening.transactions.schema import normalise

pytestmark = pytest.mark.both_databases

NUMBER = "4111111111111111"
FILE = """
[[rule]]
name = "Large"
when = "amount > 1000"
"""


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory) -> Detectors:
    return Detectors(Settings(instance=tmp_path_factory.mktemp("registry")))


@pytest.fixture
def rules(database: Database, detectors: Detectors) -> RuleStore:
    return RuleStore(database, detectors)


@pytest.fixture
def lists(database: Database) -> RuleLists:
    return RuleLists(database, lambda: Tokens(b"k" * 32, "id"))


def test_each_change_of_a_rule_is_a_version(rules: RuleStore) -> None:
    made = rules.add(RuleDraft(name=" Large  amount ", condition="amount > 1000"), "ana")
    assert (made.name, made.state, made.owner, made.version) == ("Large amount", "draft", "ana", 1)
    rules.change(made.id, RuleDraft(name="Large amount", condition="amount > 2000", effect="raise"), "mia")
    rules.set_state(made.id, RuleState.SHADOW, "mia")
    told = [
        (each.version, each.condition, each.effect, each.state, each.changed_by)
        for each in rules.versions(made.id)
    ]
    assert told == [
        (3, "amount > 2000", "raise", "shadow", "mia"),
        (2, "amount > 2000", "raise", "draft", "mia"),
        (1, "amount > 1000", "flag", "draft", "ana"),
    ]
    with pytest.raises(Conflict, match="is shadow already"):
        rules.set_state(made.id, RuleState.SHADOW, "mia")
    with pytest.raises(Conflict, match="a manager's to change"):
        rules.change(made.id, RuleDraft(name="Large amount", condition="amount > 3"), "ana", decides=False)
    with pytest.raises(Conflict, match="mia has changed this rule"):
        rules.change(made.id, RuleDraft(name="Large amount", condition="amount > 3"), "mia", seen=1)
    with pytest.raises(Conflict, match="There is a rule Large amount already"):
        rules.add(RuleDraft(name="LARGE AMOUNT", condition="amount > 1"), "ana")
    with pytest.raises(NotFound, match="Did you mean Large amount"):
        rules.named("Lagre amount")


@pytest.mark.parametrize(
    ("draft", "said"),
    [
        (RuleDraft(name="", condition="amount > 1"), "The rule has no name"),
        (RuleDraft(name="<b>", condition="amount > 1"), "can't be the name"),
        (RuleDraft(name="a", condition="amount > 1", effect="block"), "is no effect"),
        (RuleDraft(name="a", condition="amount > 1", detector="paymnets"), "Did you mean payments"),
        (RuleDraft(name="a", condition="V14 < 1"), "nothing that is known of every detector's"),
        (RuleDraft(name="a", condition="V41 < 1", detector="card"), "Did you mean V14"),
        (RuleDraft(name="a", condition='fraud_type == "x"'), "nothing that is known"),
        (RuleDraft(name="a", condition=f'card == "{NUMBER}"'), "may be a card number"),
        (
            RuleDraft(
                name="a",
                condition="amount > 1",
                note=f"as {NUMBER[:4]} {NUMBER[4:8]} {NUMBER[8:12]} {NUMBER[12:]}",
            ),
            "may be",
        ),
    ],
)
def test_what_can_not_be_a_rule_is_refused_and_nothing_is_kept(
    rules: RuleStore, draft: RuleDraft, said: str
) -> None:
    with pytest.raises(BadRule) as refused:
        rules.add(draft, "ana")
    assert said in str(refused.value)
    assert NUMBER not in str(refused.value)
    assert not rules.all()


def test_a_change_is_noticed_by_its_clock(rules: RuleStore, lists: RuleLists, database: Database) -> None:
    def clock() -> int:
        with database.read() as session:
            found = session.get(RuleClock, 1)
            return 0 if found is None else found.version

    seen = [clock()]
    rules.add(RuleDraft(name="a", condition="amount > 1"), "ana")
    seen.append(clock())
    lists.make("bad", "device", "block", "", "ana")
    seen.append(clock())
    lists.add("bad", ["d1"], "ana")
    seen.append(clock())
    assert seen == sorted(set(seen))


@pytest.mark.security(33, 54)
@pytest.mark.sqlite_only  # it looks into the file
def test_a_card_in_a_list_is_kept_as_its_token_alone(
    rules: RuleStore, lists: RuleLists, database: Database, tmp_path: Path
) -> None:
    lists.make("Blocked_Cards", "card", "block", "", "ana")
    assert lists.add("blocked_cards", [NUMBER, "4111 1111 1111 1111", " ", "77-A"], "ana").new == 2
    token = Tokens(b"k" * 32, "id").token(NUMBER)
    assert TOKEN.fullmatch(token)
    assert entries_of(database, ["blocked_cards"]) == {"blocked_cards": {token, "77-a"}}
    assert lists.add("blocked_cards", [token, NUMBER], "ana").new == 0
    rules.add(RuleDraft(name="b", condition="card in list blocked_cards"), "ana")
    database.engine.dispose()
    for file in tmp_path.glob("screening.sqlite3*"):
        assert NUMBER.encode() not in file.read_bytes()
    assert sqlite3.connect(tmp_path / "screening.sqlite3").execute(
        "SELECT count(*) FROM rule_list_entries"
    ).fetchone() == (2,)


def test_a_list_that_a_rule_looks_into_stays(rules: RuleStore, lists: RuleLists) -> None:
    lists.make("bad", "device", "block", "", "ana")
    made = rules.add(RuleDraft(name="Bad device", condition="device in list bad"), "ana")
    with pytest.raises(Conflict, match="Bad device looks into bad"):
        lists.drop("bad", rules)
    rules.set_state(made.id, RuleState.OFF, "mia")
    lists.drop("bad", rules)
    assert not lists.all()
    with pytest.raises(BadRule, match="There is no list bad"):
        rules.set_state(made.id, RuleState.ACTIVE, "mia")


def test_entries_are_refused_by_their_place_and_none_is_kept(lists: RuleLists) -> None:
    lists.make("bad", "device", "block", "", "ana")
    with pytest.raises(BadRule, match="Entry 2 says nothing"):
        lists.add("bad", ["d1", "n/a"], "ana")
    with pytest.raises(BadRule, match="Entry 1 may be a card's number") as refused:
        lists.add("bad", ["123456789012345678901"], "ana")
    assert "12345" not in str(refused.value)
    assert not lists.entries("bad")


def test_a_file_is_written_as_it_is_read(rules: RuleStore, lists: RuleLists) -> None:
    lists.make("bad", "device", "block", 'a "quoted" note', "ana")
    rules.add(
        RuleDraft(
            name="One", condition='device in list bad\n  and country != "DE"', fraud_type="x y", note="é\\n"
        ),
        "ana",
    )
    rules.add(
        RuleDraft(name="Other", condition="amount > 5", detector="card", effect="silence", owner="team"),
        "ana",
    )
    found = read(written(rules.all(), [each for each, _ in lists.all()]))
    assert [one.draft for one in found.rules] == [
        RuleDraft(
            name=rule.name,
            condition=rule.condition,
            effect=rule.effect,
            detector=rule.detector,
            fraud_type=rule.fraud_type,
            note=rule.note,
            owner=rule.owner,
        )
        for rule in rules.all()
    ]
    assert found.kinds == {"bad": "device"}
    assert found.lists[0].note == 'a "quoted" note'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "isn't TOML"),
        ("[[rules]]\nname='a'", "Did you mean rule?"),
        ("[rule]\nname='a'", "Begin each with [[rule]]"),
        ("[[rule]]\nname='a'", "A rule needs name and when."),
        ("[[rule]]\nname='a'\nwhen='amount > 1'\nefect='flag'", "Did you mean effect"),
        ("[[rule]]\nname='a'\nwhen=1", "when isn't a text"),
        ("[[rule]]\nname='a'\nwhen='b'\nstate='on'", "is no state"),
        ("[[list]]\nname='a'\nkind='device'", "A list needs purpose"),
        ("[[list]]\nname='a'\nkind='device'\npurpose='block'\nentries=[1]", "entries aren't texts"),
        ("a=" + "[" * 5000, "isn't TOML"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadRule) as refused:
        read(text)
    assert said in str(refused.value)


def test_the_shipped_rules_can_be_used_with_the_shipped_detectors(rules: RuleStore) -> None:
    found: RulesFile = shipped()
    assert {one.draft.detector for one in found.rules} == {"card", "payments", "ecommerce", None}
    for one in found.rules:
        rules.check(one.draft, found.kinds)
        assert one.draft.note
        assert one.state is RuleState.DRAFT


def test_every_spelling_of_a_fact_can_be_written_in_a_rule(detectors: Detectors) -> None:
    for detector in detectors.all():
        known = KnownFacts.of(detector)
        vocabulary = known.vocabulary({})
        for fact in known.facts:
            assert vocabulary.get(fact.name) is not None
            assert parse(f"{fact.name} is missing", vocabulary) == Missing(
                vocabulary.facts[normalise(fact.name)]
            )
