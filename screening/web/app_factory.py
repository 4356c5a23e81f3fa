"""The only room that knows Flask: puts the pages together and lends them what they work with."""

from __future__ import annotations

import logging
from functools import partial

from flask import Flask

from screening import settings as environment
from screening.accounts.api_keys import ApiKeys
from screening.accounts.key_ring import KeyRing
from screening.accounts.notifications import Notifications
from screening.accounts.proposals import Proposals
from screening.accounts.temporary_passwords import HandedPasswords
from screening.accounts.user_store import UserStore
from screening.detectors.registry import Detectors, adopt_detectors
from screening.detectors.states import DetectorStates
from screening.infra.audit.log import AuditLog
from screening.infra.database import Database
from screening.infra.host_locks import share
from screening.infra.instance_secret import secret_key
from screening.infra.wake_signal import Signals
from screening.ledger.history import Recollections
from screening.ledger.ledger import Ledger
from screening.monitoring.request_metrics import RequestMetrics
from screening.reports.documents import DocumentFolder, Documents
from screening.rules.ruleset import RuleBook
from screening.scoring.applied_thresholds import AppliedThresholds
from screening.scoring.places import Places
from screening.scoring.score import Probabilities, own_probabilities
from screening.settings import ROOT, Settings
from screening.training.trainings import TrainingFolder, Trainings
from screening.uploads.history_policy import HistoryPolicy
from screening.uploads.instance_check import claim, is_new
from screening.uploads.questions.column_mappings import Mappings
from screening.uploads.screenings import History
from screening.uploads.storage_quota import StorageQuota, Store
from screening.uploads.upload_folder import Folder
from screening.web.api import detect_fraud, health, metrics, openapi, statistics, transactions
from screening.web.api.lean_path import LeanPath
from screening.web.cli import audit as audit_commands
from screening.web.cli import backup as backup_commands
from screening.web.cli import batch as batch_commands
from screening.web.cli import commands, keys, report, train, users
from screening.web.cli import detectors as detector_commands
from screening.web.cli import ledger as ledger_commands
from screening.web.cli import rules as rule_commands
from screening.web.http import errors, guard, sessions, static_files
from screening.web.http.front import Front
from screening.web.http.proxies import TrustedProxies
from screening.web.pages import (
    admin,
    api_docs,
    api_keys,
    auth,
    card_numbers,
    column_mapping,
    detectors,
    landing,
    monitoring,
    past,
    preflight,
    questions,
    results,
    shadow,
    styleguide,
    teaching,
    training_columns,
    trainings,
    uploads,
)
from screening.web.pages.explore import dashboard, decisions, entities, flips, receipts, search
from screening.web.pages.explore import transactions as transactions_page
from screening.web.pages.oversight import approvals, audit, notifications
from screening.web.pages.reports import documents, reports, schedules
from screening.web.pages.review import case, disagreeing, learning, queue, threshold, workbook
from screening.web.pages.rules import lists as rule_lists
from screening.web.pages.rules import rules
from screening.web.services import Services
from screening.web.views import contexts

log = logging.getLogger("screening")


def create_app(
    settings: Settings | None = None, *, probabilities: Probabilities = own_probabilities
) -> Flask:
    """Return the app, ready to serve.

    Args:
        settings: by default those of the environment.
        probabilities: who is asked for the probabilities of some rows, by the API and the command line.

    Raises:
        BadSetting, BadArtefact, NotReady: the start stops; the message is one line that says what to do.
    """
    settings = settings or Settings.from_environ()
    environment.make_instance(settings)
    app = Flask("screening", root_path=str(ROOT), template_folder="templates", static_folder="static")
    app.config.update(SECRET_KEY=secret_key(settings))
    database = Database(settings.database_url)
    share(settings, database.engine)
    database.create_tables()
    accounts = UserStore(settings.users_file, minimum_length=settings.password_min_length)
    if is_new(settings.instance, database):
        accounts.begin()
    claim(settings.instance, database)
    signals = Signals.of(settings.instance, database)
    history, states = History(database, signals), DetectorStates(database)
    orders, documents_here = Trainings(database, signals), Documents(database, signals)
    stores = [
        Store(history, lambda one: Folder(settings.instance, one).path),
        Store(orders, lambda one: TrainingFolder(settings.instance, one).path),
        Store(documents_here, lambda one: DocumentFolder(settings.instance, one).path),
    ]
    detectors_here = Detectors(settings, states)
    ledger = Ledger.open(
        settings.instance, settings.database_url, settings.ledger_durability, settings.state_url
    )
    app.extensions["screening"] = Services(
        settings=settings,
        database=database,
        users=accounts,
        detectors=detectors_here,
        states=states,
        history=history,
        trainings=orders,
        documents=documents_here,
        quota=StorageQuota(stores, settings.stored_per_account),
        signals=signals,
        recollections=Recollections(),
        policy=HistoryPolicy(settings, history, ledger.velocity),
        mappings=Mappings(database),
        ledger=ledger,
        places=Places(settings.ip_countries),
        rules=RuleBook(database),
        thresholds=AppliedThresholds(database, settings.threshold),
        notifications=Notifications(database),
        proposals=Proposals(database, settings.proposal_days),
        handed=HandedPasswords(database),
        keys=ApiKeys(database, accounts),
        key_ring=KeyRing(database, accounts, settings.instance, of_host=settings.of_host),
        requests=RequestMetrics(),
        probabilities=probabilities,
    )
    accounts.prepare()
    adopt_detectors(detectors_here, AuditLog(settings.instance))
    promoted, _ = detectors_here.in_place_of(detectors_here.default)
    if promoted is not detectors_here.default:
        # the first payment mustn't wait for it
        promoted.prepare()
    for part in (errors, guard, sessions, static_files, contexts, commands):
        part.init_app(app)
    for room in (
        landing,
        auth,
        uploads,
        results,
        detect_fraud,
        health,
        metrics,
        statistics,
        transactions,
        openapi,
        api_docs,
        admin,
        api_keys,
        detectors,
        trainings,
        training_columns,
        column_mapping,
        questions,
        card_numbers,
        preflight,
        past,
        monitoring,
        shadow,
        search,
        entities,
        decisions,
        receipts,
        flips,
        reports,
        documents,
        schedules,
        dashboard,
        teaching,
        transactions_page,
        styleguide,
        rules,
        rule_lists,
        queue,
        case,
        workbook,
        threshold,
        audit,
        learning,
        disagreeing,
        approvals,
        notifications,
    ):
        app.register_blueprint(room.blueprint)
    app.cli.add_command(users.users)
    app.cli.add_command(detector_commands.detectors)
    app.cli.add_command(keys.keys)
    app.cli.add_command(train.train)
    app.cli.add_command(report.report)
    app.cli.add_command(ledger_commands.ledger)
    app.cli.add_command(audit_commands.audit)
    app.cli.add_command(batch_commands.batch)
    app.cli.add_command(rule_commands.rules)
    app.cli.add_command(backup_commands.backup)
    app.cli.add_command(backup_commands.restore)
    return app


def create_front(app: Flask) -> Front:
    """Return the app as the server's event loop calls it (ASGI)."""
    outermost = app.wsgi_app
    if not isinstance(outermost, TrustedProxies):
        raise TypeError("the app has no guard: it was not made by create_app")
    on_damage = partial(app.extensions.__setitem__, errors.DAMAGED)
    mine: Services = app.extensions["screening"]
    shortcut = LeanPath(mine, outermost.look_through, on_damage)
    return Front(outermost, outermost.address_of, shortcut, mine.requests.observe)
