"""Services of the pages, held by the app and replaceable in tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from flask import current_app

from screening.accounts.api_keys import ApiKey, ApiKeys
from screening.accounts.key_ring import KeyRing
from screening.accounts.notifications import Notifications
from screening.accounts.proposals import Proposals
from screening.accounts.temporary_passwords import TemporaryPasswords
from screening.accounts.user_store import UserStore
from screening.bucket.storage import Storage
from screening.detectors.registry import Detectors
from screening.detectors.states import DetectorStates
from screening.infra.database import Database
from screening.infra.host_locks import share
from screening.infra.local_folder import local_or
from screening.infra.wake_signal import Signals
from screening.ledger.history import HistoryCache
from screening.ledger.ledger import Ledger
from screening.monitoring.request_metrics import RequestMetrics
from screening.reports.documents import DocumentFolder, Documents
from screening.review.leaving import detach_owner
from screening.rules.ruleset import RuleBook
from screening.scoring.applied_thresholds import AppliedThresholds
from screening.scoring.places import AddressTables
from screening.scoring.score import Probabilities
from screening.settings import Settings
from screening.training.trainings import TrainingFolder, Trainings
from screening.uploads.history_policy import HistoryPolicy
from screening.uploads.instance_check import claim, is_new
from screening.uploads.questions.column_mappings import Mappings
from screening.uploads.screenings import Screenings
from screening.uploads.storage_quota import StorageQuota, Store
from screening.uploads.upload_folder import UploadFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One of each, opened by :func:`screening.web.app_factory.create_app`."""

    settings: Settings
    database: Database
    users: UserStore
    detectors: Detectors
    states: DetectorStates
    """States of the detectors that were trained here."""
    screenings: Screenings
    trainings: Trainings
    documents: Documents
    """Reports that are made as jobs."""
    quota: StorageQuota
    """Limit of the disk space of an account's files."""
    signals: Signals
    history_cache: HistoryCache
    ledger: Ledger
    places: AddressTables
    """Of which country transactions are."""
    rules: RuleBook
    """Rules beside the net."""
    thresholds: AppliedThresholds
    """From which probability on each detector flags."""
    notifications: Notifications
    proposals: Proposals
    """Changes that wait for somebody else's approval."""
    policy: HistoryPolicy
    """Policy of whose earlier rows count for whom."""
    mappings: Mappings
    temporary_passwords: TemporaryPasswords
    keys: ApiKeys
    key_ring: KeyRing
    requests: RequestMetrics
    """Counters of this process's answers."""
    probabilities: Probabilities
    """Function that gives the probabilities of some rows."""

    @classmethod
    def open(cls, settings: Settings, probabilities: Probabilities) -> Services:
        """Open the databases and the folder of one instance.

        Args:
            settings: of the instance, whose folder is there.
            probabilities: who is asked for the probabilities of some rows.

        Raises:
            BadSetting, NotReady: the start stops; the message is one line that says what to do.
        """
        database = Database(settings.database_url)
        share(settings, database.engine)
        database.create_tables()
        accounts = UserStore(settings.users_file, minimum_length=settings.password_min_length)
        if is_new(settings.instance, database):
            accounts.begin()
        claim(settings.instance, database)
        signals = Signals.of(settings.instance, database)
        screenings, states = Screenings(database, signals), DetectorStates(database)
        trainings, documents = Trainings(database, signals), Documents(database, signals)
        stores = [
            Store(screenings, lambda one: UploadFolder(settings.instance, one).path),
            Store(trainings, lambda one: TrainingFolder(settings.instance, one).path),
            Store(documents, lambda one: DocumentFolder(settings.instance, one).path, kept=True),
        ]
        ledger = Ledger.open(
            settings.instance,
            settings.database_url,
            settings.ledger_durability,
            settings.state_url,
            Storage.of(settings),
        )
        return cls(
            settings=settings,
            database=database,
            users=accounts,
            detectors=Detectors(settings, states),
            states=states,
            screenings=screenings,
            trainings=trainings,
            documents=documents,
            quota=StorageQuota(stores, settings.stored_per_account),
            signals=signals,
            history_cache=HistoryCache(),
            policy=HistoryPolicy(settings, screenings, ledger.velocity, ledger.jobs),
            mappings=Mappings(database),
            ledger=ledger,
            places=AddressTables(settings.ip_countries),
            rules=RuleBook(database),
            thresholds=AppliedThresholds(database, settings.threshold),
            notifications=Notifications(database),
            proposals=Proposals(database, settings.proposal_days),
            temporary_passwords=TemporaryPasswords(database),
            keys=ApiKeys(database, accounts),
            key_ring=KeyRing(
                database,
                accounts,
                settings.instance,
                of_host=local_or(settings.of_host),
                host=settings.host_name if settings.several else None,
            ),
            requests=RequestMetrics(),
            probabilities=probabilities,
        )

    def part_from_namesake(self, username: str, *, by: str) -> Sequence[ApiKey]:
        """Give a new account nothing of an earlier one that had its name; returns the keys that end with this.

        Screenings and decisions stay with the earlier one, whose keys would act as the new account.
        """
        self.screenings.detach_owner(username)
        self.mappings.detach_owner(username)
        self.states.detach_owner(username)
        for document_id in self.documents.detach_owner(username):
            DocumentFolder(self.settings.instance, document_id).remove()
        self.ledger.detach_owner(username)
        self.notifications.detach_owner(username)
        detach_owner(self.database, username)
        return self.keys.revoke_of(username, by=by)


def services() -> Services:
    """Return the services of the app that serves the present request."""
    return cast("Services", current_app.extensions["screening"])
