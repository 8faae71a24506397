"""Releases, to the letter: what each refusal says, the deployment that a release makes, and the entry that says why."""

import subprocess
from datetime import datetime

import pytest

from retrain_pipeline.gates.evidence import ValidatedLoss, read_evidence
from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.governance.halting import ESCALATION_HALTED
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release.errors import ApprovalRefused, ReleaseRefused
from retrain_pipeline.release.release import ReleaseOutcome, close_failed, newest_evidence, release
from retrain_pipeline.release.stages import holdback_after
from retrain_pipeline.release.state import Deployment, current, utc_now
from retrain_pipeline_tests.gates.handmade import AS_OF
from retrain_pipeline_tests.release.fitted import Fitted
from retrain_pipeline_tests.release.handmade import STAGED

HELD, ASKED = "holdback_share: 0.05", "approval: required"
LOSS = ValidatedLoss(metric="mae", mean=0.5, se=0.1, value=0.5, n=300)


@pytest.fixture(params=[HELD])
def shop(request, tmp_path):
    return Fitted(tmp_path, request.param)


def released(shop, digest, version="v2", run_id="run-8"):
    return release(
        shop.stores, shop.declaration, version, evidence_digest=digest, run_id=run_id, actor="somebody"
    )  # fmt: skip


def refused(shop, digest, kind=ReleaseRefused, **named):
    """Return why a release is refused; the deployment stays as it is."""
    before = shop.ledger.deployment("toy")
    with pytest.raises(kind) as caught:
        released(shop, digest, **named)
    assert shop.ledger.deployment("toy") == before
    return str(caught.value)


def edited(shop, old, new):
    file = shop.declaration.folder / "defs.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    shop.read()


# --- into the champion's place


@pytest.mark.parametrize("loss", [LOSS, None])
def test_a_pass_becomes_champion_and_the_entry_says_by_what(shop, loss):
    shop.ledger.append(NewEntry("judge", ESCALATION_HALTED, "doll", "v2", {"words": "they differ"}))
    digest, earliest = shop.judge(loss=loss), utc_now()
    outcome = released(shop, digest)
    state = outcome.deployment
    assert outcome == ReleaseOutcome(True, state, 2, "v2 is champion after v1")
    assert earliest <= state.released_at <= utc_now()
    assert state == Deployment(
        model="toy", champion="v2", previous="v1", manifest=shop.evidence.manifest,
        previous_manifest=shop.champion.manifest, evidence=digest, feature_code=shop.manifest.feature_code_digest,
        spec=shop.manifest.spec_digest, effective_as_of=AS_OF, released_at=state.released_at,
        holdback=holdback_after(shop.spec, shop.champion, 1, datetime.fromisoformat(AS_OF)),
        collection=shop.spec.collection_digest,
    )  # fmt: skip
    assert state.holdback.version == "v1"
    assert current(shop.ledger, "toy") == (2, state)
    payload = {
        "version": "v2", "evidence": digest, "previous": "v1", "as_of": AS_OF, "mode": "superiority",
        "trigger": {"kind": "policy", "id": "p-1", "attempt": 1}, "manifest": shop.evidence.manifest,
        "validated_loss": loss and loss.model_dump(), "permit": {"kind": "none"},
    }  # fmt: skip
    key = f"released:toy:1:{digest}"
    assert shop.newest() == NewEntry("somebody", "released", "toy", "v2", payload, "run-8", 2, key)


class Unreleased(Fitted):
    """Nobody serves yet."""

    def deploy(self, state):
        return state


def test_the_first_champion_follows_nobody(tmp_path):
    shop = Unreleased(tmp_path, f"{STAGED}, {HELD}")
    digest = shop.judge(mode="first")
    outcome = released(shop, digest)
    assert (outcome.released, outcome.epoch, outcome.words, outcome.stage) == (
        True,
        1,
        "v2 is champion after nobody",
        None,
    )
    found = outcome.deployment
    assert (found.previous, found.previous_manifest, found.holdback, found.challenger) == (None, None, None, None)
    assert shop.newest().payload["previous"] is None


def test_releasing_the_champion_again_changes_nothing_and_says_so(shop):
    digest = shop.judge()
    first = released(shop, digest)
    head = shop.ledger.head()
    words = "v2 is champion by this evidence already"
    assert released(shop, digest, run_id="another") == ReleaseOutcome(False, first.deployment, 2, words)
    assert shop.ledger.head() == head
    anew = shop.judge(mode="non_inferiority")
    assert released(shop, anew).words == "v2 is champion after v2"


@pytest.mark.parametrize("shop", [STAGED], indirect=True)
def test_where_stages_are_declared_it_goes_on_trial_once(shop):
    digest = shop.judge(quality="INCONCLUSIVE")
    outcome = released(shop, digest)
    state = outcome.deployment
    assert outcome == ReleaseOutcome(True, state, 2, "v2 is on trial beside v1", "shadow")
    assert current(shop.ledger, "toy") == (2, state)
    assert (state.champion, state.challenger.version, state.challenger.evidence) == ("v1", "v2", digest)
    entry = shop.newest()
    assert (entry.actor, entry.action, entry.run_id) == ("somebody", "staged", "run-8")
    assert (entry.payload["evidence"], entry.payload["permit"]) == (digest, {"kind": "none"})
    head = shop.ledger.head()
    words = "v2 is on trial by this evidence already"
    assert released(shop, digest, run_id="another") == ReleaseOutcome(False, state, 2, words, "shadow")
    assert shop.ledger.head() == head
    anew = shop.judge()
    assert released(shop, anew).deployment.challenger.evidence == anew


# --- what stops it


def test_the_newest_evidence_is_that_of_the_newest_judgement_of_this_version(shop):
    with pytest.raises(ReleaseRefused) as caught:
        newest_evidence(shop.stores, "toy", "v2")
    words = "toy v2: it was never judged; judge it first (materialize toy/evaluation)"
    assert str(caught.value) == words
    for model, action, version, evidence in (
        ("toy", "judged", "v2", "old"), ("toy", "judged", "v2", "new"), ("doll", "judged", "v2", "of another model"),
        ("toy", "judged", "v3", "of another version"), ("toy", "released", "v2", "no judgement"),
    ):  # fmt: skip
        shop.ledger.append(NewEntry("judge", action, model, version, {"evidence": evidence}))
    assert newest_evidence(shop.stores, "toy", "v2") == "new"


@pytest.mark.parametrize("machines", ["release", "rollback"])
def test_only_who_may_release_does_and_who_tried_is_on_record(shop, tmp_path, monkeypatch, machines):
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "roles.yaml").write_text(f"roles: {{}}\npeople: {{}}\nmachines: [{machines}]\n")
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    digest = shop.judge()
    evidence = read_evidence(shop.stores.artifacts, digest)
    shop.ledger.append(NewEntry("test", "policy_accepted", "toy", evidence.policy))
    shop.deploy(shop.champion.model_copy(update={"evidence": digest}))
    if machines == "release":
        assert "judged at epoch 1" in refused(shop, digest)
        return
    assert refused(shop, digest, NotAllowed).startswith("release of toy refused to somebody: ")
    entry = shop.newest()
    assert (entry.action, entry.actor, entry.model, entry.subject) == ("refused", "somebody", "toy", "v2")


def test_evidence_of_another_version_is_refused(shop):
    digest = shop.judge()
    assert refused(shop, digest, version="v3") == "toy v3: the evidence is of toy v2; judge this version"


def test_a_run_that_was_closed_as_failed_may_not_release(shop):
    digest = shop.judge()
    shop.ledger.append(NewEntry("test", "retrain_failed", "doll", None, {"reason": "x"}, run_id="run-8"))
    shop.ledger.append(NewEntry("test", "retrain_started", "toy", None, {}, run_id="run-8"))
    close_failed(shop.stores, "toy", "run-9", "it died", actor="test")
    closed = shop.ledger.append(NewEntry("test", "retrain_failed", "toy", None, {"reason": "it died"}, run_id="run-8"))
    shop.ledger.append(NewEntry("test", "retrain_failed", "toy", None, {"reason": "again"}, run_id="run-8"))
    assert refused(shop, digest) == (
        f"toy v2: run run-8 was closed as failed (entry {closed.seq}: it died) and may not release; "
        "materialize toy/release in a new run"
    )
    assert released(shop, digest, run_id="run-10").released


def test_without_a_run_nothing_was_closed(shop):
    digest = shop.judge()
    close_failed(shop.stores, "toy", "run-9", "it died", actor="test")
    assert released(shop, digest, run_id=None).released
    assert shop.newest().run_id is None


def test_a_halt_stops_it_before_and_in_its_transaction(shop):
    digest = shop.judge()
    shop.ledger.append(NewEntry("judge", ESCALATION_HALTED, "doll", "v2", {"words": "they differ"}))

    def halted():
        shop.ledger.append(NewEntry("judge", ESCALATION_HALTED, "toy", "v2", {"words": "they differ"}))

    shop.ledger.before_change = halted
    for _ in range(2):
        assert refused(shop, digest).startswith("toy: validators do not agree on v2 (entry ")
    assert shop.newest().action == ESCALATION_HALTED


def test_a_declaration_that_was_edited_since_is_refused(shop):
    digest = shop.judge()
    was = read_evidence(shop.stores.artifacts, digest).policy[:12]
    edited(shop, "margin: 0.08", "margin: 0.5")
    now = read_evidence(shop.stores.artifacts, shop.judge()).policy[:12]
    assert refused(shop, digest) == (
        f"toy v2: judged under policy {was}, the declaration now says {now} (gates, problem.success or rollout were "
        "edited); judge it again"
    )


def test_decisions_that_were_edited_since_are_refused(shop):
    digest = shop.judge()
    (shop.declaration.folder / "decisions" / "0001-tree.md").write_text("# Another tree\n\nBecause.\n")
    assert refused(shop, digest) == "toy v2: decision files were edited since it was judged; judge it again"


def committed(folder):
    """Commit all that is in a folder of its own; return the commit."""
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "--allow-empty", "-m", "more"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    told = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return told.stdout.strip()


def test_the_code_is_compared_by_the_commit_of_the_folder(shop):
    was = committed(shop.declaration.folder)
    digest = shop.judge()
    now = committed(shop.declaration.folder)
    assert refused(shop, digest) == f"toy v2: judged by code {was}, this is {now}; judge it again"
    assert released(shop, shop.judge()).released


def test_other_features_than_those_that_it_learned_from_are_refused(shop):
    digest = shop.judge()
    file = shop.declaration.folder / "features.py"
    file.write_text(file.read_text() + "\n# another\n")
    assert "the folder now holds" in refused(shop, digest)


def test_a_way_back_that_does_not_work_stops_it(shop):
    digest = shop.judge()
    shop.ledger.append(NewEntry("test", "drill_failed", "toy", "v0", {"verdict": "FAIL", "words": "it took 9 s"}))
    assert refused(shop, digest) == (
        "toy v2: the newest drill did not succeed: it took 9 s; mend it, then: retrain drill toy"
    )


def test_documents_that_nobody_verified_stop_it_where_that_is_asked_for(shop):
    edited(shop, "margin: 0.08", "documentation: true, margin: 0.08")
    digest = shop.judge()
    assert refused(shop, digest).startswith("toy v2: what is written about v1 was never verified: ")


@pytest.mark.parametrize("shop", [ASKED], indirect=True)
def test_a_version_that_nobody_approved_waits(shop):
    digest = shop.judge()
    words = refused(shop, digest, ApprovalRefused)
    assert words.startswith("toy v2: approval is required (rollout.approval); no approval: ")
    payload = {"evidence": digest, "manifest": shop.evidence.manifest, "words": words}
    key = f"awaiting_approval:toy:{digest}:run-8"
    assert shop.newest() == NewEntry("somebody", "awaiting_approval", "toy", "v2", payload, "run-8", None, key)


# --- who was faster


def overtaken(shop, digest, champion="v1", judged=1, run_id="run-8"):
    """Check that a release is refused because v9 is champion since, and that an entry says so."""
    with pytest.raises(ReleaseRefused) as caught:
        released(shop, digest, run_id=run_id)
    found = judged + 1
    words = f"v2 was judged at epoch {judged} against {champion}, but the deployment is at epoch {found} with v9"
    assert str(caught.value) == f"toy: {words}; judge it against the champion of now"
    payload = {"evidence": digest, "judged_epoch": judged, "found_epoch": found, "champion": "v9", "words": words}
    key = f"superseded:toy:{digest}:{found}:{run_id or ''}"
    assert shop.newest() == NewEntry("somebody", "superseded", "toy", "v2", payload, run_id, None, key)
    epoch, now = current(shop.ledger, "toy")
    assert (epoch, now.champion) == (found, "v9")


@pytest.mark.parametrize("run_id", ["run-8", None])
def test_a_deployment_that_moved_on_supersedes_it(shop, run_id):
    digest = shop.judge()
    shop.deploy(shop.champion.model_copy(update={"champion": "v9"}))
    overtaken(shop, digest, run_id=run_id)


@pytest.mark.parametrize("shop", [HELD, STAGED], indirect=True)
def test_a_change_at_the_last_moment_supersedes_it(shop):
    digest = shop.judge()
    other = shop.champion.model_copy(update={"champion": "v9"})
    shop.ledger.before_change = lambda: shop.deploy(other)
    overtaken(shop, digest)


def test_of_two_first_versions_the_second_is_superseded(tmp_path):
    shop = Unreleased(tmp_path)
    digest = shop.judge(mode="first")
    Fitted.deploy(shop, shop.champion.model_copy(update={"champion": "v9"}))
    overtaken(shop, digest, champion="nobody", judged=0)
