"""Ask about the amounts of a file as a whole, before it is scored: their sign, and what they count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from screening.columns.amount_names import places_of, unit_said
from screening.errors import BadFile, Question, Reading, Undecided
from screening.intake import Answers, CellWords
from screening.intake.evidence import FEW
from screening.intake.forms import undecided
from screening.scoring.amount_scale import Scale, compare, profile_of
from screening.transactions.amount_evidence import AmountEvidence
from screening.transactions.amount_mixture import (
    AmountMixture,
    ScaleTurn,
    mixture_of,
    note_unlike,
    placed,
    turn,
)
from screening.transactions.amount_units import AmountUnit
from screening.transactions.composition import listed
from screening.transactions.missing import missing

if TYPE_CHECKING:
    from screening.detectors.detector import Detector
    from screening.uploads.questions.detector_choice import DetectorChoice

Floats = NDArray[np.float64]
EXAMPLES = 5
# Up to this share negative amounts are taken for refunds; with more of them it may be the other way round.
FEW_REFUNDS = 0.2
MANY = 20
"""Amounts from which on it can be said that they look like those of the training."""
ALIKE = 0.5
"""By how many powers of ten amounts may differ and still do so."""
SMALLEST = {AmountUnit.CENTS, AmountUnit.MILS}
PLACES = {0: "no smaller unit", 2: "hundredths", 3: "thousandths"}


def seen_of(
    choice: DetectorChoice, amounts: Floats
) -> tuple[AmountEvidence, AmountMixture | ScaleTurn | None]:
    """Return what the amounts of a file tell as a whole, and what was found of some that are much larger than others.

    Args:
        choice: in which unit they were read.
        amounts: all of the file's, (rows,), as they were read; NaN where a row is set aside.
    """
    written = choice.contract.unit.written(amounts)
    seen = AmountEvidence.of(written)
    return seen, placed(mixture_of(seen), written) or turn(written)


def check_sign(detector: Detector, amounts: AmountEvidence, answers: Answers, *, told: bool) -> list[str]:
    """Ask which sign is an expense where many amounts are negative and those of the training never were; note a few.

    Banks write what leaves an account as negative, detectors learn what is paid as positive. Where the file says itself
    which way the money went, there is nothing to ask.

    Args:
        detector: whose training data they are held against.
        amounts: the file's, as far as it was read.
        answers: what was said of the file.
        told: whether the file says it, by DR and CR or by another column.

    Raises:
        Undecided: many are negative, and nothing was said of it.
    """
    name = detector.contract.amount
    known = None if detector.card is None or name is None else detector.card.columns.get(name)
    if name is None or known is None or known.minimum is None or known.minimum < 0:
        return []
    negative = amounts.negative
    if not negative or answers.sign is not None:
        return []
    if told or negative <= FEW_REFUNDS * (amounts.rows - amounts.zeros):
        return [
            (
                f"{negative:,} amounts are negative; the detector's training data had none: their probabilities are "
                "uncertain."
            )
        ]
    cells = amounts.first
    question = Question(
        "sign",
        name,
        f"{name} is negative in {negative:,} rows: in many banks' files that is money that leaves the account.",
        tuple(
            Reading(
                answer,
                words,
                tuple((f"{cell:g}", f"{0 - cell if answer == 'turn' else cell:g}") for cell in cells),
            )
            for answer, words in (
                ("turn", "what leaves the account is negative"),
                ("keep", "what leaves the account is positive, and negative ones are refunds"),
            )
        ),
    )
    raise Undecided(
        question.words + " The detector learned from amounts that are never negative.",
        where=f"column {name}",
        remedy="Say which one is meant; on the command line with --sign turn (what leaves the account is negative) "
        "or --sign keep (it is positive, and negative ones are refunds).",
        questions=(question,),
    )


def check_unit(
    choice: DetectorChoice,
    amounts: AmountEvidence,
    answers: Answers,
    words: Mapping[str, CellWords],
    other: AmountMixture | ScaleTurn | None,
) -> list[str]:
    """Ask what the amounts are counted in where they are another order of magnitude than those of the training.

    Payment systems write whole cents, ``1250`` for 12.50. What was said of this file goes first, then what the name of
    the column says; what was said of files like it goes for this one, too, if its cells don't speak against it.

    Args:
        choice: the detector, and which columns are its.
        amounts: all of the file's, as it writes them.
        answers: what was said of the file.
        words: of the columns that were counted, the currencies among them.
        other: what was found of amounts that are many times as large as the others.

    Raises:
        Undecided: they can be counted in several units, and nothing tells which.
        BadFile: they can't be counted in what was said.
    """
    name, unit = choice.contract.amount, choice.contract.unit
    if name is None:
        return []
    many = not words.keys() >= set(choice.currencies)
    looked = _Amounts(choice, name, amounts, _codes(choice, words), many)
    if answers.unit is not None:
        looked.check_said()
        return [*looked.currency_notes, *looked.told("as was said"), *note_unlike(name, other)]
    if unit is not AmountUnit.WHOLE:
        looked.check_named()
        said = f"as {quoted(choice.amount_columns)} says"
        return [*looked.currency_notes, *looked.told(said), *note_unlike(name, other)]
    looked.check_plain()
    if choice.earlier_unit is not AmountUnit.WHOLE:
        looked.check_alike(other)
    return [*looked.currency_notes, *looked.told(""), *note_unlike(name, other)]


def _codes(choice: DetectorChoice, words: Mapping[str, CellWords]) -> dict[str, int]:
    """Return the number of times that each currency appears in the file, where a column holds them."""
    found: Counter[str] = Counter()
    for name in choice.currencies:
        if name in words:
            found.update({code.upper(): n for code, n in words[name].counts.items() if not missing(code)})
    return dict(found)


def quoted(names: Sequence[str]) -> str:
    """Return names in quotation marks, as a list in words."""
    return listed([f"“{name}”" for name in names])


@dataclass(frozen=True, slots=True)
class _Amounts:
    """The amounts of a file as it writes them, and what they are held against."""

    choice: DetectorChoice
    name: str
    written: AmountEvidence
    codes: Mapping[str, int]
    """Number of times that each currency appears in the file."""
    many: bool
    """Whether there are more of them than were counted."""

    @property
    def unit(self) -> AmountUnit:
        return self.choice.contract.unit

    @property
    def scale(self) -> Scale | None:
        """As they stand, beside the training."""
        return compare(profile_of(self.choice.detector), self.written)

    def check_said(self) -> None:
        """Hold what was said of this file against its cells.

        Raises:
            BadFile: it has parts of the smallest unit, or currencies with different ones.
        """
        parts = self._parts()
        if parts > FEW * self.written.rows:
            raise BadFile(
                f"{self.name} is said to be {self.unit.words}, and {parts:,} amounts are no whole numbers, as "
                f"{self.written.some_parts[0]:.15g}.",
                where=f"column {self.name}",
                remedy="Say again what the amounts are counted in, or fix the column.",
            )
        self._check_currencies()

    def check_named(self) -> None:
        """Hold what the name of the column says against its cells.

        Raises:
            Undecided: they speak against it.
            BadFile: there are currencies with different smallest units.
        """
        self._check_currencies()
        scale, names = self.scale, quoted(self.choice.amount_columns)
        says = f"The name of {names} says that its amounts are {self.unit.words}"
        if profile_of(self.choice.detector) is None:
            raise self._ask(
                f"{says}, and in what the detector's training data were isn't known.", (self.unit,)
            )
        read = compare(profile_of(self.choice.detector), self.written, self.unit)
        farther = (
            scale is not None and read is not None and abs(read.power) > abs(scale.power) and read.beyond
        )
        if farther or self._parts() > FEW * self.written.rows:
            raise self._ask(f"{says}, and they don't look so.", (self.unit,))

    def check_plain(self) -> None:
        """Ask where the amounts are another order of magnitude, or the like of them was said to be in another unit.

        Raises:
            Undecided: so it is.
        """
        self._check_currencies()
        scale, earlier = self.scale, self.choice.earlier_unit
        if earlier is not None and earlier is not AmountUnit.WHOLE and not self._parts(earlier):
            alike = scale is not None and self.written.rows >= MANY and abs(scale.power) < ALIKE
            alike |= earlier.digits < 0 and not places_of(self.codes) <= {-earlier.digits}
            words = f"{self.name} was {earlier.words} in files with these columns, and "
            words += "looks otherwise here." if alike else "may be so here."
            raise self._ask(words, (earlier,), again=alike)
        if scale is None or self.choice.named_unit is not None or not scale.units:
            return
        if scale.power > 0 and places_of(self.codes) == {0}:
            # their currency has no smaller unit
            return
        kind = "holds whole numbers only, and they are" if scale.power > 0 else "is"
        raise self._ask(f"{self.name} {kind} {scale.words}.", scale.units)

    def check_alike(self, mixed: AmountMixture | ScaleTurn | None) -> None:
        """Ask where whole amounts are so much larger than those with decimals that another system wrote them.

        Args:
            mixed: what was found of that.

        Raises:
            Undecided: so it is.
        """
        if not isinstance(mixed, AmountMixture):
            return
        words = (
            f"{mixed.words(self.name)}, as if one system wrote 12.50 and another 1250. If so, send what each wrote as "
            "a file of its own; if not, they can be read as they stand."
        )
        cells = [*self.written.some_parts[:2], *self.written.some_whole[: EXAMPLES - 2]]
        reading = Reading(
            AmountUnit.WHOLE.value,
            "as they stand, all in one unit",
            tuple((f"{cell:.15g}", shown_in(AmountUnit.WHOLE, cell)) for cell in cells),
        )
        raise undecided(Question("unit", self.name, words, (reading,)))

    def told(self, why: str) -> list[str]:
        """Return the notes on the amounts that come with the result: the unit they were read in, and their distance
        from the training data.
        """
        notes = []
        if self.unit is not AmountUnit.WHOLE:
            cell = next(iter(self.written.different), 0.0)
            words = (
                f"{self.name} was read {self.unit.words}, {why}: “{cell:.15g}” is {self.unit.of(cell):.15g}."
            )
            notes.append(words)
        scale = compare(profile_of(self.choice.detector), self.written, self.unit)
        if scale is not None and scale.beyond:
            stands = f" was read as it stands, {why}, and" if why and self.unit is AmountUnit.WHOLE else ""
            notes.append(f"{self.name}{stands} is {scale.words}: the probabilities are uncertain.")
        return notes

    @property
    def currency_notes(self) -> list[str]:
        """Notes on columns that name several currencies."""
        if len(self.codes) < 2 and not self.many:
            return []
        shown = "many currencies" if self.many else f"several currencies ({', '.join(sorted(self.codes))})"
        names = listed(self.choice.currencies)
        return [f"{names} names {shown}; nothing was converted: the detector compares the bare numbers."]

    def _parts(self, unit: AmountUnit | None = None) -> int:
        """Return the number of amounts that can't be counted in a smallest unit, since they aren't whole."""
        return self.written.parts.total if (unit or self.unit) in SMALLEST else 0

    def _check_currencies(self) -> None:
        """Refuse smallest units of currencies that have different ones.

        Raises:
            BadFile: one has cents, another thousandths or none.
        """
        named = unit_said(self.choice.amount_columns, self.name) if self.choice.named_unit else None
        if not {self.unit, named} & SMALLEST or (len(places_of(self.codes)) < 2 and not self.many):
            return
        if self.many:
            raise BadFile(
                f"{self.name} is in smallest units, and {listed(self.choice.currencies)} names more currencies than "
                "are compared here.",
                where=f"column {self.name}",
                remedy="Write the amounts in whole units with decimals (12.50), or send a file for each currency.",
            )
        first = {places_of([code]).pop(): code for code in sorted(self.codes, reverse=True)}
        shown = listed(
            [f"{code} has {PLACES[places]}" for places, code in sorted(first.items(), reverse=True)]
        )
        raise BadFile(
            f"{self.name} is in smallest units, and its currencies have different ones: {shown}.",
            where=f"column {self.name}",
            remedy="Write the amounts in whole units with decimals (12.50), or send a file for each currency.",
        )

    def _ask(self, words: str, units: Sequence[AmountUnit], *, again: bool = False) -> Undecided:
        """Return the question, with the readings that are likely first and all that go in the same direction."""
        small = units[0].digits < 0
        others = (AmountUnit.CENTS, AmountUnit.MILS) if small else (AmountUnit.HUNDREDS, AmountUnit.THOUSANDS)
        readings = tuple(
            Reading(
                unit.value,
                unit.words,
                tuple((f"{cell:.15g}", shown_in(unit, cell)) for cell in self.written.different),
            )
            for unit in dict.fromkeys((*units, *others, AmountUnit.WHOLE))
        )
        return undecided(Question("unit", self.name, words, readings), again=again)


def shown_in(unit: AmountUnit, cell: float) -> str:
    """Return what an amount would be, with all its decimals and two of them at least: ``1,250.00``."""
    number, _, decimals = f"{Decimal(repr(unit.of(cell))):,f}".partition(".")
    return f"{number}.{decimals.rstrip('0').ljust(3 if unit is AmountUnit.MILS else 2, '0')}"
