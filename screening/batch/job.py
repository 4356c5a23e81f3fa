"""Screen a folder on Spark: read it, score it where its rows are, and write all of it once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from screening.batch.entering import BatchEntry, Entering
from screening.batch.folders import InputFolder, open_folder
from screening.batch.lookback import EarlierRows, LookBackPlan
from screening.batch.observing import Observe, observe
from screening.batch.scoring import (
    FLAG,
    FLAGGED,
    NOT_FLAGGED,
    PROBABILITY,
    PROBLEMS,
    REASONS,
    REJECTED,
    RESULT,
    ScoreAlone,
)
from screening.batch.settling import SettledForms, settle, unusable_label
from screening.batch.spark import hadoop_of, java_of, quiet, reading, said_by_java, send_code, unread_file
from screening.detectors.detector import Detector
from screening.errors import BadFile, Conflict, ScreeningError
from screening.intake import NOTHING_SAID, Answers, TableHead
from screening.intake.text.csv_file import check_doubtful
from screening.intake.text.rows import without_label
from screening.ledger.history import DetectorHistory
from screening.transactions.schema import ColumnContract

log = logging.getLogger(__name__)


class BatchFailed(ScreeningError):
    """Spark gave up a job; nothing of it counts."""

    status = 500
    title = "The job failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOrder:
    """A job: a folder in, a folder out.

    Args:
        source, target: paths or URLs that Spark knows; ``target`` isn't there yet.
        detector: what scores.
        choose: gives what picks the contract by a header.
        threshold: from which probability on a row is flagged.
        check: looks at what all rows tell, and gives notes; may raise to refuse the folder.
        answers: what was said of columns that can be read in two ways.
        context: of a detector that looks back, what the ledger remembers; ``None`` for nothing.
        past: a folder of earlier rows, which are looked back on.
        entering: whose decisions they are in the ledger; ``None``: they aren't entered there.
    """

    source: str
    target: str
    detector: Detector
    choose: Callable[[], Callable[[TableHead], ColumnContract]]
    threshold: float
    check: Callable[[SettledForms], Sequence[str]] = lambda _settled: ()
    answers: Answers = NOTHING_SAID
    context: DetectorHistory | None = None
    past: str | None = None
    entering: Entering | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary:
    """Numbers of rows that were written."""

    flagged: int
    not_flagged: int
    rejected: int
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Number of all rows."""
        return self.flagged + self.not_flagged + self.rejected


def run(spark: Any, order: BatchOrder) -> BatchSummary:
    """Do a job, and return what was written.

    Raises:
        BadFile: the folder can't be screened.
        Conflict: its files changed meanwhile, or the output has more or fewer rows; the output says that it isn't
            complete.
        BatchFailed: Spark gave up.
    """
    with quiet(), reading(spark), plainly():
        send_code(spark)
        require_free(spark, order.target)
        folder = open_folder(spark, order.source)
        earlier = None if order.past is None else open_folder(spark, order.past)
        settled = settle(folder, order.choose, order.answers)
        checked = order.check(settled)
        entry = entry_of(order, settled)
        scored, notes = _scored(spark, folder, earlier, settled, order)
        # one write, and one commit at its end: each row once, whichever executor is lost
        scored.write.mode("errorifexists").partitionBy(RESULT).parquet(order.target)
        try:
            notes += [note for each in (folder, earlier) if each for note in each.standing.check(spark)]
            counted = spark.read.parquet(order.target).groupBy(RESULT).count().collect()
            counts = {row[0]: row[1] for row in counted}
            check_count(sum(counts.values()), settled.told.rows + settled.told.ragged, order.target)
        except Conflict:
            withdraw(spark, order.target)
            raise
        if entry is not None:
            flagged = counts.get(FLAGGED, 0)
            notes += entry.enter(spark, order.target, flagged + counts.get(NOT_FLAGGED, 0), flagged)
            entry.remember(folder)
        return BatchSummary(
            flagged=counts.get(FLAGGED, 0),
            not_flagged=counts.get(NOT_FLAGGED, 0),
            rejected=counts.get(REJECTED, 0),
            notes=(*settled.notes, *checked, *notes),
        )


def entry_of(order: BatchOrder, settled: SettledForms) -> BatchEntry | None:
    """Return what is entered in the ledger; ``None`` where nothing is."""
    if order.entering is None:
        return None
    return BatchEntry(
        entering=order.entering,
        detector=order.detector,
        threshold=order.threshold,
        source=order.source,
        settled=settled,
    )


def _scored(
    spark: Any, folder: InputFolder, earlier: InputFolder | None, settled: SettledForms, order: BatchOrder
) -> tuple[Any, list[str]]:
    """Return the rows with what is said of them, and notes; nothing is computed yet but what must be known first."""
    sent, layout = spark.sparkContext.broadcast(order.detector), settled.layout
    if not order.detector.vectorizer.looks_back:
        alone = ScoreAlone(sent, layout, order.threshold)
        table = folder.table.mapInArrow(alone.__call__, output_schema(folder.table.schema))
        unused = f"{order.detector.name} decides on each row alone: {order.past} isn't read."
        return table, [] if earlier is None else [unused]
    before, notes = (None, []) if earlier is None else look_at_past(earlier, settled)
    told = settled.told
    past = None if order.context is None else order.context.between(told.first, told.last)
    if order.context is not None and past is not None:
        notes.append(f"{len(past):,} earlier rows were taken into account, {order.context.told}.")
    plan = LookBackPlan(spark, sent, layout, order.threshold)
    return plan.scored(folder, past, before, output_schema), notes


def look_at_past(earlier: InputFolder, settled: SettledForms) -> tuple[EarlierRows, list[str]]:
    """Return the rows of a folder of earlier ones as they are looked back on, and notes.

    Raises:
        BadFile: it hasn't the columns of INPUT, or its cells are written in another way.
    """
    path, layout = earlier.standing.path, settled.of_past(earlier)
    told = observe(earlier, Observe(layout, surveys=False, reads=True)).told
    assert told is not None
    check_doubtful(told.doubtful, told.rows, list(told.problems), path)
    notes = []
    if told.unread:
        notes.append(f"{told.unread:,} rows of {path} can't be read, and aren't looked back on.")
    if not told.labelled:
        notes.append(f"In {path}: {unusable_label(layout)}")
        layout = without_label(layout)
    return EarlierRows(earlier, layout), notes


def require_free(spark: Any, target: str) -> None:
    """Check that an output isn't there yet: Spark itself would say so when all rows have been looked at.

    Raises:
        BadFile: it is.
    """
    place = java_of(spark).org.apache.hadoop.fs.Path(target)
    if place.getFileSystem(hadoop_of(spark)).exists(place):
        raise BadFile(
            "The output is there already; nothing was changed.",
            where=target,
            remedy="Give another folder, or remove this one.",
        )


def check_count(written: int, seen: int, target: str) -> None:
    """Check that an output has as many rows as were looked at.

    Raises:
        Conflict: it has more or fewer.
    """
    if written != seen:
        raise Conflict(
            f"{written:,} rows were written, and INPUT has {seen:,}.",
            where=target,
            remedy="Let no other job write there, and nobody write to INPUT; remove the output, and run it again.",
        )


def withdraw(spark: Any, target: str) -> None:
    """Take the mark from an output that says that it is complete: nothing of it counts."""
    mark = java_of(spark).org.apache.hadoop.fs.Path(f"{target}/_SUCCESS")
    mark.getFileSystem(hadoop_of(spark)).delete(mark, False)


def output_schema(schema: Any) -> Any:
    """Return a schema of Spark with the columns that the output adds."""
    from pyspark.sql.types import ArrayType, BooleanType, FloatType, StringType, StructField, StructType

    texts = ArrayType(StringType())
    added = {
        PROBABILITY: FloatType(),
        FLAG: BooleanType(),
        REASONS: texts,
        PROBLEMS: texts,
        RESULT: StringType(),
    }
    return StructType([*schema.fields, *(StructField(name, kind) for name, kind in added.items())])


@contextmanager
def plainly() -> Iterator[None]:
    """Say in one line what Spark says in a hundred; the log has all of it."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as problem:
        log.exception("Spark gave up a job")
        raise unread_file(problem) or BatchFailed(
            f"Spark gave up: {said_by_java(problem)}",
            remedy="Spark's log has the whole message. No output counts.",
        ) from problem
