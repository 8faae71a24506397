"""Margins of a chain of refreshes do not add up: a candidate is held to what was shown to be better last."""

import os
from dataclasses import replace

import numpy as np
import pytest

from retrain_pipeline.gates.anchor import beside_anchor
from retrain_pipeline.gates.evidence import Anchored, Evidence
from retrain_pipeline.gates.looking import look
from retrain_pipeline.gates.material import read_material
from retrain_pipeline.gates.replay import contradictions, replay_judgements
from retrain_pipeline.learning.versions import load_version
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import make_world


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Three versions: a first, a refresh of it, and a candidate, not released, that answers as the refresh does."""
    world = make_world(tmp_path_factory.mktemp("anchor"), weeks=10)
    spec = world.declaration.spec
    wide = spec.model_copy(update={"gates": spec.gates.model_copy(update={"margin": 0.2})})
    world.declaration = replace(world.declaration, spec=wide)
    first = world.build(8)
    world.judged_release(first, "first")
    second = world.build(10, parent=first)
    world.judged_release(second)
    return world, first, second, world.build(10, parent=second)


def material_of(world, version):
    row = world.stores.ledger.deployment("toy")
    loaded = load_version(world.stores, "toy", version)
    return read_material(world.stores, world.declaration.spec, loaded, row.state["champion"], row.state["evidence"])


def quality_of(material, mode="non_inferiority"):
    return next(one for one in look(material, mode) if one.gate == "quality")


def slower(side, share):
    """Return a side whose losses are another share of what they are."""
    return replace(side, losses=side.losses * share)


@pytest.mark.requirement("D6", "D26")
@pytest.mark.fault("G25")
def test_a_refresh_of_a_refresh_is_held_to_the_first_too(chain):
    world, first, second, third = chain
    evidence, digest = world.judge(third)
    assert (evidence.schema_, evidence.champion, evidence.anchor) == ("evidence/5", second, first)
    assert evidence.verdict is Verdict.PASS
    assert f"minus the anchor {first}'s" in evidence.result("quality").words
    assert evidence.next_anchor == first
    assert (evidence.anchored.candidate.verdict, evidence.anchored.champion.verdict) != (Verdict.FAIL, Verdict.PASS)
    entry = world.stores.ledger.latest("toy", "judged", third)
    assert entry.payload["evidence"] == digest
    assert contradictions(world.stores, entry, evidence) == []
    assert [one.flips for one in replay_judgements(world.stores, world.declaration.spec)] == [False] * 3


@pytest.mark.fault("G25")
def test_what_is_as_good_as_the_champion_and_worse_than_the_anchor_is_refused(chain):
    world, _, _, third = chain
    material = material_of(world, third)
    assert quality_of(material).verdict is Verdict.PASS
    crept = replace(material, anchor=slower(material.anchor, 0.6))
    found = quality_of(crept)
    assert found.verdict is Verdict.FAIL
    assert found.statistic > 0
    assert quality_of(replace(crept, anchor=None)).verdict is Verdict.PASS


def test_better_than_the_champion_and_behind_the_anchor_is_let_through(chain):
    world, _, _, third = chain
    material = material_of(world, third)
    fallen = replace(material, champion=slower(material.champion, 1.5), anchor=slower(material.anchor, 0.6))
    held = quality_of(replace(fallen, anchor=None), "superiority")
    found = quality_of(fallen, "superiority")
    assert found.verdict is held.verdict is Verdict.PASS
    assert (found.statistic, found.interval) == (held.statistic, held.interval)
    assert found.words.startswith(held.words)
    assert found.words.endswith("(non_inferiority); shown to be better than the champion, it need not be so")
    beside = beside_anchor(fallen, None)
    assert (beside.candidate.verdict, beside.champion.verdict) == (Verdict.FAIL, Verdict.PASS)
    assert beside.champion.words.startswith(f"anchor {material.anchor_version} in the candidate's place: mean mae row")


def test_not_worse_than_the_champion_is_not_enough_behind_the_anchor(chain):
    world, _, _, third = chain
    material = material_of(world, third)
    fallen = replace(material, anchor=slower(material.anchor, 0.6))
    assert quality_of(fallen).verdict is Verdict.FAIL
    assert quality_of(fallen, "superiority").verdict is Verdict.FAIL  # as good is not better


@pytest.mark.fault("G19")
def test_an_anchor_that_cannot_answer_is_no_pass(chain):
    world, _, _, third = chain
    material = material_of(world, third)
    found = quality_of(replace(material, anchor=replace(material.anchor, losses=None, why_not="anchor does not load")))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "anchor does not load" in found.words
    lost = replace(material.anchor, losses=np.full_like(material.anchor.losses, np.nan))
    assert quality_of(replace(material, anchor=lost)).verdict is Verdict.INCONCLUSIVE
    better = replace(material, champion=slower(material.champion, 1.5))
    for side in (lost, replace(lost, losses=None, why_not="gone")):
        assert quality_of(replace(better, anchor=side), "superiority").verdict is Verdict.INCONCLUSIVE
        assert beside_anchor(replace(better, anchor=side), None).champion.verdict is not Verdict.PASS


def test_what_was_shown_to_be_better_is_an_anchor_itself(chain):
    world, first, second, third = chain
    evidence = world.judge(third)[0]
    quality = evidence.result("quality")
    assert quality.interval[1] >= 0

    def with_quality(**changes):
        others = tuple(one for one in evidence.results if one is not quality)
        return evidence.model_copy(update={"results": (quality.model_copy(update=changes), *others)})

    assert with_quality(interval=(-0.2, -0.1)).next_anchor is None
    assert with_quality(interval=(-0.2, -0.1), verdict=Verdict.INCONCLUSIVE).next_anchor == first  # by a trial's margin
    assert with_quality(interval=None).next_anchor == first
    assert with_quality(interval=(-0.2, None)).next_anchor == first
    behind = Anchored(candidate=quality.model_copy(update={"verdict": Verdict.FAIL}), champion=quality)
    assert with_quality(interval=(-0.2, -0.1)).model_copy(update={"anchored": behind}).next_anchor == first
    assert with_quality(interval=(-0.2, -0.1)).model_copy(update={"anchored": None}).next_anchor is None
    assert evidence.model_copy(update={"anchor": None}).next_anchor == second
    assert evidence.model_copy(update={"mode": "first", "champion": None, "anchor": None}).next_anchor is None


@pytest.mark.parametrize("anchor", ["champion", "version"])
def test_an_anchor_is_another_than_the_two_that_are_judged(chain, anchor):
    world, _, _, third = chain
    evidence = world.judge(third)[0]
    with pytest.raises(ValueError, match="an anchor is neither"):
        type(evidence).model_validate({**evidence.document(), "anchor": getattr(evidence, anchor)}, strict=False)
    with pytest.raises(ValueError, match="anchor what format 4 has"):
        type(evidence).model_validate({**evidence.document(), "schema": "evidence/2"}, strict=False)


def read(document):
    return Evidence.model_validate(document, strict=False)


@pytest.mark.fault("G25")
def test_evidence_that_passes_what_is_behind_the_anchor_and_not_better_is_none(chain):
    world, first, _, third = chain
    evidence = world.judge(third)[0]
    document = evidence.document()
    assert read(document) == evidence
    document["anchored"]["candidate"].update(verdict="FAIL")
    with pytest.raises(ValueError, match="neither within the margin of the anchor nor shown to be better"):
        read(document)
    next(one for one in document["results"] if one["gate"] == "quality").update(interval=[-0.2, -0.1])
    assert read(document).next_anchor == first
    del document["anchor"]
    with pytest.raises(ValueError, match="beside an anchor that there is not"):
        read(document)


def test_evidence_of_before_is_read_as_it_was(chain):
    world, first, _, third = chain
    document = world.judge(third)[0].document()
    del document["anchored"]
    with pytest.raises(ValueError, match="anchored format 5"):
        read(document)
    before = read({**document, "schema": "evidence/4"})
    assert (before.anchored, before.next_anchor) == (None, first)
    assert before.document() == {**document, "schema": "evidence/4"}


def test_after_a_rollback_the_anchor_is_that_of_the_version_that_is_back(tmp_path):
    world = make_world(tmp_path, weeks=10)
    first = world.build(8)
    world.judged_release(first, "first")
    second = world.build(10, parent=first)
    world.judged_release(second)
    rollback(world.stores, "toy", because="worse than before", actor="test")
    evidence = world.judge(world.build(10, parent=second))[0]
    assert (evidence.champion, evidence.anchor, evidence.schema_) == (first, None, "evidence/2")


@pytest.mark.fault("G19")
def test_a_champion_whose_evidence_is_gone_leaves_its_anchor_unknown(tmp_path):
    world = make_world(tmp_path, weeks=10)
    first = world.build(8)
    digest = world.judged_release(first, "first")
    os.unlink(world.stores.artifacts.path(digest))
    found = world.judge(world.build(10, parent=first))[0].result("quality")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert f"evidence {digest} cannot be read" in found.words
