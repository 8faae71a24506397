"""Answers that lie far apart, and probabilities that contradict the labels, to the letter."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates import escalation
from retrain_pipeline.gates.compatibility import Seen
from retrain_pipeline.gates.escalation import far, signs
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.learning.paired import block_mean_interval
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.ruled import asked_by, constant, made

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def told(prediction, score=np.nan, **classes):
    rows = len(prediction)
    chances = {f"p:{name}": chance for name, chance in classes.items()}
    return pd.DataFrame(
        {"prediction": prediction, "score": np.full(rows, score) if np.isscalar(score) else score} | chances
    )


def both(own, theirs, task="regression", y=None, metric=None, losses=(None, None), rows=4, seen=None):
    """Return material in which candidate and champion said this of the rows."""
    material, champion = made(constant(0.0), constant(0.0), rows=rows, seen=seen)
    return replace(
        material, spec=asked_by(material.spec, metric or "mae"),
        frames=replace(material.frames, task=task, eval_y=np.zeros(rows) if y is None else np.asarray(y)),
        candidate=replace(material.candidate, predictions=own, losses=losses[0]),
        champion=replace(champion, predictions=theirs, losses=losses[1]),
    )  # fmt: skip


# --- how far candidate and champion lie apart


def apart(distance, limit, verdict):
    words = f"candidate and champion lie {distance:.2g} standard deviations of the label apart, far is {limit:g}"
    return GateResult(gate="far", verdict=verdict, statistic=distance, threshold=limit, words=words)


def test_numbers_lie_apart_by_their_mean_distance_in_spreads_of_the_label():
    y, own, theirs = [0.0, 4.0, 0.0, 4.0], told([1.0, 2.0, 3.0, 4.0]), told([2.0, 1.0, 3.0, 6.0])
    material = both(own, theirs, y=y)
    assert far(material, 0.5) == apart(0.5, 0.5, PASS)
    assert far(material, 0.4) == apart(0.5, 0.4, FAIL)
    assert far(both(own, theirs, y=[3, 3, 3, 3]), 0.9) == apart(1.0, 0.9, FAIL), "a label that never moves is 1 wide"


def test_scores_lie_apart_where_both_have_one_each_row_else_the_answers():
    y = [0, 2, 0, 2]
    own, theirs = told([1, 1, 0, 0], np.array([0.9, 0.6, 0.4, 0.1])), told([1, 0, 0, 0], np.array([0.7, 0.4, 0.4, 0.3]))
    gap = float(np.abs(own["score"] - theirs["score"]).mean())
    assert far(both(own, theirs, "binary", y), 0.5) == apart(gap, 0.5, PASS)
    gappy = theirs.assign(score=[0.7, np.nan, 0.4, 0.3])
    assert far(both(own, gappy, "binary", y), 0.5) == apart(0.25, 0.5, PASS)
    assert far(both(gappy, own, "binary", y), 0.5) == apart(0.25, 0.5, PASS)
    assert far(both(own, theirs, "regression", y), 0.5) == apart(0.25, 0.5, PASS)


def test_classes_lie_apart_by_the_share_of_rows_that_they_name_differently():
    own, theirs = told(["a", "b", "c", "a"], 0.5), told(["a", "b", "c", "b"], 0.9)
    words = "candidate and champion name different classes on 25.0% of the rows, far is 25%"
    same = GateResult(gate="far", verdict=PASS, statistic=0.25, threshold=0.25, words=words)
    assert far(both(own, theirs, "multiclass", ["a"] * 4), 0.25) == same
    assert far(both(own, theirs, "multiclass", ["a"] * 4), 0.24).verdict is FAIL


def test_without_a_champion_nothing_is_far_and_without_answers_nothing_is_told():
    own = told([1.0, 2.0, 3.0, 4.0])
    words = "there is no champion to be far from"
    assert far(replace(both(own, own), champion=None), 0.5) == GateResult(gate="far", verdict=PASS, words=words)
    assert far(replace(both(None, own), champion=None), 0.5).verdict is PASS
    words = "one of both gives no answers to compare"
    for material in (both(own, None), both(None, own), both(own[:0], own[:0], rows=0)):
        assert far(material, 0.5) == GateResult(gate="far", verdict=INCONCLUSIVE, words=words)


# --- whether labels and probabilities say the same


RNG = np.random.default_rng(5)
MANY = 240
NOISE = RNG.normal(0, 0.01, MANY)


def scored(score):
    return told(np.zeros(MANY), np.full(MANY, score) + NOISE)


def asked(own_loss, own_score, their_loss=0.2, their_score=0.7, rows=MANY, metric="brier", **more):
    """Ask about two models by the level of their losses and how sure they are: a score near 1 expects little loss."""
    losses = (own_loss + RNG.normal(0, 0.01, MANY), their_loss + RNG.normal(0, 0.01, MANY))
    return both(scored(own_score), scored(their_score), "binary", np.zeros(MANY), metric, losses, rows=MANY, **more)


@pytest.mark.parametrize(
    ("loss", "score", "by_labels", "by_chances", "verdict"),
    [
        (0.3, 0.9, "worse", "better", FAIL), (0.1, 0.6, "better", "worse", FAIL), (0.1, 0.9, "better", "better", PASS),
        (0.3, 0.6, "worse", "worse", PASS), (0.2, 0.9, "neither", "better", PASS), (0.3, 0.7, "worse", "neither", PASS),
    ],
)  # fmt: skip
def test_labels_and_probabilities_with_opposite_signs_call(loss, score, by_labels, by_chances, verdict):
    material = asked(loss, score)
    if by_labels == "neither":
        material = replace(material, candidate=replace(material.candidate, losses=material.champion.losses))
    if by_chances == "neither":
        same = replace(material.candidate, predictions=material.champion.predictions)
        material = replace(material, candidate=same)
    words = f"by labels the candidate is {by_labels}, by probabilities alone {by_chances}"
    statistic = float(verdict is FAIL)
    assert signs(material) == GateResult(
        gate="signs", verdict=verdict, statistic=statistic, threshold=0.0, words=words
    )  # fmt: skip


def border(material, differences):
    """The lowest level at which these differences are above 0."""
    gates = material.spec.gates
    return block_mean_interval(
        differences, material.event_time, block_hours=gates.block_hours, alpha=gates.alpha, seed=material.seed
    )  # fmt: skip


@pytest.mark.parametrize("gates", [{}, {"alpha": 0.4}, {"block_hours": 6.0}])
def test_a_difference_counts_beyond_the_declared_noise_of_declared_blocks(gates):
    """Wherever the bounds of the differences lie, they decide: the smallest loss that the bound lets through calls."""
    material = asked(0.2, 0.9)
    material = replace(material, spec=material.spec.model_copy(
        update={"gates": material.spec.gates.model_copy(update=gates)}
    ))  # fmt: skip
    difference = material.candidate.losses - material.champion.losses
    low, mean = border(material, difference).low, float(difference.mean())
    for nudge, worse in ((1e-6, True), (-1e-6, False)):
        moved = replace(material.candidate, losses=material.candidate.losses - low + nudge)
        found = signs(replace(material, candidate=moved))
        assert (found.words.startswith("by labels the candidate is worse"), mean > low) == (worse, True)
    high = border(material, difference).high
    moved = replace(material.candidate, losses=material.candidate.losses - high - 1e-6)
    assert signs(replace(material, candidate=moved)).words.startswith("by labels the candidate is better")
    exactly = replace(material.candidate, losses=material.champion.losses.copy())
    assert signs(replace(material, candidate=exactly)).words.startswith("by labels the candidate is neither")


def test_only_rows_that_the_champion_has_not_seen_count_and_few_blocks_say_nothing():
    material = asked(0.3, 0.9)
    early = material.candidate.losses.copy()
    early[:30] = -99.0
    material = replace(material, candidate=replace(material.candidate, losses=early))
    assert "the candidate is worse" not in signs(material).words
    seen = replace(material, champion_seen=Seen("champion", None, material.event_time[29]))
    assert signs(seen).words == "by labels the candidate is worse, by probabilities alone better"
    few = replace(material, champion_seen=Seen("champion", None, material.event_time[MANY - 24 * 7 - 1]))
    assert signs(few).words == "by labels the candidate is neither, by probabilities alone neither"


NOBODY = GateResult(
    gate="signs", verdict=PASS, n=0, words="no probabilities of two models to expect losses from"
)  # fmt: skip


def test_two_models_with_probabilities_and_losses_are_needed():
    material = asked(0.3, 0.9)
    gap = scored(0.9)
    gap.loc[3, "score"] = np.nan
    all_seen = Seen("champion", None, pd.Timestamp("2030-01-01", tz="UTC"))
    for one in (
        replace(material, champion=None), replace(material, champion_seen=all_seen),
        replace(material, candidate=replace(material.candidate, losses=None)),
        replace(material, champion=replace(material.champion, losses=None)),
        replace(material, candidate=replace(material.candidate, predictions=None)),
        replace(material, champion=replace(material.champion, predictions=gap)),
    ):  # fmt: skip
        assert signs(one) == NOBODY


@pytest.mark.parametrize(("metric", "expects"), [("error", "worse"), ("brier", "better"), ("log_loss", "better")])
def test_what_a_probability_expects_is_told_by_the_declared_metric(metric, expects):
    """Two classes that are as likely as each other, against one that is likelier than two others together."""
    two, three = (told(["a"] * MANY, 0.5, **chances) for chances in ({"a": 0.5, "b": 0.5, "c": 0.0},
                                                                     {"a": 0.6, "b": 0.2, "c": 0.2}))  # fmt: skip
    losses = (np.full(MANY, 0.3) + NOISE, np.full(MANY, 0.2))
    material = both(two, three, "multiclass", ["a"] * MANY, metric, losses, rows=MANY)
    assert signs(material).words == f"by labels the candidate is worse, by probabilities alone {expects}"


SURE = {"a": 0.7, "b": 0.2, "c": 0.1}


@pytest.mark.parametrize(
    ("metric", "classes", "score"),
    [
        ("error", None, lambda p: 1 - max(p)), ("error", SURE, lambda p: 1 - max(p)),
        ("log_loss", None, lambda p: -sum(one * np.log(one) for one in p)),
        ("log_loss", SURE, lambda p: -sum(one * np.log(one) for one in p)),
        ("brier", None, lambda p: (1 - sum(one**2 for one in p)) / 2),
        ("brier", SURE, lambda p: 1 - sum(one**2 for one in p)),
    ],
)  # fmt: skip
def test_the_expected_loss_of_a_probability_is_that_of_the_declared_metric(metric, classes, score):
    rows = told(["a"] * 3, 0.7, **(classes or {}))
    side = both(rows, rows, "binary").candidate
    found = escalation._expected(side, metric)
    assert (found.dtype, found.shape) == (np.float64, (3,))
    assert found == pytest.approx([score(list((classes or {"0": 0.3, "1": 0.7}).values()))] * 3)


def test_a_sure_probability_expects_no_loss_and_none_is_infinite():
    side = both(told([1, 0, 0], np.array([1.0, 0.0, 0.5])), None, "binary").candidate
    assert escalation._expected(side, "log_loss") == pytest.approx([0.0, 0.0, np.log(2)])
    assert escalation._expected(side, "brier") == pytest.approx([0.0, 0.0, 0.25])
    assert escalation._expected(side, "error") == pytest.approx([0.0, 0.0, 0.5])
