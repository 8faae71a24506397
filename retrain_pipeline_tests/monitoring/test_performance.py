"""Performance: the loss against what was promised, silent by chance and loud when it has risen."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from retrain_pipeline.monitoring.performance import LossEstimate, estimate, performance, window_starts
from retrain_pipeline.periods import Calendar
from retrain_pipeline.verdicts import Verdict

WEEKS = Calendar("week", date(2024, 1, 1))
DAY = np.timedelta64(24, "h")


def hours(days: int) -> np.ndarray:
    return np.datetime64("2024-01-01T00:00", "us") + np.arange(24 * days) * np.timedelta64(1, "h")


def series(rng, days: int, mean: float = 1.0, day_sd: float = 0.1) -> np.ndarray:
    """Hourly losses whose days share a level."""
    return np.repeat(mean + day_sd * rng.normal(size=days), 24) + 0.3 * rng.normal(size=24 * days)


def judge(losses, validated, **more):
    arguments = {"block_hours": 24.0, "run_length_periods": 200.0, **more}
    return performance(losses, hours(len(losses) // 24), validated, WEEKS, **arguments)


def promise(rng, mean: float = 1.0) -> LossEstimate:
    return estimate(series(rng, 14, mean), hours(14), 24.0)


@pytest.mark.requirement("D16")
def test_a_champion_that_keeps_its_promise_is_left_alone():
    rng = np.random.default_rng(1)
    looks = alarms = 0
    for _ in range(60):
        losses, validated = series(rng, 7 * 26), promise(rng)
        for week in range(1, 27):
            looks += 1
            if judge(losses[: week * 168], validated).verdict is Verdict.FAIL:
                alarms += 1
                break
    # one in 200 looks is declared, one in 280 measured over many lives
    assert alarms / looks < 1 / 100


def test_a_risen_loss_is_found_within_one_window():
    rng = np.random.default_rng(2)
    found = []
    for _ in range(20):
        losses = np.concatenate([series(rng, 7 * 6), series(rng, 7 * 4, mean=1.2)])
        found.append(judge(losses, promise(rng)).verdict is Verdict.FAIL)
    assert sum(found) >= 18


def test_a_jump_is_found_in_its_first_week():
    rng = np.random.default_rng(9)
    losses = np.concatenate([series(rng, 7 * 6), series(rng, 7, mean=3.0)])
    result = judge(losses, promise(rng))
    assert result.verdict is Verdict.FAIL
    assert result.n == 168  # the last week alone; over four weeks the jump looks like noise between days


def test_the_words_carry_the_numbers():
    rng = np.random.default_rng(3)
    result = judge(series(rng, 28, mean=1.5), promise(rng))
    assert result.verdict is Verdict.FAIL
    assert result.against == "validated"
    assert result.relative_rise == pytest.approx(0.5, abs=0.1)
    assert result.statistic > result.threshold
    assert result.words.startswith(f"loss {result.mean:.4g} against {result.validated:.4g} validated (+")
    assert "n=672" in result.words


def test_decay_is_found_though_the_validation_was_done_on_hard_weeks():
    rng = np.random.default_rng(4)
    losses = np.concatenate([series(rng, 7 * 8, mean=0.8), series(rng, 7 * 4, mean=1.15)])
    result = judge(losses, promise(rng, mean=1.2))
    assert result.verdict is Verdict.FAIL
    assert result.against == "own_past"
    assert result.relative_rise < 0
    assert "before" in result.words


def test_a_model_already_worse_at_release_is_found_without_any_good_past():
    rng = np.random.default_rng(5)
    assert judge(series(rng, 7, mean=1.4), promise(rng)).verdict is Verdict.FAIL


def test_a_rise_below_five_percent_is_no_reason_however_sure():
    rng = np.random.default_rng(10)
    noise = 0.01 * rng.normal(size=24 * 28)
    validated = LossEstimate(1.0, 0.0003, 1000, 24_000, 1001)
    assert judge(1.04 + noise, validated).verdict is Verdict.PASS
    assert judge(1.06 + noise, validated).verdict is Verdict.FAIL


@pytest.mark.fault("P27")
def test_losses_that_are_no_numbers_are_no_pass():
    losses = np.ones(24 * 28)
    losses[-3:] = np.nan
    result = judge(losses, LossEstimate(1.0, 0.02, 13, 336, 14))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "3 of 672 losses are not finite" in result.words


@pytest.mark.fault("I25")
@pytest.mark.requirement("D20")
@pytest.mark.parametrize("days", [0, 1, 2])
def test_too_few_mature_labels_are_inconclusive(days):
    rng = np.random.default_rng(6)
    result = judge(series(rng, days, mean=5.0), promise(rng))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert ("no mature label" in result.words) or ("at least 50 in 2 are needed" in result.words)


def test_without_a_promise_there_is_no_verdict():
    assert judge(np.ones(24 * 28), None).verdict is Verdict.INCONCLUSIVE


def test_losses_that_never_vary_are_judged_all_the_same():
    flat = LossEstimate(1.0, 0.0, 13, 336, 14)
    assert judge(np.full(24 * 14, 1.0), flat).verdict is Verdict.PASS
    assert judge(np.full(24 * 14, 2.0), flat).verdict is Verdict.FAIL
    nothing = judge(np.full(24 * 14, 0.5), LossEstimate(0.0, 0.0, 13, 336, 14))
    assert (nothing.verdict, nothing.relative_rise) == (Verdict.FAIL, None)


def test_the_standard_error_counts_days_not_hours():
    rng = np.random.default_rng(7)
    losses = series(rng, 200, day_sd=1.0)
    found = estimate(losses, hours(200), 24.0)
    assert found.blocks == 200
    assert 0.8 / 200**0.5 < found.se < 1.4 / 200**0.5
    assert estimate(losses, hours(200), 1.0).se < 2 * found.se  # lag 1 of hours sees a part of the day
    alone = estimate(np.ones(3), hours(1)[:3], 24.0)
    assert alone.blocks == 1
    assert alone.se == np.inf


def test_neighbouring_days_that_depend_widen_the_standard_error():
    rng = np.random.default_rng(8)
    steps = rng.normal(size=400)
    level = np.zeros(400)
    for i in range(1, 400):
        level[i] = 0.7 * level[i - 1] + steps[i]
    dependent = estimate(np.repeat(level, 24), hours(400), 24.0)
    shuffled = estimate(np.repeat(rng.permutation(level), 24), hours(400), 24.0)
    assert dependent.se > 1.8 * shuffled.se
    assert dependent.dof < shuffled.dof


def test_the_window_is_four_periods_and_eight_blocks_at_least():
    newest = datetime(2024, 2, 7, 12, tzinfo=UTC)
    long, short = datetime(2024, 1, 15, tzinfo=UTC), datetime(2024, 2, 3, 12, tzinfo=UTC)
    assert window_starts(newest, WEEKS, 24) == (long, short)
    assert window_starts(newest.replace(day=11), WEEKS, 24) == (long, datetime(2024, 2, 5, tzinfo=UTC))
    days = Calendar("day", date(2024, 1, 1))
    assert window_starts(newest, days, 24) == (datetime(2024, 1, 31, tzinfo=UTC), short)
    hourly = Calendar("hour", date(2024, 1, 1))
    assert window_starts(newest, hourly, 1)[0] == datetime(2024, 2, 7, 5, tzinfo=UTC)
    months = Calendar("month", date(2024, 1, 1))
    two = (datetime(2022, 11, 7, tzinfo=UTC), newest - timedelta(days=240))
    assert window_starts(newest, months, 24 * 60) == two
