"""`retrain play`: a history through Dagster, from where the record ends to where the source ends."""

from datetime import UTC, datetime

import pandas as pd
import pytest
import sqlalchemy as sa
from deltalake import write_deltalake

from retrain_pipeline.cli import places
from retrain_pipeline.cli.play import Reach, periods_to_play, reach
from retrain_pipeline.lake.declared import Data
from retrain_pipeline.lake.errors import SourceRefused
from retrain_pipeline.lake.span import newest_event_time
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.stores import open_stores
from retrain_pipeline_tests.assets.conftest import DEFS, toy_rows, write_model

TIMES = ["2024-01-03T10:00:00Z", "2024-02-06T23:30:00Z", "2024-01-20T00:00:00Z"]
NEWEST = datetime(2024, 2, 6, 23, 30, tzinfo=UTC)


def data(source: dict, **time: str) -> Data:
    return Data.model_validate(
        {
            "source": source,
            "key": ["id"],
            "time": {"column": "at", "period": "week", "start": "2024-01-01", **time},
            "label": {"column": "y", "task": "binary"},
            "columns": {"a": {"dtype": "float"}},
        }
    )


@pytest.fixture
def lake(tmp_path):
    stores = open_stores(tmp_path / "home")
    yield stores.lake
    stores.close()


def rows(times) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"r{n}" for n in range(len(times))], "at": times, "a": 1.0, "y": 1})


def reaches(lake, declared: Data, root) -> datetime | None:
    return newest_event_time(lake, declared, "toy", root=root)


def test_newest_event_time_of_files_and_folders(lake, tmp_path):
    rows(TIMES).to_csv(tmp_path / "rows.csv", index=False)
    assert reaches(lake, data({"kind": "csv", "path": "rows.csv"}), tmp_path) == NEWEST
    (tmp_path / "inbox").mkdir()
    rows(pd.to_datetime(TIMES[:1])).to_parquet(tmp_path / "inbox" / "a.parquet")
    rows(pd.to_datetime(TIMES[1:])).to_parquet(tmp_path / "inbox" / "b.parquet")
    declared = data({"kind": "parquet", "path": "inbox", "settle_seconds": 0})
    assert reaches(lake, declared, tmp_path) == NEWEST


def test_newest_event_time_of_a_delta_table(lake, tmp_path):
    write_deltalake(str(tmp_path / "table"), rows(pd.to_datetime(TIMES).as_unit("us")))
    assert reaches(lake, data({"kind": "delta", "path": "table"}), tmp_path) == NEWEST


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        (TIMES, "text"),
        ([moment.removesuffix("Z") for moment in TIMES], "text"),
        ([int(pd.Timestamp(moment).timestamp()) for moment in TIMES], "s"),
        ([int(pd.Timestamp(moment).timestamp() * 1000) for moment in TIMES], "ms"),
    ],
)
def test_newest_event_time_of_a_database(lake, tmp_path, times, unit):
    url = f"sqlite:///{tmp_path / 'source.db'}"
    engine = sa.create_engine(url)
    rows(times).to_sql("toys", engine, index=False)
    rows(times).head(0).to_sql("empty", engine, index=False)
    engine.dispose()
    assert reaches(lake, data({"kind": "sql", "url": url, "table": "toys"}, unit=unit), tmp_path) == NEWEST
    assert reaches(lake, data({"kind": "sql", "url": url, "table": "empty"}, unit=unit), tmp_path) is None


def test_a_source_without_the_declared_time_column_is_told_with_what_it_has(lake, tmp_path):
    without = rows(TIMES).drop(columns="at")
    write_deltalake(str(tmp_path / "table"), without)
    url = f"sqlite:///{tmp_path / 'source.db'}"
    engine = sa.create_engine(url)
    without.to_sql("toys", engine, index=False)
    engine.dispose()
    for source in ({"kind": "delta", "path": "table"}, {"kind": "sql", "url": url, "table": "toys"}):
        with pytest.raises(SourceRefused, match="time column 'at' is not in the source; it has 'id', 'a', 'y'"):
            reaches(lake, data(source), tmp_path)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A toy of six weeks in a defs folder of its own."""
    root = tmp_path / "data"
    root.mkdir()
    toy_rows(weeks=6, rows_a_week=60).to_csv(root / "toy.csv", index=False)
    folder = write_model(tmp_path / "defs" / "models" / "toy", DEFS.replace("min_rows: 50", "min_rows: 20"))
    monkeypatch.setattr(places, "DEFS", tmp_path / "defs")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return read_declaration(folder), root


def test_periods_to_play_go_from_where_the_record_ends_to_the_newest_row(toy, tmp_path, monkeypatch):
    declaration, root = toy
    monkeypatch.setenv("RETRAIN_ROOT", str(root))
    stores = open_stores(tmp_path / "state")
    weeks = ["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22", "2024-01-29", "2024-02-05"]
    assert reach(declaration, stores) == Reach(weeks[-1], filling=False)
    assert periods_to_play(declaration, stores, None, None) == (weeks, None)
    assert periods_to_play(declaration, stores, weeks[2], weeks[3]) == (weeks[2:4], None)
    assert periods_to_play(declaration, stores, weeks[3], weeks[2]) == ([], None)
    stores.ledger.append(NewEntry("test", "monitored", "toy", payload={"as_of": "2024-01-15T00:00:00+00:00"}))
    assert periods_to_play(declaration, stores, None, None) == (weeks[2:], None)
    assert periods_to_play(declaration, stores, None, weeks[2]) == (weeks[2:3], None)
    assert periods_to_play(declaration, stores, None, weeks[0]) == ([], None)
    stores.close()


def test_a_period_that_may_still_be_filling_is_left_out_until_it_is_named(retrain, toy, tmp_path, monkeypatch):
    declaration, root = toy
    monkeypatch.setenv("RETRAIN_ROOT", str(root))
    rows = toy_rows(weeks=3, rows_a_week=60)
    rows.head(2 * 60 + 20).to_csv(root / "toy.csv", index=False)  # the third week ends on its third day
    stores = open_stores(tmp_path / "state")
    assert periods_to_play(declaration, stores, None, None) == (["2024-01-01", "2024-01-08"], "2024-01-15")
    assert periods_to_play(declaration, stores, None, "2024-01-15")[0][-1] == "2024-01-15"
    stores.ledger.append(NewEntry("test", "monitored", "toy", payload={"as_of": "2024-01-15T00:00:00+00:00"}))
    again = retrain("play", "toy", "--home", tmp_path / "state")
    assert again.exit_code == 0
    assert "2024-01-15 is left out" in again.stdout
    assert "--to 2024-01-15" in again.stdout
    stores.ledger.append(NewEntry("test", "monitored", "toy", payload={"as_of": "2024-01-22T00:00:00+00:00"}))
    assert periods_to_play(declaration, stores, None, None) == ([], None)
    stores.close()


def test_play_goes_on_where_it_left_off_and_tells_what_happened(retrain, toy, tmp_path, monkeypatch):
    _, root = toy
    monkeypatch.setenv("RETRAIN_ROOT", str(root))
    home = tmp_path / "state"
    part = retrain("play", "toy", "--to", "2024-01-08", "--home", home)
    assert part.exit_code == 0, (part.output, part.exception)
    stores = open_stores(home)
    monitored = lambda: [e.payload["as_of"][:10] for e in stores.ledger.entries(action="monitored")]  # noqa: E731
    assert monitored() == ["2024-01-08", "2024-01-15"]
    rest = retrain("play", "toy", "--to", "2024-01-29", "--home", home)
    assert rest.exit_code == 0, (rest.output, rest.exception)
    assert monitored() == ["2024-01-08", "2024-01-15", "2024-01-22", "2024-01-29", "2024-02-05"]
    assert "retrain, first_model" in rest.stdout
    assert "toy" in rest.stdout
    again = retrain("play", "toy", "--to", "2024-01-29", "--home", home)
    assert again.exit_code == 0
    assert "every period of the source was played already" in again.stdout
    backwards = retrain("play", "toy", "--from", "2024-01-22", "--to", "2024-01-08", "--home", home)
    assert "no period lies between these" in backwards.stdout
    stores.close()


def test_a_play_that_cannot_start_is_told_as_one_paragraph(retrain, toy, tmp_path, monkeypatch):
    declaration, root = toy
    monkeypatch.setenv("RETRAIN_ROOT", str(root))
    home = ("--home", tmp_path / "state")
    unknown = retrain("play", "bike", *home)
    weekday = retrain("play", "toy", "--from", "2024-01-02", *home)
    (root / "toy.csv").unlink()
    gone = retrain("play", "toy", *home)
    declaration.file.write_text(declaration.file.read_text().replace("task: binary", "task: bogus"))
    broken = retrain("play", "toy", *home)
    for result, word in ((unknown, "there are: toy"), (weekday, "2024-01-02"), (gone, "toy.csv"), (broken, "bogus")):
        assert result.exit_code == 1, result.output
        assert isinstance(result.exception, SystemExit), result.exception
        assert word in result.stderr
        assert "Traceback" not in result.output
