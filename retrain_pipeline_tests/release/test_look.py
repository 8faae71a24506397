"""What follows from a look, point by point: every border of the decision, without a store."""

import pytest

from retrain_pipeline.artifacts import Artifacts
from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.look import GUARDRAIL, Look, Step, next_step, read_look, stages
from retrain_pipeline.spec.rollout import Rollout
from retrain_pipeline.verdicts import Verdict

DECLARED = Rollout(shadow_periods=2, canary_shares=(0.1, 0.5), canary_periods=3)
SHADOW, FIRST, LAST = ("shadow", 0.0), ("canary", 0.1), ("canary", 0.5)
PROVED = ("serves", "proof", "terms", "drill", "online_loss", "sample_ratio", "exposure")


def look(at=LAST, *, in_stage=3, on_trial=5, longest=12, without=(), rollout=DECLARED, **verdicts):
    """A look at which all is well, but for what is given: a verdict, or a verdict and n, by gate."""
    found = {**dict.fromkeys(PROVED, "PASS"), **verdicts}
    results = []
    for gate, told in found.items():
        verdict, n = told if isinstance(told, tuple) else (told, 50)
        if gate not in without:
            results.append(GateResult(gate=gate, verdict=Verdict(verdict), n=n, words=f"{gate} as found"))
    return Look(
        model="toy", version="v2", reference="v1", evidence="e" * 64, epoch=4, stage=at[0], share=at[1],
        period="2024-03-04", as_of="2024-03-11T00:00:00+00:00", periods_in_stage=in_stage, periods_on_trial=on_trial,
        longest=longest, rollout=rollout, results=tuple(results),
    )  # fmt: skip


def test_declared_stages_are_the_shadow_if_any_and_each_share_with_its_periods():
    assert stages(DECLARED) == [("shadow", 0.0, 2), ("canary", 0.1, 3), ("canary", 0.5, 3)]
    assert stages(Rollout(canary_shares=(0.2,))) == [("canary", 0.2, 1)]
    assert stages(Rollout(shadow_periods=1)) == [("shadow", 0.0, 1)]
    assert stages(Rollout()) == []


@pytest.mark.parametrize(
    ("at", "in_stage", "step"),
    [
        (SHADOW, 2, Step("advance", "online_loss as found", "canary", 0.1)),
        (FIRST, 3, Step("advance", "online_loss as found", "canary", 0.5)),
        (LAST, 3, Step("promote", "online_loss as found", "canary", 0.5)),
        (SHADOW, 1, Step("hold", "1 of 2 periods of this stage", "shadow", 0.0)),
        (FIRST, 2, Step("hold", "2 of 3 periods of this stage", "canary", 0.1)),
    ],
)
def test_each_stage_lasts_as_declared_and_leads_to_the_next(at, in_stage, step):
    assert next_step(look(at, in_stage=in_stage)) == step


@pytest.mark.parametrize("gate", ["serves", "proof", "terms", "online_loss", f"{GUARDRAIL}errors"])
@pytest.mark.parametrize("at", [SHADOW, LAST])
def test_a_failure_takes_it_back_at_once_and_says_which(at, gate):
    found = next_step(look(at, in_stage=0, **{gate: "FAIL"}))
    assert found == Step("withdraw", f"{gate}: {gate} as found", *at)


@pytest.mark.parametrize("gate", ["sample_ratio", "exposure"])
def test_a_split_that_is_off_is_no_failure_but_nothing_is_read_off_it(gate):
    found = next_step(look(**{gate: "FAIL"}))
    assert found == Step("hold", f"nothing is read off this split: {gate} as found", *LAST)
    assert next_step(look(without=(gate,))).words == f"nothing is read off this split: no {gate}"
    assert next_step(look(SHADOW, without=(gate,))).move == "advance", "in shadow there is no split"


@pytest.mark.parametrize("gate", ["serves", "proof", "terms"])
def test_what_was_not_looked_at_holds(gate):
    for found in (look(without=(gate,)), look(**{gate: "INCONCLUSIVE"})):
        assert next_step(found) == Step("hold", f"{gate} was not looked at", *LAST)


def test_a_guardrail_that_cannot_tell_or_another_gate_that_failed_stops_nobody():
    assert next_step(look(**{f"{GUARDRAIL}errors": "INCONCLUSIVE"})).move == "promote"
    assert next_step(look(label_free="FAIL")).move == "promote", "mature labels count, not a guess"


def test_the_last_step_needs_the_way_back_and_no_other_does():
    assert next_step(look(drill="FAIL")) == Step("hold", "drill as found", *LAST)
    missing = Step("hold", "nobody has seen that the way back was rehearsed", *LAST)
    assert next_step(look(without=("drill",))) == missing
    for at in (SHADOW, FIRST):
        assert next_step(look(at, without=("drill",))).move == "advance"


def test_where_a_person_must_approve_nobody_serves_everybody_without():
    asked = DECLARED.model_copy(update={"approval": "required"})
    unseen = "nobody has looked whether it may become champion"
    assert next_step(look(rollout=asked)) == Step("hold", unseen, *LAST)
    assert next_step(look(rollout=asked, permit="INCONCLUSIVE")) == Step("hold", "permit as found", *LAST)
    assert next_step(look(permit="FAIL")) == Step("hold", "permit as found", *LAST)
    assert next_step(look(rollout=asked, permit="PASS")).move == "promote"
    assert next_step(look(FIRST, rollout=asked)).move == "advance"


def test_a_loss_that_cannot_tell_holds_and_says_what_it_found():
    assert next_step(look(online_loss="INCONCLUSIVE")).words == "cannot tell yet: online_loss as found"
    assert next_step(look(without=("online_loss",))).words == "no comparison of losses"


def test_before_any_label_a_guess_leads_on_but_never_to_everybody():
    early = {"online_loss": ("INCONCLUSIVE", 0), "label_free": "PASS"}
    found = next_step(look(FIRST, **early))
    assert found == Step("advance", "online_loss as found; label_free as found", *LAST)
    assert next_step(look(LAST, **early)).move == "hold"
    assert next_step(look(FIRST, **{**early, "online_loss": ("INCONCLUSIVE", 1)})).move == "hold"
    assert next_step(look(FIRST, **{**early, "label_free": "INCONCLUSIVE"})).move == "hold"
    assert next_step(look(FIRST, online_loss=("INCONCLUSIVE", 0))).move == "hold"


def by_arm(verdict="INCONCLUSIVE", *, control=0.0, gate=f"{GUARDRAIL}refunds", interval=(-0.1, 0.3)):
    """A result of a guardrail that is 0.2 beyond its bound in the canary, and by so much in the control."""
    return GateResult(
        gate=gate, verdict=Verdict(verdict), statistic=0.2, threshold=control, interval=interval, words="as found"
    )


@pytest.mark.requirement("D28")
def test_a_guardrail_that_the_canary_alone_may_break_holds_it_and_no_other_does():
    def step(*found):
        made = look(FIRST)
        return next_step(made.model_copy(update={"results": (*made.results, *found)}))

    words = "cannot tell yet whether guardrail:refunds is broken: as found"
    assert step(by_arm()) == Step("hold", words, *FIRST)
    assert step(by_arm(control=0.5), by_arm()) == Step("hold", words, *FIRST)
    assert step(by_arm("FAIL")).move == "withdraw"
    for other in (
        by_arm(control=0.1), by_arm("FAIL", gate="online"), by_arm(gate="online"), by_arm(interval=None),
        by_arm("PASS", control=0.3),
    ):  # fmt: skip
        assert step(other).move == "advance"


def test_a_hold_ends_with_the_period_that_is_the_last_and_a_proof_is_in_time_then():
    for on_trial, move in ((11, "hold"), (12, "withdraw"), (13, "withdraw")):
        found = next_step(look(online_loss="INCONCLUSIVE", on_trial=on_trial))
        assert (found.move, (found.stage, found.share)) == (move, LAST)
    assert found.words == "not proved after 13 periods, which is all that it has: cannot tell yet: online_loss as found"
    assert next_step(look(on_trial=13)).move == "promote"


def test_a_stage_that_is_declared_no_more_is_the_last():
    assert next_step(look(("canary", 0.3), in_stage=0)).move == "promote"
    assert next_step(look(("canary", 0.3), in_stage=0, drill="FAIL")).move == "hold"


def test_a_look_is_read_again_and_what_is_none_is_refused(tmp_path):
    artifacts, made = Artifacts(tmp_path), look()
    assert read_look(artifacts, artifacts.put_json(made.document())) == made
    assert made.result("drill").words == "drill as found"
    assert made.result("nothing") is None
    for digest in ("f" * 64, artifacts.put_json({**made.document(), "longest": "many"})):
        with pytest.raises(ReleaseRefused, match=f"(?s)look {digest[:12]}: it cannot be read: .+; look again"):
            read_look(artifacts, digest)
