"""What a policy makes of a signal whose values are missing or late: pure, without stores."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from retrain_pipeline.monitoring.signal_value import MIN_PERIODS, ReleaseValue, movement
from retrain_pipeline.monitoring.signals import Course, Measured, SignalsReport, read_at
from retrain_pipeline.periods import Calendar
from retrain_pipeline.spec.signals import Missing
from retrain_pipeline.verdicts import Verdict

KNOWN = datetime(2024, 1, 8, tzinfo=UTC)
WEEKS = Calendar("week", date(2024, 1, 1))


def course(values: dict[int, float], policy: str = "interpolate", *, due: int = 20, se: float = 0.0, **more) -> Course:
    observed = {place: Measured(float(value), se, 1, KNOWN) for place, value in values.items()}
    calendar = more.pop("calendar", WEEKS)
    return Course("sales", "EUR", Missing(policy=policy, **more), calendar, observed, due)


def width(reading) -> float:
    return reading.high - reading.low


def test_an_observed_value_is_itself_with_its_own_error():
    found = read_at(course({3: 10.0}, se=2.0), 3)
    assert (found.how, found.imputed, found.value, found.age) == ("observed", False, 10.0, 0)
    assert (found.low, found.high) == (10 - 1.96 * 2, 10 + 1.96 * 2)


@pytest.mark.requirement("D20")
@pytest.mark.parametrize("policy", ["buffer", "halt"])
def test_what_waits_has_no_value(policy):
    found = read_at(course({1: 1, 2: 2, 3: 3, 5: 5}, policy), 4)
    assert (found.how, found.imputed, found.value, found.low) == ("waiting", False, None, None)


@pytest.mark.requirement("D20")
def test_a_gap_is_a_line_between_its_neighbours_and_widest_in_its_middle():
    signal = course({0: 8, 1: 9, 2: 10, 6: 30}, max_periods=3)
    found = [read_at(signal, place) for place in (3, 4, 5)]
    assert [one.value for one in found] == [15, 20, 25]
    assert all(one.imputed and one.how == "interpolated" for one in found)
    assert width(found[0]) == pytest.approx(width(found[2]))
    assert width(found[0]) < width(found[1])
    # σ² of the steps 1, 1 and 20 over 4 periods: (1 + 1 + 100) / 3; the bridge's middle: σ²·2·2/4
    assert found[1].se == pytest.approx((102 / 3) ** 0.5)


@pytest.mark.requirement("D20")
def test_a_carried_value_widens_with_every_period():
    signal = course({0: 8, 1: 10, 2: 9, 3: 11}, max_periods=5, se=0.5)
    found = [read_at(signal, place) for place in (4, 5, 6, 7)]
    assert [(one.how, one.value, one.age) for one in found] == [("carried", 11, age) for age in (1, 2, 3, 4)]
    assert [width(one) for one in found] == sorted({width(one) for one in found})
    assert found[3].se == pytest.approx((0.25 + 4 * (4 + 1 + 4) / 3) ** 0.5)


@pytest.mark.requirement("D20")
def test_an_interpolation_ends_after_its_periods_and_then_waits():
    signal = course({0: 8, 1: 9, 2: 10}, max_periods=2)
    assert [read_at(signal, place).how for place in (3, 4, 5, 6)] == ["carried", "carried", "waiting", "waiting"]
    closed = course({0: 8, 1: 9, 2: 10, 6: 11}, max_periods=2)
    assert {read_at(closed, place).how for place in (3, 4, 5)} == {"waiting"}


@pytest.mark.requirement("D20")
def test_a_declared_delay_is_no_gap():
    """Of four periods after the newest value one was due: the policy bears two."""
    signal = course({0: 8, 1: 9, 2: 10}, max_periods=2, due=3)
    assert [read_at(signal, place).how for place in (3, 4, 5, 6)] == ["carried"] * 4
    assert read_at(course({2: 10}, "buffer", due=3), 4).how == "not_due"
    assert read_at(course({2: 10}, "buffer", due=3), 3).how == "waiting"


def test_too_few_steps_tell_no_interval():
    found = read_at(course({0: 8, 1: 9}), 2)
    assert (found.how, found.value, found.low, found.high) == ("carried", 9, None, None)
    assert read_at(course({}), 2).how == "waiting"


@pytest.mark.requirement("D20", "B24")
def test_a_fallback_is_the_declared_value_or_the_median_of_its_season():
    values = {0: 1, 1: 2, 2: 9, 3: 2}
    constant = read_at(course(values, "fall_back", fall_back=4.0), 4)
    assert (constant.how, constant.imputed, constant.value) == ("fall_back", True, 4.0)
    assert read_at(course(values, "fall_back"), 4).value == 2.0
    assert width(read_at(course(values, "fall_back"), 6)) > width(read_at(course(values, "fall_back"), 4))
    assert read_at(course({}, "fall_back", fall_back=4.0), 4).value == 4.0
    assert read_at(course({}, "fall_back"), 4).how == "waiting"
    days = Calendar("day", date(2024, 1, 1))
    weekly = {place: 100.0 if place % 7 == 6 else 1.0 for place in range(28) if place != 27}
    assert read_at(course(weekly, "fall_back", calendar=days, due=40), 27).value == 100.0
    assert read_at(course(weekly, "fall_back", calendar=days, due=40), 28).value == 1.0


@pytest.mark.requirement("D20")
def test_a_halt_is_asked_for_beyond_its_periods_and_says_what_is_missing():
    assert course({3: 1.0}, "halt", max_periods=1, due=4).halt is None
    asked = course({3: 1.0}, "halt", max_periods=1, due=5)
    assert asked.verdict is Verdict.FAIL
    assert asked.halt.startswith(
        "signal 'sales' has no value for 2 periods up to 2024-02-05 (signals.sales.missing.max"
    )
    assert course({3: 1.0, 5: 2.0}, "halt", max_periods=1, due=5).halt is None
    assert course({3: 1.0}, "buffer", due=9).halt is None
    assert "1 period up to" in course({}, "halt", due=0).halt
    assert course({}, "halt", due=-1).halt is None


def test_a_verdict_passes_on_the_newest_due_value_alone():
    assert course({3: 1.0, 4: 1.0}, due=4).verdict is Verdict.PASS
    assert course({3: 1.0}, due=4).verdict is Verdict.INCONCLUSIVE
    assert course({3: 1.0}, due=3).verdict is Verdict.PASS
    assert SignalsReport().verdict is Verdict.INCONCLUSIVE


@pytest.mark.requirement("D20")
def test_an_answer_does_not_depend_on_how_much_later_it_is_given():
    """Else every monitoring would write every gap anew."""
    rng = np.random.default_rng(1)
    walk = {place: float(x) for place, x in enumerate(rng.normal(size=200).cumsum())}
    for policy in ("interpolate", "fall_back"):
        gap = {place: x for place, x in walk.items() if place != 90}
        early = course({place: x for place, x in gap.items() if 30 <= place <= 91}, policy, due=91)
        late = course(gap, policy, due=199)
        assert read_at(early, 90) == read_at(late, 90)


@pytest.mark.requirement("D20")
@pytest.mark.parametrize(("age", "noise"), [(1, 0.0), (4, 0.0), (2, 1.0)])
def test_the_interval_of_a_stale_value_holds_the_truth_as_often_as_it_says(age, noise):
    inside = 0
    for seed in range(600):
        rng = np.random.default_rng([age, seed])
        truth = rng.normal(size=20).cumsum()
        seen = truth + noise * rng.normal(size=20)
        now = 19 - age
        signal = course({place: seen[place] for place in range(now + 1)}, max_periods=9, se=noise)
        found = read_at(signal, 19)
        inside += found.low <= truth[19] <= found.high
    assert 0.93 <= inside / 600 <= (0.97 if not noise else 1.0), inside


@pytest.mark.requirement("D20")
def test_the_interval_of_an_interpolated_value_holds_the_truth():
    inside = 0
    for seed in range(600):
        truth = np.random.default_rng([9, seed]).normal(size=20).cumsum()
        signal = course({place: truth[place] for place in range(20) if place not in (16, 17)}, due=19)
        found = read_at(signal, 16)
        inside += found.low <= truth[16] <= found.high
    assert 0.93 <= inside / 600 <= 0.97, inside


@pytest.mark.requirement("D47")
@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_a_movement_that_is_none_is_seldom_told_as_one(rho):
    told = 0
    for seed in range(500):
        rng = np.random.default_rng([3, seed])
        x = [rng.normal() / (1 - rho**2) ** 0.5]
        for _ in range(25):
            x.append(rho * x[-1] + rng.normal())
        found = movement(dict(enumerate(x)), 13)
        told += not found.low <= 0 <= found.high
    assert told / 500 <= 0.08, told


@pytest.mark.requirement("D47")
def test_a_movement_is_found_and_told_without_a_cause():
    values = {place: (10.0 if place < 8 else 14.0) + 0.1 * (-1) ** place for place in range(16)}
    found = movement(values, 8)
    assert found.moved == pytest.approx(4.0)
    assert found.low > 3.5
    told = ReleaseValue("sales", "revenue", "EUR", "up", "v1", (0.01, 0.03), (1.0, 3.0), found).words
    assert "+4 EUR" in told
    assert "the declared way" in told
    assert "1 to 3 EUR was expected" in told
    assert not any(word in told for word in ("because", "caused", "due to", "thanks", "led to"))
    assert "against the declared way" in ReleaseValue("s", "revenue", "", "down", "v", None, None, found).words
    few = dict.fromkeys(range(8 + MIN_PERIODS - 1), 1.0)
    assert movement(few, 8) is None
    assert "no movement is told" in ReleaseValue("s", "revenue", "", "up", "v", None, None, None).words


def test_the_table_shows_what_is_imputed_and_why_it_halts():
    signal = course({0: 8, 1: 10, 2: 9}, max_periods=5)
    halted = course({}, "halt", due=2)
    report = SignalsReport(
        (read_at(signal, 5),), {"sales": signal.verdict}, (str(halted.halt),), {"sales": "file | gone"}
    )
    text = report.markdown()
    assert "| sales | 9 EUR |" in text
    assert "carried, 3 periods old | INCONCLUSIVE |" in text
    assert "has no value for 3 periods" in text
    assert "file / gone" in text
    assert report.facts() == {
        "verdict": "INCONCLUSIVE", "halts": [halted.halt], "waiting": [], "imputed": ["sales"]
    }  # fmt: skip
