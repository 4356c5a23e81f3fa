"""Words of column names: which role they speak for, and which of them mean the same."""

from __future__ import annotations

import re
import unicodedata

from screening.cards.finding import CARD_WORDS
from screening.transactions.schema import Role


def word_set(text: str) -> frozenset[str]:
    """Return the words of a list that is written with blanks between them."""
    return frozenset(text.split())


WORDS: dict[Role, frozenset[str]] = {
    Role.LABEL: word_set(
        "class label fraud isfraud fraudulent fraudflag target y betrug fraude estafa etikett outcome"
    ),
    Role.TIME: word_set(
        "time datetime timestamp date when purchase transaction created zeit datum dato zeitpunkt fecha hora"
    ),
    Role.AMOUNT: word_set(
        "amount value amt sum total price betrag importe monto montant wert purchase gross beløb belopp bedrag kwota"
    ),
    Role.ENTITY: word_set(
        "customer card terminal device merchant account user client ip address phone email shop kunde karte konto "
        "haendler händler geraet gerät cliente tarjeta comercio dispositivo cuenta payer payee beneficiary "
        "sender receiver recipient originator counterparty cc pan iban acct imei msisdn"
    ),
    Role.CARRY: word_set("transaction order id row index reference ref nr number no key uuid"),
}
IDENTIFIERS = word_set("id no nr number num key uuid code hash ip address adresse device dispositivo")
BIRTH = word_set("birth born dob birthday birthdate geburtsdatum nacimiento")
MOMENTS = BIRTH | word_set(
    "signup sign registered registration opened opening joined since start bind issued issue activation activated "
    "enrolled effective expiry expires expiration valid"
)
CODES = word_set("code id type category class group mcc")
"""Words of numbers that stand for something and have no order."""
MEASURES = word_set(
    "count counts cnt qty quantity distinct unique different months month days hours minutes seconds weeks years year "
    "age ages velocity rate ratio risk score avg average mean median std stdev min max freq frequency verified "
    "flag length len size pct percent percentage share distance prob probability limit tenure last prior previous past "
    "attempts balance mismatch match per"
)
"""Words of what is measured of somebody, and isn't somebody."""
# Before a noun these count it: the number of logins. At the end of a name they identify: card number.
COUNTING = word_set("num number no nr n nb count cnt total")
WINDOW = re.compile(r"\d+(?:min|h|hr|hrs|d|days?|w|weeks?|m|months?|y)")
ABOUT_THE_LABEL = word_set("scenario fraud chargeback reason disposition betrug fraude")
STEMS_OF_FRAUD = ("fraud", "antifraud", "nonfraud", "chargeback", "betrug", "fraude")
"""Beginnings of further words about the label: chargebacks, fraudster."""
SPLIT = re.compile(r"[^0-9a-zà-öø-ÿ]+|(?<=[a-z])(?=[0-9])")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
SYNONYMS = (
    word_set(
        "amount amt value betrag importe monto montant wert sum total price gross beløb belopp bedrag kwota"
    ),
    word_set(
        "customer client cust kunde kundennummer kundennr cliente user account konto cuenta iban holder"
    ),
    CARD_WORDS,
    word_set(
        "terminal pos merchant shop haendler händler comercio store counterparty payee beneficiary recipient"
    ),
    word_set("device geraet gerät dispositivo fingerprint"),
    word_set("time datetime timestamp date when zeit datum dato zeitpunkt fecha hora"),
    word_set("ip address adresse"),
    word_set("signup registered registration joined"),
)
NOISE = word_set("tx trx transaction id the of in")


def is_measure(name: str) -> bool:
    """Return whether a name is of something that is counted or measured of somebody: ``num_logins``,
    ``device_age_days``.
    """
    words = words_of(name)
    counts = len(words) > 1 and words[0] in COUNTING and (words[1] == "of" or words[1].endswith("s"))
    return counts or any(word in MEASURES or WINDOW.fullmatch(word) for word in words)


def is_row_number(name: str) -> bool:
    """Return whether a column is called like the index that a data frame was saved with, or not at all."""
    return (
        not name.strip()
        or words_of(name) in (["index"], ["row"], ["rownum"], ["level", "0"])
        or bool(re.fullmatch(r"unnamed:?\s*\d+(_level_\d+)?", name.strip(), re.IGNORECASE))
    )


def speaks_of_fraud(name: str) -> bool:
    """Return whether a column is named after what is to be found out."""
    return any(word in ABOUT_THE_LABEL or word.startswith(STEMS_OF_FRAUD) for word in words_of(name))


def words_of(name: str) -> list[str]:
    """Return the words of a column's name: ``TX_AMOUNT`` and ``txAmount`` are ``tx amount``."""
    spaced = CAMEL.sub(" ", unicodedata.normalize("NFC", name.strip()))
    return [word for word in SPLIT.split(spaced.casefold()) if word]
