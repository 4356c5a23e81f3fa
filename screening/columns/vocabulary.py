"""Words of column names: which role they speak for, and which of them mean the same."""

from __future__ import annotations

import re
import unicodedata

from screening.cards.finding import CARD_WORDS
from screening.transactions.schema import Role


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


WORDS: dict[Role, frozenset[str]] = {
    Role.LABEL: _set(
        "class label fraud isfraud fraudulent fraudflag target y betrug fraude estafa etikett outcome"
    ),
    Role.TIME: _set(
        "time datetime timestamp date when purchase transaction created zeit datum zeitpunkt fecha hora"
    ),
    Role.AMOUNT: _set("amount value amt sum total price betrag importe monto montant wert purchase"),
    Role.ENTITY: _set(
        "customer card terminal device merchant account user client ip address phone email shop kunde karte konto "
        "haendler händler geraet gerät cliente tarjeta comercio dispositivo cuenta payer payee beneficiary"
    ),
    Role.CARRY: _set("transaction order id row index reference ref nr number no key uuid"),
}
IDENTIFIERS = _set("id no nr number num key uuid code hash ip address adresse device dispositivo")
MOMENTS = _set("signup sign registered registration birth born opened joined since start")
ABOUT_THE_LABEL = _set("scenario fraud chargeback reason disposition betrug fraude")
SPLIT = re.compile(r"[^0-9a-zà-öø-ÿ]+|(?<=[a-z])(?=[0-9])")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
SYNONYMS = (
    _set("amount amt value betrag importe monto montant wert sum total price"),
    _set("customer client cust kunde cliente user account konto cuenta iban holder"),
    CARD_WORDS,
    _set(
        "terminal pos merchant shop haendler händler comercio store counterparty payee beneficiary recipient"
    ),
    _set("device geraet gerät dispositivo fingerprint"),
    _set("time datetime timestamp date when zeit datum zeitpunkt fecha hora"),
    _set("ip address adresse"),
    _set("signup registered registration joined"),
)
NOISE = _set("tx trx transaction id the of in")


def words_of(name: str) -> list[str]:
    """The words of a column's name: ``TX_AMOUNT`` and ``txAmount`` are ``tx amount``."""
    spaced = CAMEL.sub(" ", unicodedata.normalize("NFC", name.strip()))
    return [word for word in SPLIT.split(spaced.casefold()) if word]
