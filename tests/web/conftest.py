"""A team of every role, written into users.txt as an operator would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from screening.accounts.passwords import Hasher
from screening.accounts.users_text import Account, write
from screening.settings import Settings
from screening.web.app_factory import create_app
from tests.conftest import Person
from tests.served import PASSWORD

TEAM = {"ada": "admin", "ana": "analyst", "mia": "manager", "otto": "auditor", "dora": "analyst"}
"""Username and role; dora is disabled."""


@pytest.fixture
def team(app: Flask, settings: Settings) -> dict[str, Account]:
    """The accounts of TEAM, in the file of the app."""
    kept = Hasher().hash(PASSWORD)
    accounts = {
        name: Account(name, f"{name}@bank.example", kept, role, active=name != "dora")
        for name, role in TEAM.items()
    }
    lines = "".join(write(account) + "\n" for account in accounts.values())
    settings.users_file.write_text("# the team\n" + lines, encoding="utf-8")
    return accounts


@pytest.fixture
def login(app: Flask, team: dict[str, Account]) -> Callable[[str], Person]:
    """Logs one of the team in through the page."""
    return lambda name: Person(app, name).log_in()


@pytest.fixture
def nobody(app: Flask) -> Person:
    """A visitor."""
    return Person(app, "nobody")


@pytest.fixture
def app_with(settings: Settings) -> Callable[..., Flask]:
    """The same app with other settings."""

    def build(**changes: Any) -> Flask:
        return create_app(replace(settings, **changes))

    return build
