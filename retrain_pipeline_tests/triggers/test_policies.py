"""Policies: what each looks at, and that the adaptive one retrains when a cycle is worth it."""

import math
import random
from dataclasses import replace

import pytest

from retrain_pipeline.triggers.course import Course
from retrain_pipeline.triggers.errors import PolicyRefused
from retrain_pipeline.triggers.policies import (
    Adaptive,
    CumulativeExcess,
    DetectorFired,
    ErrorThreshold,
    Never,
    Periodic,
    policy_named,
)
from retrain_pipeline.verdicts import Verdict


def course(champion=(), fresh=None, **more) -> Course:
    fresh = tuple(0.2 for _ in champion) if fresh is None else tuple(fresh)
    return Course(**{"age": max(len(champion), 1), "champion": tuple(champion), "fresh": fresh, **more})


def cycle_lengths(excess_of_age, cost: float, periods: int = 300) -> list[int]:
    """Return the lengths of the cycles that `adaptive` makes when excess depends on age alone."""
    policy, past, run, lengths = Adaptive(cost), [], [], []
    for _ in range(periods):
        run.append(excess_of_age(len(run)))
        looked = course([0.2 + one for one in run], past=tuple(past))
        if policy.look(looked).retrain:
            past.append(tuple(run))
            lengths.append(len(run))
            run = []
    return lengths


def test_never_and_periodic_look_at_age_only():
    assert not Never().look(course(age=500)).retrain
    assert not Periodic(8).look(course(age=7)).retrain
    assert Periodic(8).look(course(age=8)).retrain


def test_error_threshold_compares_the_newest_loss_with_the_validated_one():
    policy = ErrorThreshold(0.25)
    assert not policy.look(course([0.5, 0.24], validated=0.2)).retrain
    assert policy.look(course([0.1, 0.26], validated=0.2)).retrain
    assert not policy.look(course([0.9])).retrain, "nothing was promised: nothing to compare with"


def test_cumulative_excess_adds_up_what_is_above_the_validated_loss():
    policy = CumulativeExcess(0.1)
    assert not policy.look(course([0.24, 0.1, 0.25], validated=0.2)).retrain
    assert policy.look(course([0.24, 0.1, 0.27], validated=0.2)).retrain


def test_detector_asks_on_fail_only():
    policy = DetectorFired()
    assert [policy.look(course(risen=one)).retrain for one in Verdict] == [one is Verdict.FAIL for one in Verdict]


@pytest.mark.requirement("D3", "D16")
def test_adaptive_waits_while_nothing_is_lost_however_bad_the_champion():
    # an error that no retrain would mend: a model fitted anew is as bad
    losses = [0.2] * 5 + [0.6] * 40
    assert not Adaptive(0.001).look(course(losses, fresh=losses)).retrain
    assert not Adaptive(0.0).look(course()).retrain
    assert not Adaptive(0.0).look(course([0.2], fresh=[0.25])).retrain, "the champion is better than a fresh model"


def test_adaptive_asks_at_once_after_a_jump_that_a_fresh_model_mends():
    policy = Adaptive(0.05)
    steady = [0.2] * 20
    assert not policy.look(course(steady)).retrain
    assert policy.look(course([*steady, 0.35])).retrain
    assert not policy.look(course([*steady, 0.202])).retrain


@pytest.mark.parametrize(("rate", "cost"), [(0.01, 0.02), (0.002, 0.1), (0.004, 0.5)])
def test_adaptive_finds_the_best_interval_where_excess_grows_with_age(rate, cost):
    best = (2 * cost / rate) ** 0.5
    lengths = cycle_lengths(lambda age: rate * age, cost)
    settled = lengths[len(lengths) // 2 :]
    mean = sum(settled) / len(settled)
    # the caution against noise makes it a little later; the cost of a cycle is flat around its best length
    assert abs(mean - best) <= max(1.0, 0.4 * best), (best, lengths)


@pytest.mark.requirement("D3", "D16")
@pytest.mark.parametrize("seed", range(5))
def test_adaptive_hardly_asks_where_excess_is_noise_only(seed):
    # ± 0.01 is what a mean over a few hundred rows wanders by; nothing grows with age
    noise = random.Random(seed)
    assert len(cycle_lengths(lambda age: noise.gauss(0, 0.01) if age else 0.0, cost=0.1)) <= 300 // 25


@pytest.mark.parametrize("cost", [0.02, 0.1])
def test_adaptive_stays_calm_through_a_season_that_old_and_new_models_feel_alike(cost):
    # a benign season: losses rise and fall by more than a retrain costs, of a fresh model as of the champion
    season = [0.2 + 0.1 * math.sin(2 * math.pi * week / 52) for week in range(156)]
    asked = [
        Adaptive(cost).look(course([one + 0.001 for one in season[:n]], season[:n])).retrain for n in range(1, 156)
    ]
    assert not any(asked)


def test_adaptive_asks_once_the_excess_of_late_pays_a_retrain_back_in_two_periods():
    # old champions have shown a curve that stays high: a new one gets no better, and going on never looks dear
    plateau = ((0.0, *[0.1] * 30),) * 3
    assert not Adaptive(0.1).look(course([0.24] * 6, past=plateau)).retrain
    asked = Adaptive(0.1).look(course([0.2] + [0.26] * 6, past=plateau))
    assert asked.retrain
    assert "pays a retrain back in 2 periods" in asked.reasons[1]


def test_excess_within_its_noise_is_no_reason_and_says_so():
    losses = [0.2, 0.25, 0.26]
    assert Adaptive(0.02).look(course(losses)).retrain
    assert Adaptive(0.02).look(course(losses, noise=(0.01, 0.01, 0.01))).retrain
    unsure = Adaptive(0.02).look(course(losses, noise=(0.1, 0.1, 0.1)))
    assert not unsure.retrain
    assert "within noise" in unsure.reasons[-1]


def test_late_labels_put_adaptive_off_by_the_delay_and_no_more():
    jump, delay, cost = 20, 4, 0.05
    excess = [0.0] * jump + [0.15] * 20

    def first_ask(lag: int) -> int:
        return next(
            now
            for now in range(lag + 1, len(excess))
            if Adaptive(cost).look(course([0.2 + one for one in excess[: now - lag]], lag=lag)).retrain
        )

    assert first_ask(0) == jump + 1
    assert first_ask(delay) == jump + 1 + delay


def test_a_dearer_retrain_is_asked_for_less_often():
    counts = [len(cycle_lengths(lambda age: 0.004 * age, cost)) for cost in (0.01, 0.05, 0.25)]
    assert counts[0] > counts[1] > counts[2] > 0


def test_a_policy_is_pure_and_says_what_it_compared():
    looked = course([0.2, 0.3], past=((0.0, 0.01),))
    first, again = Adaptive(0.02).look(looked), Adaptive(0.02).look(replace(looked))
    assert first == again
    assert "0.02" in first.reasons[0]
    assert "best cycle" in first.reasons[0]


def test_policies_are_named_with_their_setting():
    for name in ("never", "detector", "periodic:8", "error_threshold:0.25", "cumulative_excess:0.2"):
        assert policy_named(name, 0.02).name == name
    assert policy_named("adaptive", 0.02) == Adaptive(0.02)


@pytest.mark.parametrize(
    "text",
    ["", "adaptve", "periodic", "periodic:", "periodic:0", "periodic:2.5", "periodic:x", "never:3",
     "error_threshold:-1", "error_threshold:nan", "cumulative_excess:inf"],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(text):
    with pytest.raises(PolicyRefused, match="policy"):
        policy_named(text, 0.02)
