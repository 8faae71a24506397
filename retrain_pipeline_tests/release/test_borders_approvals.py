"""A person's word, to the letter: what is entered, what it is bound to, and each refusal."""

from datetime import UTC, datetime, timedelta

import pytest

from retrain_pipeline.gates.evidence import policy_digest
from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.governance.roles import read_roles
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.signing import new_private_key
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.release.approvals import (
    PURPOSE,
    Subject,
    enter,
    environment,
    first_digest,
    grant,
    withdraw_approval,
)
from retrain_pipeline.release.authors import Authors
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.release.standing import read_statement
from retrain_pipeline_tests.gates.world import write_folder
from retrain_pipeline_tests.release.handmade import People

BECAUSE = "looked at the card"
LONGEST = {"release": 720, "plan": 8784, "override": 72}
ENTERED = {"release": "approved", "plan": "plan_approved", "override": "override_granted"}
UNSIGNED = (
    "toy: a person's word is signed: give your key (--key, RETRAIN_PERSON_KEY; `retrain keys new NAME` "
    "makes one), or set unsigned_approvals in roles.yaml and know that it proves nothing"
)


@pytest.fixture
def people(tmp_path, monkeypatch):
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    monkeypatch.setenv("RETRAIN_ENVIRONMENT", "staging")
    made = People(tmp_path)
    yield made
    made.ledger.close()


def subject(kind="release", authors=("zoe",)):
    return Subject(kind, "toy", "v2", "a" * 64, "b" * 64, "c" * 64, Authors(authors))


def say(people, who="alice", of=None, **changed):
    given = {"actor": "person:login", "key": people.keys[who], "because": BECAUSE, "expires_hours": 2, **changed}
    return grant(people.ledger, of or subject(), **given)


def digest_of_roles(people):
    return read_roles(people.policy / "roles.yaml").digest


# --- what is entered


@pytest.mark.parametrize(
    ("kind", "who", "role"),
    [("release", "alice", "reviewer"), ("plan", "bob", "reviewer"), ("override", "carol", "lead")],
)
def test_a_word_is_entered_with_all_that_it_is_bound_to_and_signed(people, kind, who, role):
    before = datetime.now(UTC).replace(microsecond=0)
    entry = say(people, who, subject(kind), because="  looked\nat   the card ")
    said = entry.payload["statement"]
    assert (entry.actor, entry.action, entry.model, entry.subject) == (f"person:{who}", ENTERED[kind], "toy", "v2")
    granted, ends = (datetime.fromisoformat(said[name]) for name in ("granted_at", "expires_at"))
    assert before <= granted <= datetime.now(UTC)
    assert (ends - granted, granted.utcoffset(), len(said["granted_at"])) == (timedelta(hours=2), timedelta(), 25)
    assert len(said["nonce"]) == 32
    assert said == {
        "schema": "approval/1", "kind": kind, "model": "toy", "subject": "v2", "subject_digest": "a" * 64,
        "evidence": "b" * 64, "environment": "staging", "ledger": people.first.sha256, "policy": "c" * 64,
        "roles": digest_of_roles(people), "approver": f"person:{who}", "role": role, "authors": ["zoe"],
        "granted_at": said["granted_at"], "expires_at": said["expires_at"], "nonce": said["nonce"], "because": BECAUSE,
    }  # fmt: skip
    key = people.ledger.keyring().find(people.keys[who].id)
    signature = entry.payload["signature"]
    assert entry.payload == {
        "statement": said, "key": key.id, "signature": signature, "because": BECAUSE, "expires_at": said["expires_at"],
    }  # fmt: skip
    assert key.signed(PURPOSE, said, signature)
    assert entry.key == f"{ENTERED[kind]}:{said['nonce']}"
    assert say(people, who, subject(kind)).seq > entry.seq, "said again, it is another word"


def test_the_same_statement_is_entered_once(people):
    entry = say(people)
    statement = read_statement(entry)
    assert statement.document() == entry.payload["statement"]
    assert enter(people.ledger, statement, people.keys["alice"]) == entry


def test_a_subject_is_of_the_declaration_and_its_policy(tmp_path):
    spec = write_folder(tmp_path).spec
    by = Authors(("zoe",))
    for evidence in (None, "b" * 64):
        wanted = Subject("plan", "toy", "year-one", "a" * 64, evidence, policy_digest(spec), by)
        assert Subject.of("plan", spec, "year-one", "a" * 64, evidence, by) == wanted


@pytest.mark.parametrize(
    ("named", "called"), [(None, "default"), ("", "default"), ("  ", "default"), (" production ", "production")]
)
def test_a_deployment_is_called_as_somebody_named_it(monkeypatch, named, called):
    monkeypatch.delenv("RETRAIN_ENVIRONMENT", raising=False)
    if named is not None:
        monkeypatch.setenv("RETRAIN_ENVIRONMENT", named)
    assert environment() == called


def test_a_ledger_is_known_by_its_first_entry(people, tmp_path):
    people.ledger.append(NewEntry("test", "later"))
    assert first_digest(people.ledger) == people.first.sha256
    other = Ledger(f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(ApprovalRefused) as refused:
        first_digest(other)
    assert str(refused.value) == f"{other.place}: empty, so there is nothing to approve"
    other.close()


# --- reasons and ends


@pytest.mark.parametrize("kind", list(LONGEST))
def test_a_word_holds_for_more_than_no_time_and_at_most_as_long_as_its_kind_may(people, kind):
    who, longest = "carol", LONGEST[kind]
    for hours in (0, -1, longest + 0.001, float("nan"), float("inf")):
        with pytest.raises(ApprovalRefused) as refused:
            say(people, who, subject(kind), expires_hours=hours)
        assert str(refused.value) == f"toy: expires_hours {hours}: more than 0, at most {longest}"
    for hours in (0.01, longest):
        assert say(people, who, subject(kind), expires_hours=hours).action == ENTERED[kind]


def test_a_reason_has_ten_to_a_thousand_characters_and_spaces_do_not_count(people):
    for because in ("123456789", "1       2", " 12345678 ", "x" * 1001):
        with pytest.raises(ApprovalRefused) as refused:
            say(people, because=because)
        assert str(refused.value) == "toy: give a reason of at least 10 characters, at most 1000 (because)"
    for because in ("1234567890", "x" * 1000):
        assert say(people, because=because).payload["because"] == because
    assert [entry.action for entry in people.ledger.entries()] == ["begun", "approved", "approved"]


# --- who may speak


def test_a_word_without_a_key_counts_only_where_the_roles_say_so(people):
    for roles in (True, False):
        if not roles:
            (people.policy / "roles.yaml").rename(people.policy / "kept.yaml")
        with pytest.raises(ApprovalRefused) as refused:
            say(people, key=None, actor="person:alice")
        assert str(refused.value) == UNSIGNED
    (people.policy / "kept.yaml").rename(people.policy / "roles.yaml")
    people.roles("people:", "unsigned_approvals: true\npeople:")
    entry = say(people, key=None, actor="person:alice")
    assert (entry.actor, entry.payload["key"], entry.payload["signature"]) == ("person:alice", None, None)
    assert (entry.payload["statement"]["approver"], entry.payload["because"]) == ("person:alice", BECAUSE)


def test_a_key_that_is_in_no_keyring_speaks_for_nobody(people, tmp_path):
    key = new_private_key(tmp_path / "keys" / "stranger.pem")
    with pytest.raises(ApprovalRefused) as refused:
        say(people, key=key)
    assert str(refused.value) == f"toy: key {key.file} is not in the keyring; add it in a reviewed change"


def test_who_has_no_role_for_this_kind_of_word_is_refused_on_record(people):
    for kind, who, action in (("release", "dave", "approve"), ("override", "alice", "override")):
        with pytest.raises(NotAllowed) as refused:
            say(people, who, subject(kind))
        words = str(refused.value)
        assert words.startswith(f"{action} of toy refused to person:{who}: {who} has no role that may {action}")
        people.refused(f"person:{who}", action, "v2", words, digest_of_roles(people))


def test_an_author_by_any_alias_approves_nothing_and_may_override(people):
    people.roles("alice@example.org", "al")
    people.roles("carol: {roles: [lead, reviewer]}", "carol: {roles: [lead, reviewer], aliases: [ca]}")
    for kind, who, alias in (("release", "alice", "al"), ("plan", "carol", "ca")):
        with pytest.raises(NotAllowed) as refused:
            say(people, who, subject(kind, authors=("zoe", alias)))
        words = f"approve of toy v2 refused to person:{who}: an author does not approve the change"
        assert str(refused.value) == words
        people.refused(f"person:{who}", "approve", "v2", words, digest_of_roles(people))
    assert say(people, "carol", subject("override", authors=("ca",))).action == "override_granted"


def test_a_machine_has_no_word_whatever_its_role(people):
    people.roles("alice@example.org", '"alice[bot]"')
    people.roles("reviewer: [", "reviewer: [override, ")
    people.roles("people:", "unsigned_approvals: true\npeople:")
    for kind, action in (("release", "approve"), ("override", "override")):
        with pytest.raises(NotAllowed) as refused:
            say(people, of=subject(kind), key=None, actor="person:alice[bot]")
        words = f"{action} of toy refused to person:alice[bot]: only a person may"
        assert str(refused.value) == words
        people.refused("person:alice[bot]", action, "v2", words, digest_of_roles(people))


# --- taking it back


def take_back(people, who="bob", model="toy", version="v2", **changed):
    given = {"actor": "person:login", "key": people.keys[who], "because": "another window", **changed}
    return withdraw_approval(people.ledger, model, version, **given)


def test_an_approval_is_taken_back_with_a_reason_by_who_may_approve(people):
    say(people)
    entry = take_back(people, because=" another\n window " + "x" * 1000)
    assert (entry.actor, entry.action, entry.model, entry.subject) == ("person:bob", "approval_withdrawn", "toy", "v2")
    because = ("another window " + "x" * 1000)[:1000]
    assert entry.payload == {"because": because, "role": "reviewer", "roles": digest_of_roles(people)}
    assert take_back(people, because="1234567890").payload["because"] == "1234567890"
    with pytest.raises(ApprovalRefused) as refused:
        take_back(people, because="123456789")
    assert str(refused.value) == "toy: give a reason of at least 10 characters (because)"
    with pytest.raises(NotAllowed) as refused:
        take_back(people, "dave")
    people.refused("person:dave", "approve", "v2", str(refused.value), digest_of_roles(people))
    assert str(refused.value).startswith("approve of toy refused to person:dave: dave has no role that may approve")
    with pytest.raises(ApprovalRefused, match=r"^toy: a person's word is signed"):
        take_back(people, key=None)
    people.roles("people:", "unsigned_approvals: true\npeople:")
    assert take_back(people, key=None, actor="person:alice").actor == "person:alice"


def test_only_an_approval_of_this_version_of_this_model_is_taken_back(people):
    say(people, "carol", subject("override"))
    for model, version in (("toy", "v3"), ("doll", "v2")):
        people.ledger.append(NewEntry("person:bob", "approved", model, version))
    with pytest.raises(ApprovalRefused) as refused:
        take_back(people)
    assert str(refused.value) == "toy v2: there is no approval to withdraw"
