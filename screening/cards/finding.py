"""Finds what may be card numbers in a text, however they are written, in time that grows with its length.

A number may stand alone or in groups, with spaces of any kind, dashes, points, commas or apostrophes between them; in
the middle of a sentence; before its expiry date; and as a spreadsheet or a data frame writes a large number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from screening.cards.issuers import LONGEST, SHORTEST, given_out

BETWEEN = r"\s\u00ad\u200b-\u200d\u2060\ufeff._\-\u2010-\u2015\u2212\u00b7\u2022"
"""Signs between the groups of a number, as a class of a pattern."""
CARD_WORDS = frozenset({"card", "pan", "karte", "tarjeta", "carte"})
"""Words for a card, as names of columns have them."""
_SAYING = CARD_WORDS.union(
    (
        "cards",
        "pans",
        "cc",
        "ccn",
        "ccnum",
        "ccno",
        "ccnr",
        "ccnumber",
        "cardno",
        "cardnr",
        "cardnum",
        "cardnumber",
    ),
    (
        "creditcard",
        "debitcard",
        "kreditkarte",
        "kreditkartennummer",
        "kartennummer",
        "kartennr",
        "cartao",
        "carta",
    ),
    ("visa", "mastercard", "amex", "maestro"),
)
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_RUN = re.compile(rf"\d(?:[{BETWEEN},'’]{{0,3}}\d){{{SHORTEST - 1},}}")
_GROUP = re.compile(r"\d+")
_WHOLE = re.compile(r"\s*[+]?(\d+)[.,](\d*)\s*")
_SCIENTIFIC = re.compile(r"\s*[+]?(\d)[.,](\d+)[eE]\+?(\d{1,2})\s*")
_GROUPED = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 5)})
_EXPIRY = re.compile(
    r"\s*[|;:^=,/]?\s*(?:exp|valid|bis|g[uü]ltig)|\s*[|;:^=,/]?\s*(?:0?[1-9]|1[0-2])\s*[|/.-]\s*(?:20)?[2-4]\d(?!\d)",
    re.IGNORECASE,
)
_IBAN = re.compile(r"(?<![^\W_])[A-Z]{2}\d{2}(?: ?[A-Z\d]{4}){2,7}(?: ?[A-Z\d]{1,3})?(?![^\W_])", re.ASCII)
_BYTES = re.compile(r"0x((?:[2-7][0-9a-f]|0[9ad])+)")
_NEAR = 40
LEAST, MOST = 10 ** (SHORTEST - 1), 10**LONGEST
_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")
_ZERO = ord("0")


class NumberCandidate(NamedTuple):
    """A number of a length and a beginning that cards have; ``start`` and ``stop`` are its place in the text."""

    start: int
    stop: int
    digits: str
    valid: bool
    """Whether it passes Luhn's check."""
    said: bool
    """Whether its writing, or a word beside it, says that it is a card's."""
    alone: bool
    """Whether no other digits stand beside it, as a date or the code on the back of a card."""

    @property
    def rank(self) -> tuple[bool, bool, int, bool, int]:
        """Sort key of candidates that overlap: the least is meant."""
        return not self.valid, not self.alone, self.start, len(self.digits) not in {15, 16}, -len(self.digits)


def passes_luhn(digits: str) -> bool:
    """Make Luhn's check (ISO/IEC 7812-1, annex B) of ASCII digits; one in ten numbers passes it by chance."""
    data = digits.encode()
    total = sum(data[-1::-2]) + sum(data[-2::-2].translate(_DOUBLED)) - _ZERO * len(data)
    return total % 10 == 0


def says_card(name: str) -> bool:
    """Return whether the name of a column, or a text, has a word for a card or its number in it."""
    words = [word.casefold() for word in _WORD.findall(_CAMEL.sub(" ", name))]
    joined = (first + second for first, second in pairwise(words))
    return not _SAYING.isdisjoint(words) or not _SAYING.isdisjoint(joined)


def candidates(text: str) -> Iterator[NumberCandidate]:
    """Yield every number in a text that a network may have given out; they may overlap.

    A cell that is one number with a fraction is an amount or a measurement, and has none.
    """
    whole = as_one_number(text)
    if whole is not None:
        if given_out(whole):
            yield NumberCandidate(0, len(text), whole, passes_luhn(whole), said=False, alone=True)
        return
    ibans = [found.span() for found in _IBAN.finditer(text) if is_iban(found[0])]
    for run in _RUN.finditer(text):
        if not any(start <= run.start() < stop for start, stop in ibans):
            yield from candidates_in(text, run)


def as_shown(text: str) -> str:
    """Return the text that bytes are, which appear as ``0x`` and hexadecimal digits; any other text as it is.

    Older programs write texts into Parquet without saying that they are texts.
    """
    found = _BYTES.fullmatch(text)
    return text if found is None else bytes.fromhex(found[1]).decode("ascii")


def card_numbers(text: str, *, slips: bool = False) -> list[NumberCandidate]:
    """Return the candidates that pass Luhn's check, from the left, none of which overlaps another.

    With ``slips`` also those that don't pass it: in a column of card numbers they are some with a wrong digit.
    """
    found: list[NumberCandidate] = []
    for one in sorted(candidates(text), key=lambda each: each.rank):
        wanted = one.valid or slips
        if wanted and all(one.stop <= other.start or one.start >= other.stop for other in found):
            found.append(one)
    return sorted(found)


def number_text(value: object) -> str | None:
    """Return a value of JSON or Python as a text in which a card number may stand; ``None`` where none can."""
    if isinstance(value, str):
        return value if len(value) >= SHORTEST else None
    if isinstance(value, float):
        return str(int(value)) if abs(value) >= LEAST and value.is_integer() and abs(value) < MOST else None
    if isinstance(value, int):
        return str(value) if LEAST <= abs(value) < MOST else None
    return str(value) if isinstance(value, (dict, list)) else None


def as_one_number(text: str) -> str | None:
    """Return the digits of a cell that is one number with a point or an exponent, empty if it isn't a whole one."""
    if found := _WHOLE.fullmatch(text):
        return "" if found[2].strip("0") else ascii_digits(found[1])
    if found := _SCIENTIFIC.fullmatch(text):
        digits, exponent = found[1] + found[2], int(found[3])
        exact = exponent < len(digits) and not digits[exponent + 1 :].strip("0")  # else some digits are lost
        return ascii_digits(digits[: exponent + 1]) if exact else ""
    return None


def is_iban(text: str) -> bool:
    """Return whether the check digits of an account number fit (ISO 13616): the country and they go to the end."""
    plain = text.replace(" ", "")
    return int("".join(str(int(sign, 36)) for sign in plain[4:] + plain[:4])) % 97 == 1


def candidates_in(text: str, run: re.Match[str]) -> Iterator[NumberCandidate]:
    """Yield the parts of a run of digits that may be a card's number, which begins and ends where a group of digits
    does.
    """
    groups = [(found.start(), found.end()) for found in _GROUP.finditer(text, run.start(), run.end())]
    digits = [ascii_digits(text[start:stop]) for start, stop in groups]
    for first in range(len(groups)):
        joined = ""
        for last in range(first, len(groups)):
            joined += digits[last]
            if len(joined) > LONGEST:
                break
            if given_out(joined):
                start, stop = groups[first][0], groups[last][1]
                grouped = tuple(len(part) for part in digits[first : last + 1]) in _GROUPED
                said = grouped or _said_near(text, start, stop)
                alone = (first, last) == (0, len(groups) - 1)
                yield NumberCandidate(start, stop, joined, passes_luhn(joined), said, alone)


def _said_near(text: str, start: int, stop: int) -> bool:
    if stop - start == len(text):
        return False
    near = text[max(start - _NEAR, 0) : start]
    return _EXPIRY.match(text, stop) is not None or says_card(near) or says_card(text[stop : stop + _NEAR])


def ascii_digits(digits: str) -> str:
    """Return digits of any script as those of ours."""
    return digits if digits.isascii() else "".join(str(int(digit)) for digit in digits)
