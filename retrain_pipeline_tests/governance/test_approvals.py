"""An approval holds for what it was given for, by whom it may be given, while it lasts, once."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import retrain_pipeline.release.release as module
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.keyring import Keyring, read_keyring, write_keyring
from retrain_pipeline.ledger.signatures import KEY_RETIRED
from retrain_pipeline.release.approvals import enter, grant, withdraw_approval
from retrain_pipeline.release.authors import Authors
from retrain_pipeline.release.dissent import dissent
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.release.permits import accept_policy, subject_that_waits
from retrain_pipeline.release.standing import read_statement
from retrain_pipeline.triggers.retrain import TERMINAL
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.governance.asking import make_asking
from retrain_pipeline_tests.release.test_release import forge


@pytest.fixture(autouse=True, params=["sqlite", "postgres"])
def ledger_place(request):
    """The URL of the ledger: nothing (the world's own SQLite), then a PostgreSQL."""
    return None if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def refused(asking, words):
    before = asking.world.stores.ledger.deployment("toy")
    with pytest.raises(ApprovalRefused, match=words):
        asking.release()
    assert asking.world.stores.ledger.deployment("toy") == before


@pytest.mark.requirement("B11")
def test_a_version_that_passed_waits_and_its_retrain_has_ended(asking):
    refused(asking, "there is no approved entry")
    (entry,) = asking.ledger.entries(action="awaiting_approval")
    assert (entry.subject, entry.run_id) == (asking.version, "run-approved")
    assert entry.action in TERMINAL
    refused(asking, "retrain approve toy")
    assert len(asking.ledger.entries(action="awaiting_approval")) == 1


@pytest.mark.requirement("B11", "A32")
def test_an_approved_version_is_released_and_the_release_names_the_approval(asking):
    approved = asking.approve()
    assert (approved.actor, approved.payload["statement"]["role"]) == ("person:alice", "reviewer")
    assert asking.release().released
    permit = asking.ledger.latest("toy", "released").payload["permit"]
    said = approved.payload["statement"]
    assert permit == {
        "kind": "release", "seq": approved.seq, "nonce": said["nonce"], "by": "person:alice", "role": "reviewer",
        "dissent": [],
    }  # fmt: skip
    assert asking.ledger.verify().verdict == "PASS"


def ahead(**delta):
    return (datetime.now(UTC) + timedelta(**delta)).isoformat(timespec="seconds")


@pytest.mark.fault("G3", "G4", "G5", "S13")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"subject_digest": "a" * 64}, "of another subject digest"),
        ({"evidence": "a" * 64}, "of another evidence"),
        ({"environment": "staging"}, "of another environment: staging"),
        ({"ledger": "a" * 64}, "of another ledger"),
        ({"policy": "a" * 64}, "of another policy"),
        ({"kind": "override"}, "no override: .*alice has no role"),
        ({"approver": "person:bob"}, "person:bob's word, signed by the key of person:alice"),
        ({"expires_at": ahead(seconds=-5)}, "it holds from"),
        ({"granted_at": ahead(hours=2), "expires_at": ahead(hours=3)}, "it holds from"),
        ({"expires_at": ahead(days=90)}, "longer than a statement may hold"),
    ],
)
def test_a_signed_word_on_anything_else_releases_nothing(asking, changes, words):
    asking.say("alice", **changes)
    refused(asking, words)


@pytest.mark.fault("S13")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signature": None}, "it is not signed"),
        ({"signature": "AAAA"}, "the signature is not that of key alice"),
        ({"key": "0" * 32}, "not in the keyring"),
    ],
)
def test_a_word_without_its_signature_releases_nothing(asking, change, words):
    entry = asking.say("alice")
    asking.replay(entry)
    said = read_statement(entry).model_copy(update={"nonce": "f" * 32}).document()
    payload = {**entry.payload, "statement": said, **change}
    asking.ledger.append(NewEntry("person:alice", "approved", "toy", entry.subject, payload))
    refused(asking, words)


@pytest.mark.fault("S13")
def test_a_key_that_was_retired_or_left_the_keyring_approves_nothing(asking):
    asking.approve("alice")
    ring = read_keyring(asking.policy / "keyring.json")
    write_keyring(asking.policy / "keyring.json", Keyring(ring.keys[1:]))
    refused(asking, "which is not in the keyring")
    write_keyring(asking.policy / "keyring.json", ring)
    asking.ledger.append(NewEntry("person:carol", KEY_RETIRED, subject=asking.keys["alice"].id))
    refused(asking, "key alice, which is retired")


@pytest.mark.fault("G5")
def test_a_word_entered_twice_was_replayed_and_holds_for_nothing(asking):
    asking.replay(asking.approve())
    refused(asking, "it was replayed")


@pytest.mark.fault("G5")
def test_a_word_is_used_once(asking):
    entry = asking.approve()
    asking.ledger.append(
        NewEntry("daemon", "released", "toy", "elsewhere", {"permit": {"nonce": entry.payload["statement"]["nonce"]},
                                                              "evidence": asking.subject().evidence}),
    )  # fmt: skip
    refused(asking, "used it already")


@pytest.mark.requirement("D12", "A37")
def test_an_approval_is_taken_back_by_who_may_approve_and_a_newer_one_holds(asking):
    def take_back(who, because="the card shows another window"):
        return withdraw_approval(
            asking.ledger, "toy", asking.version, actor="person:login", key=asking.keys[who], because=because
        )

    with pytest.raises(ApprovalRefused, match="there is no approval to withdraw"):
        take_back("alice")
    asking.approve("alice")
    with pytest.raises(NotAllowed, match="dave has no role"):
        take_back("dave")
    with pytest.raises(ApprovalRefused, match="10 characters"):
        take_back("bob", "no")
    taken = take_back("bob")
    assert (taken.actor, taken.action, taken.subject) == ("person:bob", "approval_withdrawn", asking.version)
    refused(asking, "it was withdrawn by person:bob")
    asking.approve("alice")
    assert asking.release().released


@pytest.mark.fault("G4")
def test_a_candidate_judged_anew_needs_a_new_word(asking):
    said = asking.approve().payload["statement"]
    anew = forge(asking.world, asking.version, training_set="another")
    assert asking.subject().evidence == anew != said["evidence"]
    refused(asking, "of another evidence")


@pytest.mark.fault("G6")
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("alice: {roles: [reviewer]", "alice: {roles: []", "alice has no role that may approve"),
        ("alice: {roles: [reviewer]", "alice: {until: 2020-01-01, roles: [reviewer]", "alice's roles ended"),
        ("alice: {roles: [reviewer]", "alice: {bot: true, roles: [reviewer]", "is a bot"),
        ("  alice: {", "  zoe: {", "knows no person:alice"),
    ],
)
def test_who_has_lost_the_role_by_the_time_of_use_has_approved_nothing(asking, old, new, words):
    asking.approve()
    asking.roles(old, new)
    refused(asking, words)


@pytest.mark.fault("G6")
@pytest.mark.requirement("D12", "A37")
def test_who_has_no_role_is_refused_on_record(asking):
    with pytest.raises(NotAllowed, match="dave has no role"):
        asking.approve("dave")
    (entry,) = asking.ledger.entries(action="refused")
    assert (entry.actor, entry.payload["attempted"], entry.subject) == ("person:dave", "approve", asking.version)
    refused(asking, "there is no approved entry")


@pytest.mark.fault("G2")
@pytest.mark.requirement("B11")
@pytest.mark.parametrize("author", ["alice", "person:alice", "Alice@Example.org", "alice@elsewhere.example"])
def test_an_author_does_not_approve_under_any_name(asking, author):
    subject = asking.subject()
    by = type(subject)(subject.kind, subject.model, subject.name, subject.digest, subject.evidence, subject.policy,
                       Authors((author,)))  # fmt: skip
    with pytest.raises(NotAllowed, match="an author does not approve"):
        asking.approve("alice", by)
    assert asking.ledger.entries(action="refused")
    assert asking.approve("bob", by).actor == "person:bob"


@pytest.mark.fault("G2")
def test_who_asked_for_the_retrain_has_approved_nothing(asking):
    asking.approve("alice")
    asking.ledger.append(NewEntry("user:alice", "candidate_built", "toy", asking.version, run_id="run-7"))
    refused(asking, "person:alice is an author of the change")


@pytest.mark.fault("G3")
def test_a_word_that_lapses_between_the_look_and_the_commit_releases_nothing(asking, monkeypatch):
    real, lasting = module._state, 3
    asking.say("alice", expires_at=ahead(seconds=lasting))
    monkeypatch.setattr(module, "_state", lambda *arguments: (time.sleep(lasting + 1), real(*arguments))[1])
    refused(asking, "it holds from")
    assert asking.ledger.entries(action="awaiting_approval") == []  # the first look let it through
    assert asking.ledger.verify().verdict == "PASS"


@pytest.mark.fault("G6")
def test_a_role_that_is_lost_between_the_look_and_the_commit_stops_the_release(asking, monkeypatch):
    asking.approve("alice")
    real = module._state

    def leave(*arguments):
        asking.roles("alice: {roles: [reviewer]", "alice: {roles: []")
        return real(*arguments)

    monkeypatch.setattr(module, "_state", leave)
    refused(asking, "alice has no role that may approve")


def test_unsigned_words_count_only_where_the_roles_say_so(asking):
    arguments = {"actor": "person:alice", "key": None, "because": "looked at everything", "expires_hours": 1}
    with pytest.raises(ApprovalRefused, match="is signed"):
        grant(asking.ledger, asking.subject(), **arguments)
    asking.roles("people:", "unsigned_approvals: true\npeople:")
    grant(asking.ledger, asking.subject(), **arguments)
    with pytest.raises(NotAllowed, match="is no person"):
        grant(asking.ledger, asking.subject(), **{**arguments, "actor": "dagster"})
    asking.roles("unsigned_approvals: true\n", "")
    refused(asking, "it is not signed")
    (asking.policy / "roles.yaml").unlink()
    refused(asking, "it is not signed")
    with pytest.raises(ApprovalRefused, match="is signed"):
        grant(asking.ledger, asking.subject(), **arguments)


def test_a_word_needs_a_reason_and_an_end(asking):
    wrong = [("ok", 1, "10 characters"), ("a good reason", 0, "more than 0"), ("a good reason", 721, "at most 720")]
    for because, hours, words in wrong:
        with pytest.raises(ApprovalRefused, match=words):
            grant(
                asking.ledger,
                asking.subject(),
                actor="x",
                key=asking.keys["alice"],
                because=because,
                expires_hours=hours,
            )
    assert asking.ledger.entries(action="approved") == []


@pytest.mark.fault("G5")
def test_a_word_on_another_version_is_none_on_this(asking):
    other = asking.subject()
    said = read_statement(asking.approve("alice", other))
    third = versions(asking.world)[2]
    enter(asking.ledger, said.model_copy(update={"subject": third, "nonce": "e" * 32}), asking.keys["alice"])
    asking.world.judge(third)
    with pytest.raises(ApprovalRefused, match="of another subject digest"):
        asking.release(third)


@pytest.mark.fault("G15")
@pytest.mark.requirement("D12")
def test_a_policy_changed_since_the_last_release_is_accepted_by_who_may(tmp_path, monkeypatch, ledger_place):
    (tmp_path / "policy").mkdir()
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    asking = make_asking(tmp_path, accepted=False, ledger_url=ledger_place)
    asking.approve()
    refused(asking, "retrain accept-policy toy")
    stores, declaration = asking.world.stores, asking.world.declaration
    with pytest.raises(NotAllowed, match="alice has no role"):
        accept_policy(stores, declaration, "approvals are needed now", "person:alice")
    refused(asking, "retrain accept-policy toy")
    accept_policy(stores, declaration, "approvals are needed now", "person:carol")
    assert asking.release().released
    stores.close()


@pytest.mark.fault("G5")
def test_a_word_on_another_model_is_none_on_this(asking):
    other = asking.say("alice", model="other")
    assert other.model == "other"
    asking.ledger.append(NewEntry("person:eve", "approved", "toy", asking.version, other.payload))
    refused(asking, "of another model: other")


@pytest.mark.requirement("A35", "A37")
def test_an_objection_stays_beside_the_decision_that_went_against_it(asking):
    entry = dissent(asking.ledger, "toy", asking.version, because="the north shop gets worse", actor="person:dave")
    for arguments, kind in (
        ({"because": "no", "actor": "person:dave"}, ApprovalRefused),
        ({"because": "a machine's opinion", "actor": "dagster"}, NotAllowed),
    ):
        with pytest.raises(kind):
            dissent(asking.ledger, "toy", asking.version, **arguments)
    with pytest.raises(ApprovalRefused, match="no version 'v0'"):
        dissent(asking.ledger, "toy", "v0", because="of another world", actor="person:dave")
    asking.approve("bob")
    assert asking.release().released
    released = asking.ledger.latest("toy", "released")
    assert (released.payload["permit"]["by"], released.payload["permit"]["dissent"]) == ("person:bob", [entry.seq])
    assert asking.ledger.entries(action="dissented")[0].payload["because"] == "the north shop gets worse"


@pytest.mark.requirement("D6")
def test_only_what_may_be_released_or_tried_can_be_approved(asking):
    stores, declaration = asking.world.stores, asking.world.declaration
    document = read_evidence(stores.artifacts, asking.subject().evidence).document()
    results = [one | ({"verdict": "INCONCLUSIVE"} if one["gate"] == "quality" else {}) for one in document["results"]]
    digest = forge(asking.world, asking.version, results=results, verdict="INCONCLUSIVE")
    with pytest.raises(ApprovalRefused, match="the verdict is INCONCLUSIVE, and no approval makes it another"):
        subject_that_waits(stores, declaration, asking.version)
    rollout = declaration.spec.rollout.model_copy(update={"shadow_periods": 1})
    staged = replace(declaration, spec=declaration.spec.model_copy(update={"rollout": rollout}))
    assert staged.spec.rollout.staged
    assert subject_that_waits(stores, staged, asking.version).evidence == digest
