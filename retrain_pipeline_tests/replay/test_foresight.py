"""The bench of what could be foreseen: its parts add up, and those that may not see a row or a batch do not."""

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.replay.compare import frontier
from retrain_pipeline.replay.history import History, delayed
from retrain_pipeline.replay.matrix import MIN_FIRST, LossMatrix
from retrain_pipeline.triggers.policies import Never, Periodic
from retrain_pipeline_tests.bench.forecasts import Forecast, expected, foreseen_share, halves
from retrain_pipeline_tests.bench.foresight import (
    KNOWERS,
    Case,
    best_limit,
    cron_job,
    exactly_coming,
    lost,
    other_half_limit,
)
from retrain_pipeline_tests.bench.peers import Recorded

BATCHES, ROWS, WARM_UP = 60, 16, 4


def matrix_of(mean: np.ndarray, delay: int = 0, rows: int = 1) -> LossMatrix:
    """Return a matrix whose models have these mean losses, the same on every row of a batch."""
    count = len(mean)
    starts = tuple(range(0, count * rows + 1, rows))
    history = History(
        "toy", "regression", "mae", pd.DataFrame(), np.empty(0), starts,
        tuple(map(str, range(count))), delayed(count, delay), 1.0,
    )  # fmt: skip
    return LossMatrix(history, {s: np.repeat(mean[s, s:], rows).astype(np.float32) for s in range(MIN_FIRST, count)})


def wandering(seed: int = 0) -> np.ndarray:
    """Return losses of models that go stale with a moving concept: the squared way from where each was fitted."""
    way = np.cumsum(np.random.default_rng(seed).normal(size=BATCHES) * 0.1)
    return 0.3 + (way[None, :] - way[:, None]) ** 2


def case_of(mean: np.ndarray, delay: int = 0, rows: int = 1) -> Case:
    matrix = matrix_of(mean, delay, rows)
    return Case("toy", matrix, WARM_UP, frontier(matrix, WARM_UP))


@pytest.mark.parametrize("delay", [0, 4])
@pytest.mark.parametrize("policy", [Never(), Periodic(2), Periodic(7)])
def test_what_is_lost_adds_up_to_the_regret(policy, delay):
    case = case_of(wandering(), delay)
    assert sum(lost(case, policy, 0.05)) == pytest.approx(case.regret(case.play(policy), 0.05))


def test_the_best_plan_loses_nothing_and_a_late_or_needless_retrain_is_called_by_its_name():
    stale = np.where(np.arange(BATCHES)[:, None] >= 30, 0.0, np.where(np.arange(BATCHES) >= 30, 0.5, 0.0))
    case = case_of(stale)
    assert case.best(0.1).retrains == (30,)
    count = BATCHES - WARM_UP
    for retrains, parts in (
        ((30,), (0, 0, 0)),
        ((33,), (0, 1.5, 0)),
        ((30, 40), (0.1, 0, 0)),
        ((20, 30), (0.1, 0, 0)),
        ((), (0, 0, 15 - 0.1)),
    ):
        found = np.array(lost(case, Recorded("plan", list(retrains)), 0.1)) * count
        assert found == pytest.approx(parts, abs=1e-6), retrains


def test_halves_share_no_row_and_make_up_the_whole():
    rng = np.random.default_rng(1)
    matrix = matrix_of(np.zeros((6, 6)), rows=ROWS)
    whole = LossMatrix(matrix.history, {s: rng.random(len(one)).astype(np.float32) for s, one in matrix.rows.items()})
    one, other = halves(whole)
    for s, losses in whole.rows.items():
        assert sorted([*one.rows[s], *other.rows[s]]) == sorted(losses)
    assert (one.mean + other.mean) / 2 == pytest.approx(whole.mean, nan_ok=True)
    assert list(one.of(3, 4)) == [x for i, x in enumerate(whole.of(3, 4)) if i // 2 % 2 == 0]


def test_expected_excess_keeps_what_depends_on_age_and_forgets_a_single_model_and_batch():
    age = np.arange(BATCHES) - np.arange(BATCHES)[:, None]
    by_age = np.where(age >= 0, 0.01 * age, np.nan)
    weather = np.random.default_rng(2).random(BATCHES)
    kept = expected(matrix_of(by_age + weather), 8).mean
    later = age[MIN_FIRST:, MIN_FIRST:] >= 0
    assert kept[MIN_FIRST:, MIN_FIRST:][later] == pytest.approx(by_age[MIN_FIRST:, MIN_FIRST:][later], abs=1e-6)
    unlucky = by_age.copy()
    unlucky[20, 25] += 1.0
    assert 0 < expected(matrix_of(unlucky), 8).mean[20, 25] - by_age[20, 25] < 0.1


def test_a_regression_foresees_what_depends_on_age_and_nothing_of_noise():
    age = np.maximum(np.arange(BATCHES) - np.arange(BATCHES)[:, None], 0)
    sure, noise = 0.01 * age, np.random.default_rng(3).random((BATCHES, BATCHES)) * (age > 0)
    for other_blocks in (False, True):
        assert foreseen_share(Forecast(matrix_of(sure), WARM_UP, other_blocks)) > 0.99
    assert foreseen_share(Forecast(matrix_of(noise), WARM_UP, other_blocks=True)) < 0.1


@pytest.mark.parametrize("batch", [28, 35])
def test_a_forecast_from_other_blocks_knows_nothing_of_the_batch_and_of_those_near_it(batch):
    mean = wandering()
    changed = mean.copy()
    changed[:batch, batch] += 1.0  # the first and the last of a block

    def moved(t: int, other_blocks: bool) -> float:
        one, other = (Forecast(matrix_of(losses), WARM_UP, other_blocks).coefficients(t) for losses in (mean, changed))
        return float(np.abs(one - other).max())

    assert moved(batch, other_blocks=True) == 0
    assert moved(batch, other_blocks=False) > 0
    assert moved(55, other_blocks=True) > 0


def test_who_sees_the_coming_batch_retrains_exactly_when_it_pays_at_once():
    stale = np.where(np.arange(BATCHES)[:, None] >= 30, 0.0, np.where(np.arange(BATCHES) >= 30, 0.5, 0.0))
    (found,) = exactly_coming(case_of(stale), 0.4)
    assert found.retrains == (30,)
    assert exactly_coming(case_of(stale), 0.6)[0].retrains == ()


def test_an_interval_from_the_other_half_is_no_better_than_the_best_and_is_that_where_nothing_changes():
    age = np.maximum(np.arange(BATCHES) - np.arange(BATCHES)[:, None], 0)
    case = case_of(0.02 * age)
    (best,), (other,) = (way(cron_job, case, 0.09) for way in (best_limit, other_half_limit))
    assert best.retrains[1] - best.retrains[0] == 3  # √(2 · 0.09 / 0.02)
    assert other.mean_cost(0.09) <= 1.05 * best.mean_cost(0.09)
    turned = case_of(np.where(np.arange(BATCHES) < 32, 0.02, 0.0) * age)
    (best,), (other,) = (way(cron_job, turned, 0.09) for way in (best_limit, other_half_limit))
    assert other.mean_cost(0.09) > best.mean_cost(0.09)


def test_everybody_on_the_page_is_played_and_the_plan_of_hindsight_is_never_beaten_on_what_it_knew():
    case = case_of(wandering(), delay=2, rows=ROWS)
    for words, knower in KNOWERS.items():
        for episode in knower(case, 0.05):
            assert case.regret(episode, 0.05) >= -1e-6, words
