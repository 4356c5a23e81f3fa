"""DuckDB, which answers questions about the ledger's segments: locked down, and bounded in threads, memory and time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from screening.ledger.filters import TooMuch

# a worker's start needn't wait for it: it may be long until somebody asks
if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from numpy.typing import NDArray

Read = TypeVar("Read")
MEMORY = "160MB"
# A question that takes longer is interrupted, so that one reader doesn't hold all others up.
SECONDS = 10.0


class Unreadable(Exception):
    """DuckDB has no answer, by the fault of a file or of the question: who asks it finds out which."""


class Engine:
    """One database in memory that may read the ledger's folder and nothing else, and can't be told otherwise.

    Questions are asked one after the other: each uses one thread, and two at once would need twice the memory.
    """

    def __init__(self, folder: Path, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._folder = folder
        self._opened: duckdb.DuckDBPyConnection | None = None

    def ask(
        self, query: str, given: Mapping[str, Any], tables: Mapping[str, pa.Table] | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of an answer.

        Args:
            query: SQL with ``$name`` for what is given.
            given: the values.
            tables: tables in memory that the query names.

        Raises:
            TooMuch: it would take too long or too much memory.
            FileNotFoundError: a segment was removed meanwhile; ask again with the present manifest.
            Unreadable: a segment is damaged, or the query is wrong.
        """

        def rows(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
            answer = connection.execute(query, dict(given))
            names = [column[0] for column in answer.description]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

        return self._ask(tables or {}, rows)

    def columns(
        self, query: str, given: Mapping[str, Any], tables: Mapping[str, pa.Table]
    ) -> dict[str, NDArray[Any]]:
        """Return an answer of many rows as arrays (rows,), by column; none of them may have a null.

        Raises:
            TooMuch: as :meth:`ask`.
        """
        return self._ask(tables, lambda connection: arrays_of(connection.execute(query, dict(given))))

    def batches(
        self, query: str, given: Mapping[str, Any], tables: Mapping[str, pa.Table], rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Give an answer of any size in batches of some rows; nobody else is answered before the last one was taken.

        Raises:
            TooMuch, FileNotFoundError: as :meth:`ask`; the time counts from one batch to the next.
        """
        with self._asking(tables) as (connection, timed):
            with timed():
                reader = connection.sql(query, params=dict(given)).to_arrow_reader(rows)
            while True:
                with timed():
                    batch = next(reader, None)
                if batch is None:
                    return
                yield batch

    def _ask(
        self,
        tables: Mapping[str, pa.Table],
        read: Callable[[duckdb.DuckDBPyConnection], Read],
    ) -> Read:
        with self._asking(tables) as (connection, timed), timed():
            return read(connection)

    @contextmanager
    def _asking(
        self, tables: Mapping[str, pa.Table]
    ) -> Iterator[tuple[duckdb.DuckDBPyConnection, Callable[[], AbstractContextManager[None]]]]:
        """Give the database with some tables, for one question, and what bounds the time of a step."""
        with self._lock:
            connection = self._opened = self._opened or self._open()
            for name, table in tables.items():
                connection.register(name, table)
            try:
                yield connection, lambda: self._timed(connection)
            finally:
                for name in tables:
                    connection.unregister(name)

    @contextmanager
    def _timed(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        import duckdb

        timer = threading.Timer(self._seconds, connection.interrupt)
        timer.start()
        try:
            yield
        except duckdb.InterruptException:
            raise TooMuch(
                f"The answer takes longer than {self._seconds:g} seconds.",
                remedy="Ask for a shorter period.",
            ) from None
        except duckdb.OutOfMemoryException:
            raise TooMuch(
                f"The answer needs more than {MEMORY} of memory.", remedy="Ask for a shorter period."
            ) from None
        except duckdb.IOException as problem:
            raise FileNotFoundError(str(problem)) from problem
        except duckdb.Error as problem:
            raise Unreadable(str(problem)) from problem
        finally:
            timer.cancel()

    def _open(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        connection = duckdb.connect(
            ":memory:",
            config={
                "threads": 1,
                "memory_limit": MEMORY,
                "temp_directory": "",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )
        folder = str(self._folder.resolve()).replace("'", "''")
        for setting in (
            f"SET allowed_directories=['{folder}']",
            "SET enable_external_access=false",
            "SET lock_configuration=true",
        ):
            connection.execute(setting)
        return connection


def arrays_of(answer: duckdb.DuckDBPyConnection) -> dict[str, NDArray[Any]]:
    """Return the columns of an answer as arrays, by name."""
    return {name: np.asarray(column) for name, column in answer.fetchnumpy().items()}


def listed(paths: Sequence[Path]) -> list[str]:
    """Return files as ``read_parquet`` takes them."""
    return [str(path.resolve()) for path in paths]
