"""Read a folder of Parquet or CSV files as one table of Spark, its cells as they stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import groupby
from typing import Any

from screening.batch.cells import RAW
from screening.batch.files import (
    ENDINGS,
    ParquetGroup,
    Standing,
    common_types,
    kind_of,
    literal,
    name_of,
    parquet_groups,
    path_of,
)
from screening.batch.lines import CutCells, RaggedLines
from screening.batch.scoring import ADDED
from screening.batch.working import WORKING
from screening.errors import BadFile
from screening.intake.text import dialect
from screening.intake.text.parse import Layout
from screening.transactions.schema import normalise

EXACT = 2**53
"""Up to this a float64 holds every whole number."""


@dataclass(frozen=True, slots=True)
class InputFolder:
    """The rows of a folder.

    Args:
        table: Spark's; rows of CSV are texts, with ``RAW`` beside them.
        names: the columns that the files have.
        standing: the files as they are now.
        lacking: of columns that aren't in all files, the name of a file that hasn't it.
        cut: of CSV, finds rows whose last cell is cut off.
    """

    table: Any
    names: list[str]
    standing: Standing
    lacking: Mapping[str, str] = field(default_factory=dict)
    cut: CutCells | None = None

    def sample(self, rows: int) -> Any:
        """Return some of the first rows as an Arrow table, without those of CSV that are no rows."""
        table = self.table if RAW not in self.table.columns else self.table.where(f"{RAW} IS NULL")
        return table.select(*map(quoted, self.names)).limit(rows).toArrow()

    def check_last_cells(self) -> None:
        """Refuse rows of CSV whose last cell goes on in the next line: Spark takes what stands in the first.

        Raises:
            BadFile: there are some.
        """
        if self.cut is not None:
            self.cut.check(self.table.sparkSession, self.standing.path)

    @property
    def ragged(self) -> RaggedLines | None:
        """Return what takes ragged rows apart, of CSV."""
        if self.cut is None:
            return None
        # behind the columns of the files are those that the names of folders make
        return RaggedLines(self.cut.delimiter, tuple(self.names[: self.cut.cells]))

    def require(self, layout: Layout) -> None:
        """Check that all files have the columns that are read: where one hasn't, its cells would count as blank. Labels
        may be missing: they aren't known then.

        Raises:
            BadFile: one hasn't.
        """
        names = [layout.header[source.place] for source in layout.sources]
        lost = [name for name in names if name in self.lacking]
        if lost:
            raise BadFile(
                f"Column {lost[0]} is missing in {self.lacking[lost[0]]}, and other files have it.",
                where=self.standing.path,
                remedy="Write the column in all files, or screen those without it as a folder of their own.",
            )


def quoted(name: str) -> str:
    """Return a column's name as Spark takes it, whatever signs are in it."""
    return "`" + name.replace("`", "``") + "`"


def open_folder(spark: Any, path: str) -> InputFolder:
    """Return the rows of a folder, or of one file.

    Raises:
        BadFile: it isn't there, holds no files that are read here or several kinds of them, files whose columns don't
            fit together, or columns that the output needs for itself.
    """
    standing = Standing.of(spark, path)
    folder = (_parquet if _kind(standing.files, path) == "parquet" else _csv)(spark, path, standing)
    names = [name for name in folder.table.columns if name != RAW]
    taken = {normalise(name) for name in (*ADDED, RAW, *WORKING)}
    clash = [name for name in names if normalise(name) in taken]
    if clash:
        raise BadFile(
            f"Column {clash[0]} would be there twice: a job has one of this name of its own.",
            where=path,
            remedy=f"Rename it; these names are taken: {', '.join((*ADDED, RAW, *WORKING))}.",
        )
    return replace(folder, names=names)


def _parquet(spark: Any, path: str, standing: Standing) -> InputFolder:
    """Return the rows of Parquet files, with all columns that any of them has."""
    groups = parquet_groups(spark, standing.files)
    kinds = common_types(groups)
    refuse_twice(kinds, standing)
    lacking = {name: name_of(group.files[0]) for group in groups for name in kinds if name not in group.types}
    if len(groups) == 1:
        return InputFolder(spark.read.parquet(path), [], standing, {})
    tables = [table for each in groups for table in _group(spark, each, kinds, standing)]
    # folders such as day=2026-11-27 may be in some groups alone
    table = reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), tables)
    return InputFolder(table, [], standing, lacking)


def _group(spark: Any, group: ParquetGroup, kinds: Mapping[str, Any], standing: Standing) -> Iterator[Any]:
    """Yield the rows of files with the same columns, in the types of the whole folder; those below each root apart, as
    Spark takes the folders between a root and its files for columns.
    """
    from pyspark.sql import functions
    from pyspark.sql.types import DoubleType, LongType, NullType

    def cell(name: str, kind: Any) -> Any:
        if isinstance(group.types.get(name, NullType()), NullType):
            return functions.lit(None).cast(kind).alias(name)
        here = functions.col(quoted(name))
        if isinstance(group.types[name], LongType) and isinstance(kind, DoubleType):
            words = f"Column {name} has whole numbers that the floats of other files can't hold"
            here = functions.when(functions.abs(here) > EXACT, functions.raise_error(words)).otherwise(
                here.cast(kind)
            )
        return here.cast(kind).alias(name)

    for root, files in groupby(sorted(group.files, key=standing.root_of), standing.root_of):
        some = list(files)
        base = {} if root in map(path_of, some) else {"basePath": standing.roots[root]}
        table = spark.read.options(**base).parquet(*map(literal, some))
        of_folders = [
            functions.col(quoted(name))
            for name in table.columns
            if name not in kinds and name not in group.types
        ]
        yield table.select(*(cell(name, kind) for name, kind in kinds.items()), *of_folders)


def refuse_twice(names: Sequence[str] | Mapping[str, Any], standing: Standing) -> None:
    """Refuse a folder that has a column twice: in the files, or there and in the names of the folders above them.

    Raises:
        BadFile: it has.
    """
    twice = [name for name, count in Counter(list(names)).items() if count > 1]
    if twice:
        what = f"Column {twice[0]} stands twice." if twice[0].strip() else "Several columns have no name."
        raise BadFile(what, where=standing.path, remedy="Give each column a name of its own.")
    folders = {part for file in standing.files for part in standing.folders_above(file)}
    both = sorted(name for part in folders if (name := part.partition("=")[0]) in names and "=" in part)
    if both:
        raise BadFile(
            f"Column {both[0]} stands in the files, and in the names of folders ({both[0]}=…), which would take its "
            "place.",
            where=standing.path,
            remedy="Rename the column or the folders.",
        )


def _kind(files: Sequence[str], path: str) -> str:
    """Return whether a folder holds Parquet or CSV, by the names of its files."""
    kinds = set(map(kind_of, files))
    if len(kinds) == 1 and None not in kinds:
        return str(kinds.pop())
    known = ", ".join(ending for endings in ENDINGS.values() for ending in endings)
    if not files:
        raise BadFile("The folder holds no files.", where=path, remedy=f"Give a folder of {known} files.")
    odd = next((name for name in files if kind_of(name) is None), None)
    what = (
        "The folder holds files of both kinds."
        if odd is None
        else f"{odd.rpartition('/')[2]} isn't read here."
    )
    raise BadFile(
        what, where=path, remedy=f"Give a folder of one kind of files: {known}. Move the others away."
    )


def _csv(spark: Any, path: str, standing: Standing) -> InputFolder:
    """Return the rows of CSV files that have the same header, as texts."""
    from pyspark.sql.types import StringType, StructField, StructType

    line, first = first_line(spark, standing)
    if "\ufffd" in line:
        raise BadFile(
            "Its first line isn't UTF-8.", where=first, remedy="Export the files again as CSV UTF-8."
        )
    if dialect.preamble(line.encode() + b"\n")[0]:
        raise BadFile(
            "It begins with a line sep=, which Spark takes for the names of the columns.",
            where=first,
            remedy=f"Remove it from all files. {HEADER}",
        )
    named = dialect.read_header(line.encode(), dialect.delimiter_of(line.encode()))
    refuse_twice(named.header, standing)
    schema = StructType([StructField(name, StringType()) for name in [*named.header, RAW]])
    options = {
        "header": "true",
        "sep": named.delimiter,
        "quote": '"',
        "escape": '"',
        # headers are compared, file by file, and rows that aren't as long as the header are kept whole
        "enforceSchema": "false",
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": RAW,
        # else such rows aren't found where only some columns are asked for
        "columnPruning": "false",
    }
    table = spark.read.options(**options).schema(schema).csv(path)
    return InputFolder(table, [], standing, cut=CutCells(named.delimiter, len(named.header)))


def first_line(spark: Any, standing: Standing) -> tuple[str, str]:
    """Return the first line of the first file that has any, and that file's address: jobs of Spark leave empty ones.

    Raises:
        BadFile: all are empty, or it is blank.
    """
    for address in standing.files:
        lines = spark.read.text(literal(address)).limit(1).collect()
        if lines and not lines[0][0].strip():
            raise BadFile("It begins with an empty line.", where=address, remedy=HEADER)
        if lines:
            return lines[0][0], address
    raise BadFile("All files are empty.", where=standing.path, remedy=HEADER)


HEADER = "Each file's first line must name the columns, in the same order in all files."
