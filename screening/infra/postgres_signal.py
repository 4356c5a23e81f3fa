"""Signals by PostgreSQL's NOTIFY and LISTEN: they are heard on every machine that uses the database.

A process listens with one connection, whatever number of its threads wait. It counts what it hears; whoever listens
waits for the count to change.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from screening.infra.postgresql import alone

log = logging.getLogger(__name__)
# So long a listener waits for its connection; without one it is woken when there is one.
CONNECT_SECONDS = 5.0
# Seconds between two looks of the listening thread whether anybody still wants it, and the connection stands.
LOOK_SECONDS = 2.0
# After so long a connection that was lost is made again.
AGAIN_SECONDS = 1.0


class Bell:
    """A signal with a name, in one database.

    Args:
        engine: of the database.
        name: of the channel, a word of small letters and underscores.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._connected = threading.Event()
        self.changed = threading.Condition()
        self.count = 0
        """Number of times that it was heard."""

    def ring(self) -> None:
        """Wake all who listen.

        Raises:
            OSError: the database can't be told. Those who listen look by themselves after a while.
        """
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(f"NOTIFY {self._name}")
        except SQLAlchemyError as problem:
            raise OSError(f"the database isn't told: {getattr(problem, 'orig', problem)}") from problem

    def listen(self) -> BellListener:
        """Return a listener that hears what is rung from now on. It is woken, too, when a connection is made again."""
        with self._lock:
            if self._thread is None:
                listening = (weakref.ref(self), self._engine, self._name)
                self._thread = threading.Thread(target=_listen, args=listening, name=self._name, daemon=True)
                self._thread.start()
        self._connected.wait(CONNECT_SECONDS)
        return BellListener(self)

    def heard(self) -> None:
        """Wake those who listen in this process."""
        with self.changed:
            self.count += 1
            self.changed.notify_all()
        self._connected.set()


class BellListener:
    """One who listens to a bell, from the moment it was made."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._heard = bell.count

    def wait(self, seconds: float) -> bool:
        """Return ``True`` when it rang since the last call, or ``False`` after ``seconds``."""
        bell = self._bell
        with bell.changed:
            found = bell.changed.wait_for(lambda: bell.count != self._heard, seconds)
            self._heard = bell.count
        return found


def _listen(of: weakref.ref[Bell], engine: Engine, name: str) -> None:
    """Listen for as long as anybody has the bell. What was rung while there was no connection may be anything."""
    lost = False
    while of() is not None:
        connection = None
        try:
            connection = alone(engine)  # the driver's, and nobody else's
            connection.execute(f"LISTEN {name}")
            lost = False
            _hear(of, connection)
        except (SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as problem:
            if not lost:
                said = getattr(problem, "orig", problem)
                log.warning("signals aren't heard, and what waits for one waits a second longer: %s", said)
            lost = True
        except Exception:  # a fault of ours mustn't end the thread
            log.exception("signals aren't heard for a moment")
        finally:
            if connection is not None:
                connection.close()
        if of() is not None:
            time.sleep(AGAIN_SECONDS)


def _hear(of: weakref.ref[Bell], connection: Any) -> None:
    """Count what is heard, beginning with the connection itself."""
    heard = True
    while (bell := of()) is not None:
        if heard:
            bell.heard()
        del bell
        heard = any(True for _ in connection.notifies(timeout=LOOK_SECONDS, stop_after=1))
        if not heard:
            connection.execute("SELECT 1")
