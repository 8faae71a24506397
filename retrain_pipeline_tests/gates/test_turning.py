"""What would have changed a judgement."""

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.gates.turning import turning
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import versions


def result(gate, verdict=Verdict.PASS, **numbers):
    return GateResult(gate=gate, verdict=verdict, words="as found", **numbers)


def test_a_gate_that_did_not_pass_says_what_it_would_have_needed():
    [missed, blind] = turning(
        [
            result("size", Verdict.FAIL, statistic=250.0, threshold=200.0),
            result("latency", statistic=1.0, threshold=50.0),
            result("labels", Verdict.INCONCLUSIVE),
        ]
    )
    assert (missed.gate, blind.gate) == ("size", "labels")
    assert "lower by 50" in missed.words
    assert "as found" in blind.words


def test_of_a_pass_the_gate_nearest_to_failing_is_named():
    found = turning(
        [
            result("contract", statistic=0.0, threshold=0.0),
            result("quality", statistic=-0.3, threshold=0.0, interval=(-0.9, -0.1)),
            result("latency", statistic=45.0, threshold=50.0),
            result("size", statistic=1.0, threshold=200.0),
        ]
    )
    assert [one.gate for one in found] == ["latency"]
    assert "45" in found[0].words
    assert turning([result("contract", statistic=0.0, threshold=0.0)]) == ()


def test_evidence_holds_what_its_verdict_turns_on(world):
    evidence, _ = world.judge(versions(world)[1])
    assert evidence.turning == turning(evidence.results)
    assert len(evidence.turning) == 1
