"""Quality, baselines, success, slices and the self-test on losses whose truth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates import self_test as self_test_module
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.quality import Paired, baseline, metric_value, quality, slices, success
from retrain_pipeline.gates.self_test import self_test
from retrain_pipeline.spec.gates import Gates
from retrain_pipeline.verdicts import Verdict

HOURS = pd.date_range("2024-01-01", periods=24 * 14, freq="h", tz="UTC")


def losses(mean, seed=0, n=336):
    return np.random.default_rng(seed).gamma(2, mean / 2, n)


def paired(candidate, reference, **changes):
    settings = {"metric": "mae", "margin": 0.01, "alpha": 0.05, "block_hours": 24.0, "min_rows": 100, "seed": 1}
    return Paired(candidate, reference, HOURS[: len(candidate)], **{**settings, **changes})


@pytest.mark.requirement("D6")
@pytest.mark.parametrize(
    ("factor", "mode", "verdict"),
    [
        (0.8, "first", Verdict.PASS),
        (0.8, "superiority", Verdict.PASS),
        (0.8, "non_inferiority", Verdict.PASS),
        (1.0, "superiority", Verdict.INCONCLUSIVE),
        (1.0, "non_inferiority", Verdict.PASS),
        (1.3, "superiority", Verdict.FAIL),
        (1.3, "non_inferiority", Verdict.FAIL),
        (1.3, "first", Verdict.FAIL),
    ],
)
def test_quality_answers_by_mode(factor, mode, verdict):
    reference = losses(10)
    result = quality(paired(reference * factor, reference), mode)
    assert result.verdict is verdict, result.words
    assert result.n == 336


def test_a_retrain_without_a_true_difference_is_not_promoted_by_superiority():
    """`new >= old` promotes half of these; the bound lets at most a few of 60 through."""
    promoted = 0
    for life in range(60):
        one, two = losses(10, seed=2 * life), losses(10, seed=2 * life + 1)
        promoted += quality(paired(one, two), "superiority").verdict is Verdict.PASS
    assert promoted <= 8


@pytest.mark.fault("P27")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("mode", ["first", "superiority", "non_inferiority"])
def test_a_loss_that_is_no_number_is_never_better(bad, mode):
    candidate, reference = losses(1), losses(10)
    candidate[7] = bad
    assert quality(paired(candidate, reference), mode).verdict is Verdict.FAIL
    assert quality(paired(reference, candidate), mode).verdict is Verdict.INCONCLUSIVE


def test_too_few_rows_or_days_are_inconclusive_and_say_so():
    few = quality(paired(losses(1, n=99), losses(10, n=99)), "superiority")
    assert few.verdict is Verdict.INCONCLUSIVE
    assert "gates.min_rows" in few.words
    days = quality(paired(losses(1, n=120), losses(10, n=120)), "superiority")
    assert days.verdict is Verdict.INCONCLUSIVE
    assert "blocks" in days.words


def test_the_margin_of_rmse_is_on_the_root():
    reference = losses(100)
    one_percent_on_the_root = reference * 1.0201
    assert (
        quality(paired(one_percent_on_the_root * 0.9999, reference, metric="rmse"), "non_inferiority").verdict
        is Verdict.PASS
    )
    assert (
        quality(paired(one_percent_on_the_root * 1.001, reference, metric="rmse"), "non_inferiority").verdict
        is not Verdict.PASS
    )
    assert metric_value("rmse", 9.0) == 3.0


def test_baseline_asks_for_better_than_dummy_and_no_worse_than_linear():
    dummy, linear = losses(30, seed=1), losses(10, seed=2)
    assert baseline(paired(linear * 0.9, dummy), paired(linear * 0.9, linear)).verdict is Verdict.PASS
    worse_than_linear = baseline(paired(linear * 1.2, dummy), paired(linear * 1.2, linear))
    assert worse_than_linear.verdict is Verdict.FAIL
    assert "linear model" in worse_than_linear.words
    assert baseline(paired(dummy, dummy), paired(dummy, dummy)).verdict is Verdict.INCONCLUSIVE
    assert baseline(paired(linear, dummy), None).verdict is Verdict.INCONCLUSIVE


def succeed(candidate, champion, at_most):
    return success(
        candidate, champion, HOURS, metric="mae", at_most=at_most, margin=0.01, alpha=0.05, block_hours=24, seed=1
    )


def test_the_declared_level_must_be_met_by_the_first_release():
    found = losses(10)
    assert succeed(found, None, 12).verdict is Verdict.PASS
    assert succeed(found, None, 5).verdict is Verdict.FAIL
    assert succeed(found, None, float(found.mean()) - 0.01).verdict is Verdict.INCONCLUSIVE
    assert succeed(np.full(336, np.nan), None, 5).verdict is Verdict.FAIL
    assert (
        success(
            found[:0], None, HOURS[:0], metric="mae", at_most=1, margin=0, alpha=0.05, block_hours=24, seed=1
        ).verdict
        is Verdict.INCONCLUSIVE
    )


def test_a_later_release_may_miss_the_level_only_where_the_champion_misses_it_more():
    found = losses(10)
    better = succeed(found, found * 1.5, 5)
    assert better.verdict is Verdict.PASS
    assert "champion" in better.words
    assert succeed(found, found * 0.45, 5).verdict is Verdict.FAIL


def frame(values, column="season"):
    return pd.DataFrame({column: values})


def test_a_slice_that_got_worse_is_found_though_the_mean_got_better():
    season = np.where(np.arange(336) % 12 == 0, "rare", "common")
    reference = losses(10)
    candidate = np.where(season == "rare", reference * 2.0, reference * 0.5)
    judged = paired(candidate, reference)
    assert quality(judged, "superiority").verdict is Verdict.INCONCLUSIVE or candidate.mean() < reference.mean()
    small = slices(judged, frame(season), ("season",), slice_margin=0.1)
    assert "too few" in small.words
    assert "rare" in small.words
    season = np.where(np.arange(336) % 8 == 0, "rare", "common")
    candidate = np.where(season == "rare", reference * 2.0, reference * 0.5)
    found = slices(paired(candidate, reference), frame(season), ("season",), slice_margin=0.1)
    assert found.verdict is Verdict.FAIL
    assert "season=rare" in found.words
    assert slices(paired(reference, reference), frame(season), ("season",), slice_margin=0.1).verdict is Verdict.PASS


def test_slices_that_cannot_be_looked_at_are_inconclusive():
    reference = losses(10)
    judged = paired(reference, reference)
    assert slices(judged, frame(["x"] * 336), ("hour",), slice_margin=0.1).verdict is Verdict.INCONCLUSIVE
    assert (
        slices(judged, frame([str(n) for n in range(336)]), ("season",), slice_margin=0.1).verdict
        is Verdict.INCONCLUSIVE
    )
    assert slices(judged, frame(["x"] * 336), (), slice_margin=0.1).verdict is Verdict.PASS
    first_days_only = ["a"] * 48 + ["b"] * 288
    assert "season=a" in slices(judged, frame(first_days_only), ("season",), slice_margin=0.1).words
    few = paired(reference[:50], reference[:50])
    assert slices(few, frame(["x"] * 50), ("season",), slice_margin=0.1).verdict is Verdict.INCONCLUSIVE


def test_many_equal_slices_raise_no_alarm_more_often_than_stated():
    alarms = 0
    for life in range(25):
        values = np.random.default_rng(life).integers(0, 6, 336).astype(str)
        judged = paired(losses(10, seed=2 * life), losses(10, seed=2 * life + 1))
        alarms += slices(judged, frame(values), ("season",), slice_margin=0.0).verdict is Verdict.FAIL
    assert alarms <= 4


@pytest.mark.fault("G28")
@pytest.mark.parametrize("mode", ["first", "superiority", "non_inferiority"])
def test_self_test_passes_on_a_gate_that_works(mode):
    reference = losses(10)
    result = self_test(paired(reference * 0.7, reference), losses(30, seed=5), mode)
    assert result.verdict is Verdict.PASS
    assert "shuffled" in result.words


@pytest.mark.fault("G28")
def test_a_gate_that_passes_everything_fails_its_self_test(monkeypatch):
    reference = losses(10)
    good = quality(paired(reference * 0.5, reference), "superiority")
    monkeypatch.setattr(self_test_module, "quality", lambda *_: good)
    assert self_test(paired(reference, reference), reference * 3, "superiority").verdict is Verdict.FAIL


@pytest.mark.fault("G28")
def test_rows_that_cannot_show_even_a_good_candidate_are_inconclusive():
    few = losses(10, n=60)
    assert self_test(paired(few, few), None, "superiority").verdict is Verdict.INCONCLUSIVE


def test_a_perfect_candidate_still_has_a_worse_copy():
    zero = np.zeros(336)
    assert self_test(paired(zero, losses(10)), None, "superiority").verdict is Verdict.PASS


@pytest.mark.fault("G28")
@pytest.mark.parametrize("gate", ["latency_of", "size", "footprint", "seed_noise"])
@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
def test_a_gate_that_does_not_heed_its_limit_fails_the_self_test(monkeypatch, gate, verdict):
    """One that passes everything, and one that fails everything."""
    reference = losses(30)
    judged = paired(reference * 0.7, reference)
    assert self_test(judged, None, "superiority", Gates()).verdict is Verdict.PASS
    answer = GateResult(gate=gate, verdict=verdict, words="x")
    monkeypatch.setattr(self_test_module, gate, lambda *_, **__: answer)
    found = self_test(judged, None, "superiority", Gates())
    assert found.verdict is Verdict.FAIL
    assert gate in found.words


def test_replacing_rows_keeps_the_terms():
    judged = paired(losses(10), losses(11))
    part = judged.rows(np.arange(336) < 100, alpha=0.01)
    assert len(part.candidate) == len(part.event_time) == 100
    assert part.alpha == 0.01
    assert replace(judged, seed=2).margin == judged.margin
