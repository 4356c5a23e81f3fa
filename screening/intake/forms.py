"""Decide how the columns of a file write their numbers and times, by the whole of a column or not at all.

The same payment must get the same probability however it is written. So every cell that means two things is held
against all others of its column: where they leave one reading, that one is taken, and the result has a note; where
they leave two, the user is asked; where they contradict each other, the file is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from screening.errors import BadFile, Question, Reading, Undecided
from screening.intake import numbers
from screening.intake.evidence import EXAMPLES, FEW, NumberEvidence, TimeEvidence
from screening.intake.numbers import DigitLayout, NumberForm
from screening.transactions import times
from screening.transactions.amount_units import AmountUnit
from screening.transactions.composition import listed
from screening.transactions.times import CellFamily, DateOrder, TimeForm, TimeUnit

# So many cells like 1,070 beside whole numbers below 1000, and no other decimals, can only be thousands.
GROUPS = 2
ORDER_WORDS = {
    DateOrder.DAY_FIRST: "day before month",
    DateOrder.MONTH_FIRST: "month before day",
    DateOrder.YEAR_FIRST: "year before month and day",
}
ANSWERS = {
    "dates": tuple(order.value for order in DateOrder),
    "decimal": (".", ","),
    "sign": ("keep", "turn"),
    "time_unit": tuple(unit.value for unit in TimeUnit),
    "unit": tuple(unit.value for unit in AmountUnit),
}
"""The questions, and what can be answered."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of the sender about a file; ``None`` where nothing was said."""

    dates: str | None = None
    decimal: str | None = None
    sign: str | None = None
    time_unit: str | None = None
    unit: str | None = None
    """Unit of the amounts: whoever chooses the columns takes it into account, by :attr:`ColumnContract.unit`."""

    @classmethod
    def of(cls, given: Mapping[str, str | None]) -> Answers:
        """Return answers by their names.

        Raises:
            BadFile: there is no such question, or no such answer.
        """
        for name, value in given.items():
            if name not in ANSWERS or (value is not None and value not in ANSWERS[name]):
                raise BadFile(
                    f"{str(value)[:20]!r} is no answer for {name[:20]}.",
                    remedy=f"The answers are: {', '.join(ANSWERS.get(name, ()))}.",
                )
        return cls(**given)


NOTHING_SAID = Answers()


def number_form(
    name: str,
    seen: NumberEvidence,
    others: Iterable[NumberEvidence],
    answers: Answers,
    *,
    amount: bool,
) -> tuple[NumberForm, list[str]]:
    """Return the form in which a column writes its numbers, and what was assumed of it.

    Args:
        name: the column's.
        seen: what its cells look like.
        others: the same of the file's other columns of numbers: one program wrote them all.
        answers: what the user said.
        amount: whether it is the amount, of which a thousandth part is hardly ever written.

    Raises:
        Undecided: its cells can be read in two ways.
        BadFile: they contradict each other.
    """
    if seen.shortened:
        raise BadFile(
            f"The numbers in {name} were shortened by a spreadsheet (“{seen.short_cell}”): their further digits "
            "are lost.",
            where=f"column {name}",
            remedy="Export the file again from where it came from, or give the column a plain format of numbers before "
            "it is saved as CSV.",
        )
    turned = answers.sign == "turn" and amount
    # cells that leave no doubt go first
    decimal = decided_decimal(name, seen) or answers.decimal or _pooled(others)
    lone_commas, lone_points = seen.writings[DigitLayout.LONE_COMMA], seen.writings[DigitLayout.LONE_POINT]
    if decimal is None:
        if lone_commas and lone_points:
            raise both_marks(name, seen, DigitLayout.LONE_COMMA, DigitLayout.LONE_POINT)
        # where every cell has the mark, three decimals are as likely as thousands
        if lone_commas and not (lone_commas >= GROUPS and seen.small and not seen.large):
            raise ask_decimal(name, seen.shown[DigitLayout.LONE_COMMA])
        if lone_points and amount and seen.small and not seen.large:
            raise ask_decimal(name, seen.shown[DigitLayout.LONE_POINT])
        decimal = "."
    form = NumberForm(decimal, turned)
    notes = []
    lone = [writing for writing in (DigitLayout.LONE_COMMA, DigitLayout.LONE_POINT) if seen.writings[writing]]
    if lone and (lone_commas or decimal == "," or (amount and not seen.points)):
        text = seen.one(*lone)
        notes.append(
            f"{name}: “{numbers.excerpt(text)}” was read as {_number(text, form)}, and its like likewise."
        )
    if seen.books:
        notes.append(
            f"{name}: amounts with DR were read as positive (money that leaves), those with CR as negative."
        )
    if turned:
        notes.append(
            f"{name} was read with the other sign, as was said: what leaves the account is positive."
        )
    return form, notes


def currency_note(columns: Mapping[str, NumberEvidence]) -> list[str]:
    """Return the note on a value whose columns, one or debit and credit, show several currencies."""
    found = set[str]().union(*(seen.currencies for seen in columns.values()))
    if len(found) < 2:
        return []
    have = f"{listed(tuple(columns))} {'has' if len(columns) == 1 else 'have'}"
    words = f"amounts in several currencies ({', '.join(sorted(found))}); nothing was converted"
    return [f"{have} {words}: the detector compares the bare numbers."]


def decimal_comma_note(columns: Mapping[str, NumberEvidence], forms: Mapping[str, NumberForm]) -> list[str]:
    """Return the note on columns whose cells show decimal commas: one note for all of them."""
    found = [name for name, seen in columns.items() if forms[name].decimal == "," and seen.commas]
    if not found:
        return []
    text = columns[found[0]].one(DigitLayout.COMMA, DigitLayout.GROUPED_BY_POINTS)
    others = f", and so were {len(found) - 1} other columns" if found[1:] else ""
    meant = _number(text, forms[found[0]])
    return [f"{found[0]} has decimal commas: “{numbers.excerpt(text)}” was read as {meant}{others}."]


def _number(text: str, form: NumberForm) -> str:
    value = numbers.number(text, form)
    return "too large a number" if value is None else f"{value:.15g}"


def decided_decimal(name: str, seen: NumberEvidence) -> str | None:
    """Return the decimal mark that a column's own cells leave no doubt of.

    Raises:
        BadFile: some say one thing, some the other.
    """
    commas, points = seen.commas, seen.points
    if commas and points and min(commas, points) > max(FEW * (commas + points), 1):
        raise BadFile(
            f"{name} writes its decimals in two ways: "
            f"“{numbers.excerpt(seen.one(DigitLayout.COMMA, DigitLayout.GROUPED_BY_POINTS))}” and "
            f"“{numbers.excerpt(seen.one(DigitLayout.POINT, DigitLayout.GROUPED_BY_COMMAS))}”.",
            where=f"column {name}",
            remedy="Write one decimal mark in the whole column: then no cell can mean two numbers.",
        )
    if commas or points:
        return "," if commas > points else "."
    return None


def _pooled(others: Iterable[NumberEvidence]) -> str | None:
    """Return the mark of the file's other columns, if all say the same."""
    found = list(others)
    commas, points = sum(one.commas for one in found), sum(one.points for one in found)
    return None if bool(commas) == bool(points) else "," if commas else "."


def both_marks(name: str, seen: NumberEvidence, one: DigitLayout, other: DigitLayout) -> BadFile:
    """Return the error of a column whose cells use both marks, so that neither is known for the decimal mark."""
    return BadFile(
        f"{name} has “{seen.one(one)}” and “{seen.one(other)}”: which of the marks is the decimal mark can't be told.",
        where=f"column {name}",
        remedy="Write the numbers without marks between thousands.",
    )


def ask_decimal(name: str, cells: list[str]) -> Undecided:
    """Return the question which mark is the decimal mark."""
    readings = tuple(
        Reading(
            mark,
            f"the decimal mark is {'a point' if mark == '.' else 'a comma'}",
            tuple((numbers.excerpt(cell), _number(cell, NumberForm(mark))) for cell in cells[:EXAMPLES]),
        )
        for mark in ANSWERS["decimal"]
    )
    what = f"{name}: “{numbers.excerpt(cells[0])}” can be {readings[0].examples[0][1]} or {readings[1].examples[0][1]}."
    return undecided(Question("decimal", name, what, readings))


def undecided(question: Question, *, again: bool = False) -> Undecided:
    """Return the refusal of a file that leaves a question open; ``again`` where an earlier answer doesn't settle it."""
    option = question.option.replace("_", "-")
    answers = " or ".join(f"--{option} {reading.answer} ({reading.words})" for reading in question.readings)
    return Undecided(
        question.words,
        where=f"column {question.column}",
        remedy=f"Say which one is meant; on the command line with {answers}.",
        questions=(question,),
        again=again,
    )


def time_form(
    name: str, seen: TimeEvidence, answers: Answers, *, since_1904: bool = False
) -> tuple[TimeForm, list[str]]:
    """Return the form in which a column writes its times, and what was assumed of it.

    Args:
        name: the column's.
        seen: what its cells look like.
        answers: what the user said.
        since_1904: whether its workbook counts days from 1904.

    Raises:
        Undecided: its cells can be read in two ways.
        BadFile: they contradict each other, or make no time.
    """
    seen.settle()
    if seen.shortened is not None:
        raise BadFile(
            f"The numbers in {name} were shortened by a spreadsheet (“{seen.shortened}”): their last digits are lost.",
            where=f"column {name}",
            remedy="Export the file again from where it came from, or widen the column before it is saved as CSV.",
        )
    families = seen.main()
    notes = [*note_mixed(name, seen, families), *clock_notes(name, seen)]
    if not families:
        return times.AUTO, notes
    if {CellFamily.NUMBER, CellFamily.SHEET} & set(families):
        return counted_form(name, seen, answers, notes, since_1904=since_1904)
    if not seen.ordered:
        return times.AUTO, notes
    fitting = fitting_orders(name, seen)
    order = fitting[0] if len(fitting) == 1 or not seen.differ else said_order(name, seen, fitting, answers)
    if seen.differ:
        cell = seen.open_cells[0]
        shown = shown_time(times.readings_of(cell)[order])
        words = f"{name} has its {ORDER_WORDS[order]}: “{cell}” was read as {shown}"
        notes.append(words + (", as was said." if len(fitting) > 1 else "; no other order fits all rows."))
    return TimeForm(order), notes


def note_mixed(name: str, seen: TimeEvidence, families: list[CellFamily]) -> list[str]:
    """Return a note where dates are written in several ways.

    Raises:
        BadFile: that is how a spreadsheet leaves a column that it understood by halves.
    """
    if len(families) < 2:
        return []
    first, second = (f"“{seen.shown[family][0]}”" for family in families[:2])
    number = {CellFamily.NUMBER, CellFamily.SHEET, CellFamily.DIGITS_6, CellFamily.DIGITS_8}
    turned = (
        CellFamily.ISO in families
        and {CellFamily.SLASHES, CellFamily.POINTS, CellFamily.DASHES} & set(families)
        and not seen.iso_past_twelve
        and not seen.others_to_twelve
    )
    if turned or (number & set(families) and set(families) - number):
        raise BadFile(
            f"The dates in {name} are written in two ways, as {first} and as {second}: a spreadsheet that takes a "
            "part of them for dates often swaps their days and months.",
            where=f"column {name}",
            remedy="Export the column again as text, or write all its dates as 2025-12-31 23:59:00.",
        )
    if set(families) <= number:
        return []
    return [
        f"The dates in {name} are written in several ways, as {first} and as {second}; each was read as it stands."
    ]


def clock_notes(name: str, seen: TimeEvidence) -> list[str]:
    """Return the notes on a column in which only some cells say their zone, or their half of the day.

    Raises:
        BadFile: those that don't say their half seem to have lost it.
    """
    return [*zone_note(name, seen), *half_note(name, seen)]


def zone_note(name: str, seen: TimeEvidence) -> list[str]:
    """Return a note where some times have a zone and others don't."""
    if seen.zoned is None or seen.zoneless is None:
        return []
    zoned, zoneless = numbers.excerpt(seen.zoned), numbers.excerpt(seen.zoneless)
    words = f"“{zoned}” was converted to UTC, “{zoneless}” was taken as it stands, as if it were UTC"
    return [f"{name} has times with a zone and times without: {words}."]


def half_note(name: str, seen: TimeEvidence) -> list[str]:
    """Return a note where some times have AM or PM and others don't.

    Raises:
        BadFile: the others seem to have lost theirs.
    """
    if seen.halved is None or seen.unhalved is None:
        return []
    hours = seen.unhalved_hours
    halved, unhalved = numbers.excerpt(seen.halved), numbers.excerpt(seen.unhalved)
    if not hours[0] and not any(hours[hour] for hour in range(13, 24)):
        raise BadFile(
            f"{name} has times with AM or PM, as “{halved}”, and {hours.total():,} without, as “{unhalved}”; none of "
            "those is past 12:59, as if theirs were lost. They would be read as of the morning.",
            where=f"column {name}",
            remedy="Export all times with AM and PM, or all by a clock of 24 hours.",
        )
    return [
        f"{name} has times with AM or PM, as “{halved}”, and times of 24 hours, as “{unhalved}”; each was read so."
    ]


def counted_form(
    name: str, seen: TimeEvidence, answers: Answers, notes: list[str], *, since_1904: bool
) -> tuple[TimeForm, list[str]]:
    """Return the form of times that are counts, and the notes with what is said of it.

    Raises:
        BadFile: they make no dates.
    """
    cells = [*seen.shown.get(CellFamily.NUMBER, ()), *seen.shown.get(CellFamily.SHEET, ())]
    units = {unit: count for unit, count in seen.units.items() if count > FEW * sum(seen.units.values())}
    # numbers that make dates by one unit go first
    if answers.time_unit and (len(units) != 1 or None in units):
        said = TimeUnit(answers.time_unit)
        return TimeForm(unit=said), [*notes, f"{name} was read as {_UNIT_WORDS[said]}, as was said."]
    if set(units) == {None} or not units:
        raise BadFile(
            f"The numbers in {name} (“{cells[0]}”) make no date from {times.FIRST_NUMBER_YEAR} to {times.LAST_YEAR}.",
            where=f"column {name}",
            remedy=f"Write dates in a way that is read here ({times.SPELLINGS}), or say what they count with "
            f"--time-unit {', '.join(TimeUnit)}.",
        )
    if len(units) > 1:
        shown = " and as ".join(f"“{cell}”" for cell in cells[:1] + cells[-1:])
        raise BadFile(
            f"The times in {name} count different things in different rows, as {shown}.",
            where=f"column {name}",
            remedy="Write all of them in one way.",
        )
    (unit,) = units
    if unit is TimeUnit.SHEET_DAYS:
        unit = TimeUnit.DAYS_1904 if since_1904 or answers.time_unit == TimeUnit.DAYS_1904 else unit
        counted = shown_time(times.time_of(cells[0], TimeForm(unit=unit)) or 0.0)
        since = ", from 1904" if unit is TimeUnit.DAYS_1904 else ""
        notes.append(
            f"{name} holds days as spreadsheets count them{since}: “{cells[0]}” was read as {counted}."
        )
    elif unit is not TimeUnit.SECONDS:
        notes.append(f"{name} was read as {_UNIT_WORDS[unit or TimeUnit.SECONDS]}.")
    return TimeForm(unit=unit), notes


_UNIT_WORDS = {
    TimeUnit.SECONDS: "seconds since 1970",
    TimeUnit.MILLISECONDS: "milliseconds since 1970",
    TimeUnit.MICROSECONDS: "microseconds since 1970",
    TimeUnit.NANOSECONDS: "nanoseconds since 1970",
    TimeUnit.SHEET_DAYS: "days as spreadsheets count them, since 1900",
    TimeUnit.DAYS_1904: "days as some spreadsheets count them, since 1904",
}


def fitting_orders(name: str, seen: TimeEvidence) -> list[DateOrder]:
    """Return the orders that fit as many cells as any, and nearly all.

    Raises:
        BadFile: none does.
    """
    fitting = [order for order in DateOrder if seen.orders[order] >= (1 - FEW) * seen.ordered]
    best = max(seen.orders.values())
    fitting = [order for order in fitting if seen.orders[order] == best] or fitting
    if not fitting:
        raise BadFile(
            f"The dates in {name} are written day before month in some rows and month before day in others.",
            where=f"column {name}",
            remedy="Write all of them in one way, best as 2025-12-31.",
        )
    return fitting


def said_order(name: str, seen: TimeEvidence, fitting: list[DateOrder], answers: Answers) -> DateOrder:
    """Return the order that was said, of those that a column's own cells leave open.

    Raises:
        Undecided: nothing was said, or another order.
    """
    if answers.dates in fitting:
        return DateOrder(answers.dates)
    readings = tuple(
        Reading(
            order.value,
            ORDER_WORDS[order],
            tuple(
                (cell, shown_time(found[order]))
                for cell in seen.open_cells
                if order in (found := times.readings_of(cell))
            ),
        )
        for order in fitting
    )
    one, other = readings[0].examples[0][1], readings[1].examples[0][1]
    what = f"{name}: “{seen.open_cells[0]}” can be {one} or {other}, and no row tells which."
    raise undecided(Question("dates", name, what, readings))


def shown_time(seconds: float) -> str:
    """Return a time as a date, with its time of day unless that is midnight."""
    moment = times.EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%d}" if seconds % 86_400 == 0 else f"{moment:%Y-%m-%d %H:%M:%S}"
