"""What candidate and champion are beside the anchor, and what `quality` makes of it, to the letter."""

from dataclasses import replace

import numpy as np
import pytest

from retrain_pipeline.gates.anchor import beside_anchor, held_to_anchor
from retrain_pipeline.gates.evidence import Anchored, GateResult, shown_better
from retrain_pipeline.gates.looking import look
from retrain_pipeline.gates.pairs import nothing, paired
from retrain_pipeline.gates.quality import all_of, quality
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.handmade import evidence, results
from retrain_pipeline_tests.gates.looked import pair, read

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


@pytest.fixture(scope="module")
def material():
    whole = read("regression")
    return replace(whole, anchor=replace(whole.baselines["linear"], name="anchor"), anchor_version="v7")


def silent(side, why):
    return replace(side, predictions=None, losses=None, why_not=why)


def louder(side, share):
    return replace(side, losses=side.losses * share)


def of_quality(material, mode="superiority"):
    return next(one for one in look(material, mode, 0.01) if one.gate == "quality")


# --- two sides on the same rows


def test_a_pair_is_of_the_rows_that_nobody_has_seen_and_of_the_declared_terms(material):
    for reference in (material.champion, material.anchor):
        found, wanted = paired(material, reference), pair(material, reference)
        for name in ("candidate", "reference", "event_time"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
        for name in ("metric", "margin", "alpha", "block_hours", "min_rows", "seed", "spent"):
            assert getattr(found, name) == getattr(wanted, name)
    turned = paired(material, material.champion, material.anchor)
    np.testing.assert_array_equal(turned.candidate, material.anchor.losses[material.unseen])
    assert paired(material, None) is None
    assert paired(material, silent(material.champion, "gone")) is None
    assert paired(material, material.champion, silent(material.anchor, "gone")) is None


def test_a_side_without_losses_is_named_and_cut(material):
    gone = silent(material.anchor, "gone")
    for side, reference, words in (
        (gone, material.champion, "anchor: gone"),
        (material.candidate, gone, "anchor: gone"),
        (silent(material.candidate, "x"), gone, "candidate: x; anchor: gone"),
        (material.candidate, None, "no dummy baseline to compare with"),
        (gone, None, "anchor: gone"),
        (silent(gone, "y" * 3000), None, f"anchor: {'y' * 3000}"[:2000]),
    ):
        assert nothing("a gate", side, reference) == GateResult(gate="a gate", verdict=INCONCLUSIVE, words=words)


# --- beside the anchor


def test_both_are_compared_at_the_level_that_may_be_spent(material):
    assert beside_anchor(replace(material, anchor=None), 0.01) is None
    found = beside_anchor(material, 0.01)
    own = quality(pair(material, material.anchor, 0.01), "non_inferiority", gate="anchor", reference="anchor v7")
    turned = paired(material, material.champion, material.anchor)
    back = quality(replace(turned, spent=0.01), "superiority", gate="anchor", reference="champion")
    assert found.candidate == own
    assert found.champion.words == f"anchor v7 in the candidate's place: {back.words}"
    assert found.champion == back.model_copy(update={"words": found.champion.words})
    assert beside_anchor(material, 0.3).champion.statistic < back.statistic


def test_an_anchor_that_says_nothing_is_told_on_both_sides(material):
    found = beside_anchor(replace(material, anchor=silent(material.anchor, "anchor v7 does not load")), 0.01)
    assert found.candidate == nothing("anchor", material.candidate, silent(material.anchor, "anchor v7 does not load"))
    assert found.candidate.words == "anchor: anchor v7 does not load"
    words = "anchor v7 in the candidate's place: anchor: anchor v7 does not load"
    assert found.champion == GateResult(gate="anchor", verdict=INCONCLUSIVE, words=words)


# --- what it makes of `quality`


def result(verdict, high=0.5, gate="quality", **more):
    return GateResult(gate=gate, verdict=verdict, words=f"{gate} words", interval=(-1.0, high), n=9, **more)


@pytest.mark.parametrize(("high", "better"), [(-0.1, True), (0.0, False), (0.1, False), (None, False)])
def test_better_is_an_upper_bound_below_nothing(high, better):
    assert shown_better(result(PASS, high)) is better
    assert shown_better(GateResult(gate="quality", verdict=PASS, words="no bounds")) is False


@pytest.mark.parametrize("beside", list(Verdict))
def test_what_is_better_than_the_champion_need_not_reach_the_anchor(beside):
    held, behind = result(PASS, -0.1, statistic=-0.1), result(beside, 0.3, gate="anchor", statistic=0.2)
    free = "" if beside is PASS else "; shown to be better than the champion, it need not be so"
    assert held_to_anchor(held, behind) == held.model_copy(update={"words": f"quality words; anchor words{free}"})


@pytest.mark.parametrize("beside", list(Verdict))
@pytest.mark.parametrize(("own", "high"), [(PASS, 0.0), (INCONCLUSIVE, -0.1), (FAIL, 0.3)])
def test_what_is_not_is_held_to_both(own, high, beside):
    held, behind = result(own, high, statistic=0.0), result(beside, 0.3, gate="anchor", statistic=0.2)
    found = held_to_anchor(held, behind)
    assert found == all_of(held, behind.model_copy(update={"gate": "quality"}))
    assert (found.gate, found.words) == ("quality", "quality words; anchor words")
    assert found.verdict is max((own, beside), key=[PASS, INCONCLUSIVE, FAIL].index)


def test_an_anchor_that_was_not_compared_lets_nothing_through():
    held, mute = result(PASS, -0.1, statistic=-0.1), GateResult(gate="anchor", verdict=INCONCLUSIVE, words="mute")
    assert held_to_anchor(held, mute).verdict is INCONCLUSIVE


@pytest.mark.parametrize("mode", ["superiority", "non_inferiority"])
def test_the_gate_holds_the_candidate_to_champion_and_anchor(material, mode):
    for made in (material, replace(material, champion=louder(material.champion, 4)), replace(
        material, anchor=silent(material.anchor, "anchor v7 does not load")
    )):  # fmt: skip
        held = quality(pair(made, made.champion, 0.01), mode)
        assert of_quality(made, mode) == held_to_anchor(held, beside_anchor(made, 0.01).candidate)
        assert of_quality(replace(made, anchor=None), mode) == held
    mute = replace(material, champion=silent(material.champion, "gone"))
    assert of_quality(mute, mode) == nothing("quality", material.candidate, mute.champion)


# --- what evidence makes of it


def judged(own, beside, high):
    """Return evidence of a candidate that `quality` gives a verdict, which is so beside the anchor."""
    told = tuple(result(own, high) if one.gate == "quality" else one for one in results())
    behind = result(beside, gate="anchor")
    anchored = Anchored(candidate=behind, champion=behind)
    return evidence(schema="evidence/5", anchor="v0", anchored=anchored, results=told, verdict=own)


@pytest.mark.parametrize(
    ("own", "beside", "high", "following"),
    [
        (PASS, PASS, -0.1, None), (PASS, FAIL, -0.1, "v0"), (PASS, INCONCLUSIVE, -0.1, "v0"), (PASS, PASS, 0.1, "v0"),
        (INCONCLUSIVE, FAIL, -0.1, "v0"), (FAIL, FAIL, 0.1, "v0"),
    ],
)  # fmt: skip
def test_a_new_anchor_is_better_than_the_champion_and_within_the_margin_of_the_old_one(own, beside, high, following):
    assert judged(own, beside, high).next_anchor == following


@pytest.mark.parametrize("beside", [FAIL, INCONCLUSIVE])
@pytest.mark.parametrize("high", [0.0, 0.1, None])
def test_a_pass_that_follows_from_nothing_is_no_evidence(beside, high):
    with pytest.raises(ValueError, match="neither within the margin of the anchor nor shown to be better"):
        judged(PASS, beside, high)
    assert judged(INCONCLUSIVE, beside, high).anchored.candidate.verdict is beside


def test_nothing_stands_beside_no_anchor():
    behind = result(FAIL, gate="anchor")
    with pytest.raises(ValueError, match="nothing stands beside an anchor that there is not"):
        evidence(schema="evidence/5", anchored=Anchored(candidate=behind, champion=behind))
    without = tuple(one for one in results() if one.gate != "quality")
    made = Anchored(candidate=behind, champion=behind)
    assert evidence(schema="evidence/5", anchor="v0", anchored=made, results=without).next_anchor == "v0"
