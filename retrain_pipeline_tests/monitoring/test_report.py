"""The pages that people read: Evidently's on a sample, and the picture of the loss."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.monitoring.joint import CalibrationBin
from retrain_pipeline.monitoring.plots import GuessPoint, LossPoint, loss_plot
from retrain_pipeline.monitoring.report import html_report, quality_report


@pytest.mark.requirement("C15")
@pytest.mark.dagster_fact("K17")
@pytest.mark.timeout(300)
def test_a_due_report_is_a_page_on_a_stated_sample_without_telemetry(make_world, monkeypatch):
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    world = make_world(report={"every": 1, "max_rows": 100})
    for week in range(6):
        world.pass_week(week)
    world.release(5)
    world.pass_week(6)
    report = world.monitor(6)
    page = world.stores.artifacts.get(report.evidently)
    assert b"<html" in page[:2000]
    stored = world.stores.artifacts.get_json(report.report)
    assert stored["checks"]["sampled"] == {"reference": 100, "current": 100}
    assert world.stores.artifacts.get(report.plot).startswith(b"\x89PNG")
    assert b"Regression" in world.stores.artifacts.get(report.quality)
    assert world.stores.ledger.latest("small", "monitored").payload["evidently"] == report.evidently
    import os

    assert os.environ["DO_NOT_TRACK"] == "1"  # Evidently's switch, read at each event
    assert world.monitor(6).seq == report.seq


@pytest.mark.timeout(300)
def test_columns_of_nothing_are_left_out_of_the_page(artifacts):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=80),
            "empty": pd.Series([None] * 80, dtype="float64"),
            "k": rng.choice(["b", "c"], 80),
            "gone": 1.0,
        }
    )
    now = frame.drop(columns="gone").assign(k=[None, *frame["k"][1:]])
    made = html_report(artifacts, frame, now, max_rows=50, seed=1, title="t")
    assert (made.reference_rows, made.current_rows) == (50, 50)
    assert html_report(artifacts, frame[["empty"]], now, max_rows=50, seed=1, title="t") is None


@pytest.mark.fault("S6")
@pytest.mark.timeout(300)
def test_markup_in_values_and_names_stays_text_in_the_page(artifacts):
    rng = np.random.default_rng(0)
    evil = "</script><script>alert(1)</script>"
    frame = pd.DataFrame({"<img src=x onerror=alert(1)>": rng.normal(size=80), "k": rng.choice([evil, "b"], 80)})
    made = html_report(artifacts, frame, frame, max_rows=80, seed=1, title=evil)
    page = artifacts.get(made.digest).decode()
    assert evil not in page
    assert "<img src=x" not in page


@pytest.mark.requirement("D27")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_labels_that_are_known_get_a_page_of_their_own_for_every_task(artifacts, task):
    rng = np.random.default_rng(0)
    score = rng.uniform(size=120)
    label, answer = score + rng.normal(0, 0.1, 120), score
    if task == "binary":
        label, answer = (rng.uniform(size=120) < score).astype(int), (score >= 0.5).astype(int)
    if task == "multiclass":
        label, answer = rng.choice(["a", "<b>", "c"], 120), rng.choice(["a", "<b>", "c"], 120)
    told = pd.DataFrame({"label": label, "prediction": answer, "score": score if task == "binary" else np.nan})
    made = quality_report(artifacts, task, told, told.head(60), max_rows=100, seed=1, title="t")
    page = artifacts.get(made)
    assert (b"Regression" if task == "regression" else b"Confusion Matrix") in page
    assert b"<b>" not in page
    assert quality_report(artifacts, task, told, told.head(3), max_rows=100, seed=1, title="t") is not None
    assert quality_report(artifacts, task, told.head(49), told, max_rows=100, seed=1, title="t") is None
    never = told.assign(label=0, prediction=0)
    assert quality_report(artifacts, task, never, told, max_rows=100, seed=1, title="t") is None
    if task == "multiclass":  # two classes of many are what Evidently 0.7.23 stumbles over
        two = told[told["label"].ne("c") & told["prediction"].ne("c")]
        assert quality_report(artifacts, task, pd.concat([two] * 3), told, max_rows=200, seed=1, title="t") is None
        assert quality_report(artifacts, task, told, pd.concat([two] * 3), max_rows=200, seed=1, title="t")
        other = told.replace("c", "d")
        assert quality_report(artifacts, task, told, other, max_rows=200, seed=1, title="t")


def weeks(count: int) -> list[datetime]:
    return [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(weeks=i) for i in range(count)]


@pytest.mark.requirement("D27")
def test_the_plot_of_the_loss_is_a_picture_and_the_same_each_time():
    losses = [
        LossPoint(at, loss, 0.2 if at.day > 8 else None, promised)
        for at, loss, promised in zip(weeks(5), [1.0, 1.1, 1.3, 0.9, 1.0], [None, 1.0, 1.0, 0.8, 0.8], strict=True)
    ]
    guesses = [GuessPoint(at, 1.0, 0.1, came) for at, came in zip(weeks(4), [1.05, 1.4, None, None], strict=True)]
    bins = [CalibrationBin(20, 0.1, 0.0), CalibrationBin(30, 0.6, 0.7), CalibrationBin(1, 0.9, 1.0)]
    pictures = set()
    for more in ({}, {"guesses": guesses}, {"bins": bins}, {"guesses": guesses, "bins": bins}):
        picture = loss_plot(losses, weeks(4)[1::2], "a $x$ title", **more)
        assert picture.startswith(b"\x89PNG")
        assert picture == loss_plot(losses, weeks(4)[1::2], "a $x$ title", **more)
        pictures.add(picture)
    assert len(pictures) == 4


def test_the_picture_draws_what_is_stored_of_a_binary_model(make_world, monkeypatch):
    from retrain_pipeline.monitoring import shown
    from retrain_pipeline.monitoring.joint import JointTable, Tally

    world = make_world()
    for week in range(6):
        world.pass_week(week)
    world.release(5)
    for week in (6, 7):
        world.pass_week(week)
        world.monitor(week)
    drawn = {}
    monkeypatch.setattr(
        shown, "loss_plot", lambda losses, releases, title, **more: drawn.update(more, l=losses) or b"p"
    )
    joint = JointTable((0.5,), {("", 0, "0"): Tally(8, 0, 0, 0), ("", 1, "1"): Tally(2, 2**21, 0, 0)})
    spec = world.spec.model_copy(deep=True)
    spec.data.label.__dict__["task"] = "binary"
    assert shown.stored_loss_plot(world.stores, spec, world.end(7), joint) is not None
    assert [one.loss for one in drawn["l"]] == pytest.approx(
        [world.stores.lake.read("small", "feedback", periods=[world.period(w)])["loss"].mean() for w in (6, 7)]
    )
    assert all(0 < one.half < one.loss for one in drawn["l"])
    assert [(one.rows, one.observed) for one in drawn["bins"]] == [(8, 0.0), (2, 1.0)]
    shown.stored_loss_plot(world.stores, world.spec, world.end(7), joint)
    assert drawn["bins"] == []  # of numbers there is no such curve
    named = JointTable((0.5,), {("", 0, "yes"): Tally(8)})
    shown.stored_loss_plot(world.stores, spec, world.end(7), named)
    assert drawn["bins"] == []
