"""Texts as they may be shown and kept: no card number in them, and nothing that may be one."""

from __future__ import annotations

import re

from screening.cards.finding import BETWEEN, as_shown, card_numbers

HIDDEN = "••••"
DIGITS = "[digits]"
# The shortest card numbers have twelve digits; they may be written in groups.
LONG_DIGITS = re.compile(rf"\d(?:[{BETWEEN}]{{0,2}}\d){{11,}}")


def masked(text: str, by: str = HIDDEN) -> str:
    """Return ``text`` without any run of 12 or more digits, be it a card's number or not."""
    return LONG_DIGITS.sub(by, without_card_numbers(text, by))


def without_card_numbers(text: str, by: str = DIGITS) -> str:
    """Return ``text``, as the name of a file, without each number that could be a card's.

    The date in ``payments-2026-11-21.csv`` and the time in ``20261121073200.csv`` stay.
    """
    done, at = [], 0
    for found in card_numbers(text):
        done += [text[at : found.start], by]
        at = found.stop
    return "".join([*done, text[at:]])


def with_zeros(text: str) -> str:
    """Return ``text`` with zeros for the digits of each number that could be a card's: written and read as before."""
    shown = as_shown(text)
    if shown != text and card_numbers(shown, slips=True):
        return DIGIT.sub("0", text)
    done, at = [], 0
    for found in card_numbers(text, slips=True):
        done += [text[at : found.start], DIGIT.sub("0", text[found.start : found.stop])]
        at = found.stop
    return "".join([*done, text[at:]])


DIGIT = re.compile(r"\d")
