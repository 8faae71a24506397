"""Delta tables and SQL databases as sources; how far a source reaches."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from deltalake import write_deltalake

from retrain_pipeline.lake.declared import Data
from retrain_pipeline.lake.errors import SourceMissing, SourceUnavailable
from retrain_pipeline.lake.ingest import ingest_period
from retrain_pipeline.lake.span import newest_event_time
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.lake.conftest import PERIOD, START, deliver, rows

Declare = Callable[..., Data]


def days(spelling: str) -> pd.DataFrame:
    """Three days of rows, the second of them without any; times spelled as asked."""
    frame = pd.concat([rows(6, day=day, first=10 * day) for day in (0, 2)], ignore_index=True)
    moments = pd.to_datetime(frame["at"])
    spelled = {
        "aware": moments.astype("datetime64[us, UTC]"),
        "naive": moments.dt.tz_localize(None).astype("datetime64[us]"),
        "s": moments.astype("int64") // 10**9,
        "ms": moments.astype("int64") // 10**6,
        "text": frame["at"],
    }
    return frame.assign(at=spelled[spelling], extra=1)


@pytest.mark.parametrize("spelling", ["aware", "naive", "s", "ms", "text"])
@pytest.mark.parametrize("kind", ["delta", "sql", "postgres"])
def test_a_period_of_a_table_is_read(
    lake: Lake, root: Path, declare: Declare, kind: str, spelling: str, request: pytest.FixtureRequest
) -> None:
    frame = days(spelling)
    if kind == "delta":
        write_deltalake(root / "table", pa.Table.from_pandas(frame))
        source = {"kind": "delta", "path": "table"}
    else:
        url = request.getfixturevalue("postgres_url") if kind == "postgres" else f"sqlite:///{root / 'data.db'}"
        engine = sa.create_engine(url)
        frame.to_sql("rides", engine, index=False)
        engine.dispose()
        source = {"kind": "sql", "url": url, "table": "rides"}
    unit = spelling if spelling in ("s", "ms") else "text"
    data = declare(source=source, time={"column": "at", "period": "day", "start": START.date(), "unit": unit})
    reports = [ingest_period(lake, data, "m", f"2024-01-0{day}", root=root) for day in (1, 2, 3, 4)]
    assert [report.rows for report in reports] == [6, 0, 6, 0]
    assert (reports[0].verdict, reports[0].extra_columns) == (Verdict.PASS, ["extra"])
    assert len(reports[0].source_digests[0]) == 64
    words = [report.check("volume").words.split(":")[0] for report in (reports[1], reports[3])]
    assert words == (["missing"] * 2 if spelling == "text" else ["empty", "missing"])  # text cannot be compared
    raw = lake.read("m", "raw")
    assert raw["id"].tolist() == [str(n) for n in [*range(6), *range(20, 26)]]
    assert raw["temp"].tolist() == frame["temp"].tolist()
    assert raw["_event_time"].tolist() == pd.to_datetime(days("text")["at"]).tolist()
    assert newest_event_time(lake, data, "m", root=root) == START + timedelta(days=2, hours=20)
    again = ingest_period(lake, data, "m", PERIOD, root=root)
    assert again.write is not None
    assert not again.write.changed


@pytest.mark.fault("I18")
@pytest.mark.parametrize("kind", ["delta", "sql"])
def test_a_table_of_mixed_times_fails_with_an_example(lake: Lake, root: Path, declare: Declare, kind: str) -> None:
    frame = rows(4)
    frame.loc[2, "at"] = "2024-01-01 12:00"
    if kind == "delta":
        write_deltalake(root / "table", pa.Table.from_pandas(frame))
        data = declare(source={"kind": "delta", "path": "table"})
    else:
        url = f"sqlite:///{root / 'data.db'}"
        frame.to_sql("rides", sa.create_engine(url), index=False)
        data = declare(source={"kind": "sql", "url": url, "table": "rides"})
    report = ingest_period(lake, data, "m", PERIOD, root=root)
    assert (report.verdict, report.write) == (Verdict.FAIL, None)
    assert "'2024-01-01 12:00'" in report.check("contract").words
    assert lake.read("m", "quarantine")["rule"].tolist() == ["time_mixed"]


def test_every_sql_type_arrives_as_itself(lake: Lake, root: Path, declare: Declare) -> None:
    url = f"sqlite:///{root / 'data.db'}"
    engine = sa.create_engine(url)
    table = sa.Table(
        "rides", sa.MetaData(), sa.Column("id", sa.Integer), sa.Column("at", sa.DateTime),
        sa.Column("n", sa.BigInteger), sa.Column("x", sa.Numeric(10, 2)), sa.Column("ok", sa.Boolean),
        sa.Column("s", sa.Text), sa.Column("d", sa.Date), sa.Column("y", sa.Float),
    )  # fmt: skip
    table.metadata.create_all(engine)
    naive = START.replace(tzinfo=None)
    full = {"id": 1, "at": naive, "n": 2**62, "x": 1.25, "ok": True, "s": "ä", "d": naive.date(), "y": 0.5}
    with engine.begin() as connection:
        connection.execute(table.insert(), [full, {**dict.fromkeys(full), "id": 2, "at": naive + timedelta(hours=1)}])
    columns = {
        name: {"dtype": dtype, "nullable": True}
        for name, dtype in {"n": "int", "x": "float", "ok": "bool", "s": "string", "d": "timestamp"}.items()
    }
    report = ingest_period(
        lake, declare(source={"kind": "sql", "url": url, "table": "rides"}, columns=columns), "m", PERIOD, root=root
    )
    assert (report.rows, report.rejected) == (2, 0)
    raw = lake.read("m", "raw")
    assert raw.loc[0, ["id", "n", "x", "ok", "s", "y"]].tolist() == [1, 2**62, 1.25, True, "ä", 0.5]
    assert raw.loc[0, "d"] == pd.Timestamp(START)
    assert raw.loc[1, ["n", "x", "ok", "s", "d", "y"]].isna().all()


def test_a_secret_url_comes_from_the_environment(
    lake: Lake, root: Path, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{root / 'data.db'}"
    days("naive").to_sql("rides", sa.create_engine(url), index=False)
    data = declare(source={"kind": "sql", "url_env": "RIDES_URL", "table": "rides"})
    with pytest.raises(SourceMissing, match="RIDES_URL is not set"):
        ingest_period(lake, data, "m", PERIOD, root=root)
    with pytest.raises(SourceMissing, match="RIDES_URL is not set"):
        newest_event_time(lake, data, "m", root=root)
    monkeypatch.setenv("RIDES_URL", url)
    assert ingest_period(lake, data, "m", PERIOD, root=root).rows == 6


def test_what_is_not_there_is_said(lake: Lake, root: Path, declare: Declare) -> None:
    url = f"sqlite:///{root / 'data.db'}"
    days("naive").to_sql("rides", sa.create_engine(url), index=False)
    write_deltalake(root / "table", pa.Table.from_pandas(days("aware")))
    no_table = declare(source={"kind": "sql", "url": url, "table": "trips"})
    no_delta = declare(source={"kind": "delta", "path": "nowhere"})
    for data, words in ((no_table, "no table 'trips'"), (no_delta, "no Delta table at")):
        with pytest.raises(SourceMissing, match=words):
            ingest_period(lake, data, "m", PERIOD, root=root)
        with pytest.raises(SourceMissing, match=words):
            newest_event_time(lake, data, "m", root=root)
    time = {"column": "when", "period": "day", "start": START.date()}
    for source in ({"kind": "sql", "url": url, "table": "rides"}, {"kind": "delta", "path": "table"}):
        with pytest.raises(SourceMissing, match="no time column 'when'; it has at, city"):
            ingest_period(lake, declare(source=source, time=time), "m", PERIOD, root=root)


def test_a_database_that_does_not_answer_may_be_tried_again(lake: Lake, root: Path, declare: Declare) -> None:
    data = declare(source={"kind": "sql", "url": f"sqlite:///{root / 'no' / 'such' / 'folder.db'}", "table": "rides"})
    with pytest.raises(SourceUnavailable, match="does not answer") as caught:
        ingest_period(lake, data, "m", PERIOD, root=root)
    assert "folder.db" not in str(caught.value)  # a URL may hold a password


def test_a_dropped_column_of_a_table_fails(lake: Lake, root: Path, declare: Declare) -> None:
    write_deltalake(root / "table", pa.Table.from_pandas(days("aware").rename(columns={"temp": "temperature"})))
    report = ingest_period(lake, declare(source={"kind": "delta", "path": "table"}), "m", PERIOD, root=root)
    assert "column 'temp' is not in table; the nearest that is there is 'temperature'" in report.check("contract").words


def test_files_say_how_far_they_reach_and_bad_ones_are_left_to_their_period(
    lake: Lake, root: Path, declare: Declare
) -> None:
    assert newest_event_time(lake, declare(), "m", root=root) is None
    deliver(root / "inbox", "a.csv", rows(6, day=3))
    (root / "inbox" / "bad.csv").write_text("\0")
    assert newest_event_time(lake, declare(), "m", root=root) == START + timedelta(days=3, hours=20)
    assert ingest_period(lake, declare(), "m", PERIOD, root=root).check("deliveries").verdict is Verdict.FAIL


def test_a_table_moves_on_between_ingests(lake: Lake, root: Path, declare: Declare) -> None:
    data = declare(source={"kind": "delta", "path": "table"})
    write_deltalake(root / "table", pa.Table.from_pandas(days("aware")))
    first = ingest_period(lake, data, "m", PERIOD, root=root)
    more = rows(2, first=500).assign(at=[datetime(2024, 1, 1, 5, tzinfo=UTC)] * 2, extra=1)
    write_deltalake(root / "table", pa.Table.from_pandas(more), mode="append")
    second = ingest_period(lake, data, "m", PERIOD, root=root)
    assert (first.rows, second.rows) == (6, 8)
    assert first.source_digests != second.source_digests
