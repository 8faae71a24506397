"""Labels that were inverted, recoded or rescaled are found; drift, which a retrain is for, is let through."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from retrain_pipeline.gates.calibration import (
    binary_calibration,
    expected_calibration_error,
    not_calibrated,
    residual_bias,
)
from retrain_pipeline.gates.labels import LabelRows, labels, leakage
from retrain_pipeline.learning.concord import auc_influence, excess_agreement, rank_agreement, relabelled
from retrain_pipeline.verdicts import Verdict

TRAIN = pd.date_range("2024-01-01", periods=24 * 56, freq="h", tz="UTC")
EVALUATION = pd.date_range("2024-02-26", periods=24 * 14, freq="h", tz="UTC")


def binary(rate=0.3, flip=False, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)

    def draw(n, add):
        score = np.clip(rng.beta(2, 2 * (1 - rate) / rate, n) + add, 0, 1)
        return score, (rng.random(n) < score).astype(int)

    before, train = draw(len(TRAIN), 0)
    now, truth = draw(len(EVALUATION), shift)
    return rows("binary", 1 - truth if flip else truth, train, now, before)


def loss(task, truth, told):
    if task == "multiclass":
        return (truth != told).astype(float)
    return np.square(truth - told)


def rows(task, truth, train, now, before, validated=None):
    """The champion's validated loss is that on the training rows, which are honest."""
    turned = loss(task, relabelled(task, truth, now), now)
    if validated is None:
        own = loss(task, train, before)
        validated = own.mean() + 2 * own.std() / np.sqrt(len(own))
    return LabelRows(task, truth, EVALUATION, train, TRAIN, now, before, turned, validated, 0.05, 24.0, 7)


@pytest.mark.fault("I7")
@pytest.mark.requirement("D6")
def test_inverted_binary_labels_fail():
    result = labels(binary(flip=True))
    assert result.verdict is Verdict.FAIL
    assert "inverted" in result.words


def test_honest_and_drifted_labels_pass():
    assert labels(binary()).verdict is Verdict.PASS
    assert labels(binary(shift=0.2)).verdict is Verdict.PASS


def test_an_effect_that_turned_is_drift_and_labels_that_turned_are_not():
    """The champion does worse than chance in both worlds; only in one would turning the labels mend it."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=len(EVALUATION)), rng.normal(size=len(EVALUATION))
    sigmoid = lambda x: 1 / (1 + np.exp(-4 * x))  # noqa: E731
    now = sigmoid(2.5 * a + b)
    before = sigmoid(rng.normal(0, 2.7, len(TRAIN)))
    train = (rng.random(len(TRAIN)) < before).astype(int)
    effect_turned = (rng.random(len(a)) < sigmoid(-2.5 * a + b)).astype(int)
    labels_turned = 1 - (rng.random(len(a)) < now).astype(int)
    drifted = labels(rows("binary", effect_turned, train, now, before))
    assert drifted.verdict is Verdict.PASS, drifted.words
    assert "the world turned" in drifted.words
    assert "with the labels turned round its loss is " in drifted.words
    assert labels(rows("binary", labels_turned, train, now, before)).verdict is Verdict.FAIL
    unknown = rows("binary", effect_turned, train, now, before)
    blind = labels(LabelRows(**{**unknown.__dict__, "validated_loss": None}))
    assert blind.verdict is Verdict.FAIL
    assert "; the champion's validated loss is not known to say otherwise; " in blind.words


def test_honest_labels_are_rarely_called_inverted():
    assert sum(labels(binary(seed=seed)).verdict is Verdict.FAIL for seed in range(20)) == 0


@pytest.mark.fault("I7")
@pytest.mark.parametrize("factor", [-1.0, 100.0])
def test_negated_or_rescaled_regression_labels_fail(factor):
    rng = np.random.default_rng(0)
    train, truth = rng.gamma(5, 10, len(TRAIN)), rng.gamma(5, 10, len(EVALUATION))
    told = truth + rng.normal(0, 5, len(truth))
    before = train + rng.normal(0, 5, len(train))
    assert labels(rows("regression", truth, train, told, before)).verdict is Verdict.PASS
    assert labels(rows("regression", truth * factor, train, told, before)).verdict is Verdict.FAIL


@pytest.mark.fault("I7")
def test_labels_in_a_larger_unit_fail_though_their_mean_is_near_nought():
    rng = np.random.default_rng(0)
    train, truth = rng.exponential(10, len(TRAIN)), rng.exponential(10, len(EVALUATION))
    assert labels(rows("regression", truth, train, truth, train)).verdict is Verdict.PASS
    assert labels(rows("regression", truth / 1000, train, truth, train)).verdict is Verdict.FAIL


def test_a_moderate_move_of_the_mean_alone_is_what_a_retrain_is_for():
    rng = np.random.default_rng(0)
    train, truth = rng.gamma(5, 10, len(TRAIN)), rng.gamma(5, 10, len(EVALUATION))
    result = labels(rows("regression", truth * 1.3, train, truth, train))
    assert result.verdict is Verdict.PASS
    assert "as drift does" in result.words


@pytest.mark.fault("I7")
def test_recoded_classes_fail():
    rng = np.random.default_rng(0)
    truth = rng.choice(["a", "b", "c"], len(EVALUATION))
    told = np.where(rng.random(len(truth)) < 0.8, truth, "a")
    train = rng.choice(["a", "b", "c"], len(TRAIN))
    before = np.where(rng.random(len(train)) < 0.8, train, "a")
    assert labels(rows("multiclass", truth, train, told, before)).verdict is Verdict.PASS
    recode = np.vectorize({"a": "b", "b": "c", "c": "a"}.get)
    assert labels(rows("multiclass", recode(truth), train, told, before)).verdict is Verdict.FAIL


def test_without_a_champion_there_is_nothing_to_ask_and_words_say_so():
    base = binary()
    first = LabelRows(**{**base.__dict__, "champion_evaluation": None, "champion_training": None})
    result = labels(first)
    assert result.verdict is Verdict.PASS
    assert "no champion" in result.words


@pytest.mark.fault("G19")
def test_what_cannot_be_told_is_inconclusive():
    base = binary()
    for change in (
        {"evaluation": np.zeros(len(EVALUATION), dtype=int)},
        {"champion_evaluation": np.full(len(EVALUATION), np.nan)},
        {"champion_training": None},
        {
            "evaluation": base.evaluation[:30],
            "evaluation_time": EVALUATION[:30],
            "champion_evaluation": base.champion_evaluation[:30],
        },
    ):
        assert labels(LabelRows(**{**base.__dict__, **change})).verdict is Verdict.INCONCLUSIVE, change.keys()


def test_influences_average_to_what_they_stand_for():
    rng = np.random.default_rng(0)
    truth, score = rng.integers(0, 2, 500), rng.integers(0, 20, 500) / 20
    assert auc_influence(truth, score).mean() == pytest.approx(roc_auc_score(truth, score))
    x = rng.normal(size=200)
    assert rank_agreement(x, x**3).mean() == pytest.approx(1.0)
    assert rank_agreement(x, np.ones(200)) is None
    assert auc_influence(np.ones(5), x[:5]) is None
    assert excess_agreement(np.array(["a"] * 5), np.array(["a"] * 5)) is None


@pytest.mark.fault("I28")
def test_a_feature_that_knows_the_label_fails_and_a_probe_that_did_not_run_is_no_pass():
    features = pd.DataFrame({"x": [1.0], "y": [2.0]})
    assert leakage([], features).verdict is Verdict.PASS
    assert leakage(None, features).verdict is Verdict.INCONCLUSIVE
    found = leakage([("y", 0.999)], features)
    assert found.verdict is Verdict.FAIL
    assert "y (0.999)" in found.words


def test_calibration_fails_only_when_badly_off_and_worse_than_the_champion():
    rng = np.random.default_rng(0)
    score = rng.random(500)
    truth = (rng.random(500) < score).astype(float)
    assert expected_calibration_error(score, truth) < 0.08
    assert binary_calibration(score, truth, None, seed=1).verdict is Verdict.PASS
    off = np.clip(score * 0.4, 0, 1)
    assert binary_calibration(off, truth, score, seed=1).verdict is Verdict.FAIL
    assert binary_calibration(off, truth, off * 0.5, seed=1).verdict is Verdict.PASS
    for bad in (np.full(500, np.nan), score + 1):
        assert binary_calibration(bad, truth, None, seed=1).verdict is Verdict.INCONCLUSIVE


def test_a_constant_error_of_regression_is_found():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, len(EVALUATION))

    def judge(residual, champion=None, n=336):
        return residual_bias(residual[:n], champion, EVALUATION[:n], alpha=0.05, block_hours=24, seed=1).verdict

    assert judge(noise) is Verdict.PASS
    assert judge(noise + 3) is Verdict.FAIL
    assert judge(noise + 3, noise + 30) is Verdict.PASS
    assert judge(noise + 3, n=40) is Verdict.INCONCLUSIVE
    assert judge(np.full(len(EVALUATION), np.nan)) is Verdict.INCONCLUSIVE
    assert judge(np.zeros(len(EVALUATION))) is Verdict.PASS
    assert not_calibrated(5).verdict is Verdict.PASS
