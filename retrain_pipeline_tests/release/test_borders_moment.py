"""What is asked at the moment of a promotion, to the letter: a halt, the policy, and who lets the version through."""

import pytest

from retrain_pipeline.gates.errors import EvidenceRefused
from retrain_pipeline.gates.evidence import GateResult, policy_digest
from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.governance.halting import ESCALATION_HALTED, RESUMED
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release import permits
from retrain_pipeline.release.change_plan import FILE
from retrain_pipeline.release.errors import ApprovalRefused, ReleaseRefused
from retrain_pipeline.release.moment import check_not_halted, permitted, promotion_permit, staging_of, unless_halted
from retrain_pipeline.release.permits import Permit
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.release.fitted import Fitted
from retrain_pipeline_tests.release.people import PLAN, WHY, Shop, write_policy


@pytest.fixture
def shop(tmp_path, monkeypatch):
    write_policy(tmp_path / "policy")
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    return Shop(tmp_path)


def halt(shop, model="toy"):
    return shop.ledger.append(NewEntry("judge", ESCALATION_HALTED, model, "v2", {"words": "they differ"}))


def refusal(kind, of, *told):
    with pytest.raises(kind) as caught:
        of(*told)
    return str(caught.value)


# --- who passed and waits


def waits(shop, run_id="run-8"):
    return permits.permit_or_wait(
        shop.stores, shop.declaration, shop.evidence, shop.digest, shop.manifest, run_id, "somebody"
    )  # fmt: skip


@pytest.mark.parametrize("run_id", ["run-8", None])
def test_one_that_nothing_lets_through_waits_once_on_record(shop, run_id):
    words = refusal(ApprovalRefused, waits, shop, run_id)
    assert words == shop.refusal()
    payload = {"evidence": shop.digest, "manifest": shop.evidence.manifest, "words": words}
    key = f"awaiting_approval:toy:{shop.digest}:{run_id or ''}"
    assert shop.newest() == NewEntry("somebody", "awaiting_approval", "toy", "v2", payload, run_id, None, key)
    head = shop.ledger.head()
    assert refusal(ApprovalRefused, waits, shop, run_id) == words
    assert shop.ledger.head() == head
    word = shop.grant("alice", shop.subject())
    assert waits(shop, run_id).payload["seq"] == word.seq


def test_what_was_judged_at_an_epoch_that_is_over_waits_for_nobody(shop):
    shop.deploy(shop.champion)
    head = shop.ledger.head()
    refusal(ApprovalRefused, waits, shop)
    assert shop.ledger.head() == head


def test_a_first_version_waits_before_anything_is_deployed(tmp_path, monkeypatch):
    class Unreleased(Shop):
        def deploy(self, state):
            return state

        def judge(self, **told):
            return super().judge(mode="first", **told)

    write_policy(tmp_path / "policy")
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    first = Unreleased(tmp_path)
    refusal(ApprovalRefused, waits, first)
    assert first.newest().action == "awaiting_approval"
    first.evidence = first.evidence.model_copy(update={"epoch": 1})
    head = first.ledger.head()
    refusal(ApprovalRefused, waits, first)
    assert first.ledger.head() == head


def test_long_words_of_what_waits_are_cut(shop, tmp_path):
    deep = Shop(tmp_path.joinpath(*["n" * 200] * 10))
    (deep.declaration.folder / FILE).write_text("id: no plan")
    words = refusal(ApprovalRefused, waits, deep)
    assert len(words) > 2000
    assert deep.newest().payload["words"] == words[:2000]


# --- the policy that somebody accepted


def other_policy(shop):
    """Let the champion have been released by another policy; return the words of the refusal."""
    digest = shop.stored(shop.digest, policy="c" * 64)
    shop.ledger.append(NewEntry("test", "released", "toy", "v1", {"evidence": digest}))
    shop.ledger.append(NewEntry("test", "released", "doll", "v1", {"evidence": shop.digest}))
    return (
        "toy v2: gates, success or rollout are declared otherwise than at the last release, and nobody who may has "
        "accepted that: retrain accept-policy toy --because …"
    )


def accepted(shop):
    permits.check_policy_accepted(shop.stores, shop.evidence)
    return True


def test_a_policy_that_is_not_that_of_the_last_release_must_have_been_accepted(shop, tmp_path):
    assert accepted(shop), "the champion was released by it"
    words = other_policy(shop)
    assert refusal(ApprovalRefused, accepted, shop) == words
    assert refusal(ApprovalRefused, waits, shop) == words
    for model, action, subject in (
        ("doll", "policy_accepted", shop.evidence.policy), ("toy", "policy_accepted", "d" * 64),
        ("toy", "noted", shop.evidence.policy),
    ):  # fmt: skip
        shop.ledger.append(NewEntry("person:carol", action, model, subject, {}))
    assert refusal(ApprovalRefused, accepted, shop) == words
    because = f"  {WHY}\n now  "
    assert permits.accept_policy(shop.stores, shop.declaration, because, "person:carol") == policy_digest(shop.spec)
    assert accepted(shop)
    made = shop.newest()
    assert made.payload == {"because": f"{WHY} now", "role": "lead", "roles": made.payload["roles"]}
    assert made == NewEntry(
        "person:carol", "policy_accepted", "toy", policy_digest(shop.spec), made.payload, key=made.key
    )  # fmt: skip
    (shop.policy / "roles.yaml").unlink()
    shop.evidence = shop.evidence.model_copy(update={"policy": "e" * 64})
    assert accepted(shop), "nobody is named"


def test_before_the_first_release_no_policy_was_another(shop):
    shop.evidence = shop.evidence.model_copy(update={"model": "doll"})
    assert accepted(shop)


def test_a_policy_is_accepted_with_a_reason_by_who_may(shop):
    def accept(because, who="person:carol"):
        return permits.accept_policy(shop.stores, shop.declaration, because, who)

    assert refusal(ApprovalRefused, accept, " too   short ") == (
        "toy: give a reason of at least 10 characters (because)"
    )  # fmt: skip
    accept("ten letter")
    accept("x" * 1001)
    assert shop.newest().payload["because"] == "x" * 1000
    words = refusal(NotAllowed, accept, WHY, "person:alice")
    assert words.startswith("change_policy of toy refused to person:alice: ")
    made = shop.newest()
    assert (made.action, made.actor, made.subject) == ("refused", "person:alice", policy_digest(shop.spec))


# --- halted


def test_a_halt_holds_until_a_person_lets_it_go_on(shop):
    halt(shop, "doll")
    check_not_halted(shop.ledger, "toy")
    entry = halt(shop)
    words = refusal(ReleaseRefused, check_not_halted, shop.ledger, "toy")
    assert words.startswith(f"toy: validators do not agree on v2 (entry {entry.seq}: they differ); ")
    shop.ledger.append(NewEntry("person:bob", RESUMED, "toy", None, {}))
    check_not_halted(shop.ledger, "toy")


def test_a_permit_asks_for_a_halt_before_it_asks_again_itself(shop):
    asked = []
    permit = unless_halted(shop.ledger, "toy", Permit({"kind": "approval"}, lambda: asked.append(1)))
    assert permit.payload == {"kind": "approval"}
    halt(shop, "doll")
    permit.check()
    assert asked == [1]
    halt(shop)
    assert "validators do not agree" in refusal(ReleaseRefused, permit.check)
    assert asked == [1]


# --- what was permitted for a trial


@pytest.fixture
def tried(shop):
    """The version v2 is on trial by alice's word."""
    shop.word = shop.grant("alice", shop.subject())
    shop.on = shop.challenger(evidence=shop.digest)
    state = shop.champion.model_copy(update={"challenger": shop.on})
    payload = {"evidence": shop.digest, "permit": shop.find().payload}
    shop.staged = shop.ledger.change_deployment(
        "toy", 1, state.to_state(), NewEntry("test", "staged", "toy", "v2", payload)
    )  # fmt: skip
    return shop


def promoted(shop):
    return promotion_permit(shop.stores, shop.declaration, shop.on)


def test_the_word_that_began_a_trial_ends_it(tried):
    halt(tried, "doll")
    tried.ledger.append(NewEntry("test", "staged", "doll", "v2", {"evidence": "f" * 64}))
    permit = promoted(tried)
    assert (permit.payload["kind"], permit.payload["seq"]) == ("release", tried.word.seq)
    permit.check()
    words = f"permitted now: release of person:alice (entry {tried.word.seq})"
    assert permitted(tried.stores, tried.declaration, tried.on) == GateResult(
        gate="permit", verdict=Verdict.PASS, words=words
    )


def test_the_word_of_another_trial_does_not(tried):
    payload = {"evidence": "f" * 64, "permit": {}}
    tried.ledger.append(NewEntry("test", "staged", "toy", "v2", payload))
    used = f"entry {tried.staged.seq} used it already"
    assert used in refusal(ApprovalRefused, promoted, tried)
    found = permitted(tried.stores, tried.declaration, tried.on)
    assert (found.gate, found.verdict) == ("permit", Verdict.INCONCLUSIVE)
    assert found.words.startswith("it may not become champion now: toy v2: approval is required")


def test_without_a_staging_on_record_no_word_began_it(tried):
    tried.on = tried.on.model_copy(update={"version": "v1"})
    assert "there is no approved entry" not in refusal(ApprovalRefused, promoted, tried)


def test_what_may_lapse_is_asked_in_the_transaction(tried):
    permit = promoted(tried)
    other_policy(tried)
    assert "nobody who may has accepted that" in refusal(ApprovalRefused, permit.check)
    assert "nobody who may has accepted that" in refusal(ApprovalRefused, promoted, tried)
    permits.accept_policy(tried.stores, tried.declaration, WHY, "person:carol")
    permit.check()
    halt(tried)
    assert "validators do not agree" in refusal(ReleaseRefused, permit.check)
    assert "validators do not agree" in refusal(ReleaseRefused, promoted, tried)
    tried.ledger.append(NewEntry("person:bob", RESUMED, "toy", None, {}))
    tried.ledger.append(NewEntry("person:bob", "approval_withdrawn", "toy", "v2", {}))
    assert "it was withdrawn by person:bob" in refusal(ApprovalRefused, permit.check)


def test_evidence_that_is_gone_permits_nothing(tried):
    tried.on = tried.on.model_copy(update={"evidence": "f" * 64})
    refusal(EvidenceRefused, promoted, tried)
    found = permitted(tried.stores, tried.declaration, tried.on)
    assert (found.verdict, "cannot be read" in found.words) == (Verdict.INCONCLUSIVE, True)


def test_inside_a_plan_nobody_is_named(shop):
    shop.anchored()
    shop.planned(PLAN)
    shop.on = shop.challenger(evidence=shop.digest)
    assert permitted(shop.stores, shop.declaration, shop.on).words == "permitted now: plan"


def test_where_nobody_is_asked_only_a_halt_is_looked_at(tmp_path):
    free = Fitted(tmp_path)
    on = free.challenger(evidence=free.judge())
    halt(free, "doll")
    assert permitted(free.stores, free.declaration, on) is None
    entry = free.ledger.append(NewEntry("judge", ESCALATION_HALTED, "toy", "v2", {"words": "x" * 3000}))
    found = permitted(free.stores, free.declaration, on)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.words.startswith(
        f"it may not become champion now: toy: validators do not agree on v2 (entry {entry.seq}"
    )
    assert len(found.words) == 2000


def test_a_trial_begins_with_the_newest_staging_that_no_look_made(shop):
    assert staging_of(shop.ledger, "toy", "v2") is None
    for model, action, version, payload in (
        ("toy", "staged", "v2", {}), ("toy", "staged", "v2", {"more": 1}), ("toy", "staged", "v2", {"look": "f" * 64}),
        ("doll", "staged", "v2", {}), ("toy", "staged", "v3", {}), ("toy", "released", "v2", {}),
    ):  # fmt: skip
        shop.ledger.append(NewEntry("test", action, model, version, payload))
    assert staging_of(shop.ledger, "toy", "v2").payload == {"more": 1}
