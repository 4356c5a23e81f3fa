"""Guesses what the columns of a file are, by their names and by some thousand of their cells; each guess says why.

Guesses are shown and can be overruled; nothing is decided by them alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from screening.columns.vocabulary import ABOUT_THE_LABEL, IDENTIFIERS, MOMENTS, WORDS, words_of
from screening.errors import BadFile, Undecided
from screening.intake import numbers
from screening.intake.forms import NOTHING_SAID, NumberEvidence, TimeEvidence, number_form, time_form
from screening.intake.numbers import NumberForm
from screening.transactions import encoding, times
from screening.transactions.missing import missing
from screening.transactions.schema import CellKind, Column, Role, normalise
from screening.transactions.times import Family, Order, TimeForm

FEW = 40
"""Different values up to which a column of numbers may be a category, and any text column is one."""
CALENDAR = frozenset(
    {"date", "datetime", "day", "time", "timestamp", "when", "datum", "fecha", "data", "tag"}
)
"""Words that make digits a date."""
MOSTLY = 0.98
"""The share of cells that must be of a kind for the column to be of it."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What a column seems to be, why, and how sure that is, from 0 to 1."""

    column: Column
    reason: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What some cells of a column are."""

    name: str
    words: frozenset[str]
    rows: int
    blanks: int
    distinct: int
    number: float
    whole: float
    time: float
    dotted: float
    """Shares of the cells that aren't blank."""
    values: tuple[str, ...]

    @property
    def filled(self) -> int:
        return self.rows - self.blanks

    @property
    def unique(self) -> float:
        """The share of cells that stand once only, of all that aren't blank: 1 where every one is another."""
        return self.distinct / self.filled if self.filled else 0.0


def guess_roles(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    label: str | None = None,
    blanks: Sequence[int] | None = None,
) -> list[Guess]:
    """A guess for each column, in order.

    Args:
        header: the names.
        rows: some thousand rows of cells, each as long as the header.
        label: the label's name when it is known; otherwise it is guessed too.
        blanks: how many cells of each column are blank in the whole file, where that is known.
    """
    profiles = [profile(name, [row[place] for row in rows]) for place, name in enumerate(header)]
    known = _label(profiles, label)
    found = [
        _guess(each) if place != known else _as_label(each, given=label is not None)
        for place, each in enumerate(profiles)
    ]
    _one_time(found, profiles)
    _one_amount(found, profiles)
    _describing_the_label(found, profiles, known)
    return found if blanks is None else [_with_blanks(*pair) for pair in zip(found, blanks, strict=True)]


def _with_blanks(guess: Guess, blanks: int) -> Guess:
    """A guess that knows of blanks which its rows happen not to have; a time is never blank."""
    column = guess.column
    if not blanks or column.optional or column.role in {Role.LABEL, Role.TIME}:
        return guess
    return replace(
        guess, column=replace(column, optional=True), reason=f"{guess.reason}; {blanks:,} blank in the file"
    )


def profile(name: str, texts: Sequence[str]) -> Profile:
    """What the cells of a column are."""
    filled = [text.strip() for text in texts if not missing(text)]
    words = frozenset(words_of(name))
    number, time = _number_form(filled), time_form_of(filled)
    count = max(len(filled), 1)
    different = Counter(filled)
    return Profile(
        name,
        words,
        len(texts),
        len(texts) - len(filled),
        len(different),
        sum(numbers.number(text, number) is not None for text in filled) / count,
        sum(re.fullmatch(r"[+-]?\d+(\.0+)?", text) is not None for text in filled) / count,
        sum(_is_time(text, time, words) for text in filled) / count,
        sum(text.count(".") == 3 and encoding.address_code(text) is not None for text in filled) / count,
        tuple(different),
    )


def _number_form(cells: Sequence[str]) -> NumberForm:
    """How some cells write their numbers, as far as they tell: this is a guess."""
    seen = NumberEvidence()
    for text in cells:
        seen.add(text)
    try:
        return number_form("", seen, (), NOTHING_SAID, amount=False)[0]
    except BadFile:
        return numbers.PLAIN


def time_form_of(cells: Sequence[str]) -> TimeForm:
    """How some cells write their times, as far as they tell: this is a guess."""
    seen = TimeEvidence()
    for text in cells:
        seen.add(text)
    try:
        return time_form("", seen, NOTHING_SAID)[0]
    except Undecided as undecided:
        return TimeForm(Order(undecided.questions[0].readings[0].answer))
    except BadFile:
        return times.AUTO


def _is_time(text: str, form: TimeForm, words: frozenset[str]) -> bool:
    """Whether a cell is a date. Digits alone are one if they make a day, and less than eight if the name says so."""
    if numbers.number(text) is None:
        return times.time_of(text, form) is not None
    family = times.family_of(text)
    named = bool(words & CALENDAR)
    if family in {Family.DIGITS_8, Family.DIGITS_14} or (family in {Family.DIGITS_6, Family.SHEET} and named):
        return times.time_of(text, form) is not None
    return False


def _label(profiles: list[Profile], given: str | None) -> int | None:
    if given is not None:
        return next((p for p, each in enumerate(profiles) if normalise(each.name) == normalise(given)), None)
    fitting = [
        (_is_label_word(each), place) for place, each in enumerate(profiles)
        if each.distinct == 2 and all(numbers.label(value) is not None for value in each.values)
    ]  # fmt: skip
    named = [place for word, place in fitting if word]
    return named[-1] if named else None


def _is_label_word(each: Profile) -> bool:
    return bool(each.words & WORDS[Role.LABEL]) or "".join(words_of(each.name)) in WORDS[Role.LABEL]


def _as_label(each: Profile, *, given: bool) -> Guess:
    why = (
        "named as the label" if given else f"two values and the name says it ({' '.join(sorted(each.words))})"
    )
    return Guess(Column(each.name, Role.LABEL), why, 1.0 if given else 0.9)


def _guess(each: Profile) -> Guess:
    if not each.filled:
        return _ignored(each, "every cell is blank")
    if each.distinct == 1:
        return _ignored(each, "every cell says the same")
    if each.time >= MOSTLY:
        moment = bool(each.words & MOMENTS)
        role = Role.MOMENT if moment else Role.TIME
        return _made(each, role, CellKind.TIME, "dates", 0.8)
    if each.dotted >= MOSTLY or ({"ip"} & each.words and each.number >= MOSTLY):
        return _made(each, Role.ENTITY, CellKind.ADDRESS, "IP addresses", 0.9)
    if each.number >= MOSTLY:
        return _of_numbers(each)
    return _of_texts(each)


def _of_numbers(each: Profile) -> Guess:
    whole, entity = each.whole == 1.0, bool(each.words & WORDS[Role.ENTITY])
    identifier = whole and bool(each.words & IDENTIFIERS)
    if whole and (entity and (identifier or each.words <= WORDS[Role.ENTITY])) and each.unique < MOSTLY:
        return _made(
            each, Role.ENTITY, CellKind.TEXT, "whole numbers that come back, and the name says who", 0.9
        )
    if identifier and each.unique >= MOSTLY:
        return _made(
            each, Role.CARRY, CellKind.TEXT, "another number in every row, and the name says identifier", 0.9
        )
    if identifier and each.distinct > FEW:
        return _made(
            each,
            Role.ENTITY,
            CellKind.TEXT,
            "whole numbers that come back, and the name says identifier",
            0.7,
        )
    if each.words & WORDS[Role.AMOUNT] and not each.words & {"days", "age", "count", "items"}:
        return _made(each, Role.AMOUNT, CellKind.NUMBER, "numbers, and the name says amount", 0.8)
    if {"time", "seconds", "timestamp", "epoch", "zeit"} & each.words and not each.words & {"local", "hour"}:
        return _clock(each)
    return _made(each, Role.NUMBER, CellKind.NUMBER, "numbers", 0.7)


def _clock(each: Profile) -> Guess:
    """Numbers that are a time: since 1970, or since some start."""
    values = [numbers.number(value) or 0.0 for value in each.values]
    if min(values) >= 1e8 and all(times.seconds_of(value) is not None for value in values):  # 1973
        return _made(each, Role.TIME, CellKind.TIME, "seconds since 1970", 0.8)
    if max(values) > 48:  # more than the hours of two days
        return _made(each, Role.TIME, CellKind.NUMBER, "seconds since some start", 0.6)
    return _made(each, Role.NUMBER, CellKind.NUMBER, "numbers", 0.6)


def _of_texts(each: Profile) -> Guess:
    entity = bool(each.words & (WORDS[Role.ENTITY] | {"id"}))
    if each.unique >= MOSTLY and not (
        each.words & (WORDS[Role.ENTITY] - {"account"}) and not each.words & {"transaction", "order"}
    ):
        return _made(each, Role.CARRY, CellKind.TEXT, "another text in every row", 0.7)
    if entity and each.distinct > FEW:
        return _made(each, Role.ENTITY, CellKind.TEXT, "texts that come back, and the name says who", 0.9)
    if each.distinct <= FEW or each.unique < 0.2:  # five rows a value
        return _made(each, Role.CATEGORY, CellKind.TEXT, f"{each.distinct} different texts", 0.8)
    mean = sum(map(len, each.values)) / len(each.values)
    if mean > 40 or sum(" " in value for value in each.values) > 0.8 * len(each.values):
        return _ignored(each, "free text")
    return _made(each, Role.ENTITY, CellKind.TEXT, "texts that come back", 0.5)


def _made(each: Profile, role: Role, kind: CellKind, why: str, confidence: float) -> Guess:
    optional = each.blanks > 0
    more = f"; {each.blanks:,} of {each.rows:,} blank" if optional else ""
    return Guess(Column(each.name, role, kind, optional), why + more, confidence)


def _ignored(each: Profile, why: str) -> Guess:
    return Guess(Column(each.name, Role.IGNORE, CellKind.TEXT, optional=True), why, 0.9)


def _one_time(found: list[Guess], profiles: list[Profile]) -> None:
    """One time only: dates before numbers, names that say transaction before others; further dates are moments."""
    times = [place for place, guess in enumerate(found) if guess.column.role is Role.TIME]
    if not times:
        return
    said = {"purchase", "transaction", "tx", "time", "datetime", "timestamp"}
    best = max(
        times,
        key=lambda p: (
            found[p].column.kind is CellKind.TIME,
            len(profiles[p].words & said),
            profiles[p].distinct,
        ),
    )
    for place in times:
        guess = found[place]
        if place == best:
            found[place] = replace(guess, column=replace(guess.column, optional=False))
        elif guess.column.kind is CellKind.TIME:
            found[place] = replace(guess, column=replace(guess.column, role=Role.MOMENT))
        else:
            found[place] = _ignored(profiles[place], f"another form of {found[best].column.name}")
    for place, each in enumerate(profiles):
        also = found[place].column.role in (Role.NUMBER, Role.AMOUNT) and each.words & {
            "time",
            "days",
            "seconds",
            "day",
        }
        if also and each.words & profiles[best].words and found[best].column.kind is CellKind.TIME:
            found[place] = _ignored(each, f"another form of {found[best].column.name}")


def _one_amount(found: list[Guess], profiles: list[Profile]) -> None:
    amounts = [place for place, guess in enumerate(found) if guess.column.role is Role.AMOUNT]
    if len(amounts) > 1:
        said = ("amount", "amt", "betrag", "importe", "monto", "montant", "value")
        best = max(amounts, key=lambda p: ([word in profiles[p].words for word in said], -p))
        for place in amounts:
            if place != best:
                guess = found[place]
                found[place] = replace(guess, column=replace(guess.column, role=Role.NUMBER), confidence=0.5)


def _describing_the_label(found: list[Guess], profiles: list[Profile], label: int | None) -> None:
    for place, each in enumerate(profiles):
        if place != label and each.words & ABOUT_THE_LABEL and found[place].column.role is not Role.IGNORE:
            found[place] = _ignored(
                each, "the name says that it describes the label: it would give the answer away"
            )
