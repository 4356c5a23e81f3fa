"""Backtest rules: ask them of every transaction of the ledger as it was when it was decided on.

All rules are asked in one pass: each distinct condition once, each row's answers as bits of one number, and rows that
say the same are counted together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from screening.ledger import money
from screening.ledger.fields import ENTITIES, entities_of
from screening.ledger.filters import DecisionFilter
from screening.ledger.identity import TransactionId
from screening.ledger.moments import without_zone
from screening.monitoring.comparison import USUAL_DELAY
from screening.monitoring.quality import Estimate
from screening.rules.facts import WRITTEN
from screening.rules.language.sql import Statement, statement
from screening.rules.language.tree import Condition
from screening.rules.tables import Effect

if TYPE_CHECKING:
    from screening.ledger.queries.questions import Questions

# Rules of one pass: a row's hits are the bits of a 64-bit number.
AT_ONCE = 60
RECENT = timedelta(days=30)
"""So far back it is told which decisions would have been others."""
SHOWN = 25
"""Rows that are shown of a kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedRule:
    """A rule that is tried on the past."""

    name: str
    condition: Condition
    effect: Effect
    detector: str | None = None
    """Owner of the transactions that it is asked of; ``None`` is everybody's."""


@dataclass(slots=True)
class RowTally:
    """Some rows, and their money in minor units by currency."""

    rows: int = 0
    money: dict[str | None, int] = field(default_factory=dict)

    def add(self, rows: int, amount: int | None, currency: str | None) -> None:
        """Count more rows."""
        self.rows += rows
        if amount is not None:
            self.money[currency] = self.money.get(currency, 0) + amount

    @property
    def sums(self) -> list[tuple[float, str | None]]:
        """The money as people write it, by currency."""
        return [
            (money.major(units, currency), currency)
            for currency, units in sorted(self.money.items(), key=lambda each: each[0] or "")
        ]


@dataclass(slots=True)
class BacktestDay:
    """The rows of one day that a rule fulfils."""

    day: date
    fired: int = 0
    caught: int = 0
    false_alarms: int = 0
    open: bool = False
    """Whether labels of this day may still come: then the figures aren't final."""

    @property
    def start(self) -> datetime:
        """Time of the beginning."""
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class BacktestOutcome:
    """Result of one rule."""

    rule: TriedRule
    rows: int = 0
    """That it was asked of."""
    labelled: int = 0
    frauds: int = 0
    """Of all these rows, as far as labels say."""
    unknown: int = 0
    """Rows of which it can't be said, since something is missing: none of them counts as fulfilled."""
    fired: RowTally = field(default_factory=RowTally)
    caught: RowTally = field(default_factory=RowTally)
    """Of those that it fulfils, frauds."""
    false_alarms: RowTally = field(default_factory=RowTally)
    """Of those, legitimate ones."""
    unlabelled: RowTally = field(default_factory=RowTally)
    gained: RowTally = field(default_factory=RowTally)
    """Frauds that the net didn't flag and that it fulfils."""
    recent: int = 0
    """Rows that were decided on within the last :data:`RECENT`."""
    changed: RowTally = field(default_factory=RowTally)
    """Of these, those whose flag would have been another."""
    days: list[BacktestDay] = field(default_factory=list)
    """Days with rows that it fulfils, the earliest first."""

    @property
    def precision(self) -> Estimate:
        """Of labelled rows that it fulfils, those that were fraud."""
        return Estimate(self.caught.rows, self.caught.rows + self.false_alarms.rows)

    @property
    def recall(self) -> Estimate:
        """Of all frauds that are known, those that it fulfils."""
        return Estimate(self.caught.rows, self.frauds)


@dataclass(frozen=True, slots=True)
class MatchedRow:
    """A row that a rule fulfils."""

    id: str
    amount: tuple[float, str | None] | None
    probability: float
    flagged: bool
    moment: datetime
    who: Sequence[tuple[str, str]]
    """Who and what it is about: kind and value."""


def backtest(
    rules: Sequence[TriedRule],
    entries: Mapping[str, Collection[str]],
    questions: Questions,
    *,
    chosen: DecisionFilter,
    now: datetime,
    delay: timedelta = USUAL_DELAY,
    flagging: Collection[str] = (),
) -> list[BacktestOutcome]:
    """Return what each rule would have done.

    Args:
        rules: in whose order the outcomes are.
        entries: of the lists that they look into.
        questions: asks the ledger.
        chosen: of which rows; each rule is asked of those of its detector alone.
        now: the present moment.
        delay: after which labels have come.
        flagging: names of active rules that flag: what these have flagged, no other rule silences.

    Raises:
        TooMuch: it takes too long or too much memory.
    """
    found: list[BacktestOutcome] = []
    for begin in range(0, len(rules), AT_ONCE):
        some = rules[begin : begin + AT_ONCE]
        made = statement([rule.condition for rule in some], entries, WRITTEN)
        given = {**made.given, "recent": without_zone(now - RECENT), **_scopes(some)}
        if flagging:
            given["flagging"] = sorted(flagging)
        groups = questions.ask(
            counting_query(some, made, flagging=bool(flagging)),
            chosen,
            given,
            facts=further_facts(made),
            tables=made.lists,
        ).rows
        found += _outcomes(some, groups, now - delay)
    return found


def counterexamples(
    rule: TriedRule, entries: Mapping[str, Collection[str]], questions: Questions, *, chosen: DecisionFilter
) -> list[MatchedRow]:
    """Return legitimate rows that a rule fulfils, the largest amounts first.

    Raises:
        TooMuch: it takes too long or too much memory.
    """
    made = statement([rule.condition], entries, WRITTEN)
    scope = "" if rule.detector is None else " AND detector = $detector0"
    query = (
        f"SELECT origin, number, amount, currency, probability, flagged, moment, {', '.join(ENTITIES)} FROM ("
        f"SELECT *, {', '.join(made.conditions)} FROM chosen WHERE known = 0{scope}) WHERE {made.rules[0]} "
        f"ORDER BY amount DESC NULLS LAST, origin, number LIMIT {SHOWN}"
    )
    given = {**made.given, **_scopes([rule])}
    rows = questions.ask(query, chosen, given, facts=further_facts(made), tables=made.lists).rows
    return [_example(row) for row in rows]


def _example(row: Mapping[str, Any]) -> MatchedRow:
    amount = row["amount"]
    return MatchedRow(
        str(TransactionId(row["origin"], row["number"])),
        None if amount is None else (money.major(amount, row["currency"]), row["currency"]),
        row["probability"],
        row["flagged"],
        row["moment"].replace(tzinfo=UTC),
        entities_of(row),
    )


def _scopes(rules: Sequence[TriedRule]) -> dict[str, str]:
    names = {rule.detector for rule in rules if rule.detector is not None}
    return {f"detector{place}": name for place, name in enumerate(sorted(names))}


def further_facts(made: Statement) -> list[str]:
    """Return the keys of facts that the ledger's rows don't hold and that are computed for them."""
    return [key for key in made.facts if ":" in key]


def counting_query(rules: Sequence[TriedRule], made: Statement, *, flagging: bool) -> str:
    """Return the one question: how many rows say the same, and how much money they are."""
    detectors = {name: key for key, name in _scopes(rules).items()}
    fired, unknown, asked = [], [], []
    for place, (rule, written) in enumerate(zip(rules, made.rules, strict=True)):
        bit = f"{1 << place}::BIGINT"
        scope = "" if rule.detector is None else f"detector = ${detectors[rule.detector]}"
        within = f"{scope} AND " if scope else ""
        fired.append(f"CASE WHEN {within}{written} THEN {bit} ELSE 0::BIGINT END")
        unknown.append(f"CASE WHEN {within}{written} IS NULL THEN {bit} ELSE 0::BIGINT END")
        asked.append(scope)
    kept = "amount AS units, currency AS code, known, flagged, moment, decided_at, detector"
    kept += ", probability >= threshold::FLOAT AS net"
    kept += ", coalesce(list_has_any(rules, $flagging), false) AS held" if flagging else ", false AS held"
    which = ", detector" if any(asked) else ""
    return (
        f"SELECT fired, unknown, day, known, flagged, net, code, recent, held{which}, count(*) AS rows, "
        f"count(units) AS priced, sum(units)::HUGEINT AS amount FROM ("
        f"SELECT {' | '.join(fired)} AS fired, {' | '.join(unknown)} AS unknown, "
        "CASE WHEN fired = 0 THEN NULL ELSE date_trunc('day', moment) END AS day, known, flagged, net, code, "
        f"decided_at >= $recent::TIMESTAMP AS recent, held{which}, units FROM ("
        f"SELECT {', '.join(made.conditions)}, {kept} FROM chosen)) GROUP BY ALL"
    )


def _outcomes(
    rules: Sequence[TriedRule], groups: Iterable[Mapping[str, Any]], until: datetime
) -> list[BacktestOutcome]:
    found = [BacktestOutcome(rule=rule) for rule in rules]
    days: list[dict[date, BacktestDay]] = [defaultdict(lambda: BacktestDay(date.min)) for _ in rules]
    totals: dict[tuple[str | None, int | None, bool], int] = defaultdict(int)
    for group in groups:
        totals[group.get("detector"), group["known"], group["recent"]] += group["rows"]
        for place in bits_of(group["unknown"]):
            found[place].unknown += group["rows"]
        for place in bits_of(group["fired"]):
            count_hits(found[place], group, days[place], until)
    for outcome, each in zip(found, days, strict=True):
        outcome.days = [each[day] for day in sorted(each)]
        for (detector, known, recent), count in totals.items():
            if outcome.rule.detector in (None, detector):
                outcome.rows += count
                outcome.labelled += count if known is not None else 0
                outcome.frauds += count if known == 1 else 0
                outcome.recent += count if recent else 0
    return found


def bits_of(number: int) -> Iterator[int]:
    """Yield the places of the bits that are set."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def count_hits(
    outcome: BacktestOutcome, group: Mapping[str, Any], days: dict[date, BacktestDay], until: datetime
) -> None:
    """Count rows that a rule fulfils."""
    for part in _parts(outcome, group):
        part.add(group["rows"], group["amount"] if group["priced"] else None, group["code"])
    moment = group["day"]
    day = days[moment.date()]
    day.day = moment.date()
    day.fired += group["rows"]
    day.caught += group["rows"] if group["known"] == 1 else 0
    day.false_alarms += group["rows"] if group["known"] == 0 else 0
    if group["known"] is None and moment.replace(tzinfo=UTC) + timedelta(days=1) > until:
        day.open = True


def _parts(outcome: BacktestOutcome, group: Mapping[str, Any]) -> Iterator[RowTally]:
    known, flagged, effect = group["known"], group["flagged"], outcome.rule.effect
    yield outcome.fired
    yield outcome.unlabelled if known is None else outcome.caught if known == 1 else outcome.false_alarms
    if known == 1 and not group["net"]:
        yield outcome.gained
    silenced = effect is Effect.SILENCE and flagged and not group["held"]
    if group["recent"] and (silenced or (effect is Effect.FLAG and not flagged)):
        yield outcome.changed
