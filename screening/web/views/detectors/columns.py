"""Columns, roles, features and the cleaning of a detector's data, in the words of its pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from screening.columns.clocks import WORDS as COUNT_WORDS
from screening.detectors.detector import Detector
from screening.detectors.model_card import Cleaning, ColumnProfile, Pairs
from screening.scoring.amount_scale import trained_whole
from screening.training.column_choices import KINDS
from screening.transactions.schema import CellKind, Column, Role
from screening.web.views import formatting

ROLE_WORDS: Mapping[Role, tuple[str, str]] = {
    Role.LABEL: ("label", "says which rows were fraud"),
    Role.TIME: ("time", "when the transaction happened"),
    Role.MOMENT: ("another date", "such as the sign-up"),
    Role.AMOUNT: ("amount", "how much was paid"),
    Role.ENTITY: ("entity", "who or what comes back: customer, card, terminal, device, address"),
    Role.CATEGORY: ("category", "one of a few values"),
    Role.NUMBER: ("number", "more or less of something"),
    Role.CARRY: ("carry along", "an identifier that plays no part"),
    Role.IGNORE: ("ignore", "plays no part"),
}
KIND_WORDS: Mapping[CellKind, str] = {
    CellKind.NUMBER: "numbers",
    CellKind.TEXT: "text",
    CellKind.TIME: "dates and times",
    CellKind.ADDRESS: "IP addresses",
    CellKind.LENGTH: "texts, by their length",
    CellKind.DOMAIN: "e-mail addresses, by their domain",
}


@dataclass(frozen=True, slots=True)
class ColumnView:
    """One column of a detector's contract."""

    name: str
    role: str
    remark: str
    """Remark about its cells where the role doesn't say it, and whether they may be blank."""
    usual: str
    """The middle half of its values, or what is known of them."""


@dataclass(frozen=True, slots=True)
class FeatureView:
    """One input of the net that is made of columns."""

    name: str
    words: str
    columns: str


def role_word(role: Role | str) -> str:
    """Return a role as a person says it."""
    return ROLE_WORDS[Role(role)][0]


def role_help(role: Role | str) -> str:
    """Return the meaning of a role."""
    return ROLE_WORDS[Role(role)][1]


def kind_word(kind: CellKind | str) -> str:
    """Return the kind of a column's cells, as a person says it."""
    return KIND_WORDS[CellKind(kind)]


def columns_of(detector: Detector) -> list[ColumnView]:
    """Return the columns that a detector needs."""
    known = {} if detector.card is None else detector.card.columns
    return [
        ColumnView(
            column.name,
            role_word(column.role),
            _remark(column, known.get(column.name)),
            _usual(column, known.get(column.name, ColumnProfile()), detector.typical.get(column.name)),
        )
        for column in detector.contract.parts()
    ]


def features_of(detector: Detector) -> list[FeatureView]:
    """Return the features that a detector makes of its columns, in words; none where the columns are the inputs."""
    definition = detector.vectorizer.definition
    if definition is None:
        return []
    return [FeatureView(one.name, one.words, ", ".join(one.columns)) for one in definition.features]


def cleaning_of(detector: Detector) -> Cleaning | None:
    """Return the report of the cleaning; ``None`` where a card has none."""
    return None if detector.card is None else detector.card.cleaning


def _remark(column: Column, known: ColumnProfile | None) -> str:
    kind = "" if column.kind is KINDS[column.role][0] else kind_word(column.kind)
    if column.since is not None:
        kind = COUNT_WORDS[column.since]
    unit = ""
    if column.role is Role.AMOUNT and known is not None:
        unit = f"as in the training file, {'whole numbers' if trained_whole(known) else 'with decimals'}"
    return ", ".join(filter(None, (kind, unit, "may be blank" if column.optional else "")))


def _usual(column: Column, known: ColumnProfile, typical: tuple[float, float] | None) -> str:
    if known.levels is not None:
        return _levels(known, known.levels)
    low, high = known.quantiles.get("q25"), known.quantiles.get("q75")
    deciles = known.deciles
    if low is None and len(deciles) == 11:
        low, high = (deciles[2] + deciles[3]) / 2, (deciles[7] + deciles[8]) / 2
    if low is None and typical is not None:
        low, high = typical
    if low is None or high is None:
        return formatting.NOTHING
    show = SHOWN.get(column.kind, formatting.reading) if column.since is None else formatting.clock
    return f"{show(low)} to {show(high)}{blank_share(known)}"


def dotted_address(address: float) -> str:
    """Return an IPv4 address as people write it."""
    return str(IPv4Address(int(address))) if 0 <= address < 2**32 else formatting.NOTHING


SHOWN: Mapping[CellKind, Callable[[float], str]] = {
    CellKind.TIME: formatting.day,
    CellKind.ADDRESS: dotted_address,
}


def _levels(known: ColumnProfile, levels: Pairs) -> str:
    if not levels:
        return formatting.NOTHING
    count = "many values" if known.other else f"{len(levels)} {formatting.plural(len(levels), 'value')}"
    return f"{count}, the top one {formatting.percent(levels[0][1])}{blank_share(known)}"


def blank_share(known: ColumnProfile) -> str:
    """Return which share of a column is blank, in words; nothing where no cell is."""
    return f", {formatting.percent(known.missing)} blank" if known.missing else ""


FILTERS = (role_word, role_help, kind_word)
"""Filters of templates; each is called as its function."""
