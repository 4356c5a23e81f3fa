"""Look at the files of a folder as Spark's file systems have them: which there are, how they change, their columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urlsplit

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


ENDINGS = {"parquet": (".parquet",), "csv": (".csv", ".csv.gz", ".tsv", ".txt")}


def kind_of(name: str) -> str | None:
    """Return whether a file is one of Parquet or of CSV, by its name; ``None`` if it is neither."""
    lower = name.lower()
    return next((kind for kind, endings in ENDINGS.items() if lower.endswith(endings)), None)


def hidden(below: str) -> bool:
    """Return whether Spark leaves a file out by its path below the folder that is read."""
    return any(
        part.startswith(".") or (part.startswith("_") and "=" not in part) or part.endswith("._COPYING_")
        for part in below.split("/")
    )


def listed_files(spark: Any, path: str) -> tuple[FileMarks, Mapping[str, str]]:
    """Return the marks of all files below a path, which may have wildcards, without hidden ones; and the addresses of
    what the path names, by their own paths.
    """
    folder = java_of(spark).org.apache.hadoop.fs.Path(path)
    system = folder.getFileSystem(hadoop_of(spark))
    found, roots = {}, {}
    for each in system.globStatus(folder) or ():
        root = each.getPath().toUri().getPath()
        roots[root] = each.getPath().toString()
        files = system.listFiles(each.getPath(), True)
        while files.hasNext():
            file = files.next()
            name = file.getPath().toUri().getPath()
            if name == root or not hidden(name.removeprefix(root).lstrip("/")):
                found[name] = (file.getLen(), file.getModificationTime())
    return found, roots


@dataclass(frozen=True, slots=True)
class Standing:
    """The files of a folder as they stood when the folder was opened.

    Args:
        path: of the folder, as the operator calls it.
        files: addresses of those that are read.
        marks: of all that were there.
        roots: addresses of what the path names, which has wildcards if they are several, by their own paths.
    """

    path: str
    files: tuple[str, ...]
    marks: FileMarks
    roots: Mapping[str, str]

    @classmethod
    def of(cls, spark: Any, path: str) -> Self:
        """Return the files of a folder, or one file.

        Raises:
            BadFile: there is no such folder, or files lie in it that Spark wouldn't read.
        """
        from pyspark.errors import PySparkException

        marks, roots = listed_files(spark, path)
        if not roots:
            raise BadFile(
                "There is no such folder.", where=path, remedy="Give the path that the executors know."
            )
        try:
            # no job: Spark lists the files when it plans one
            files = sorted(spark.read.text(path).inputFiles())
        except PySparkException as problem:
            if not (problem.getCondition() or "").startswith("CONFLICTING_"):
                raise
            raise BadFile(
                f"Spark can't tell which columns the names of the folders are: {said_by_java(problem)}",
                where=path,
                remedy="Put all files at one depth, below folders of the same columns: day=2026-11-27/hour=13.",
            ) from problem
        found = cls(path, tuple(files), marks, roots)
        paths = {path_of(file): any("=" in name for name in found.folders_above(file)) for file in files}
        # where folders are columns, Spark lists the others and doesn't read them
        read = {each for each, in_column in paths.items() if in_column or not any(paths.values())}
        passed = sorted(each for each in marks.keys() - read if kind_of(each))
        if passed:
            raise BadFile(
                f"{len(passed):,} files would be left out, first {passed[0]}: Spark reads the files of a folder, or, "
                "where it has folders such as day=2026-11-27, those in them.",
                where=path,
                remedy="Move them, name their folders so, or give the folders as INPUT/*.",
            )
        return found

    def root_of(self, file: str) -> str:
        """Return the path of what a file was found by, from the file's address: a folder above it, or itself."""
        path = path_of(file)
        return max(
            (root for root in self.roots if path == root or path.startswith(root.rstrip("/") + "/")), key=len
        )

    def folders_above(self, file: str) -> set[str]:
        """Return the names of the folders between a file and what it was found by."""
        return set(path_of(file).removeprefix(self.root_of(file)).strip("/").split("/")[:-1])

    def check(self, spark: Any) -> list[str]:
        """Return a note on files that came meanwhile.

        Raises:
            Conflict: one that was read was changed, or is gone: what was said of the folder as a whole isn't what was
                scored.
        """
        (present, _), mine = listed_files(spark, self.path), set(map(path_of, self.files))
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
        new = [each for each in present.keys() - self.marks.keys() if each.rpartition(".")[2] in endings]
        return [f"{len(new):,} files came while the job ran: their rows aren't in it."] if new else []


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
    from pyspark.errors import PySparkException
    from pyspark.sql.types import NullType

    try:
        schema = spark.read.parquet(literal(address)).schema
    except PySparkException as problem:
        raise BadFile(
            f"Spark has no type for a column of {name_of(address)}: {said_by_java(problem)}",
            where=path_of(address),
            remedy='Write times as microseconds (in pandas: coerce_timestamps="us"), ids as texts, numbers as floats '
            "of 32 or 64 bits or as decimals of 38 digits at most.",
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
