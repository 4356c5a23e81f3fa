"""DuckDB, which answers questions about the ledger's segments: locked down, and bounded in threads, memory and time."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from screening.ledger.filters import TooMuch

if TYPE_CHECKING:  # a worker's start needn't wait for it: it may be long until somebody asks
    import duckdb
    import pyarrow as pa

MEMORY = "160MB"
SECONDS = 10.0
"""So long a question may take."""


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
        """
        import duckdb

        with self._lock:
            connection = self._opened = self._opened or self._open()
            for name, table in (tables or {}).items():
                connection.register(name, table)
            timer = threading.Timer(self._seconds, connection.interrupt)
            timer.start()
            try:
                answer = connection.execute(query, dict(given))
                names = [column[0] for column in answer.description]
                return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
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
            finally:
                timer.cancel()
                for name in tables or {}:
                    connection.unregister(name)

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


def listed(paths: Sequence[Path]) -> list[str]:
    """Return files as ``read_parquet`` takes them."""
    return [str(path.resolve()) for path in paths]
