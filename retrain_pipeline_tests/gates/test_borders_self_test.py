"""The gate's own test to the letter: which candidates it deals itself, and what it says of a gate that errs."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates import self_test as module
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.quality import Paired, quality
from retrain_pipeline.gates.self_test import self_test
from retrain_pipeline.spec.gates import Gates
from retrain_pipeline.verdicts import Verdict

HOURS = pd.date_range("2024-01-01", periods=240, freq="h", tz="UTC")
LOSSES = np.random.default_rng(0).gamma(2, 5, 240)
OWN, OTHER = LOSSES * 0.7, LOSSES


def paired(candidate=OWN, reference=OTHER, **changed):
    given = {"metric": "mae", "margin": 0.1, "alpha": 0.05, "block_hours": 24.0, "min_rows": 100, "seed": 1}
    return Paired(candidate, reference, HOURS[: len(candidate)], **{**given, **changed})


def result(verdict, words, **numbers):
    return GateResult(gate="self_test", verdict=verdict, words=words, **numbers)


@pytest.fixture
def asked(monkeypatch):
    """Every comparison that the quality gate is asked for, and its answers, by default the gate's own."""
    seen = SimpleNamespace(comparisons=[], answer=quality)

    def gate(comparison, mode):
        seen.comparisons.append((comparison, mode))
        return seen.answer(comparison, mode)

    monkeypatch.setattr(module, "quality", gate)
    return seen


def passing(*_):
    return GateResult(gate="quality", verdict=Verdict.PASS, words="whatever")


SHUFFLED = OTHER.mean() * 3 + OTHER[::-1]


@pytest.mark.parametrize("mode", ["first", "superiority", "non_inferiority"])
def test_it_deals_three_times_the_loss_shuffled_predictions_and_a_worse_copy(asked, mode):
    words = "known-bad refused (three times the reference's loss, its predictions shuffled), known-good passed"
    found = self_test(paired(), SHUFFLED, mode)
    assert found == result(Verdict.PASS, words, statistic=0.0, threshold=0.0, n=240)
    sides = [(one.candidate.tolist(), one.reference.tolist()) for one, _ in asked.comparisons]
    worse, copy = OTHER * 3 + OTHER.mean(), OWN * 3 + OWN.mean()
    assert sides == [
        (worse.tolist(), OTHER.tolist()), (SHUFFLED.tolist(), OTHER.tolist()), (OWN.tolist(), copy.tolist()),
    ]  # fmt: skip
    assert {said for _, said in asked.comparisons} == {mode}
    assert {(one.metric, one.margin) for one, _ in asked.comparisons} == {("mae", 0.1)}


def test_of_losses_that_are_all_zero_something_is_worse(asked):
    zero = np.zeros(240)
    assert self_test(paired(zero, zero), None, "superiority").verdict is Verdict.PASS
    assert [one.candidate.mean() for one, _ in asked.comparisons] == [1.0, 0.0]


@pytest.mark.parametrize(("metric", "share"), [("mae", 1.25), ("rmse", 1 + 2 * (1.125**2 - 1))])
@pytest.mark.parametrize(("beyond", "dealt"), [(0.125, 3), (0.0, 2), (-0.125, 2)])
def test_shuffled_predictions_count_where_they_are_worse_than_twice_the_margin(asked, metric, share, beyond, dealt):
    judged = paired(reference=np.full(240, 8.0), metric=metric, margin=0.125)
    self_test(judged, np.full(240, 8.0 * share + beyond), "superiority")
    assert len(asked.comparisons) == dealt


def test_without_rows_nothing_is_tested(asked):
    words = "no rows to test the gate on"
    assert self_test(paired(OWN[:0], OTHER[:0]), None, "first") == result(Verdict.INCONCLUSIVE, words, n=0)
    assert self_test(paired(), OWN[:0], "superiority").verdict is Verdict.PASS
    assert len(asked.comparisons) == 2


def test_a_gate_that_passes_what_is_bad_is_told_what_it_passed(asked):
    asked.answer = passing
    both = "three times the reference's loss, its predictions shuffled"
    words = f"the quality gate passes a known-bad candidate ({both}): its verdicts mean nothing"
    assert self_test(paired(), SHUFFLED, "superiority") == result(
        Verdict.FAIL, words, statistic=2.0, threshold=0.0, n=240
    )


def test_rows_on_which_the_good_does_not_pass_show_nothing():
    words = "the quality gate does not pass a known-good candidate (against a copy three times worse) on these rows"
    few = self_test(paired(OWN[:99], OTHER[:99]), None, "superiority")
    assert few == result(Verdict.INCONCLUSIVE, words, n=99)


def test_gates_that_erred_about_known_candidates_are_named_before_all(asked):
    asked.answer = passing
    words = "gates that answer wrongly about what is known: contract, labels: their verdicts mean nothing"
    assert self_test(paired(), None, "superiority", Gates(), ["labels", "contract", "labels"]) == result(
        Verdict.FAIL, words, statistic=2.0, threshold=0.0, n=240
    )


LIMITS = Gates(latency_ms_p95=20.0, max_size_mb=4.0, max_rss_mb=300.0)


@pytest.mark.parametrize("limits", [LIMITS, LIMITS.model_copy(update={"max_rss_mb": None})])
def test_gates_with_a_limit_are_asked_of_twice_and_of_half_of_it(monkeypatch, limits):
    said = []
    for name in ("latency_of", "size", "footprint", "seed_noise"):
        real = getattr(module, name)

        def heard(*told, real=real, name=name, **limit):
            said.append((name, told, limit))
            return real(*told, **limit)

        monkeypatch.setattr(module, name, heard)
    assert self_test(paired(), None, "superiority", limits).verdict is Verdict.PASS
    rss = limits.max_rss_mb or 1000.0
    for share, asked in ((2.0, said[:4]), (0.5, said[4:])):
        latency, size, footprint, seeds = asked
        assert latency[1][:2] == (20.0 * share, 20.0)
        assert size == ("size", (int(4e6 * share),), {"max_size_mb": 4.0})
        assert (footprint[1][0].peak_rss_mb, footprint[2]) == (rss * share, {"max_rss_mb": rss})
        assert seeds[1][:3] == (share, [share, share], 1.0)
        assert (seeds[2]["margin"], seeds[2]["mode"]) == (0.0, "superiority")


@pytest.mark.parametrize("name", ["latency_of", "size", "footprint", "seed_noise"])
@pytest.mark.parametrize("share", [2.0, 0.5])
def test_a_gate_that_cannot_tell_of_known_numbers_errs(monkeypatch, name, share):
    real, calls = getattr(module, name), []

    def unsure(*told, **limit):
        calls.append(told)
        answer = real(*told, **limit)
        return replace_verdict(answer) if len(calls) == (1 if share == 2.0 else 2) else answer

    def replace_verdict(answer):
        return GateResult(gate=answer.gate, verdict=Verdict.INCONCLUSIVE, words="cannot tell")

    monkeypatch.setattr(module, name, unsure)
    gate = "latency" if name == "latency_of" else name
    words = f"gates that answer wrongly about what is known: {gate}: their verdicts mean nothing"
    assert self_test(paired(), None, "superiority", LIMITS).words == words
