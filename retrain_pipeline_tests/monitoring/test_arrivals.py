"""Deliveries of labels, each looked at by itself."""

import pandas as pd
import pytest

from retrain_pipeline.monitoring.arrivals import suspect_delivery
from retrain_pipeline.monitoring.diagnosis import Cause
from retrain_pipeline.monitoring.feedback import update_feedback


def turned(world, week, change):
    """Deliver the labels of a week again, changed, and join them anew."""
    lake = world.stores.lake
    labels = lake.read("small", "labels", periods=[world.period(week)])
    labels = labels.drop(columns=[name for name in labels.columns if name in ("_period", "_content")])
    lake.replace_partition("small", "labels", world.period(week), labels.assign(label=change(labels["label"])))
    update_feedback(world.stores, world.spec, world.period(week))


@pytest.fixture
def served(world):
    """A champion that has served six weeks."""
    for week in range(6, 12):
        world.pass_week(week)
    return world


@pytest.mark.fault("I7")
@pytest.mark.parametrize("change", [lambda y: -y, lambda y: 100 * y], ids=["inverted", "rescaled"])
def test_one_wrong_delivery_is_a_label_fault_until_it_is_corrected(served, change):
    assert suspect_delivery(served.stores, served.spec, served.end(11)) is None
    turned(served, 9, change)
    words = suspect_delivery(served.stores, served.spec, served.end(11))
    assert "labels look" in words
    assert words.endswith(f"in those that became known in {served.period(9)}")
    assert suspect_delivery(served.stores, served.spec, served.end(8)) is None  # it had not come yet
    found = served.monitor(11).diagnosis
    assert found.cause is Cause.LABEL_FAULT
    assert served.period(9) in found.words
    right = served.stores.lake.read("small", "labels", periods=[served.period(9)])[["id", "_event_time"]]
    every = pd.concat(served.raw.values())[["id", "y"]].rename(columns={"y": "label"})
    again = right.merge(every, on="id").assign(_known_time=pd.Timestamp(served.end(11)) + pd.Timedelta(hours=12))
    served.raw[12] = served.raw[11].iloc[:0]
    served.know_labels(12, again)
    update_feedback(served.stores, served.spec, served.period(12))
    assert suspect_delivery(served.stores, served.spec, served.end(12)) is None


def test_a_world_that_changed_is_no_wrong_delivery(world):
    for week in range(6, 12):
        world.pass_week(week, slope=0.5, shift=0.5)
    assert suspect_delivery(world.stores, world.spec, world.end(11)) is None


def test_few_labels_and_no_feedback_say_nothing(make_world):
    world = make_world()
    assert suspect_delivery(world.stores, world.spec, world.end(0)) is None
