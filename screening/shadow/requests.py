"""Scores, in the shadow, what programs have asked: request by request in the order in which they were kept.

So a transaction is compared with what came before it and with nothing that came later, as if the detector had been
asked instead. Requests are scored together only where that makes no difference: none has a row that is earlier than one
before it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from screening.detectors.detector import Detector
from screening.detectors.shadow_runs import ShadowRun
from screening.detectors.vectorizer import NOTHING, History
from screening.errors import ScreeningError
from screening.infra.database import Database
from screening.ledger.history import HistoryCache
from screening.ledger.identity import id_prefix
from screening.ledger.tables import Label
from screening.ledger.velocity.entries import VelocityEntry
from screening.ledger.velocity.live_past import LivePast
from screening.scoring.score import Probabilities, score
from screening.shadow.scores import Pending, ShadowOutcome, ShadowStore, scores_of
from screening.transactions.json_records import from_mappings
from screening.transactions.schema import Transactions
from screening.uploads.history_policy import HistoryPolicy, Shadowing

log = logging.getLogger("screening.shadow")


class KeptRows(msgspec.Struct):
    """Of :class:`screening.ledger.tail.Kept` what is needed here."""

    rows: int
    same: dict[str, Any]
    columns: dict[str, list[Any]]
    values: list[dict[str, Any]]

    @property
    def decided_at(self) -> int:
        """Time of the decision, in microseconds since 1970."""
        return int(self.same["decided_at"])


_decode = msgspec.json.Decoder(KeptRows).decode


@dataclass(frozen=True, slots=True)
class WaitingRequest:
    """One request that waits."""

    pending: Pending
    kept: KeptRows

    @classmethod
    def of(cls, pending: Pending) -> WaitingRequest:
        """Read it."""
        return cls(pending, _decode(pending.payload))

    def is_of(self, run: ShadowRun) -> bool:
        """Return whether the detector decided on it in whose shadow a run is."""
        same = self.kept.same
        return (same["detector"], same["fingerprint"]) == (run.first, run.first_fingerprint)


@dataclass(frozen=True, slots=True)
class _Read:
    """Requests as the detector in the shadow reads them."""

    asked: list[WaitingRequest]
    rows: Transactions
    labels: NDArray[np.int8]


class RequestScorer:
    """Scores requests for one run.

    Args:
        run: which one.
        detector: what scores.
        store: where scores are kept.
        tables: the ledger's.
        policy: whose past counts for whom.
        probabilities: who is asked for the probabilities of some rows.
    """

    def __init__(
        self,
        run: ShadowRun,
        detector: Detector,
        *,
        store: ShadowStore,
        tables: Database,
        policy: HistoryPolicy,
        probabilities: Probabilities,
    ) -> None:
        self._run, self._detector, self._store, self._tables = run, detector, store, tables
        self._policy, self._probabilities = policy, probabilities
        self._shadowing = Shadowing(run.id, run.first_fingerprint)
        self._history_cache = HistoryCache()

    def score(self, requests: Sequence[WaitingRequest], shares: Mapping[str, bool]) -> None:
        """Score requests of the first detector, in their order, and keep what was found.

        What can't be read or goes wrong is counted, and the next one is scored all the same.

        Args:
            requests: some that were kept one after the other.
            shares: of each owner whether its transactions count for all.

        Raises:
            Moved: some were sealed meanwhile; they come again.
        """
        readable = []
        for asked in requests:
            try:
                readable.append(self._read(asked))
            except (ScreeningError, ValueError) as problem:
                what = problem.what if isinstance(problem, ScreeningError) else "A value can't be read."
                outcome = ShadowOutcome(unreadable=asked.kept.rows, problem=what)
                # in order: it has no row that later ones look back on
                self._score_all(readable, shares)
                readable = []
                self._store.finish(self._run.id, [asked.pending], outcome)
        self._score_all(readable, shares)

    def _read(self, asked: WaitingRequest) -> _Read:
        kept = asked.kept
        rows = from_mappings(kept.values, self._detector.contract)
        said = kept.columns.get("label") or [None] * kept.rows
        labels = np.array([-1 if each is None else each for each in said], np.int8)
        return _Read([asked], rows, labels)

    def _score_all(self, readable: Sequence[_Read], shares: Mapping[str, bool]) -> None:
        for group in self._grouped(readable):
            owner = str(group.asked[0].kept.same["owner"])
            self._score_group(group, owner, shared=shares.get(owner, False))

    def _grouped(self, readable: Sequence[_Read]) -> Iterator[_Read]:
        """Join requests whose rows get alone what they get together."""
        waiting: list[_Read] = []
        latest = -np.inf
        time, looks_back = self._detector.contract.time, self._detector.vectorizer.looks_back
        for one in readable:
            times = one.rows.column(time) if looks_back and time else np.zeros(0)
            # a time that is missing follows nothing
            follows = bool((times >= latest).all())
            same = waiting and waiting[-1].asked[0].kept.same["owner"] == one.asked[0].kept.same["owner"]
            if waiting and looks_back and not (follows and same):
                yield _joined(waiting)
                waiting, latest = [], -np.inf
            waiting.append(one)
            latest = max(latest, float(times.max(initial=-np.inf)))
            if np.isnan(latest):
                yield _joined(waiting)
                waiting, latest = [], -np.inf
        if waiting:
            yield _joined(waiting)

    def _score_group(self, group: _Read, owner: str, *, shared: bool) -> None:
        done = [asked.pending for asked in group.asked]
        try:
            seen = self._policy.seen(self._history_cache, self._detector, owner, self._shadowing)
            live = seen.past if isinstance(seen.past, LivePast) else None
            history = NOTHING if live is None else History(group.labels, live)
            threshold = float(group.asked[0].kept.same["threshold"])
            found = score(
                group.rows,
                self._detector,
                history,
                threshold=threshold,
                probabilities=self._probabilities,
                explain=False,
            ).probabilities
            outcome = ShadowOutcome(scores=_scores(group, found))
            entry = None if live is None else self._entry(group, live, shared=shared)
        except Exception as problem:
            # only one of them may be to blame
            if len(group.asked) > 1:
                for asked in group.asked:
                    self._score_group(self._read(asked), owner, shared=shared)
                return
            log.exception(
                "%s, in the shadow of %s, could not score a request", self._run.shadow, self._run.first
            )
            told = problem.what if isinstance(problem, ScreeningError) else type(problem).__name__
            outcome, entry = ShadowOutcome(failed=len(group.rows), problem=told), None
        self._store.finish(self._run.id, done, outcome, entry)

    def _entry(self, group: _Read, live: LivePast, *, shared: bool) -> VelocityEntry:
        """Return the entry that later transactions look back on, with the labels that came for it until now."""
        ids = tuple(
            f"{id_prefix(bytes.fromhex(asked.kept.same['origin']))}{number:08x}"
            for asked in group.asked
            for number in range(asked.kept.rows)
        )
        labels = group.labels.copy()
        query = select(Label.id, Label.label).where(Label.id.in_(ids))
        with self._tables.read() as session:
            later = {row.id: row.label for row in session.execute(query)}
        for place, row_id in enumerate(ids):
            labels[place] = later.get(row_id, labels[place])
        return VelocityEntry(
            subject=live.subject,
            viewer=live.viewer,
            shared=shared,
            values=group.rows.values,
            labels=labels,
            ids=ids,
            read_at=live.read_at,
        )


def _joined(some: Sequence[_Read]) -> _Read:
    if len(some) == 1:
        return some[0]
    rows = Transactions(some[0].rows.columns, np.concatenate([each.rows.values for each in some]))
    return _Read(
        [asked for each in some for asked in each.asked],
        rows,
        np.concatenate([each.labels for each in some]),
    )


def _scores(group: _Read, probabilities: NDArray[np.float32]) -> NDArray[Any]:
    keys: list[bytes] = []
    numbers: list[int] = []
    for asked in group.asked:
        keys += [bytes.fromhex(asked.kept.same["origin"])] * asked.kept.rows
        numbers += range(asked.kept.rows)
    return scores_of(keys, numbers, probabilities)
