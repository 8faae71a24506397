"""Changes of who is on trial, to the letter: the deployment that each makes and the entry that says why."""

from datetime import datetime, timedelta

import pytest

from retrain_pipeline.canonical import sha256
from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.governance.halting import ESCALATION_HALTED
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.ledger.errors import StaleEpoch
from retrain_pipeline.release import moment
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.look import Step
from retrain_pipeline.release.permits import Permit
from retrain_pipeline.release.stages import apply, holdback_after, may_be_tried, stage
from retrain_pipeline.release.state import Deployment, Holdback, utc_now
from retrain_pipeline.spec.rollout import Rollout
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.handmade import AS_OF, evidence, results
from retrain_pipeline_tests.gates.world import write_folder
from retrain_pipeline_tests.release.handmade import ROLLOUT, Trial


@pytest.fixture
def trial(tmp_path):
    made = Trial(tmp_path)
    yield made
    made.stores.close()


# --- who may be tried


def told(verdict="INCONCLUSIVE", **verdicts):
    return evidence(results=results(**verdicts), verdict=Verdict(verdict))


@pytest.mark.parametrize(
    ("found", "tried"),
    [
        (told(quality="INCONCLUSIVE"), True),
        (told(quality="INCONCLUSIVE", slices="INCONCLUSIVE"), True),
        (told("PASS"), False),
        (told("FAIL", quality="FAIL"), False),
        (told("FAIL", quality="INCONCLUSIVE", slices="FAIL"), False),
        (told(labels="INCONCLUSIVE"), False),
        (told(quality="INCONCLUSIVE", labels="INCONCLUSIVE"), False),
        (evidence(champion=None, champion_manifest=None, mode="first", verdict=Verdict.INCONCLUSIVE,
                  results=results(quality="INCONCLUSIVE")), False),
    ],
)  # fmt: skip
def test_only_what_a_rollout_answers_may_be_open(found, tried, tmp_path):
    staged = write_folder(tmp_path / "a", more=f"  rollout: {{{ROLLOUT}}}").spec
    assert may_be_tried(staged, found) is tried
    assert may_be_tried(write_folder(tmp_path / "b").spec, found) is False, "no stages are declared"


# --- the holdback


def test_the_champion_before_is_held_back_until_it_is_too_old(tmp_path):
    spec = write_folder(tmp_path, more=f"  rollout: {{{ROLLOUT}}}").spec
    before, now = Trial.champion, datetime.fromisoformat(AS_OF)
    fresh = Holdback(
        version="v1", manifest="b" * 64, effective_as_of="2024-01-01T00:00:00+00:00", share=0.05,
        salt=sha256(b"holdback:toy:v1:7")[:32],
    )  # fmt: skip
    assert holdback_after(spec, before, 7, now) == fresh
    assert holdback_after(spec, None, 7, now) is None
    held = fresh.model_copy(update={"version": "v0", "salt": "old", "effective_as_of": "2024-01-29T00:00:00+00:00"})
    with_it = before.model_copy(update={"holdback": held})
    assert holdback_after(spec, with_it, 7, now) == held, "three periods old"
    assert holdback_after(spec, with_it, 7, now + timedelta(weeks=1)) == fresh, "four, which are declared"
    other = before.model_copy(update={"holdback": held.model_copy(update={"share": 0.06})})
    assert holdback_after(spec, other, 7, now) == fresh, "of another share"
    none = spec.model_copy(update={"rollout": Rollout(canary_shares=(0.1,))})
    assert holdback_after(none, with_it, 7, now) is None


# --- onto trial


def put_on_trial(trial, before, permit=None, **changed):
    made = evidence(**{**trial.evidence.__dict__, **changed}) if changed else trial.evidence
    permit = permit or Permit({"kind": "none"})
    return stage(trial.stores, trial.spec, made, trial.digest, trial.manifest, before, permit, "run-8", "somebody")


def test_a_judged_version_goes_on_trial_in_the_first_stage(trial):
    asked = []
    state = put_on_trial(trial, trial.champion, Permit({"kind": "approval"}, lambda: asked.append(1)))
    assert state == trial.champion.model_copy(update={"challenger": trial.challenger(("shadow", 0.0))})
    entry, payload = trial.newest()
    assert payload == {
        "version": "v2", "evidence": trial.digest, "verdict": "PASS", "stage": "shadow", "share": 0, "as_of": AS_OF,
        "mode": "superiority", "permit": {"kind": "approval"}, "replaces": None,
        "words": "v2 goes on trial beside v1: shadow",
    }  # fmt: skip
    assert (entry.actor, entry.action, entry.model, entry.subject) == ("somebody", "staged", "toy", "v2")
    assert (entry.run_id, entry.epoch, entry.key) == ("run-8", 2, f"staged:toy:1:{trial.digest}")
    assert trial.ledger.deployment("toy").state == state.to_state()
    assert asked == [1], "whoever permits is asked in the transaction"


def test_one_that_is_on_trial_already_is_replaced_and_an_old_record_gets_the_new_format(trial):
    other = trial.challenger(version="v9")
    before = trial.champion.model_copy(update={"challenger": other, "schema_": "deployment/1"})
    state = put_on_trial(trial, before)
    assert (state.schema_, state.challenger.version, trial.newest()[1]["replaces"]) == ("deployment/2", "v2", "v9")


def test_a_trial_without_a_shadow_begins_with_its_first_share(tmp_path):
    trial = Trial(tmp_path, "canary_shares: [0.25]")
    state = put_on_trial(trial, trial.champion)
    assert (state.challenger.stage, state.challenger.share) == ("canary", 0.25)
    assert trial.newest()[1]["words"] == "v2 goes on trial beside v1: canary at 25%"
    trial.stores.close()


def test_nobody_goes_on_trial_when_the_deployment_has_moved_on_or_nobody_permits_it(trial):
    def refuse():
        raise ReleaseRefused("not any more")

    with pytest.raises(ReleaseRefused, match="not any more"):
        put_on_trial(trial, trial.champion, Permit({"kind": "approval"}, refuse))
    trial.deploy(trial.champion)
    with pytest.raises(StaleEpoch):
        put_on_trial(trial, trial.champion)
    assert trial.ledger.latest("toy", "staged") is None


# --- through the trial

SHADOW, FIRST, LAST = ("shadow", 0.0), ("canary", 0.1), ("canary", 0.5)


def test_a_look_that_holds_changes_nothing(trial):
    before, at = trial.on(SHADOW), trial.ledger.head()
    _, (step, state) = trial.apply(before, trial.look(SHADOW, in_stage=0))
    assert (step.move, state, trial.ledger.head()) == ("hold", before, at)


@pytest.mark.parametrize(
    ("at", "on_to", "words"),
    [
        (SHADOW, FIRST, "v2 goes on to canary at 10%: online_loss as found"),
        (FIRST, LAST, "v2 goes on to canary at 50%: online_loss as found"),
    ],
)
def test_a_look_that_is_good_moves_it_on_from_the_end_of_the_period(trial, at, on_to, words):
    before, seen = trial.on(at), trial.look(at)
    digest, (step, state) = trial.apply(before, seen)
    moved = {"stage": on_to[0], "share": on_to[1], "stage_from": seen.as_of}
    assert step == Step("advance", "online_loss as found", *on_to)
    assert state == before.model_copy(update={"challenger": before.challenger.model_copy(update=moved)})
    payload = {
        "version": "v2", "stage": on_to[0], "share": on_to[1], "from": "shadow" if at == SHADOW else "canary at 10%",
        "evidence": trial.digest, "look": digest, "words": words,
    }  # fmt: skip
    trial.entered("staged", digest, payload, state)


def test_a_look_that_is_bad_takes_it_back_and_tells_the_retrain_that_put_it_there(trial):
    before = trial.on(FIRST)
    digest, (step, state) = trial.apply(before, trial.look(FIRST, online_loss="FAIL"))
    assert step == Step("withdraw", "online_loss: online_loss as found", *FIRST)
    assert state == trial.champion
    payload = {
        "version": "v2", "stage": "canary", "share": 0.1, "evidence": trial.digest, "look": digest,
        "retrain_run": "run-7", "words": "v2 goes back from canary at 10%: online_loss: online_loss as found",
    }  # fmt: skip
    trial.entered("withdrawn", digest, payload, state)


def test_the_last_look_makes_it_champion_and_keeps_the_one_before_for_the_way_back(trial):
    before, seen = trial.on(LAST), trial.look(LAST)
    earliest = utc_now()
    digest, (step, state) = trial.apply(before, seen)
    assert step == Step("promote", "online_loss as found", *LAST)
    assert earliest <= state.released_at <= utc_now()
    assert state == Deployment(
        model="toy", champion="v2", previous="v1", manifest=trial.evidence.manifest, previous_manifest="b" * 64,
        evidence=trial.digest, feature_code=trial.manifest.feature_code_digest, spec=trial.manifest.spec_digest,
        effective_as_of=AS_OF, released_at=state.released_at, serves_from=seen.as_of,
        holdback=holdback_after(trial.spec, before, 2, datetime.fromisoformat(AS_OF)),
        collection=trial.spec.collection_digest,
    )  # fmt: skip
    assert state.holdback.version == "v1"
    payload = {
        "version": "v2", "evidence": trial.digest, "look": digest, "previous": "v1", "as_of": AS_OF,
        "serves_from": seen.as_of, "trigger": {"kind": "policy", "id": "p-1", "attempt": 1}, "mode": "superiority",
        "validated_loss": {"metric": "mae", "mean": 0.5, "se": 0.1, "value": 0.5, "n": 300},
        "manifest": trial.evidence.manifest, "permit": {"kind": "none"}, "retrain_run": "run-7",
        "words": "v2 serves everybody after canary at 50%: online_loss as found",
    }  # fmt: skip
    trial.entered("released", digest, payload, state)


def test_where_nothing_was_validated_and_no_retrain_is_known_the_entry_says_nothing_of_them(trial):
    trial.evidence = trial.evidence.model_copy(update={"validated_loss": None})
    trial.digest = trial.stores.artifacts.put_json(trial.evidence.document())
    before = trial.champion.model_copy(update={"challenger": trial.challenger(LAST)})
    trial.deploy(before)
    trial.apply(before, trial.look(LAST))
    _, payload = trial.newest()
    assert (payload["validated_loss"], payload["retrain_run"]) == (None, None)
    assert trial.ledger.deployment("toy").epoch == 3


def test_one_that_goes_back_without_a_retrain_on_record_names_none(trial):
    before = trial.champion.model_copy(update={"challenger": trial.challenger(FIRST)})
    trial.deploy(before)
    trial.apply(before, trial.look(FIRST, online_loss="FAIL"))
    assert trial.newest()[1]["retrain_run"] is None


@pytest.mark.parametrize(("at", "verdict"), [(FIRST, "FAIL"), (LAST, "PASS")])
def test_the_retrain_is_that_which_put_this_version_of_this_model_on_trial(trial, at, verdict):
    before = trial.on(at)
    for model, version in (("toy", "v9"), ("doll", "v2")):
        trial.ledger.append(NewEntry("test", "staged", model, version, {}, run_id="run-9"))
    trial.apply(before, trial.look(at, online_loss=verdict))
    assert trial.newest()[1]["retrain_run"] == "run-7"


def test_a_holdback_that_is_young_enough_stays_with_the_next_champion(trial):
    held = Holdback(version="v0", manifest="9" * 64, effective_as_of="2024-02-12T00:00:00+00:00", share=0.05, salt="h")
    before = trial.champion.model_copy(update={"challenger": trial.challenger(LAST), "holdback": held})
    trial.deploy(before)
    _, (_, state) = trial.apply(before, trial.look(LAST))
    assert state.holdback == held


@pytest.mark.parametrize("machines", ["release", "rollback"])
def test_only_who_may_release_makes_a_champion_and_who_tried_is_on_record(trial, tmp_path, monkeypatch, machines):
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "roles.yaml").write_text(f"roles: {{}}\npeople: {{}}\nmachines: [{machines}]\n")
    monkeypatch.setenv("RETRAIN_POLICY", str(tmp_path / "policy"))
    before = trial.on(LAST)
    if machines == "release":
        assert trial.apply(before, trial.look(LAST))[1][1].champion == "v2"
        return
    with pytest.raises(NotAllowed, match="release of toy refused to somebody: "):
        trial.apply(before, trial.look(LAST))
    entry, payload = trial.newest()
    assert (entry.action, entry.actor, entry.subject) == ("refused", "somebody", "v2")
    assert payload["attempted"] == "release"
    assert trial.ledger.deployment("toy").state == before.to_state()


def test_what_permits_a_promotion_is_asked_again_in_its_transaction(trial, monkeypatch):
    def lapsed():
        raise ReleaseRefused("it lapsed a moment ago")

    monkeypatch.setattr(moment, "promotion_permit", lambda *_: Permit({"kind": "approval"}, lapsed))
    before = trial.on(LAST)
    _, (step, state) = trial.apply(before, trial.look(LAST))
    assert (step.words, state) == ("v2 is not made champion: it lapsed a moment ago", before)
    assert trial.ledger.deployment("toy").epoch == 2


def test_a_promotion_that_is_not_permitted_any_more_is_held_and_an_entry_says_why(trial):
    before = trial.on(LAST)
    trial.ledger.append(NewEntry("judge", ESCALATION_HALTED, "toy", "v2", {"words": "x" * 2000}))
    digest, (step, state) = trial.apply(before, trial.look(LAST))
    assert state == before
    assert step == Step("hold", step.words, *LAST)
    assert step.words.startswith("v2 is not made champion: toy: validators do not agree on v2")
    assert len(step.words) == 2000
    payload = {"version": "v2", "evidence": trial.digest, "look": digest, "words": step.words}
    trial.entered("promotion_held", digest, payload)


def test_a_look_at_another_trial_is_refused(trial):
    before, seen = trial.on(FIRST), trial.look(FIRST)
    for other in (
        trial.champion,
        before.model_copy(update={"challenger": trial.challenger(FIRST, version="v9")}),
        before.model_copy(update={"challenger": trial.challenger(FIRST, evidence="f" * 64)}),
    ):
        digest = trial.stores.artifacts.put_json(seen.document())
        with pytest.raises(ReleaseRefused, match=f"^toy: look {digest[:12]} is of v2, which is not on trial$"):
            apply(trial.stores, trial.declaration, digest, other, None, "somebody")


def test_a_look_at_a_deployment_that_moved_on_changes_nothing(trial):
    before = trial.on(FIRST)
    trial.deploy(before)
    for found in ({}, {"online_loss": "FAIL"}):
        with pytest.raises(StaleEpoch):
            trial.apply(before, trial.look(FIRST, **found))


@pytest.mark.parametrize(("at", "verdict"), [(FIRST, "PASS"), (FIRST, "FAIL"), (LAST, "PASS")])
def test_long_words_are_cut_at_four_thousand(trial, at, verdict):
    before, seen = trial.on(at), trial.look(at, online_loss=verdict)
    long = tuple(
        one.model_copy(update={"words": "x" * 5000}) if one.gate == "online_loss" else one for one in seen.results
    )
    trial.apply(before, seen.model_copy(update={"results": long}))
    assert len(trial.newest()[1]["words"]) == 4000
