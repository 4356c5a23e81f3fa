"""What was acknowledged, compared with what there is."""

from __future__ import annotations

import math
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
from sqlalchemy import select

from benchmarks.hosts.load import Uploads
from benchmarks.hosts.network import PATIENCE, Host
from benchmarks.kills import Senders, ids_of
from screening.accounts.user_store import UserStore
from screening.detectors.registry import Detectors
from screening.detectors.states import DetectorStates
from screening.infra.audit.log import KEY_PURPOSE, AuditLog
from screening.infra.audit.verification import verify
from screening.infra.database import Database
from screening.infra.instance_secret import InstanceSecret
from screening.ledger.ledger import Ledger
from screening.ledger.velocity.entries import TrainedSubject, Viewer
from screening.ledger.velocity.state import Velocity
from screening.settings import Settings
from screening.uploads.history_policy import sharing
from screening.uploads.screenings import DONE, OPEN_STATES, Screening


def compare(one: Host, senders: Senders, uploads: Uploads, rows: int) -> list[str]:
    """Compare what was acknowledged with what there is, once every file is screened and entered."""
    url, instance = one.environ["DATABASE_URL"], Path(one.environ["INSTANCE_PATH"])
    database = Database(url)
    ledger = Ledger.open(instance, url, state_url=one.environ.get("STATE_URL"))
    deadline = time.monotonic() + 10 * PATIENCE
    while waiting(database, ledger, uploads) and time.monotonic() < deadline:
        time.sleep(1)
    with database.read() as session:
        states: dict[str, str] = dict(session.execute(select(Screening.id, Screening.state)).all())
    wrong = []
    lost = [each for each in uploads.acknowledged if states.get(each) != DONE]
    if lost:
        wrong.append(f"{len(lost)} acknowledged files aren't done: {[states.get(each) for each in lost]}")
    entered: Counter[str] = Counter()
    for segment in ledger.segments.all():
        table = pq.read_table(ledger.segments.path(segment.name), columns=["screening"])
        entered.update(each for each in table.column("screening").to_pylist() if each is not None)
    uneven = [entered[each] for each in uploads.acknowledged if entered[each] != rows]
    if uneven:
        wrong.append(f"{len(uneven)} acknowledged files have other rows in the ledger: {uneven}")
    others = Counter(states[each] for each in set(states) - set(uploads.acknowledged))
    print(f"files that nobody was told of, by state: {dict(others)}")
    ids = [answer["id"] for answer in senders.answered.values()]
    files = sum(entered.values())
    there = Counter(ids_of(ledger))
    if len(set(ids)) != len(ids):
        wrong.append("two requests got one id")
    if missing := [each for each in ids if not there[each]]:
        wrong.append(f"{len(missing)} answered transactions aren't in the ledger")
    if twice := [each for each, count in there.items() if count > 1]:
        wrong.append(f"{len(twice)} rows are twice in the ledger")
    if more := len(there) - len(set(ids)) - files:
        wrong.append(f"{more} transactions in the ledger were answered to nobody")
    wrong += [f"segment {fault.name}: {fault.problem}" for fault in ledger.segments.verify()]
    log = AuditLog(instance)
    found = verify(
        log.files(), InstanceSecret(instance).derive(KEY_PURPOSE), [("beside the log", log.chain.head())]
    )
    if found.fault is not None:
        wrong.append(f"audit log: {found.fault}")
    wrong += compare_velocity(one, ledger, set(ids))
    print(f"ledger: {len(there):,} rows, {len(entered)} files; audit log: {found.entries:,} entries")
    return wrong


def compare_velocity(one: Host, ledger: Ledger, ids: set[str]) -> list[str]:
    """Compare the velocity state with the decisions, and with what is made of them again."""
    settings = Settings.from_environ(one.environ)
    detector = Detectors(settings, DetectorStates(Database(settings.database_url))).get("payments")
    velocity = ledger.velocity
    subject = velocity.subject(detector)
    if subject is None:
        return ["payments doesn't look back"]
    deadline = time.monotonic() + PATIENCE
    while velocity.unbuilt() and time.monotonic() < deadline:
        time.sleep(1)
    found, before = [], rows_of(velocity, subject)
    # two of one second may be alike
    if before.total() != len(ids):
        found.append(f"the velocity state has {before.total():,} rows, {len(ids):,} were answered")
    shares = sharing(UserStore(settings.users_file))
    made = ledger.rebuilding.rebuild(detector, shares)
    if made.added or made.removed:
        found.append(f"the velocity state lacked {made.added} rows and had {made.removed} too many")
    velocity.forget("payments")
    ledger.rebuilding.rebuild(detector, shares)
    if rows_of(velocity, subject) != before:
        found.append("the velocity state isn't what is made of the ledger")
    print(f"velocity state: {before.total():,} rows, as they are made of the ledger: {not found}")
    return found


def rows_of(velocity: Velocity, subject: TrainedSubject) -> Counter[tuple[bytes, int]]:
    """Return cells and label of all rows."""
    past = velocity.span(subject, Viewer("ana"), 0.0, math.inf)
    return Counter((each.tobytes(), int(label)) for each, label in zip(past.values, past.labels, strict=True))


def waiting(database: Database, ledger: Ledger, uploads: Uploads) -> bool:
    """Return whether files wait to be screened, or to be entered into the ledger."""
    with database.read() as session:
        still_open = session.scalar(select(Screening.id).where(Screening.state.in_(OPEN_STATES)).limit(1))
    return still_open is not None or not set(uploads.acknowledged) <= ledger.segments.screenings()
