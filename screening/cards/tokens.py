"""Tokens that take the place of card numbers: keyed hashes, the same one for the same card, however it is written.

``card_`` + 128 bits of HMAC-SHA-256 over the digits, in base 32 and small letters, + ``_`` + the last four digits. Who
has the tokens and not the key can't tell a card's number, not even by trying all there are: some 10^9 for each issuer.
"""

from __future__ import annotations

import base64
import hmac
import re

from screening.cards.finding import NumberCandidate, as_shown, card_numbers

BYTES = 16
_WRAPPED = re.compile(r"\s*(?:'|=\")?(?P<inner>.*?)\"?\s*", re.DOTALL)
TOKEN = re.compile(r"card_[a-z2-7]{26}_\d{4}", re.ASCII)


class Tokens:
    """Makes the tokens of one instance."""

    def __init__(self, key: bytes, key_id: str) -> None:
        """Take the key and its name, which tells keys apart and tells nothing of them: a detector's card has it."""
        self._key = key
        self.key_id = key_id

    def token(self, digits: str) -> str:
        """Return the token of a card's number, given as ASCII digits."""
        mark = hmac.digest(self._key, digits.encode("ascii"), "sha256")[:BYTES]
        return f"card_{base64.b32encode(mark).decode().rstrip('=').lower()}_{digits[-4:]}"

    def replaced(self, text: str) -> str:
        """Return a cell of a column of card numbers with a token in place of each.

        Numbers that begin and are as long as a card's and don't pass the check are replaced, too: most are a card's
        with a slip of the hand. A cell that is a card's number and nothing else becomes the bare token.
        """
        shown = as_shown(text)
        found = card_numbers(shown, slips=True)
        text = shown if found else text
        if len(found) == 1 and _alone(text, found[0]):
            return self.token(found[0].digits)
        done, at = [], 0
        for one in found:
            done += [text[at : one.start], self.token(one.digits)]
            at = one.stop
        return "".join([*done, text[at:]])


def _alone(text: str, one: NumberCandidate) -> bool:
    """Return whether nothing but white space, an apostrophe or ``="…"`` stands around a number."""
    found = _WRAPPED.fullmatch(text)
    inner = (0, len(text)) if found is None else found.span("inner")
    return (one.start, one.stop) in {inner, (0, len(text))}
