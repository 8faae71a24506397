"""The e-detector: alarms as rarely as declared, early when the loss has risen, and a state that can be put down."""

import json
from datetime import date

import numpy as np
import pytest

from retrain_pipeline.monitoring.edetector import Detector, advance, start
from retrain_pipeline.monitoring.errors import FeedbackRefused
from retrain_pipeline.monitoring.performance import (
    detector,
    estimate,
    loss_blocks,
    performance,
    restart_weight,
    usual_rows,
)
from retrain_pipeline.periods import Calendar

WEEKS = Calendar("week", date(2024, 1, 1))


def first_alarm(state: Detector, values: np.ndarray, restart: float = 1.0) -> int | None:
    for index, value in enumerate(values):
        state = advance(state, [(float(value), 1.0)], restart)
        if state.alarmed:
            return index + 1
    return None


def row_life(seed: int, rate: float, rows: int, at: int = 0) -> int | None:
    """Errors of rows: validated on 2,000 at 20 %, then `rate` from row `at` on; the first alarm."""
    rng = np.random.default_rng([11, seed])
    known = rng.random(2000) < 0.2
    errors = rng.random(rows) < np.where(np.arange(rows) < at, 0.2, rate)
    return first_alarm(start(known.mean(), known.std() / 2000**0.5, 2000, 10_000, "rows"), errors.astype(float))


@pytest.mark.requirement("C13", "D16")
def test_a_rise_from_a_fifth_to_a_quarter_is_found_within_a_thousand_rows():
    found = [row_life(seed, 0.25, 1500) or 1500 for seed in range(40)]
    assert np.mean(found) < 1000
    assert np.median(found) < 700


@pytest.mark.requirement("C13", "D16")
def test_the_run_length_holds_though_the_validated_loss_is_an_estimate():
    # one alarm in 10,000 rows on average leaves at least 1/e of lives of 10,000 silent, of 3,000 three quarters
    alarms = [row_life(seed, 0.2, 3000) is not None for seed in range(40)]
    assert sum(alarms) / 40 < 0.35


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_blocks_that_depend_on_their_neighbours_raise_no_more_alarms_than_declared(rho):
    rng = np.random.default_rng(12)
    periods = alarms = 0
    for _ in range(60):
        level = np.zeros(14 + 182)
        for i, step in enumerate(rng.normal(size=len(level)) * (1 - rho**2) ** 0.5):
            level[i] = step if i == 0 else rho * level[i - 1] + step
        level = np.maximum(1 + 0.3 * level, 0)
        known, values = level[:14], level[14:]
        state = start(known.mean(), known.std(ddof=1) / 14**0.5, 14, 200, "blocks")
        found = first_alarm(state, values, 1 / 7)
        periods += (found or len(values)) / 7
        alarms += found is not None
    assert alarms / periods < 1 / 150


@pytest.mark.parametrize("pay", ["rows", "blocks"])
def test_a_rise_long_after_the_release_is_found_too(pay):
    rng = np.random.default_rng(13)
    values = np.maximum(1 + 0.1 * rng.normal(size=400), 0)
    values[300:] *= 1.5
    found = first_alarm(start(1.0, 0.1 / 28**0.5, 28, 200, pay), values, 1 / 7)
    assert found is not None
    assert 300 < found < 330


def test_one_enormous_loss_is_no_rise():
    rng = np.random.default_rng(14)
    values = np.maximum(1 + 0.1 * rng.normal(size=60), 0)
    values[30] = 1e6
    state = advance(start(1.0, 0.1 / 28**0.5, 28, 200, "blocks"), [(one, 1.0) for one in values.tolist()], 1 / 7)
    assert not state.alarmed


def test_a_normal_block_is_paid_at_most_one_whatever_is_bet():
    """The promise behind the run length: E[pay] ≤ 1 for blocks as they are under the null."""
    quantiles = (np.arange(4000) + 0.5) / 4000
    from scipy.stats import norm

    state = start(8.0, 0.02, 2000, 100, "blocks")  # cube root 2
    sd = (state.spread / state.dof) ** 0.5
    roots = state.mean + sd * norm.ppf(quantiles)
    sums = [advance(state, [(float(root) ** 3, 1.0)], 0.0).sums for root in roots]
    assert (np.mean(sums, axis=0) <= np.array(state.sums) * 1.001).all()


def test_rows_are_paid_one_on_average_whatever_their_shape():
    state = start(0.2, 0.4 / 2000**0.5, 2000, 10_000, "rows")
    won, lost = (np.array(advance(state, [(value, 1.0)], 0.0).sums) for value in (1.0, 0.0))
    assert 0.2 * won + 0.8 * lost == pytest.approx(np.array(state.sums))
    wild = [(value, chance) for value, chance in ((0.0, 0.9), (1.0, 0.09), (11.0, 0.01))]  # mean 0.2
    paid = sum(chance * np.array(advance(state, [(value, 1.0)], 0.0).sums) for value, chance in wild)
    assert paid == pytest.approx(np.array(state.sums))


@pytest.mark.fault("P26")
def test_the_stored_state_goes_on_where_it_was_put_down_and_replay_gives_the_same():
    rng = np.random.default_rng(15)
    hours = np.datetime64("2024-01-01T00:00", "us") + np.arange(24 * 7 * 6) * np.timedelta64(1, "h")
    losses = rng.exponential(1.0, len(hours))
    validated = estimate(rng.exponential(1.0, 24 * 14), hours[: 24 * 14], 24.0)

    def look(rows: int):
        return performance(
            losses[:rows], hours[:rows], validated, WEEKS, block_hours=24.0, run_length_periods=200.0
        ).detector

    # as JSON, since that is how it is kept
    before, after = (json.loads(json.dumps(look(weeks * 168), allow_nan=False)) for weeks in (4, 5))
    new = loss_blocks(losses[4 * 168 : 5 * 168], hours[4 * 168 : 5 * 168], 24.0, usual_rows(validated))
    resumed = advance(Detector.from_json(before), new, restart_weight(WEEKS, 24.0))
    assert resumed == Detector.from_json(after)
    assert len(json.dumps(after)) < 1000


def test_a_block_that_is_not_over_waits():
    hours = np.datetime64("2024-01-01T00:00", "us") + np.arange(60) * np.timedelta64(1, "h")
    end = WEEKS.origin.replace(day=3, hour=12)
    assert len(loss_blocks(np.ones(60), hours, 24.0, 24.0)) == 3
    assert loss_blocks(np.ones(60), hours, 24.0, 24.0, until=end) == [(1.0, 1.0), (1.0, 1.0)]
    assert loss_blocks(np.empty(0), hours[:0], 24.0, 24.0) == []


def test_few_rows_a_block_or_rare_errors_are_paid_as_rows():
    normal = estimate(
        np.full(24 * 14, 1.0), np.datetime64("2024-01-01", "us") + np.arange(336) * np.timedelta64(1, "h"), 24
    )
    assert detector(normal, 200).pay == "blocks"
    rng = np.random.default_rng(16)
    times = np.datetime64("2024-01-01", "us") + np.arange(336) * np.timedelta64(1, "h")
    assert detector(estimate((rng.random(336) < 0.01).astype(float), times, 24), 200).pay == "rows"
    assert detector(estimate(np.ones(336), times, 2), 200).pay == "rows"


def test_a_negative_loss_is_refused_by_name():
    with pytest.raises(FeedbackRefused, match=r"-0\.5"):
        advance(start(1.0, 0.1, 14, 200, "rows"), [(-0.5, 1.0)])


def test_a_loss_that_was_never_above_zero_is_judged_all_the_same():
    state = start(0.0, 0.0, 14, 200, "rows")
    assert not advance(state, [(0.0, 1.0)] * 50).alarmed
    assert advance(state, [(0.5, 1.0)] * 10).alarmed
