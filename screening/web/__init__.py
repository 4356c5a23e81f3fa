"""The only room that knows Flask: puts the pages together and lends them what they work with."""

from __future__ import annotations

import logging

from flask import Flask

from screening import settings as environment
from screening.context import Recollections
from screening.database import Database
from screening.detector import Detectors
from screening.handed import HandedPasswords
from screening.history import History
from screening.mappings import Mappings
from screening.settings import ROOT, Settings
from screening.spool import Doorbell
from screening.trainings import Trainings
from screening.users import UserStore
from screening.web import (
    admin,
    api,
    auth,
    check,
    choosing,
    cli,
    cli_train,
    cli_users,
    detectors,
    errors,
    guard,
    health,
    mapping,
    pages,
    results,
    sessions,
    trainings,
    uploads,
    view,
)
from screening.web.services import Services

log = logging.getLogger("screening")


def create_app(settings: Settings | None = None) -> Flask:
    """The app, ready to serve.

    Raises:
        BadSetting, BadArtefact, NotReady: the start stops; the message is one line that says what to do.
    """
    settings = settings or Settings.from_environ()
    environment.make_instance(settings)
    app = Flask("screening", root_path=str(ROOT), template_folder="templates", static_folder="static")
    app.config.update(SECRET_KEY=environment.secret_key(settings))
    database = Database(settings.database_url)
    database.create_tables()
    app.extensions["screening"] = Services(
        settings=settings,
        database=database,
        users=UserStore(settings.users_file, minimum_length=settings.password_min_length),
        detectors=Detectors(settings),
        history=History(database),
        trainings=Trainings(database),
        doorbell=Doorbell(settings.instance),
        recollections=Recollections(settings.instance),
        mappings=Mappings(database),
        handed=HandedPasswords(database),
    )
    app.extensions["screening"].users.prepare()
    for part in (errors, guard, sessions, view, cli):
        part.init_app(app)
    for room in (
        pages,
        auth,
        uploads,
        results,
        api,
        health,
        admin,
        detectors,
        trainings,
        choosing,
        mapping,
        check,
    ):
        app.register_blueprint(room.blueprint)
    app.cli.add_command(cli_users.users)
    app.cli.add_command(cli_train.train)
    return app
