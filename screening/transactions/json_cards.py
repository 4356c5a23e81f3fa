"""Card numbers in transactions that come as JSON: refused by the name of their field, or replaced by tokens.

Nothing of such a request is kept or logged; a card number is refused all the same, so that none comes to be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from screening.cards.evidence import CardColumns
from screening.cards.finding import LEAST, card_numbers, number_text
from screening.cards.masking import masked
from screening.cards.tokens import Tokens
from screening.errors import BadTransaction, CellProblem
from screening.transactions.schema import normalise

MOST_SHOWN = 10
PLAIN = frozenset((float, int))


def with_tokens(
    given: Sequence[Any], expected: Collection[str], tokens: Callable[[], Tokens]
) -> Sequence[Any]:
    """Return transactions with tokens in place of card numbers, in the fields that a detector expects tokens in.

    Args:
        given: mappings of field to value; what isn't one is left to who reads them.
        expected: the names of those fields.
        tokens: makes them; it is asked only if it is needed.

    Raises:
        BadTransaction: another field holds card numbers, as far as chance can be ruled out over all transactions (see
            :mod:`screening.cards.evidence`): one is enough where the field's name or its text says so.
    """
    wanted = {normalise(name) for name in expected}
    suspects = [
        (row, name, text)
        for row, mapping in enumerate(given)
        if isinstance(mapping, Mapping) and not _is_small(mapping.values())
        for name, value in mapping.items()
        if not (type(value) in PLAIN and -LEAST < value < LEAST)  # nearly every value
        and (text := number_text(value)) is not None
    ]
    if not suspects:
        return given
    _check([one for one in suspects if normalise(one[1]) not in wanted])
    changed: dict[int, dict[Any, Any]] = {}
    for row, name, text in suspects:
        if normalise(name) in wanted and (new := tokens().replaced(text)) != text:
            changed.setdefault(row, dict(given[row]))[name] = new
    return [changed.get(row, mapping) for row, mapping in enumerate(given)] if changed else given


def _is_small(values: Collection[Any]) -> bool:
    """Return whether all values are numbers with fewer digits than a card number has: nearly every transaction."""
    plain = PLAIN.issuperset(map(type, values)) and len(values) > 0
    return plain and min(values) > -LEAST and max(values) < LEAST


def _check(suspects: list[tuple[int, Any, str]]) -> None:
    names = list(dict.fromkeys(normalise(name) for _, name, _ in suspects))
    places = {name: place for place, name in enumerate(names)}
    seen = CardColumns(names, range(len(names)))
    for row, name, text in suspects:
        seen.add(places[normalise(name)], [text], lambda _text, row=row: row + 1)  # type: ignore[misc]
    found = {names[place] for place in seen.found()}
    if not found:
        return
    held = [(row, name) for row, name, text in suspects if normalise(name) in found and card_numbers(text)]
    problems = [
        CellProblem("holds a payment card number", column=masked(str(name))[:60], row=row + 1)
        for row, name in held[:MOST_SHOWN]
    ]
    first = problems[0]
    raise BadTransaction(
        f"{first.column} in row {first.row} holds a payment card number, which must not be sent here (PCI DSS).",
        where=f"row {first.row}, column {first.column}",
        remedy="Leave the field out, or send a token in its place, the same one for the same card. A detector that was "
        "trained with tokens here takes the number and makes the token itself.",
        problems=problems,
        problem_count=len(held),
    )
