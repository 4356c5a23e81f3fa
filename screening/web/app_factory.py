"""The only room that knows Flask: puts the pages together and lends them what they work with."""

from __future__ import annotations

from functools import partial

from flask import Flask

from screening import settings as environment
from screening.detectors.registry import adopt_detectors
from screening.infra.audit.log import AuditLog
from screening.infra.instance_secret import secret_key
from screening.scoring.score import Probabilities, own_probabilities
from screening.settings import ROOT, Settings
from screening.web.api import detect_fraud, health, metrics, openapi, statistics, transactions
from screening.web.api.lean_path import LeanPath
from screening.web.api.streaming import StreamDesk
from screening.web.cli import audit as audit_commands
from screening.web.cli import backup as backup_commands
from screening.web.cli import batch as batch_commands
from screening.web.cli import commands, keys, report, stream, train, users
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

PAGES = (
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
)
COMMANDS = (
    users.users,
    detector_commands.detectors,
    keys.keys,
    train.train,
    report.report,
    ledger_commands.ledger,
    audit_commands.audit,
    batch_commands.batch,
    stream.command(StreamDesk),
    rule_commands.rules,
    backup_commands.backup,
    backup_commands.restore,
    backup_commands.move_database,
)


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
    mine = app.extensions["screening"] = Services.open(settings, probabilities)
    mine.users.prepare()
    adopt_detectors(mine.detectors, AuditLog(settings.instance))
    promoted, _ = mine.detectors.in_place_of(mine.detectors.default)
    if promoted is not mine.detectors.default:
        # the first payment mustn't wait for it
        promoted.prepare()
    for part in (errors, guard, sessions, static_files, contexts, commands):
        part.init_app(app)
    for page in PAGES:
        app.register_blueprint(page.blueprint)
    for command in COMMANDS:
        app.cli.add_command(command)
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
