"""What lets a version through, to the letter: a person's word, a plan, an override; asked for, and asked for again."""

import pytest

from retrain_pipeline.gates.evidence import policy_digest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release import permits
from retrain_pipeline.release.approvals import Subject
from retrain_pipeline.release.authors import Authors
from retrain_pipeline.release.change_plan import FILE, read_plan
from retrain_pipeline.release.dissent import dissent
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.release.overrides import review
from retrain_pipeline.release.permits import Permit
from retrain_pipeline_tests.release.fitted import Fitted
from retrain_pipeline_tests.release.handmade import STAGED
from retrain_pipeline_tests.release.people import PLAN, WHY, Asking, Shop, keys, write_policy


@pytest.fixture
def shop(tmp_path, monkeypatch):
    write_policy(tmp_path / "policy")
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    return Shop(tmp_path)


def said(entry):
    """What a permit says of a statement, without its kind."""
    told = entry.payload["statement"]
    return {"seq": entry.seq, "nonce": told["nonce"], "by": told["approver"], "role": told["role"]}


# --- what a word must be bound to


def test_a_word_on_a_version_is_bound_to_its_bytes_evidence_policy_and_authors(shop):
    asked = NewEntry("person:dave", "retrain_started", "toy", None, {}, run_id="run-v2")
    shop.ledger.append(asked)
    policy = policy_digest(shop.spec)
    authors = Authors(("person:dave", "team:toys"))
    wanted = Subject("release", "toy", "v2", shop.evidence.manifest, shop.digest, policy, authors)
    assert shop.subject() == wanted
    over = Subject("override", "toy", "v2", shop.evidence.manifest, shop.digest, policy, Authors(()))
    assert shop.overriding() == over
    (shop.declaration.folder / FILE).write_text(PLAN)
    plan = read_plan(shop.declaration.folder)
    wanted = Subject("plan", "toy", "year-one", plan.digest, None, policy, Authors(("team:toys",)))
    assert permits.plan_subject(shop.declaration, plan) == wanted


def waiting(shop, *told):
    return permits.subject_that_waits(shop.stores, shop.declaration, *told)


def test_the_one_that_waits_is_the_newest_that_a_release_left_waiting(shop):
    assert shop.refusal(lambda: waiting(shop)) == "toy : no version waits for an approval"
    assert shop.refusal(lambda: waiting(shop, "v3")) == "toy v3: was never judged"
    assert waiting(shop, "v2") == shop.subject()
    shop.ledger.append(NewEntry("test", "awaiting_approval", "toy", None, {"evidence": shop.digest}))
    assert shop.refusal(lambda: waiting(shop)) == "toy : no version waits for an approval"
    shop.ledger.append(NewEntry("test", "awaiting_approval", "toy", "v2", {"evidence": shop.digest}))
    shop.ledger.append(NewEntry("test", "awaiting_approval", "doll", "v3", {"evidence": "f" * 64}))
    shop.ledger.append(NewEntry("test", "judged", "toy", "v3", {"evidence": "f" * 64}))
    assert waiting(shop) == shop.subject()


def test_no_word_makes_a_verdict_another_but_an_open_question_may_be_tried(shop, tmp_path):
    shop.judge(quality="INCONCLUSIVE")
    words = "toy v2: the verdict is INCONCLUSIVE, and no approval makes it another; see retrain explain toy v2"
    assert shop.refusal(lambda: waiting(shop, "v2")) == words
    (tmp_path / "other").mkdir()
    staged = Asking(tmp_path / "other", f"{STAGED}, approval: required")
    digest = staged.judge(quality="INCONCLUSIVE")
    assert permits.subject_that_waits(staged.stores, staged.declaration, "v2").evidence == digest


# --- which of them lets it through


def test_where_nobody_is_asked_nothing_is_needed(tmp_path):
    free = Fitted(tmp_path)
    found = permits.find_permit(free.stores, free.declaration, free.evidence, free.digest, free.manifest)
    assert found == Permit({"kind": "none"})
    found.check()


def test_without_any_it_says_of_each_why(shop):
    assert shop.refusal() == (
        "toy v2: approval is required (rollout.approval); no approval: toy v2: there is no approved entry; outside the "
        "change plan: toy: there is no change_plan.yaml; no override: toy v2: there is no override granted entry; "
        "a person decides: retrain approve toy v2 --because …"
    )


def test_an_approval_comes_before_a_plan_and_a_plan_before_an_override(shop):
    granted = shop.grant("carol", shop.overriding())
    assert shop.find().payload == {"kind": "override", **said(granted), "dissent": []}
    review(shop.ledger, "toy", None, actor="person:login", key=keys()["bob"], because=WHY)
    shop.anchored()
    plan = shop.planned()
    assert shop.find().payload == {
        "kind": "plan", "seq": plan.seq, "plan": "year-one", "digest": read_plan(shop.declaration.folder).digest,
        "anchor": "v1", "step": 1, "excess_loss": pytest.approx(0.5), "dissent": [],
    }  # fmt: skip
    word = shop.grant("alice", shop.subject())
    assert shop.find().payload == {"kind": "release", **said(word), "dissent": []}


def test_objections_are_kept_beside_the_permit(shop):
    shop.grant("alice", shop.subject())
    shop.ledger.append(NewEntry("test", "judged", "toy", "v3", {}))
    shop.ledger.append(NewEntry("test", "judged", "doll", "v2", {}))
    found = [dissent(shop.ledger, "toy", "v2", because=WHY, actor=f"person:{who}").seq for who in ("dave", "bob")]
    dissent(shop.ledger, "toy", "v3", because=WHY, actor="person:dave")
    dissent(shop.ledger, "doll", "v2", because=WHY, actor="person:dave")
    assert shop.find().payload["dissent"] == found


@pytest.mark.parametrize("kind", ["release", "override"])
def test_a_word_is_asked_again_and_what_a_trial_used_may_end_it(shop, kind):
    granted = shop.grant("alice", shop.subject()) if kind == "release" else shop.grant("carol", shop.overriding())
    permit = shop.find()
    permit.check()
    staged = shop.ledger.append(NewEntry("test", "staged", "toy", "v2", {"permit": permit.payload}))
    with pytest.raises(ApprovalRefused, match=f"entry {staged.seq} used it already"):
        permit.check()
    assert f"entry {staged.seq} used it already" in shop.refusal()
    ends = shop.find(begun=staged.seq)
    assert ends.payload["nonce"] == granted.payload["statement"]["nonce"]
    ends.check()
    with pytest.raises(ApprovalRefused, match=f"entry {staged.seq} used it already"):
        shop.find(begun=staged.seq + 1)


# --- inside the plan


def outside(shop):
    return shop.refusal().split("outside the change plan: ")[1].split("; no override")[0]


def test_an_objection_or_an_override_that_waits_for_its_review_suspends_the_plan(shop):
    shop.anchored()
    shop.planned()
    permit = shop.find()
    permit.check()
    shop.ledger.append(NewEntry("test", "override_granted", "doll", "v2", {}))
    for model, version in (("doll", "v2"), ("toy", "v3")):
        shop.ledger.append(NewEntry("person:dave", "dissented", model, version, {}))
    permit.check()
    granted = shop.grant("carol", shop.overriding())
    shop.ledger.append(NewEntry("person:eve", "override_granted", "toy", "v2", {}))
    with pytest.raises(ApprovalRefused) as caught:
        permit.check()
    assert str(caught.value) == f"override {granted.seq} waits for its review; until then a person decides"
    first = dissent(shop.ledger, "toy", "v2", because=WHY, actor="person:dave")
    dissent(shop.ledger, "toy", "v2", because=WHY, actor="person:bob")
    with pytest.raises(ApprovalRefused) as caught:
        permit.check()
    assert str(caught.value) == f"person:dave objected (entry {first.seq}); a person decides"


def test_a_plan_that_is_not_signed_or_too_narrow_covers_nothing(shop):
    (shop.declaration.folder / FILE).write_text(PLAN)
    assert outside(shop) == "toy year-one: there is no plan approved entry"
    shop.planned()
    assert outside(shop) == "toy: the plan has no anchor yet; a person approves the first version"
    shop.anchored("override")
    shop.planned(PLAN.replace("max_total_delta: 0.6", "max_total_delta: 0.4"))
    assert outside(shop) == "plan year-one: mean loss +50.00% against v1, at most +40.00%"
    shop.planned(PLAN.replace("2099", "2020"))
    assert outside(shop) == "plan year-one: valid from 2020-01-01 to 2020-12-31"


def test_releases_inside_the_plan_are_counted_and_the_last_is_refused(shop):
    shop.anchored()
    shop.planned()
    for step in (1, 2):
        assert shop.find().payload["step"] == step
        other = shop.champion.model_copy(update={"champion": f"v{step + 2}"})
        entry = NewEntry("test", "released", "toy", other.champion, {"permit": {"kind": "plan"}})
        shop.ledger.change_deployment("toy", shop.ledger.deployment("toy").epoch, other.to_state(), entry)
    assert outside(shop) == "plan year-one: 2 automatic releases since v1, at most 2"


def test_an_anchor_that_moved_meanwhile_is_told(shop):
    shop.anchored()
    shop.planned()
    permit = shop.find()
    other = shop.champion.model_copy(update={"champion": "v3"})
    entry = NewEntry("test", "released", "toy", "v3", {"permit": {"kind": "release"}})
    shop.ledger.change_deployment("toy", shop.ledger.deployment("toy").epoch, other.to_state(), entry)
    with pytest.raises(ApprovalRefused, match=r"^toy: the anchor moved meanwhile; release again$"):
        permit.check()
