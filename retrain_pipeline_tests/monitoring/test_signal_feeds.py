"""The entities of a declared signal's rows, and a look at a source that keeps nothing."""

from datetime import timedelta

import pandas as pd
import pytest

from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.monitoring.signal_feeds import peek_feed, read_feed
from retrain_pipeline_tests.monitoring.conftest import START, declared

SIGNAL = {"time": "at", "column": "eur", "unit": "EUR", "direction": "up"}


@pytest.fixture
def lake(tmp_path):
    return Lake(str(tmp_path / "lake"))


def spec_of(kind="csv", **more):
    """The small world's declaration, routed by a whole number `shop` and a `till` of which nothing is declared."""
    spec = declared(signals={"sales": {**SIGNAL, "source": {"kind": kind, "path": f"sales.{kind}"}}})
    columns = {**spec.data.columns, "shop": spec.data.columns["x"].model_copy(update={"dtype": "int"})}
    changed = {
        "data": spec.data.model_copy(update={"columns": columns}),
        "rollout": spec.rollout.model_copy(update={"route_by": ("shop", "till")}),
        "signals": {"sales": spec.signals["sales"].model_copy(update=more)},
    }
    return spec.model_copy(update=changed)


def at(hours=0):
    return START + timedelta(hours=hours)


def rows(**columns):
    return pd.DataFrame({"at": [at(hour).isoformat() for hour in range(4)], "eur": [1.0, 2.0, 3.0, 4.0], **columns})


@pytest.mark.requirement("D17", "D28")
def test_text_is_read_as_the_routed_column_is_and_what_does_not_read_names_nobody(tmp_path, lake):
    frame = rows(branch=["007", "7", "seven", ""], desk=["07", "7", "b", "c"])
    frame.to_csv(tmp_path / "sales.csv", index=False)
    spec = spec_of(entity=("branch", "desk"))
    found = peek_feed(lake, spec, "sales", at(), at(168), tmp_path)
    assert found.trouble == ""
    told = found.rows
    assert list(told["entity_0"][:2]) == [7, 7], "as the column shop, which is a whole number"
    assert told["entity_0"].isna().tolist() == [False, False, True, True]
    assert list(told["entity_1"]) == ["07", "7", "b", "c"], "nothing is declared of till"
    assert list(told["value"]) == [1.0, 2.0, 3.0, 4.0]


def test_types_of_a_typed_source_are_its_own_and_whole_numbers_stay_whole(tmp_path, lake):
    frame = rows(branch=pd.array([2**53 + 1, None, 1, 2], dtype="Int64"), desk=["a", "b", None, "c"])
    frame["at"] = pd.to_datetime(frame["at"])
    frame.to_parquet(tmp_path / "sales.parquet")
    found = peek_feed(lake, spec_of("parquet", entity=("branch", "desk")), "sales", at(), at(168), tmp_path)
    assert found.rows["entity_0"][0] == 2**53 + 1
    assert found.rows["entity_0"].isna().tolist() == [False, True, False, False]


def test_a_signal_without_entities_has_no_columns_of_them(tmp_path, lake):
    rows().to_csv(tmp_path / "sales.csv", index=False)
    found = peek_feed(lake, spec_of(), "sales", at(), at(168), tmp_path)
    assert list(found.rows.columns) == ["period", "value", "_known_time"]


def test_a_column_of_the_entity_that_is_not_there_is_an_outage_with_its_name(tmp_path, lake):
    rows(branch="a", desk="b").to_csv(tmp_path / "sales.csv", index=False)
    found = peek_feed(lake, spec_of(entity=("brunch", "desk")), "sales", at(), at(168), tmp_path)
    assert found.rows is None
    assert "column 'brunch' is not in sales.csv; the nearest is 'branch'" in found.trouble


def test_a_peek_keeps_nothing_and_a_reading_keeps_what_it_rejects(tmp_path, lake):
    frame = rows().astype(object)
    frame.loc[2, "eur"] = "many"
    frame.to_csv(tmp_path / "sales.csv", index=False)
    spec, key = spec_of(), "2024-01-01"
    peeked = peek_feed(lake, spec, "sales", at(), at(168), tmp_path)
    assert lake.periods("small", "quarantine") == []
    read = read_feed(lake, spec, "sales", key, at(), at(168), tmp_path)
    assert lake.periods("small", "quarantine") == [key]
    assert peeked.refused == read.refused == {key: 1}
    pd.testing.assert_frame_equal(peeked.rows, read.rows)


def test_a_period_is_due_with_the_rows_known_by_then_and_not_with_too_many_refused(tmp_path, lake):
    frame = rows(known=[at(1), at(2), at(200), at(300)])
    frame.to_csv(tmp_path / "sales.csv", index=False)
    spec = spec_of(delay_hours=12, known_time="known")
    found = peek_feed(lake, spec, "sales", at(), at(168), tmp_path)
    assert list(found.due(at(179))) == []
    ((period, told),) = found.due(at(180))
    assert (period, list(told["value"])) == ("2024-01-01", [1.0, 2.0])
    ((_, told),) = found.due(at(200))
    assert list(told["value"]) == [1.0, 2.0, 3.0]
    found.refused["2024-01-01"] = 1
    assert list(found.due(at(200))) == [], "more than a twentieth could not be read"
