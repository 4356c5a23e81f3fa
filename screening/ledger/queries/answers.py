"""Keeps the answers to questions of the whole ledger until the ledger changes: dashboards ask the same ones often."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from screening.ledger.tables import Segment

MOST_ANSWERS = 64
# Rows of all cached answers together: some 10 MB in a process.
MOST_ROWS = 20_000
Rows = dict[str, list[dict[str, Any]]]


class AnswerCache:
    """The latest answers of one process, by what was asked of which state of the ledger."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Rows] = OrderedDict()
        self._rows = 0

    def get(self, key: Hashable) -> Rows | None:
        """Return a copy of an answer that is kept."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
        return copied(found)

    def put(self, key: Hashable, answer: Rows) -> None:
        """Keep an answer, and forget the ones that were longest not asked for. One with too many rows isn't kept."""
        count = count_rows(answer)
        if count > MOST_ROWS // 2:
            return
        with self._lock:
            before = self._kept.pop(key, None)
            self._rows += count - (count_rows(before) if before else 0)
            self._kept[key] = copied(answer)
            while self._rows > MOST_ROWS or len(self._kept) > MOST_ANSWERS:
                self._rows -= count_rows(self._kept.popitem(last=False)[1])


def state_of(segments: Sequence[Segment], tables: Sequence[pa.Table]) -> bytes:
    """Return what is the same for two states of the ledger only if every answer is.

    Args:
        segments: what is read. A segment's file never changes under its name and its hash.
        tables: the rows that appear in no segment yet, and the later labels.
    """
    import pyarrow as pa

    digest = hashlib.sha256()
    for segment in segments:
        digest.update(f"{segment.name} {segment.sha256}\n".encode())
    for table in tables:
        # written out, not its buffers: two views of one buffer are two tables
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        digest.update(sink.getvalue())
    return digest.digest()


def copied(answer: Mapping[str, list[dict[str, Any]]]) -> Rows:
    """Return a copy of an answer: whoever asked may change theirs."""
    return {name: [dict(row) for row in rows] for name, rows in answer.items()}


def count_rows(answer: Mapping[str, list[dict[str, Any]]]) -> int:
    """Return how many rows an answer has."""
    return sum(map(len, answer.values()))
