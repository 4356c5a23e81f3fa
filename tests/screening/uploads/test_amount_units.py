"""What a file counts its amounts in: whole cents and other units are asked about, and nothing else is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from secrets import token_hex

import numpy as np
import pandas as pd
import pytest

from model.data.summary import summary
from screening.detectors.registry import Detectors
from screening.errors import BadFile, Undecided
from screening.intake import NOTHING_SAID, Answers, FileKind
from screening.scoring.thresholds import always
from screening.settings import ROOT, Settings
from screening.transactions.amount_units import AmountUnit
from screening.transactions.schema import ColumnContract
from screening.uploads.line.order import ScreeningOrder
from screening.uploads.line.screen import screen
from screening.uploads.questions.column_mappings import Mapping
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder
from tests.screening.uploads.payment_forms import HEADER, WHOLE, Plain, Row, Screen, payments, table
from tests.second_detector import second_detector

SAMPLES = {
    "card": (ROOT / "transactions_data.csv", "Amount"),
    "payments": (ROOT / "model" / "detectors" / "payments" / "sample.csv", "TX_AMOUNT"),
    "ecommerce": (ROOT / "model" / "detectors" / "ecommerce" / "sample.csv", "purchase_value"),
}


def cents(value: float) -> str:
    return f"{round(value * 100)}"


def sample(
    name: str, change: Callable[[pd.Series], pd.Series] = lambda amounts: amounts, rows: int = 200
) -> str:
    """The first rows of a detector's sample, with other amounts."""
    path, amount = SAMPLES[name]
    frame = pd.read_csv(path, dtype=str).head(rows)
    frame[amount] = change(pd.to_numeric(frame[amount]))
    return frame.to_csv(index=False)


def asked(screened: Screen, content: str, **more: object) -> Undecided:
    with pytest.raises(Undecided) as caught:
        screened(content, **more)
    (question,) = caught.value.questions
    assert question.option == "unit"
    return caught.value


def test_whole_cents_are_asked_about_and_read(screened: Screen, plain: Plain) -> None:
    content = table(payments(), amount=cents)
    question = asked(screened, content).questions[0]
    assert asked(screened, content, check=True).questions[0] == question
    assert "whole numbers only, and they are about 100 times as large" in question.words
    readings = {one.answer: one.examples for one in question.readings}
    assert readings["cents"][0] == ("1250", "12.50")
    assert readings["whole"][0] == ("1250", "1,250.00")
    assert all(len(examples) == 5 for examples in readings.values())
    expected = plain(table(payments()))
    found = screened(content, answers=Answers(unit="cents"))
    np.testing.assert_array_equal(found.probability, expected)
    assert "TX_AMOUNT was read in cents, as was said: “1250” is 12.5." in found.notes
    kept = screened(content, answers=Answers(unit="whole"))
    assert (kept.probability != expected).all()
    assert "as was said, and is about 100 times as large" in kept.notes


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize(("unit", "factor"), [("cents", 100), ("mils", 1000)])
def test_every_shipped_detector_asks_and_an_answer_gives_its_probabilities(
    screened: Screen, name: str, unit: str, factor: int
) -> None:
    written = sample(name, lambda amounts: (amounts * factor).round().astype(int))
    problem = asked(screened, written)
    assert f"--unit {unit}" in str(problem.remedy)
    exact = sample(name, lambda amounts: (amounts * factor).round() / factor)
    np.testing.assert_array_equal(
        screened(written, answers=Answers(unit=unit)).probability, screened(exact).probability
    )


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 200])
def test_amounts_like_those_of_the_training_are_never_asked_about(
    screened: Screen, name: str, rows: int
) -> None:
    for change in (
        lambda amounts: amounts,
        lambda amounts: amounts.round().astype(int),
        lambda amounts: (amounts * 5).round().astype(int),
        lambda amounts: amounts / 5,
    ):
        screened(sample(name, change, rows))


def two_systems(rows: int = 200, *, turn: int = 100) -> list[Row]:
    """Payments of many amounts, from a row on as a system writes them that knows cents only."""
    random = np.random.default_rng(7)
    return [
        (day, who, where, float(f"{amount:.2f}") if number < turn else float(f"{amount * 100:.0f}"))
        for number, ((day, who, where, _), amount) in enumerate(
            zip(payments(count=rows), random.lognormal(3.6, 0.8, rows), strict=True)
        )
    ]


@pytest.mark.parametrize("check", [False, True])
def test_a_file_joined_of_two_systems_is_asked_about_with_the_row_where_it_turns(
    screened: Screen, check: bool
) -> None:
    question = asked(screened, table(two_systems(), amount=lambda value: f"{value:.15g}"), check=check)
    (reading,) = question.questions[0].readings
    assert reading.answer == "whole"
    assert len(reading.examples) == 5
    assert re.search(
        r"^TX_AMOUNT has \d+ amounts with decimals and \d+ whole ones "
        r"about 100 times as large, from about row 10\d on, as if one system wrote 12\.50",
        question.questions[0].words,
    )
    assert "send what each wrote as a file of its own" in question.questions[0].words


def test_a_file_of_two_systems_is_read_as_it_stands_if_that_was_said_and_says_so(screened: Screen) -> None:
    found = screened(table(two_systems()), answers=Answers(unit="whole"))
    assert "whole ones about 100 times as large, from about row 10" in found.notes
    assert "all were read in one unit. If two systems wrote them, one of both is wrong." in found.notes


def test_one_system_of_the_same_payments_is_never_asked_about(screened: Screen) -> None:
    assert "two systems" not in screened(table(two_systems(turn=200))).notes


def test_one_payment_of_a_thousand_is_no_file_of_cents(screened: Screen) -> None:
    rows = payments()
    screened(table([(*rows[0][:3], 170.0)]))
    screened(table([(*row[:3], 120.0) for row in rows[:5]]))


def test_large_amounts_with_decimals_are_noted_and_not_asked_about(screened: Screen) -> None:
    """One cell with parts says that they aren't whole cents."""
    rows = [(*row[:3], float(round(row[3] * 100))) for row in payments()]
    rows[-1] = (*rows[-1][:3], 1250.5)
    found = screened(table(rows))
    assert "TX_AMOUNT is about 60 times as large as in the training data" in found.notes


def test_the_whole_column_counts_and_not_its_first_block(screened: Screen) -> None:
    rows = [(*row[:3], float(round(row[3] * 100))) for row in payments(timedelta(minutes=1), 60_000)]
    rows[-1] = (*rows[-1][:3], 1250.5)
    assert "as large as" in screened(table(rows)).notes


def test_a_column_that_has_decimals_cant_be_cents(screened: Screen) -> None:
    with pytest.raises(BadFile, match=r"said to be in cents.*amounts are no whole numbers, as 12\.5"):
        screened(table(payments()), answers=Answers(unit="cents"))


def test_cents_written_with_a_point_and_zeros_are_whole(screened: Screen, plain: Plain) -> None:
    content = table(payments(), amount=lambda value: f"{value * 100:.2f}")
    asked(screened, content)
    np.testing.assert_array_equal(
        screened(content, answers=Answers(unit="cents")).probability, plain(table(payments()))
    )


@pytest.mark.parametrize("form", ["{:,.0f}", "{:.0f} EUR", "€{:.0f}", "{:.0f}-"])
def test_cents_in_other_writings_are_asked_about_too(screened: Screen, plain: Plain, form: str) -> None:
    content = table(payments(), amount=lambda value: form.format(round(value * 100)))
    answers = Answers(sign="turn" if form.endswith("-") else None)
    asked(screened, content, answers=answers)
    said = Answers(sign=answers.sign, unit="cents")
    np.testing.assert_array_equal(screened(content, answers=said).probability, plain(table(payments())))


def test_debit_and_credit_in_cents(screened: Screen) -> None:
    def content(written: Callable[[float], str]) -> str:
        header = (*HEADER[:3], "Soll", "Haben")
        rows = [
            ",".join(
                [
                    f"{day:%Y-%m-%d %H:%M:%S}",
                    who,
                    where,
                    *(("", written(value)) if at % 9 == 4 else (written(value), "")),
                ]
            )
            for at, (day, who, where, value) in enumerate(payments())
        ]
        return "\n".join([",".join(header), *rows, ""])

    asked(screened, content(cents))
    np.testing.assert_array_equal(
        screened(content(cents), answers=Answers(unit="cents")).probability,
        screened(content("{:.2f}".format)).probability,
    )


def test_thousands_and_a_detector_of_cents_go_the_other_way(screened: Screen, plain: Plain) -> None:
    content = table(payments(), amount=lambda value: f"{value / 1000:.6f}")
    problem = asked(screened, content)
    assert [one.answer for one in problem.questions[0].readings] == ["thousands", "hundreds", "whole"]
    assert "about 1,000 times smaller" in problem.questions[0].words
    found = screened(content, answers=Answers(unit="thousands"))
    np.testing.assert_array_equal(found.probability, plain(table(payments())))


NAMES = {
    "Amount (cents)": "cents",
    "amount_minor": "cents",
    "amountCents": "cents",
    "Betrag in Cent": "cents",
    "montant_centimes": "cents",
    "amount_fils": "cents",
}


def mapped(name: str) -> dict[str, object]:
    columns = {each: each for each in HEADER[:3]} | {"TX_AMOUNT": name}
    return {"said": Mapping("payments", columns, of_this_file=True)}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_says_the_unit_answers_the_question(screened: Screen, plain: Plain, name: str) -> None:
    content = table(payments(), amount=cents, header=(*HEADER[:3], name))
    found = screened(content, **mapped(name))
    np.testing.assert_array_equal(found.probability, plain(table(payments())))
    assert f"in cents, as “{name}” says" in found.notes
    few = table(payments()[:2], amount=cents, header=(*HEADER[:3], name))
    np.testing.assert_array_equal(screened(few, **mapped(name)).probability, plain(table(payments()[:2])))


def test_a_name_that_the_cells_speak_against_is_asked_about(screened: Screen) -> None:
    name = "amount_cents"
    decimals = table(payments(), header=(*HEADER[:3], name))
    assert "they don't look so" in asked(screened, decimals, **mapped(name)).what
    usual = table(WHOLE, header=(*HEADER[:3], name))
    assert "they don't look so" in asked(screened, usual, **mapped(name)).what
    found = screened(decimals, answers=Answers(unit="whole"), **mapped(name))
    np.testing.assert_array_equal(found.probability, screened(table(payments())).probability)


def with_currency(codes: list[str], amount: Callable[[float], str], name: str = "TX_AMOUNT") -> str:
    lines = table(payments(), amount=amount, header=(*HEADER[:3], name)).splitlines()
    rows = [f"{line},{codes[at % len(codes)]}" for at, line in enumerate(lines[1:])]
    return "\n".join([f"{lines[0]},currency", *rows, ""])


def test_a_currency_without_cents_is_not_asked_about(screened: Screen) -> None:
    found = screened(with_currency(["JPY"], cents))
    assert "TX_AMOUNT is about 100 times as large" in found.notes
    asked(screened, with_currency(["EUR"], cents))


@pytest.mark.parametrize(
    ("code", "factor"), [("JPY", 1), ("392", 1), ("eur", 100), ("KWD", 1000), ("414", 1000)]
)
def test_what_a_minor_unit_is_the_currency_says(
    screened: Screen, plain: Plain, code: str, factor: int
) -> None:
    rows = WHOLE if factor == 1 else payments()
    lines = table(rows, amount=lambda value: f"{round(value * factor)}", header=(*HEADER[:3], "amount_minor"))
    head, *rest = lines.splitlines()
    content = "\n".join([f"{head},currency", *(f"{line},{code}" for line in rest), ""])
    found = screened(content, **mapped("amount_minor"))
    np.testing.assert_array_equal(found.probability, plain(table(rows)))


def test_minor_units_of_currencies_that_have_different_ones_are_refused(screened: Screen) -> None:
    content = with_currency(["EUR", "JPY"], cents, "amount_minor")
    with pytest.raises(BadFile, match="EUR has hundredths and JPY has no smaller unit"):
        screened(content, **mapped("amount_minor"))
    with pytest.raises(BadFile, match="different ones"):
        screened(with_currency(["EUR", "KWD"], cents), answers=Answers(unit="cents"))


def test_a_currency_far_below_the_first_rows_counts_too(screened: Screen) -> None:
    """The first rows say yen, which have no smaller unit, and the last one euros."""
    rows = [(*row[:3], float(round(row[3]))) for row in payments(timedelta(minutes=9), 1200)]
    head, *lines = table(rows, header=(*HEADER[:3], "amount_minor")).splitlines()
    content = "\n".join([f"{head},currency", *(f"{line},JPY" for line in lines[:-1]), f"{lines[-1]},EUR", ""])
    with pytest.raises(BadFile, match="EUR has hundredths and JPY has no smaller unit"):
        screened(content, **mapped("amount_minor"))


def test_more_currencies_than_are_counted_cant_all_have_the_same_cents(screened: Screen) -> None:
    codes = [f"A{letter}{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    with pytest.raises(BadFile, match="names more currencies than are compared here"):
        screened(with_currency(codes, cents, "amount_minor"), **mapped("amount_minor"))
    assert "currency names many currencies" in screened(with_currency(codes, "{:g}".format)).notes


def test_several_currencies_in_a_column_are_noted(screened: Screen) -> None:
    found = screened(with_currency(["EUR", "USD", "GBP"], "{:g}".format))
    assert "currency names several currencies (EUR, GBP, USD); nothing was converted" in found.notes
    assert "currencies" not in screened(with_currency(["EUR"], "{:g}".format)).notes


@pytest.fixture
def of_cents(tmp_path: Path) -> Detectors:
    """Detectors one of which learned from payments in whole cents, as its card says."""
    folder = second_detector(tmp_path, "payments", "cents", shift=0.0)
    card = json.loads((folder / "card.json").read_text("utf-8"))
    amounts = card["columns"]["TX_AMOUNT"]
    card["columns"]["TX_AMOUNT"] = {
        **amounts,
        **{name: value * 100 for name, value in amounts.items() if name in ("min", "max") or name[0] == "q"},
        "whole": 1.0,
    }
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return Detectors(Settings(instance=tmp_path))


def test_a_detector_that_learned_from_cents_asks_for_amounts_with_decimals(
    of_cents: Detectors, tmp_path: Path
) -> None:
    in_cents, in_units = table(payments(), amount=cents), table(payments())

    def probabilities(content: str, answers: Answers = NOTHING_SAID) -> np.ndarray:
        folder = UploadFolder(tmp_path, token_hex(4))
        folder.create()
        folder.input.write_text(content)
        folder.complete()
        screen(
            folder,
            FileKind.CSV,
            of_cents,
            ScreeningOrder(limits=always(0.8), wanted="cents", answers=answers),
        )
        return ScreeningOutcome(folder, 0.8).probability.copy()

    with pytest.raises(Undecided) as caught:
        probabilities(in_units)
    readings = {one.answer: one.examples[0] for one in caught.value.questions[0].readings}
    assert readings["hundreds"] == ("12.5", "1,250.00")
    expected = probabilities(in_cents)  # they are as it knows them: nothing is asked
    np.testing.assert_array_equal(probabilities(in_units, Answers(unit="hundreds")), expected)


def test_the_card_of_a_training_tells_how_many_amounts_are_whole() -> None:
    contract = ColumnContract(("amount", "score"), amount="amount")
    values = np.array([[100.0, 0.5], [250.0, 1.0], [np.nan, 2.0]])
    found = summary(contract, values)
    assert (found["amount"]["whole"], found["score"]["whole"]) == (1.0, round(2 / 3, 6))


@pytest.mark.parametrize(
    ("number", "unit", "amount"),
    [
        (1070.0, AmountUnit.CENTS, 10.7),
        (12.5, AmountUnit.CENTS, 0.125),
        (1.1, AmountUnit.HUNDREDS, 110.0),
        (0.29, AmountUnit.HUNDREDS, 29.0),
        (0.0000123, AmountUnit.THOUSANDS, 0.0123),
        (-7.0, AmountUnit.MILS, -0.007),
        (1e22, AmountUnit.HUNDREDS, 1e24),
    ],
)
def test_an_amount_moves_to_the_float_that_its_digits_are_nearest_to(
    number: float, unit: AmountUnit, amount: float
) -> None:
    assert unit.of(number) == amount
    both = unit.of_all(np.array([number, np.nan]))
    assert both[0] == amount
    assert np.isnan(both[1])
    assert unit.written(both)[0] == number
