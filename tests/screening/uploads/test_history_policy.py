"""Whose earlier rows move whose probabilities: one's own and those that count for all, and nobody else's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import select, text, update

from screening.detectors.detector import Detector
from screening.detectors.vectorizer import History
from screening.features import PastIndex
from screening.infra.database import Database
from screening.intake import FileKind, open_transactions
from screening.ledger.history import MOST_PASTS, HistoryCache
from screening.ledger.jobs import BatchJobs
from screening.ledger.tables import open_tables
from screening.ledger.velocity.live_past import LivePast
from screening.ledger.velocity.sql_state import SqlVelocity
from screening.settings import ROOT, Settings
from screening.transactions.schema import Transactions
from screening.uploads.history_policy import HistoryPolicy
from screening.uploads.questions.column_mappings import EVERYBODY, Mapping, Mappings, mark
from screening.uploads.screenings import DONE, Screening, Screenings, UploadRequest, new_id
from screening.web.services import Services

SAMPLE = ROOT / "model" / "detectors" / "payments" / "sample.csv"
PARTS = 6
WISH = UploadRequest(
    owner="ana", filename="a.csv", kind="csv", detector=None, set_aside_bad=False, threshold=0.8
)
File = tuple[str, int]
Payments = tuple[Detector, list[tuple[Transactions, NDArray[np.int8]]]]
"""Who sends a file, and which part of the payments it holds."""


class Bank:
    """One instance's history, with files screened as the worker does it: against the past, which they then join."""

    def __init__(
        self, instance: Path, detector: Detector, policy: Literal["managers", "own", "all"] = "managers"
    ) -> None:
        self.database = Database(f"sqlite:///{instance / 'kept.sqlite3'}")
        self.database.create_tables()
        self.screenings = Screenings(self.database)
        self.detector = detector
        self.tables = open_tables(instance, f"sqlite:///{instance / 'kept.sqlite3'}")
        settings = Settings(instance=instance, history_policy=policy)
        self.policy = HistoryPolicy(
            settings, self.screenings, SqlVelocity(self.tables), BatchJobs(self.tables)
        )

    def screen(
        self, rows: Transactions, labels: NDArray[np.int8], owner: str, *, manager: bool = False
    ) -> Any:
        """Gives the screening's id and the probabilities."""
        context = self.policy.context(self.detector, owner)
        past = context.past(rows.values)
        probabilities = self.detector.probabilities(rows, History(labels, past))
        made = new_id()
        self.screenings.begin(made, replace(WISH, owner=owner, counts_for_all=manager))
        context.remember(made, rows.values, labels)
        with self.database.write() as session:
            done = {"state": DONE, "fingerprint": self.detector.fingerprint}
            session.execute(update(Screening).where(Screening.id == made).values(done))
        return made, probabilities

    def files_of(self, kept: HistoryCache, who: str) -> PastIndex | None:
        """The rows of files that count when somebody has a few transactions scored."""
        past = self.policy.seen(kept, self.detector, who).past
        assert isinstance(past, LivePast)
        return past.files

    def close(self) -> None:
        self.database.engine.dispose()
        self.tables.engine.dispose()


@pytest.fixture(scope="module")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Payments:
    """The shipped detector that looks back, and its sample in parts."""
    from screening.detectors.registry import Detectors

    detector = Detectors(Settings(instance=tmp_path_factory.mktemp("registry"))).get("payments")
    canonical = tmp_path_factory.mktemp("read") / "canonical.csv"
    with SAMPLE.open("rb") as stream:
        batches = list(
            open_transactions(stream, FileKind.CSV, lambda _header: detector.contract, canonical=canonical)
        )
    values = np.concatenate([batch.transactions.values for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches if batch.labels is not None])
    assert len(labels) == len(values)
    columns = batches[0].transactions.columns
    # rows of all parts lie side by side in time, so that each part is the past of every other one
    parts = [
        (Transactions(columns, values[start::PARTS][:250]), labels[start::PARTS][:250])
        for start in range(PARTS)
    ]
    return detector, parts


@pytest.fixture
def bank(tmp_path: Path, payments: Payments) -> Iterator[Bank]:
    made = Bank(tmp_path, payments[0])
    yield made
    made.close()


FILES = st.lists(
    st.tuples(st.sampled_from(["ana", "ben"]), st.integers(0, PARTS - 1)), min_size=2, max_size=6
)


@pytest.mark.security(55)
@hypothesis_settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(files=FILES)
def test_whatever_one_analyst_sends_another_ones_probabilities_stay(
    payments: Payments, files: list[File]
) -> None:
    detector, parts = payments

    def screened(those: list[File]) -> list[Any]:
        with tempfile.TemporaryDirectory() as folder:
            bank = Bank(Path(folder), detector)
            found = [bank.screen(*with_frauds(parts[part], who), who)[1] for who, part in those]
            bank.close()
            return [one for (who, _), one in zip(those, found, strict=True) if who == "ben"]

    together, alone = screened(files), screened([one for one in files if one[0] == "ben"])
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def with_frauds(part: tuple[Transactions, Any], who: str) -> tuple[Transactions, Any]:
    """A part as it is, or, from whoever means harm, with every row labelled as fraud."""
    rows, labels = part
    return rows, (np.ones_like(labels) if who == "ana" else labels)


@pytest.mark.security(55)
def test_a_managers_file_moves_everybodys_and_a_released_one_too_until_it_is_withdrawn(
    payments: Payments, tmp_path: Path
) -> None:
    detector, parts = payments
    first, second = with_frauds(parts[0], "ana"), parts[1]

    def moved(*, manager: bool, word: bool | None = None) -> bool:
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            bank = Bank(Path(folder), detector)
            alone = detector.probabilities(second[0], History(second[1], None))
            made, _ = bank.screen(*first, "mia" if manager else "ana", manager=manager)
            if word is not None:
                bank.screenings.let_count(made, [detector.fingerprint], "mia", for_all=word)
            _, found = bank.screen(*second, "ben")
            bank.close()
            return not np.array_equal(found, alone)

    assert not moved(manager=False)
    assert moved(manager=True)
    assert moved(manager=False, word=True)
    assert not moved(manager=True, word=False)


@pytest.mark.security(55)
@pytest.mark.parametrize(
    ("policy", "moved"),
    [
        ("managers", {"ana": False, "mia": True}),
        ("own", {"ana": False, "mia": False}),
        ("all", {"ana": True, "mia": True}),
    ],
)
def test_the_policy_decides_when_a_past_is_read(
    policy: Literal["managers", "own", "all"], moved: dict[str, bool], payments: Payments, tmp_path: Path
) -> None:
    detector, parts = payments
    for who, expected in moved.items():
        folder = tmp_path / who
        folder.mkdir()
        bank = Bank(folder, detector, policy)
        bank.screen(*parts[0], who, manager=who == "mia")
        past = bank.policy.context(detector, "ben").past()
        assert (past is not None) is expected
        own = bank.policy.context(detector, who).past()
        assert own is not None, "one's own always count"
        command_line = bank.policy.context(detector, None).past()
        assert (command_line is not None) is expected
        bank.close()


@pytest.mark.security(55)
def test_single_transactions_follow_the_same_policy_and_share_what_they_can(
    bank: Bank, payments: Payments
) -> None:
    parts = payments[1]
    kept = HistoryCache()
    bank.screen(*parts[0], "mia", manager=True)
    ben, cleo = (bank.files_of(kept, who) for who in ("ben", "cleo"))
    assert ben is cleo, "nobody reads twice what counts for both"
    assert ben is not None
    assert len(ben) == 250
    bank.screen(*parts[1], "ana")
    assert bank.files_of(kept, "ben") is ben
    ana = bank.files_of(kept, "ana")
    assert ana is not None
    assert len(ana) == 500
    for number in range(MOST_PASTS + 3):
        bank.screen(*parts[2], f"user{number}")
        bank.files_of(kept, f"user{number}")
    assert len(kept._known) == MOST_PASTS


@pytest.mark.security(55)
def test_a_name_that_was_anothers_inherits_nothing(bank: Bank, payments: Payments) -> None:
    detector, parts = payments
    bank.screen(*parts[0], "Ana")
    mappings = Mappings(bank.database)
    mappings.remember(["a", "b"], Mapping("card", {"x": "a"}), "Ana")
    assert bank.policy.context(detector, "ana").past() is not None
    bank.screenings.detach_owner("ana")
    mappings.detach_owner("ana")
    assert bank.policy.context(detector, "ana").past() is None
    assert mappings.recall(["a", "b"], "ana") is None


@pytest.mark.security(55)
def test_rows_of_which_no_screening_tells_count_for_nobody(bank: Bank, payments: Payments) -> None:
    detector, parts = payments
    rows, labels = parts[0]
    bank.policy.context(detector, "ana").remember("f" * 32, rows.values, labels)
    assert bank.policy.context(detector, "ana").past() is None


@pytest.mark.security(55)
def test_what_was_screened_before_there_was_a_policy_counts_for_all(
    bank: Bank, payments: Payments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector, parts = payments
    rows, labels = parts[0]
    (tmp_path / "old").mkdir()
    monkeypatch.setattr("screening.infra.database.HEAD", "0008")
    old = Database(f"sqlite:///{tmp_path / 'old' / 'kept.sqlite3'}")
    old.create_tables()
    made = new_id()
    with old.write() as session:
        session.execute(
            text(
                "INSERT INTO screenings (id, owner, filename, kind, state, progress, created, attempts, "
                "set_aside_bad, threshold, rows, flagged, set_aside, detector, fingerprint) "
                "VALUES (:id, 'ana', 'a.csv', 'csv', 'done', 1, "
                "'2026-01-01 00:00:00', 1, 0, 0.8, 250, 0, 0, 'payments', :fingerprint)"
            ),
            {"id": made, "fingerprint": detector.fingerprint},
        )
        session.execute(
            text(
                "INSERT INTO mappings (header, detector, columns, owner, created) VALUES "
                "(:header, 'card', '{\"x\": \"a\"}', 'ana', '2026-01-01 00:00:00')"
            ),
            {"header": mark(["a", "b"])},
        )
    old.engine.dispose()
    monkeypatch.undo()
    new = Bank(tmp_path / "old", detector)
    new.policy.context(detector, "ana").remember(made, rows.values, labels)
    past = new.policy.context(detector, "ben").past()
    assert past is not None
    assert len(past.values) == 250
    recalled = Mappings(new.database).recall(["b", "a"], "ben")
    assert recalled is not None
    assert recalled.columns == {"x": "a"}
    assert "by ana on 2026-01-01 for files with these columns of all users" in recalled.said
    new.close()


@pytest.mark.security(55)
def test_a_mapping_holds_for_whoever_said_it_until_a_manager_says_more(bank: Bank) -> None:
    mappings, header = Mappings(bank.database), ["When", "How much"]
    mappings.remember(header, Mapping("card", {"Amount": "How much"}), "ana")
    assert mappings.recall(header, "ben") is None
    own = mappings.recall(header, "ANA")
    assert own is not None
    mappings.approve(mark(header), "ana", "mia")
    shared = mappings.recall(header, "ben")
    assert shared is not None
    assert shared.columns == {"Amount": "How much"}
    assert shared.said.endswith("and approved for all by mia")
    mappings.remember(header, Mapping("card", {"Amount": "When"}), "ana")
    again = mappings.recall(header, "ben")
    assert again is not None
    assert again.columns == {"Amount": "How much"}, "whoever said it first can't change what holds for all"
    mine = mappings.recall(header, "ana")
    assert mine is not None
    assert mine.columns == {"Amount": "When"}, "one's own goes first"
    mappings.withdraw(mark(header))
    assert mappings.recall(header, "ben") is None
    assert mappings.recall(header, "ana") is not None
    mappings.forget(header, "ana")
    assert mappings.recall(header, "ana") is None


@pytest.mark.security(55)
def test_no_user_is_everybody(services: Services) -> None:
    """The owner of what holds for all is no name that an account can have."""
    from screening.accounts.user_store import BadAccount

    with pytest.raises(BadAccount):
        services.users.add(EVERYBODY, "nobody@bank.example", "a long enough password")


def test_the_list_of_what_counts_is_short_to_ask_for(bank: Bank, payments: Payments) -> None:
    """By an index: an instance may have screened ten thousand files."""
    query = select(Screening.id).where(Screening.fingerprint == "x")
    compiled = query.compile(bank.database.engine, compile_kwargs={"literal_binds": True})
    with bank.database.read() as session:
        plan = session.execute(text(f"EXPLAIN QUERY PLAN {compiled}")).all()
    assert "screenings_by_fingerprint" in str(plan)
