"""Read a label: which of its values mean fraud, and which types of fraud it names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from screening.errors import BadFile
from screening.intake import numbers

MOST_VALUES = 8
"""Values of a label that are listed."""
# A label with more values is no label.
MOST_TYPES = 50
NONE = frozenset({"none", "null", "no fraud", "non fraud", "benign", "clean", "-"})
"""Further words for legitimate, where the other values name types of fraud."""


@dataclass(frozen=True, slots=True)
class CountedLabels:
    """Counts of a file's rows by their label."""

    fraud_values: tuple[str, ...]
    """The values that mean fraud; none where they are those that everybody uses."""
    types: tuple[tuple[str, int], ...]
    """Types of fraud, if the label names several: each with its rows."""
    rows: int
    frauds: int
    unlabelled: int
    assumed: str = ""
    """The value that was taken for legitimate, where that wasn't said."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> CountedLabels:
        """Return the object that :meth:`as_dict` wrote."""
        types = tuple((str(name), int(count)) for name, count in found["types"])
        return cls(
            tuple(found["fraud_values"]),
            types,
            found["rows"],
            found["frauds"],
            found["unlabelled"],
            found["assumed"],
        )


def read_label(name: str, counts: Mapping[str, int], fraud_values: Sequence[str] = ()) -> CountedLabels:
    """Return what the values of a label mean.

    Where one value says legitimate and most rows have it, and several others say neither, these are types of fraud: to
    the detector each of them is fraud. Where a file has blanks beside the values that mean fraud and nothing else, the
    blanks are legitimate rows.

    Args:
        name: the column's.
        counts: how many rows of the whole file have each cell.
        fraud_values: those that were said to mean fraud, if any were.

    Raises:
        BadFile: a value says neither, or none says fraud.
    """
    values: Counter[str] = Counter()
    for text, count in counts.items():
        values[text.strip()] += count
    shown = ", ".join(
        f"{numbers.excerpt(value) or 'blank'} ({count:,})" for value, count in values.most_common(MOST_VALUES)
    )
    assumed = ""
    if not fraud_values:
        assumed, fraud_values = types_of(values)
    if len(fraud_values) > MOST_TYPES:
        raise BadFile(
            f"{len(fraud_values)} values of {name} mean fraud; at most {MOST_TYPES} types are told apart.",
            where=f"column {name}",
            remedy="Name a column that says fraud or not.",
        )
    wanted = tuple(map(numbers.label_value, fraud_values))
    if wanted and not set(wanted) & set(map(numbers.label_value, values)):
        raise BadFile(
            f"No row of {name} says {' or '.join(map(numbers.excerpt, fraud_values))}. It says: {shown}.",
            where=f"column {name}",
            remedy="Name the value that means fraud as the file writes it.",
        )
    kinds: Counter[int] = Counter()
    for value, count in values.items():
        kind = numbers.label(value, wanted)
        if kind is None:
            raise BadFile(
                f"{name} holds “{numbers.excerpt(value)}”, which doesn't say whether a row was fraud. "
                f"It says: {shown}.",
                where=f"column {name}",
                remedy="Say which value means fraud (on the command line with --fraud-value), or name another column.",
            )
        kinds[kind] += count
    if not kinds[numbers.ZERO] and kinds[numbers.BLANK] and "" not in wanted:
        assumed, fraud_values = "blank", (*fraud_values, "")
        kinds[numbers.ZERO], kinds[numbers.BLANK] = kinds[numbers.BLANK], 0
    named = [(value, kinds[place]) for place, value in enumerate(fraud_values, 1) if value.strip()]
    return CountedLabels(
        tuple(fraud_values),
        tuple(named) if len(named) > 1 else (),
        kinds.total(),
        sum(count for kind, count in kinds.items() if kind > 0),
        kinds[numbers.BLANK],
        assumed,
    )


def types_of(values: Counter[str]) -> tuple[str, tuple[str, ...]]:
    """Return the value that means legitimate, and the types of fraud, most frequent first; nothing where that isn't
    clear.
    """
    said = {value: count for value, count in values.items() if numbers.label(value) != numbers.BLANK}
    if all(numbers.label(value) is not None for value in said):
        return "", ()
    legitimate = [value for value in said if numbers.label(value) == 0 or value.casefold() in NONE]
    if len(legitimate) != 1 or not 2 < len(said) <= MOST_TYPES + 1:
        return "", ()
    others = [value for value, _ in values.most_common() if value in said and value != legitimate[0]]
    if said[legitimate[0]] < sum(said[value] for value in others):
        return "", ()
    return legitimate[0], tuple(others)
