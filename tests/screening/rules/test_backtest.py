"""A backtest says of each rule what the rule says of each row, counted one by one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from screening.ledger.filters import DecisionFilter
from screening.ledger.identity import TransactionId
from screening.ledger.labels import LaterLabel
from screening.ledger.ledger import Ledger
from screening.ledger.tables import FILE
from screening.rules.backtest import AT_ONCE, TriedRule, backtest, counterexamples
from screening.rules.facts import COMMON, amount_of, clock
from screening.rules.hits import hits
from screening.rules.language.closure import compiled
from screening.rules.language.parser import parse
from screening.rules.language.tree import Fact, Type
from screening.rules.language.vocabulary import Vocabulary
from screening.rules.tables import Effect
from screening.scoring.metrics import wilson
from tests.screening.ledger.ledger_rows import table

ROWS = 3_000
NOW = datetime(2026, 3, 20, tzinfo=UTC)
DELAY = timedelta(days=7)
AGE = Fact("age", Type.NUMBER, "n:age")
VOCABULARY = Vocabulary.of((*COMMON, AGE), {"bad": "device"})
ENTRIES = {"bad": frozenset({"d1", "d2", "d3"})}
RULES = [
    ("amount > 50", Effect.FLAG),
    ("amount > 50 and age < 30", Effect.FLAG),
    ('country == "jp" and amount > 1000', Effect.SILENCE),
    ("device in list bad", Effect.SILENCE),
    ("not (age > 40)", Effect.RAISE),
    ("hour < 6 or weekday in [6, 7]", Effect.FLAG),
]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    made = Ledger.open(tmp_path_factory.mktemp("ledger"), "sqlite:///unused")
    for number, detector in enumerate(("payments", "ecommerce")):
        chance = np.random.default_rng(number)
        blank = chance.random(ROWS) < 0.2
        first = (NOW - timedelta(days=90)).timestamp()
        made.segments.add(
            f"{number}" * 32,
            FILE,
            table(
                ROWS,
                screening=f"{number}" * 32,
                origin=bytes([number]) * 12,
                detector=detector,
                decided_at=NOW - timedelta(days=5 + 40 * number),
                probability=chance.beta(0.3, 2, ROWS).astype(np.float32),
                amount=np.where(blank, np.nan, np.round(chance.lognormal(4, 2, ROWS), 2)),
                seconds=first + chance.random(ROWS) * 90 * 86_400,
                label=chance.choice(np.array([-1, 0, 0, 1], np.int8), ROWS),
                fields={
                    "currency": chance.choice(["EUR", "JPY", "BHD"], ROWS).tolist(),
                    "country": chance.choice(["JP", "De", "fr"], ROWS).tolist(),
                    "device": [f"D{each}" for each in chance.integers(0, 9, ROWS)],
                },
                facts={
                    "n:age": pa.array(
                        chance.integers(18, 80, ROWS).astype(float), mask=chance.random(ROWS) < 0.3
                    )
                },
                rules=pa.array(
                    [["held"] if each else None for each in chance.random(ROWS) < 0.1], pa.list_(pa.string())
                ),
            ),
        )
    made.labels.say(
        [LaterLabel(TransactionId(bytes(12), number), number % 2) for number in range(1, 300)], "mia"
    )
    return made


def tried(text: str, effect: Effect, detector: str | None = None) -> TriedRule:
    return TriedRule(name=text, condition=parse(text, VOCABULARY), effect=effect, detector=detector)


def rows_of(ledger: Ledger) -> list[dict[str, Any]]:
    found = ledger.questions.ask("SELECT * FROM chosen", DecisionFilter(), facts=["n:age"]).rows
    for row in found:
        moment = row["event_time"].replace(tzinfo=UTC)
        row["units"] = row["amount"]
        row["amount"] = amount_of(row["amount"], row["currency"])
        row["hour"], row["weekday"] = clock(round(moment.timestamp() * 1e6))
    return found


@pytest.mark.parametrize("detector", [None, "payments"])
def test_a_backtest_counts_what_each_rule_says_of_each_row(ledger: Ledger, detector: str | None) -> None:
    rules = [tried(text, effect, detector) for text, effect in RULES]
    found = backtest(
        rules, ENTRIES, ledger.questions, chosen=DecisionFilter(), now=NOW, delay=DELAY, flagging=["held"]
    )
    every = rows_of(ledger)
    for rule, outcome in zip(rules, found, strict=True):
        answer = compiled(rule.condition, ENTRIES)
        mine = [row for row in every if detector in (None, row["detector"])]
        fired = [row for row in mine if answer(row)]
        caught = [row for row in fired if row["known"] == 1]
        alarms = [row for row in fired if row["known"] == 0]
        assert (outcome.rows, outcome.fired.rows) == (len(mine), len(fired))
        assert outcome.unknown == sum(answer(row) is None for row in mine)
        assert (outcome.caught.rows, outcome.false_alarms.rows) == (len(caught), len(alarms))
        assert outcome.unlabelled.rows == len(fired) - len(caught) - len(alarms)
        assert outcome.gained.rows == sum(
            np.float32(row["probability"]) < np.float32(row["threshold"]) for row in caught
        )
        assert outcome.frauds == sum(row["known"] == 1 for row in mine)
        for part, some in ((outcome.fired, fired), (outcome.caught, caught), (outcome.false_alarms, alarms)):
            money: dict[str, int] = {}
            for row in some:
                if row["units"] is not None:
                    money[row["currency"]] = money.get(row["currency"], 0) + row["units"]
            assert part.money == money
        assert outcome.precision.interval == wilson(len(caught), len(caught) + len(alarms))
        recent = [row for row in mine if row["decided_at"].replace(tzinfo=UTC) >= NOW - timedelta(days=30)]
        assert outcome.recent == len(recent)
        changes: dict[Effect, Callable[[dict[str, Any]], bool]] = {
            Effect.FLAG: lambda row: not row["flagged"],
            Effect.SILENCE: lambda row: row["flagged"] and "held" not in (row["rules"] or ()),
            Effect.RAISE: lambda _row: False,
        }
        changed = changes[rule.effect]
        assert outcome.changed.rows == sum(bool(answer(row)) and changed(row) for row in recent)
        by_day: dict[Any, list[dict[str, Any]]] = {}
        for row in fired:
            by_day.setdefault(row["event_time"].date(), []).append(row)
        assert [(day.day, day.fired, day.caught, day.false_alarms) for day in outcome.days] == [
            (day, len(some), sum(row["known"] == 1 for row in some), sum(row["known"] == 0 for row in some))
            for day, some in sorted(by_day.items())
        ]
        for day in outcome.days:
            young = datetime.combine(day.day, datetime.min.time(), UTC) + timedelta(days=1) > NOW - DELAY
            assert day.open == (young and any(row["known"] is None for row in by_day[day.day]))
    assert any(day.open for outcome in found for day in outcome.days)
    assert not all(day.open for outcome in found for day in outcome.days)


def test_counterexamples_are_legitimate_rows_that_it_fulfils(ledger: Ledger) -> None:
    rule = tried("amount > 50 and age < 30", Effect.FLAG, "payments")
    answer = compiled(rule.condition, ENTRIES)
    wanted = [
        row for row in rows_of(ledger) if row["detector"] == "payments" and row["known"] == 0 and answer(row)
    ]
    wanted.sort(key=lambda row: (-row["units"], row["origin"], row["number"]))
    found = counterexamples(rule, ENTRIES, ledger.questions, chosen=DecisionFilter())
    assert [each.id for each in found] == [
        str(TransactionId(row["origin"], row["number"])) for row in wanted[:25]
    ]


def test_more_rules_than_bits_are_asked_in_several_passes(ledger: Ledger) -> None:
    rules = [tried(f"amount > {number}", Effect.FLAG) for number in range(AT_ONCE + 3)]
    found = backtest(rules, {}, ledger.questions, chosen=DecisionFilter(), now=NOW)
    assert [outcome.rule for outcome in found] == rules
    counts = [outcome.fired.rows for outcome in found]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] > 0


def test_an_empty_ledger_has_outcomes_of_nothing(tmp_path: Path) -> None:
    empty = Ledger.open(tmp_path, "sqlite:///unused")
    (found,) = backtest(
        [tried("amount > 5", Effect.FLAG)], {}, empty.questions, chosen=DecisionFilter(), now=NOW
    )
    assert (found.rows, found.fired.rows, found.precision.share) == (0, 0, None)


def test_hits_are_those_of_the_ledger(ledger: Ledger) -> None:
    active, shadow = hits(ledger.questions, DecisionFilter())
    held = [row for row in rows_of(ledger) if row["rules"]]
    assert active["held"].rows == len(held)
    assert active["held"].precision.hits == sum(row["known"] == 1 for row in held)
    assert not shadow
