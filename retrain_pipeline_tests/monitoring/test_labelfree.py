"""The loss without labels: right where only inputs moved, blind where labels did, and never a guess from nothing."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from retrain_pipeline.learning.losses import row_losses
from retrain_pipeline.monitoring.labelfree import BLIND, calibrate, cbpe, dle


def binary(seed: int, n: int = 3000, shift: float = 0.0, distort: float = 1.0):
    """Scores and labels; scores are over-confident by `distort`."""
    rng = np.random.default_rng([21, seed])
    true = rng.normal(shift, 1.5, n)
    label = (rng.random(n) < 1 / (1 + np.exp(-true))).astype(int)
    score = 1 / (1 + np.exp(-distort * true))
    return score, (score >= 0.5).astype(int), label


def loss(metric, score, prediction, label):
    return row_losses(metric, "binary", label, pd.DataFrame({"score": score, "prediction": prediction})).mean()


def test_calibration_is_that_of_a_logistic_regression():
    score, _, label = binary(0, distort=2.0)
    found = calibrate(score, label)
    peer = LogisticRegression(C=1e6).fit(np.log(score / (1 - score))[:, None], label)
    assert (found.slope, found.intercept) == pytest.approx((peer.coef_[0, 0], peer.intercept_[0]), abs=2e-3)
    assert found.slope == pytest.approx(0.5, abs=3 * found.slope_se)
    assert 0.01 < found.slope_se < 0.05


def test_calibration_of_too_little_is_none():
    score, _, label = binary(0, n=199)
    assert calibrate(score, label) is None
    score, _, label = binary(0)
    assert calibrate(score, np.zeros_like(label)) is None
    assert calibrate(np.full_like(score, 0.5), label) is None
    assert calibrate(np.where(score > 0.9, np.nan, score), label) is None


@pytest.mark.requirement("D20")
@pytest.mark.parametrize("metric", ["error", "brier", "log_loss"])
def test_cbpe_says_the_loss_of_shifted_inputs_in_its_interval(metric):
    inside = 0
    for seed in range(40):
        known, (score, prediction, label) = binary(seed, distort=2.0), binary(100 + seed, 800, 1.0, distort=2.0)
        guess = cbpe(metric, calibrate(known[0], known[2]), score, prediction)
        inside += guess.low <= loss(metric, score, prediction, label) <= guess.high
    assert inside >= 35  # 95 % of 40 are 38


def test_estimates_are_blind_to_labels_and_say_so():
    known, (score, prediction, label) = binary(1), binary(2, 800)
    guess = cbpe("error", calibrate(known[0], known[2]), score, prediction)
    assert loss("error", score, prediction, 1 - label) > guess.high
    assert BLIND in guess.words
    assert f"[{guess.low:.4g}, {guess.high:.4g}]" in guess.words


def regression(seed: int, n: int, shift: float = 0.0):
    """Rows whose error grows with x; the answer says half of it."""
    rng = np.random.default_rng([22, seed])
    x = rng.normal(shift, 1, n)
    kind = rng.choice(["a", "b"], n)
    errors = np.abs(rng.normal(size=n)) * (1 + np.clip(x, 0, 3)) * np.where(kind == "a", 1.0, 2.0)
    return pd.DataFrame({"x": x, "kind": kind, "prediction": x / 2, "score": np.nan}), errors


@pytest.mark.requirement("D20")
def test_direct_loss_estimation_follows_inputs_into_harder_rows():
    inside, rises = 0, []
    for seed in range(12):
        (rows, errors), (now, realized) = regression(seed, 3000), regression(100 + seed, 600, shift=1.0)
        guess = dle(errors, rows, now, seed=0)
        inside += guess.low <= realized.mean() <= guess.high
        rises.append(guess.estimate / errors.mean())
    assert inside >= 10
    assert np.mean(rises) > 1.3


def test_the_same_rows_give_the_same_estimate_and_unknown_levels_are_read():
    (rows, errors), (now, _) = regression(1, 1000), regression(2, 100)
    now["kind"] = "never seen"
    first, second = dle(errors, rows, now, seed=3), dle(errors, rows, now, seed=3)
    assert first == second
    assert np.isfinite(first.estimate)


def test_without_rows_there_is_no_estimate():
    (rows, errors), (now, _) = regression(1, 199), regression(2, 100)
    for guess in (
        dle(errors, rows, now, seed=0),
        dle(np.append(errors, np.nan), rows, now, seed=0),
        cbpe("error", None, np.array([0.5]), np.array([1.0])),
        cbpe("error", calibrate(*binary(0)[::2]), np.array([]), np.array([])),
        cbpe("error", calibrate(*binary(0)[::2]), np.array([np.nan]), np.array([1.0])),
    ):
        assert (guess.estimate, guess.low, guess.high) == (None, None, None)
        assert "no estimate" in guess.words
