"""How stale the champion is: what a retrain right before each period would have saved in it."""

import json

import numpy as np
import pytest

from retrain_pipeline.learning import twins
from retrain_pipeline.learning.twins import champion_recipe, fit_twin, labelled_rows, twin_periods
from retrain_pipeline.monitoring import staleness as staleness_room
from retrain_pipeline.monitoring.staleness import Judged, Staleness, staleness


def played(world, first, last, **kinds):
    for week in range(first, last + 1):
        world.pass_week(week, **kinds)
        world.monitor(week)


def course(world):
    found = world.stores.ledger.latest("small", "monitored").payload["staleness"]
    return None if found is None else Staleness.from_json(found)


@pytest.mark.requirement("A30", "D5")
def test_there_is_no_excess_while_nothing_changes_and_it_is_what_a_fresh_model_saves_once_it_does(world):
    played(world, 6, 7)
    calm = course(world)
    assert [one.period for one in calm.judged] == [world.period(6)]  # of week 7 labels still come
    assert abs(calm.excess[0]) < 0.02
    played(world, 8, 13, slope=-2.0)
    changed = course(world)
    assert changed.judged[0] == calm.judged[0]
    assert [one.period for one in changed.judged] == [world.period(week) for week in range(6, 13)]
    excess = dict(zip([one.period for one in changed.judged], changed.excess, strict=True))
    assert abs(excess[world.period(8)]) < 0.1  # right after the change a fresh model knows no better
    assert excess[world.period(12)] > 0.3
    rows = world.stores.lake.read("small", "monitoring", periods=[world.period(13)])
    told = rows[rows["part"] == "staleness"].set_index("column").loc[world.period(12)]
    assert told["effect"] == pytest.approx(excess[world.period(12)])


def test_the_fresh_twin_learns_what_a_retrain_right_before_could(make_world):
    world = make_world()
    for week in range(9):
        world.pass_week(week)
    spec, lake = world.spec, world.stores.lake
    recipe = champion_recipe(world.stores, spec, None)
    periods = twin_periods(lake, spec, recipe, world.end(6), world.end(8))
    kept = spec.training.evaluation_periods
    assert periods == [world.period(week) for week in range(7 - kept)]
    early = twin_periods(lake, spec, recipe, world.end(6), world.end(6))  # as of then the labels of week 6 were not due
    assert early == [world.period(week) for week in range(6 - kept)]
    features, y = labelled_rows(lake, spec, periods, world.end(8))
    assert len(features) == len(y) == 168 * len(periods)
    assert list(features.columns) == sorted(features.columns)


def test_a_champion_of_more_rows_than_a_twin_learns_from_is_stood_for_by_a_twin(world, monkeypatch):
    played(world, 6, 7)
    whole = course(world).judged[0]
    monkeypatch.setattr(twins, "MAX_ROWS", 200)
    monkeypatch.setattr(staleness_room, "MAX_ROWS", 200)
    drawn = labelled_rows(world.stores.lake, world.spec, [world.period(w) for w in range(4)], world.end(7), 200)
    assert 150 <= len(drawn[1]) <= 200
    monkeypatch.setattr(staleness_room, "_before", lambda *_: None)
    found = staleness(world.stores, world.spec, staleness_room_champion(world), world.end(7))
    assert found.judged[0].champion != whole.champion
    assert found.judged[0].champion == pytest.approx(whole.champion, rel=0.2)


def staleness_room_champion(world):
    from retrain_pipeline.monitoring.champion import read_champion

    return read_champion(world.stores.ledger, world.spec)


def test_a_new_champion_starts_a_course_and_the_old_one_is_kept(world):
    played(world, 6, 9)
    before = course(world)
    world.release(9)
    played(world, 10, 10)
    after = course(world)
    assert after.version == world.champion.manifest.version != before.version
    assert after.past == (before.excess,)
    played(world, 11, 12)
    assert [one.period for one in course(world).judged] == [world.period(10), world.period(11)]
    assert course(world).past == (before.excess,)


def test_monitoring_again_finds_the_same_and_enters_nothing(world):
    played(world, 6, 8)
    newest = world.stores.ledger.latest("small", "monitored")
    assert world.monitor(8).seq == newest.seq
    played(world, 9, 9)
    assert world.monitor(8).seq == newest.seq  # an older period does not see what came later


def test_estimators_that_fail_are_told_of_and_monitoring_goes_on(world, monkeypatch):
    from sklearn.linear_model import Ridge

    def broken(*_, **__):
        raise FloatingPointError("diverged")

    monkeypatch.setattr(Ridge, "fit", broken)
    played(world, 6, 7)
    found = course(world)
    assert found.judged == ()
    assert "Ridge on" in found.trouble
    assert "FloatingPointError: diverged" in found.trouble


def test_a_course_survives_the_ledger_and_is_finite_json():
    made = Staleness("v1", 12.5, (Judged("2024-01-01", 0.25, 0.2, 0.01),), ((0.0, 0.1),), None)
    assert Staleness.from_json(json.loads(json.dumps(made.to_json(), allow_nan=False))) == made
    assert made.excess == (0.05,)


def test_a_twin_is_made_as_the_champion_was(six_weeks):
    recipe = champion_recipe(six_weeks.stores, six_weeks.spec, six_weeks.champion.manifest.version)
    assert recipe.candidate.search == {}
    assert recipe.candidate.estimator == six_weeks.champion.manifest.estimator
    rows = labelled_rows(six_weeks.stores.lake, six_weeks.spec, [six_weeks.period(0)], six_weeks.end(5))
    first, again = (fit_twin(recipe.candidate, *rows, "regression", 0) for _ in range(2))
    assert np.array_equal(first.predict(rows[0]), again.predict(rows[0]))


def test_periods_of_too_few_rows_hold_up_none_of_those_after_them(world):
    for week in range(6, 12):
        world.pass_week(week, rows=20 if week < 11 else 168)
    world.pass_week(12)
    world.monitor(12)
    assert [one.period for one in course(world).judged] == [world.period(11)]
