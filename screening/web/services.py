"""What the pages work with, held by the app and replaceable in tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from screening.context import Recollections
from screening.database import Database
from screening.detector import Detectors
from screening.handed import HandedPasswords
from screening.history import History
from screening.mappings import Mappings
from screening.settings import Settings
from screening.spool import Doorbell
from screening.trainings import Trainings
from screening.users import UserStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One of each, made by :func:`screening.web.create_app`."""

    settings: Settings
    database: Database
    users: UserStore
    detectors: Detectors
    history: History
    trainings: Trainings
    doorbell: Doorbell
    recollections: Recollections
    mappings: Mappings
    handed: HandedPasswords


def services() -> Services:
    """The services of the app that serves the present request."""
    return cast("Services", current_app.extensions["screening"])
