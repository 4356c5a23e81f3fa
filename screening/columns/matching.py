"""Match the columns of a file with those of a contract, by what their names share and by the kind of their cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from screening.columns.composed import Columns
from screening.columns.made import CompositionGuess
from screening.columns.profiles import MOSTLY, CellProfile, profile
from screening.columns.vocabulary import NOISE, SYNONYMS, words_of
from screening.transactions.composition import DAY, Composition
from screening.transactions.schema import CellKind, Column, Role, normalise

LESS = 0.98
"""Worth of a day without a time of day beside a moment."""


@dataclass(frozen=True, slots=True)
class Match:
    """A column of a file that seems to be a column of a contract, and the certainty, from 0 to 1."""

    header: str | None
    score: float
    made: Composition | None = None
    """Composition, if several columns of the file seem to be it together; ``header`` is ``None`` then."""


def guess_mapping(
    header: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[Column]
) -> dict[str, Match]:
    """Guess for each column of a contract the file's column that seems to be it; none for two of them.

    Args:
        header: the file's names.
        rows: some of its rows.
        columns: the contract's, as :meth:`ColumnContract.parts` gives them.
    """
    profiles = [profile(name, [row[place] for row in rows]) for place, name in enumerate(header)]
    scores = [
        (name_likeness(column, each), wanted, place)
        for wanted, column in enumerate(columns)
        for place, each in enumerate(profiles)
    ]
    found: dict[str, Match] = {column.name: Match(None, 0.0) for column in columns}
    taken: set[int] = set()
    done: set[int] = set()
    for wanted, made in match_composed(profiles, columns, scores):
        found[columns[wanted].name] = Match(None, made.score, made.composition)
        done.add(wanted)
        taken |= {place for place, name in enumerate(header) if name in made.composition.columns}
    for score, wanted, place in sorted(scores, key=lambda each: (-each[0], each[1], each[2])):
        if score >= 0.4 and wanted not in done and place not in taken:  # below it is a coincidence
            found[columns[wanted].name] = Match(header[place], round(score, 2))
            done.add(wanted)
            taken.add(place)
    return found


def match_composed(
    profiles: Sequence[CellProfile],
    columns: Sequence[Column],
    scores: Sequence[tuple[float, int, int]],
) -> Iterator[tuple[int, CompositionGuess]]:
    """Yield the contract's columns that several of the file's seem to be together, rather than a single one."""
    file = Columns([each.name for each in profiles], [each.cells for each in profiles])
    for wanted, column in enumerate(columns):
        if column.role is Role.AMOUNT:
            found = file.amounts()
        elif column.role is Role.TIME and column.kind is CellKind.TIME:
            found = file.times()
        else:
            continue
        made = found[0] if found else None
        alone, place = max((score, place) for score, theirs, place in scores if theirs == wanted)
        own = made is not None and profiles[place].name in made.composition.columns
        if made is not None and (made.score >= alone or (own and made.certain)):
            yield wanted, made


def likeness(header: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[Column]) -> float:
    """Return the share of a file that the columns of a contract explain, by names, kinds and shapes of the cells.

    It grows with each of the file's columns that has a place, by how sure that is; of two that explain as much, the
    contract that needs less is nearer.
    """
    found = guess_mapping(header, rows, columns)
    explained = sum(match.score for match in found.values())
    return explained + explained / (len(found) + 1) / 1000


def name_likeness(column: Column, each: CellProfile) -> float:
    """Return 1 for the same name; else how many words both names share, less where the cells are of another kind, and
    never less than what cells that can hardly be anything else are worth.
    """
    if normalise(column.name) == normalise(each.name):
        return 1.0
    ours, theirs = meanings(column.name), meanings(each.name)
    shared = len(ours & theirs) / len(ours | theirs) if ours and theirs else 0.0
    found = max(
        0.95 * shared * (1.0 if fits(column, each) else 0.3), cell_likeness(column, each, ours & theirs)
    )
    day_alone = (
        column.kind is CellKind.TIME and each.time >= MOSTLY and not np.nanmax(each.moments % DAY, initial=0)
    )
    # of two dates the one with the time of day says more
    return found * (LESS if day_alone else 1.0)


def cell_likeness(column: Column, each: CellProfile, shared: set[str]) -> float:
    """Return the evidence of the cells alone for a column: dates for the time, sums for the amount, names for who."""
    if column.kind is CellKind.TIME:
        return 0.6 if each.time >= MOSTLY else 0.0
    if column.role is Role.AMOUNT and each.number >= MOSTLY:
        return 0.6 if shared else 0.45 if each.whole < MOSTLY else 0.0
    sums = each.number >= MOSTLY and each.whole < MOSTLY
    if column.role is Role.ENTITY and shared and each.filled and each.time < MOSTLY and not sums:
        return 0.5
    return 0.0


def meanings(name: str) -> set[str]:
    """Return the words of a name, each as the first of its synonyms, without those that say nothing."""
    words = set(words_of(name))
    words = words - NOISE or words
    return {next((min(group) for group in SYNONYMS if word in group), word) for word in words}


def fits(column: Column, each: CellProfile) -> bool:
    """Return whether the cells are of the kind that the contract wants."""
    if column.kind is CellKind.NUMBER:
        return each.number >= MOSTLY
    if column.kind is CellKind.TIME:
        return each.time >= MOSTLY or each.whole >= MOSTLY
    return column.kind is not CellKind.ADDRESS or each.dotted >= MOSTLY or each.number >= MOSTLY
