"""Payment card numbers don't belong in a screening file: a column of them is refused before it is kept.

A number counts as a card's when it has 13 to 19 digits, begins as the networks' do and passes Luhn's check
(ISO/IEC 7812-1, annex B). One in ten random numbers passes it; a column counts only when most of it does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from screening.errors import BadFile
from screening.intake.numbers import masked

SAMPLE = 64
"""Records looked at in each block."""
SHARE = 0.5
MASK = "[digits]"
_GROUP = re.compile(r"\d+", re.ASCII)
_BETWEEN = re.compile(r"[ ._-]")
_LONGEST = 19
_SHAPE = re.compile(r"\d(?:[ -]?\d){12,18}", re.ASCII)
_NETWORKS = re.compile(r"(?:4|5[0-9]|6[0-9]|3[0456789]|2[2-7]|8[16]|9[27]|1800|2131)")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def is_card_number(text: str) -> bool:
    """Whether ``text`` (spaces and dashes allowed) could be the number of a payment card."""
    bare = text.strip().strip("'").removesuffix(".0")
    if not _SHAPE.fullmatch(bare):
        return False
    digits = [int(char) for char in bare if char.isdigit()]
    if not _NETWORKS.match("".join(map(str, digits))):
        return False
    return (sum(digits[-1::-2]) + sum(_DOUBLED[digit] for digit in digits[-2::-2])) % 10 == 0


def without_card_numbers(text: str) -> str:
    """Text, as the name of a file, in which each number that could be a card's is replaced.

    A card's number stands alone or in groups, so a piece begins and ends where a group of digits does: the date in
    ``payments-2026-11-21.csv`` and the time in ``20261121073200.csv`` stay.
    """
    done, groups = [], list(_GROUP.finditer(text))
    at = first = 0
    while first < len(groups):
        last = _last_of_card(text, groups, first)
        if last is not None:
            done += [text[at : groups[first].start()], MASK]
            at = groups[last].end()
            first = last
        first += 1
    return "".join([*done, text[at:]])


def _last_of_card(text: str, groups: list[re.Match[str]], first: int) -> int | None:
    """The last of the groups of digits that make a card's number with the first, if any do."""
    digits = ""
    for place in range(first, len(groups)):
        group = groups[place]
        if place > first and not _BETWEEN.fullmatch(text[groups[place - 1].end() : group.start()]):
            return None
        digits += group[0]
        if is_card_number(digits):
            return place
        if len(digits) > _LONGEST:
            return None
    return None


class CardNumbers:
    """Watches the columns that may hold any text, be they asked for or not."""

    def __init__(self, header: Sequence[str], watched: Sequence[int]) -> None:
        self._header, self._watched = header, watched
        self._seen = dict.fromkeys(watched, 0)
        self._cards = dict.fromkeys(watched, 0)

    def __bool__(self) -> bool:
        return bool(self._watched)

    def look(self, rows: Iterable[Sequence[str]]) -> None:
        """Take some rows into account.

        Raises:
            BadFile: most of the filled cells of a column, so far, are card numbers. No digit is shown.
        """
        for row in rows:
            for at in self._watched:
                if at < len(row) and row[at].strip():
                    self._seen[at] += 1
                    self._cards[at] += is_card_number(row[at])
        for at in self._watched:
            if self._cards[at] > SHARE * self._seen[at]:
                name = masked(self._header[at].strip()) or f"number {at + 1}"
                raise BadFile(
                    f"Column {name} holds payment card numbers, which must not be kept here (PCI DSS).",
                    where=f"column {name}",
                    remedy="Remove the column, or replace each number by a token, the same one for the same card.",
                )
