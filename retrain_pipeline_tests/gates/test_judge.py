"""Judging real versions on real rows: the verdict, what is kept of it, and what happens when something is not there."""

import os
from dataclasses import replace

import numpy as np
import pytest

from retrain_pipeline.gates.errors import JudgementRefused
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.gates.looking import _leakage, look
from retrain_pipeline.gates.material import _asked, _evidence, _seen, _validated, read_material
from retrain_pipeline.gates.required import GATES, required_gates
from retrain_pipeline.learning.errors import VersionNotLoadable
from retrain_pipeline.learning.versions import load_version, read_manifest
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import deliver, template, toys, versions


def damage(world, digest):
    path = world.stores.artifacts.path(digest)
    with open(path, "r+b") as file:
        file.write(b"damaged!")


def verdicts(evidence):
    return {one.gate: one.verdict for one in evidence.results}


@pytest.mark.requirement("A32", "D6", "D14")
def test_a_judgement_is_kept_whole_and_entered_once(world):
    version = versions(world)[1]
    evidence, digest = world.judge(version)
    required = required_gates(world.declaration.spec.gates)
    assert [one.gate for one in evidence.results] == list(required) == [*GATES, "reproducible"]
    assert evidence.verdict is Verdict.PASS
    assert read_evidence(world.stores.artifacts, digest) == evidence
    [entry] = world.stores.ledger.entries(action="judged", subject=version)
    assert entry.payload["evidence"] == digest
    assert entry.payload["gates"] == dict.fromkeys(required, "PASS")
    assert (entry.epoch, evidence.epoch, evidence.champion) == (1, 1, versions(world)[0])
    assert evidence.validated_loss.n == evidence.evaluation.rows == 336
    assert 0.3 < evidence.validated_loss.value < 0.9


@pytest.mark.fault("P26")
def test_judging_again_gives_the_judgement_on_record(world):
    version = versions(world)[2]
    before = len(world.stores.ledger.entries())
    one, two = world.judge(version, run_id="a"), world.judge(version, run_id="b")
    assert one == two
    assert len(world.stores.ledger.entries()) == before


def test_the_champion_is_not_judged_against_itself(world):
    champion = versions(world)[0]
    _, digest = world.judge(champion)
    assert digest == world.stores.ledger.deployment("toy").state["evidence"]


def test_a_mode_that_does_not_fit_the_deployment_is_refused(world):
    version = versions(world)[1]
    with pytest.raises(JudgementRefused, match="judge against it"):
        world.judge(version, "first")
    with pytest.raises(JudgementRefused, match="first, non_inferiority or superiority"):
        world.judge(version, "best")


def test_superiority_without_a_champion_is_refused(tmp_path):
    from retrain_pipeline.stores import open_stores
    from retrain_pipeline_tests.gates.world import World, write_folder

    empty = World(open_stores(tmp_path / "home"), write_folder(tmp_path / "toy"), tmp_path / "home")
    with pytest.raises(JudgementRefused, match="there is none"):
        empty.judge("20240101-00000000", "superiority")
    with pytest.raises(VersionNotLoadable):
        empty.judge("20240101-00000000", "first")


def test_a_candidate_that_does_not_load_fails_and_nothing_else_passes(world):
    version = versions(world)[1]
    damage(world, read_manifest(world.stores, "toy", version).model_artifact)
    evidence, _ = world.judge(version)
    found = verdicts(evidence)
    assert set(found) == set(required_gates(world.declaration.spec.gates))
    assert found.pop("fingerprint") is Verdict.FAIL
    assert set(found.values()) == {Verdict.INCONCLUSIVE}
    assert evidence.validated_loss is None


@pytest.mark.fault("G19")
def test_rows_that_are_gone_are_inconclusive(world):
    version = versions(world)[1]
    damage(world, read_manifest(world.stores, "toy", version).frozen.evaluation_row_digests_artifact)
    evidence, _ = world.judge(version)
    assert set(verdicts(evidence).values()) == {Verdict.INCONCLUSIVE}
    assert "could not look" in evidence.results[0].words


@pytest.mark.requirement("D8")
def test_a_champion_that_does_not_load_leaves_nothing_to_compare_with(world):
    champion, version = versions(world)[:2]
    damage(world, read_manifest(world.stores, "toy", champion).model_artifact)
    evidence, _ = world.judge(version)
    found = verdicts(evidence)
    assert found["contract"] is Verdict.FAIL
    for gate in ("quality", "disjoint", "labels", "slices", "self_test"):
        assert found[gate] is Verdict.INCONCLUSIVE, gate


@pytest.mark.fault("G19")
def test_a_lost_baseline_is_inconclusive(world):
    version = versions(world)[1]
    damage(world, read_manifest(world.stores, "toy", version).baselines["linear"])
    evidence, _ = world.judge(version)
    assert verdicts(evidence)["baseline"] is Verdict.INCONCLUSIVE
    assert evidence.verdict is Verdict.INCONCLUSIVE


@pytest.mark.fault("I30", "P31")
@pytest.mark.requirement("D38")
def test_a_candidate_of_the_past_is_judged_on_no_row_that_the_champion_has_seen(world):
    """The champion of week 8 was trained on the rows on which a candidate of week 6 would be judged."""
    old, _, newest = versions(world)
    world.judged_release(newest)
    back_dated = world.build(6, parent=newest)
    assert back_dated != old
    evidence, _ = world.judge(back_dated)
    found = verdicts(evidence)
    assert found["disjoint"] is Verdict.INCONCLUSIVE
    assert found["quality"] is Verdict.INCONCLUSIVE
    assert "left out" in evidence.result("disjoint").words


@pytest.mark.fault("I7")
@pytest.mark.requirement("D6")
def test_labels_that_were_inverted_upstream_stop_the_release(tmp_path):
    """Two weeks of labels arrive the other way round; the candidate learned some of them and fits them."""
    world = template("binary").copy(tmp_path)
    late = toys(2, "binary", first=8)
    deliver(world.stores, world.declaration, late.assign(y=1.0 - late["y"]))
    version = world.build(10, parent=versions(world)[0])
    evidence, _ = world.judge(version)
    assert verdicts(evidence)["labels"] is Verdict.FAIL, evidence.result("labels").words
    assert "inverted" in evidence.result("labels").words
    assert "calibration" in evidence.plots


def test_a_multiclass_version_goes_through_the_same_gates(tmp_path):
    from retrain_pipeline_tests.gates.world import make_world

    world = make_world(tmp_path, "multiclass", weeks=6)
    version = world.build(6)
    world.judged_release(version, "first")
    twin = world.build(6, parent=version)
    assert world.judge(twin)[0].verdict is Verdict.PASS
    assert world.judge(twin, "superiority")[0].result("quality").verdict is Verdict.INCONCLUSIVE


def read(world, version):
    loaded = load_version(world.stores, "toy", version)
    row = world.stores.ledger.deployment("toy")
    return read_material(world.stores, world.declaration.spec, loaded, row.state["champion"], row.state["evidence"])


@pytest.mark.fault("G19", "P27")
def test_a_side_that_cannot_answer_leaves_no_gate_that_passes_on_it(world):
    material = read(world, versions(world)[1])
    frames = replace(material.frames, eval_x=material.frames.eval_x.drop(columns="b"))
    mute = _asked("candidate", material.spec, frames, material.candidate.pipeline)
    assert mute.losses is None
    assert "'b'" in mute.why_not
    found = {one.gate: one for one in look(replace(material, candidate=mute), "non_inferiority")}
    assert found["contract"].verdict is Verdict.FAIL
    for gate in ("quality", "baseline", "success", "slices", "calibration", "self_test"):
        assert found[gate].verdict is Verdict.INCONCLUSIVE, gate
    assert "'b'" in found["quality"].words
    found = {one.gate: one for one in look(replace(material, champion=replace(mute, name="champion")), "superiority")}
    assert found["contract"].verdict is Verdict.FAIL
    assert "champion" in found["contract"].words
    for gate in ("quality", "labels", "slices", "self_test"):
        assert found[gate].verdict is Verdict.INCONCLUSIVE, gate


@pytest.mark.fault("G19")
def test_lost_row_digests_and_too_few_rows_to_probe_are_inconclusive(world):
    version = versions(world)[1]
    material = read(world, version)
    os.unlink(world.stores.artifacts.path(material.frozen.row_digests_artifact))
    assert _seen(world.stores, "candidate", material.frozen).row_digests is None
    short = replace(material.frames, train_x=material.frames.train_x[:9], train_y=material.frames.train_y[:9],
                    eval_x=material.frames.eval_x[:90], eval_y=material.frames.eval_y[:90])  # fmt: skip
    assert _leakage(replace(material, frames=short)).verdict is Verdict.INCONCLUSIVE


def test_evidence_that_is_gone_tells_nothing_of_the_validated_loss(world):
    assert _validated(_evidence(world.stores, "0" * 64)) is None
    assert _validated(_evidence(world.stores, None)) is None
    assert _validated(_evidence(world.stores, newest_evidence(world.stores, "toy", versions(world)[0]))) > 0.3


def test_plots_are_pictures_and_the_same_every_time(world):
    evidence, _ = world.judge(versions(world)[1])
    assert set(evidence.plots) == {"residuals", "difference"}
    for digest in evidence.plots.values():
        data = world.stores.artifacts.get(digest)
        assert data.startswith(b"\x89PNG")
        assert len(data) > 5000


def test_the_bounds_are_those_of_the_rows_alone(world):
    one, _ = world.judge(versions(world)[1])
    quality = one.result("quality")
    low, high = quality.interval
    assert low < high
    assert np.isfinite([low, high, quality.statistic]).all()
