"""Words beside an approval, to the letter: overrides and their reviews, objections, documents that were verified."""

from datetime import datetime, timedelta

import pytest

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.governance.roles import read_roles
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release.approvals import Subject, grant
from retrain_pipeline.release.authors import Authors
from retrain_pipeline.release.dissent import dissent, objections
from retrain_pipeline.release.documents import documented, documented_on_trial
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.release.overrides import banner, review, unreviewed
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import write_folder
from retrain_pipeline_tests.release.handmade import People

LOUD = "support is on fire"


@pytest.fixture
def people(tmp_path, monkeypatch):
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    made = People(tmp_path)
    yield made
    made.ledger.close()


def override(people, version="v2", model="toy"):
    subject = Subject("override", model, version, "a" * 64, "b" * 64, "c" * 64, Authors(()))
    given = {"actor": "person:login", "key": people.keys["carol"], "because": LOUD, "expires_hours": 2}
    return grant(people.ledger, subject, **given)


def look(people, seq=None, who="bob", **changed):
    given = {"actor": "person:login", "key": people.keys[who], "because": "all is well", **changed}
    return review(people.ledger, "toy", seq, **given)


def refusal(kind, call, *arguments, **named):
    with pytest.raises(kind) as refused:
        call(*arguments, **named)
    return str(refused.value)


def digest_of_roles(people):
    return read_roles(people.policy / "roles.yaml").digest


# --- overrides


def test_the_oldest_override_of_the_model_is_reviewed_and_any_other_by_its_number(people):
    others, first, second, third = (override(people, *of) for of in (("v9", "doll"), ("v2",), ("v3",), ("v4",)))
    assert unreviewed(people.ledger) == [others, first, second, third]
    assert unreviewed(people.ledger, "toy") == [first, second, third]
    entry = look(people, because=" all\n is well " + "x" * 1000)
    assert (entry.actor, entry.action, entry.model, entry.subject) == (
        "person:bob", "override_reviewed", "toy", "v2",
    )  # fmt: skip
    assert entry.payload == {
        "of_seq": first.seq, "by": "person:carol", "because": ("all is well " + "x" * 1000)[:1000],
        "role": "reviewer", "roles": digest_of_roles(people),
    }  # fmt: skip
    assert entry.key == f"override_reviewed:{first.seq}"
    assert look(people, third.seq).subject == "v4"
    assert unreviewed(people.ledger, "toy") == [second]
    assert unreviewed(people.ledger) == [others, second]


def test_a_review_of_another_model_is_none_of_this(people):
    mine = override(people)
    people.ledger.append(NewEntry("person:bob", "override_reviewed", "doll", "v2", {"of_seq": mine.seq}))
    assert unreviewed(people.ledger, "toy") == [mine]


def test_what_does_not_wait_is_not_reviewed(people):
    assert refusal(ApprovalRefused, look, people) == "toy: no override waits for a review; waiting: none"
    first, second = override(people), override(people, "v3")
    words = f"toy: no override 999 waits for a review; waiting: {first.seq}, {second.seq}"
    assert refusal(ApprovalRefused, look, people, 999) == words


def test_a_review_says_what_was_found_and_is_signed(people):
    override(people)
    words = "toy: say what you found, in at least 10 characters (because)"
    for because in (" 123456789", "1234   5678"):
        assert refusal(ApprovalRefused, look, people, because=because) == words
    assert refusal(ApprovalRefused, look, people, key=None).startswith("toy: a person's word is signed")
    people.roles("people:", "unsigned_approvals: true\npeople:")
    entry = look(people, key=None, actor="person:alice", because="1234567890")
    assert (entry.actor, entry.payload["because"]) == ("person:alice", "1234567890")


def test_who_overrode_reviews_nothing_under_any_alias_and_a_machine_neither(people):
    people.roles("carol: {roles: [lead, reviewer]}", "carol: {roles: [lead, reviewer], aliases: [ca]}")
    people.roles("bob@example.org", '"bob[bot]"')
    people.roles("people:", "unsigned_approvals: true\npeople:")
    made = override(people)
    for who in ("person:carol", "user:ca", "person:bob[bot]"):
        words = f"review of override {made.seq} of toy refused to {who}: person:carol made it"
        assert refusal(NotAllowed, look, people, key=None, actor=who) == words
        people.refused(who, "review_override", "v2", words, digest_of_roles(people))


def test_who_may_not_review_is_refused_on_record(people):
    override(people)
    words = refusal(NotAllowed, look, people, who="dave")
    assert words.startswith("review_override of toy refused to person:dave: dave has no role that may review_override")
    people.refused("person:dave", "review_override", "v2", words, digest_of_roles(people))


def test_each_override_that_waits_has_a_line_until_it_is_reviewed(people):
    first, second = override(people), override(people, "v9", "doll")
    ends = datetime.fromisoformat(first.payload["expires_at"])
    lines = [
        f"OVERRIDE {entry.seq} of {of} by person:carol, {{}}, not reviewed: {LOUD}"
        for entry, of in ((first, "toy v2"), (second, "doll v9"))
    ]
    until, lapsed = (f"{word} {ends:%Y-%m-%d %H:%M} UTC" for word in ("until", "lapsed"))
    assert banner(people.ledger)[0] == lines[0].format(until)
    assert banner(people.ledger, ends - timedelta(seconds=1))[0] == lines[0].format(until)
    assert banner(people.ledger, ends)[0] == lines[0].format(lapsed)
    assert banner(people.ledger, ends + timedelta(hours=1)) == [
        line.format(f"lapsed {datetime.fromisoformat(entry.payload['expires_at']):%F %H:%M} UTC")
        for line, entry in zip(lines, (first, second), strict=True)
    ]
    look(people)
    assert banner(people.ledger, ends + timedelta(hours=1)) == [lines[1].format(lapsed)]


# --- objections


def test_anybody_objects_with_a_reason_to_a_version_that_there_is(people):
    for model, version in (("toy", "v2"), ("toy", "v3"), ("doll", "v2"), ("doll", "v9")):
        people.ledger.append(NewEntry("test", "judged", model, version))
    first = dissent(people.ledger, "toy", "v2", because=" it is\nworse " + "x" * 1000, actor="person:dave")
    assert (first.actor, first.action, first.model, first.subject) == ("person:dave", "dissented", "toy", "v2")
    assert first.payload == {"because": ("it is worse " + "x" * 1000)[:1000]}
    second = dissent(people.ledger, "toy", "v2", because="1234567890", actor="user:zoe")
    for model, version in (("toy", "v3"), ("doll", "v2")):
        dissent(people.ledger, model, version, because="1234567890", actor="user:zoe")
    assert objections(people.ledger, "toy", "v2") == [first, second]


def test_an_objection_without_a_reason_of_a_machine_or_to_nothing_is_refused(people):
    for model, version in (("toy", "v2"), ("doll", "v9")):
        people.ledger.append(NewEntry("test", "judged", model, version))

    def said(version="v2", because="1234567890", actor="person:dave"):
        return dissent(people.ledger, "toy", version, because=because, actor=actor)

    short = "toy v2: say why, in at least 10 characters (because)"
    for because in (" 123456789", "1234   5678"):
        assert refusal(ApprovalRefused, said, because=because) == short
    assert refusal(NotAllowed, said, actor="sensor") == "sensor is no person: objections are people's"
    words = "toy: the ledger knows no version 'v9'; see retrain history toy"
    assert refusal(ApprovalRefused, said, version="v9") == words
    long = refusal(ApprovalRefused, said, version="v" * 100)
    assert long == f"toy: the ledger knows no version '{'v' * 79}; see retrain history toy"
    assert [entry.action for entry in people.ledger.entries()][1:] == ["judged", "judged"]


# --- documents

AGAIN = "materialize toy/release, or run retrain release, which verify first"


@pytest.fixture
def declared(tmp_path):
    """A declaration that asks for documents."""
    spec = write_folder(tmp_path / "toy").spec
    return spec.model_copy(update={"gates": spec.gates.model_copy(update={"documentation": True})})


def deploy(people, model, version):
    row = people.ledger.deployment(model)
    new = NewEntry("test", "released", model, version)
    return people.ledger.change_deployment(model, row.epoch if row else 0, {"champion": version}, new)


def found(verdict, words):
    return GateResult(gate="documents", verdict=Verdict(verdict), words=words)


def verified(people, verdict="PASS", model="toy", version="v1", words="as found"):
    payload = {"verdict": verdict, "words": words}
    return people.ledger.append(NewEntry("test", "documents_verified", model, version, payload))


def test_where_nothing_asks_for_documents_or_nobody_serves_there_is_nothing_to_verify(people, declared, tmp_path):
    plain = write_folder(tmp_path / "plain").spec
    nobody = found("PASS", "no champion yet: nothing is written")
    assert documented(people.ledger, declared) == nobody
    assert documented(people.ledger, plain) == nobody
    deploy(people, "doll", "v1")
    assert documented(people.ledger, declared) == nobody
    assert documented_on_trial(people.ledger, declared) == nobody
    deploy(people, "toy", "v1")
    assert documented(people.ledger, plain) == found("PASS", "not declared (gates.documentation)")
    assert documented_on_trial(people.ledger, plain) is None


def test_the_newest_verification_of_the_champion_must_have_passed(people, declared):
    deploy(people, "toy", "v1")
    never = found("FAIL", f"what is written about v1 was never verified: {AGAIN}")
    assert documented(people.ledger, declared) == never
    verified(people, model="doll")
    verified(people, version="v0")
    assert documented(people.ledger, declared) == never
    assert documented_on_trial(people.ledger, declared) == found("INCONCLUSIVE", never.words)
    passed = verified(people)
    fine = found("PASS", f"what is written about v1 was verified in entry {passed.seq}")
    assert documented(people.ledger, declared) == documented_on_trial(people.ledger, declared) == fine
    verified(people, "FAIL")
    assert documented(people.ledger, declared) == found("FAIL", "what is written about v1 does not verify: as found")
    verified(people, "INCONCLUSIVE", words="x" * 5000)
    assert documented(people.ledger, declared) == found(
        "FAIL", ("what is written about v1 does not verify: " + "x" * 5000)[:2000]
    )


@pytest.mark.parametrize("action", ["judged", "staged", "released", "rolled_back", "recorded"])
def test_what_was_entered_about_the_champion_since_asks_for_another_verification(people, declared, action):
    deploy(people, "toy", "v1")
    passed = verified(people)
    fine = documented(people.ledger, declared)
    for model, version, what in (("toy", "v2", action), ("doll", "v1", action), ("toy", "v1", "alerted")):
        people.ledger.append(NewEntry("test", what, model, version))
    assert documented(people.ledger, declared) == fine
    first, _ = (people.ledger.append(NewEntry("test", action, "toy", "v1")) for _ in range(2))
    words = f"since what is written about v1 was verified (entry {passed.seq}) there is entry {first.seq}, {action}"
    assert documented(people.ledger, declared) == found("FAIL", f"{words}: {AGAIN}")
    verified(people)
    assert documented(people.ledger, declared).verdict is Verdict.PASS
