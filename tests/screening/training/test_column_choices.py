from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.errors import BadFile, Conflict
from screening.intake import FileKind
from screening.training.column_choices import (
    KINDS,
    BadColumns,
    ColumnChoice,
    check_columns,
    check_name,
    consequences,
    fitted,
    guessed,
    named,
    overruled,
)
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

COLUMNS = (
    Column("when", Role.TIME, CellKind.TIME),
    Column("card", Role.ENTITY, CellKind.TEXT),
    Column("paid", Role.AMOUNT),
    Column("items", Role.NUMBER, optional=True),
    Column("fraud", Role.LABEL),
)
CHOICES = [ColumnChoice(column, "guessed") for column in COLUMNS]


def roles(choices: list[ColumnChoice]) -> dict[str, Role]:
    return {choice.column.name: choice.column.role for choice in choices}


def test_what_follows_from_the_roles_is_said() -> None:
    columns = [
        ColumnChoice(Column("amount", Role.AMOUNT)),
        ColumnChoice(Column("channel", Role.CATEGORY, CellKind.TEXT)),
        ColumnChoice(Column("zip", Role.IGNORE, CellKind.TEXT), "every cell says the same"),
    ]
    said = " ".join(consequences(columns))
    assert "drawn at random" in said
    assert "no history of cards" in said
    assert "Not learned from: zip (every cell says the same)." in said
    assert "amounts caught" not in said
    whole = [
        *columns[:2],
        ColumnChoice(Column("when", Role.TIME)),
        ColumnChoice(Column("card", Role.ENTITY, CellKind.TEXT)),
    ]
    assert consequences(whole) == []


def test_a_file_is_described_with_reasons_and_a_few_of_its_values(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("Amount,Shop,Fraud\n" + "".join(f"{n}.5,shop {n % 4},{n % 2}\n" for n in range(200)))
    choices = guessed(file, FileKind.CSV, " fraud ")
    assert roles(choices)["Fraud"] is Role.LABEL
    assert all(choice.reason for choice in choices)
    assert choices[0].examples == ("0.5", "1.5", "2.5")
    check_columns([choice.column for choice in choices])


@pytest.mark.parametrize(
    ("words", "good"), [("no,yes", True), ("0,1", True), ("False,true", True), ("A,B", False)]
)
def test_a_label_says_yes_or_no_and_what_it_says_instead_is_shown(
    tmp_path: Path, words: str, good: bool
) -> None:
    file = tmp_path / "a.csv"
    both = words.split(",")
    file.write_text("amount,fraud\n" + "".join(f"{n}.5,{both[n % 2]}\n" for n in range(100)))
    if good:
        assert roles(guessed(file, FileKind.CSV, "fraud"))["fraud"] is Role.LABEL
    else:
        with pytest.raises(BadFile, match="“A”"):
            guessed(file, FileKind.CSV, "fraud")


def test_a_column_without_a_name_plays_no_part(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(",amount,fraud\n" + "".join(f"{n},{n % 9}.5,{n % 2}\n" for n in range(100)))
    assert roles(guessed(file, FileKind.CSV, "fraud"))[""] is Role.IGNORE


def test_a_file_of_more_columns_than_can_be_learned_from_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    file.write_text(",".join(f"c{n}" for n in range(1001)) + "\n" + "1," * 1000 + "1\n")
    with pytest.raises(BadFile, match="1,001 columns"):
        guessed(file, FileKind.CSV, "c1")


def test_a_column_is_named_in_any_case_but_never_guessed_between_two() -> None:
    assert named(["A", " Fraud "], "fraud") == " Fraud "
    with pytest.raises(BadFile, match="more than once"):
        named(["fraud", "FRAUD"], "fraud")
    with pytest.raises(BadFile, match="no column") as caught:
        named(["a", "b"], "fraud")
    assert "a, b" in str(caught.value)


def test_a_role_that_only_one_column_has_moves_to_the_one_that_is_named() -> None:
    after = overruled(CHOICES, {"ITEMS": Role.AMOUNT, "card": Role.IGNORE})
    assert roles(after) == {
        "when": Role.TIME, "card": Role.IGNORE, "paid": Role.NUMBER, "items": Role.AMOUNT, "fraud": Role.LABEL,
    }  # fmt: skip
    assert [choice.reason for choice in after] == [
        "guessed", "as you say", "another has its role", "as you say", "guessed",
    ]  # fmt: skip
    check_columns([choice.column for choice in after])


def test_the_first_time_stays_as_a_moment_when_another_becomes_the_time() -> None:
    choices = [*CHOICES, ColumnChoice(Column("signup", Role.MOMENT, CellKind.TIME))]
    after = overruled(choices, {"signup": Role.TIME})
    assert roles(after)["when"] is Role.MOMENT


@given(role=st.sampled_from(Role), kind=st.sampled_from(CellKind), optional=st.booleans())
def test_a_column_fits_any_role_afterwards(role: Role, kind: CellKind, optional: bool) -> None:
    column = fitted(Column("a", Role.NUMBER, kind, optional), role)
    assert column.kind in KINDS[role]
    assert not (role is Role.TIME and column.optional), "without its time a row has no place"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"paid": Role.LABEL}, "paid and fraud can't all be the label"),
        ({"fraud": Role.NUMBER}, "No column says which rows were fraud"),
        ({"card": Role.TIME}, "when and card can't all be the time"),
        (dict.fromkeys(("when", "card", "paid", "items"), Role.CARRY), "No column is left to learn from"),
    ],
)
def test_roles_that_contradict_each_other_are_refused(change: dict[str, Role], said: str) -> None:
    columns = [fitted(column, change.get(column.name, column.role)) for column in COLUMNS]
    with pytest.raises(BadColumns, match=said):
        check_columns(columns)


def test_a_kind_that_doesnt_go_with_its_role_is_refused() -> None:
    columns = [*COLUMNS, Column("note", Role.NUMBER, CellKind.TEXT)]
    with pytest.raises(BadColumns, match="note is a number, but its cells are text"):
        check_columns(columns)


def test_choices_survive_being_kept_and_make_a_contract() -> None:
    choices = [ColumnChoice(column, "why", ("1", "2")) for column in COLUMNS]
    assert [ColumnChoice.from_dict(choice.as_dict()) for choice in choices] == choices
    contract = ColumnContract.of([choice.column for choice in choices])
    assert (contract.label, contract.time, contract.optional) == ("fraud", "when", ("items",))


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "../a", "a" * 41, "new", "ä", "a\n"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(BadColumns):
        check_name(name, ())


def test_a_name_that_is_taken_is_refused() -> None:
    check_name("a-1_b", ("card",))
    with pytest.raises(Conflict):
        check_name("card", ("card",))


@pytest.mark.security(25)
def test_values_that_look_like_card_numbers_arent_shown(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("device,fraud\n4111111111111111,0\nx,1\ny,1\n")
    assert "4111" not in str([choice.as_dict() for choice in guessed(file, FileKind.CSV, "fraud")])


@pytest.mark.security(25)
def test_a_column_of_card_numbers_is_refused_before_anything_is_chosen(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("pan,fraud\n4111111111111111,0\n4111111111111111,1\n")
    with pytest.raises(BadFile, match="Column pan holds payment card numbers") as error:
        guessed(file, FileKind.CSV, "fraud")
    assert "4111" not in str(error.value.as_dict())
