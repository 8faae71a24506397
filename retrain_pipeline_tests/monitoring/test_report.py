"""The pages that people read: Evidently's on a sample, and the picture of the loss."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.monitoring.plots import loss_plot
from retrain_pipeline.monitoring.report import html_report


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


def test_the_plot_of_the_loss_is_a_picture_and_the_same_each_time():
    weeks = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(weeks=i) for i in range(5)]
    picture = loss_plot(
        weeks, [1.0, 1.1, 1.3, 0.9, 1.0], [None, 1.0, 1.0, 0.8, 0.8], [weeks[1], weeks[3]], "a $x$ title"
    )
    assert picture.startswith(b"\x89PNG")
    assert picture == loss_plot(
        weeks, [1.0, 1.1, 1.3, 0.9, 1.0], [None, 1.0, 1.0, 0.8, 0.8], [weeks[1], weeks[3]], "a $x$ title"
    )
