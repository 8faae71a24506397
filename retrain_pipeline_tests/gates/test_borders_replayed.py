"""Past judgements looked at again, to the letter: with which gates, against whom, and what stands as it was found."""

import pytest

from retrain_pipeline.canonical import sha256
from retrain_pipeline.gates import operation
from retrain_pipeline.gates.escalation import GATE, answer, escalate
from retrain_pipeline.gates.evidence import EvaluationRows, GateResult, policy_document
from retrain_pipeline.gates.judge import judged_entry
from retrain_pipeline.gates.looking import look
from retrain_pipeline.gates.replay import Changed, Replayed, replay_judgements
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.verdicts import Verdict, worst
from retrain_pipeline_tests.gates.handmade import evidence
from retrain_pipeline_tests.gates.small import EARLY, Small

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
MEASURED = ("latency", "size", "footprint", "reproducible", "seed_noise", "documentation", "guard")
FIRST_LEVEL = 0.05 / 2 / 2.2857656996
"""What the first retrain that nothing called for may spend."""


class Case:
    """A judgement of v2 on record whose results are made by hand: FAIL by every gate, unless another is given."""

    def __init__(self, folder, champion=True, **gates):
        self.small = Small(folder, champion=champion, **gates)
        self.ledger, self.artifacts = self.small.ledger, self.small.artifacts

    def judged(self, verdicts=None, statistics=None, required=None, **changed):
        """Enter a judgement under what is declared; return its entry."""
        frozen, spec = self.small.manifest.frozen, self.small.spec
        results = tuple(
            GateResult(
                gate=gate, verdict=(verdicts or {}).get(gate, FAIL), words=f"{gate} then",
                statistic=(statistics or {}).get(gate),
            )
            for gate in required or required_gates(spec.gates)
        )  # fmt: skip
        evaluation = EvaluationRows(
            rows=240, digest=frozen.evaluation_row_digests_artifact,
            **{"from": frozen.evaluation_from, "until": frozen.evaluation_until},
        )  # fmt: skip
        made = evidence(**{
            "policy": self.artifacts.put_json(policy_document(spec)), "required": [one.gate for one in results],
            "results": results, "verdict": worst(one.verdict for one in results), "evaluation": evaluation, **changed,
        })  # fmt: skip
        return self.ledger.append(judged_entry(made, self.artifacts.put_json(made.document()), "run-8", "somebody"))

    def replayed(self):
        """Return the first judgement, looked at again."""
        return replay_judgements(self.small.stores, self.small.spec)[0]

    def lose(self):
        """Lose the rows that judged."""
        del self.small.stores.lake.frames["features"]

    def lost(self):
        """Return a judgement whose rows are gone, looked at again."""
        self.lose()
        return self.replayed()


@pytest.fixture(autouse=True)
def few_calls(monkeypatch):
    """Measure the time of two predictions, not of a hundred: it is no part of what is looked at again."""
    monkeypatch.setattr(operation, "CALLS", 2)


@pytest.fixture
def case(tmp_path):
    made = Case(tmp_path)
    yield made
    made.small.stores.close()


def changed(found):
    return {one.gate: (one.then, one.now, one.words) for one in found.changed}


# --- what is looked at


@pytest.mark.parametrize(("mode", "level"), [("superiority", FIRST_LEVEL), ("non_inferiority", 0.05)])
def test_all_gates_look_again_by_the_mode_the_level_and_the_champion_of_then(case, mode, level):
    entry = case.judged(mode=mode)
    v1 = str(case.ledger.deployment("toy").state["evidence"])
    case.small.deploy("v2", case.small.released_on("v2"))
    case.judged(version="v9", mode=mode, budget=evidence().budget.model_copy(update={"question": "9" * 64}))
    found, now = case.replayed(), look(case.small.material(released_on=v1), mode, level)
    assert (found.version, found.seq, found.at_utc, found.then) == ("v2", entry.seq, entry.at_utc, FAIL)
    others = {one.gate: (FAIL, one.verdict, one.words) for one in now if one.gate not in MEASURED}
    assert sum(verdict is PASS for _, verdict, _ in others.values()) > 9
    assert changed(found) == {gate: told for gate, told in others.items() if told[1] is not FAIL}
    assert list(found.changed) == sorted(found.changed, key=lambda one: one.gate)
    assert (found.now, found.flips, found.how) == (FAIL, False, "the same policy, looked at again")


def test_a_first_judgement_is_looked_at_again_without_a_champion(tmp_path):
    case = Case(tmp_path, champion=False)
    case.judged(champion=None, champion_manifest=None, epoch=0, mode="first")
    case.small.deploy("v1", case.small.released_on("v1"))
    now = {one.gate: one for one in look(case.small.material(champion=None), "first", 0.05)}
    found = changed(case.replayed())
    for gate in ("quality", "disjoint", "robustness"):
        assert found[gate] == (FAIL, PASS, now[gate].words)


def test_an_anchor_of_then_is_looked_at_again(case):
    case.small.version("v0", learned=60, leaf=20)
    released = case.small.released_on("v1", champion="v0", champion_manifest="b" * 64, epoch=1, mode="superiority")
    case.small.deploy("v1", released)
    case.judged(mode="non_inferiority")
    assert "anchor v0's" in changed(case.replayed())["quality"][2]


# --- what stands as it was found


def test_measured_numbers_of_then_are_held_to_todays_limits_and_fits_of_then_stand(tmp_path):
    case = Case(tmp_path, refits=2, max_rss_mb=100.0, documentation=True, guard="required")
    statistics = {"latency": 600.0, "size": 0.5, "footprint": 90.0, "quality": -1.0}
    case.judged(dict.fromkeys(MEASURED, PASS) | {"quality": PASS}, statistics)
    found = case.replayed()
    assert changed(found)["latency"] == (PASS, FAIL, "latency then; limit 500 by this policy")
    assert not set(MEASURED[1:]) & changed(found).keys()


def test_what_is_not_required_any_more_is_not_looked_at_any_more(tmp_path):
    case = Case(tmp_path, refits=2, documentation=True)
    case.judged(dict.fromkeys(MEASURED, PASS))
    case.small.declare(refits=0, documentation=False, alpha=0.04)
    found = case.replayed()
    for gate in ("documentation", "reproducible", "seed_noise"):
        assert changed(found)[gate] == (PASS, None, "not looked at any more")
    assert found.how == "another policy, looked at again"


def test_what_is_required_now_and_was_not_then_is_missing(case):
    case.judged(dict.fromkeys(required_gates(case.small.spec.gates), PASS))
    case.small.declare(refits=1, guard="required")
    found = case.replayed()
    for gate in ("reproducible", "guard"):
        assert changed(found)[gate] == (None, None, "required now, and it was not looked at")
    assert (found.then, found.now, found.flips) == (PASS, INCONCLUSIVE, True)


def test_the_same_policy_that_asks_for_other_gates_is_another(case):
    case.judged(required=("contract", "disjoint"))
    found = case.replayed()
    assert found.how == "another policy, looked at again"
    assert changed(found)["disjoint"][:2] == (FAIL, PASS)
    assert changed(found)["quality"][:2] == (None, PASS)


# --- what cannot be looked at


def test_without_its_rows_the_results_of_then_are_held_to_todays_limits(case):
    case.judged(dict.fromkeys(required_gates(case.small.spec.gates), PASS), {"latency": 40.0, "size": 0.5})
    found = case.lost()
    assert (found.now, found.changed) == (PASS, ())
    assert found.how == "from stored results: table features is gone"
    case.small.declare(latency_ms_p95=39.0)
    found = case.replayed()
    assert (found.now, found.flips) == (FAIL, True)
    assert found.changed == (Changed("latency", PASS, FAIL, "latency then; limit 39 by this policy"),)


def test_why_rows_are_gone_is_cut_at_five_hundred(case):
    case.judged()
    case.small.stores.lake.why = "gone" * 200
    assert case.lost().how == f"from stored results: {'gone' * 200}"[:500]


def test_evidence_that_cannot_be_read_stands_for_nothing(case):
    made = evidence()
    entry = case.ledger.append(judged_entry(made, "e" * 64, "run-8", "somebody"))
    [found] = replay_judgements(case.small.stores, case.small.spec)
    assert found.how.startswith(f"its evidence cannot be read: evidence '{'e' * 64}' cannot be read")
    assert found == Replayed("v2", entry.seq, entry.at_utc, PASS, INCONCLUSIVE, (), found.how)


def test_only_judgements_of_the_model_are_looked_at_again(case):
    case.lose()
    case.judged()
    case.ledger.append(NewEntry("test", "judged", "doll", "v3", {"evidence": "e" * 64, "verdict": "PASS"}))
    assert [one.version for one in replay_judgements(case.small.stores, case.small.spec)] == ["v2"]


# --- a second validator


def test_a_second_validator_is_asked_again_with_what_stands_counted_as_it_was_found(tmp_path):
    case = Case(tmp_path, escalate=Escalate(near=9.0, in_a_row=2), refits=1)
    small = case.small
    small.version("v3", learned=EARLY, leaf=8)
    released = small.released_on("v3")
    small.deploy("v3", released)
    stands = {"latency": PASS, "size": PASS, "reproducible": INCONCLUSIVE}
    case.judged(stands, mode="non_inferiority")
    material = small.material(champion="v3", released_on=released)
    now = {one.gate: one for one in look(material, "non_inferiority", 0.05)}
    now |= {gate: GateResult(gate=gate, verdict=said, words=f"{gate} then") for gate, said in stands.items()}
    others = [now[gate] for gate in required_gates(small.spec.gates) if gate != GATE]
    again = escalate(small.stores, material, "non_inferiority", others, "v3", 2, sha256)
    assert {"near", "open", "in_a_row"} <= set(again.called)
    assert "reproducible" in again.looked[1].words
    assert 0.001 < again.second.statistic < 0.9, "against the champion, not the dummy"
    small.deploy("v2", small.released_on("v2"))
    told = answer(again, others)
    assert changed(case.replayed())[GATE] == (FAIL, told.verdict, told.words)
