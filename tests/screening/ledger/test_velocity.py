"""Transactions that are asked one by one get what they get in a file, whoever asks, and however many ask at once."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from redis import Redis
from sqlalchemy import func, select, update

from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.detectors.vectorizer import History
from screening.errors import BadSetting
from screening.features import Past
from screening.infra.database import DriverWrite
from screening.ledger.history import DetectorHistory
from screening.ledger.identity import parse
from screening.ledger.labels import LaterLabel
from screening.ledger.ledger import Ledger
from screening.ledger.rebuilding import OPEN_SECONDS, Settling
from screening.ledger.tables import TailRow, VelocityEntity, VelocityRow, VelocitySubject
from screening.ledger.velocity import state
from screening.ledger.velocity.entries import TrainedSubject, Viewer
from screening.ledger.velocity.live_past import LiveRows
from screening.ledger.velocity.redis_state import RedisVelocity, StateUnavailable
from screening.ledger.velocity.redis_state import Row as Row_
from screening.realtime import decide as deciding
from screening.realtime.decide import decide
from screening.settings import ROOT, Settings
from screening.transactions.json_records import from_mappings
from screening.transactions.schema import Transactions
from tests.postgres_server import Postgres
from tests.redis_server import redis_url  # noqa: F401 -- a fixture
from tests.screening.ledger.velocity_desk import Desk, Row, as_file

SHIPPED = {
    "card": ROOT / "transactions_data.csv",
    "ecommerce": ROOT / "model" / "detectors" / "ecommerce" / "sample.csv",
    "payments": ROOT / "model" / "detectors" / "payments" / "sample.csv",
}
SAME = 1e-6
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Detectors:
    return Detectors(Settings(instance=tmp_path_factory.mktemp("registry")))


@pytest.fixture(scope="module", params=list(SHIPPED))
def case(
    request: pytest.FixtureRequest, registry: Detectors, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Detector, list[Row], NDArray[np.float32]]:
    """A shipped detector, its sample in the order of time, and what the file of it gives."""
    detector = registry.get(request.param)
    rows, expected = as_file(detector, SHIPPED[request.param], tmp_path_factory.mktemp("file"))
    return detector, rows, expected


@pytest.fixture
def payments(registry: Detectors, tmp_path: Path) -> tuple[Detector, list[Row], NDArray[np.float32]]:
    detector = registry.get("payments")
    return detector, *as_file(detector, SHIPPED["payments"], tmp_path)


@pytest.fixture(params=["sql", "redis"])
def state_url(request: pytest.FixtureRequest) -> str | None:
    """Where the state is kept by itself for each of several desks."""
    return request.getfixturevalue("redis_url") if request.param == "redis" else None


@pytest.fixture(params=["sql", "redis", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where the state is kept: every test runs with all."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        name = server.new()
        yield server.url(name)
        server.drop(name)
    else:
        yield request.getfixturevalue("redis_url") if request.param == "redis" else None


@pytest.fixture
def desk(payments: Any, tmp_path: Path, store: str | None) -> Iterator[Desk]:
    made = Desk(tmp_path, payments[0], store)
    yield made
    made.close()


@settings(max_examples=6, deadline=None, suppress_health_check=SLOW)
@given(data=st.data())
def test_in_order_and_in_lists_of_any_length_they_get_what_the_file_gives(
    data: st.DataObject, case: Any, state_url: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    detector, rows, expected = case
    count = data.draw(st.integers(1, min(len(rows), 150)), label="rows")
    desk = Desk(tmp_path_factory.mktemp("desk"), detector, state_url)
    if count < len(rows):  # the file that has no more than these
        expected = _of_file(detector, rows[:count])
    found: list[float] = []
    while len(found) < count:
        size = data.draw(st.sampled_from([1, 1, 2, 3, 17, 100]), label="list")
        found += desk.probabilities(rows[len(found) : min(len(found) + size, count)])
    desk.close()
    np.testing.assert_allclose(found, expected[:count], atol=SAME, rtol=0)


def _of_file(detector: Detector, rows: Sequence[Row]) -> NDArray[np.float32]:
    label = detector.contract.label
    labels = np.array([-1 if label is None else int(row[label]) for row in rows], np.int8)
    return detector.probabilities(from_mappings(rows, detector.contract), History(labels))


def test_what_is_asked_at_the_same_moment_is_as_if_it_had_come_by_time(desk: Desk, payments: Any) -> None:
    """Forty requests in one call, in any order: they are decided together."""
    _, rows, _ = payments
    chosen = [{**row, "CUSTOMER_ID": 7} for row in rows[:40]]
    expected = _of_file(desk.detector, chosen)
    mixed = np.random.default_rng(3).permutation(40)
    answers = decide([desk.question([chosen[place]]) for place in mixed], desk.ledger, threshold=0.8)
    said = [answer for answer in answers if isinstance(answer, bytes)]
    assert len(said) == len(answers)
    rank = {row: place for place, row in enumerate(mixed)}
    found = [json.loads(said[rank[place]])["results"][0]["fraud_probability"] for place in range(40)]
    np.testing.assert_allclose(found, expected, atol=SAME, rtol=0)


def test_processes_that_ask_at_once_decide_as_if_one_after_the_other(
    tmp_path: Path, payments: Any, store: str | None
) -> None:
    """Each row saw exactly the earlier rows that were kept before it, whoever kept them: by the order in which they
    were numbered, all probabilities come out again.
    """
    detector, rows, _ = payments
    rng = np.random.default_rng(5)
    chosen = [{**row, "CUSTOMER_ID": int(rng.integers(3))} for row in rows[:60]]
    desks = [Desk(tmp_path, detector, store) for _ in range(4)]
    answers: dict[str, float] = {}
    problems: list[BaseException] = []

    def run(desk: Desk, mine: Sequence[Row]) -> None:
        try:
            for row in mine:
                (answer,) = desk.ask([row])
                answers[answer["id"]] = answer["fraud_probability"]
        except BaseException as problem:
            problems.append(problem)
            raise

    threads = [threading.Thread(target=run, args=(desk, chosen[n::4])) for n, desk in enumerate(desks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    kept = rows_of(desks[0])
    assert sorted(row.id for row in kept) == sorted(answers)
    assert [row.seq for row in kept] == list(range(1, 61))
    values = np.array([np.frombuffer(row.cells) for row in kept])
    labels = np.array([row.label for row in kept], np.int8)
    again = [
        detector.probabilities(
            from_values(detector, values[[place]]),
            History(labels[[place]], Past(values[:place], labels[:place])),
        )[0]
        for place in range(len(kept))
    ]
    np.testing.assert_allclose([answers[row.id] for row in kept], again, atol=SAME, rtol=0)
    for desk in desks:
        desk.close()


def from_values(detector: Detector, values: NDArray[np.float64]) -> Any:
    return Transactions(detector.contract.columns, values)


def test_a_row_that_comes_late_counts_for_later_ones_and_is_counted(desk: Desk, payments: Any) -> None:
    rows = [{**row, "CUSTOMER_ID": 1} for row in payments[1][:3]]
    desk.ask([rows[0]])
    desk.ask([rows[2]])
    (late,) = desk.probabilities([rows[1]])
    assert late == pytest.approx(_of_file(desk.detector, rows[:2])[1], abs=SAME)
    later = {**payments[1][9], "CUSTOMER_ID": 1}
    assert desk.probabilities([later]) == pytest.approx(_of_file(desk.detector, [*rows, later])[3:], abs=SAME)
    standing = desk.ledger.velocity.standing(_subject(desk))
    assert (standing.rows, standing.late, standing.repeated) == (4, 1, 0)


def test_one_that_is_sent_twice_counts_twice_as_in_a_file_and_is_counted(desk: Desk, payments: Any) -> None:
    row, later = ({**each, "CUSTOMER_ID": 1} for each in (payments[1][0], payments[1][5]))
    first, second = desk.probabilities([row]), desk.probabilities([row])
    assert first == second, "rows of the same time know nothing of each other"
    expected = _of_file(desk.detector, [row, row, later])[2:]
    assert desk.probabilities([later]) == pytest.approx(expected, abs=SAME)
    assert desk.ledger.velocity.standing(_subject(desk)).repeated == 1


def test_what_only_counts_for_others_isnt_seen(desk: Desk, payments: Any) -> None:
    before, now = ({**each, "CUSTOMER_ID": 1} for each in (payments[1][0], payments[1][5]))
    desk.ask([before], "ben", shared=False)
    (strange,) = desk.ask([now], "cleo", shared=False)
    (alone,), (company,) = _of_file(desk.detector, [now]), _of_file(desk.detector, [before, now])[1:]
    assert abs(alone - company) > SAME, "else the test tells nothing"
    assert strange["fraud_probability"] == pytest.approx(alone, abs=SAME)
    (own,) = desk.ask([now], "ben", shared=False)
    assert own["fraud_probability"] == pytest.approx(company, abs=SAME)


def test_who_is_overtaken_again_and_again_is_told_so(
    desk: Desk, payments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process keeps a row of the same customer between each reading and its commit."""
    rows = [{**row, "CUSTOMER_ID": 1} for row in payments[1]]
    other = Desk(desk.folder, desk.detector, desk.store)
    usual, count = desk.ledger.tail.add, [0]

    def stale(entries: Any) -> Any:
        count[0] += 1
        if count[0] <= most:
            other.ask([rows[count[0]]])
        return usual(entries)

    monkeypatch.setattr(desk.ledger.tail, "add", stale)
    most = 3
    (found,) = desk.probabilities([rows[100]])
    assert count[0] == 4, "scored again as often as it was stale"
    assert found == pytest.approx(_of_file(desk.detector, [*rows[1:4], rows[100]])[3], abs=SAME)
    most, count[0] = 1000, 0
    monkeypatch.setattr(deciding, "MOST_ATTEMPTS", 6)
    (answer,) = decide([desk.question([rows[200]])], desk.ledger, threshold=0.8)
    assert isinstance(answer, deciding.Busy)
    assert answer.status == 503
    assert len(rows_of(desk)) == 3 + 1 + 6, "nothing was kept of it"
    other.close()


def test_old_rows_go_and_a_wrong_clock_makes_none_old(
    desk: Desk, payments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [dict(row) for row in payments[1][:200]]
    ahead = {**rows[0], "TX_DATETIME": "2028-01-01 00:00:00"}
    velocity = desk.ledger.velocity
    desk.ask([*rows[:20], ahead])
    assert velocity.prune() == 0, "also among a few"
    desk.ask([*rows[20:], *[ahead] * 99])
    assert velocity.prune() == 0, "a hundred may be ahead"
    times = sorted(row.time for row in rows_of(desk))[:200]
    with desk.ledger.tables.write() as session:
        session.execute(update(VelocitySubject).values(horizon=times[-1] - times[150]))
    assert velocity.prune() == pytest.approx(150, abs=2)
    assert set(entities_of(desk)) == {row.seq for row in rows_of(desk)}
    monkeypatch.setattr(state, "LEAST_STRAY", 0)
    assert velocity.prune() == pytest.approx(50, abs=2), (
        "all others are old beside a hundred, were none astray"
    )
    assert set(entities_of(desk)) == {row.seq for row in rows_of(desk)}


def test_what_decisions_are_too_old_to_be_kept_leaves_the_state_as_well(desk: Desk, payments: Any) -> None:
    desk.ask(payments[1][:5])
    between = time.time() + 0.002
    time.sleep(0.01)
    desk.ask(payments[1][5:7])
    assert desk.ledger.velocity.prune(between) == 5
    assert len(rows_of(desk)) == 2
    assert sum(entities_of(desk).values()) == 4


def test_a_lost_state_is_made_of_the_ledger_again(desk: Desk, payments: Any) -> None:
    rows = payments[1][:160]
    answers = [desk.ask(rows[start : start + 40]) for start in range(0, 120, 40)]
    desk.ledger.sealing.seal()
    answers.append(desk.ask(rows[120:130]))
    velocity = desk.ledger.velocity
    before = _state(desk)
    fraud = parse(answers[0][3]["id"])
    assert fraud is not None
    desk.ledger.labels.say([LaterLabel(fraud, 1)], "ana")
    labelled = _state(desk)
    assert labelled != before
    velocity.forget("payments")
    assert _state(desk) == []
    assert velocity.standing(_subject(desk)).built is None
    rebuilt = desk.ledger.rebuilding.rebuild(desk.detector, lambda owner: owner == "till")
    assert (rebuilt.added, rebuilt.removed, rebuilt.unreadable) == (130, 0, 0)
    assert _state(desk) == labelled
    assert velocity.standing(_subject(desk)).built is not None
    rebuilt = desk.ledger.rebuilding.rebuild(desk.detector, lambda owner: owner == "till")
    assert (rebuilt.added, rebuilt.removed) == (0, 0)


def test_a_row_without_a_decision_goes_when_the_state_is_made_again(desk: Desk, payments: Any) -> None:
    desk.ask(payments[1][:5])
    _give_another_id(desk)
    rebuilt = desk.ledger.rebuilding.rebuild(desk.detector, lambda _owner: True)
    assert (rebuilt.added, rebuilt.removed) == (1, 1)
    assert len(_state(desk)) == 5


def _state(desk: Desk) -> list[tuple[Any, ...]]:
    """Everything that counts, but for the numbers of rows."""
    entities = entities_of(desk)
    rows = rows_of(desk)
    assert set(entities) <= {row.seq for row in rows}
    return sorted(
        (row.id, row.owner, row.shared, row.time, row.label, row.cells, entities[row.seq]) for row in rows
    )


@dataclass
class Kept:
    """A row as either store has it."""

    seq: int
    id: str
    owner: str
    shared: bool
    time: float
    label: int
    cells: bytes


def rows_of(desk: Desk) -> list[Kept]:
    """All rows, in the order in which they were numbered."""
    if desk.state_url is None:
        with desk.ledger.tables.read() as session:
            rows = session.scalars(select(VelocityRow).order_by(VelocityRow.seq)).all()
        return [Kept(*(getattr(row, each.name) for each in fields(Kept))) for row in rows]
    redis, key = _redis(desk), _key(desk, "rows")
    found = {int(seq): msgspec.msgpack.decode(data, type=Row_) for seq, data in redis.hgetall(key).items()}
    return [
        Kept(seq, row.id, row.owner, row.shared, row.time, row.label, row.cells)
        for seq, row in sorted(found.items())
    ]


def entities_of(desk: Desk) -> Counter[int]:
    """How often each row is found by an entity."""
    if desk.state_url is None:
        with desk.ledger.tables.read() as session:
            return Counter(session.scalars(select(VelocityEntity.seq)))
    redis, found = _redis(desk), Counter[int]()
    for key in redis.keys(_key(desk, "e:*")):
        found.update(map(int, redis.zrange(key, 0, -1)))
    return found


def _subject(desk: Desk) -> TrainedSubject:
    subject = desk.ledger.velocity.subject(desk.detector)
    assert subject is not None
    return subject


def _key(desk: Desk, name: str) -> str:
    velocity = desk.ledger.velocity
    assert isinstance(velocity, RedisVelocity)
    return velocity.key(_subject(desk).number, name)


def _redis(desk: Desk) -> Any:
    assert desk.state_url is not None
    return Redis.from_url(desk.state_url)


def _give_another_id(desk: Desk) -> None:
    """As a process leaves it that is killed before its decision is kept: a row of which the ledger knows nothing."""
    row = rows_of(desk)[0]
    other = row.id[:-12] + "0" * 12
    if desk.state_url is None:
        with desk.ledger.tables.write() as session:
            session.execute(update(VelocityRow).where(VelocityRow.seq == row.seq).values(id=other))
        return
    redis = _redis(desk)
    changed = Row_(other, row.owner, row.shared, row.time, row.label, row.cells)
    redis.hset(_key(desk, "rows"), row.seq, msgspec.msgpack.encode(changed))
    redis.hdel(_key(desk, "ids"), row.id)
    redis.hset(_key(desk, "ids"), other, row.seq)


def test_a_file_finds_what_the_api_was_asked_and_not_its_own_rows(desk: Desk, payments: Any) -> None:
    _, rows, expected = payments
    subject = desk.ledger.velocity.subject(desk.detector)
    assert subject is not None
    live = LiveRows(desk.ledger.velocity, subject, Viewer("ana"))
    context = DetectorHistory(desk.folder, desk.detector, counting=None, live=live)
    read = from_mappings(rows[:200], desk.detector.contract).values
    assert context.past(read[100:]) is None
    assert "API" not in context.told
    desk.ask(rows[:100])
    past = context.past(read[100:])
    assert past is not None
    assert "of the API" in context.told
    labels = np.array([int(row["TX_FRAUD"]) for row in rows[:200]], np.int8)
    found = desk.detector.probabilities(from_values(desk.detector, read[100:]), History(labels[100:], past))
    np.testing.assert_allclose(found, expected[100:200], atol=SAME, rtol=0)
    past = context.past(read)
    whole = desk.detector.probabilities(from_values(desk.detector, read), History(labels, past))
    np.testing.assert_allclose(whole, expected[:200], atol=SAME, rtol=0)


def test_a_state_that_was_lost_is_said_until_it_is_made_again(desk: Desk, payments: Any) -> None:
    rows = [{**row, "CUSTOMER_ID": 1} for row in payments[1][:30]]
    assert [len(answer.get("notes", [])) for answer in desk.ask(rows)] == [1] + [0] * 29, (
        "the first has no past"
    )
    if desk.state_url is not None:
        _redis(desk).flushall()
    else:
        desk.ledger.velocity.forget("payments")
    later = {**payments[1][200], "CUSTOMER_ID": 1}
    (answer,) = desk.ask([later])
    assert any("still being read from the ledger" in note for note in answer["notes"])
    assert desk.ledger.velocity.unbuilt() == {_subject(desk).number}
    desk.ledger.rebuilding.rebuild(desk.detector, lambda _owner: True)
    assert desk.ledger.velocity.unbuilt() == frozenset()
    (answer,) = desk.ask([later])
    assert not any("still being read" in note for note in answer.get("notes", []))
    expected = _of_file(desk.detector, [*rows, later])[30]
    assert answer["fraud_probability"] == pytest.approx(expected, abs=SAME)


def test_what_cant_be_kept_leaves_no_row_behind(
    desk: Desk, payments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = DriverWrite.many

    def fail(self: DriverWrite, statement: Any, given: Any) -> None:
        if "ledger_tail" in str(statement):
            raise OSError(28, "No space left on device")
        usual(self, statement, given)

    desk.ask(payments[1][:3])
    with monkeypatch.context() as patch:
        patch.setattr(DriverWrite, "many", fail)
        (answer,) = decide([desk.question(payments[1][3:5])], desk.ledger, threshold=0.8)
    assert isinstance(answer, OSError)
    assert len(rows_of(desk)) == 3
    assert len(entities_of(desk)) == 3


def test_a_row_of_a_process_that_was_killed_before_its_commit_goes_and_no_other(
    desk: Desk, payments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing follows on it."""

    def die(*_given: Any) -> None:
        raise Killed

    rows, velocity = payments[1], desk.ledger.velocity
    desk.ask(rows[:3])
    with monkeypatch.context() as patch:
        patch.setattr(DriverWrite, "many", die)
        patch.setattr(type(velocity), "take_back", lambda *_given: None)
        with pytest.raises(Killed):
            decide([desk.question(rows[3:5])], desk.ledger, threshold=0.8)
    now = [100.0]
    settling = Settling(desk.ledger.tables, desk.ledger.questions, velocity, lambda: now[0])
    of_redis = desk.state_url is not None
    assert len(rows_of(desk)) == 3 + 2 * of_redis, "in SQL they went with the transaction"
    assert settling.step() == 0, "they may still be kept"
    now[0] += OPEN_SECONDS
    assert settling.step() == 2 * of_redis
    assert len(rows_of(desk)) == 3
    assert velocity.unsettled() == {}
    assert settling.step() == 0
    desk.ask(rows[5:6])
    desk.ask(rows[6:7])
    assert [len(ids) for ids in velocity.unsettled().values()] == [1] * of_redis, (
        "the next rows tell of the last"
    )


def test_redis_that_was_started_again_is_compared_with_the_ledger(desk: Desk, payments: Any) -> None:
    velocity, subject = desk.ledger.velocity, _subject(desk)
    desk.ask(payments[1][:5])
    assert velocity.unbuilt() == frozenset()
    if desk.state_url is None:
        return
    # what it has on the disk is of an earlier start
    _redis(desk).hset(_key(desk, "state"), "run", "of an earlier start")
    assert velocity.unbuilt() == {subject.number}
    (answer,) = desk.ask([payments[1][200]])
    assert any("still being read from the ledger" in note for note in answer["notes"])
    begun = velocity.begin_building(subject)
    _redis(desk).hdel(_key(desk, "state"), "begun")
    velocity.is_built(subject, begun)
    assert velocity.unbuilt() == {subject.number}, "it was emptied while it was made"
    desk.ledger.rebuilding.rebuild(desk.detector, lambda _owner: True)
    assert velocity.unbuilt() == frozenset()


def test_rows_that_come_while_the_state_is_made_stay(
    desk: Desk, payments: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is added and not committed yet when the making begins, which waits for it."""
    rows, usual = payments[1], DriverWrite.many
    desk.ask(rows[:3])
    other = Desk(desk.folder, desk.detector, desk.store)
    other.ledger.rebuilding.rebuild(desk.detector, lambda _owner: True)
    added, made = threading.Event(), threading.Event()

    def slow(self: DriverWrite, statement: Any, given: Any) -> None:
        if "ledger_tail" in str(statement):
            added.set()
            made.wait(0.5)
        usual(self, statement, given)

    monkeypatch.setattr(DriverWrite, "many", slow)
    asking = threading.Thread(target=desk.ask, args=(rows[3:4],))
    asking.start()
    assert added.wait(20)
    found = other.ledger.rebuilding.rebuild(desk.detector, lambda _owner: True)
    made.set()
    asking.join()
    assert (found.added, found.removed) == (0, 0)
    assert len(rows_of(desk)) == 4
    other.close()


def test_without_redis_a_detector_that_looks_back_says_so_and_others_go_on(
    registry: Detectors, payments: Any, tmp_path: Path
) -> None:
    away = Desk(tmp_path, payments[0], f"unix://{tmp_path / 'nobody'}")
    with pytest.raises(StateUnavailable, match="can't be reached") as told:
        away.question(payments[1][:1])
    assert told.value.status == 503
    with pytest.raises(StateUnavailable):
        away.ledger.velocity.require_ready()
    card = replace(away, detector=registry.get("card"))
    rows, expected = as_file(card.detector, SHIPPED["card"], tmp_path)
    assert card.probabilities(rows[:3]) == pytest.approx(expected[:3], abs=SAME)
    with away.ledger.tables.read() as session:
        assert session.scalar(select(func.sum(TailRow.rows))) == 3


@pytest.mark.parametrize(
    "url", ["redis://[", "redis://localhost/x y", "redis://localhost?socket_timeout=soon"]
)
def test_an_address_that_is_none_stops_the_start(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadSetting, match="STATE_URL"):
        Ledger.open(tmp_path, f"sqlite:///{tmp_path / 'app.sqlite3'}", state_url=url)
