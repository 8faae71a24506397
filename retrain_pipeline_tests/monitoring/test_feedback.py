"""Feedback: labels as they mature, joined to what was predicted, corrected when they are corrected."""

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.monitoring.feedback import (
    champion_losses,
    mature_feedback,
    mature_until,
    update_feedback,
)


def correction(world, week: int, value: float) -> pd.DataFrame:
    """Return another label for the first row of week 6, known in the middle of a week."""
    first = world.raw[6].iloc[[0]]
    known = pd.Timestamp(world.end(week)) - pd.Timedelta(days=3)
    return first[["id", "_event_time"]].assign(label=value, _known_time=known)


@pytest.mark.requirement("D5")
def test_labels_meet_the_predictions_of_any_earlier_period(world):
    world.pass_week(6)
    world.pass_week(7)
    rows = world.stores.lake.read("small", "feedback", periods=[world.period(7)])
    assert set(rows["predicted_period"]) == {world.period(6), world.period(7)}
    assert (rows["loss"] - (rows["label"] - rows["prediction"]).abs()).abs().max() < 1e-12
    assert set(rows["model_version"]) == {world.champion.manifest.version}
    assert ((rows["_known_time"] - rows["_event_time"]) == pd.Timedelta(hours=24)).all()
    assert {"id", "score", "arm", "_period"} <= set(rows.columns)


def test_the_report_counts_labels_without_a_prediction_and_maturity(world):
    world.pass_week(6)
    report = update_feedback(world.stores, world.spec, world.period(6))
    # 24 hours of labels of week 5, when there was no champion, and 6 of 7 days of week 6
    assert (report.labels, report.rows, report.unanswered) == (168, 144, 24)
    assert report.maturity == {world.period(6): pytest.approx(144 / 168)}
    assert not report.write.changed
    world.pass_week(7)
    report = update_feedback(world.stores, world.spec, world.period(7))
    assert report.maturity == {world.period(6): 1.0, world.period(7): pytest.approx(144 / 168)}


@pytest.mark.fault("I25")
def test_labels_younger_than_their_delay_do_not_count(make_world):
    world = make_world(label={"delay_hours": 48})
    for week in range(6):
        world.pass_week(week)
    world.release(5)
    world.pass_week(6)
    # labels that came early: all of them positive answers, as in a feed where silence means "no" only later
    late = world.raw[6].tail(20)
    early = late[["id", "_event_time"]].assign(label=1000.0, _known_time=late["_event_time"])
    world.know_labels(6, early)
    update_feedback(world.stores, world.spec, world.period(6))
    end = world.end(6)
    assert mature_feedback(world.stores.lake, world.spec, end)["label"].max() == 1000.0
    losses, times = champion_losses(world.stores.lake, world.spec, world.champion.manifest.version, world.end(5), end)
    assert mature_until(world.spec, end) == end - pd.Timedelta(hours=48)
    assert losses.max() < 100
    assert times.max() < np.datetime64(mature_until(world.spec, end).replace(tzinfo=None))
    assert len(losses) == 168 - 48


@pytest.mark.fault("I11")
def test_a_corrected_label_counts_from_when_it_was_known(world):
    world.pass_week(6)
    world.pass_week(7)
    world.know_labels(7, correction(world, 7, 99.0))
    update_feedback(world.stores, world.spec, world.period(7))
    lake, first = world.stores.lake, world.raw[6]["id"].iloc[0]

    def label(as_of):
        rows = mature_feedback(lake, world.spec, as_of)
        found = rows.loc[rows["id"] == first, "label"]
        assert len(found) == 1
        return found.iloc[0]

    assert label(world.end(6)) == pytest.approx(world.raw[6]["y"].iloc[0])
    assert label(world.end(7)) == 99.0
    version = world.champion.manifest.version
    before, _ = champion_losses(lake, world.spec, version, world.end(5), world.end(6))
    after, _ = champion_losses(lake, world.spec, version, world.end(5), world.end(7))
    assert before.max() < 50 < after.max()
    assert len(after) == 168 + 144


def test_feedback_is_read_as_of_a_moment_since_a_moment_and_of_one_version(world):
    for week in (6, 7, 8):
        world.pass_week(week)
    lake, spec = world.stores.lake, world.spec
    rows = mature_feedback(lake, spec, world.end(7), since=world.end(6))
    assert set(rows["predicted_period"]) == {world.period(7)}
    assert mature_feedback(lake, spec, world.end(8), version="another").empty
    assert mature_feedback(lake, spec, world.end(2)).empty
    assert champion_losses(lake, spec, "another", world.end(5), world.end(8))[0].shape == (0,)
    assert champion_losses(lake, spec, "another", world.end(8), world.end(8))[0].shape == (0,)


def test_a_backfilled_prediction_heals_the_feedback(world):
    world.pass_week(6)
    lake = world.stores.lake
    kept = lake.read("small", "predictions", periods=[world.period(6)])
    lake.replace_partition("small", "predictions", world.period(6), kept.head(0))
    assert update_feedback(world.stores, world.spec, world.period(6)).rows == 0
    world.predict(6)
    healed = update_feedback(world.stores, world.spec, world.period(6))
    assert healed.rows == 144
    assert healed.write.changed


def test_nothing_known_and_nothing_predicted_are_empty_partitions_that_are_present(make_world):
    world = make_world()
    world.pass_week(0)
    report = update_feedback(world.stores, world.spec, world.period(0))
    assert (report.rows, report.unanswered, report.maturity) == (0, 144, {})
    assert world.stores.lake.periods("small", "feedback") == [world.period(0)]
    world.stores.lake.replace_partition(
        "small", "labels", world.period(1), world.raw[0][["_event_time", "_known_time"]].head(0)
    )
    assert update_feedback(world.stores, world.spec, world.period(1)).labels == 0


def test_predictions_whose_labels_are_not_yet_known_have_maturity_zero(make_world):
    world = make_world(label={"delay_hours": 24 * 21})
    for week in range(9):
        world.pass_week(week)
    world.release(8)
    world.pass_week(9)
    assert update_feedback(world.stores, world.spec, world.period(9)).maturity == {world.period(9): 0.0}


def test_what_lies_beyond_the_budget_of_rows_is_left_out_not_guessed(world, monkeypatch):
    for week in (6, 7, 8):
        world.pass_week(week)
    lake, spec, version = world.stores.lake, world.spec, world.champion.manifest.version
    whole = update_feedback(world.stores, spec, world.period(8)).maturity
    assert whole == {world.period(6): 1.0, world.period(7): 1.0, world.period(8): pytest.approx(144 / 168)}
    monkeypatch.setattr("retrain_pipeline.monitoring.feedback._MAX_ROWS", 2 * 168)
    report = update_feedback(world.stores, spec, world.period(8))
    assert report.maturity == {period: whole[period] for period in (world.period(7), world.period(8))}
    losses, times = champion_losses(lake, spec, version, world.end(5), world.end(8))
    assert len(losses) == 2 * 168
    assert times.min() == np.datetime64(world.end(6).replace(tzinfo=None)) - np.timedelta64(24, "h")
