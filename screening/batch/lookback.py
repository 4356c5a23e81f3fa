"""Plan a detector that looks back: rows go to where all rows of their customer are, then to those of their terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from screening.batch.folders import InputFolder
from screening.batch.scoring import BroadcastValue
from screening.batch.stages import Begin, Tell, definition_of, grouped_by, steps_of, times_of
from screening.batch.working import (
    DEVIATIONS,
    FEATURES,
    KEY,
    LABEL,
    ORIGIN,
    TIME,
    VALUES,
    WRONG,
    CarriedRows,
    RowOrigin,
)
from screening.features import Past, carried_deviations
from screening.intake.text.parse import Layout

PARTITIONS_A_CORE = 2


@dataclass(frozen=True, slots=True)
class EarlierRows:
    """A folder whose rows are looked back on, and how it is read."""

    folder: InputFolder
    layout: Layout


@dataclass(frozen=True, slots=True)
class LookBackPlan:
    """Everything that the rows of a detector that looks back need on their way.

    Args:
        spark: the session.
        detector: the broadcast detector.
        layout: how the rows that are asked about are read.
        threshold: from which probability on a row is flagged.
    """

    spark: Any
    detector: BroadcastValue
    layout: Layout
    threshold: float

    def scored(self, folder: InputFolder, past: Past | None, earlier: EarlierRows | None, added: Any) -> Any:
        """Return the rows of a folder with what is said of them; nothing is computed yet.

        Args:
            folder: the rows that are asked about.
            past: rows that the ledger remembers.
            earlier: a folder of rows that were earlier.
            added: gives the output's schema for that of the folder.
        """
        steps = steps_of(definition_of(self.detector))
        own = folder.table.schema
        rows = self._begun(folder, self.layout, RowOrigin.ASKED)
        if past is not None:
            rows = rows.unionByName(self._remembered(past), allowMissingColumns=True)
        if earlier is not None:
            begun = self._begun(earlier.folder, earlier.layout, RowOrigin.FOLDER)
            needed = begun.select(*(field.name for field in _working(own).fields[len(own) :]))
            rows = rows.unionByName(needed, allowMissingColumns=True)
        count = max(
            PARTITIONS_A_CORE * self.spark.sparkContext.defaultParallelism,
            PARTITIONS_A_CORE * rows.rdd.getNumPartitions(),
        )
        told: tuple[str, ...] = ()
        for number, step in enumerate(steps):
            unite = number == 0 and (past is not None or earlier is not None)
            work = Tell(self.detector, step, told, unite, self.threshold)
            schema = added(own) if step.following is None else _working(own)
            # a number of partitions of its own: Spark then never puts a part of an entity elsewhere
            rows = rows.repartition(count, KEY).sortWithinPartitions(KEY, TIME)
            rows = rows.mapInArrow(work.__call__, schema)
            told += (step.entity,) if step.tells else ()
        return rows

    def _begun(self, folder: InputFolder, layout: Layout, origin: RowOrigin) -> Any:
        first = steps_of(definition_of(self.detector))[0].entity
        begin = Begin(self.detector, layout, origin, first)
        return folder.table.mapInArrow(begin.__call__, _working(folder.table.schema))

    def _remembered(self, past: Past) -> Any:
        """Return the rows of the ledger's past, with the working columns alone."""
        from pyspark.sql.types import StructType

        definition = definition_of(self.detector)
        count = len(past)
        carried = CarriedRows(
            own=pa.RecordBatch.from_arrays([], names=[]),
            keys=np.zeros(count, np.int64),
            time=times_of(definition, past.values),
            values=past.values,
            labels=past.labels,
            origin=np.full(count, RowOrigin.REMEMBERED, np.int8),
            deviations=np.full((count, len(carried_deviations(definition))), np.nan, np.float32),
            features=np.empty((0, 0), np.float32),
            problems=pa.nulls(count, pa.string()),
        )
        batch = grouped_by(definition, carried, steps_of(definition)[0].entity).written()
        return self.spark.createDataFrame(pa.Table.from_batches([batch]), _working(StructType([])))


def _working(own: Any) -> Any:
    """Return a schema of Spark with the working columns."""
    from pyspark.sql import types

    kinds = {
        KEY: types.LongType(),
        TIME: types.DoubleType(),
        VALUES: types.BinaryType(),
        LABEL: types.ByteType(),
        ORIGIN: types.ByteType(),
        DEVIATIONS: types.BinaryType(),
        FEATURES: types.BinaryType(),
        WRONG: types.StringType(),
    }
    return types.StructType([*own.fields, *(types.StructField(name, kind) for name, kind in kinds.items())])
