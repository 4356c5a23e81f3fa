"""Folders through Spark: the numbers of the file path, each row once, and what can't be read told of.

All tests share one Spark session, which takes seconds to start.
"""

from __future__ import annotations

import gzip
import re
import shutil
import socket
from collections.abc import Hashable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import Result
from flask import Flask

from screening.batch import spark as sparks
from screening.batch.decisions import read_decisions
from screening.batch.files import Standing
from screening.batch.folders import open_folder
from screening.batch.job import BatchOrder
from screening.batch.job import run as run_job
from screening.batch.settling import SettledForms
from screening.detectors.vectorizer import History
from screening.errors import BadFile, Conflict, NotFound, NotReady
from screening.features import Past
from screening.ledger.filters import DecisionFilter
from screening.ledger.tables import API, BATCH, FILE
from screening.settings import ROOT, Settings
from screening.transactions.json_records import from_frame
from screening.transactions.schema import CellKind
from screening.uploads.questions.detector_choice import DetectorChoice
from screening.web.services import Services
from tests.conftest import Person
from tests.screening.ledger.ledger_rows import table
from tests.web.test_batch_rows import entries
from utils import get_probabilities


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    try:
        sparks.require_spark()
    except NotReady as problem:
        pytest.skip(str(problem))
    conf = {
        "spark.sql.shuffle.partitions": "3",
        "spark.driver.memory": "512m",
        # jobs of seconds aren't worth compiling for
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.adaptive.enabled": "false",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    with sparks.session("local[2]", conf) as session:
        yield session


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Everybody's files count for the command line, too."""
    return replace(settings, history_policy="all")


def run(app: Flask, *words: object) -> Result:
    return app.test_cli_runner().invoke(args=list(map(str, words)))


def screened(app: Flask, file: Path, *words: str) -> pd.DataFrame:
    """What `screen` says of a file, row by row."""
    out = file.with_suffix(".scores.csv")
    done = run(app, "screen", file, "-o", out, *words)
    assert done.exit_code == 0, done.output
    return pd.read_csv(out)


def cards(rows: int) -> pd.DataFrame:
    """Rows as those of the sample, each value a little moved, with a number of its own."""
    sample = pd.read_csv(ROOT / "transactions_data.csv").drop(columns="Class")
    draw = np.random.default_rng(3)
    found: pd.DataFrame = sample.iloc[draw.integers(0, len(sample), rows)].reset_index(drop=True)
    found = found * draw.normal(1, 0.01, found.shape)
    found.insert(0, "number", np.arange(rows))
    return found


def written(path: Path) -> pd.DataFrame:
    """What a job wrote, in the order of the rows' numbers."""
    found = pd.read_parquet(path)
    ordered: pd.DataFrame = found.iloc[found["number"].astype(int).argsort()].reset_index(drop=True)
    return ordered


def test_a_detector_that_does_not_look_back_gives_what_a_file_gets(
    app: Flask, spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.batch.settling.SAMPLE_ROWS", 2000)
    rows = cards(3000)
    folder, file = tmp_path / "in", tmp_path / "all.csv"
    folder.mkdir()
    rows.to_csv(file, index=False)
    for number, part in enumerate(np.array_split(np.arange(len(rows)), 3)):
        rows.iloc[part].to_parquet(folder / f"{number}.parquet")
    done = run(app, "batch", folder, tmp_path / "out", "--detector", "card")
    assert done.exit_code == 0, done.output

    found, expected = written(tmp_path / "out"), screened(app, file)
    assert found["number"].astype(int).tolist() == expected["number"].tolist()
    np.testing.assert_allclose(found["fraud_probability"], expected["fraud_probability"], rtol=0, atol=1e-7)
    assert found["flagged"].tolist() == expected["flagged"].tolist()
    assert 0 < found["flagged"].sum() < len(rows)
    assert f"3,000 rows, {found['flagged'].sum():,} flagged, 0 rejected" in done.output
    assert found["reasons"][found["flagged"]].map(len).min() >= 1
    assert found["reasons"][~found["flagged"].astype(bool)].isna().all()


def test_a_folder_is_asked_what_one_file_with_all_its_rows_is_asked(
    app: Flask, spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first rows are plain, and the later ones have cents: the job is refused in a file's very words. Where the
    first ones leave open what the later ones settle, it isn't.
    """
    monkeypatch.setattr("screening.batch.settling.SAMPLE_ROWS", 100)
    rows = cards(600).map(lambda number: f"{number:.2f}").assign(number=np.arange(600).astype(str))
    cents, settled = rows.copy(), rows.copy()
    cents.loc[300:, "Amount"] = rows["Amount"][300:].map(lambda text: str(round(float(text) * 100)))
    settled.loc[:150, "Amount"] = "12.250"
    settled.loc[:150, "V1"] = "1"
    for name, given, words in (
        ("cents", cents, "as if one system wrote 12.50 and another 1250"),
        ("settled", settled, None),
    ):
        folder, file = tmp_path / name, tmp_path / f"{name}.csv"
        folder.mkdir()
        given.to_csv(file, index=False)
        for number, part in enumerate(np.array_split(np.arange(len(given)), 3)):
            given.iloc[part].to_csv(folder / f"{number}.csv", index=False)
        done = run(app, "batch", folder, tmp_path / f"{name}-out", "--detector", "card")
        if words is None:
            assert done.exit_code == 0, done.output
            scores, expected = written(tmp_path / f"{name}-out"), screened(app, file, "--detector", "card")
            np.testing.assert_allclose(
                scores["fraud_probability"], expected["fraud_probability"], rtol=0, atol=1e-7
            )
            continue
        asked = run(app, "screen", file, "-o", tmp_path / "scores.csv", "--detector", "card")
        assert done.exit_code == asked.exit_code == 1
        assert words in done.output
        # a file says in which row they begin, and has other rows first
        said = [re.sub(r", from about row [\d,]+ on|“[^”]*”", "", each.output) for each in (done, asked)]
        assert said[0] == said[1]
        assert not (tmp_path / f"{name}-out").exists()


@pytest.mark.parametrize(("detector", "time"), [("payments", "TX_DATETIME"), ("ecommerce", "purchase_time")])
def test_a_detector_that_looks_back_gives_what_a_file_gets(
    app: Flask, spark: Any, tmp_path: Path, detector: str, time: str
) -> None:
    """Half of the rows are in the folder, half of the rest in another one that is its past, half in the ledger's."""
    services: Services = app.extensions["screening"]
    found = services.detectors.get(detector)
    texts: dict[Hashable, str] = {
        column.name: "str" for column in found.contract.parts() if column.kind is not CellKind.NUMBER
    }
    rows = pd.read_csv(ROOT / "model" / "detectors" / detector / "sample.csv", dtype=texts).sort_values(time)
    rows.insert(0, "number", np.arange(len(rows)))
    cuts = len(rows) // 4, len(rows) // 2
    remembered, earlier, now = rows[: cuts[0]], rows[cuts[0] : cuts[1]], rows[cuts[1] :]

    def numbers(some: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        label = some[found.contract.label].to_numpy().astype(np.int8)
        return found.vectorizer.select(from_frame(some, found.contract)), label

    with app.app_context():
        context = services.policy.context(found, None)
    context.remember("one", *numbers(remembered))
    Person(app, "first").sign_up()
    for name, some in (("now", now), ("earlier", earlier)):
        (tmp_path / name).mkdir()
        for number, part in enumerate(np.array_split(np.arange(len(some)), 2)):
            text = some.iloc[part].to_csv(index=False)
            # a row with a cell too much has its label elsewhere: it is rejected, and all other labels count
            text += "" if number else text.splitlines()[-1].replace(",", ",oops,", 1) + "\n"
            (tmp_path / name / f"{number}.csv").write_text(text)
    done = run(
        app,
        "batch",
        tmp_path / "now",
        tmp_path / "out",
        "--detector",
        detector,
        "--past",
        tmp_path / "earlier",
        "--ledger",
        "first",
    )
    assert done.exit_code == 0, done.output
    assert "1 rejected" in done.output
    scores = written(tmp_path / "out")
    scores = scores[scores["result"] != "rejected"].reset_index(drop=True)
    check_entered(services, scores, now, detector)

    # a file has no past but the ledger's
    context.remember("two", *numbers(earlier))
    now.to_csv(tmp_path / "all.csv", index=False)
    expected = screened(app, tmp_path / "all.csv", "--detector", detector)
    assert scores["number"].astype(int).tolist() == expected["number"].tolist()
    np.testing.assert_allclose(scores["fraud_probability"], expected["fraud_probability"], rtol=0, atol=1e-6)
    assert scores["flagged"].tolist() == expected["flagged"].tolist()

    # a transaction of the API, which is one row with all that was before it
    values, labels = numbers(rows)
    for row in np.flatnonzero(scores["flagged"])[:5].tolist():
        before = History(past=Past(values[: cuts[1] + row], labels[: cuts[1] + row]))
        asked = now.iloc[row].drop(["number", found.contract.label]).to_dict()
        (alone,) = get_probabilities(asked, found, before.indexed(found.vectorizer.definition))
        assert alone == pytest.approx(scores["fraud_probability"][row], abs=1e-6)


def test_labels_of_the_past_count_for_rows_without_any(app: Flask, spark: Any, tmp_path: Path) -> None:
    """Yesterday's labels are known today, today's aren't: as where the ledger remembers yesterday for a file."""
    services: Services = app.extensions["screening"]
    found = services.detectors.get("payments")
    texts: dict[Hashable, str] = {"TERMINAL_ID": "str", "CUSTOMER_ID": "str"}
    sample = pd.read_csv(ROOT / "model/detectors/payments/sample.csv", dtype=texts)
    rows = sample.sort_values("TX_DATETIME")[:900]
    rows = rows.assign(number=np.arange(len(rows)), TERMINAL_ID=(np.arange(len(rows)) % 7).astype(str))
    half = len(rows) // 2
    earlier = rows[:half].assign(TX_FRAUD=(np.arange(half) % 3 == 0).astype(int))
    now = rows[half:].drop(columns="TX_FRAUD")
    unread = earlier[:1].assign(TX_AMOUNT="?")
    folders = folder_of(
        tmp_path,
        now__a=now.to_csv(index=False),
        earlier__a=pd.concat([earlier, unread]).to_csv(index=False),
        less__a=earlier.drop(columns="TERMINAL_ID"),
    )
    words = ("batch", folders / "now", tmp_path / "out", "--detector", "payments", "--past")
    done = run(app, *words, folders / "less")
    assert (done.exit_code, "TERMINAL_ID" in done.output, "less" in done.output) == (1, True, True)
    assert not (tmp_path / "out").exists()
    done = run(app, *words, folders / "earlier")
    assert done.exit_code == 0, done.output
    assert "1 rows of " in done.output
    assert "can't be read, and aren't looked back on" in done.output
    scores = written(tmp_path / "out")

    with app.app_context():
        context = services.policy.context(found, None)
    label = earlier["TX_FRAUD"].to_numpy().astype(np.int8)
    now.to_csv(tmp_path / "all.csv", index=False)
    unlabelled = screened(app, tmp_path / "all.csv", "--detector", "payments")["fraud_probability"]
    context.remember("one", found.vectorizer.select(from_frame(earlier, found.contract)), label)
    expected = screened(app, tmp_path / "all.csv", "--detector", "payments")["fraud_probability"]
    np.testing.assert_allclose(scores["fraud_probability"], expected, rtol=0, atol=1e-6)
    assert np.abs(unlabelled - expected).max() > 0.01


def check_entered(services: Services, scores: pd.DataFrame, given: pd.DataFrame, detector: str) -> None:
    """The ledger has what the output has, as of rows of a file, and remembers the rows for later screenings."""
    columns = "number, probability, flagged, amount, event_time, label, owner, source, request, reasons"
    field = {"payments": "terminal", "ecommerce": "device"}[detector]
    named = {"payments": "TERMINAL_ID", "ecommerce": "device_id"}[detector]
    query = f"SELECT {columns}, {field} FROM chosen ORDER BY probability, event_time, amount"
    entered = pd.DataFrame(services.ledger.questions.ask(query, DecisionFilter(detector=detector)).rows)
    contract = services.detectors.get(detector).contract
    time, amount, label = str(contract.time), str(contract.amount), str(contract.label)
    expected = scores.assign(
        probability=scores["fraud_probability"].astype(np.float32),
        event_time=pd.to_datetime(scores[time]),
        amount=(scores[amount].astype(float) * 100).round().astype(int),
    ).sort_values(["probability", "event_time", "amount"])
    assert len(entered) == len(expected) == len(given)
    for name in ("probability", "flagged", "event_time", "amount"):
        assert entered[name].tolist() == expected[name].tolist(), name
    assert entered["label"].tolist() == expected[label].astype(int).tolist()
    assert entered[field].tolist() == expected[named].astype(str).tolist()
    assert (entered["reasons"].map(len, na_action="ignore").fillna(0) > 0).tolist() == expected[
        "flagged"
    ].tolist()
    assert set(entered["owner"]) == {"first"}
    assert set(entered["source"]) == {BATCH}
    (job,) = set(entered["request"])
    kept = services.ledger.jobs.find(job)
    assert kept is not None
    assert (kept.rows, kept.flagged) == (len(entered), int(entered["flagged"].sum()))
    assert services.policy.context(services.detectors.get(detector), "first").has(job)


def test_a_job_that_is_run_again_is_entered_once(app: Flask, spark: Any, tmp_path: Path) -> None:
    services: Services = app.extensions["screening"]
    cards(200).to_parquet(tmp_path / "in.parquet")

    def entered(target: str, *words: str) -> tuple[Result, int]:
        done = run(app, "batch", tmp_path / "in.parquet", tmp_path / target, "--detector", "card", *words)
        found = services.ledger.questions.ask(
            "SELECT count(*) AS rows FROM chosen", DecisionFilter(source=BATCH)
        ).rows
        return done, int(found[0]["rows"]) if found else 0

    refused, rows = entered("zero", "--ledger", "nobody")
    assert (refused.exit_code, rows) == (1, 0)
    assert "There is no account nobody" in refused.output
    assert not (tmp_path / "zero").exists()
    Person(app, "first").sign_up()
    for target, note in (("one", "200 decisions were entered"), ("two", "were entered in the ledger before")):
        done, rows = entered(target, "--ledger", "first")
        assert (done.exit_code, rows) == (0, 200), done.output
        assert note in done.output
    assert not services.ledger.segments.verify()
    (entry,) = [each for each in entries(services) if each["event"] == "job_entered"]
    (kept,) = services.ledger.jobs.all()
    told = (kept.id, "first", "card", str(tmp_path / "in.parquet"), 200, kept.flagged)
    assert tuple(entry[name] for name in ("job", "owner", "detector", "folder", "rows", "flagged")) == told


def test_rows_that_cannot_be_read_are_kept_with_their_reasons(app: Flask, spark: Any, tmp_path: Path) -> None:
    lines = (ROOT / "transactions_data.csv").read_text().splitlines()
    lines[0] = "number," + lines[0]
    lines[1:] = [f"{number},{line}" for number, line in enumerate(lines[1:])]
    lines[1] = lines[1].rpartition(",")[0].rpartition(",")[0]  # two cells short
    lines[9] += ",more"
    lines[3] = "2,x" + lines[3].removeprefix("2,")
    cells = lines[5].split(",")
    lines[5] = ",".join([*cells[:5], "", *cells[6:]])
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text("\n".join(lines) + "\n")
    done = run(app, "batch", folder, tmp_path / "out", "--detector", "card", "--past", folder)

    assert done.exit_code == 0, done.output
    assert "200 rows, 10 flagged, 4 rejected" in done.output
    assert f"Note: card decides on each row alone: {folder} isn't read" in done.output
    rejected = written(tmp_path / "out" / "result=rejected")
    ragged = "has another number of cells than the header, or a quotation mark that isn't closed in its line"
    assert rejected["number"].tolist() == ["0", "2", "4", "8"]
    assert rejected["problems"].map(list).tolist() == [
        [ragged],
        ["Time is not a number"],
        ["V4 is empty"],
        [ragged],
    ]
    assert rejected["raw_record"].dropna().tolist() == [lines[1], lines[9]]
    assert rejected["fraud_probability"].isna().all()


def test_what_cannot_be_done_is_one_line(app: Flask, spark: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "notes.docx").write_text("hello")
    cards(3).rename(columns={"V7": "flagged"}).to_parquet(tmp_path / "clash.parquet")
    cards(3).drop(columns="V7").to_parquet(tmp_path / "less.parquet")
    cards(3).to_parquet(tmp_path / "good.parquet")
    text = cards(3).to_csv(index=False)
    folder_of(tmp_path, headers__a=text, headers__b=text.replace("V1,V2", "V2,V1"), sep=f"sep=,\n{text}")
    folder_of(
        tmp_path, nameless=text.replace("\n", ",,\n"), rugged=text.replace("\n", ",x\n").replace(",x", "", 1)
    )
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(cards(99).to_csv().encode())[:-99])
    for source, target, words in (
        ("nowhere", "out", "There is no such folder"),
        ("empty", "out", "The folder holds no files"),
        ("odd", "out", "notes.docx isn't read here"),
        ("clash.parquet", "out", "Column flagged would be there twice"),
        ("less.parquet", "out", "Column V7 is missing"),
        ("good.parquet", "taken", "The output is there already"),
        ("headers", "out", "b.csv can't be read: CSV header does not conform to the schema. Header: number,"),
        ("cut.csv.gz", "out", "cut.csv.gz can't be read: Unexpected end of input stream"),
        ("sep.csv", "out", "It begins with a line sep="),
        ("nameless.csv", "out", "Several columns have no name"),
        ("rugged.csv", "out", "no rows, or none with as many cells as the header"),
    ):
        done = run(app, "batch", tmp_path / source, tmp_path / target, "--detector", "card")
        assert done.exit_code == 1, done.output
        assert words in done.output
        assert "Traceback" not in done.output
        assert not (tmp_path / "out").exists()
    given = ("--detector", "card", "--past", tmp_path / "nowhere")
    done = run(app, "batch", tmp_path / "good.parquet", tmp_path / "out", *given)
    assert f"There is no such folder. ({tmp_path / 'nowhere'})" in done.output


def test_the_ledger_is_read_by_its_manifest(app: Flask, spark: Any) -> None:
    segments = app.extensions["screening"].ledger.segments
    with pytest.raises(NotFound, match="no segments yet"):
        read_decisions(spark, segments)
    segments.add("a", FILE, table(4))
    segments.add(
        "b", API, table(3, screening=None, source=API, facts={"n:distance": pa.array([1.0, 2.0, 3.0])})
    )
    segments.path("b-that-no-manifest-names").write_bytes(b"not Parquet")
    found = read_decisions(spark, segments)
    by_source = {row["source"]: row["count"] for row in found.groupBy("source").count().collect()}
    assert by_source == {FILE: 4, API: 3}
    assert sorted(row[0] for row in found.select("`n:distance`").collect() if row[0]) == [1.0, 2.0, 3.0]


def folder_of(path: Path, **files: pd.DataFrame | str) -> Path:
    """A folder with Parquet files of tables and CSV files of texts."""
    for name, content in files.items():
        file = path / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            file.with_suffix(".csv").write_text(content)
        else:
            content.to_parquet(file.with_suffix(".parquet"), index=False)
    return path


def test_files_that_do_not_fit_together_are_refused_with_their_names(spark: Any, tmp_path: Path) -> None:
    rows = pd.DataFrame({"id": [1, 2], "Amount": [1.5, 2.5]})
    text = rows.to_csv(index=False)
    refused: dict[str, tuple[dict[str, pd.DataFrame | str], str]] = {
        "another type": (
            {"a": rows, "b": rows.astype(str)},
            "id is bigint in a.parquet and string in b.parquet",
        ),
        "nanoseconds": (
            {"a": rows.assign(at=pd.to_datetime(["2026-01-01"] * 2).astype("datetime64[ns]"))},
            "Spark has no type for a column of a.parquet",
        ),
        "twice": ({"id=1__a": rows}, "Column id stands in the files, and in the names of folders"),
        "twice in a header": ({"a": text.replace("Amount", "id")}, "Column id stands twice"),
        "blank first": ({"a": f"\n{text}"}, "It begins with an empty line"),
        "beside folders of a column": ({"day=1__a": text, "b": text}, "1 files would be left out, first "),
        "in a folder": ({"sub__a": rows, "b": rows}, "1 files would be left out, first "),
        "at two depths": (
            {"day=1__a": rows, "day=2__hour=3__b": rows},
            "Spark can't tell which columns the names of the folders are",
        ),
        "nothing": ({"a": "", "b": ""}, "All files are empty"),
    }
    for name, (files, words) in refused.items():
        with pytest.raises(BadFile, match=re.escape(words)):
            open_folder(spark, str(folder_of(tmp_path / name, **files)))
    latin = folder_of(tmp_path / "latin", a="") / "a.csv"
    latin.write_bytes("id,Straße\n1,x\n".encode("latin-1"))
    with pytest.raises(BadFile, match="isn't UTF-8"):
        open_folder(spark, str(latin))
    cut = folder_of(tmp_path / "cut off", a=rows) / "b.parquet"
    cut.write_bytes((cut.parent / "a.parquet").read_bytes()[:-20])
    with pytest.raises(BadFile, match=re.escape("b.parquet can't be read as Parquet")):
        open_folder(spark, str(cut.parent))


def test_files_with_other_columns_are_one_table(spark: Any, tmp_path: Path) -> None:
    one = pd.DataFrame({"id": [1], "Amount": [7], "note": [None], "City": ["x"], "city": ["y"]})
    two = pd.DataFrame({"id": [2], "Amount": [2.5], "note": ["n"], "more [1]": ["m"]})
    folder = folder_of(tmp_path / "a b" / "ü", **{"shop=007__a 100%": one, "shop=010__b [x]": two})
    found = open_folder(spark, str(folder))
    with sparks.reading(spark):
        rows = [row.asDict() for row in open_folder(spark, str(folder)).table.orderBy("id").collect()]
    both = {"id": 0, "Amount": 0.0, "note": None, "City": None, "city": None, "more [1]": None, "shop": ""}
    assert rows == [
        {**both, "id": 1, "Amount": 7.0, "City": "x", "city": "y", "shop": "007"},
        {**both, "id": 2, "Amount": 2.5, "note": "n", "more [1]": "m", "shop": "010"},
    ]
    assert found.lacking == {"City": "b [x].parquet", "city": "b [x].parquet", "more [1]": "a 100%.parquet"}

    # several folders at once, hidden files, and a column as pandas writes its index
    deep = folder_of(tmp_path / "deep", **{"x__a": one, "y__b": two, "c": one, "x__.part__d": one})
    one.to_parquet(deep / "x" / "_old.parquet")
    two.rename_axis("__index_level_0__").reset_index().to_parquet(deep / "y" / "e.parquet", index=False)
    with sparks.reading(spark):
        rows = [row.asDict() for row in open_folder(spark, str(deep / "*")).table.orderBy("id").collect()]
    assert sorted((row["id"], row["__index_level_0__"]) for row in rows if row["id"] == 1) == [(1, None)] * 2
    assert {row["__index_level_0__"] for row in rows if row["id"] == 2} == {None, 0}
    assert len(rows) == 4


def test_a_column_that_is_read_must_be_in_all_files(app: Flask, spark: Any, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "in", a=cards(5), b=cards(5).drop(columns="V7"))
    done = run(app, "batch", folder, tmp_path / "out", "--detector", "card")
    assert "Column V7 is missing in b.parquet, and other files have it" in done.output
    assert not (tmp_path / "out").exists()


def test_a_last_cell_that_goes_on_in_the_next_line_is_no_row(app: Flask, spark: Any, tmp_path: Path) -> None:
    text = (
        cards(6).assign(note=["plain", '5" pipe', "a, b", 'said "x"', "two\nlines", ""]).to_csv(index=False)
    )
    done = run(app, "batch", folder_of(tmp_path / "in", a=text), tmp_path / "out", "--detector", "card")
    assert "1 rows have a line break in their last cell" in done.output
    assert not (tmp_path / "out").exists()
    good = folder_of(tmp_path / "good", a="") / "a.csv"
    good.write_bytes(text.replace("two\nlines", "two lines").replace("plain", "Zürich").encode("latin-1"))
    done = run(app, "batch", good, tmp_path / "out", "--detector", "card")
    assert "6 rows" in done.output
    assert "Note: Bytes in note aren't UTF-8, and are \ufffd in the output" in done.output
    assert written(tmp_path / "out")["note"].tolist()[:5] == [
        "Z\ufffdrich",
        '5" pipe',
        "a, b",
        'said "x"',
        "two lines",
    ]


def test_card_numbers_beyond_the_first_rows_are_found(
    app: Flask, spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.batch.settling.SAMPLE_ROWS", 10)
    first = cards(20).assign(pan="none")
    late = first.assign(pan=["4012888888881881"] * 5 + ["5105105105105100"] * 15)
    folder = folder_of(tmp_path / "in", a=first, b=late)
    # rows with a cell too much, in a folder with fewer rows than are looked at first
    lines = late.to_csv(index=False).splitlines()
    text = "\n".join([lines[0], *(f"{line},more" for line in lines[1:])])
    ragged = folder_of(tmp_path / "ragged", a=first[:5].to_csv(index=False), b=text)
    for source in (folder, ragged):
        done = run(app, "batch", source, tmp_path / "out", "--detector", "card")
        assert done.exit_code == 1
        assert "Column pan holds payment card numbers" in done.output
        assert not re.search(r"\d{12}", done.output)
        assert not (tmp_path / "out").exists()


def test_a_folder_that_changes_while_it_is_screened_has_no_complete_output(
    app: Flask, spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path / "in", a=cards(20), b=cards(30))
    detectors = app.extensions["screening"].detectors

    def change(_settled: SettledForms) -> list[str]:
        cards(40).to_parquet(folder / "b.parquet")
        cards(5).to_parquet(folder / "c.parquet")
        return []

    order = BatchOrder(
        source=str(folder),
        target=str(tmp_path / "out"),
        detector=detectors.get("card"),
        threshold=0.8,
        choose=lambda: DetectorChoice(detectors, "card", lambda _header: None),
        check=change,
    )
    with app.app_context(), pytest.raises(Conflict, match=r"1 of 2 files were changed .* first b\.parquet"):
        run_job(spark, order)
    assert (tmp_path / "out").exists()
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    with app.app_context():
        summary = run_job(spark, replace(order, target=str(tmp_path / "again"), check=lambda _settled: []))
    assert (summary.rows, summary.notes) == (65, ())

    def another_job_writes(_standing: Standing, _spark: Any) -> list[str]:
        for part in list((tmp_path / "twice").rglob("part-*.parquet")):
            shutil.copy(part, part.with_name(f"part-of-another-{part.name}"))
        return []

    monkeypatch.setattr(Standing, "check", another_job_writes)
    order = replace(order, target=str(tmp_path / "twice"), check=lambda _settled: [])
    with app.app_context(), pytest.raises(Conflict, match=r"130 rows were written, and INPUT has 65"):
        run_job(spark, order)
    assert not (tmp_path / "twice" / "_SUCCESS").exists()


def test_what_a_python_process_raised_is_told_without_its_traceback() -> None:
    said = """An error occurred while calling o1.collectToPython.
: org.apache.spark.SparkException: [PYTHON_EXCEPTION] An exception was thrown from the Python worker: Traceback (most
  File "/a/screening/batch/observing.py", line 180, in __call__
    yield written()
          ^^^^^^^^^
  File "pyarrow/table.pxi", line 1740, in pyarrow.lib._Tabular._ensure_integer_index
KeyError: 'Field "TX_FRAUD" does not exist, of 4012888888881881'
 SQLSTATE: 38000
\tat org.apache.spark.api.python.BasePythonRunner.run(PythonRunner.scala:1)
"""
    assert sparks.said_by_java(ValueError(said)) == "KeyError: 'Field \"TX_FRAUD\" does not exist, of ••••'"
    raised = said.replace("KeyError: 'Field", "screening.errors.BadFile: Field")
    assert sparks.said_by_java(ValueError(raised)).startswith('Field "TX_FRAUD" does not exist')
    assert sparks.said_by_java(ValueError("[A_CLASS] of errors SQLSTATE: 1")) == "[A_CLASS] of errors"


def test_a_master_that_cannot_be_reached_is_told_of_at_once() -> None:
    # a port that is taken and takes no connection
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        nobody, port = (f"127.0.0.1:{each.getsockname()[1]}" for each in (deaf, server))
        sparks.require_master(f"spark://{nobody},{port}")
        with pytest.raises(NotReady, match="No master of Spark can be reached"):
            sparks.require_master(f"spark://{nobody}")
    with pytest.raises(NotReady, match="it must be spark://HOST:PORT"):
        sparks.require_master("spark://head")
    sparks.require_master("yarn")
