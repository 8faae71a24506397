"""Missing and noisy inputs, to the letter: which rows, which perturbations, and whose answers are held to whose."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.robustness import robustness
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.ruled import Chances, Rule, asked_by, constant, made, without

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def test_the_worst_perturbation_is_the_statistic():
    found = robustness(*made(without("shop", 2.5), constant(1.0)), factor=3.0)
    words = (
        "4 perturbations; the worst is shop missing: 2.50 times the loss of the champion, at most 3 times is allowed"
    )
    assert found == GateResult(
        gate="robustness", verdict=PASS, statistic=2.5, threshold=3.0, n=20, words=words
    )  # fmt: skip


@pytest.mark.parametrize(
    ("own", "theirs", "statistic", "verdict"),
    [(3.0, 1.0, 3.0, PASS), (3.25, 1.0, 3.25, FAIL), (6.0, 2.0, 3.0, PASS), (0.0, 0.0, 0.0, PASS),
     (0.1, 0.0, 6.0, FAIL), (0.0, 1.0, 0.0, PASS)],
)  # fmt: skip
def test_a_loss_is_held_to_the_factor_and_beside_none_any_loss_is_beyond_it(own, theirs, statistic, verdict):
    found = robustness(*made(constant(own), constant(theirs)), factor=3.0)
    assert (found.statistic, found.verdict) == (statistic, verdict)


def test_each_input_is_missing_once_and_all_numbers_are_noisy_once_for_both():
    material, champion = made(constant(1.0), constant(1.0))
    robustness(material, champion, factor=3.0)
    rows, asked = material.frames.eval_x, material.candidate.pipeline.asked
    assert len(asked) == 4
    for given, name in zip(asked, ("a", "b", "shop"), strict=False):
        assert given[name].isna().all()
        for other in {"a", "b", "shop"} - {name}:
            assert given[other].tolist() == rows[other].tolist()
    rng = np.random.default_rng(0xB)
    noise = {name: rng.normal(0, 0.1, 20) for name in ("a", "b")}
    spread = float(np.std([0, 10, 20, 30], ddof=1))
    assert asked[3]["a"].tolist() == (rows["a"] + noise["a"] * spread).tolist()
    assert asked[3]["b"].tolist() == rows["b"].tolist()
    assert asked[3]["shop"].tolist() == rows["shop"].tolist()
    for own, theirs in zip(asked, champion.pipeline.asked, strict=True):
        pd.testing.assert_frame_equal(own, theirs)


def test_a_missing_input_reaches_the_model_as_every_missing_one_does():
    material, champion = made(constant(1.0), constant(1.0))
    missing = []
    material.candidate.pipeline.say = lambda rows: missing.append(rows.iloc[0]) or np.ones(len(rows))
    robustness(material, champion, factor=3.0)
    assert (np.isnan(missing[0]["a"]), np.isnan(missing[1]["b"]), missing[2]["shop"]) == (True, True, None)
    assert all(one["shop"] == "north" for one in (missing[0], missing[1], missing[3]))


def test_classes_are_held_to_the_share_that_is_named_wrongly():
    material, champion = made(constant(1.0), constant(1.0))
    truth, spec = np.array(["a"] * 15 + ["b"] * 5), asked_by(material.spec, "error")
    material = replace(material, spec=spec, frames=replace(material.frames, task="multiclass", eval_y=truth))
    one = replace(champion, pipeline=Chances(constant(0.1), ("a", "b")))
    wild = Chances(without("b", 0.9, 0.1), ("b", "a"))
    found = robustness(replace(material, candidate=replace(one, pipeline=wild, takes=("b",))), one, factor=3.0)
    assert (found.statistic, found.verdict) == (3.0, PASS)


def test_a_candidate_that_takes_texts_alone_is_not_asked_about_noise():
    material, champion = made(without("shop", 2.0), constant(1.0), takes=("shop",))
    found = robustness(material, champion, factor=3.0)
    assert (found.statistic, len(material.candidate.pipeline.asked)) == (2.0, 1)
    assert found.words.startswith("1 perturbations; the worst is shop missing")


def test_where_noise_is_the_worst_it_is_named():
    found = robustness(*made(lambda rows: np.where(rows["a"] % 1 == 0, 1.0, 9.0), constant(1.0)), factor=3.0)
    assert "the worst is noise of 0.1 sd on every number: " in found.words


def test_only_rows_that_the_champion_has_not_seen_are_perturbed():
    material, champion = made(constant(1.0), constant(1.0), rows=20, seen=14)
    found = robustness(material, champion, factor=3.0)
    assert found.n == 5
    assert material.candidate.pipeline.asked[1]["a"].tolist() == [15, 16, 17, 18, 19]


@pytest.mark.parametrize(("rows", "taken"), [(499, 499), (500, 500), (501, 500), (1400, 500)])
def test_many_rows_are_thinned_evenly(rows, taken):
    material, champion = made(constant(1.0), constant(1.0), rows=rows)
    assert robustness(material, champion, factor=3.0).n == taken
    at = material.candidate.pipeline.asked[1]["a"].to_numpy()
    assert (at[0], at[-1]) == (0, rows - 1)
    step = (rows - 1) / (taken - 1)
    assert at.tolist() == [round(number * step) for number in range(taken)]


def nothing_finite(rows):
    return np.full(len(rows), np.nan)


def refuses(rows):
    raise ValueError("no answer")


def test_a_candidate_without_an_answer_fails_by_what_was_missing():
    for own in (nothing_finite, refuses):
        found = robustness(*made(own, constant(1.0)), factor=3.0)
        words = "with a missing it gives no answer that has a loss"
        assert found == GateResult(gate="robustness", verdict=FAIL, n=20, words=words)
    later = robustness(*made(without("shop", np.nan), refuses), factor=3.0)
    assert later.verdict is INCONCLUSIVE, "the reference fell silent first"


@pytest.mark.filterwarnings("ignore:overflow")
def test_an_answer_whose_loss_is_infinite_is_none():
    found = robustness(*made(without("b", 1e308), constant(1.0), truth=-1e308), factor=3.0)
    assert found.words == "with b missing it gives no answer that has a loss"


def test_inputs_that_a_reference_lacks_leave_it_without_an_answer():
    material, champion = made(constant(1.0), constant(1.0))
    rule = Rule(constant(1.0), numbers=("a", "gone"))
    found = robustness(material, replace(champion, name="linear model", pipeline=rule), factor=3.0)
    words = "with a missing the linear model gives no answer to compare with"
    assert found == GateResult(gate="robustness", verdict=INCONCLUSIVE, n=20, words=words)


def test_without_rows_or_a_reference_nothing_is_told():
    material, champion = made(constant(1.0), constant(1.0), seen=19)
    told = robustness(material, champion, factor=3.0)
    assert told == GateResult(gate="robustness", verdict=INCONCLUSIVE, words="no rows to perturb")
    assert robustness(material, None, factor=3.0).words == "no rows to perturb"
    material, champion = made(constant(1.0), constant(1.0))
    words = "no reference to compare with on perturbed rows"
    for reference in (None, replace(champion, losses=None)):
        told = robustness(material, reference, factor=3.0)
        assert told == GateResult(gate="robustness", verdict=INCONCLUSIVE, words=words)
