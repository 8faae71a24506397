"""The judge to the letter: what becomes evidence, what is entered, and what stops it, on versions made by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import retrain_pipeline.gates.judge as judging
from retrain_pipeline.canonical import digest_of
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates import beyond, material
from retrain_pipeline.gates.anchor import beside_anchor
from retrain_pipeline.gates.budget import Rows, account, question
from retrain_pipeline.gates.documentation import decision_digests
from retrain_pipeline.gates.errors import JudgementRefused
from retrain_pipeline.gates.evidence import Escalation, Evidence, GateResult, ValidatedLoss, policy_document
from retrain_pipeline.gates.judge import judged_entry, tells_of
from retrain_pipeline.gates.material import Side
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.gates.turning import turning
from retrain_pipeline.governance.halting import ESCALATION_HALTED
from retrain_pipeline.learning import versions
from retrain_pipeline.learning.environment import code_revision
from retrain_pipeline.learning.errors import VersionNotLoadable
from retrain_pipeline.learning.paired import block_mean_interval
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.spec.escalate import Escalate
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.handmade import AS_OF, ROWS, evidence, results
from retrain_pipeline_tests.gates.seeing import HOURS, OWN, THEIRS, Seeing, judged, side, told
from retrain_pipeline_tests.release.handmade import Trial

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
MORE = "shadow_periods: 1, canary_shares: [0.1]"


@pytest.fixture
def trial(tmp_path):
    made = Trial(tmp_path, MORE)
    yield made
    made.stores.close()


# --- what stops a judgement


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("better", "toy: mode 'better': first, non_inferiority or superiority"),
        ("first", "toy: v1 is champion: judge against it, not with mode 'first'"),
    ],
)
def test_a_mode_that_does_not_fit_is_refused(trial, mode, words):
    with pytest.raises(JudgementRefused) as refused:
        judged(trial, mode=mode)
    assert str(refused.value) == words


@pytest.fixture
def alone(tmp_path):
    """The same version where nobody is champion yet."""

    class Alone(Trial):
        def deploy(self, state):
            return state

    made = Alone(tmp_path, MORE)
    yield made
    made.stores.close()


@pytest.mark.parametrize("mode", ["superiority", "non_inferiority"])
def test_without_a_champion_there_is_only_the_first_mode(alone, mode):
    with pytest.raises(JudgementRefused) as refused:
        judged(alone, mode=mode)
    assert str(refused.value) == f"toy: mode '{mode}' needs a champion, and there is none: judge with mode 'first'"


def test_a_version_that_is_not_on_record_is_not_judged(trial):
    with pytest.raises(VersionNotLoadable):
        judged(trial, "v3")


def test_the_champion_is_not_judged_anew(trial):
    trial.deploy(trial.champion.model_copy(update={"champion": "v2", "evidence": trial.digest}))
    assert judged(trial) == (trial.evidence, trial.digest)
    assert trial.ledger.latest("toy", "judged") is None


# --- what cannot be looked at


def terms(trial, mode, champion):
    """What is settled before anything is looked at."""
    spec = trial.spec
    named = {
        "model": "toy", "version": "v2", "manifest": trial.evidence.manifest,
        "champion": "v1" if champion else None, "champion_manifest": "b" * 64 if champion else None,
        "epoch": 1 if champion else 0, "mode": mode, "policy": digest_of(policy_document(spec)),
        "code": code_revision(trial.declaration.folder)[0],
    }  # fmt: skip
    frozen = trial.manifest.frozen
    rows = Rows(frozen.evaluation_row_digests_artifact, ROWS["from"], ROWS["until"])
    budget = account(
        trial.ledger, trial.stores.artifacts, "toy", alpha=0.05, mode=mode, asked=question(named, spec), rows=rows
    )
    return named | {
        "required": required_gates(spec.gates), "decisions": decision_digests(trial.declaration.folder),
        "budget": budget, "as_of": AS_OF, "training_set": "4" * 64,
        "evaluation": {"rows": 300, "digest": frozen.evaluation_row_digests_artifact, **ROWS},
    }  # fmt: skip


@pytest.mark.parametrize("champion", [True, False])
def test_a_version_that_does_not_load_is_inconclusive_by_every_gate_and_has_no_fingerprint(champion, request):
    trial = request.getfixturevalue("trial" if champion else "alone")
    mode = "superiority" if champion else "first"
    settled = terms(trial, mode, champion)
    found, digest = judged(trial, mode=mode)
    with pytest.raises(PermanentError) as error:
        versions.load_version(trial.stores, "toy", "v2")
    words = f"could not look: {error.value}"[:2000]
    told = [
        GateResult(gate=gate, verdict=INCONCLUSIVE, words=words)
        for gate in required_gates(trial.spec.gates)
        if gate != "fingerprint"
    ]
    words = f"the model does not load as what was fitted: {error.value}"
    told.append(GateResult(gate="fingerprint", verdict=FAIL, words=words))
    wanted = Evidence(
        **settled, schema="evidence/2", results=tuple(told), verdict=FAIL, turning=turning(told), validated_loss=None
    )
    assert found == wanted
    assert trial.stores.artifacts.get_json(digest) == found.document()
    assert trial.stores.artifacts.get_json(found.policy) == policy_document(trial.spec)


def test_rows_that_are_gone_are_inconclusive_by_every_gate_and_long_words_are_cut(trial, monkeypatch):
    def gone(*_):
        raise VersionNotLoadable("x" * 3000)

    monkeypatch.setattr(versions, "load_version", lambda *_: "a model")
    monkeypatch.setattr(material, "read_material", gone)
    found, _ = judged(trial)
    words = f"could not look: {'x' * 3000}"[:2000]
    assert found.results == tuple(
        GateResult(gate=gate, verdict=INCONCLUSIVE, words=words) for gate in required_gates(trial.spec.gates)
    )
    assert (found.verdict, found.validated_loss, found.plots) == (INCONCLUSIVE, None, {})


# --- what is looked at


@pytest.fixture
def seeing(trial, monkeypatch):
    return Seeing(trial, monkeypatch)


def test_results_are_those_of_the_required_gates_in_order_and_a_later_look_stands_for_an_earlier(seeing, monkeypatch):
    latency = GateResult(gate="latency", verdict=FAIL, words="in a fresh process")
    monkeypatch.setattr(beyond, "look_beyond", lambda *asked: seeing.heard("look_beyond", asked) or (latency,))
    seeing.found = [*reversed(results()), GateResult(gate="curious", verdict=FAIL, words="nobody asked")]
    seeing.found = [one for one in seeing.found if one.gate != "slices"]
    found, _ = seeing.judge()
    wanted = [latency if one.gate == "latency" else one for one in results() if one.gate != "slices"]
    assert found.results == tuple(wanted)
    assert (found.verdict, found.turning, found.anchor) == (FAIL, turning(wanted), None)
    row, spec = seeing.trial.ledger.deployment("toy"), seeing.trial.spec
    asked = dict(seeing.asked)
    assert {asked[what][0] for what in ("load_version", "read_material", "look_beyond")} == {seeing.trial.stores}
    assert asked["look"][1].candidate is asked["look_beyond"][2].candidate is seeing.candidate
    assert asked["load_version"][1:] == ("toy", "v2")
    assert asked["read_material"][1:] == (spec, "a model", "v1", "1" * 64)
    assert (asked["look"][0], *asked["look"][2:]) == (None, "superiority", found.budget.spent)
    assert (asked["look_beyond"][1], asked["look_beyond"][3:]) == (seeing.trial.declaration, ("superiority", row))


def test_before_the_first_release_there_is_no_champion_to_read(alone, monkeypatch):
    seeing = Seeing(alone, monkeypatch)
    seeing.champion, seeing.dummy = None, side("dummy", THEIRS, told())
    seeing.judge("first")
    assert dict(seeing.asked)["read_material"][3:] == (None, None)
    assert seeing.drawn[-1][1][-1] == "toy v2: mae row loss minus the dummy's"


def test_an_anchor_is_named_and_makes_the_format(seeing):
    seeing.anchor, seeing.anchor_side = "v0", side("anchor", OWN * 0.97, told())
    found, _ = seeing.judge()
    assert (found.anchor, found.schema_) == ("v0", "evidence/5")
    wanted = beside_anchor(seeing.made, found.budget.spent)
    assert found.anchored == dict(seeing.asked)["look"][0] == wanted
    assert (wanted.candidate.verdict, wanted.champion.verdict) == (PASS, PASS)


def test_beside_an_anchor_of_no_name_nothing_is_kept(seeing):
    seeing.anchor_side = Side("anchor", (), None, None, None, "evidence gone")
    found, _ = seeing.judge()
    assert (found.anchor, found.anchored, found.schema_) == (None, None, "evidence/2")
    assert dict(seeing.asked)["look"][0].candidate.words == "anchor: evidence gone"


def interval(seeing):
    gates, seed = seeing.trial.spec.gates, int(seeing.trial.manifest.frozen.evaluation_row_digests_artifact[:8], 16)
    return block_mean_interval(OWN, HOURS, block_hours=gates.block_hours, alpha=gates.alpha, seed=seed)


def test_the_loss_that_was_validated_is_that_of_all_rows(seeing):
    wanted = interval(seeing)
    found, _ = seeing.judge()
    assert found.validated_loss == ValidatedLoss(
        metric="mae", mean=wanted.mean, se=wanted.se, value=float(OWN.mean()), n=300
    )


def test_of_squared_errors_the_value_that_was_validated_is_the_root(seeing):
    problem = seeing.trial.spec.problem
    success = problem.success.model_copy(update={"metric": "rmse"})
    seeing.trial.spec = seeing.trial.spec.model_copy(
        update={"problem": problem.model_copy(update={"success": success})}
    )
    loss = seeing.judge()[0].validated_loss
    assert (loss.metric, loss.value) == ("rmse", float(OWN.mean()) ** 0.5)


@pytest.mark.parametrize("losses", [None, OWN[:0], np.where(OWN > 2, np.nan, OWN)])
def test_losses_that_are_none_validate_nothing(seeing, losses):
    seeing.candidate = replace(seeing.candidate, losses=losses)
    seeing.champion = replace(seeing.champion, losses=None)
    assert seeing.judge()[0].validated_loss is None


def test_a_loss_of_one_block_has_no_error(seeing):
    seeing.times = pd.Series([HOURS[0]] * 300)
    assert seeing.judge()[0].validated_loss.se is None


def test_where_a_second_validator_is_declared_its_answer_to_the_others_is_a_gate(seeing, monkeypatch):
    trial, asked = seeing.trial, []
    gates = trial.spec.gates.model_copy(update={"escalate": Escalate()})
    trial.spec = trial.spec.model_copy(update={"gates": gates})
    trial.declaration = replace(trial.declaration, spec=trial.spec)
    looked = Escalation(looked=(), rows=None, second=None)
    told = GateResult(gate="escalation", verdict=PASS, words="nobody called")
    monkeypatch.setattr(judging, "since_second", lambda *of: of)
    monkeypatch.setattr(judging, "escalate", lambda *given: asked.append(given) or looked)
    monkeypatch.setattr(judging, "answer", lambda *given: asked.append(given) or told)
    found, _ = seeing.judge()
    assert (found.escalation, found.result("escalation"), found.schema_) == (looked, told, "evidence/3")
    first, second = asked
    others = list(results())
    assert (first[0], first[2:]) == (
        trial.stores, ("superiority", others, "v1", (trial.ledger, "toy"), trial.stores.artifacts.put),
    )  # fmt: skip
    assert first[1].candidate is seeing.candidate
    assert second == (looked, others)


# --- the record


def test_a_judgement_is_entered_with_what_the_budget_is_counted_from(trial):
    made = evidence(results=results(quality="FAIL"), verdict=FAIL)
    entry = judged_entry(made, "d" * 64, "run-8", "somebody")
    assert entry == NewEntry(
        actor="somebody", action="judged", model="toy", subject="v2", run_id="run-8", epoch=1,
        key=f"judged:toy:{made.judgement_digest}",
        payload={
            "evidence": "d" * 64, "verdict": "FAIL", "gates": {one.gate: one.verdict.value for one in made.results},
            "mode": "superiority", "champion": "v1", "question": "q" * 64, "alpha_spent": 0.004,
            "rows": {"digest": "3" * 64, **ROWS},
        },
    )  # fmt: skip


SECOND = GateResult(gate="quality", verdict=FAIL, words="worse on rows that nobody saw")
LOOKED = (
    GateResult(gate="near", verdict=FAIL, words="near"), GateResult(gate="calm", verdict=PASS, words="calm"),
)  # fmt: skip


def escalated(second):
    looked = Escalation(looked=LOOKED, rows=None, second=second)
    answer = GateResult(gate="escalation", verdict=FAIL, words="not confirmed")
    return evidence(schema="evidence/3", escalation=looked, results=(*results(), answer), verdict=FAIL)


def test_who_called_for_a_second_validator_is_entered_where_it_was_asked():
    assert judged_entry(escalated(SECOND), "d" * 64, None, "somebody").payload["escalated"] == ["near"]
    assert "escalated" not in judged_entry(escalated(None), "d" * 64, None, "somebody").payload


@pytest.mark.parametrize("second", [SECOND, None])
def test_a_pass_that_is_not_confirmed_halts_by_an_entry_of_its_own(trial, second):
    made = escalated(second)
    _, digest = judging._record(trial.stores, made, "run-8", "somebody")
    halt = trial.ledger.latest("toy", ESCALATION_HALTED)
    if second is None:
        assert halt is None
        return
    assert (halt.actor, halt.run_id, halt.subject) == ("somebody", "run-8", "v2")
    assert halt.payload == {"evidence": digest, "called": ["near"], "words": "not confirmed"}


def test_a_judgement_that_is_on_record_is_returned_as_it_was(trial):
    def timed(words):
        return tuple(one.model_copy(update={"words": words}) if one.gate == "latency" else one for one in results())

    first, again = evidence(results=timed("3 ms")), evidence(results=timed("4 ms"))
    made = judging._record(trial.stores, first, "run-8", "somebody")
    assert made == (first, digest_of(first.document()))
    assert judging._record(trial.stores, again, "run-9", "somebody else") == made
    [entry] = trial.ledger.entries(action="judged")
    assert (entry.actor, entry.run_id, entry.epoch, entry.subject) == ("somebody", "run-8", 1, "v2")


def test_an_entry_tells_of_evidence_where_all_that_it_says_is_what_the_judge_writes(trial):
    made = evidence()
    _, digest = judging._record(trial.stores, made, "run-8", "somebody")
    [entry] = trial.ledger.entries(action="judged")
    assert tells_of(entry, made, digest)
    assert not tells_of(entry, made, "f" * 64)
    for changed in ({"model": "doll"}, {"subject": "v3"}, {"epoch": 2}, {"key": "another"},
                    {"payload": {**entry.payload, "champion": "v0"}}):  # fmt: skip
        assert not tells_of(replace(entry, **changed), made, digest), changed
    assert tells_of(replace(entry, actor="somebody else", run_id=None), made, digest)
