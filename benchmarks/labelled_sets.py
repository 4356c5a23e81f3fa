"""Labelled tables of many schemas, generated: what ``python -m benchmarks.versus_trees`` trains and tests on.

Each has a cause of fraud of its own that a model can find, noise that it can't, and the traps of real files: identifiers,
blanks, rows sorted by the label, hours in place of dates. Every set says how its rows are parted and what a practitioner
would leave out or add by hand; the product is told nothing but the label's name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from model.data import simulation

Floats = NDArray[np.float64]
Draw = np.random.Generator
FIRST = pd.Timestamp("2024-01-01")
LATER = 0.3
"""The share of the rows that is tested: the latest, or drawn."""


@dataclass(frozen=True)
class Made:
    """A table, the label's column and value for fraud, and what a practitioner knows of its columns."""

    table: pd.DataFrame
    label: str = "is_fraud"
    fraud: str = "1"
    left_out: Sequence[str] = ()
    """Identifiers and the time itself: trees on raw columns don't get them."""
    time: str | None = None
    """What orders the rows: they are parted by it, and features of the rivals' second form look back by it."""
    entities: Sequence[str] = ()
    amount: str | None = None
    by_hand: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    """What an hour of thought adds for this schema."""
    words: str = ""
    tested: NDArray[np.bool_] | None = field(default=None, compare=False)
    """Rows that are tested where the latest or a random part isn't meant."""


def _label(draw: Draw, score: Floats, share: float, steep: float = 4.0) -> NDArray[np.int64]:
    """Labels drawn so that a score decides mostly, and so many are fraud on the mean."""
    low, high = -200.0, 200.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(steep * score + middle).mean() < share else (low, middle)
    label: NDArray[np.int64] = (draw.random(len(score)) < expit(steep * score + low)).astype(np.int64)
    return label


def _days(draw: Draw, rows: int, days: float) -> pd.Series:
    return pd.Series(
        FIRST + pd.to_timedelta(np.sort(np.round(draw.uniform(0, days * 86_400, rows))), unit="s")
    )


def _codes(draw: Draw, rows: int, levels: int, word: str, skew: float = 1.1) -> NDArray[np.object_]:
    share = 1 / np.arange(1, levels + 1) ** skew
    return np.array([f"{word}{place:04d}" for place in range(levels)], object)[
        draw.choice(levels, rows, p=share / share.sum())
    ]


def _effect(draw: Draw, cells: NDArray[np.object_], spread: float = 1.0) -> Floats:
    levels, place = np.unique(cells.astype(str), return_inverse=True)
    return draw.normal(0, spread, len(levels))[place]


def wide(draw: Draw) -> Made:
    """120 columns of numbers, ten of them tell, two only together; no time."""
    rows = 8_000
    values = draw.standard_normal((rows, 120))
    score = values[:, :8].sum(axis=1) / 3 + 1.5 * values[:, 8] * values[:, 9] + np.abs(values[:, 3])
    table = pd.DataFrame(np.round(values, 5), columns=[f"f{place}" for place in range(120)])
    return Made(table.assign(is_fraud=_label(draw, score, 0.03)), words="120 numbers, no time")


def small(draw: Draw) -> Made:
    """700 claims, a quarter of them fraud, two of thirty columns tell."""
    rows = 1_000
    table = pd.DataFrame(
        {"claim_id": np.arange(rows) + 10_000, "incident_date": _days(draw, rows, 60).dt.strftime("%m/%d/%Y")}
    )
    for place in range(14):
        table[f"kind_{place}"] = draw.choice([f"k{level}" for level in range(4 + place)], rows)
    for place in range(12):
        table[f"points_{place}"] = np.round(draw.gamma(2, 500, rows))
    score = (
        (table.kind_1 == "k0") * 2.2 + table.kind_9.isin(("k3", "k7")) * 2.5 - 0.5 * (table.kind_1 == "k2")
    )
    table["fraud_reported"] = np.where(_label(draw, score.to_numpy(float), 0.25, 1.2), "Y", "N")
    return Made(
        table,
        "fraud_reported",
        "Y",
        ("claim_id", "incident_date"),
        "incident_date",
        words="claims, 700 rows, 26 columns",
    )


def accounts(draw: Draw) -> Made:
    """Accounts without a time, sorted by the label, of columns that add up."""
    rows = 6_000
    sent, received = draw.lognormal(1, 2, rows), draw.lognormal(1, 2.2, rows)
    count_sent, count_received = draw.geometric(0.03, rows), draw.geometric(0.02, rows)
    age = draw.gamma(1.2, 60_000, rows)
    score = (
        -0.6 * np.log1p(age / 1e4) + 0.5 * np.log1p(count_received / count_sent) - 0.3 * np.log(sent)
        + 0.8 * (np.abs(sent - received) < 0.1 * received)
    )  # fmt: skip
    table = pd.DataFrame({
        "Index": np.arange(1, rows + 1), "Address": [f"0x{draw.integers(1, 2**62):016x}{place:05x}" for place in range(rows)],
        "Avg min between sent tnx": np.round(age / count_sent, 2), "Time Diff between first and last (Mins)": np.round(age, 2),
        "Sent tnx": count_sent, "Received Tnx": count_received, "total transactions": count_sent + count_received,
        "total sent": np.round(sent, 6), "total received": np.round(received, 6), "balance": np.round(received - sent, 6),
        "most sent token": np.where(draw.random(rows) < 0.4, "", _codes(draw, rows, 120, "Token")),
        "min value": np.round(draw.exponential(0.1, rows) * sent, 6), "max value": np.round(sent * draw.uniform(0.2, 1, rows), 6),
    })  # fmt: skip
    table.insert(2, "FLAG", _label(draw, score, 0.22, 3))
    table = table.sort_values("FLAG", kind="stable", ignore_index=True).assign(Index=np.arange(1, rows + 1))
    return Made(table, "FLAG", "1", ("Index", "Address"), words="accounts sorted by the label, no time")


def transfers(draw: Draw) -> Made:
    """Transfers by hours since a start; frauds empty the account, to the cent."""
    rows = 12_000
    step = np.sort(draw.integers(1, 400, rows))
    kind = draw.choice(
        ["PAYMENT", "CASH_OUT", "CASH_IN", "TRANSFER", "DEBIT"], rows, p=[0.34, 0.35, 0.22, 0.08, 0.01]
    )
    held = np.where(draw.random(rows) < 0.3, 0.0, np.round(draw.lognormal(9.5, 1.8, rows), 2))
    amount = np.round(draw.lognormal(10.5, 1.5, rows), 2)
    fraud = np.isin(kind, ("CASH_OUT", "TRANSFER")) & (held > 0) & (draw.random(rows) < 0.045)
    amount = np.where(fraud, np.minimum(held, 1e7), amount)
    left = np.where(kind == "CASH_IN", held + amount, np.maximum(held - amount, 0))
    target = np.where(draw.random(rows) < 0.3, 0.0, np.round(draw.lognormal(11, 2, rows), 2))
    after = np.where(
        kind == "PAYMENT", 0.0, np.where(fraud & (draw.random(rows) < 0.5), 0.0, target + amount)
    )
    table = pd.DataFrame({
        "step": step, "type": kind, "amount": amount, "nameOrig": [f"C{number}" for number in draw.permutation(9 * rows)[:rows] + 10**8],
        "oldbalanceOrg": held, "newbalanceOrig": np.round(left, 2), "nameDest": [f"C{number}" for number in draw.integers(1, rows // 3, rows) + 10**9],
        "oldbalanceDest": np.where(kind == "PAYMENT", 0.0, target), "newbalanceDest": np.round(after, 2), "isFraud": fraud.astype(int),
    })  # fmt: skip

    def by_hand(given: pd.DataFrame) -> pd.DataFrame:
        number = given.apply(pd.to_numeric, errors="coerce")
        return pd.DataFrame({
            "from": number.newbalanceOrig + number.amount - number.oldbalanceOrg,
            "to": number.oldbalanceDest + number.amount - number.newbalanceDest,
        })  # fmt: skip

    return Made(
        table,
        "isFraud",
        "1",
        ("nameOrig",),
        "step",
        ("nameDest",),
        "amount",
        by_hand,
        "hours since a start, exact relations",
    )


def categories(draw: Draw) -> Made:
    """Insurance claims of a car: thirty categories and few numbers, no date."""
    rows = 9_000
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    table = pd.DataFrame({
        "Month": draw.choice(months, rows), "WeekOfMonth": draw.integers(1, 6, rows), "Make": _codes(draw, rows, 19, "Make"),
        "Fault": draw.choice(["Policy Holder", "Third Party"], rows, p=[0.73, 0.27]), "Age": draw.integers(16, 80, rows),
        "BasePolicy": draw.choice(["Liability", "Collision", "All Perils"], rows, p=[0.33, 0.38, 0.29]),
        "VehiclePrice": draw.choice(["20000 to 29000", "30000 to 39000", "more than 69000"], rows, p=[0.6, 0.25, 0.15]),
        "PolicyNumber": np.arange(1, rows + 1), "RepNumber": draw.integers(1, 17, rows), "Deductible": draw.choice([300, 400, 500, 700], rows, p=[0.01, 0.96, 0.02, 0.01]),
        "AddressChange": draw.choice(["no change", "under 6 months", "1 year", "2 to 3 years"], rows, p=[0.93, 0.01, 0.03, 0.03]),
    })  # fmt: skip
    for place in range(18):
        table[f"Code{place}"] = draw.choice([f"c{level}" for level in range(2 + place % 6)], rows)
    score = (
        (table.Fault == "Policy Holder") * 1.0 + (table.BasePolicy != "Liability") * 1.1 + table.AddressChange.eq("under 6 months") * 1.5
        + _effect(draw, table.Make.to_numpy(), 0.4) + (table.Code4 == "c1") * 0.5 * (table.Code9 == "c0")
    )  # fmt: skip
    table["FraudFound_P"] = _label(draw, score.to_numpy(float), 0.06, 1.6)
    return Made(table, "FraudFound_P", "1", ("PolicyNumber",), words="28 categories, no date")


def merchants(draw: Draw) -> Made:
    """Card payments in 1,200 shops and 300 towns, some of which are worse than others."""
    rows = 15_000
    shop, town = _codes(draw, rows, 1_200, "shop", 0.7), _codes(draw, rows, 300, "town ", 0.8)
    amount = np.round(draw.lognormal(3.5, 1.1, rows), 2)
    score = _effect(draw, shop, 1.0) + _effect(draw, town, 0.8) + 0.5 * np.log(amount / 33)
    table = pd.DataFrame({
        "payment_time": _days(draw, rows, 90), "card": _codes(draw, rows, 1_500, "K", 0.3), "shop_name": shop, "town": town,
        "amount": amount, "channel": draw.choice(["chip", "online", "swipe"], rows), "is_fraud": _label(draw, score, 0.02, 2),
    })  # fmt: skip
    return Made(
        table,
        left_out=("payment_time",),
        time="payment_time",
        entities=("card",),
        amount="amount",
        words="many levels that tell",
    )


def invoices(draw: Draw) -> Made:
    """Invoices whose net, tax and gross don't always add up."""
    rows = 6_000
    net = np.round(draw.lognormal(6, 1, rows), 2)
    tax = np.round(net * draw.choice([0.07, 0.19], rows), 2)
    fraud = draw.random(rows) < 0.04
    gross = np.round(
        net
        + tax
        + np.where(
            fraud & (draw.random(rows) < 0.8), draw.choice([1, -1], rows) * draw.gamma(2, 20, rows), 0
        ),
        2,
    )
    odd = draw.random(rows) < 0.01
    gross = np.where(odd, np.round(gross + 1, 2), gross)
    table = pd.DataFrame({
        "invoice_date": _days(draw, rows, 200).dt.strftime("%Y-%m-%d"), "invoice_no": [f"R-{place:07d}" for place in range(rows)],
        "supplier": _codes(draw, rows, 400, "S"), "net": net, "tax": tax, "gross": gross, "is_fraud": fraud.astype(int),
    })  # fmt: skip

    def by_hand(given: pd.DataFrame) -> pd.DataFrame:
        number = given[["net", "tax", "gross"]].apply(pd.to_numeric, errors="coerce")
        return pd.DataFrame({"off": (number.gross - number.net - number.tax).round(2)})

    return Made(
        table,
        left_out=("invoice_date", "invoice_no"),
        time="invoice_date",
        entities=("supplier",),
        amount="gross",
        by_hand=by_hand,
        words="sums that don't add up",
    )


def cold(draw: Draw) -> Made:
    """Every tested customer is new; devices that serve many customers are the frauds'."""
    rows = 9_000
    order = np.arange(rows)
    ring = draw.random(rows) < 0.04
    device = np.where(ring, 10**6 + order // 250, draw.integers(0, 10**5, rows))
    amount = np.round(draw.lognormal(4, 1, rows) * np.where(ring, 1.2, 1), 2)
    table = pd.DataFrame({
        "created_at": _days(draw, rows, 60), "customer_id": 50_000 + order // 3, "device_id": [f"d{number:08x}" for number in device.tolist()],
        "amount": amount, "country": _codes(draw, rows, 30, "C"), "is_fraud": (ring & (draw.random(rows) < 0.9)).astype(int),
    })  # fmt: skip
    return Made(
        table,
        left_out=("created_at",),
        time="created_at",
        entities=("customer_id", "device_id"),
        amount="amount",
        words="new customers, shared devices",
    )


def drifting(draw: Draw) -> Made:
    """What tells fraud changes with the months."""
    rows = 12_000
    when = np.sort(draw.random(rows))
    values = draw.standard_normal((rows, 14))
    angle = 0.9 * np.pi / 2 * when
    score = np.cos(angle) * values[:, 0] + np.sin(angle) * values[:, 1] + 0.7 * values[:, 2]
    table = pd.DataFrame(np.round(values, 4), columns=[f"v{place}" for place in range(14)])
    table.insert(
        0, "timestamp", (FIRST + pd.to_timedelta(np.round(when * 300 * 86_400), unit="s")).astype(str)
    )
    table["amount"] = np.round(draw.lognormal(4, 1, rows), 2)
    return Made(
        table.assign(is_fraud=_label(draw, score, 0.05, 2.5)),
        left_out=("timestamp",),
        time="timestamp",
        amount="amount",
        words="fraud that changes",
    )


def noisy(draw: Draw) -> Made:
    """One label in ten frauds is wrong, and some legitimate rows are called fraud."""
    rows = 8_000
    values = draw.standard_normal((rows, 20))
    truth = _label(draw, values[:, 0] + values[:, 1] * values[:, 2] + np.sin(2 * values[:, 3]), 0.06, 3)
    wrong = np.where(truth == 1, draw.random(rows) < 0.15, draw.random(rows) < 0.01)
    table = pd.DataFrame(np.round(values, 4), columns=[f"x{place}" for place in range(20)])
    return Made(table.assign(is_fraud=truth ^ wrong), words="labels with noise, no time")


def rare(draw: Draw) -> Made:
    """One row in seven hundred is fraud."""
    rows = 40_000
    values = draw.standard_t(4, (rows, 18))
    score = np.maximum(values[:, 0], 0) + 0.8 * np.maximum(-values[:, 1], 0) + 0.6 * values[:, 2]
    table = pd.DataFrame(np.round(values, 4), columns=[f"V{place + 1}" for place in range(18)])
    table.insert(0, "Time", np.sort(draw.integers(0, 172_800, rows)))
    table["Amount"] = np.round(draw.lognormal(3, 1.4, rows), 2)
    return Made(
        table.assign(Class=_label(draw, score, 0.0015, 3)),
        "Class",
        "1",
        ("Time",),
        "Time",
        amount="Amount",
        words="0.15 % fraud",
    )


def common(draw: Draw) -> Made:
    """Two rows in five are fraud, by a rule of a few columns."""
    rows = 5_000
    table = pd.DataFrame({
        "age": draw.integers(18, 90, rows), "income": np.round(draw.lognormal(10, 0.6, rows)), "loan_amount": np.round(draw.lognormal(9.5, 0.8, rows)),
        "employment": draw.choice(["full", "part", "none", "self"], rows), "home": draw.choice(["own", "rent", "other"], rows),
        "score": draw.integers(300, 850, rows), "inquiries": draw.poisson(2, rows),
    })  # fmt: skip
    score = (
        np.log(table.loan_amount / table.income)
        - (table.score - 600) / 150
        + 0.3 * table.inquiries
        + (table.employment == "none")
    )
    return Made(
        table.assign(is_fraud=_label(draw, score.to_numpy(float), 0.4, 1.5)), words="40 % fraud, no time"
    )


def declines(draw: Draw) -> Made:
    """Merchants' card-present payments with averages, flags of Y and N, and an empty date."""
    rows = 3_500
    average = draw.lognormal(6, 0.6, rows)
    amount = average * draw.lognormal(0, 0.7, rows) * 8
    table = pd.DataFrame({
        "Merchant_id": draw.integers(3_160_040_998, 6_661_273_533, rows), "Transaction date": "", "Average Amount/transaction/day": np.round(average, 3),
        "Transaction_amount": np.round(amount, 2), "Is declined": draw.choice(["Y", "N"], rows, p=[0.02, 0.98]), "Total Number of declines/day": draw.poisson(1, rows),
        "isForeignTransaction": draw.choice(["Y", "N"], rows, p=[0.25, 0.75]), "isHighRiskCountry": draw.choice(["Y", "N"], rows, p=[0.06, 0.94]),
        "Daily_chargeback_avg_amt": draw.choice([0, 0, 0, 500, 800], rows), "6-month_chbk_freq": draw.choice([0, 0, 0, 4, 7], rows),
    })  # fmt: skip
    score = (
        1.5 * np.log(amount / average) - 3 + 1.5 * (table.isForeignTransaction == "Y") + 3 * (table.isHighRiskCountry == "Y")
        + 0.8 * (table["6-month_chbk_freq"] > 0)
    )  # fmt: skip
    table["isFradulent"] = np.where(_label(draw, score.to_numpy(float), 0.14, 2), "Y", "N")
    return Made(
        table,
        "isFradulent",
        "Y",
        ("Merchant_id", "Transaction date"),
        words="amounts against averages, no time",
    )


def wallet(draw: Draw) -> Made:
    """Payments by phone, of users who come back; weak signs."""
    rows = 10_000
    user = draw.integers(0, 2_500, rows)
    amount = np.round(draw.lognormal(5, 1.2, rows), 2)
    usual = draw.lognormal(0, 0.5, 2_500)[user]
    hour = draw.integers(0, 24, rows)
    day = np.sort(draw.integers(0, 180, rows))
    score = 0.7 * np.log(amount / usual / 150) + 0.8 * (hour < 5) + _effect(draw, user.astype(object), 0.3)
    table = pd.DataFrame({
        "transaction_id": [f"T{place:09d}" for place in draw.permutation(rows)], "user_id": [f"U{number:05d}" for number in user],
        "amount": np.round(amount * usual, 2), "transaction_date": [str(FIRST + pd.Timedelta(days=int(d), hours=int(h))) for d, h in zip(day, hour, strict=True)],
        "payment_method": draw.choice(["UPI", "card", "wallet"], rows), "device": draw.choice(["Android", "iOS", "Web"], rows), "city": _codes(draw, rows, 60, "city"),
        "balance": np.round(draw.lognormal(8, 1, rows), 2), "fraud": _label(draw, score, 0.04, 1.5),
    })  # fmt: skip
    return Made(
        table,
        "fraud",
        "1",
        ("transaction_id", "transaction_date"),
        "transaction_date",
        ("user_id",),
        "amount",
        words="users who come back",
    )


def applications(draw: Draw) -> Made:
    """Applications for an account: minus one for unknown, a month and no date."""
    rows = 20_000
    table = pd.DataFrame({
        "income": np.round(draw.beta(2, 1.5, rows), 1), "name_email_similarity": np.round(draw.random(rows), 4), "prev_address_months_count": np.where(draw.random(rows) < 0.7, -1, draw.integers(1, 300, rows)),
        "current_address_months_count": draw.integers(0, 400, rows), "customer_age": draw.choice(np.arange(10, 100, 10), rows), "intended_balcon_amount": np.where(draw.random(rows) < 0.7, -1.0, np.round(draw.lognormal(3.5, 0.8, rows), 2)),
        "payment_type": draw.choice(["AA", "AB", "AC", "AD"], rows), "zip_count_4w": draw.integers(1, 6_000, rows), "velocity_6h": np.round(draw.normal(5_600, 3_000, rows), 2),
        "housing_status": draw.choice(["BA", "BB", "BC", "BD", "BE"], rows), "credit_risk_score": draw.integers(-150, 380, rows), "email_is_free": draw.integers(0, 2, rows),
        "device_os": draw.choice(["linux", "other", "windows", "macintosh", "x11"], rows), "proposed_credit_limit": draw.choice([200.0, 500.0, 1_000.0, 1_500.0, 2_000.0], rows),
        "keep_alive_session": draw.integers(0, 2, rows), "month": np.sort(draw.integers(0, 8, rows)),
    })  # fmt: skip
    score = (
        (table.housing_status == "BA") * 1.2 + (table.prev_address_months_count < 0) * 0.7 + table.credit_risk_score / 150 + table.customer_age / 40
        - table.name_email_similarity - 0.6 * table.keep_alive_session + (table.device_os == "windows") * 0.6
    )  # fmt: skip
    table.insert(0, "fraud_bool", _label(draw, score.to_numpy(float), 0.02, 1.0))
    tested = table.month.to_numpy() >= 6
    return Made(
        table, "fraud_bool", "1", ("month",), words="applications, unknowns as -1, months", tested=tested
    )


def blanks(draw: Draw) -> Made:
    """What is missing tells more than what is there."""
    rows = 7_000
    fraud = draw.random(rows) < 0.05
    table = pd.DataFrame(
        {
            "booked": _days(draw, rows, 120).dt.strftime("%d.%m.%Y %H:%M"),
            "amount": np.round(draw.lognormal(4, 1, rows), 2),
        }
    )
    for place in range(8):
        gone = draw.random(rows) < np.where(fraud, 0.15 + 0.08 * place, 0.12)
        cells = np.round(draw.normal(0, 1, rows), 3).astype(object)
        table[f"check_{place}"] = np.where(gone, "", cells)
    table["email"] = [
        f"{name}@{domain}"
        for name, domain in zip(
            _codes(draw, rows, 5_000, "n", 0.1),
            np.where(fraud & (draw.random(rows) < 0.5), "mail.example", _codes(draw, rows, 12, "d")),
            strict=True,
        )
    ]
    return Made(
        table.assign(is_fraud=fraud.astype(int)),
        left_out=("booked", "email"),
        time="booked",
        amount="amount",
        words="blanks that tell",
    )


def rules(draw: Draw) -> Made:
    """Card payments that a rule of five columns calls fraud, without noise; its bounds lie where most rows are."""
    rows = 15_000
    home, last, ratio = (
        np.exp(draw.normal(middle, spread, rows)) for middle, spread in ((2.5, 1.3), (0, 1.6), (-0.1, 0.9))
    )
    repeat, chip, pin, online = (
        (draw.random(rows) < share).astype(float) for share in (0.88, 0.35, 0.1, 0.65)
    )
    bad = (online == 1) & (pin == 0) & ((ratio > 4) | ((home > 100) & (chip == 0)))
    table = pd.DataFrame(
        {
            "distance_from_home": home,
            "distance_from_last": last,
            "ratio_to_median_price": ratio,
            "repeat_shop": repeat,
            "used_chip": chip,
            "used_pin": pin,
            "online": online,
            "fraud": bad.astype(float),
        }
    )
    return Made(table, "fraud", "1.0", words="an exact rule of distances, ratios and flags, no time")


def postings(draw: Draw) -> Made:
    """Offers of work with titles, long texts that may be missing, and a mail address; no time."""
    rows = 8_000
    asked = np.array(
        [
            "experience",
            "team",
            "customers",
            "project",
            "skills",
            "support",
            "development",
            "degree",
            "years",
            "company",
        ]
    )
    lured = np.array(
        [
            "earn",
            "money",
            "home",
            "weekly",
            "cash",
            "easy",
            "quick",
            "no",
            "experience",
            "needed",
            "apply",
            "at",
            "once",
        ]
    )
    bad = draw.random(rows) < 0.05

    def texts(words: int, odd: float) -> list[str]:
        length = np.maximum(draw.poisson(words, rows), 1)
        share = np.where(bad, odd, 0.1)
        return [
            " ".join(np.where(draw.random(n) < part, draw.choice(lured, n), draw.choice(asked, n)))
            for n, part in zip(length, share, strict=True)
        ]

    profile, benefits = np.array(texts(15, 0.1), object), np.array(texts(8, 0.2), object)
    profile[draw.random(rows) < np.where(bad, 0.6, 0.15)] = ""
    benefits[draw.random(rows) < 0.4] = ""
    free = draw.random(rows) < np.where(bad, 0.5, 0.12)
    domain = np.where(free, draw.choice(["mail", "free"], rows), _codes(draw, rows, 300, "firm"))
    table = pd.DataFrame(
        {
            "title": texts(4, 0.3),
            "description": texts(30, 0.35),
            "company_profile": profile,
            "benefits": benefits,
            "contact": [f"jobs{number}@{name}.example" for number, name in enumerate(domain)],
            "remote": (draw.random(rows) < np.where(bad, 0.2, 0.05)).astype(int),
            "kind": draw.choice(["Full-time", "Part-time", "Contract", ""], rows),
            "fraudulent": bad.astype(int),
        }
    )
    return Made(
        table,
        "fraudulent",
        "1",
        ("title", "description", "company_profile", "benefits", "contact"),
        by_hand=_lengths,
        words="free texts and mail addresses, no time",
    )


def _lengths(rows: pd.DataFrame) -> pd.DataFrame:
    texts = ("title", "description", "company_profile", "benefits")
    found = {f"length of {name}": rows[name].str.len() for name in texts}
    return pd.DataFrame(
        {**found, "free mail": rows.contact.str.endswith(("@mail.example", "@free.example"))}, dtype=float
    )


def rings(draw: Draw) -> Made:
    """Shop orders with rings of devices (the generator of the shipped sample)."""
    table = simulation.orders(rows=8_000, seed=int(draw.integers(1_000)))
    return Made(
        table,
        "class",
        "1",
        ("user_id", "signup_time", "purchase_time", "ip_address"),
        "purchase_time",
        ("device_id",),
        "purchase_value",
        words="orders, rings of devices",
    )


def terminals(draw: Draw) -> Made:
    """Card payments with compromised terminals and stolen cards (the generator of the shipped sample)."""
    table = simulation.payments(customers=150, terminals=200, days=90, seed=int(draw.integers(1_000)))
    names = {name.casefold(): name for name in table.columns}
    time = names["tx_datetime"]
    drop = tuple(
        name
        for key, name in names.items()
        if key in ("transaction_id", "tx_time_seconds", "tx_time_days", "tx_fraud_scenario", "tx_datetime")
    )
    return Made(
        table,
        names["tx_fraud"],
        "1",
        drop,
        time,
        (names["customer_id"], names["terminal_id"]),
        names["tx_amount"],
        words="payments, terminals that turn bad",
    )


SETS: dict[str, Callable[[Draw], Made]] = {
    each.__name__: each
    for each in (
        wide, small, accounts, transfers, categories, merchants, invoices, cold, drifting, noisy, rare, common, declines,
        wallet, applications, blanks, rules, postings, rings, terminals,
    )
}  # fmt: skip


def parted(made: Made, draw: Draw) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows to learn from and the rows to test on: the latest, or drawn where there is no order."""
    rows = len(made.table)
    tested = made.tested
    if tested is None:
        tested = np.zeros(rows, bool)
        if made.time is not None:
            tested[rows - int(LATER * rows) :] = True  # every set with a time is generated in its order
        else:
            tested[draw.permutation(rows)[: int(LATER * rows)]] = True
    return made.table[~tested].reset_index(drop=True), made.table[tested].reset_index(drop=True)
