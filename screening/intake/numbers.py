"""Read numbers, and explain why other texts are none.

The grammar is narrower than Python's ``float``, which takes ``1_000``, ``١`` and ``infinity``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from screening.cards.masking import masked
from screening.transactions.guards import bare
from screening.transactions.missing import SHEET_ERROR, missing

NUMBER = re.compile(r"[ \t]*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[ \t]*", re.ASCII)
NUMBER_WITH_COMMA = re.compile(r"[ \t]*[+-]?(?:\d+,?\d*|,\d+)(?:[eE][+-]?\d+)?[ \t]*", re.ASCII)
# The scorer works in float32, whose largest number is 3.4e38.
LARGEST = 3e38
SHOWN = 40
ZERO, ONE, BLANK = 0, 1, -1
YES = frozenset(
    {"true", "yes", "y", "t", "fraud", "fraudulent", "bad", "si", "sí", "ja", "oui", "betrug", "fraude"}
)
UNKNOWN = frozenset(
    {
        "unknown",
        "pending",
        "undetermined",
        "unlabelled",
        "unlabeled",
        "unresolved",
        "under review",
        "tbd",
        "?",
    }
)
"""Values of a label that say that nobody knows yet: as little as a blank."""
# Words for nothing that a label may mean as "no fraud". Where the two can't be told apart, they are no label.
NO_KIND = frozenset({"none", "(none)", "nil", "-", "--", "."})
NO = frozenset(
    {
        *("false", "no", "n", "f", "legit", "legitimate", "genuine", "good", "ok", "normal", "not fraud"),
        *("non-fraud", "nofraud", "nonfraud", "nein", "non", "legitim", "legitima", "legitime"),
    }
)

# The first that fits explains a text that is no number.
_KINDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (SHEET_ERROR, "is an error of the spreadsheet"),
    (re.compile(r"[+-]?(?:inf|infinity|∞)", re.IGNORECASE), "is infinite"),
    (re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII), "has thousands separators; write 1234.5"),
    (
        re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+,\d+", re.ASCII),
        "has thousands separators; write 1234.5 or 1234,5",
    ),
    (
        re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", re.ASCII),
        "has a decimal comma where the file uses points",
    ),
    (
        re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?", re.ASCII),
        "has a decimal point where the file uses commas",
    ),
    (re.compile(r"[+-]?[\d_]+(?:\.[\d_]*)?", re.ASCII), "has an underscore between its digits"),
    (re.compile(r"[+-]?0[xX][0-9a-fA-F]+"), "is a hexadecimal number"),
    (re.compile(r"[+-]?[\d.,]+\s*%", re.ASCII), "is a percentage; write it as a plain number"),
    (
        re.compile(r"[+-]?\s*(?:[$€£¥₹]|[A-Z]{3})\s*[+-]?[\d.,]+"),
        "has a currency sign; write the plain number",
    ),
    (re.compile(r"[+-]?[\d.,]+\s*(?:[$€£¥₹]|[A-Z]{3})"), "has a currency sign; write the plain number"),
    (re.compile(r"\([\d.,]+\)", re.ASCII), "is in brackets; write a negative number with a minus"),
    (re.compile(r"(?:true|false|yes|no)", re.IGNORECASE), "is a yes or no, not a number"),
    (re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?", re.ASCII), "is a date, not a number"),
    (re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?", re.ASCII), "is a time of day, not a number"),
    (re.compile(r"[−–—]\s*[\d.,]+"), "has a typographic minus; write -"),
)


class DigitLayout(StrEnum):
    """Layout of a number's digits: which marks are in it, and whether they have one meaning."""

    INTEGER = "1234"
    POINT = "1234.5"
    COMMA = "1234,5"
    LONE_POINT = "1.234"
    """A thousand with a mark, or one and a bit: the column must say."""
    LONE_COMMA = "1,234"
    GROUPED_BY_POINTS = "1.234.567 or 1.234,5"
    GROUPED_BY_COMMAS = "1,234,567 or 1,234.5"


@dataclass(frozen=True, slots=True)
class NumberForm:
    """Form of the numbers of a column: its decimal mark (the other one parts thousands), and its sign."""

    decimal: str = "."
    turned: bool = False
    """Whether what leaves an account is written as negative, and so is read with the other sign."""


@dataclass(frozen=True, slots=True)
class ParsedNumber:
    """A number taken apart: its sign, its digits with points and commas, and what was written around them."""

    negative: bool
    digits: str
    writing: DigitLayout
    around: str = ""
    """``DR``, ``CR``, a currency, or nothing."""


PLAIN = NumberForm()
BOOKED = frozenset({"DR", "CR", "D", "C", "S", "H"})
"""Marks of banks for money that leaves and that comes in."""
_SPACES = str.maketrans(
    {"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2007": " ", "\ufeff": None, "\u200b": None}
)
_CODES = (
    "AED ARS AUD BGN BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR ISK JPY KES KRW KWD MAD MXN MYR "
    "NGN NOK NZD PEN PHP PKR PLN RON RSD RUB SAR SEK SGD THB TRY TWD UAH USD VND XAF XOF ZAR"
)
_CURRENCY = (
    rf"(?:[$€£¥￥円元₹₽₺₩₴₦₱₫₪]|{_CODES.replace(' ', '|')}|zł|kr\.?|Fr\.?|Rs\.?|Kč|Ft|TL|[A-Z]{{1,2}}\$)"
)
_MONEY = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+−–—-])?\s*(?P<before>{_CURRENCY})?\s*(?P<sign2>[+−–—-])?\s*"
    r"(?P<digits>[\d.,][\d.,' ’]*(?:[eE][+-]?\d+)?)\s*"
    rf"(?P<sign3>[+−–—-])?\s*(?P<after>{_CURRENCY})?\s*(?P<close>\))?(?:\s*(?P<book>DR|CR|Dr|Cr)|\s+(?P<letter>[DCSH]))?\.?",
    re.ASCII,
)
_WRITINGS = (
    (DigitLayout.INTEGER, re.compile(r"\d+(?:[eE][+-]?\d+)?", re.ASCII)),
    (DigitLayout.LONE_POINT, re.compile(r"[1-9]\d{0,2}\.\d{3}", re.ASCII)),
    (DigitLayout.LONE_COMMA, re.compile(r"[1-9]\d{0,2},\d{3}", re.ASCII)),
    (DigitLayout.POINT, re.compile(r"(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)),
    (DigitLayout.COMMA, re.compile(r"(?:\d+,\d*|,\d+)(?:[eE][+-]?\d+)?", re.ASCII)),
    (
        DigitLayout.GROUPED_BY_POINTS,
        re.compile(r"[1-9]\d{0,2}(?:(?:\.\d{3}){2,}|(?:\.\d{3})+,\d*)", re.ASCII),
    ),
    (
        DigitLayout.GROUPED_BY_COMMAS,
        re.compile(
            r"[1-9]\d{0,2}(?:(?:,\d{3}){2,}|(?:,\d{2})+,\d{3}|(?:,\d{3})+\.\d*|(?:,\d{2})*,\d{3}\.\d*)",
            re.ASCII,
        ),
    ),
)
_SPACED = re.compile(r"\d{1,3}(?:[ '’]\d{3})+(?P<tail>[.,]\d*)?", re.ASCII)


def plain_form(text: str) -> re.Match[str] | None:
    """Return whether a cell is written plainly, however large the number is."""
    return NUMBER.fullmatch(text)


def contrary(text: str, form: NumberForm) -> bool:
    """Return whether a cell is a number by the other decimal mark only."""
    written = take_apart(text)
    return written is not None and with_point(written, form.decimal) is None


def plain(text: str) -> float | None:
    """Return the number that a cell of one meaning is, at most 3e38 either way; ``None`` for any other cell."""
    if not NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if abs(value) <= LARGEST else None


def number(text: str, form: NumberForm = PLAIN) -> float | None:
    """Return the number that a cell is by the form of its column, or ``None``; at most 3e38 either way.

    A plain number is read as it stands. Thousands may be parted by the mark that isn't the decimal mark, by spaces or
    by apostrophes; a minus may stand behind, brackets may stand for it, and a dash for the cents; a currency is passed
    over, and so is what guards a text from a spreadsheet; ``DR`` (money that leaves) is positive, ``CR`` negative.
    """
    value = plain(text) if form.decimal == "." else None
    if value is None:
        written = take_apart(text)
        digits = None if written is None else with_point(written, form.decimal)
        if written is None or digits is None:
            return None
        value = -float(digits) if written.negative else float(digits)
    if abs(value) > LARGEST:
        return None
    return -value if form.turned and value else value


def typed(text: str) -> float | None:
    """Return the number that somebody typed into a field, where no column says which mark is the decimal mark.

    ``12.5``, ``12,5``, ``1 070,10`` and ``1.070,10`` are read; ``None`` for ``1,070`` and ``1.070``, which mean two
    numbers, and for what is none.
    """
    written = take_apart(text)
    if written is None or written.writing in {DigitLayout.LONE_POINT, DigitLayout.LONE_COMMA}:
        return None
    readings = {number(text, NumberForm(mark)) for mark in ".,"} - {None}
    return readings.pop() if len(readings) == 1 else None


def take_apart(text: str) -> ParsedNumber | None:
    """Return a number's sign, digits and what stands around them; ``None`` for what is no number."""
    found = _MONEY.fullmatch(_NO_CENTS.sub(r"\g<1>00", bare(text.translate(_SPACES))))
    if not found or bool(found["open"]) != bool(found["close"]) or (found["before"] and found["after"]):
        return None
    signs = [found[name] for name in ("sign", "sign2", "sign3") if found[name]]
    book = (found["book"] or found["letter"] or "").upper()
    if len(signs) + bool(found["open"]) + bool(book) > 1:
        return None
    digits = found["digits"].strip()
    if " " in digits or "'" in digits or "’" in digits:
        if not _SPACED.fullmatch(digits):
            return None
        digits = re.sub(r"[ '’]", "", digits)
        # 1 234,567: parted by spaces, so the mark is the decimal mark
        if _SPACED_TAIL.search(digits):
            digits = digits.rstrip("0") if digits[-1] == "0" else digits + "0"
    writing = next((writing for writing, pattern in _WRITINGS if pattern.fullmatch(digits)), None)
    if writing is None:
        return None
    negative = bool(found["open"]) or (bool(signs) and signs[0] != "+") or book in {"CR", "C", "H"}
    return ParsedNumber(negative, digits, writing, book or found["before"] or found["after"] or "")


_NO_CENTS = re.compile(r"(?<=\d)([.,])\s?[−–—-]{1,2}(?=\D*$)", re.ASCII)
"""``240.-`` and ``240,--``: no cents, and no minus."""
_SPACED_TAIL = re.compile(r"[.,]\d{3}$", re.ASCII)


def with_point(written: ParsedNumber, decimal: str) -> str | None:
    """Return the digits as Python reads them; ``None`` where they contradict the decimal mark."""
    digits, other = written.digits, "," if decimal == "." else "."
    if written.writing in {DigitLayout.POINT, DigitLayout.GROUPED_BY_COMMAS}:
        fits = decimal == "." or "." not in digits
    elif written.writing in {DigitLayout.COMMA, DigitLayout.GROUPED_BY_POINTS}:
        fits = decimal == "," or "," not in digits
    else:
        fits = True
    if not fits:
        return None
    if written.writing is DigitLayout.GROUPED_BY_POINTS and decimal == ".":
        return digits.replace(".", "")
    if written.writing is DigitLayout.GROUPED_BY_COMMAS and decimal == ",":
        return digits.replace(",", "")
    return digits.replace(other, "").replace(decimal, ".")


def explain(text: str, form: NumberForm = PLAIN) -> str:
    """Explain in words why :func:`number` refuses a text."""
    shown = text.strip()
    if missing(shown):
        return "is missing" if shown else "is empty"
    written = take_apart(shown)
    if written is not None:
        if with_point(written, form.decimal) is not None:
            return "is too large (beyond 3e38)"
        if form.decimal == ".":
            return "has a decimal comma where the file uses points"
        return "has a decimal point where the file uses commas"
    for kind, words in _KINDS:
        if kind.fullmatch(shown):
            return words
    if any(char.isdigit() and not char.isascii() for char in shown):
        return "has digits other than 0 to 9"
    return "is not a number"


def excerpt(text: str) -> str:
    """Return a short form of a cell, safe to show and log: no control characters, no run of 12 or more digits."""
    shown = masked("".join(char if char.isprintable() else "·" for char in text[: SHOWN * 4]))
    return shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"


def label(text: str, fraud: Sequence[str] = ()) -> int | None:
    """Return 0, 1, or -1 for a blank and for a word that says that nobody knows; ``None`` for a text that is no label.

    With values that mean ``fraud`` (as :func:`label_value` gives them) it is the place of the value among them,
    counted from 1, and any other one means legitimate. An empty value among them makes blanks legitimate.
    """
    word = bare(text).casefold()
    if fraud:
        said = label_value(word)
        if said and said in fraud:
            return fraud.index(said) + 1
        if not word:
            return ZERO if "" in fraud else BLANK
        return BLANK if word in UNKNOWN else ZERO
    if word in UNKNOWN or (missing(word) and word not in NO_KIND):
        return BLANK
    if word in YES or word in NO:
        return int(word in YES)
    value = plain(word.replace(",", "."))
    return int(value) if value in (ZERO, ONE) else None


def label_value(text: str) -> str:
    """Return a value of a label as it is compared: ``1``, ``1.0`` and `` 01`` are one."""
    word = bare(text).casefold()
    value = plain(word)
    return word if value is None else f"{value:g}"
