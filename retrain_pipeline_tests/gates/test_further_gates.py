"""Robustness, groups, refits and the footprint of a fresh process, on models and rows whose truth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.gates import fresh, refits
from retrain_pipeline.gates.beyond import look_beyond
from retrain_pipeline.gates.fresh import footprint, measure
from retrain_pipeline.gates.groups import groups
from retrain_pipeline.gates.refits import reproducible, seed_losses, seed_noise, seed_noise_of
from retrain_pipeline.gates.required import GATES, required_gates
from retrain_pipeline.gates.robustness import robustness
from retrain_pipeline.learning.guarded import FitFailed
from retrain_pipeline.learning.reproduce import Reproduction
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.test_judge import damage, read
from retrain_pipeline_tests.gates.world import versions


class Wild:
    """A pipeline that answers as another does, but wildly (or not at all) where `a` is missing."""

    def __init__(self, pipeline, answer):
        self.pipeline, self.answer = pipeline, answer
        self.named_steps = pipeline.named_steps

    def predict(self, rows):
        told = np.asarray(self.pipeline.predict(rows), dtype=float)
        told[rows["a"].isna().to_numpy()] = self.answer
        return told


@pytest.fixture
def material(world):
    return read(world, versions(world)[1])


@pytest.mark.requirement("D6")
def test_a_candidate_as_robust_as_the_champion_passes(material):
    found = robustness(material, material.champion, factor=3.0)
    assert found.verdict is Verdict.PASS
    assert 0.5 < found.statistic < 2
    assert found.words.startswith("4 perturbations")


@pytest.mark.requirement("D6")
@pytest.mark.parametrize(("answer", "words"), [(1e6, "a missing"), (np.nan, "no answer")])
def test_a_candidate_that_goes_wild_without_an_input_fails(material, answer, words):
    wild = replace(material.candidate, pipeline=Wild(material.candidate.pipeline, answer))
    found = robustness(replace(material, candidate=wild), material.champion, factor=3.0)
    assert found.verdict is Verdict.FAIL
    assert words in found.words


@pytest.mark.fault("G19")
def test_without_a_reference_that_answers_robustness_cannot_be_told(material):
    mute = replace(material.champion, pipeline=Wild(material.champion.pipeline, np.nan))
    for reference in (None, replace(material.champion, losses=None), mute):
        assert robustness(material, reference, factor=3.0).verdict is Verdict.INCONCLUSIVE


def fair(gap, reference_gap=0.0, n=2000, margin=0.05, seed=0):
    """Judge rows of two groups whose positive rates lie so far apart."""
    rng = np.random.default_rng(seed)
    values = pd.DataFrame({"sex": np.where(np.arange(n) % 2, "f", "m")})
    own, theirs = (
        (rng.random(n) < 0.4 + np.where(np.arange(n) % 2, apart, 0.0)).astype(float) for apart in (gap, reference_gap)
    )
    return groups({"positive rate": (own, theirs)}, values, ("sex",), margin=margin, alpha=0.05, seed=1)


@pytest.mark.requirement("D52")
def test_a_gap_between_groups_that_grew_is_found_and_one_that_was_there_is_not_blamed():
    assert fair(0.3).verdict is Verdict.FAIL
    assert "positive rate by sex" in fair(0.3).words
    assert fair(0.3, 0.3).verdict is Verdict.PASS
    assert fair(0.0, 0.3).verdict is Verdict.PASS
    assert fair(0.12, n=120, margin=0.0).verdict is Verdict.INCONCLUSIVE


@pytest.mark.fault("G19")
def test_groups_that_cannot_be_compared_are_inconclusive():
    one = {"loss": (np.ones(100), np.ones(100))}
    alone = groups(one, pd.DataFrame({"sex": ["f"] * 100}), ("sex",), margin=0.1, alpha=0.05, seed=1)
    absent = groups(one, pd.DataFrame({"age": ["f"] * 100}), ("sex",), margin=0.1, alpha=0.05, seed=1)
    assert {alone.verdict, absent.verdict} == {Verdict.INCONCLUSIVE}
    assert "sex" in absent.words


@pytest.mark.requirement("D21", "B18")
def test_a_version_that_is_fitted_again_is_the_same(world):
    assert reproducible(world.stores, world.declaration, versions(world)[1]).verdict is Verdict.PASS


@pytest.mark.fault("P28")
@pytest.mark.parametrize(
    ("difference", "verdict"),
    [("answers: they differ by 0.1 (tolerance 1e-06)", Verdict.FAIL), ("data: gone", Verdict.INCONCLUSIVE)],
)
def test_a_fit_that_comes_out_otherwise_fails_and_says_how_far(world, monkeypatch, difference, verdict):
    from retrain_pipeline.learning import reproduce

    monkeypatch.setattr(reproduce, "reproduce", lambda *_: Reproduction(False, [difference]))
    found = reproducible(world.stores, world.declaration, versions(world)[1])
    assert found.verdict is verdict
    assert difference in found.words


@pytest.mark.fault("G19")
def test_a_fit_that_cannot_be_done_again_is_inconclusive(world):
    version = versions(world)[1]
    damage(world, read_manifest(world.stores, "toy", version).probe.artifact)
    assert reproducible(world.stores, world.declaration, version).verdict is Verdict.INCONCLUSIVE


def of_seeds(others, mode="superiority", own=0.8):
    return seed_noise(own, others, 1.0, metric="mae", margin=0.05, mode=mode).verdict


@pytest.mark.requirement("B18")
def test_a_gain_that_is_the_luck_of_a_seed_does_not_pass():
    assert of_seeds([0.85, 0.9]) is Verdict.PASS
    assert of_seeds([0.85, 1.1]) is Verdict.INCONCLUSIVE
    assert of_seeds([1.2, 1.1]) is Verdict.FAIL
    assert of_seeds([1.0, 0.9]) is Verdict.INCONCLUSIVE
    assert of_seeds([1.04, 1.05], "non_inferiority") is Verdict.PASS
    assert of_seeds([1.04, 1.06], "non_inferiority") is Verdict.INCONCLUSIVE


@pytest.mark.requirement("B18")
def test_other_seeds_are_really_fitted_and_nothing_to_compare_with_is_inconclusive(material, monkeypatch):
    own = float(material.candidate.losses.mean())
    assert seed_losses(material, [material.manifest.seed]) == [pytest.approx(own)]
    found = seed_noise_of(material, material.baselines["dummy"], "first", 2)
    assert (found.verdict, found.n) == (Verdict.PASS, 3)
    assert seed_noise_of(material, None, "first", 2).verdict is Verdict.INCONCLUSIVE

    def failing(*_):
        raise FitFailed("out of memory")

    monkeypatch.setattr(refits, "seed_losses", failing)
    lost = seed_noise_of(material, material.baselines["dummy"], "first", 2)
    assert lost.verdict is Verdict.INCONCLUSIVE
    assert "out of memory" in lost.words


def test_a_fresh_process_measures_the_model_and_its_memory(world, material, monkeypatch):
    model = world.stores.artifacts.get(material.manifest.model_artifact)
    found = measure(model, material.frames.eval_x, material.frames.task)
    assert 50 < found.peak_rss_mb < 2000
    assert 0 < found.latency_ms_p95 < 1000
    assert footprint(found, max_rss_mb=2000).verdict is Verdict.PASS
    assert footprint(found, max_rss_mb=1).verdict is Verdict.FAIL
    assert footprint(None, max_rss_mb=1, why_not="no memory").verdict is Verdict.INCONCLUSIVE
    with pytest.raises(OSError, match="no measurement"):
        measure(b"no model", material.frames.eval_x, material.frames.task)
    monkeypatch.setattr(fresh, "TIMEOUT_SECONDS", 0.01)
    with pytest.raises(OSError, match="did not end"):
        measure(model, material.frames.eval_x, material.frames.task)


def test_a_fresh_process_does_not_answer_for_what_the_process_that_starts_it_holds(world, material):
    """On Linux the peak that `getrusage` tells of a child begins at what its parent held."""
    model = world.stores.artifacts.get(material.manifest.model_artifact)
    before = measure(model, material.frames.eval_x, material.frames.task).peak_rss_mb
    held = np.ones(100_000_000)  # 800 MB
    found = measure(model, material.frames.eval_x, material.frames.task).peak_rss_mb
    assert held[-1] == 1.0
    assert abs(found - before) < 100


@pytest.mark.requirement("C23")
def test_what_is_required_follows_from_the_declaration(world):
    gates = world.declaration.spec.gates
    assert required_gates(gates.model_copy(update={"refits": 0})) == GATES
    more = gates.model_copy(update={"refits": 3, "max_rss_mb": 900.0, "groups": ("shop",)})
    assert required_gates(more) == (*GATES, "groups", "reproducible", "seed_noise", "footprint")


@pytest.mark.requirement("C23", "D52")
def test_gates_that_are_declared_are_looked_at_and_stand_in_the_evidence(world):
    path = world.declaration.folder / "defs.yaml"
    more = "gates: {groups: [shop], group_margin: 0.5, refits: 2, max_rss_mb: 2000, "
    path.write_text(path.read_text().replace("gates: {", more))
    declared = world.again()
    evidence, _ = declared.judge(versions(world)[1])
    assert evidence.required == required_gates(declared.declaration.spec.gates)
    assert [one.gate for one in evidence.results] == list(evidence.required)
    assert "in a fresh process" in evidence.result("latency").words
    for gate in ("groups", "reproducible", "footprint"):
        assert evidence.result(gate).verdict is Verdict.PASS, evidence.result(gate).words
    assert evidence.result("seed_noise").n == 2


@pytest.mark.fault("G19")
def test_a_process_that_cannot_be_started_leaves_the_footprint_inconclusive(world, monkeypatch):
    path = world.declaration.folder / "defs.yaml"
    path.write_text(path.read_text().replace("gates: {", "gates: {refits: 0, max_rss_mb: 2000, "))
    declared = world.again()
    monkeypatch.setattr(fresh.sys, "executable", "/nonexistent/python")
    [found] = look_beyond(declared.stores, declared.declaration, read(declared, versions(world)[1]), "superiority")
    assert (found.gate, found.verdict) == ("footprint", Verdict.INCONCLUSIVE)
