"""What a release was worth, days on."""

import pytest

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.triggers.horizons import horizons
from retrain_pipeline.triggers.scoring import SCORED, score_retrains
from retrain_pipeline_tests.monitoring.conftest import new_world
from retrain_pipeline_tests.triggers.test_scoring import retrain

START = 5


@pytest.fixture
def world(tmp_path):
    """A released version of week 5 that a retrain of week 9 replaced, which another one would replace."""
    made = new_world(tmp_path)
    yield made
    made.stores.close()


def reigned(world, savings, *, final, cost=0.02):
    """Enter a champion, a release as of the end of week 5, and what it was scored to save in each week after."""
    ledger, name = world.stores.ledger, world.spec.name
    for week, version in ((START - 1, "first"), (START, "second")):
        as_of = world.end(week).isoformat()
        row = ledger.deployment(name)
        ledger.append(NewEntry("test", "retrain_started", name, f"run-{week}", {"as_of": as_of}, run_id=f"run-{week}"))
        payload = {"version": version, "previous": row.state["champion"] if row else None, "as_of": as_of}
        entry = NewEntry("test", "released", name, version, payload, run_id=f"run-{week}")
        state = {"champion": version, "effective_as_of": as_of}
        ledger.change_deployment(name, row.epoch if row else 0, state, entry)
    released = ledger.entries(model=name, action="released")[-1]
    by_period = [
        {"period": world.period(START + 1 + place), "rows": 50, "saved": value} for place, value in enumerate(savings)
    ]
    evidence = world.stores.artifacts.put_json({"by_period": by_period})
    score = {"judged": released.seq, "evidence": evidence, "final": final, "cost": cost}
    ledger.append(NewEntry("monitoring", SCORED, name, "second", score))


@pytest.mark.requirement("D48")
def test_each_horizon_holds_its_own_periods(world):
    reigned(world, [0.2, -0.1, 0.3, 0.4, 0.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], final=False)
    month, two, three = horizons(world.stores, world.spec)
    assert [(one.version, one.against, one.days) for one in (month, two, three)] == [
        ("second", "first", 30), ("second", "first", 60), ("second", "first", 90),
    ]  # fmt: skip
    assert (month.periods, two.periods, three.periods) == (4, 8, 12)  # whole weeks that end within the days
    assert month.lift == pytest.approx(0.2)
    assert month.se == pytest.approx((((0.0 + 0.09 + 0.01 + 0.04) / 3) / 4) ** 0.5)
    assert (month.steady, two.steady) == (0.75, 7 / 8)
    assert [one.open for one in (month, two, three)] == [False, False, False]


@pytest.mark.requirement("D48")
def test_upkeep_counts_every_retrain_begun_in_the_days_whatever_came_of_it(world):
    reigned(world, [0.1] * 13, final=False)
    ledger, name = world.stores.ledger, world.spec.name
    for week in (START + 2, START + 6, START + 30):
        payload = {"as_of": world.end(week).isoformat()}
        ledger.append(NewEntry("test", "retrain_started", name, f"run-{week}", payload, run_id=f"run-{week}"))
    assert [one.upkeep for one in horizons(world.stores, world.spec)] == pytest.approx([0.04, 0.06, 0.06])


@pytest.mark.requirement("D48")
def test_a_horizon_is_open_until_its_periods_are_scored_or_the_reign_is_over(world):
    reigned(world, [0.1] * 5, final=False)
    assert [one.open for one in horizons(world.stores, world.spec)] == [False, True, True]
    assert [one.periods for one in horizons(world.stores, world.spec)] == [4, 5, 5]


@pytest.mark.requirement("D48")
def test_a_reign_that_ended_is_told_up_to_its_end(world):
    reigned(world, [0.1], final=True)
    rows = horizons(world.stores, world.spec)
    assert [(one.periods, one.open, one.se) for one in rows] == [(1, False, None)] * 3
    assert rows[0].cells()[-3:] == ("0.1", "100%", "0.02")


def test_a_release_without_a_score_says_so(world):
    reigned(world, [], final=False)
    (row, *_) = horizons(world.stores, world.spec)
    assert (row.periods, row.lift, row.open) == (0, None, True)
    assert "no labels yet" in row.cells()


@pytest.mark.requirement("D48")
def test_what_scoring_enters_is_what_is_read(tmp_path):
    world = new_world(tmp_path)
    for week in range(6):
        world.pass_week(week)
    retrain(world, 5, kind="first_model")
    for week in range(6, 10):
        world.pass_week(week)
    retrain(world, 6)
    (score,) = score_retrains(world.stores, world.spec, world.end(9))
    (month, *_) = horizons(world.stores, world.spec)
    assert month.periods == len(score.by_period) > 1
    assert month.lift * month.periods == pytest.approx(sum(saved for _, _, saved in score.by_period))
    world.stores.close()
