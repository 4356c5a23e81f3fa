"""Choose the detector for a file, and map the file's columns to its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Given
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from screening.columns.amount_names import currency_columns, unit_said
from screening.columns.arrangement import Arrangement, arrange, misfits, one_sided
from screening.columns.composed_amounts import says_direction
from screening.columns.matching import likeness
from screening.detectors.states import DetectorState, trial_note
from screening.errors import BadFile, ColumnsMissing, ColumnsUnclear
from screening.intake import CellWords, TableHead
from screening.transactions.amount_units import AmountUnit
from screening.transactions.composition import Composition, listed
from screening.transactions.schema import ColumnContract, Role, normalise
from screening.uploads.questions.column_mappings import Mapping

if TYPE_CHECKING:
    from screening.detectors.detector import Detector
    from screening.detectors.registry import Detectors

MOST_NAMED = 3
"""Columns that are named as contradicting what was said of them."""
ROLES = (Role.AMOUNT, Role.TIME)
"""Roles that can be made of several columns, and so can be called by its role."""
Said = Given[str, str | Composition]
"""Columns of a detector, by their names or roles, and what the file has for them."""


class DetectorChoice:
    """The detector for a file, and its columns among the file's: known once the header is read."""

    def __init__(
        self,
        detectors: Detectors,
        wanted: str | None,
        recall: Callable[[list[str]], Mapping | None],
        on_choice: Callable[[Detector], None] = lambda _detector: None,
        *,
        unit: str | None = None,
        recall_unit: Callable[[list[str]], str | None] = lambda _header: None,
    ) -> None:
        """``unit`` is what was said of this file's amounts, ``recall_unit`` gives what was said of files like it."""
        self._detectors, self._wanted, self._recall, self._on_choice = detectors, wanted, recall, on_choice
        self._unit, self._recall_unit = unit, recall_unit
        self.detector: Detector
        self.contract: ColumnContract
        self.header: list[str] = []
        self.mapping: Mapping | None = None
        """Mapping of the columns, where they aren't called as the detector calls them."""
        self.named_unit: AmountUnit | None = None
        """Unit of the amounts by the names of the file's columns."""
        self.earlier_unit: AmountUnit | None = None
        """Unit that was chosen for files like this one."""
        self.currencies: tuple[str, ...] = ()
        """The columns that hold the currencies."""

    def __call__(self, head: TableHead) -> ColumnContract:
        """Return the contract to read the file by.

        What was said of this very file goes first, then the names; what was said of files like it decides where names
        leave columns missing or open, or where it says otherwise, unless the cells contradict it.

        Raises:
            BadFile: no detector takes a file of these columns, or whoever sent it must say which they are.
        """
        head = replace(head, rows=lru_cache(1)(head.rows))
        self.header = head.names
        said = self._usable(self._recall(head.names))
        if said is not None and said.of_this_file:
            self._take(said)
        else:
            found, refused = self._by_names(head)
            other = (
                said is not None
                and found is not None
                and said.renames
                and said.detector == self.detector.name
            )
            if found is not None and not found.made and not found.open and not other:
                self.contract = found.contract
            elif said is not None:
                self._check(said, head)
                self._take(said)
            elif found is None:
                raise refused or self._unfit(head)
            elif found.open:
                raise unclear(found.open)
            else:
                self.contract = found.contract
        self.contract = self.contract.made(head.names)
        self._look_at_unit(head)
        watched = (*one_sided(self.contract, head.names, head.rows), *self.currencies)
        unit = AmountUnit(self._unit) if self._unit else self.named_unit
        self.contract = replace(self.contract, watched=watched, unit=unit or AmountUnit.WHOLE)
        self._on_choice(self.detector)
        return self.contract

    def _look_at_unit(self, head: TableHead) -> None:
        """Note what the names, and what was said of files like this one, tell of the unit of the amounts."""
        if self.contract.amount is None:
            return
        currencies = currency_columns(head.names, head.rows)
        self.currencies = tuple(currencies)
        codes = set().union(*currencies.values())
        self.named_unit = unit_said(self.amount_columns, self.contract.amount, codes)
        earlier = self._recall_unit(head.names)
        self.earlier_unit = AmountUnit(earlier) if earlier in set(AmountUnit) else None

    @property
    def amount_columns(self) -> tuple[str, ...]:
        """Names of the columns in which the file holds the amount, or its parts."""
        name = self.contract.amount or ""
        made = dict(self.contract.composed).get(name)
        return (dict(self.contract.aliases).get(name, name),) if made is None else made.columns

    def _take(self, said: Mapping) -> None:
        self.mapping = said
        self.detector = self._detectors.get(said.detector)
        self.contract = self.detector.contract.mapped(said.columns)

    def _by_names(self, head: TableHead) -> tuple[Arrangement | None, ColumnsMissing | None]:
        """Return the arrangement by the file's own names, and what is missing of the detector that was asked for."""
        try:
            self.detector = self._detectors.choose(head.names, self._wanted)
            return arrange(self.detector.contract, head.names, head.rows), None
        except ColumnsMissing as problem:
            wanted = self._wanted
            offered = self._detectors.choosable() if wanted is None else [self._detectors.get(wanted)]
            fitting = [
                (each, found)
                for each in offered
                if (found := arrange(each.contract, head.names, head.rows)).made and not _missing(found, head)
            ]
            if fitting:
                self.detector, found = max(fitting, key=lambda each: len(each[1].contract.columns))
                return found, None
            return None, problem if wanted is not None and is_table(head) else None

    def _check(self, said: Mapping, head: TableHead) -> None:
        """Hold what was said of earlier files against the cells of this one.

        Raises:
            ColumnsUnclear: a column holds something else now.
        """
        contract = self._detectors.get(said.detector).contract
        wrong = list(misfits(said.columns, contract, head.names, head.rows()))
        if wrong:
            raise ColumnsUnclear(
                f"The columns were mapped as was said {said.said}, and this file contradicts it: "
                f"{listed(wrong[:MOST_NAMED])}.",
                remedy="Map the columns again, or fix the file.",
            )

    def _unfit(self, head: TableHead) -> BadFile:
        """Return the error for a file that no detector takes: of the one that it seems to be for."""
        if not is_table(head):
            return BadFile(
                "This is no table: it has no line of names with cells of the same number below it.",
                remedy="Send a CSV file, a workbook or a Parquet file of transactions.",
            )
        rows = head.rows()
        nearest = max(
            self._detectors.choosable(),
            key=lambda each: likeness(head.names, rows, each.contract.parts()),
        )
        try:
            nearest.contract.match(head.names)
        except BadFile as problem:
            return problem
        raise AssertionError("a detector that fits would have been chosen")

    def _usable(self, mapping: Mapping | None) -> Mapping | None:
        """Return the mapping, if its detector was asked for or may be chosen without that."""
        if mapping is None or mapping.detector == self._wanted:
            return mapping
        if self._wanted is not None:
            return None
        offered = {one.name: one for one in self._detectors.offered()}
        if mapping.detector not in offered:
            return None
        found, _ = self._detectors.in_place_of(offered[mapping.detector])
        if found.name == mapping.detector:
            return mapping
        # what was said of a column holds for the detector that was promoted, too, if it calls it so
        columns = {name: mapping.columns.get(name, name) for name in found.contract.columns}
        return replace(mapping, detector=found.name, columns=columns)

    def check_words(self, words: Given[str, CellWords]) -> list[str]:
        """Judge the columns that seemed to play no part when their whole is known: a note where the columns were said.

        Raises:
            ColumnsUnclear: one says which way the money goes, after rows in which it said one way or nothing.
        """
        found = {
            name: each for name, each in words.items() if says_direction(name, each.counts) and each.counts
        }
        if not found:
            return []
        amount = self.contract.amount or ""
        told = [f"{name} says {each.told}" for name, each in found.items()]
        if self.mapping is not None:
            return [f"{listed(told)}; {amount} was read without it, as was said."]
        theirs = {normalise(name): name for name in self.header}[normalise(amount)]
        name, first = next(iter(found.items()))
        problem = unclear([f"{each}: it may belong to {amount}" for each in told])
        problem.made, problem.row = {amount: {"amount": theirs, "direction": name}}, first.last
        raise problem

    @property
    def notes(self) -> list[str]:
        """Notes for the user."""
        on_trial = self._detectors.standing(self.detector.name).state is DetectorState.TRIAL
        instead = "" if self._wanted is not None else self._detectors.in_place_of(self.detector)[1]
        return [
            *([instead] if instead else []),
            *([trial_note(self.detector.name)] if on_trial else []),
            *([] if self.mapping is None else [self.mapping.note]),
        ]


def _missing(found: Arrangement, head: TableHead) -> bool:
    """Return whether columns are missing, even so."""
    try:
        found.contract.match(head.names)
    except BadFile:
        return True
    return False


def is_table(head: TableHead) -> bool:
    """Return whether a file has columns: most of its first rows are as long as its header, which has several names."""
    rows = [row for row in head.rows() if row]
    fitting = sum(len(row) == len(head.names) for row in rows)
    return sum(map(bool, map(str.strip, head.names))) > 1 and 2 * fitting >= len(rows)


def unclear(words: Sequence[str]) -> ColumnsUnclear:
    """Return the error of columns of which only a person can say what they are."""
    return ColumnsUnclear(
        f"{listed(words)}.",
        remedy="Say which columns are meant, on the page of the file; on the command line with --part (as in --part "
        "amount:debit=COLUMN) or, for a column that is meant alone, --column (as in --column NAME=NAME).",
    )


def mapping_of(said: Said, header: Sequence[str], detectors: Detectors, wanted: str | None) -> Mapping:
    """Return the mapping of a file some columns of which were named; the others are called as the detector calls them.

    Args:
        said: what was said.
        header: the file's names.
        detectors: those that may take it.
        wanted: the one that was asked for.

    Raises:
        BadFile: no detector has such columns, or the file hasn't those that were named.
    """
    offered = detectors.choosable() if wanted is None else [detectors.get(wanted)]
    found = [
        (each, columns) for each in offered if (columns := whole_mapping(said, each.contract)) is not None
    ]
    if not found:
        raise BadFile(
            f"No detector has all these columns: {listed(sorted(said))}.",
            remedy="Name a detector's column, amount or time; detectors show says what a detector needs.",
        )
    fitting = [each for each in found if each[0].contract.mapped(each[1]).fits(header)]
    detector, columns = max(fitting or found[:1], key=lambda each: len(each[1]))
    detector.contract.mapped(columns).match(header)
    return Mapping(detector.name, columns, of_this_file=True)


def whole_mapping(said: Said, contract: ColumnContract) -> dict[str, str | Composition] | None:
    """Return a mapping with one of the file's columns for each of a contract's; ``None`` where the contract hasn't
    those that were named.
    """
    by_role = {column.role.value: column.name for column in contract.parts() if column.role in ROLES}
    by_name = {normalise(name): name for name in contract.columns}
    columns: dict[str, str | Composition] = {name: name for name in contract.columns}
    columns.update(dict(contract.composed))
    for called, theirs in said.items():
        ours = by_name.get(normalise(called)) or by_role.get(called)
        if ours is None:
            return None
        columns[ours] = theirs
    return columns
