"""Columns of numbers that are a time: which ones are, and what their numbers count.

Since 1970, as programs do; or hours, minutes, days or seconds since a start that nobody names, as in the files of
simulations and of publishers who hide the dates. What the numbers count is guessed where one unit alone makes a period
that such a file can cover, else asked: a clock that runs 24 times too fast would be a wrong answer without a word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.columns.profiles import MOSTLY, CellProfile
from screening.errors import BadFile, Question, Reading, Undecided
from screening.intake.forms import ANSWERS
from screening.transactions import times
from screening.transactions.schema import CellKind, Column, normalise
from screening.transactions.times import StartUnit, TimeUnit

COUNTS = frozenset(
    "time step steps dt elapsed timestamp epoch zeit clock tick ticks".split()  # noqa: SIM905 -- reads as words
)
"""Words that name a clock by themselves."""
UNITS = {
    **dict.fromkeys(("second", "seconds", "sec", "secs", "sekunden"), StartUnit.SECONDS),
    **dict.fromkeys(("minute", "minutes", "min", "mins", "minuten"), StartUnit.MINUTES),
    **dict.fromkeys(("hour", "hours", "hrs", "stunden"), StartUnit.HOURS),
    **dict.fromkeys(("day", "days"), StartUnit.DAYS),
}
AROUND = frozenset(
    [
        "tx",
        "txn",
        "trx",
        "trans",
        "transaction",
        "payment",
        "purchase",
        "order",
        "event",
        "unix",
        "since",
        "start",
        "from",
        "first",
        "in",
        "of",
        "the",
        "offset",
    ]
)
"""Words that may stand beside them and change nothing."""
OF_A_DAY = 48
"""Numbers up to it may be hours, or half hours, of the day."""
PERIODS = {
    StartUnit.SECONDS: (0.5 * 86_400, 5 * 366 * 86_400),
    StartUnit.MINUTES: (1440, 60 * 1440),
    StartUnit.HOURS: (6, 3 * 366 * 24),
    StartUnit.DAYS: (7, 5 * 366),
}
"""Between which numbers the first and the last row of a file lie apart, if that is what they count."""
STEP_UNITS = (StartUnit.HOURS, StartUnit.DAYS)
"""Units that simulations take for a step."""
# Meaning of a column in files that have these other columns, by their publishers: PaySim (Lopez-Rojas et al.
# 2016) and BankSim (Lopez-Rojas and Axelsson 2014).
PUBLISHED = {
    "step": (
        (frozenset({"nameorig", "namedest", "oldbalanceorg"}), StartUnit.HOURS),
        (frozenset({"zipcodeori", "zipmerchant"}), StartUnit.DAYS),
    )
}
CYCLES = {StartUnit.HOURS: 24, StartUnit.DAYS: 7}
"""After how many of them life repeats itself."""
FEWEST_CYCLES = 4
# Least share of steps that have rows: rows at every third step follow the steps, not daily life.
MOST_STEPS = 0.6
# Rows must follow a cycle so many times as closely as by chance; of files with independent steps one in a
# million does.
STEADY = 15.0
LEAST_EPOCH = 1e8  # 1973
FEW_VALUES = 2000
WORDS = {
    StartUnit.SECONDS: "seconds since a start",
    StartUnit.MINUTES: "minutes since a start",
    StartUnit.HOURS: "hours since a start",
    StartUnit.DAYS: "days since a start",
}
SAID = {"s": StartUnit.SECONDS, **{unit.value: unit for unit in StartUnit}}
"""Answers about numbers that count from a start."""
NEVER_DATES = (StartUnit.MINUTES.value, StartUnit.HOURS.value)
"""Units that nobody counts since 1970."""
TRAINING_ANSWERS = (*ANSWERS["time_unit"], *(unit.value for unit in StartUnit if unit is not StartUnit.DAYS))
"""Answers about the numbers of a time, whether they count from 1970 or from a start: ``days`` is of both."""


@dataclass(frozen=True, slots=True)
class ClockGuess:
    """Possible meanings of a column of numbers that is a time."""

    dated: bool
    """Since 1970: they make dates."""
    sheet: bool = False
    """They make dates as days that a spreadsheet counts, too."""
    published: bool = False
    """The names of the file's columns are those of a data set whose publishers say what it counts."""
    units: tuple[StartUnit, ...] = ()
    """Otherwise, which units make a period that a file can cover."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return {**asdict(self), "units": [unit.value for unit in self.units]}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> ClockGuess:
        """Return the object that :meth:`as_dict` wrote."""
        return cls(found["dated"], found["sheet"], found["published"], tuple(map(StartUnit, found["units"])))


def clock_of(column: CellProfile, names: Collection[str] = ()) -> ClockGuess | None:
    """Return what the numbers of a column would count; ``None`` where its cells are no numbers.

    Args:
        column: any one of a file.
        names: those of all columns of the file, as they are compared: some files are known by them.
    """
    if column.number < MOSTLY or not column.filled:
        return None
    known = column.numbers[~np.isnan(column.numbers)]
    some = np.unique(known)
    some = some[np.linspace(0, len(some) - 1, min(len(some), FEW_VALUES)).astype(int)]
    if some[0] >= LEAST_EPOCH and all(times.seconds_of(value) is not None for value in some.tolist()):
        return ClockGuess(dated=True)
    sheet = all(times.unit_of(value) is TimeUnit.SHEET_DAYS for value in some.tolist())
    published = next(
        (unit for marks, unit in PUBLISHED.get(normalise(column.name), ()) if marks <= set(names)), None
    )
    if published is not None:
        return ClockGuess(dated=False, units=(published,), published=True)
    return ClockGuess(dated=False, sheet=sheet, units=_units(column, known))


def words_of_count(clock: ClockGuess) -> str:
    """Say what numbers count that are no dates."""
    if len(clock.units) != 1:
        units = either([unit.value for unit in clock.units or tuple(StartUnit)])
        return f"counts from some start: {units}, which isn't certain"
    return WORDS[clock.units[0]] + (", as in the published files of these columns" if clock.published else "")


def _units(column: CellProfile, known: NDArray[np.float64]) -> tuple[StartUnit, ...]:
    named = {UNITS[word] for word in column.words if word in UNITS}
    if len(named) == 1:
        return tuple(named)
    apart = float(known.max() - known.min())
    usual = STEP_UNITS if column.words & {"step", "steps"} else tuple(StartUnit)
    found = tuple(unit for unit, (least, most) in PERIODS.items() if least <= apart <= most and unit in usual)
    if len(found) > 1:
        alive = [unit for unit in found if unit in CYCLES and strength_of_cycle(known, CYCLES[unit])]
        if len(alive) == 1:
            return tuple(alive)
    return found


def strength_of_cycle(known: NDArray[np.float64], cycle: int) -> bool:
    """Return whether the rows of a file come and go with a cycle: the variance between its places, over that within
    them (the F statistic of an analysis of variance).
    """
    step = np.floor(known).astype(np.int64)
    rows = np.log1p(np.bincount(step - step.min()))
    rows = rows[: len(rows) // cycle * cycle].reshape(-1, cycle)
    count = len(rows)
    if count < FEWEST_CYCLES or (rows > 0).mean() < MOST_STEPS:
        return False
    between = count * rows.mean(axis=0).var(ddof=1)
    within = rows.var(axis=0, ddof=1).mean()
    return bool(between > STEADY * within)


def counts_time(column: CellProfile, clock: ClockGuess) -> bool:
    """Return whether a column of numbers is the time, by its name and by its numbers.

    A name of nothing but time is enough where the numbers go beyond the hours of two days; another one that has such a
    word, where no row is earlier than the one before.
    """
    words = {word for word in column.words if not word.isdecimal()}
    units = words & set(UNITS)
    if not words & COUNTS and not units:
        return False
    known = column.numbers[~np.isnan(column.numbers)]
    if clock.dated:
        return bool(words & COUNTS or words <= AROUND | set(UNITS))
    if known.min() < 0 or (known.max() <= OF_A_DAY and not words & {"step", "steps"}):
        return False
    alone = words <= COUNTS | AROUND | set(UNITS)
    if alone and (words & COUNTS or units & {"seconds", "secs", "sec"}):
        return True
    return alone and bool((np.diff(known) >= 0).all())


def counted(column: Column, clock: ClockGuess | None, said: str | None) -> Column:
    """Return the time column with what its numbers count: as was said, or as its numbers leave no doubt.

    Args:
        column: the one with the role time.
        clock: what its numbers may count, from :func:`clock_of`; ``None`` where its cells are no numbers.
        said: an answer of :data:`TRAINING_ANSWERS`, if one was given.

    Raises:
        Undecided: several units make sense, or none does.
        BadFile: what was said can't be of this column.
    """
    dates = column.kind is CellKind.TIME or clock is None or clock.dated or (clock.sheet and said == "days")
    if dates and said not in NEVER_DATES:
        return replace(column, kind=CellKind.TIME, since=None)
    if clock is None:
        raise BadFile(
            f"{column.name} holds dates, which count no {said}.",
            where=f"column {column.name}",
            remedy="Leave open what the time counts, or give a column of numbers the role time.",
        )
    if said is None and len(clock.units) != 1:
        raise question_of(column.name, clock.units or tuple(StartUnit))
    unit = clock.units[0] if said is None else SAID.get(said)
    if unit is None:
        raise BadFile(
            f"The numbers in {column.name} make no dates, so they don't count {said} since 1970.",
            where=f"column {column.name}",
            remedy=f"Say what they count from their start: {either([unit.value for unit in StartUnit])}.",
        )
    return replace(column, kind=CellKind.NUMBER, since=unit)


def of_file(said: str | None) -> str | None:
    """Return what an answer of :data:`TRAINING_ANSWERS` says of numbers that make dates, as the intake takes it."""
    return "s" if said == StartUnit.SECONDS else said if said in ANSWERS["time_unit"] else None


def is_open(column: Column, clock: ClockGuess | None) -> bool:
    """Return whether :func:`counted` would ask if nothing was said."""
    dates = column.kind is CellKind.TIME or clock is None or clock.dated
    return clock is not None and not dates and len(clock.units) != 1


def question_of(name: str, units: Iterable[StartUnit]) -> Undecided:
    """Return the question what the numbers of a column count."""
    units = tuple(units)
    words = f"{name} counts from some start, and its numbers can be {either([unit.value for unit in units])}."
    readings = tuple(Reading(unit.value, WORDS[unit], ()) for unit in units)
    said = " or ".join(f"--time-unit {unit}" for unit in units)
    return Undecided(
        words,
        where=f"column {name}",
        remedy=f"Say what they count; on the command line with {said}.",
        questions=(Question("time_unit", name, words, readings),),
    )


def either(words: list[str]) -> str:
    """Return words as a choice: ``s, ms or days``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
