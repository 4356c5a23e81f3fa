"""Questions about the ledger: how many, how much, where, with what, when. Rows of the manifest's segments count.

A question reads the manifest and the later labels in one go, so that its numbers fit each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar

import pyarrow as pa
from sqlalchemy import or_, select

from screening.infra.database import Database
from screening.ledger import identity, money
from screening.ledger.fields import ENTITIES
from screening.ledger.filters import (
    GROUPS,
    MOST_GROUPS,
    Basis,
    Cursor,
    DecisionFilter,
    QueryResult,
    TrendInterval,
)
from screening.ledger.moments import without_zone
from screening.ledger.queries.answers import AnswerCache, state_of
from screening.ledger.queries.engine import Engine, Unreadable, listed
from screening.ledger.rows import MICROSECONDS, SCHEMA, aligned, schema_with
from screening.ledger.sealing import Sealing
from screening.ledger.segments import Segments, has
from screening.ledger.tables import API, LIVE, Label, Parting, Segment

Found = TypeVar("Found")
# A question starts again when a segment that it was reading has been removed meanwhile.
TRIES = 3


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Content of the ledger as of one moment: segments that may have chosen rows, the tail, and later labels."""

    segments: Sequence[Segment]
    tail: pa.Table
    labels: pa.Table
    parted: datetime | None = None
    """Until when the owner's name was another one's."""

    def __bool__(self) -> bool:
        return bool(self.segments) or len(self.tail) > 0

    @property
    def time_basis(self) -> str:
        """Time that the rows go by: ``event``, ``decided`` or ``mixed``."""
        found = {segment.calendar for segment in self.segments}
        if len(self.tail):
            blank = self.tail.column("event_time").null_count
            found.add(True if blank == 0 else False if blank == len(self.tail) else None)
        return "event" if found == {True} else "decided" if found == {False} else "mixed"


class Questions:
    """Asks the ledger of one instance."""

    def __init__(self, segments: Segments, sealing: Sealing, tables: Database, engine: Engine) -> None:
        self._segments, self._sealing, self._tables, self._engine = segments, sealing, tables, engine
        self._answers = AnswerCache()

    def summary(self, chosen: DecisionFilter) -> QueryResult:
        """Count all rows that were chosen, in one row for each currency."""
        return self.ask(SUMMARY, chosen)

    def trends(self, chosen: DecisionFilter, interval: TrendInterval) -> QueryResult:
        """Count by period, the earliest first; a period without rows isn't listed. Weeks begin on Monday."""
        return self.ask(trends_query(interval), chosen)

    def by(self, group: str, chosen: DecisionFilter, limit: int = MOST_GROUPS) -> QueryResult:
        """Count by country, device, browser or type of fraud: most fraud cases first.

        Args:
            group: a key of :data:`GROUPS`.
            chosen: which rows.
            limit: at most so many groups; rows that have none come besides, as the group ``None``.
        """
        return self.ask(by_query(group, limit), chosen)

    def rows(
        self, chosen: DecisionFilter, *, limit: int, before: Cursor | None = None
    ) -> list[dict[str, Any]]:
        """Return rows as they appear in the ledger, the latest decisions first, after those up to ``before``.

        The latest segments are asked first and the others only if they can have later rows. Keys are found first, and
        whole rows read for them alone: sorting a million whole rows takes ten times as long.
        """
        where, given = "", {}
        if before is not None:
            given = {
                "c_at": without_zone(before.decided_at),
                "c_origin": before.id.origin,
                "c_number": before.id.number,
            }
            where = " WHERE (decided_at, origin, number) < ($c_at::TIMESTAMP, $c_origin::BLOB, $c_number::UINTEGER)"
        keys = f"SELECT decided_at, origin, number FROM chosen{where} {LATEST} LIMIT {int(limit)}"
        wanted_ones = "origin BETWEEN $first::BLOB AND $last::BLOB AND (origin, number) IN (FROM wanted)"
        whole = f"{WHOLE} WHERE {wanted_ones} {LATEST}"

        def latest(all_of_it: Snapshot) -> list[dict[str, Any]]:
            left = [
                each
                for each in all_of_it.segments
                if before is None or each.decided_first <= before.decided_at
            ]
            left.sort(key=lambda each: each.decided_last, reverse=True)
            found: list[dict[str, Any]] = []
            count = 1
            while True:
                some = replace(all_of_it, segments=left[:count])
                found = self._query(keys, chosen, some, given) if some else []
                later = left[count:] and without_zone(left[count].decided_last)
                if not later or (len(found) == limit and found[-1]["decided_at"] > later):
                    break
                count *= 4
            if not found:
                return []
            wanted = pa.Table.from_pylist(
                [{"origin": row["origin"], "number": row["number"]} for row in found], KEY
            )
            span = {"first": min(row["origin"] for row in found), "last": max(row["origin"] for row in found)}
            return self._query(whole, chosen, some, span, wanted=wanted)

        return self._consistently(chosen, latest) or []

    def beside(
        self, chosen: DecisionFilter, scores: pa.Table, queries: Mapping[str, str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Ask several questions, of one moment, about rows for which another detector's probabilities are known, too.

        Args:
            chosen: which rows.
            scores: ``key`` (12 bytes: the origin of a row of the API, or how its screening's id begins), ``number``
                and ``probability``.
            queries: SQL over ``pairs``: the rows with ``other``, the other probability, and ``other_flagged``.
        """
        return self.several(
            chosen, {name: PAIRS + query for name, query in queries.items()}, {}, {"scores": scores}
        )

    def several(
        self,
        chosen: DecisionFilter,
        queries: Mapping[str, str],
        given: Mapping[str, Any] = MappingProxyType({}),
        tables: Mapping[str, pa.Table] = MappingProxyType({}),
    ) -> dict[str, list[dict[str, Any]]]:
        """Ask several questions of one moment.

        Args:
            chosen: which rows.
            queries: by name, each as :meth:`ask` takes it.
            given: values that all of them name.
            tables: further tables that they name.

        Raises:
            TooMuch: one of them would take too long or too much memory.
        """

        def answer(snapshot: Snapshot) -> dict[str, list[dict[str, Any]]]:
            return {
                name: self._query(query, chosen, snapshot, given, **tables) for name, query in queries.items()
            }

        return self._consistently(chosen, answer) or {name: [] for name in queries}

    def one(
        self, transaction: identity.TransactionId, owner: str | None, *, facts: Collection[str] = ()
    ) -> dict[str, Any] | None:
        """Return one row by its id, if there is one that may be seen; with some further columns."""
        given = {"o": transaction.origin, "n": transaction.number}
        further = "".join(', "{}"'.format(name.replace('"', '""')) for name in facts)
        found = self.ask(
            f"{WHOLE.removesuffix(FROM)}{further}{FROM} WHERE origin = $o::BLOB AND number = $n",
            DecisionFilter(owner=owner, origin=transaction.origin),
            given,
            facts=facts,
        ).rows
        return found[0] if found else None

    def segment_of(self, transaction: identity.TransactionId) -> Segment | None:
        """Return the segment that a row appears in; ``None`` for one of the tail, or none at all."""
        given = {"o": transaction.origin, "n": transaction.number}
        query = "SELECT filename FROM read_parquet($paths, filename = true) WHERE origin = $o::BLOB AND number = $n"

        def answer(snapshot: Snapshot) -> Segment | None:
            by_path = {str(self._segments.path(each.name).resolve()): each for each in snapshot.segments}
            self._segments.bring(snapshot.segments)
            found = self._engine.ask(query, {**given, "paths": list(by_path)}) if by_path else []
            return by_path[found[0]["filename"]] if found else None

        return self._consistently(DecisionFilter(origin=transaction.origin), answer)

    def known(
        self, ids: Collection[identity.TransactionId], owner: str | None
    ) -> set[identity.TransactionId]:
        """Return those of some ids that are in the ledger and may be seen."""
        wanted = pa.Table.from_pylist([{"origin": each.origin, "number": each.number} for each in ids], KEY)
        query = "SELECT origin, number FROM chosen WHERE (origin, number) IN (FROM wanted)"

        def answer(snapshot: Snapshot) -> list[dict[str, Any]]:
            return self._query(query, DecisionFilter(owner=owner), snapshot, {}, wanted=wanted)

        found = self._consistently(DecisionFilter(owner=owner), answer) or []
        return {identity.TransactionId(row["origin"], row["number"]) for row in found}

    def ask(
        self,
        query: str,
        chosen: DecisionFilter,
        given: Mapping[str, Any] = MappingProxyType({}),
        *,
        facts: Collection[str] = (),
        tables: Mapping[str, pa.Table] = MappingProxyType({}),
    ) -> QueryResult:
        """Return the answer to a question of some rows.

        Args:
            query: SQL over the table ``chosen``: rows as :data:`screening.ledger.rows.SCHEMA` has them, with ``known``,
                the label that counts now, and ``known_at``, when it was said if that was later.
            chosen: which rows.
            given: values of the query.
            facts: the further columns that the query names, which not every segment has.
            tables: further tables that the query names.

        Raises:
            TooMuch: it would take too long or too much memory.
            DamagedLedger: it is about decisions whose segment is damaged.
        """

        def answer(snapshot: Snapshot) -> QueryResult:
            rows = self._query(query, chosen, snapshot, given, facts=facts, **tables)
            return QueryResult(rows, snapshot.time_basis)

        return self._consistently(chosen, answer) or QueryResult([], "event")

    def together(
        self, queries: Mapping[str, str], chosen: DecisionFilter
    ) -> tuple[dict[str, list[dict[str, Any]]], str]:
        """Return the answers to several questions of one moment, by name, and which time the rows go by.

        What was answered is kept until the ledger changes.

        Args:
            queries: each as :meth:`ask` takes it; their words are all that an answer depends on besides the rows.
            chosen: which rows.

        Raises:
            TooMuch: one of them would take too long or too much memory.
        """

        def answer(snapshot: Snapshot) -> tuple[dict[str, list[dict[str, Any]]], str]:
            state = state_of(snapshot.segments, (snapshot.tail, snapshot.labels))
            asked = (state, snapshot.parted, chosen, tuple(queries.items()))
            rows = self._answers.get(asked)
            if rows is None:
                rows = {name: self._query(query, chosen, snapshot, {}) for name, query in queries.items()}
                self._answers.put(asked, rows)
            return rows, snapshot.time_basis

        return self._consistently(chosen, answer) or ({name: [] for name in queries}, "event")

    def in_parts(
        self, chosen: DecisionFilter, parts: Sequence[tuple[DecisionFilter, str]], *, rows: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Give the answers to questions of some parts of a choice, all of one moment, with the number of the part.

        Args:
            chosen: all of the rows.
            parts: which of them each answer is about, and the question as :meth:`ask` takes it.
            rows: so many at most are in a batch.

        Raises:
            TooMuch: one part would take too long or too much memory.
            DamagedLedger: a segment is damaged.
            FileNotFoundError: a segment was removed meanwhile; begin again.
        """
        snapshot = self._snapshot(chosen)
        for number, (part, query) in enumerate(parts if snapshot else ()):
            statement, given, tables = self._stated(query, part, snapshot)
            try:
                for batch in self._engine.batches(statement, given, tables, rows):
                    yield number, batch
            except (FileNotFoundError, Unreadable) as problem:
                self._explain(snapshot, problem)
                raise

    def _consistently(self, chosen: DecisionFilter, ask: Callable[[Snapshot], Found]) -> Found | None:
        """Ask of one moment's ledger; again if a segment is removed meanwhile. ``None`` where no row can be chosen."""
        for attempt in range(TRIES):
            snapshot = self._snapshot(chosen)
            if not snapshot:
                return None
            try:
                return ask(snapshot)
            except (FileNotFoundError, Unreadable) as problem:
                last = attempt + 1 == TRIES
                if last or isinstance(problem, Unreadable):
                    self._explain(snapshot, problem)
                    # what was damaged on the disk has come from the bucket again
                    if last or not self._segments.storage.remote:
                        raise
        raise AssertionError

    def _explain(self, snapshot: Snapshot, problem: Exception) -> None:
        """Say which segments are damaged, if that is why there is no answer.

        Raises:
            DamagedLedger: some are.
        """
        damage = self._segments.damage(snapshot.segments)
        if damage is not None:
            raise damage from problem

    def _query(
        self,
        query: str,
        chosen: DecisionFilter,
        snapshot: Snapshot,
        more: Mapping[str, Any],
        facts: Collection[str] = (),
        **tables: pa.Table,
    ) -> list[dict[str, Any]]:
        statement, given, known = self._stated(query, chosen, snapshot, facts)
        return self._engine.ask(statement, {**given, **more}, {**tables, **known})

    def _stated(
        self, query: str, chosen: DecisionFilter, snapshot: Snapshot, facts: Collection[str] = ()
    ) -> tuple[str, dict[str, Any], dict[str, pa.Table]]:
        """Return the whole SQL of a question, the values that it names, and the tables; its files are on the disk."""
        self._segments.bring(snapshot.segments)
        paths = [self._segments.path(each.name) for each in snapshot.segments]
        rows, given = chosen_rows(
            chosen, source_of(snapshot, facts), labelled=len(snapshot.labels) > 0, parted=snapshot.parted
        )
        if paths:
            given["paths"] = listed(paths)
        tail = (
            aligned(snapshot.tail, schema_with([*snapshot.tail.column_names, *facts]))
            if facts
            else snapshot.tail
        )
        return rows + query, given, {"later": snapshot.labels, "tail": tail}

    def _snapshot(self, chosen: DecisionFilter) -> Snapshot:
        """Read what counts, in one transaction."""
        query = select(Segment)
        if chosen.owner is not None:
            query = query.where(or_(Segment.owner == chosen.owner, Segment.owner.is_(None)))
        if chosen.detector is not None:
            query = query.where(or_(Segment.detector == chosen.detector, Segment.detector.is_(None)))
        if chosen.screening is not None:
            query = query.where(has(chosen.screening))
        if chosen.origin is not None:
            query = query.where(or_(Segment.origin == chosen.origin.hex(), Segment.origin.is_(None)))
        if chosen.source is not None:
            kind = API if chosen.source in LIVE else chosen.source
            query = query.where(Segment.kind == kind)
        if chosen.decided_from is not None:
            query = query.where(Segment.decided_last >= chosen.decided_from)
        if chosen.start is not None:
            query = query.where(Segment.latest >= chosen.start)
        if chosen.end is not None:
            query = query.where(Segment.earliest < chosen.end)
        with self._tables.read() as session:
            parting = None if chosen.owner is None else session.get(Parting, chosen.owner)
            segments = session.scalars(query.order_by(Segment.name)).all()
            labels = session.execute(select(Label.id, Label.label, Label.fraud_type, Label.at)).all()
            tail = self._sealing.rows(session)
        return Snapshot(
            segments,
            tail,
            labels_table(labels),
            None if parting is None else parting.at,
        )


PAIRS = (
    ", keyed AS (SELECT CASE WHEN screening IS NULL THEN origin ELSE unhex(screening[1:24]) END AS key, number, "
    "origin, amount, currency, probability, threshold::FLOAT AS threshold, "
    # by the net alone: rules have no say here
    "probability >= threshold::FLOAT AS flagged, known, decided_at, "
    f"moment, {', '.join(ENTITIES)} FROM chosen), "
    "pairs AS (SELECT c.* EXCLUDE (key), s.probability AS other, s.probability >= c.threshold AS other_flagged "
    "FROM keyed c JOIN scores s ON s.number = c.number AND s.key = c.key) "
)
FROM = " FROM chosen"
WHOLE = f"SELECT {', '.join(name for name in SCHEMA.names if name != 'label')}, known AS label{FROM}"
LATEST = "ORDER BY decided_at DESC, origin DESC, number DESC"
KEY = pa.schema([("origin", pa.binary()), ("number", pa.uint32())])
COUNTS = (
    "count(*) AS transactions, count(*) FILTER (WHERE case_) AS fraud_cases, "
    "sum(amount)::HUGEINT AS amount, (sum(amount) FILTER (WHERE case_))::HUGEINT AS fraud_amount"
)
MORE = (
    "count(*) FILTER (WHERE flagged) AS flagged, count(*) FILTER (WHERE known = 1) AS confirmed, "
    "count(*) FILTER (WHERE known IS NOT NULL) AS labelled, count(amount) AS amounts"
)

SUMMARY = f"SELECT currency, {COUNTS}, {MORE} FROM chosen GROUP BY currency"


def trends_query(interval: TrendInterval) -> str:
    """Return the question of :meth:`Questions.trends`."""
    period = f"date_trunc('{interval.value}', moment) AS period"
    return f"SELECT {period}, currency, {COUNTS} FROM chosen GROUP BY ALL ORDER BY period"


def by_query(group: str, limit: int = MOST_GROUPS) -> str:
    """Return the question of :meth:`Questions.by`; ``groups`` is how many there are in all.

    Groups are chosen first, then their rows given, one for each currency: a limit of rows would cut the last one's.
    """
    field = GROUPS[group]
    return (
        f", counted AS MATERIALIZED (SELECT {field} AS {group}, currency, {COUNTS} FROM chosen GROUP BY ALL), "
        f"best AS (SELECT {group} FROM counted WHERE {group} IS NOT NULL GROUP BY {group} "
        f"ORDER BY sum(fraud_cases) DESC, sum(transactions) DESC, {group} LIMIT {int(limit)}) "
        f"SELECT *, (SELECT count(DISTINCT {group}) FROM counted) AS groups FROM counted "
        f"WHERE {group} IS NULL OR {group} IN (FROM best) "
        f"ORDER BY fraud_cases DESC, transactions DESC, {group}"
    )


def source_of(snapshot: Snapshot, facts: Collection[str]) -> str:
    """Return what is read: the segments, the tail, or both.

    Segments differ in their further columns. Where none of these is asked for, DuckDB needn't look how, and where one
    is, the tail names it even if no segment does.
    """
    files, tail = "SELECT * FROM read_parquet($paths)", "SELECT * FROM tail"
    if not snapshot.segments:
        return f"({tail})"
    if facts:
        return f"(SELECT * FROM read_parquet($paths, union_by_name = true) UNION ALL BY NAME {tail})"
    return f"({files} UNION ALL BY NAME {tail})" if len(snapshot.tail) else f"({files})"


def chosen_rows(
    chosen: DecisionFilter, source: str, *, labelled: bool, parted: datetime | None
) -> tuple[str, dict[str, Any]]:
    """Return the common table expression ``chosen`` and its values: rows with ``moment``, ``known`` and ``case_``."""
    conditions = {
        "owner = $owner": chosen.owner,
        "decided_at >= $parted::TIMESTAMP": None if parted is None else without_zone(parted),
        "moment >= $start::TIMESTAMP": None if chosen.start is None else without_zone(chosen.start),
        "moment < $until::TIMESTAMP": None if chosen.end is None else without_zone(chosen.end),
        "decided_at >= $decided::TIMESTAMP": None
        if chosen.decided_from is None
        else without_zone(chosen.decided_from),
        "detector = $detector": chosen.detector,
        "fingerprint = $fingerprint": chosen.fingerprint,
        "source = $source": chosen.source,
        "screening = $screening": chosen.screening,
        "country = $country": chosen.country,
        "fraud_type = $fraud_type": chosen.fraud_type,
        "flagged = $flagged": chosen.flagged,
        "probability >= $least::FLOAT": chosen.min_probability,
        "probability < $below::FLOAT": chosen.max_probability,
        f"amount >= {minor_units('$min_amount')}": chosen.min_amount,
        f"amount < {minor_units('$max_amount')}": chosen.max_amount,
        "currency IS NOT DISTINCT FROM nullif($currency, '')": chosen.currency,
        "browser = $browser": chosen.browser,
        "known = $known": chosen.label,
    }
    if chosen.entity is not None:
        kind, value = chosen.entity
        if kind not in ENTITIES:
            raise ValueError(f"no kind of entity: {kind}")
        conditions[f"lower({kind}) = $entity"] = value.lower()
    asked = {condition: value for condition, value in conditions.items() if value is not None}
    given = {PARAMETER.findall(condition)[0]: value for condition, value in asked.items()}
    case = "flagged" if chosen.basis is Basis.FLAGGED else "coalesce(known = 1, false)"
    where = f" WHERE {' AND '.join(asked)}" if asked else ""
    later = (
        f"r.* REPLACE (coalesce(l.fraud_type, r.fraud_type) AS fraud_type), coalesce(l.label, r.label) AS known, "
        f"l.at AS known_at FROM {source} r LEFT JOIN later l ON r.origin = l.origin AND r.number = l.number"
    )
    read = later if labelled else f"r.*, label AS known, NULL::TIMESTAMP AS known_at FROM {source} r"
    query = (
        f"WITH read AS (SELECT coalesce(event_time, decided_at) AS moment, {read}), "
        f"chosen AS (SELECT *, {case} AS case_ FROM read{where}) "
    )
    return query, given


def minor_units(amount: str) -> str:
    """Return SQL of an amount in minor units of a row's currency; a part of a unit is rounded up.

    A bound as people write it, times its power of ten, may be a hair beside the whole number that it is.
    """
    digits = " ".join(f"WHEN '{code}' THEN {10**exponent}" for code, exponent in money.EXPONENTS.items())
    return f"ceil({amount}::DOUBLE * CASE currency {digits} ELSE {10**money.USUAL} END - 1e-6)"


PARAMETER = re.compile(r"\$(\w+)")


def labels_table(found: Sequence[Any]) -> pa.Table:
    """Return later labels as a table: of which transaction, which label, since when."""
    ids = [identity.parse(each.id) for each in found]
    kept = [(each, row) for each, row in zip(ids, found, strict=True) if each is not None]
    return pa.table(
        {
            "origin": pa.array([each.origin for each, _ in kept], pa.binary()),
            "number": pa.array([each.number for each, _ in kept], pa.uint32()),
            "label": pa.array([row.label for _, row in kept], pa.int8()),
            "fraud_type": pa.array([row.fraud_type for _, row in kept], pa.string()),
            "at": pa.array([without_zone(row.at) for _, row in kept], MICROSECONDS),
        }
    )
