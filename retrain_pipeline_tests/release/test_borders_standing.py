"""Whether a person's statement holds, to the letter: each thing that it is bound to, each border of its time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.keyring import Keyring, write_keyring
from retrain_pipeline.ledger.signatures import KEY_RETIRED
from retrain_pipeline.ledger.signing import PublicKey
from retrain_pipeline.release.approvals import LONGEST, Statement, enter
from retrain_pipeline.release.authors import Authors
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.release.standing import Standing, read_statement, standing
from retrain_pipeline_tests.release.people import PEOPLE, Shop, keys, write_policy

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)


class Words(Shop):
    """Statements on v2 of 1 March 2024, noon, for an hour; any part of one may be otherwise."""

    def said(self, who="alice", *, key=None, of=None, **changed):
        """Enter a statement, signed by its speaker's key or another; return the entry."""
        entry = self.grant(who, of or self.subject())
        told = Statement.model_validate(entry.payload["statement"], strict=False)
        self.ledger.forget(entry)  # the honest word must not be what lets the version through
        hour = {"granted_at": NOW.isoformat(), "expires_at": (NOW + timedelta(hours=1)).isoformat()}
        told = told.model_copy(update={"nonce": f"{entry.seq:032x}", **hour, **changed})
        return enter(self.ledger, told, keys()[key or who])

    def unsigned(self, **changed):
        """Enter the payload of a signed statement with parts of it otherwise."""
        made = self.said()
        self.ledger.forget(made)
        payload = {**made.payload, **changed}
        return self.ledger.append(NewEntry(made.actor, made.action, "toy", "v2", payload))

    def holds(self, now=NOW, subject=None, **named):
        return standing(self.ledger, subject or self.subject(), now, **named)

    def why_not(self, now=NOW, subject=None, **named):
        with pytest.raises(ApprovalRefused) as caught:
            self.holds(now, subject, **named)
        return str(caught.value).removeprefix("toy v2: ")


@pytest.fixture
def words(tmp_path, monkeypatch):
    write_policy(tmp_path / "policy")
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    return Words(tmp_path)


# --- which statement


def test_without_a_statement_there_is_none(words):
    made = words.said()
    words.ledger.forget(made)
    for model, action, version in (("doll", "approved", "v2"), ("toy", "approved", "v3"), ("toy", "noted", "v2")):
        words.ledger.append(NewEntry("person:alice", action, model, version, made.payload))
    with pytest.raises(ApprovalRefused) as caught:
        words.holds()
    assert str(caught.value) == "toy v2: there is no approved entry"
    assert words.why_not(subject=words.overriding()) == "there is no override granted entry"


def test_the_newest_that_holds_is_told_and_else_why_the_newest_does_not(words):
    first = words.said("alice")
    assert words.holds() == Standing(read_statement(first), first)
    second = words.said("bob")
    words.said("bob", environment="staging")
    assert words.holds().entry == second
    later = NOW + timedelta(hours=1)
    assert words.why_not(later) == "the approval is of another environment: staging, now default"


def test_without_a_moment_it_is_asked_of_now(words):
    words.said()
    assert "it holds from 2024-03-01T12:00:00+00:00 until 2024-03-01T13:00:00+00:00, and it is 20" in words.why_not(
        None
    )
    entry = words.grant("alice", words.subject())
    assert words.holds(None).entry == entry


def test_an_entry_without_a_statement_is_none(words):
    entry = words.ledger.append(NewEntry("person:alice", "approved", "toy", "v2", {"statement": {"schema": "other"}}))
    assert words.why_not() == f"entry {entry.seq}: no statement: Input should be 'approval/1'"
    bare = words.ledger.append(NewEntry("person:alice", "approved", "toy", "v2", {}))
    with pytest.raises(ApprovalRefused, match=f"^entry {bare.seq}: no statement: Input should be a valid dictionary"):
        read_statement(bare)


# --- whose it is


def test_a_statement_without_a_signature_counts_where_that_is_declared(words):
    entry = words.unsigned(signature=None, key=None)
    assert words.why_not() == f"entry {entry.seq}: it is not signed"
    words.roles("people:", "unsigned_approvals: true\npeople:")
    assert words.holds().entry == entry
    (words.policy / "roles.yaml").unlink()
    assert words.why_not() == f"entry {entry.seq}: it is not signed"
    signed = words.said()
    assert words.holds().entry == signed


def test_a_key_that_nobody_knows_signs_for_nobody(words):
    entry = words.said(key="eve")
    assert words.why_not() == f"entry {entry.seq}: signed by key {keys()['eve'].id}, which is not in the keyring"
    entry = words.unsigned(key=None)
    assert words.why_not() == f"entry {entry.seq}: signed by key None, which is not in the keyring"


def test_a_key_that_was_retired_signs_no_more(words):
    entry = words.said()
    words.ledger.append(NewEntry("test", KEY_RETIRED, None, keys()["bob"].id))
    words.ledger.append(NewEntry("test", "noted", None, keys()["alice"].id))
    assert words.holds().entry == entry
    words.ledger.append(NewEntry("test", KEY_RETIRED, None, keys()["alice"].id))
    assert words.why_not() == f"entry {entry.seq}: signed by key alice, which is retired"


def test_a_signature_of_something_else_is_none(words):
    other = words.said("bob")
    words.ledger.forget(other)
    entry = words.unsigned(signature=other.payload["signature"])
    assert words.why_not() == f"entry {entry.seq}: the signature is not that of key alice on this statement"


def test_nobody_speaks_with_the_key_of_another(words):
    entry = words.said("bob", key="alice")
    assert words.why_not() == f"entry {entry.seq}: person:bob's word, signed by the key of person:alice"


def test_who_may_not_approve_or_is_no_person_or_an_author_lets_nothing_through(words):
    entry = words.said()
    authors = replace(words.subject(), authors=Authors(("Alice",)))
    assert words.why_not(subject=authors) == f"entry {entry.seq}: person:alice is an author of the change"
    words.roles("alice@example.org", "x7@example.org")
    alias = replace(words.subject(), authors=Authors(("x7@example.org",)))
    assert words.why_not(subject=alias) == f"entry {entry.seq}: person:alice is an author of the change"
    words.roles("roles: [reviewer], aliases: [x7@example.org]", "roles: []")
    assert words.why_not() == f"entry {entry.seq}: alice has no role that may approve (reviewer)"


def test_roles_are_asked_for_this_kind_and_model_at_this_moment(words):
    carol = words.said("carol", of=words.overriding())
    assert words.holds(subject=words.overriding()).entry == carol
    by_author = replace(words.overriding(), authors=Authors(("carol",)))
    assert words.holds(subject=by_author).entry == carol, "an override is reviewed"
    alice = words.said()
    words.roles("people:", "models: {toy: {approve: [bob]}}\npeople:")
    assert words.why_not() == f"entry {alice.seq}: of toy, only bob may approve"
    words.roles("models: {toy: {approve: [bob]}}\n", "")
    words.roles("alice: {roles: [reviewer]", "alice: {until: 2024-02-29, roles: [reviewer]")
    assert words.why_not() == f"entry {alice.seq}: alice's roles ended on 2024-02-29"
    words.roles("2024-02-29", "2024-03-01")
    assert words.holds().entry == alice


def test_a_machine_is_no_person_even_where_nobody_is_named(words):
    (words.policy / "roles.yaml").unlink()
    known = tuple(PublicKey(name, f"person:{name}", keys()[name].public) for name in PEOPLE[1:])
    robot = PublicKey("alice", "robot", keys()["alice"].public)
    write_keyring(words.policy / "keyring.json", Keyring((robot, *known)))
    bob = words.said("bob")
    assert words.holds().entry == bob
    words.ledger.forget(bob)
    told = read_statement(bob).model_copy(update={"approver": "robot"})
    entry = enter(words.ledger, told, keys()["alice"])
    assert words.why_not() == f"entry {entry.seq}: robot is no person"


# --- what it is of


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"kind": "plan"}, "kind: plan, now release"),
        ({"model": "doll"}, "model: doll, now toy"),
        ({"subject": "v3"}, "subject: v3, now v2"),
        ({"subject_digest": "a" * 64}, f"subject digest: {'a' * 40}, now {{0.digest:.40}}"),
        ({"evidence": None}, "evidence: None, now {0.evidence:.40}"),
        ({"environment": "staging"}, "environment: staging, now default"),
        ({"ledger": "a" * 64}, f"ledger: {'a' * 40}, now {{1:.40}}"),
        ({"policy": "a" * 64}, f"policy: {'a' * 40}, now {{0.policy:.40}}"),
    ],
)
def test_a_word_on_something_else_says_nothing_of_this(words, changed, told):
    entry = words.said(**changed)
    if set(changed) & {"kind", "model", "subject"}:
        payload = {**entry.payload}
        words.ledger.forget(entry)
        words.ledger.append(NewEntry(entry.actor, "approved", "toy", "v2", payload))
    first = words.ledger.entries(limit=1)[0].sha256
    assert words.why_not() == f"the approval is of another {told.format(words.subject(), first)}"


def test_a_word_that_was_withdrawn_holds_no_more_and_a_newer_one_does(words):
    for model, version in (("toy", "v3"), ("doll", "v2")):
        words.ledger.append(NewEntry("person:bob", "approval_withdrawn", model, version, {}))
    words.ledger.append(NewEntry("person:bob", "approval_withdrawn", "toy", "v2", {}))
    entry = words.said()
    over = words.said("carol", of=words.overriding())
    for model, version in (("toy", "v3"), ("doll", "v2")):
        words.ledger.append(NewEntry("person:bob", "approval_withdrawn", model, version, {}))
    assert words.holds().entry == entry
    gone = words.ledger.append(NewEntry("person:bob", "approval_withdrawn", "toy", "v2", {}))
    assert words.why_not() == f"entry {entry.seq}: it was withdrawn by person:bob (entry {gone.seq})"
    assert words.holds(subject=words.overriding()).entry == over, "an override is reviewed, not withdrawn"
    anew = words.said("bob")
    assert words.holds().entry == anew


# --- how long, and how often


def test_it_holds_from_five_minutes_before_it_was_given_until_just_before_its_end(words):
    entry = words.said()
    tick = timedelta(microseconds=1)
    first, last = NOW - timedelta(minutes=5), NOW + timedelta(hours=1)
    for now in (first, NOW, last - tick):
        assert words.holds(now).entry == entry
    for now in (first - tick, last):
        told = f"it holds from {NOW.isoformat()} until {last.isoformat()}, and it is {now:%F %T}"
        assert words.why_not(now) == told


@pytest.mark.parametrize("kind", ["release", "override"])
def test_no_statement_holds_for_longer_than_its_kind_may(words, kind):
    who, subject = ("alice", words.subject()) if kind == "release" else ("carol", words.overriding())
    longest = NOW + LONGEST[kind]
    entry = words.said(who, of=subject, expires_at=longest.isoformat())
    assert words.holds(subject=subject).entry == entry
    beyond = (longest + timedelta(seconds=1)).isoformat()
    words.ledger.forget(entry)
    words.said(who, of=subject, expires_at=beyond)
    assert words.why_not(subject=subject) == f"it was given until {beyond}: longer than a statement may hold"


def test_a_statement_that_is_entered_twice_was_replayed(words):
    entry = words.said()
    words.ledger.append(NewEntry("person:eve", "approved", "toy", "v9", {"statement": None}))
    words.ledger.append(NewEntry("person:eve", "approved", "doll", "v2", entry.payload))
    words.ledger.append(NewEntry("person:eve", "noted", "toy", "v2", entry.payload))
    assert words.holds().entry == entry
    other = words.ledger.append(NewEntry("person:eve", "plan_approved", "toy", "v7", entry.payload))
    assert words.why_not() == f"its nonce is in entries {entry.seq}, {other.seq}: it was replayed"


@pytest.mark.parametrize("action", ["released", "staged"])
def test_a_statement_lets_one_release_through(words, action):
    entry = words.said()
    told = read_statement(entry)
    for model, what, permit in (
        ("toy", action, None), ("toy", action, {"nonce": "0" * 32}), ("doll", action, {"nonce": told.nonce}),
        ("toy", "noted", {"nonce": told.nonce}),
    ):  # fmt: skip
        words.ledger.append(NewEntry("test", what, model, "v2", {"permit": permit}))
    assert words.holds().entry == entry
    used = words.ledger.append(NewEntry("test", action, "toy", "v2", {"permit": {"nonce": told.nonce}}))
    assert words.why_not() == f"entry {used.seq} used it already"
    assert words.holds(begun=used.seq).entry == entry
    words.ledger.append(NewEntry("test", action, "toy", "v2", {"permit": {"nonce": told.nonce}}))
    assert words.why_not() == f"entry {used.seq} used it already"
    assert words.why_not(begun=used.seq) == f"entry {used.seq + 1} used it already"


def test_a_plan_lets_many_through(words):
    words.anchored()
    entry = words.planned()
    nonce = entry.payload["statement"]["nonce"]
    words.ledger.append(NewEntry("test", "released", "toy", "v2", {"permit": {"nonce": nonce}}))
    assert words.find().payload["seq"] == entry.seq
