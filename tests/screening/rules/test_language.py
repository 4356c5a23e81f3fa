"""Rules mean the same as a function and as SQL; what can't be understood is refused with its place and advice."""

from __future__ import annotations

import time

import duckdb
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from screening.rules.language.closure import compiled
from screening.rules.language.parser import DEEPEST, parse
from screening.rules.language.problems import BadRule
from screening.rules.language.sql import statement
from screening.rules.language.texts import fold
from screening.rules.language.tokens import MOST_CHARACTERS
from screening.rules.language.tree import Condition, Type
from tests.screening.rules.drawn import AMOUNTS, ENTRIES, FACTS, VOCABULARY, WORDS, rows, rules, table

PIECES = """
amount device country list in not and or is missing true ( ) [ ] , + - * / == < > 5 1d "a" ` \\ # __import__ lambda eval
exec . : { } ' count signup_time since new $r0 ; --
""".split()  # noqa: SIM905 -- as they are written


def _asked(trees: list[Condition], some: list[dict[str, object]]) -> list[tuple[bool | None, ...]]:
    """What DuckDB says of some rows: of each what each rule says."""
    made = statement(trees, ENTRIES)
    connection = duckdb.connect(config={"threads": 1})
    connection.register("rows_of_it", table(some))
    for name, entries in made.lists.items():
        connection.register(name, entries)
    inner = f"SELECT {', '.join(made.conditions)} FROM rows_of_it"
    return connection.execute(f"SELECT {', '.join(made.rules)} FROM ({inner})", made.given).fetchall()


@settings(max_examples=100, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=4), st.lists(rows(), min_size=1, max_size=70))
def test_a_rule_says_the_same_of_a_row_as_a_function_and_as_sql(
    texts: list[str], some: list[dict[str, object]]
) -> None:
    trees = [parse(text, VOCABULARY) for text in texts]
    functions = [compiled(tree, ENTRIES) for tree in trees]
    assert _asked(trees, some) == [tuple(function(row) for function in functions) for row in some]


@pytest.fixture(scope="module")
def ten_thousand() -> list[dict[str, object]]:
    """Rows of which a fifth of the cells is blank."""
    chance = np.random.default_rng(20)
    columns: dict[str, list[object]] = {}
    for fact in FACTS:
        if fact.type is Type.TEXT:
            made: list[object] = chance.choice(WORDS, 10_000).tolist()
        elif fact.type is Type.FLAG:
            made = chance.choice([0.0, 1.0], 10_000).tolist()
        else:
            made = np.where(
                chance.random(10_000) < 0.5, chance.choice(AMOUNTS, 10_000), chance.lognormal(3, 2, 10_000)
            ).tolist()
        blank = (chance.random(10_000) < 0.2).tolist()
        columns[fact.key] = [None if out else value for value, out in zip(made, blank, strict=True)]
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


@settings(max_examples=15, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=8))
def test_rules_say_the_same_of_ten_thousand_rows_with_blanks(
    ten_thousand: list[dict[str, object]], texts: list[str]
) -> None:
    trees = [parse(text, VOCABULARY) for text in texts]
    functions = [compiled(tree, ENTRIES) for tree in trees]
    assert _asked(trees, ten_thousand) == [
        tuple(function(row) for function in functions) for row in ten_thousand
    ]


def test_texts_are_folded_as_duckdb_folds_them() -> None:
    signs = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code <= 0xDFFF]
    told = duckdb.connect().execute("SELECT lower(unnest($signs))", {"signs": signs}).fetchall()
    assert [fold(sign) for sign in signs] == [row[0] for row in told]
    assert fold("AΣ") == duckdb.connect().execute("SELECT lower('AΣ')").fetchall()[0][0]


def test_each_distinct_condition_is_asked_once() -> None:
    trees = [
        parse(text, VOCABULARY)
        for text in ("amount > 5 and age > 3", "AMOUNT > 5.0 or new(device)", "not (amount > 5)")
    ]
    assert len(statement(trees, ENTRIES).conditions) == 3


@pytest.mark.parametrize(
    ("text", "what", "where", "remedy"),
    [
        (
            "amonut > 5",
            "amonut is nothing that is known of transactions.",
            "line 1, character 1",
            "Did you mean amount",
        ),
        (
            'amount > 5\nand contry == "DE"',
            "contry is nothing",
            "line 2, character 5",
            "Did you mean country",
        ),
        ("cuont(device, 1d) > 3", "cuont(device, 1d)", "character 1", "Did you mean count(device, 1d)"),
        (
            "device in list bad_device",
            "There is no list bad_device.",
            "character 16",
            "Did you mean bad_devices?",
        ),
        ("country in list bad_devices", "a list of device", "character 1", None),
        ('amount > "5"', "amount is a number, and “5” is a text.", "character 8", "Write a number without"),
        ("country == 5", "country is a text, and 5 is a number.", "character 9", "Write a text in"),
        ('country > "DE"', "Texts have no order", "character 9", "Write =="),
        ("amount", "amount is a number, and no condition.", "character 1", "Compare it"),
        ("new(device) == 1", "new(device) is yes or no by itself.", "character 13", "Write the name alone"),
        ("1 < amount < 5", "Two comparisons follow each other.", "character 12", "Write amount > 1 and"),
        ("amount > 5 age > 3", "“age” comes unexpected.", "character 12", None),
        ("amount > 5 and", "the end of the rule comes where", "character 15", None),
        ("amount > 5 && age > 3", "“&” means nothing here.", "character 12", "Write and."),
        ("country == 'DE'", "A text is written in", "character 12", None),
        ('country == "DE', "A text isn't closed.", "character 12", None),
        ("since(signup_time) < 5weeks", "“weeks” is no unit of time.", "character 23", "Write s, min, h, d"),
        ("(amount > 5", "“(” needs “)”", "character 12", None),
        ("", "The rule is empty.", "character 1", "amount > 1000"),
        ('country == "n/a"', "counts as missing", "character 12", "is missing"),
        ("amount > 1e16", "is too large", "character 10", None),
        ("(" * 30 + "amount > 1" + ")" * 30, f"deeper than {DEEPEST} levels", None, None),
        (" or ".join(["age>1"] * 150), "more than 300 parts", None, None),
        ("a" * (MOST_CHARACTERS + 1), "and may have 2,000", None, None),
        ("amount + country > 5", "country isn't a number", "character 8", None),
        ("(amount > 5) > 3", "A condition can't be compared.", "character 2", None),
        ("list", "“list” comes where", None, "A column of this name is written `list`."),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_what_to_do(
    text: str, what: str, where: str | None, remedy: str | None
) -> None:
    with pytest.raises(BadRule) as refused:
        parse(text, VOCABULARY)
    assert what in refused.value.what
    assert where is None or str(refused.value.where).endswith(where)
    assert remedy is None or remedy in str(refused.value.remedy)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.text(max_size=80),
        st.lists(
            st.sampled_from(PIECES),
            max_size=30,
        ).map(" ".join),
    )
)
@example("__import__('os').system('touch /tmp/x')")
@example("(lambda: 1)()")
@example("amount.__class__")
@example("- " * 1000)
@example("not " * 500)
@example("amount > " + "9" * 1900)
@example("5e999 > amount")
@example("𝟓 > amount")
@example("\x00")
def test_any_text_is_a_rule_or_refused_as_one(text: str) -> None:
    try:
        tree = parse(text, VOCABULARY)
    except BadRule as problem:
        refused = problem
    else:  # what is understood can be asked both ways
        nothing = dict.fromkeys(table([]).column_names)
        assert _asked([tree], [nothing])[0][0] == compiled(tree, ENTRIES)(nothing)
        return
    assert refused.what
    assert refused.where


@pytest.mark.security(46)
def test_reading_takes_linear_time_in_the_longest_text() -> None:
    worst = ['"' * MOST_CHARACTERS, "1" * MOST_CHARACTERS, "a" * MOST_CHARACTERS, "`" * MOST_CHARACTERS]
    worst += ["1e" * (MOST_CHARACTERS // 2), '\\"' * (MOST_CHARACTERS // 2), "(" * MOST_CHARACTERS]
    begun = time.process_time()
    for text in worst:
        with pytest.raises(BadRule):
            parse(text, VOCABULARY)
    assert time.process_time() - begun < 0.5


def test_what_is_not_known_of_a_row_makes_no_rule_true() -> None:
    empty: dict[str, object] = {}
    for text in (
        "amount > 5",
        "not (amount > 5)",
        'country != "DE"',
        "device not in list bad_devices",
        "amount == amount",
    ):
        assert compiled(parse(text, VOCABULARY), ENTRIES)(empty) is None
    assert compiled(parse("amount > 5 or true", VOCABULARY), ENTRIES)(empty) is True
    assert compiled(parse("amount is missing", VOCABULARY), ENTRIES)(empty) is True


def test_a_division_by_nothing_is_missing() -> None:
    rule = compiled(parse("amount / age > 5", VOCABULARY), ENTRIES)
    assert rule({"n:amount": 1.0, "n:age": 0.0}) is None
    assert rule({"n:amount": 10.0, "n:age": 1.0}) is True
