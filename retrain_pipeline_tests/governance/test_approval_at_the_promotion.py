"""Who must permit a release is asked again when its trial ends: inside the transaction that makes it champion."""

import atexit
import functools
import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import retrain_pipeline.release.stages as module
from retrain_pipeline.governance.halting import ESCALATION_HALTED
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.signatures import KEY_RETIRED
from retrain_pipeline.release import standing
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.release.permits import accept_policy
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.release.state import current
from retrain_pipeline.triggers.halts import resume
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.governance.asking import Asking, make_people
from retrain_pipeline_tests.release.staging import GOOD, declare, live, prepared

pytestmark = [pytest.mark.requirement("B11", "C30"), pytest.mark.fault("G3")]
STAGES = "{shadow_periods: 1, margin: 0.5, approval: required}"
LAST = 8
"""The week at whose end the version has proved itself."""


@functools.cache
def _on_trial() -> Path:
    """Return a folder with a version that a person let go on trial a week ago; made once, to be copied."""
    folder = Path(tempfile.mkdtemp(prefix="on-trial-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    policy, keys = make_people(folder)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RETRAIN_POLICY", str(policy))
        world = prepared(GOOD).copy(folder)
        declare(world.declaration.folder, rollout=STAGES)
        asking = Asking(world.again(), policy, keys)
        accept_policy(world.stores, asking.world.declaration, "approvals are needed now", "person:carol")
        asking.world.judge(asking.version, run_id="run-7")
        asking.approve("alice")
        assert asking.release(run_id="run-7").stage == "shadow"
        assert live(asking.world, 7).move == "hold"
        world.stores.close()
    return folder


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """A version on trial; at the end of the next week it would become champion."""
    from retrain_pipeline.ledger.signing import SigningKey
    from retrain_pipeline.spec.declaration import read_declaration
    from retrain_pipeline.stores import open_stores
    from retrain_pipeline_tests.gates.world import World
    from retrain_pipeline_tests.governance.asking import PEOPLE

    made = _on_trial()
    for name in ("home", "toy", "policy", "keys"):
        shutil.copytree(made / name, tmp_path / name)
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    world = World(open_stores(tmp_path / "home"), read_declaration(tmp_path / "toy"), tmp_path / "home")
    yield Asking(world, tmp_path / "policy", {name: SigningKey(tmp_path / "keys" / f"{name}.pem") for name in PEOPLE})
    world.stores.close()


def held(trial, words, *, entry=False):
    """Let the last week pass; the version stays on trial, and the record says why."""
    before = current(trial.ledger, "toy")
    report = live(trial.world, LAST)
    assert report.move == "hold", report.words
    assert words in report.words
    assert current(trial.ledger, "toy") == before
    newest = trial.ledger.latest("toy", "promotion_held" if entry else "rollout_looked")
    assert words in newest.payload["words"]


def test_what_holds_still_makes_it_champion_and_the_release_names_it(trial):
    staged = trial.ledger.latest("toy", "staged").payload["permit"]
    assert live(trial.world, LAST).move == "promote"
    assert current(trial.ledger, "toy")[1].champion == trial.version
    assert trial.ledger.latest("toy", "released").payload["permit"] == staged
    with pytest.raises(ApprovalRefused, match="used it already"):
        standing.standing(trial.ledger, trial.subject())


def expired(trial, monkeypatch):
    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=2)

    monkeypatch.setattr(standing, "datetime", Later)


def retired(trial, monkeypatch):
    trial.ledger.append(NewEntry("person:carol", KEY_RETIRED, subject=trial.keys["alice"].id))


def left(trial, monkeypatch):
    trial.roles("alice: {roles: [reviewer]", "alice: {roles: []")


def wrote(trial, monkeypatch):
    trial.ledger.append(NewEntry("user:alice", "candidate_built", "toy", trial.version, run_id="run-7"))


def elsewhere(trial, monkeypatch):
    monkeypatch.setenv("RETRAIN_ENVIRONMENT", "staging")


def replayed(trial, monkeypatch):
    trial.replay(trial.ledger.latest("toy", "approved"))


def withdrawn(trial, monkeypatch):
    from retrain_pipeline.release.approvals import withdraw_approval

    withdraw_approval(
        trial.ledger, "toy", trial.version, actor="x", key=trial.keys["alice"], because="I misread a plot"
    )


@pytest.mark.fault("G2", "G5", "G6", "S13")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (expired, "it holds from"),
        (withdrawn, "was withdrawn by person:alice"),
        (retired, "key alice, which is retired"),
        (left, "alice has no role that may approve"),
        (wrote, "person:alice is an author of the change"),
        (elsewhere, "of another environment: default"),
        (replayed, "it was replayed"),
    ],
)
def test_an_approval_that_does_not_hold_any_more_makes_nobody_champion(trial, monkeypatch, change, words):
    change(trial, monkeypatch)
    held(trial, words)


def test_another_person_may_let_it_through_where_the_first_word_has_gone(trial, monkeypatch):
    left(trial, monkeypatch)
    held(trial, "alice has no role that may approve")
    approved = trial.approve("bob")
    assert live(trial.world, LAST + 1).move == "promote"
    permit = trial.ledger.latest("toy", "released").payload["permit"]
    assert (permit["by"], permit["seq"]) == ("person:bob", approved.seq)


@pytest.mark.fault("P12")
def test_what_lapses_between_the_look_and_the_commit_stops_the_promotion_and_an_entry_says_why(trial, monkeypatch):
    real = module._promoted

    def meanwhile(*arguments):
        left(trial, monkeypatch)
        return real(*arguments)

    monkeypatch.setattr(module, "_promoted", meanwhile)
    held(trial, "alice has no role that may approve", entry=True)
    assert "promotion_held" in {entry.action for entry in trial.ledger.entries(model="toy")}
    monkeypatch.setattr(module, "_promoted", real)
    trial.roles("alice: {roles: []", "alice: {roles: [reviewer]")
    assert live(trial.world, LAST).move == "promote", "the same look, and now it is permitted"


@pytest.mark.requirement("D44")
def test_validators_that_do_not_agree_hold_a_promotion_until_a_person_has_looked(trial):
    trial.ledger.append(NewEntry("judge", ESCALATION_HALTED, "toy", "another", {"words": "FAIL"}))
    held(trial, "validators do not agree on another")
    trial.roles("reviewer: [approve,", "reviewer: [resume, approve,")
    resume(trial.ledger, "toy", "another was trained on a lost file", "person:alice")
    assert live(trial.world, LAST + 1).move == "promote"


def test_a_policy_that_was_changed_meanwhile_takes_it_back(trial):
    declare(trial.world.declaration.folder, rollout=STAGES.replace("0.5", "0.4"))
    trial.world = trial.world.again()
    assert live(trial.world, LAST).move == "withdraw"
    assert newest_evidence(trial.world.stores, "toy", versions(trial.world)[1])


def test_a_hold_for_want_of_a_word_has_an_end(trial, monkeypatch):
    left(trial, monkeypatch)
    assert [live(trial.world, week).move for week in range(LAST, LAST + 5)][-1] == "withdraw"
