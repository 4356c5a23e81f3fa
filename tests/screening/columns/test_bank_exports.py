"""Forms of exports that banks and payment services give: each is guessed right, or refused with what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from screening.columns.matching import guess_mapping
from screening.errors import BadFile
from screening.intake import FileKind, numbers, open_transactions
from screening.intake.preview import preview
from screening.training.column_choices import guessed
from screening.transactions.composition import Composition
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

NEEDED = (
    Column("TX_DATETIME", Role.TIME, CellKind.TIME),
    Column("CUSTOMER_ID", Role.ENTITY, CellKind.TEXT),
    Column("TX_AMOUNT", Role.AMOUNT, CellKind.NUMBER),
)
ROWS = 120
Row = Callable[[int, date, float], list[str]]


@dataclass(frozen=True)
class Form:
    """A header and how its rows are written; what is the time and the amount, as they are guessed."""

    header: str
    row: Row
    time: str | Composition
    amount: str | Composition
    delimiter: str = ","


def german(value: float) -> str:
    return f"{value:,.2f}".replace(",", "X").replace(".", ",").replace("X", ".")


FORMS = {
    "Sparkasse, CAMT": Form(
        "Auftragskonto;Buchungstag;Valutadatum;Buchungstext;Verwendungszweck;Beguenstigter/Zahlungspflichtiger;Betrag;Waehrung",
        lambda i, day, sum_: [
            "DE89", f"{day:%d.%m.%y}", f"{day:%d.%m.%y}", "KARTENZAHLUNG", f"Kauf {i}", f"Laden {i % 5}",
            german(-40 * sum_), "EUR",
        ],
        "Buchungstag", "Betrag", ";",
    ),
    "N26": Form(
        "Booking Date,Value Date,Partner Name,Type,Payment Reference,Amount (EUR),Original Amount",
        lambda i, day, sum_: [f"{day}", f"{day}", f"Shop {i % 5}", "Presentment", f"r {i}", f"{-sum_}", ""],
        "Booking Date", "Amount (EUR)",
    ),
    "PayPal": Form(
        "Date,Time,TimeZone,Name,Currency,Gross,Fee,Net",
        lambda i, day, sum_: [
            f"{day:%m/%d/%Y}", f"{i % 24:02}:15:{i % 60:02}", "PST", f"Client {i % 5}", "USD",
            f'"{100 * sum_:,.2f}"', "-0.50", f'"{100 * sum_ - 0.5:,.2f}"',
        ],
        Composition.of({"date": "Date", "time": "Time"}), "Gross",
    ),
    "Stripe": Form(
        "id,Type,Source,Amount,Fee,Net,Currency,Created (UTC),Available On (UTC),Customer Facing Amount",
        lambda i, day, sum_: [
            f"txn_{i}", "charge", f"ch_{i % 7}", f"{sum_:.2f}", "0.50", f"{sum_ - 0.5:.2f}", "eur",
            f"{day} {i % 24:02}:10", f"{day} 00:00", f"{sum_:.2f}",
        ],
        "Created (UTC)", "Amount",
    ),
    "Revolut": Form(
        "Type,Product,Started Date,Completed Date,Description,Amount,Fee,Currency,State,Balance",
        lambda i, day, sum_: [
            "CARD_PAYMENT", "Current", f"{day} {i % 24:02}:11:07", f"{day} 23:11:07", f"Shop {i % 5}", f"{-sum_:.2f}",
            "0.00", "EUR", "COMPLETED", "900.00",
        ],
        "Started Date", "Amount",
    ),
    "Wise": Form(
        "TransferWise ID,Date,Date Time,Amount,Currency,Description,Merchant",
        lambda i, day, sum_: [
            f"CARD-{i}", f"{day:%d-%m-%Y}", f"{day:%d-%m-%Y} {i % 24:02}:05:01.123", f"{-sum_:.2f}", "EUR", f"t {i}",
            f"Shop {i % 5}",
        ],
        "Date Time", "Amount",
    ),
    "Danske": Form(
        "Dato;Kategori;Tekst;Beløb;Saldo;Status",
        lambda i, day, sum_: [
            f"{day:%d.%m.%Y}", "Indkøb", f"Butik {i % 5}", german(-40 * sum_), german(20_000 - i), "Udført",
        ],
        "Dato", "Beløb", ";",
    ),
    "MT940 as CSV": Form(
        "Account;Value Date;Entry Date;D/C;Amount;Transaction Type;Reference",
        lambda i, day, sum_: [
            "NL91", f"{day:%y%m%d}", f"{day:%m%d}", "D" if sum_ > 0 else "C", f"{abs(sum_):.2f}".replace(".", ","),
            "NTRF", f"REF{i}",
        ],
        "Value Date", Composition.of({"amount": "Amount", "direction": "D/C"}), ";",
    ),
}  # fmt: skip


def written(form: Form, *, label: bool = False) -> str:
    """The file, with a label if it is to be learned from."""
    rows = []
    for i in range(ROWS):
        cells = form.row(
            i, date(2025, 1, 3) + timedelta(days=i), 12.5 + 3.25 * (i % 31) if i % 4 else -100.0 - i
        )
        rows.append(form.delimiter.join([*cells, *([str(int(i % 7 == 0))] if label else [])]))
    header = form.header + (f"{form.delimiter}is_fraud" if label else "")
    return "\r\n".join([header, *rows, ""])


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252"])
def test_time_and_amount_are_guessed(tmp_path: Path, name: str, encoding: str) -> None:
    form, file = FORMS[name], tmp_path / "a.csv"
    file.write_bytes(written(form).encode(encoding))
    header, rows = preview(file, FileKind.CSV)
    found = guess_mapping(header, rows, NEEDED)
    for wanted, theirs in (("TX_DATETIME", form.time), ("TX_AMOUNT", form.amount)):
        assert (found[wanted].made or found[wanted].header) == theirs
    assert "Amount" not in str(found["CUSTOMER_ID"].header)


@pytest.mark.parametrize("name", FORMS)
def test_what_is_learned_from_has_its_time_and_its_amount(tmp_path: Path, name: str) -> None:
    form, file = FORMS[name], tmp_path / "a.csv"
    file.write_text(written(form, label=True), encoding="utf-8")
    roles = {choice.column.role: choice.column for choice in guessed(file, FileKind.CSV, "is_fraud")}
    assert roles[Role.TIME].kind is CellKind.TIME
    assert (roles[Role.AMOUNT].made or roles[Role.AMOUNT].name) == form.amount


JAPANESE = "取引日,お取扱内容,お支払金額,お預り金額\r\n" + "".join(
    f'2025/01/{day:02},店舗{day % 5},"{day},000円",\r\n' for day in range(1, 29)
)
CHINESE = "交易时间,交易类型,交易对方,金额(元)\r\n" + "".join(
    f"2025-01-{day:02} 10:00:00,商户消费,商店{day % 5},￥{day}.50\r\n" for day in range(1, 29)
)
RUSSIAN = "Дата,Сумма,Клиент\r\n" + "".join(
    f"2025-01-{day:02},{day}.50,Иванов {day % 5}\r\n" for day in range(1, 29)
)


@pytest.mark.security(22)
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (JAPANESE, "cp932"),
        (JAPANESE, "euc-jp"),
        (CHINESE, "gbk"),
        (CHINESE.replace("时间", "時間"), "gb18030"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
    ],
)
def test_text_in_an_encoding_that_cant_be_told_is_refused_and_read_as_utf_8(
    tmp_path: Path, text: str, encoding: str
) -> None:
    """Read as Windows-1252 its names would be others than those of the same file as UTF-8, without a word."""
    file = tmp_path / "a.csv"
    file.write_bytes(text.encode(encoding))
    with pytest.raises(BadFile, match="neither UTF-8 nor Western European") as refused:
        preview(file, FileKind.CSV)
    assert refused.value.remedy == "Save it as CSV UTF-8."
    file.write_bytes(text.encode())
    header, rows = preview(file, FileKind.CSV)
    assert len(header) == len(text.splitlines()[0].split(","))
    assert len(rows) == 28


def test_it_is_refused_wherever_in_the_file_it_shows(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.csv"
    ascii_rows = "".join(f"2025-01-01,{row},Shop\r\n" for row in range(20_000))
    file.write_bytes(
        b"day,amount,name\r\n" + ascii_rows.encode() + "2025-01-01,1,店舗一覧表\r\n".encode("gbk")
    )
    contract = ColumnContract(
        ("amount", "name"), kinds=(CellKind.NUMBER, CellKind.TEXT), roles=(Role.AMOUNT, Role.ENTITY)
    )
    with pytest.raises(BadFile, match="neither UTF-8 nor"):
        list(open_transactions(file, FileKind.CSV, lambda _: contract, canonical=tmp_path / "c"))


@pytest.mark.parametrize(
    ("cell", "value"), [("1,000円", 1000.0), ("￥12.50", 12.5), ("12.50元", 12.5), ("¥1,200", 1200.0)]
)
def test_sums_in_yen_and_yuan_are_read(cell: str, value: float) -> None:
    assert numbers.number(cell) == value
