"""The interval that every comparison rests on: coverage, power, dependence, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain_pipeline.learning.paired import (
    MIN_BLOCKS,
    NotFinite,
    block_mean_band,
    block_mean_interval,
    paired_interval,
)


def hours(n, start="2024-01-01"):
    return pd.date_range(start, periods=n, freq="h", tz="UTC")


def ar1(phi, n, seed):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(n + 100)
    values = np.zeros(n + 100)
    for at in range(1, n + 100):
        values[at] = phi * values[at - 1] + noise[at]
    return values[100:]


def false_alarms(phi, n, block_hours, lives=200):
    found = [
        block_mean_interval(ar1(phi, n, life), hours(n), block_hours=block_hours, alpha=0.05, seed=life, resamples=400)
        for life in range(lives)
    ]
    return np.mean([one.high < 0 for one in found]), np.mean([one.low > 0 for one in found])


@pytest.mark.parametrize(("phi", "n"), [(0.0, 336), (0.6, 336), (0.0, 192)])
def test_each_bound_errs_about_as_often_as_stated(phi, n):
    """Hourly rows in daily blocks: 5 % stated, at most 9.5 % seen in 200 lives (p < 0.01 if it were 5 %)."""
    low, high = false_alarms(phi, n, 24)
    assert low <= 0.095
    assert high <= 0.095


def test_blocks_are_what_makes_dependent_rows_safe():
    """With one-hour blocks AR(1) losses give false alarms several times as often as stated; daily blocks mend it."""
    rows = max(false_alarms(0.8, 336, 1, lives=100))
    days = max(false_alarms(0.8, 336, 24, lives=100))
    assert rows > 0.15 > days


def test_a_real_difference_is_found():
    """Half a standard deviation over two weeks of independent rows is never missed."""
    rng = np.random.default_rng(0)
    found = []
    for life in range(40):
        champion = rng.gamma(2, 1, 336)
        candidate = champion - 0.3 + rng.normal(0, 0.6, 336)
        found.append(paired_interval(candidate, champion, hours(336), block_hours=24, alpha=0.05, seed=life).high < 0)
    assert np.mean(found) > 0.95


def test_the_same_rows_and_seed_give_the_same_bounds_in_any_order():
    values, times = ar1(0.5, 336, 1), hours(336)
    order = np.random.default_rng(0).permutation(336)
    one = block_mean_interval(values, times, block_hours=24, alpha=0.05, seed=3)
    two = block_mean_interval(values[order], times[order], block_hours=24, alpha=0.05, seed=3)
    assert (one.low, one.high) == pytest.approx((two.low, two.high), rel=1e-12)
    assert one.blocks == two.blocks == 14
    assert one.enough


@pytest.mark.parametrize(("days", "enough"), [(MIN_BLOCKS - 1, False), (MIN_BLOCKS, True)])
def test_few_blocks_are_not_enough_however_many_rows_they_hold(days, enough):
    times = hours(24 * days).repeat(50)
    found = block_mean_interval(np.ones(len(times)), times, block_hours=24, alpha=0.05, seed=0)
    assert found.enough is enough


def test_a_hole_of_years_does_not_make_empty_resamples():
    times = hours(240).append(hours(240, "2034-01-01"))
    found = block_mean_interval(np.random.default_rng(0).normal(1, 1, 480), times, block_hours=24, alpha=0.05, seed=0)
    assert found.blocks >= 20
    assert 0.5 < found.low < 1 < found.high < 1.5


def test_no_rows_and_one_block_give_no_bounds():
    for times in (hours(0), hours(3)):
        found = block_mean_interval(np.ones(len(times)), times, block_hours=24, alpha=0.05, seed=0)
        assert not found.enough
        assert found.high == np.inf
        assert found.low == -np.inf


@pytest.mark.fault("P27")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_no_number_is_refused(bad):
    values = np.ones(336)
    values[5] = bad
    with pytest.raises(NotFinite, match="1 of 336"):
        block_mean_interval(values, hours(336), block_hours=24, alpha=0.05, seed=0)


def test_the_band_holds_the_mean_of_another_stretch():
    inside = 0
    for life in range(60):
        values = ar1(0.6, 24 * 70, life)
        low, high = block_mean_band(
            values[:-336], hours(len(values) - 336), blocks=14, block_hours=24, alpha=0.01, seed=1
        )
        inside += low <= values[-336:].mean() <= high
    assert inside >= 55


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.integers(1, 72),
    st.integers(0, 2**31),
)
def test_bounds_hold_the_mean_between_them(values, block_hours, seed):
    array = np.array(values)
    found = block_mean_interval(array, hours(len(values)), block_hours=block_hours, alpha=0.05, seed=seed, resamples=50)
    assert found.mean == pytest.approx(array.mean())
    assert not np.isnan([found.low, found.high]).any()
    assert found.n == len(values)
    assert found.low <= found.high
