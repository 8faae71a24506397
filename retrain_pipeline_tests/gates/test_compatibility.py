"""Contract, disjointness, latency, size and fingerprint, each with the case that it must not let through."""

import time

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates.compatibility import Answers, Asked, Seen, contract, disjoint, seen_rows
from retrain_pipeline.gates.operation import fingerprint, latency, size
from retrain_pipeline.verdicts import Verdict

HOURS = pd.Series(pd.date_range("2024-03-01", periods=10, freq="h", tz="UTC"))
EARLY = pd.Timestamp("2024-02-01", tz="UTC")


def told(prediction, score=np.nan):
    return pd.DataFrame({"prediction": prediction, "score": score})


def judge(task, predictions, *, columns=("a", "b"), takes=("a", "b"), classes=(), rows=3):
    return contract(Asked(task, columns, rows, classes), (Answers("candidate", takes, predictions),))


@pytest.mark.requirement("D25", "D6", "D8")
@pytest.mark.parametrize(
    ("task", "predictions", "words"),
    [
        ("regression", told([1.0, np.nan, 2.0]), "not finite"),
        ("regression", told([1.0, np.inf, 2.0]), "not finite"),
        ("regression", told([1.0, 2.0]), "2 predictions for 3 rows"),
        ("regression", None, "cannot predict"),
        ("binary", told([0, 1, 1], [0.1, 1.2, 0.9]), "not probabilities"),
        ("binary", told([0, 1, 1]), "not probabilities"),
        ("binary", told([0, 2, 1], 0.5), "besides 0 and 1"),
        ("multiclass", told(["x", "y", "?"]), "unknown classes ?"),
    ],
)
def test_answers_of_the_wrong_shape_or_kind_fail(task, predictions, words):
    result = judge(task, predictions, classes=("x", "y"))
    assert result.verdict is Verdict.FAIL
    assert words in result.words


@pytest.mark.requirement("D25", "D8")
def test_a_model_whose_columns_are_gone_fails_by_name():
    result = judge("regression", told([1.0, 2.0, 3.0]), columns=("a",))
    assert result.verdict is Verdict.FAIL
    assert "needs b" in result.words


@pytest.mark.requirement("D25")
def test_answers_in_kind_pass_for_candidate_and_champion():
    good = Answers("champion", ("a",), told([0, 1, 1], [0.1, 0.8, 0.9]))
    result = contract(Asked("binary", ("a", "b"), 3), (Answers("candidate", ("a", "b"), told([0, 1, 0], 0.5)), good))
    assert result.verdict is Verdict.PASS
    assert "champion" in result.words
    assert judge("multiclass", told(["x", "y", "x"]), classes=("x", "y")).verdict is Verdict.PASS
    assert judge("regression", told([1.0, 2.0, 3.0])).verdict is Verdict.PASS
    labels_only = Asked("binary", ("a",), 3, probabilities=False)
    assert contract(labels_only, (Answers("candidate", ("a",), told([0, 1, 1])),)).verdict is Verdict.PASS


DIGESTS = np.arange(10, dtype=np.uint64)


@pytest.mark.requirement("D38")
@pytest.mark.fault("I30")
def test_an_evaluation_row_that_the_candidate_trained_on_fails():
    clean = Seen("candidate", np.array([100, 101], dtype=np.uint64), EARLY)
    assert disjoint(DIGESTS, HOURS, clean, None, min_rows=5).verdict is Verdict.PASS
    dirty = Seen("candidate", np.array([100, 3], dtype=np.uint64), EARLY)
    found = disjoint(DIGESTS, HOURS, dirty, None, min_rows=5)
    assert found.verdict is Verdict.FAIL
    assert found.statistic == 1
    late = Seen("candidate", np.array([100], dtype=np.uint64), HOURS[0])
    assert disjoint(DIGESTS, HOURS, late, None, min_rows=5).verdict is Verdict.FAIL


@pytest.mark.fault("I30")
def test_rows_that_the_champion_has_seen_are_left_out_until_too_few_remain():
    candidate = Seen("candidate", np.array([100], dtype=np.uint64), EARLY)
    champion = Seen("champion", np.array([0, 1, 2], dtype=np.uint64), HOURS[4])
    assert seen_rows(DIGESTS, HOURS, champion).sum() == 5
    assert disjoint(DIGESTS, HOURS, candidate, champion, min_rows=5).verdict is Verdict.PASS
    assert disjoint(DIGESTS, HOURS, candidate, champion, min_rows=6).verdict is Verdict.INCONCLUSIVE


@pytest.mark.fault("G19")
def test_lost_row_digests_prove_nothing():
    lost = Seen("candidate", None, EARLY)
    assert disjoint(DIGESTS, HOURS, lost, None, min_rows=1).verdict is Verdict.INCONCLUSIVE


def test_latency_is_the_95th_percentile_of_single_rows():
    features = pd.DataFrame({"a": range(7)})
    calls = []

    def slow_sometimes(row):
        calls.append(len(row))
        if len(calls) % 10 == 0:
            time.sleep(0.004)

    result = latency(slow_sometimes, features, limit_ms=1000)
    assert result.verdict is Verdict.PASS
    assert set(calls) == {1}
    assert result.statistic > 3
    assert latency(lambda row: time.sleep(0.0005), features, limit_ms=0.1).verdict is Verdict.FAIL
    assert latency(lambda row: None, features.iloc[:0], limit_ms=1).verdict is Verdict.INCONCLUSIVE


def test_size_and_fingerprint():
    assert size(10**6, max_size_mb=1).verdict is Verdict.PASS
    assert size(10**6 + 1, max_size_mb=1).verdict is Verdict.FAIL
    assert size(None, max_size_mb=1).verdict is Verdict.INCONCLUSIVE
    assert fingerprint("a" * 64, "same").verdict is Verdict.PASS
    refused = fingerprint("a" * 64, None, "its answers differ")
    assert refused.verdict is Verdict.FAIL
    assert "answers differ" in refused.words
