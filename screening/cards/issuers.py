"""Number ranges of the card networks: how they begin, and how long they are.

By ISO/IEC 7812 a number begins with its issuer's (IIN); the ranges are those that the networks publish. They matter as
much as the check digit: an IMEI or the number of a SIM card passes Luhn's check too, and begins otherwise.
"""

from __future__ import annotations

SHORTEST, LONGEST = 13, 19
KNOWN_BY = 4
"""Digits by which a range is told from the others."""
_ANY = tuple(range(16, 20))
_RANGES: tuple[tuple[str, tuple[str, ...], tuple[int, ...]], ...] = (
    ("Visa", ("4",), (13, 16, 19)),
    ("Mastercard", ("51-55", "2221-2720"), (16,)),
    ("American Express", ("34", "37"), (15,)),
    ("Discover", ("6011", "644-649", "65"), _ANY),
    ("Diners Club", ("300-305", "3095", "36", "38-39"), (14, *_ANY)),
    ("JCB", ("3528-3589",), _ANY),
    ("JCB, older", ("1800", "2131"), (15,)),
    ("UnionPay", ("62", "81"), _ANY),
    ("Maestro", ("50", "56-58", "6304", "639", "67"), tuple(range(13, 20))),
    ("RuPay", ("60", "82"), (16,)),
    ("Elo, Hipercard, InterPayment", ("636-638",), _ANY),
    ("Mir", ("2200-2204",), _ANY),
    ("Troy", ("9792",), (16,)),
    ("UzCard, Humo", ("8600", "9860"), (16,)),
)
"""Network, beginnings (a range of them with a dash), lengths."""


def lengths_by_beginning() -> list[int]:
    """Return for each beginning of four digits the lengths that its numbers have, as bits."""
    found = [0] * 10**KNOWN_BY
    for _, beginnings, lengths in _RANGES:
        bits = sum(1 << length for length in lengths)
        for beginning in beginnings:
            low, _, high = beginning.partition("-")
            first, last = low.ljust(KNOWN_BY, "0"), (high or low).ljust(KNOWN_BY, "9")
            for prefix in range(int(first), int(last) + 1):
                found[prefix] |= bits
    return found


_LENGTHS = lengths_by_beginning()


def given_out(digits: str) -> bool:
    """Return whether a network gives out numbers of this length that begin so; ``digits`` are ASCII."""
    return SHORTEST <= len(digits) <= LONGEST and bool(_LENGTHS[int(digits[:KNOWN_BY])] >> len(digits) & 1)
