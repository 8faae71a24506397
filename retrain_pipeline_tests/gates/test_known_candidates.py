"""Each gate that a declaration asks for is tried on a candidate whose answer is known, in every run (G28)."""

from dataclasses import replace

import pytest

from retrain_pipeline.gates import known
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.known import wrong_about_candidates
from retrain_pipeline.gates.looking import _self_test, paired
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.gates.self_test import self_test
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.test_judge import read
from retrain_pipeline_tests.gates.world import template, versions

pytestmark = [pytest.mark.fault("G28"), pytest.mark.requirement("D6", "D52")]
PARTS = {
    "groups": "groups", "robustness": "robustness", "reproducible": "reproduced", "documentation": "documentation",
    "contract": "contract", "fingerprint": "fingerprint", "escalation": "flipped",
    "guard": "guard",
}  # fmt: skip
"""Each of these gates, and the function that decides it."""


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """What a judgement that asks for all gates is made of."""
    world = template().copy(tmp_path_factory.mktemp("known"))
    made = read(world, versions(world)[1])
    more = {
        "groups": ("shop",),
        "refits": 2,
        "documentation": True,
        "max_rss_mb": 900.0,
        "escalate": Escalate(),
        "guard": "required",
    }
    return replace(made, spec=made.spec.model_copy(update={"gates": made.spec.gates.model_copy(update=more)}))


def test_gates_that_work_are_right_about_every_known_candidate(material):
    assert set(PARTS) <= set(required_gates(material.spec.gates))
    assert wrong_about_candidates(material, material.champion) == []
    told = _self_test(material, material.champion, paired(material, material.champion), "non_inferiority")
    assert told.verdict is Verdict.PASS, told.words


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL])
@pytest.mark.parametrize("gate", PARTS)
def test_a_gate_that_says_the_same_of_everybody_is_found_and_stops_the_release(material, monkeypatch, gate, verdict):
    """One that passes the known-bad, and one that fails the known-good."""
    same = GateResult(gate=gate, verdict=verdict, words="x", statistic=0.0 if gate == "robustness" else None)
    monkeypatch.setattr(known, PARTS[gate], lambda *_, **__: same)
    wrong = wrong_about_candidates(material, material.champion)
    assert wrong == [gate]
    judged = paired(material, material.champion)
    told = self_test(judged, None, "non_inferiority", material.spec.gates, wrong)
    assert (told.verdict, gate in told.words) == (Verdict.FAIL, True)


def test_a_gate_that_is_not_asked_for_is_not_tried(material, monkeypatch):
    gates = material.spec.gates.model_copy(update={"groups": (), "documentation": False})
    fewer = replace(material, spec=material.spec.model_copy(update={"gates": gates}))
    monkeypatch.setattr(known, "groups", None)
    monkeypatch.setattr(known, "documentation", None)
    assert wrong_about_candidates(fewer, fewer.champion) == []


def test_without_a_reference_that_answers_robustness_has_no_verdict_to_be_wrong_about(material, monkeypatch):
    monkeypatch.setattr(known, "robustness", None)
    for reference in (None, replace(material.champion, losses=None), replace(material.champion, takes=())):
        assert wrong_about_candidates(material, reference) == []
