"""A monitored period on one page, read from the stores."""

import json
from dataclasses import replace

import pytest

from retrain_pipeline.monitoring.errors import NotMonitored
from retrain_pipeline.monitoring.page import read_page


@pytest.mark.requirement("D5", "D27")
def test_the_page_says_what_was_found(world):
    for week in (6, 7):
        world.pass_week(week, slope=-2.0, shift=3.0)
        report = world.monitor(week)
    page = read_page(world.stores, world.spec)
    assert (page.period, page.as_of, page.verdict) == (world.period(7), world.end(7), "FAIL")
    assert (page.champion, page.serving) == (report.champion, report.champion)
    assert page.champion_age_periods == 2
    assert page.performance["mean"] == report.performance.mean
    assert page.half == pytest.approx(1.96 * report.performance.se)
    assert page.reasons == report.diagnosis.reasons
    assert page.columns[0].column == "x"
    assert page.known_by_age == report.late.curve.known
    assert page.operation["rows"] == 168
    assert read_page(world.stores, world.spec, world.period(6)).period == world.period(6)


def test_a_period_from_before_the_first_release_has_a_page(make_world):
    world = make_world()
    world.pass_week(0)
    world.monitor(0)
    page = read_page(world.stores, world.spec)
    assert (page.champion, page.champion_age_periods, page.columns, page.half) == (None, None, (), None)
    json.dumps(page.to_json(), allow_nan=False)


def test_the_newest_period_is_shown_though_an_old_one_was_monitored_last(world):
    for week in (6, 7):
        world.pass_week(week)
    for week in (7, 6):
        world.monitor(week)
    assert read_page(world.stores, world.spec).period == world.period(7)


def test_json_has_no_nan_and_no_infinity(world):
    world.pass_week(6)
    world.monitor(6)
    page = read_page(world.stores, world.spec)
    odd = {**page.performance, "mean": float("nan"), "n": float("inf")}
    value = replace(page, performance=odd).to_json()
    assert value["performance"]["mean"] is None
    assert value["performance"]["n"] is None
    json.dumps(value, allow_nan=False)


def test_a_period_that_was_not_monitored_is_refused_with_the_nearest(world):
    with pytest.raises(NotMonitored, match="no period was monitored yet"):
        read_page(world.stores, world.spec)
    world.pass_week(6)
    world.monitor(6)
    for asked in ("2024-02-13", "2024-2-12", "", "week 6"):
        with pytest.raises(NotMonitored, match=f"did you mean {world.period(6)}"):
            read_page(world.stores, world.spec, asked)


def test_a_table_of_signals_is_shown_whatever_its_columns(world):
    world.pass_week(6)
    world.monitor(6)
    assert "prediction_count" in [one["signal"] for one in read_page(world.stores, world.spec).signals]
    rows = world.raw[6][["_event_time", "_known_time"]].head(2).assign(signal=["clicks", "errors"], value=[3.0, None])
    world.stores.lake.replace_partition("small", "signals", world.period(6), rows)
    page = read_page(world.stores, world.spec)
    assert [one["signal"] for one in page.signals] == ["clicks", "errors"]
    assert page.to_json()["signals"][1]["value"] is None


def test_a_loss_is_drawn_where_nothing_had_to_be_estimated(make_world):
    world = make_world(label={"delay_hours": 0}, report={"every": 1})
    for week in range(6):
        world.pass_week(week)
    world.release(5)
    for week in (6, 7):
        world.pass_week(week)
        report = world.monitor(week)
    assert report.late.guess.estimate is None
    assert world.stores.artifacts.get(report.plot).startswith(b"\x89PNG")
