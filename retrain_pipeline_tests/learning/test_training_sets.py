"""The training set of a moment: as-of, windowed, frozen, disjoint, repeatable."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.lake.errors import SnapshotChanged
from retrain_pipeline.learning.errors import NothingToLearn, RowsOverlap
from retrain_pipeline.learning.frames import assemble, assert_disjoint, slice_values
from retrain_pipeline.learning.training_set import (
    TrainingSet,
    freeze_training_set,
    read_row_digests,
    read_training_set,
)
from retrain_pipeline_tests.learning.small_world import day, declared, labels_of, raw_day


def test_the_window_is_the_newest_labelled_periods_and_the_newest_of_them_judge(lived):
    there = lived()
    ts = freeze_training_set(there.stores, there.spec, day(12))
    # labels come two days late: on the twelfth day those of the tenth are the newest
    assert ts.periods == tuple(f"2024-01-{number:02}" for number in range(3, 11))
    assert (ts.train_rows, ts.evaluation_rows) == (360, 120)
    assert ts.evaluation_from == day(8).isoformat()
    assert ts.train_from == day(2).isoformat()
    assert datetime.fromisoformat(ts.train_until) < day(8) <= datetime.fromisoformat(ts.evaluation_until) < day(10)
    frames = read_training_set(there.stores, ts)
    assert list(frames.train_x.columns) == ["age", "hour", "income", "income_before", "town"]
    assert len(frames.train_y) == 360
    assert frames.eval_keys["_event_time"].min() >= day(8)


@pytest.mark.fault("I25")
@pytest.mark.requirement("D38")
@pytest.mark.parametrize("hours", range(0, 49, 8))
def test_no_row_is_used_before_its_label_could_be_known(lived, hours):
    there = lived()
    as_of = day(10) + timedelta(hours=hours)
    frames = read_training_set(there.stores, freeze_training_set(there.stores, there.spec, as_of))
    newest = max(frames.train_keys["_event_time"].max(), frames.eval_keys["_event_time"].max())
    assert newest + timedelta(hours=48) <= as_of


@pytest.mark.requirement("D1", "D38")
def test_the_same_moment_gives_the_same_digest_after_more_days(lived, world):
    there = lived()
    first = freeze_training_set(there.stores, there.spec, day(9))
    later = raw_day(12)
    there.put_raw(later)
    there.put_features(["2024-01-13"])
    there.put_labels(labels_of(later))
    again = freeze_training_set(there.stores, there.spec, day(9))
    assert again.digest == first.digest
    assert again.features.version > first.features.version
    assert freeze_training_set(there.stores, there.spec, day(10)).digest != first.digest


@pytest.mark.fault("I11")
def test_restated_history_makes_another_training_set_and_leaves_the_old_one_readable(lived):
    there = lived()
    first = freeze_training_set(there.stores, there.spec, day(12))
    raw = raw_day(5)
    there.put_raw(raw.assign(income=raw["income"] + 1))
    there.put_features(["2024-01-06"])
    second = freeze_training_set(there.stores, there.spec, day(12))
    assert second.digest != first.digest
    old, new = read_training_set(there.stores, first), read_training_set(there.stores, second)
    assert old.train_x["income"].sum() < new.train_x["income"].sum()


def test_a_changed_table_file_is_noticed(lived):
    there = lived()
    ts = freeze_training_set(there.stores, there.spec, day(12))
    forged = dataclasses.replace(ts, features=dataclasses.replace(ts.features, digest="0" * 64))
    with pytest.raises(SnapshotChanged):
        read_training_set(there.stores, forged)


def test_other_rows_than_the_frozen_ones_are_noticed(lived):
    there = lived()
    ts = freeze_training_set(there.stores, there.spec, day(12))
    moved = dataclasses.replace(ts, evaluation_from=day(7).isoformat())
    with pytest.raises(RowsOverlap, match="not the frozen ones"):
        read_training_set(there.stores, moved)


def test_a_training_set_survives_json(lived):
    there = lived()
    ts = freeze_training_set(there.stores, there.spec, day(12))
    assert TrainingSet.from_json(json.loads(json.dumps(ts.to_json(), allow_nan=False))) == ts


@pytest.mark.fault("I30")
@pytest.mark.requirement("D38")
def test_row_digests_prove_that_training_and_evaluation_are_disjoint(lived):
    there = lived()
    ts = freeze_training_set(there.stores, there.spec, day(12))
    train = read_row_digests(there.stores, ts.row_digests_artifact)
    judged = read_row_digests(there.stores, ts.evaluation_row_digests_artifact)
    assert (train.dtype, len(train), len(judged)) == (np.uint64, 360, 120)
    assert len(np.intersect1d(train, judged)) == 0
    # the next training set trains on rows that judged this one: the digests say so
    later = freeze_training_set(there.stores, there.spec, day(14))
    assert len(np.intersect1d(read_row_digests(there.stores, later.row_digests_artifact), judged)) == 120


@pytest.mark.fault("I30")
def test_an_entity_on_both_sides_is_kept_from_training(world):
    there = world()
    days = [raw_day(number) for number in range(8)]
    # ten customers of each later day were there on the first day
    days = [days[0], *(raw.assign(id=np.where(raw.index >= 10, raw["id"], raw.index)) for raw in days[1:])]
    for raw in days:
        there.put_raw(raw)
    there.put_features([f"2024-01-0{number}" for number in range(1, 9)])
    there.put_labels(pd.concat([labels_of(raw) for raw in days]))
    ts = freeze_training_set(there.stores, there.spec, day(10))
    frames = read_training_set(there.stores, ts)
    assert ts.label_stats["dropped_for_overlap"] == frames.dropped_for_overlap == 60
    assert not set(frames.train_keys["id"]) & set(frames.eval_keys["id"])


def test_overlap_is_asserted_not_assumed():
    raw = pd.concat([raw_day(0), raw_day(1)], ignore_index=True)
    frames = assemble(raw.drop(columns="paid"), labels_of(raw), ["id"], "binary", day(1))
    assert_disjoint(frames)
    same = dataclasses.replace(frames, eval_keys=frames.train_keys)
    with pytest.raises(RowsOverlap, match="share 60 rows and 60 keys"):
        assert_disjoint(same)
    swapped = dataclasses.replace(frames, eval_keys=frames.train_keys, train_keys=frames.eval_keys)
    with pytest.raises(RowsOverlap, match="must be later"):
        assert_disjoint(swapped)


def test_keys_that_name_entities_are_told_so(world):
    there = world()
    for number in range(8):
        raw = raw_day(number).assign(id=np.arange(60))
        there.put_raw(raw)
        there.put_labels(labels_of(raw))
    there.put_features([f"2024-01-0{number}" for number in range(1, 9)])
    with pytest.raises(NothingToLearn, match=r"data\.key must name a row, not an entity"):
        freeze_training_set(there.stores, there.spec, day(10))


@pytest.mark.fault("I25")
@pytest.mark.requirement("A17")
@pytest.mark.parametrize(("delay_hours", "newest", "share"), [(54, "2024-01-06", 0.75), (66, "2024-01-05", 1.0)])
def test_a_period_that_has_only_begun_to_be_labelled_does_not_judge(world, delay_hours, newest, share):
    there = world()
    days = [raw_day(number) for number in range(6)]
    for raw in days:
        there.put_raw(raw)
    there.put_features([f"2024-01-0{number}" for number in range(1, 7)])
    there.put_labels(pd.concat([labels_of(raw, delay_hours) for raw in days]))
    ts = freeze_training_set(there.stores, there.spec, day(8))
    assert ts.periods[-1] == newest
    assert ts.label_stats["labelled_share"][newest] == pytest.approx(share, abs=0.02)
    assert ts.evaluation_rows == pytest.approx(60 + 60 * share, abs=1)


def test_where_few_rows_are_ever_labelled_their_periods_still_count(world):
    there = world()
    for number in range(8):
        raw = raw_day(number, rows=200)
        there.put_raw(raw)
        there.put_labels(labels_of(raw.iloc[::10]))
    there.put_features([f"2024-01-0{number}" for number in range(1, 9)])
    ts = freeze_training_set(there.stores, there.spec, day(10))
    assert (len(ts.periods), ts.train_rows, ts.evaluation_rows) == (8, 120, 40)


@pytest.mark.requirement("A17")
def test_label_statistics_are_recorded(lived):
    there = lived()
    stats = freeze_training_set(there.stores, there.spec, day(12)).label_stats
    assert sum(stats["train"]["counts"].values()) == 360
    assert set(stats["labelled_share"].values()) == {1.0}
    regression = lived("regression")
    stats = freeze_training_set(regression.stores, regression.spec, day(12)).label_stats
    assert stats["train"]["min"] < stats["train"]["mean"] < stats["train"]["max"]


@pytest.mark.fault("I23")
@pytest.mark.parametrize(
    ("task", "value", "reason"),
    [("binary", 1, "aborted: single class"), ("regression", 2.5, "aborted: constant label")],
)
def test_one_class_is_a_reason_not_a_crash(world, task, value, reason):
    there = world(declared(task))
    for number in range(6):
        raw = raw_day(number, task=task).assign(paid=value)
        there.put_raw(raw)
        there.put_labels(labels_of(raw))
    there.put_features([f"2024-01-0{number}" for number in range(1, 7)])
    with pytest.raises(NothingToLearn) as caught:
        freeze_training_set(there.stores, there.spec, day(8))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("as_of", "reason"),
    [
        (day(1), "no label was known by 2024-01-02"),
        (day(4), "too few labelled periods: 2 by .*min_periods is 3"),
    ],
)
def test_too_early_is_a_reason(lived, as_of, reason):
    there = lived()
    with pytest.raises(NothingToLearn, match=f"aborted: {reason}"):
        freeze_training_set(there.stores, there.spec, as_of)


def test_an_empty_project_has_nothing_to_learn(world):
    there = world()
    with pytest.raises(NothingToLearn, match="no label was known"):
        freeze_training_set(there.stores, there.spec, datetime(2030, 1, 1, tzinfo=UTC))


def test_few_rows_are_a_reason(world):
    there = world()
    for number in range(6):
        raw = raw_day(number, rows=8)
        there.put_raw(raw)
        there.put_labels(labels_of(raw))
    there.put_features([f"2024-01-0{number}" for number in range(1, 7)])
    with pytest.raises(NothingToLearn, match="too few training rows: 32, at least 50"):
        freeze_training_set(there.stores, there.spec, day(8))


def test_labels_without_features_do_not_count_as_a_period(world):
    there = world()
    for number in range(8):
        raw = raw_day(number)
        there.put_raw(raw)
        there.put_labels(labels_of(raw))
    there.put_features([f"2024-01-0{number}" for number in range(1, 9) if number != 4])
    ts = freeze_training_set(there.stores, there.spec, day(10))
    assert "2024-01-04" not in ts.periods
    assert len(ts.periods) == 7


def test_slice_values_come_from_raw_as_it_was_known(lived):
    there = lived(spec=declared(gates={"slices": ("town",)}))
    frames = read_training_set(there.stores, freeze_training_set(there.stores, there.spec, day(12)))
    values = slice_values(there.stores, there.spec, frames.eval_keys, day(12))
    assert list(values.columns) == ["town"]
    assert values["town"].fillna("").tolist() == frames.eval_x["town"].fillna("").tolist()
    unknown = slice_values(there.stores, there.spec, frames.eval_keys, day(1))
    assert unknown["town"].isna().all()
    assert len(unknown) == len(frames.eval_keys)
