"""The newest evaluation rows of a training set, read without the rest of it."""

import dataclasses

import pandas as pd
import pytest

from retrain_pipeline.learning.errors import RowsOverlap
from retrain_pipeline.learning.newest_judged import read_newest_judged
from retrain_pipeline.learning.training_set import freeze_training_set, read_training_set
from retrain_pipeline_tests.learning.small_world import day


@pytest.fixture
def frozen(lived):
    there = lived()
    return there, freeze_training_set(there.stores, there.spec, day(12))


@pytest.mark.parametrize(("rows", "found"), [(1, 60), (60, 60), (61, 120), (120, 120), (10_000, 120)])
def test_they_are_the_newest_of_all_in_whole_periods(frozen, rows, found):
    there, ts = frozen
    newest, whole = read_newest_judged(there.stores, ts, rows), read_training_set(there.stores, ts)
    assert len(newest.eval_y) == found
    pd.testing.assert_frame_equal(newest.eval_x, whole.eval_x.tail(found).reset_index(drop=True))
    pd.testing.assert_frame_equal(newest.eval_keys, whole.eval_keys.tail(found).reset_index(drop=True))
    assert newest.eval_y.tolist() == whole.eval_y[-found:].tolist()


def test_no_period_is_read_that_is_not_needed(frozen, monkeypatch):
    there, ts = frozen
    asked, read = [], there.stores.lake.read
    monkeypatch.setattr(
        there.stores.lake, "read", lambda model, table, **how: asked.append((table, how)) or read(model, table, **how)
    )
    read_newest_judged(there.stores, ts, 60)
    assert {table: list(how["periods"]) for table, how in asked} == {
        "features": [ts.features.periods[-1]],
        "labels": [one for one in ts.labels.periods if one >= ts.features.periods[-1]],
    }
    assert {how["version"] for table, how in asked if table == "features"} == {ts.features.version}


def test_once_rows_of_before_the_cut_are_read_no_more_are(frozen, monkeypatch):
    there, ts = frozen
    asked, read = [], there.stores.lake.read
    monkeypatch.setattr(
        there.stores.lake, "read", lambda model, table, **how: asked.append((table, how)) or read(model, table, **how)
    )
    assert len(read_newest_judged(there.stores, ts, 130).eval_y) == ts.evaluation_rows == 120
    assert [len(how["periods"]) for table, how in asked if table == "features"] == [3]


def test_rows_without_a_label_are_made_up_for_by_earlier_periods(frozen, monkeypatch):
    there, ts = frozen
    newest, read = ts.features.periods[-1], there.stores.lake.read

    def fewer(model, table, **how):
        rows = read(model, table, **how)
        late = rows["_event_time"] >= rows["_event_time"].max() - pd.Timedelta(hours=23)
        return rows[~late] if table == "labels" and newest in how["periods"] else rows

    monkeypatch.setattr(there.stores.lake, "read", fewer)
    assert len(read_newest_judged(there.stores, ts, 60).eval_y) >= 60


def test_rows_that_are_not_the_frozen_ones_are_noticed(frozen):
    there, ts = frozen
    other = dataclasses.replace(ts, evaluation_row_digests_artifact=ts.row_digests_artifact)
    with pytest.raises(RowsOverlap, match="its newest rows are not the frozen ones"):
        read_newest_judged(there.stores, other, 60)
