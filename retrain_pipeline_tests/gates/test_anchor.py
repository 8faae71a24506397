"""Margins of a chain of refreshes do not add up: a candidate is held to what was shown to be better last."""

import os
from dataclasses import replace

import numpy as np
import pytest

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
    assert (evidence.schema_, evidence.champion, evidence.anchor) == ("evidence/4", second, first)
    assert evidence.verdict is Verdict.PASS
    assert f"minus the anchor {first}'s" in evidence.result("quality").words
    assert evidence.next_anchor == first
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


def test_better_than_the_champion_and_behind_the_anchor_is_refused_too(chain):
    world, _, _, third = chain
    material = material_of(world, third)
    better = replace(material, champion=slower(material.champion, 1.5))
    assert quality_of(better, "superiority").verdict is Verdict.PASS
    assert quality_of(replace(better, anchor=slower(material.anchor, 0.6)), "superiority").verdict is Verdict.FAIL


@pytest.mark.fault("G19")
def test_an_anchor_that_cannot_answer_is_no_pass(chain):
    world, _, _, third = chain
    material = material_of(world, third)
    found = quality_of(replace(material, anchor=replace(material.anchor, losses=None, why_not="anchor does not load")))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "anchor does not load" in found.words
    lost = replace(material.anchor, losses=np.full_like(material.anchor.losses, np.nan))
    assert quality_of(replace(material, anchor=lost)).verdict is Verdict.INCONCLUSIVE


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
