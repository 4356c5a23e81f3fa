"""Look at the files of a folder as Spark's file systems have them: which there are, how they change, their columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from screening.batch.spark import hadoop_of, java_of, said_by_java
from screening.errors import BadFile, Conflict

AT_ONCE = 8
"""Footers that are read at once: each is a round trip to where the file lies."""
GLOB = re.compile(r"([\\{}\[\]*?])")
NOTHING = re.compile(r"^  optional \w+(?:\(\d+\))? (.+?) \((?:UNKNOWN|NULL)\);$", re.MULTILINE)
"""A column of a Parquet file in which nothing stands: it has a type by accident."""
FileMarks = Mapping[str, tuple[int, int]]
"""Sizes and times of change of files, by their paths."""


def path_of(address: str) -> str:
    """Return the path in a file's address as Spark gives it, without scheme and host."""
    return unquote(urlsplit(address).path)


def name_of(address: str) -> str:
    """Return the name of a file by its address."""
    return path_of(address).rpartition("/")[2]


def literal(address: str) -> str:
    """Return a file's address as Spark takes it for this one file, whatever signs are in its name."""
    return GLOB.sub(r"\\\1", unquote(address))


def marks_of(spark: Any, path: str) -> FileMarks:
    """Return the marks of all files below a path, which may have wildcards."""
    folder = java_of(spark).org.apache.hadoop.fs.Path(path)
    system = folder.getFileSystem(hadoop_of(spark))
    found = {}
    for root in system.globStatus(folder) or ():
        files = system.listFiles(root.getPath(), True)
        while files.hasNext():
            each = files.next()
            found[each.getPath().toUri().getPath()] = (each.getLen(), each.getModificationTime())
    return found


@dataclass(frozen=True, slots=True)
class Standing:
    """The files of a folder as they stood when the folder was opened.

    Args:
        path: of the folder, as the operator calls it.
        files: addresses of those that are read.
        marks: of all that were there.
    """

    path: str
    files: tuple[str, ...]
    marks: FileMarks

    def check(self, spark: Any) -> list[str]:
        """Return a note on files that came meanwhile.

        Raises:
            Conflict: one that was read was changed, or is gone: what was said of the folder as a whole isn't what was
                scored.
        """
        present, mine = marks_of(spark, self.path), set(map(path_of, self.files))
        changed = sorted(each for each in mine if present.get(each) != self.marks.get(each))
        if changed:
            raise Conflict(
                f"{len(changed):,} of {len(mine):,} files were changed or removed while the job ran, first "
                f"{name_of(changed[0])}: the folder was looked at and scored in several passes, and they needn't have "
                "read the same rows.",
                where=self.path,
                remedy="Let nobody write there while a job runs; remove the output, and run it again.",
            )
        endings = {each.rpartition(".")[2] for each in mine}
        new = [
            each
            for each in present.keys() - self.marks.keys()
            if each.rpartition(".")[2] in endings and not each.rpartition("/")[2].startswith((".", "_"))
        ]
        return [f"{len(new):,} files came while the job ran: their rows aren't in it."] if new else []


@dataclass(frozen=True, slots=True)
class CutCells:
    """Finds lines of CSV in whose last cell a line break stands.

    Such a line has as many cells as the header, and a part of the last one. (Where it stands in another cell, the line
    has fewer, and is rejected.)

    Args:
        delimiter: between cells.
        cells: in a row.
    """

    delimiter: str
    cells: int

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield one row for each batch that has such lines, with their number."""
        for batch in batches:
            count = sum(map(self.is_cut, batch.column(0).to_pylist()))
            if count:
                yield pa.RecordBatch.from_arrays([pa.array([count], pa.int64())], names=["lines"])

    def is_cut(self, line: str) -> bool:
        """Return whether a line is one."""
        try:
            list(csv.reader([line], delimiter=self.delimiter, strict=True))
        except csv.Error as problem:
            ends = "unexpected end" in str(problem)
            return ends and len(next(csv.reader([line], delimiter=self.delimiter))) == self.cells
        return False

    def check(self, spark: Any, path: str) -> None:
        """Refuse a folder that has some.

        Raises:
            BadFile: it has.
        """
        quotes = "length(value) - length(replace(value, '\"', ''))"
        lines = spark.read.text(path).where(f"({quotes}) % 2 = 1").select("value")
        found = lines.mapInArrow(self.__call__, "lines long").collect()
        if found:
            raise BadFile(
                f"{sum(row[0] for row in found):,} rows have a line break in their last cell.",
                where=path,
                remedy="A row of a folder is one line. Write line breaks as spaces, or the folder as Parquet.",
            )


@dataclass(frozen=True, slots=True)
class ParquetGroup:
    """Files of a folder that have the same columns.

    Args:
        files: their addresses.
        types: Spark's types of the columns, by name, in order; ``NullType`` where nothing stands in a column.
    """

    files: tuple[str, ...]
    types: Mapping[str, Any]


def parquet_groups(spark: Any, files: Sequence[str]) -> list[ParquetGroup]:
    """Return the files of a folder by the columns that they have, as each file itself says.

    Spark takes the columns of one file for those of all.

    Raises:
        BadFile: one is no Parquet file.
    """
    from py4j.protocol import Py4JError

    java, hadoop = java_of(spark), hadoop_of(spark)
    parquet = java.org.apache.parquet.hadoop

    def schema_of(address: str) -> str:
        file = java.org.apache.hadoop.fs.Path(java.java.net.URI(address))
        reader = parquet.ParquetFileReader.open(parquet.util.HadoopInputFile.fromPath(file, hadoop))
        try:
            return str(reader.getFileMetaData().getSchema().toString())
        finally:
            reader.close()

    def told(address: str) -> tuple[str | None, str]:
        try:
            return schema_of(address), ""
        except Py4JError as problem:
            return None, said_by_java(problem)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(told, files))
    groups: dict[str, list[str]] = {}
    for address, (schema, why) in zip(files, found, strict=True):
        if schema is None:
            raise BadFile(
                f"{name_of(address)} can't be read as Parquet: {why}",
                where=path_of(address),
                remedy="It may be cut off, or still being written. Write it again, or move it away.",
            )
        groups.setdefault(schema, []).append(address)
    return [
        ParquetGroup(tuple(each), _types(spark, each[0], set(NOTHING.findall(schema))))
        for schema, each in groups.items()
    ]


def _types(spark: Any, address: str, nothing: set[str]) -> dict[str, Any]:
    from pyspark.errors import AnalysisException
    from pyspark.sql.types import NullType

    try:
        schema = spark.read.parquet(literal(address)).schema
    except AnalysisException as problem:
        raise BadFile(
            f"Spark has no type for a column of {name_of(address)}: {said_by_java(problem)}",
            where=path_of(address),
            remedy='Write times as microseconds (in pandas: coerce_timestamps="us"), ids as texts.',
        ) from problem
    return {field.name: NullType() if field.name in nothing else field.dataType for field in schema}


def common_types(groups: Iterable[ParquetGroup]) -> dict[str, Any]:
    """Return a type for each column of all files, which holds the values of each of them exactly.

    Raises:
        BadFile: there is none for a column.
    """
    from pyspark.sql.types import IntegerType, NullType

    found: dict[str, tuple[Any, str]] = {}
    for group in groups:
        for name, kind in group.types.items():
            before, where = found.get(name, (kind, group.files[0]))
            both = wider(before, kind)
            if both is None:
                raise BadFile(
                    f"Column {name} is {before.simpleString()} in {name_of(where)} and {kind.simpleString()} in "
                    f"{name_of(group.files[0])}.",
                    where=f"column {name}",
                    remedy="Write all files with one type for it, or screen them as folders of their own.",
                )
            found[name] = both, where if both == before else group.files[0]
    # Spark takes a column of nothing for one of numbers
    return {name: IntegerType() if isinstance(kind, NullType) else kind for name, (kind, _) in found.items()}


def wider(one: Any, other: Any) -> Any | None:
    """Return the type that holds the values of two types; ``None`` where there is none."""
    from pyspark.sql import types

    if one == other or isinstance(other, types.NullType):
        return one
    if isinstance(one, types.NullType):
        return other
    whole = (types.ByteType, types.ShortType, types.IntegerType, types.LongType)
    parts = (types.FloatType, types.DoubleType)
    kinds = type(one), type(other)
    if all(kind in whole for kind in kinds):
        return max(one, other, key=lambda kind: whole.index(type(kind)))
    return types.DoubleType() if all(kind in whole + parts for kind in kinds) else None
