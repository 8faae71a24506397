"""Evidence that contradicts itself is no evidence."""

import pytest
from pydantic import ValidationError

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.gates.errors import EvidenceRefused
from retrain_pipeline.gates.evidence import Evidence, GateResult, policy_digest, read_evidence, store_evidence
from retrain_pipeline.gates.required import GATES
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import write_folder

D = "a" * 64
BUDGET = {
    "rule": "LORD++",
    "question": D,
    "alpha": 0.05,
    "judgement": 1,
    "passed": 0,
    "spent_before": 0.0,
    "spent": 0.01,
    "reused": [],
}


def result(gate, verdict="PASS", words="fine", **numbers):
    nothing = dict.fromkeys(("statistic", "threshold", "n", "interval"))
    return {"gate": gate, "verdict": verdict, "words": words, **nothing, **numbers}


def document(**changes):
    made = {
        "model": "toy",
        "version": "v1",
        "manifest": D,
        "champion": None,
        "champion_manifest": None,
        "epoch": 0,
        "as_of": "2024-01-01T00:00:00+00:00",
        "mode": "first",
        "policy": D,
        "required": list(GATES),
        "budget": BUDGET,
        "decisions": {},
        "training_set": D,
        "evaluation": {"rows": 3, "digest": D, "from": None, "until": None},
        "results": [result(gate) for gate in GATES],
        "verdict": "PASS",
        "turning": [],
        "validated_loss": None,
        "plots": {},
        "code": {"commit": None, "dirty": None, "diff_digest": None},
    }
    return {"schema": "evidence/2", **made, **changes}


def test_evidence_comes_back_as_it_was_stored(tmp_path):
    artifacts = Artifacts(tmp_path)
    evidence = Evidence.model_validate(document())
    digest = store_evidence(artifacts, evidence)
    assert read_evidence(artifacts, digest) == evidence
    assert store_evidence(artifacts, evidence) == digest


@pytest.mark.fault("P27", "G19")
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_no_number_of_a_result_is_nan_or_infinite(number):
    for field in ("statistic", "threshold"):
        with pytest.raises(ValidationError, match="finite"):
            GateResult(gate="quality", verdict=Verdict.PASS, words="x", **{field: number})


@pytest.mark.fault("P27", "G19")
@pytest.mark.parametrize("statistic", [None, 0.2])
def test_a_pass_beyond_its_threshold_is_no_result(statistic):
    with pytest.raises(ValidationError, match="beyond"):
        GateResult(gate="quality", verdict=Verdict.PASS, words="x", statistic=statistic, threshold=0.1)


@pytest.mark.requirement("D6")
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE"])
def test_a_pass_over_a_gate_that_did_not_pass_is_no_evidence(tmp_path, gate, verdict):
    results = [result(one, verdict if one == gate else "PASS") for one in GATES]
    artifacts = Artifacts(tmp_path)
    with pytest.raises(EvidenceRefused, match="not the worst"):
        read_evidence(artifacts, artifacts.put_json(document(results=results)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"results": [{"gate": "size", "verdict": "PASS", "words": "x"}] * 2}, "two results"),
        ({"mode": "superiority"}, "mode first goes with no champion"),
        ({"champion": "v0"}, "mode first goes with no champion"),
        ({"more": 1}, "Extra inputs"),
        ({"results": [], "verdict": "PASS"}, "not the worst"),
    ],
)
def test_contradictions_are_refused(tmp_path, change, words):
    artifacts = Artifacts(tmp_path)
    with pytest.raises(EvidenceRefused, match=words):
        read_evidence(artifacts, artifacts.put_json(document(**change)))


def test_missing_and_damaged_bytes_are_refused_with_a_mend(tmp_path):
    artifacts = Artifacts(tmp_path)
    with pytest.raises(EvidenceRefused, match="judge the version again"):
        read_evidence(artifacts, D)
    with pytest.raises(EvidenceRefused, match="cannot be read"):
        read_evidence(artifacts, "../../etc/passwd")


@pytest.mark.fault("G19")
@pytest.mark.parametrize("field", ["schema", "plots"])
def test_a_field_that_could_be_filled_in_is_still_missed(tmp_path, field):
    artifacts, short = Artifacts(tmp_path), document()
    assert read_evidence(artifacts, artifacts.put_json(short)).model == "toy"
    del short[field]
    with pytest.raises(EvidenceRefused, match="not as a judge writes it"):
        read_evidence(artifacts, artifacts.put_json(short))


def test_missing_gates_are_named():
    few = Evidence.model_validate(document(results=document()["results"][1:]))
    assert few.missing_gates == [GATES[0]]
    assert few.result(GATES[1]) is not None


def test_measured_times_do_not_make_another_judgement():
    def with_latency(statistic, gate="latency"):
        results = [result(one, words=f"{statistic}" if one == gate else "x") for one in GATES]
        return Evidence.model_validate(document(results=results)).judgement_digest

    assert with_latency(1.0) == with_latency(2.0)
    assert with_latency(1.0, "quality") != with_latency(2.0, "quality")


@pytest.mark.fault("P25")
def test_the_policy_digest_moves_with_what_decides_and_with_nothing_else(tmp_path):
    base = policy_digest(write_folder(tmp_path / "a").spec)
    assert policy_digest(write_folder(tmp_path / "b").spec) == base
    assert policy_digest(write_folder(tmp_path / "c", more="  report: {every: 5}").spec) == base
    assert policy_digest(write_folder(tmp_path / "d", success="{metric: mae, at_most: 6}").spec) != base
    assert policy_digest(write_folder(tmp_path / "e", more="  rollout: {approval: required}").spec) != base
