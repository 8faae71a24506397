"""`roles.yaml`: who may do what, and that a refused attempt is on record."""

from datetime import UTC, datetime

import pytest

from retrain_pipeline.governance.errors import NotAllowed, RolesRefused
from retrain_pipeline.governance.roles import check, read_roles, same_person
from retrain_pipeline.ledger.errors import KeyRefused
from retrain_pipeline.ledger.store import Ledger
from retrain_pipeline.triggers.halts import halt, resume

TODAY = datetime(2026, 6, 1, tzinfo=UTC)
TEXT = """\
roles:
  operator: [release, rollback, halt, resume]
  reviewer: [approve, review_override]
people:
  alice: {roles: [operator, reviewer], aliases: [alice@example.org, "Alice A. Example"]}
  bob: {roles: [operator], until: 2026-05-31}
  carol: {roles: [operator]}
  builder: {roles: [operator, reviewer], bot: true}
machines: [release]
models:
  loan: {rollback: [alice]}
"""

pytestmark = [pytest.mark.requirement("D12"), pytest.mark.fault("G6")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A policy folder with the roles above."""
    (tmp_path / "policy").mkdir()
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    (tmp_path / "policy" / "roles.yaml").write_text(TEXT)
    return tmp_path / "policy"


@pytest.fixture
def roles(folder):
    return read_roles(folder / "roles.yaml")


@pytest.mark.parametrize(
    ("actor", "action", "model", "role"),
    [
        ("person:alice", "approve", "bike", "reviewer"),
        ("person:Alice@Example.org", "rollback", "loan", "operator"),
        ("user:alice a.  example", "halt", "bike", "operator"),
        ("person:carol", "rollback", "bike", "operator"),
        ("sensor:bike_retrain", "release", "bike", "machine"),
    ],
)
def test_who_holds_a_role_may(roles, actor, action, model, role):
    assert roles.role_for(actor, action, model, TODAY) == role


@pytest.mark.parametrize(
    ("actor", "action", "model", "words"),
    [
        ("person:carol", "approve", "bike", "carol has no role that may approve"),
        ("person:carol", "rollback", "loan", "of loan, only alice may rollback"),
        ("person:bob", "halt", "bike", "bob's roles ended on 2026-05-31"),
        ("person:eve", "release", "bike", "knows no person:eve"),
        ("person:builder", "approve", "bike", "is a bot"),
        ("alice", "approve", "bike", "is no person"),
        ("dagster", "rollback", "bike", "is no person"),
        ("sensor:alice", "approve", "bike", "is no person"),
        ("person:alice", "override", "bike", "no role may"),
    ],
)
def test_who_does_not_may_not(roles, actor, action, model, words):
    with pytest.raises(NotAllowed, match=words):
        roles.role_for(actor, action, model, TODAY)


def test_a_refused_attempt_is_an_entry_and_changes_nothing(folder, ledger_url):
    ledger = Ledger(ledger_url)
    with pytest.raises(NotAllowed, match="halt of bike refused to person:eve"):
        halt(ledger, "bike", "I do not like it", "person:eve")
    (entry,) = ledger.entries()
    assert (entry.action, entry.actor, entry.model) == ("refused", "person:eve", "bike")
    assert entry.payload["attempted"] == "halt"
    assert entry.payload["roles"] == read_roles(folder / "roles.yaml").digest
    halt(ledger, "bike", "audit", "person:carol")
    resume(ledger, "bike", "done", "person:alice")
    assert [entry.action for entry in ledger.entries()] == ["refused", "retraining_halted", "retraining_resumed"]
    ledger.close()


def test_without_a_roles_file_everybody_may(folder, ledger):
    (folder / "roles.yaml").unlink()
    granted = check(ledger, "person:eve", "rollback", "bike")
    assert (granted.person, granted.role, granted.payload()) == ("person:eve", "everybody", {})
    assert ledger.entries() == []


def test_a_policy_folder_that_is_not_there_lets_nobody_do_anything(ledger, monkeypatch, tmp_path):
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "polcy"))
    with pytest.raises(KeyRefused, match="RETRAIN_POLICY"):
        check(ledger, "person:alice", "rollback", "bike")


def test_what_somebody_may_says_by_which_version_of_the_roles(folder, ledger):
    granted = check(ledger, "user:alice@example.org", "approve", "bike")
    assert granted.person == "alice"
    assert granted.payload() == {"role": "reviewer", "roles": read_roles(folder / "roles.yaml").digest}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("reviewer: [approve", "reviewer: [aprove", r"roles\.yaml:3:\d+  roles\.reviewer\.0"),
        ("carol: {roles: [operator]}", "carol: {roles: [boss]}", "people.carol.roles: 'boss' is not one of"),
        ("rollback: [alice]", "rollback: [zoe]", "'zoe' is not one of people"),
        ("[alice@example.org,", "[CAROL,", "'carol' is|is alice's already|is carol's"),
        ("machines: [release]", "machines: [approve]", r"roles\.yaml:9"),
        ("people:", "poeple:", "poeple"),
        ("bot: true", "bot: yes", "builder.bot"),
        ("until: 2026-05-31", "until: soon", "people.bob.until"),
        ("roles:\n", "roles: &a\n", "anchor"),
    ],
)
def test_a_file_with_a_mistake_allows_nothing(folder, ledger, old, new, words):
    (folder / "roles.yaml").write_text(TEXT.replace(old, new))
    with pytest.raises(RolesRefused, match=words):
        check(ledger, "person:alice", "rollback", "bike")


@pytest.mark.fault("G2")
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("person:alice", "alice@example.org", True),
        ("person:alice", "Alice A. Example", True),
        ("person:zoe", "zoe@example.com", True),
        ("person:zoe", "ZOE", True),
        ("person:carol", "alice@example.org", False),
        ("person:carol", "Carol Other", False),
    ],
)
def test_aliases_are_one_person_and_doubt_counts_as_one(roles, one, other, same):
    assert same_person(roles, one, other) is same
    assert same_person(roles, other, one) is same
