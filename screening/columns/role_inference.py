"""Guesses what the columns of a file are, by their names and by some thousand of their cells; each guess says why.

Guesses are shown and can be overruled; nothing is decided by them alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from screening.cards.tokens import TOKEN
from screening.columns import clocks, leakage
from screening.columns.clocks import ClockGuess
from screening.columns.profiles import MOSTLY, CellProfile, profile
from screening.columns.relations import (
    another_form,
    counts_like,
    determined_by,
    latest,
)
from screening.columns.vocabulary import (
    BIRTH,
    CODES,
    IDENTIFIERS,
    MOMENTS,
    WORDS,
    is_measure,
    is_row_number,
    words_of,
)
from screening.intake import numbers
from screening.transactions import encoding
from screening.transactions.missing import missing
from screening.transactions.schema import CellKind, Column, Role, normalise

FEW = 40
"""Different values up to which a column of numbers may be a category, and any text column is one."""
VERY_FEW = 5
"""Different values up to which numbers that name somebody are kinds of somebody."""
# Whole numbers of so many digits that come back are names: nobody measures so exactly.
LONG = 1e9
LEAST_ADDRESS = 2**24
"""IP addresses as numbers begin here."""
OTHERS = 0.5
"""The share of the cells that must be different for texts to be free ones."""
# Longer texts name nobody.
LONGEST_NAME = 80
E_MAIL = re.compile(r"[^@\s]+@[^@\s.]+(?:\.[^@\s.]+)+")
# With fewer rows nothing can be said of the whole column.
FEWEST = 20
TRANSACTION = frozenset(
    {"purchase", "transaction", "trans", "trx", "tx", "payment", "incident", "event", "time", "datetime"}
    | {"timestamp"}
)
"""Words of the time of a transaction."""
CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:\s?[apAP]\.?[mM]\.?)?")
NOT_THE_AMOUNT = frozenset(
    {"days", "age", "count", "items", "avg", "average", "mean", "median", "std", "ratio"}
)


@dataclass(frozen=True, slots=True)
class Guess:
    """Guessed role of a column, the reason, and the certainty, from 0 to 1."""

    column: Column
    reason: str
    confidence: float
    clock: ClockGuess | None = None
    """Meaning of its numbers if it is made the time."""
    remark: str = ""
    """Remark that must be made although it is used, to be read after its name."""


def guess_roles(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    label: str | None = None,
    blanks: Sequence[int] | None = None,
    fraud: Sequence[str] = (),
) -> list[Guess]:
    """Return a guess for each column, in order.

    Args:
        header: the names.
        rows: some thousand rows of cells, each as long as the header, in the file's order.
        label: the label's name when it is known; otherwise it is guessed too.
        blanks: how many cells of each column are blank in the whole file, where that is known.
        fraud: the label's values that mean fraud, where they aren't those that everybody uses.
    """
    profiles = [profile(name, [row[place] for row in rows]) for place, name in enumerate(header)]
    known = find_label(profiles, label)
    found = [
        guess_role(each) if place != known else _as_label(each, given=label is not None)
        for place, each in enumerate(profiles)
    ]
    names = {normalise(each.name) for each in profiles}
    for place, each in enumerate(profiles):
        found[place] = with_clock(found[place], clocks.clock_of(each, names))
    leave_one_time(found, profiles)
    leave_one_amount(found, profiles)
    leave_out_named_twice(found, profiles)
    if known is not None:
        leave_out_describing_label(found, profiles, known, fraud)
    return found if blanks is None else [with_blanks(*pair) for pair in zip(found, blanks, strict=True)]


def with_clock(guess: Guess, clock: ClockGuess | None) -> Guess:
    """Return a guess that knows what its numbers count, as far as they tell."""
    column = guess.column
    if clock is None or column.role is not Role.TIME or column.kind is not CellKind.NUMBER:
        return replace(guess, clock=clock)
    since = clock.units[0] if len(clock.units) == 1 else None
    counted = replace(column, since=since)
    return replace(guess, column=counted, clock=clock, reason=clocks.words_of_count(clock))


def with_blanks(guess: Guess, blanks: int) -> Guess:
    """Return a guess that knows of blanks which its rows happen not to have; a time is never blank."""
    column = guess.column
    if not blanks or column.optional or column.role in {Role.LABEL, Role.TIME}:
        return guess
    return replace(
        guess, column=replace(column, optional=True), reason=f"{guess.reason}; {blanks:,} blank in the file"
    )


def find_label(profiles: list[CellProfile], given: str | None) -> int | None:
    """Return the place of the label: the one that was named, or the one that is called and filled like one."""
    if given is not None:
        return next((p for p, each in enumerate(profiles) if normalise(each.name) == normalise(given)), None)
    fitting = [
        (bool(each.words & WORDS[Role.LABEL]) or "".join(words_of(each.name)) in WORDS[Role.LABEL], place)
        for place, each in enumerate(profiles)
        if each.distinct == 2 and all(numbers.label(value) is not None for value in each.values)
    ]  # fmt: skip
    named = [place for word, place in fitting if word]
    return named[-1] if named else None


def _as_label(each: CellProfile, *, given: bool) -> Guess:
    why = (
        "named as the label" if given else f"two values and the name says it ({' '.join(sorted(each.words))})"
    )
    return Guess(Column(each.name, Role.LABEL), why, 1.0 if given else 0.9)


def guess_role(each: CellProfile) -> Guess:
    """Guess the role of a column by its name and its cells."""
    if not each.filled:
        return ignored(each, "every cell is blank")
    if each.distinct == 1 and not each.blanks:
        return ignored(each, "every cell says the same")
    if each.distinct == 1:
        return guess_of(each, Role.CATEGORY, CellKind.TEXT, "one value, or blank", 0.6)
    if counts_rows(each):
        return ignored(each, "it counts the rows")
    if each.time >= MOSTLY:
        moment = bool(each.words & MOMENTS) and not each.words & (TRANSACTION - {"time", "datetime"})
        role = Role.MOMENT if moment else Role.TIME
        return guess_of(each, role, CellKind.TIME, "dates", 0.8)
    if sum(CLOCK.fullmatch(value) is not None for value in each.values) >= MOSTLY * each.distinct:
        return ignored(each, "a time of day without its day: it doesn't tell which row came first")
    measure = is_measure(each.name)
    numbered = (
        "ip" in each.words
        and not measure
        and each.number >= MOSTLY
        and np.nanmedian(each.numbers) >= LEAST_ADDRESS
        and np.nanmax(each.numbers) < 2**32
    )
    if each.dotted >= MOSTLY or numbered:
        return guess_of(each, Role.ENTITY, CellKind.ADDRESS, "IP addresses", 0.9)
    if each.number >= MOSTLY:
        return guess_numbers(each, measure=measure)
    return guess_texts(each)


def counts_rows(each: CellProfile) -> bool:
    """Return whether a column says 0, 1, 2, …, or is the index that a data frame was saved with."""
    if each.whole < 1 or each.blanks or each.rows < FEWEST:
        return False
    if is_row_number(each.name) and each.unique >= MOSTLY:
        return True
    named = each.words & (WORDS[Role.CARRY] | clocks.COUNTS | WORDS[Role.ENTITY])
    # of rows that are spread evenly over the file
    steps = np.diff(each.numbers)
    return bool(not named and each.numbers[0] in (0, 1) and steps[0] > 0 and (steps == steps[0]).all())


def guess_numbers(each: CellProfile, *, measure: bool) -> Guess:
    """Guess the role of a column of numbers."""
    if not measure and each.whole == 1.0:
        named = named_by_numbers(each)
        if named is not None:
            return named
    clock = clocks.clock_of(each)
    if clock is not None and clocks.counts_time(each, clock):
        if clock.dated:
            return guess_of(each, Role.TIME, CellKind.TIME, "numbers that count since 1970", 0.8)
        return guess_of(each, Role.TIME, CellKind.NUMBER, "numbers that count from some start", 0.6)
    # a sum or mean over so many days is no amount of the transaction
    over_a_window = any(re.fullmatch(r"\d+(?:min|hr?s?|d|days?|w|m|y)", word) for word in each.words)
    if each.words & WORDS[Role.AMOUNT] and not (each.words & NOT_THE_AMOUNT or over_a_window):
        return guess_of(each, Role.AMOUNT, CellKind.NUMBER, "numbers, and the name says amount", 0.8)
    return guess_of(each, Role.NUMBER, CellKind.NUMBER, "numbers", 0.7)


def named_by_numbers(each: CellProfile) -> Guess | None:
    """Return the guess of whole numbers that name somebody or something, and measure nothing."""
    entity, identifier = each.words & WORDS[Role.ENTITY], bool(each.words & IDENTIFIERS)
    rest = {word for word in each.words if not word.isdecimal()} - WORDS[Role.ENTITY] - IDENTIFIERS
    if each.unique >= MOSTLY:
        if not identifier and not _long(each):
            return None
        because = "and the name says identifier" if identifier else "long as a name"
        return guess_of(each, Role.CARRY, CellKind.TEXT, f"another number in every row, {because}", 0.9)
    if each.distinct <= VERY_FEW and (entity or each.words & CODES):
        few = f"{each.distinct} different numbers, and the name says who or which"
        return guess_of(each, Role.CATEGORY, CellKind.TEXT, few, 0.6) if each.distinct > 2 else None
    if entity and not rest - {"name"}:
        return guess_of(
            each, Role.ENTITY, CellKind.TEXT, "whole numbers that come back, and the name says who", 0.9
        )
    if _long(each):
        return guess_of(each, Role.ENTITY, CellKind.TEXT, "long whole numbers that come back", 0.7)
    if each.words & CODES and (each.distinct <= FEW or "mcc" in each.words):
        return guess_of(each, Role.CATEGORY, CellKind.TEXT, "numbers that stand for something", 0.6)
    if identifier and each.distinct > FEW:
        return guess_of(
            each,
            Role.ENTITY,
            CellKind.TEXT,
            "whole numbers that come back, and the name says identifier",
            0.7,
        )
    return None


def _long(each: CellProfile) -> bool:
    if each.words & (WORDS[Role.AMOUNT] | clocks.COUNTS):
        return False
    return bool(np.nanmedian(np.abs(each.numbers)) >= LONG)


def guess_texts(each: CellProfile) -> Guess:
    """Guess the role of a column of texts."""
    entity = bool(each.words & (WORDS[Role.ENTITY] | {"id"}))
    if all(map(TOKEN.fullmatch, each.values)):
        return guess_of(each, Role.ENTITY, CellKind.TEXT, "tokens of cards", 1.0)
    if each.unique >= MOSTLY and share_of(each, E_MAIL.fullmatch) >= MOSTLY:
        return guess_of(each, Role.CATEGORY, CellKind.DOMAIN, "e-mail addresses, by their domain", 0.8)
    # most of the rows have another text, and most of these have several words or are too long for a name
    if (
        not entity
        and each.distinct > FEW
        and each.unique >= OTHERS
        and share_of(each, lambda text: " " in text or len(text) > LONGEST_NAME) > 0.8
    ):
        # that a text may be blank says something too, wherever it is
        found = guess_of(each, Role.NUMBER, CellKind.LENGTH, "free text, by its length", 0.6)
        return replace(found, column=replace(found.column, optional=True))
    if each.unique >= MOSTLY and not (
        each.words & (WORDS[Role.ENTITY] - {"account"}) and not each.words & {"transaction", "order"}
    ):
        return guess_of(each, Role.CARRY, CellKind.TEXT, "another text in every row", 0.7)
    if entity and (each.distinct > FEW or (each.distinct > VERY_FEW and each.tokens >= MOSTLY)):
        return guess_of(each, Role.ENTITY, CellKind.TEXT, "texts that come back, and the name says who", 0.9)
    if each.tokens >= MOSTLY and each.distinct > FEW:
        return guess_of(
            each, Role.ENTITY, CellKind.TEXT, "codes that come back, as programs name somebody", 0.8
        )
    if each.distinct <= FEW or each.unique < 0.2:  # five rows a value
        return guess_of(each, Role.CATEGORY, CellKind.TEXT, f"{each.distinct} different texts", 0.8)
    return guess_of(each, Role.ENTITY, CellKind.TEXT, "texts that come back", 0.5)


def share_of(each: CellProfile, fits: Callable[[str], object]) -> float:
    """Return the share of the different cells."""
    return sum(map(bool, map(fits, each.values))) / each.distinct


def guess_of(each: CellProfile, role: Role, kind: CellKind, why: str, confidence: float) -> Guess:
    """Return a guess, with what the cells say beside it."""
    optional = each.blanks > 0
    more = f"; {each.blanks:,} of {each.rows:,} blank" if optional else ""
    return Guess(Column(each.name, role, kind, optional), why + more, confidence)


def ignored(each: CellProfile, why: str) -> Guess:
    """Return the guess that a column is left out, and why."""
    return Guess(Column(each.name, Role.IGNORE, CellKind.TEXT, optional=True), why, 0.9)


def leave_out(found: list[Guess], place: int, each: CellProfile, why: str) -> None:
    """Ignore the column at ``place``, and say why; the clock that it was read by stays known."""
    found[place] = replace(ignored(each, why), clock=found[place].clock)


def leave_one_time(found: list[Guess], profiles: list[CellProfile]) -> None:
    """Leave one time only: dates before numbers, names that say transaction before others, later dates before earlier
    ones; further dates are moments, and a date that is the only one is the time, whatever it is called.
    """
    times = places_of(found, Role.TIME)
    moments = [place for place in places_of(found, Role.MOMENT) if not profiles[place].words & BIRTH]
    if not times and moments:
        times = moments
    if not times:
        # a date of birth says an age only where there is a day to count it on
        for place in places_of(found, Role.MOMENT):
            leave_out(found, place, profiles[place], "a date of birth, and no time to tell the age at")
        return
    late = latest({place: profiles[place].moments for place in times if is_dated(found[place])})

    def rank(place: int) -> tuple[float, ...]:
        words = len(profiles[place].words & TRANSACTION)
        return (
            is_dated(found[place]),
            not profiles[place].blanks,
            words,
            place in late,
            profiles[place].distinct,
        )

    best = max(times, key=rank)
    for place in times:
        guess = found[place]
        if place == best:
            alone = "; the only date" if guess.column.role is Role.MOMENT else ""
            column = replace(guess.column, role=Role.TIME, optional=False)
            found[place] = replace(guess, column=column, reason=guess.reason + alone)
        elif is_dated(guess):
            found[place] = replace(guess, column=replace(guess.column, role=Role.MOMENT))
        else:
            leave_out(found, place, profiles[place], f"another form of {found[best].column.name}")
    leave_out_other_forms(found, profiles, best)


def is_dated(guess: Guess) -> bool:
    """Return whether a column was guessed to hold dates."""
    return guess.column.kind is CellKind.TIME


def places_of(found: list[Guess], role: Role) -> list[int]:
    """Return the places of the columns that were guessed to have a role."""
    return [place for place, guess in enumerate(found) if guess.column.role is role]


def leave_out_other_forms(found: list[Guess], profiles: list[CellProfile], best: int) -> None:
    """Leave out what says the time once more: as the day alone, or counted from another start."""
    time = found[best].column.name
    for place, each in enumerate(profiles):
        role, dated = found[place].column.role, is_dated(found[best])
        same = dated and role is Role.MOMENT and another_form(each.moments, profiles[best].moments)
        clock = (
            dated and role in (Role.NUMBER, Role.AMOUNT) and each.words & (clocks.COUNTS | set(clocks.UNITS))
        )
        if same or (clock and counts_like(each.numbers, profiles[best].moments)):
            leave_out(found, place, each, f"another form of {time}")


def leave_one_amount(found: list[Guess], profiles: list[CellProfile]) -> None:
    """Leave one amount only: that whose name says it most; others become numbers."""
    amounts = places_of(found, Role.AMOUNT)
    if len(amounts) > 1:
        said = ("amount", "amt", "betrag", "importe", "monto", "montant", "value")
        best = max(amounts, key=lambda p: ([word in profiles[p].words for word in said], -p))
        for place in amounts:
            if place != best:
                guess = found[place]
                found[place] = replace(guess, column=replace(guess.column, role=Role.NUMBER), confidence=0.5)


def leave_out_named_twice(found: list[Guess], profiles: list[CellProfile]) -> None:
    """Leave out texts of many values that an entity always has the same of: they name it once more, and less well."""
    entities = {
        place: profiles[place].cells
        for place in places_of(found, Role.ENTITY)
        if found[place].confidence >= 0.8 and found[place].column.kind is CellKind.TEXT
    }
    for place, each in enumerate(profiles):
        if found[place].column.role is not Role.CATEGORY or each.distinct <= FEW:
            continue
        owner = determined_by(each.cells, entities)
        if owner is not None:
            leave_out(found, place, each, f"each {profiles[owner].name} always has the same one")


def leave_out_describing_label(
    found: list[Guess], profiles: list[CellProfile], label: int, fraud: Sequence[str]
) -> None:
    """Leave out what gives the label away, by the rule of :func:`screening.columns.leakage.judge`."""
    wanted = tuple(map(numbers.label_value, fraud))
    read = [numbers.label(text, wanted) for text in profiles[label].cells]
    known = np.array([value is not None and value >= 0 for value in read])
    is_fraud = np.array([value is not None and value > 0 for value in read], np.int8)[known]
    for place, each in enumerate(profiles):
        column = found[place].column
        if place == label or column.role in (Role.TIME, Role.IGNORE, Role.CARRY):
            continue
        verdict = leakage.judge(each.name, column.kind, VALUES[column.kind](each)[known], is_fraud)
        if verdict is None:
            continue
        if verdict.suspicion is leakage.Suspicion.LEAK:
            leave_out(found, place, each, verdict.words)
        else:
            found[place] = replace(found[place], remark=verdict.words)


def codes_of(each: CellProfile, read: Callable[[str], float | None]) -> NDArray[np.float64]:
    """Return the numbers that stand for texts, (rows,); NaN for what says nothing."""
    return encoding.codes(each.cells, lambda text: None if missing(text) else read(text))


VALUES: Mapping[CellKind, Callable[[CellProfile], NDArray[np.float64]]] = {
    CellKind.NUMBER: lambda each: each.numbers,
    CellKind.TIME: lambda each: each.moments,
    CellKind.TEXT: lambda each: codes_of(each, encoding.text_code),
    CellKind.ADDRESS: lambda each: codes_of(each, encoding.address_code),
    CellKind.LENGTH: lambda each: codes_of(each, encoding.text_length),
    CellKind.DOMAIN: lambda each: codes_of(each, encoding.domain_code),
}
"""The numbers that stand for the cells of each kind, as the intake makes them."""
