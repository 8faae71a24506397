"""A model reaches users in steps: shadow, canary, everybody; what is worse goes back, at any time."""

from datetime import timedelta
from pathlib import Path

import pytest

from retrain_pipeline.ledger.errors import StaleEpoch
from retrain_pipeline.release.look import read_look
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.release.rollout import GUARD, LOOKED, roll
from retrain_pipeline.release.serving import score_period
from retrain_pipeline.release.stages import apply
from retrain_pipeline.release.state import Deployment, current
from retrain_pipeline.triggers.policy import decide
from retrain_pipeline.triggers.state import read_state
from retrain_pipeline_tests.gates.world import START, World, versions
from retrain_pipeline_tests.release.staging import BAD, WEEKS, declare, live, moves, served, week

_PROMOTING: list = []


def promoting(world_with):
    """Return the look by which a good version was promoted; made once."""
    if not _PROMOTING:
        world = world_with()
        moves(world)
        entry = world.stores.ledger.latest("toy", LOOKED)
        _PROMOTING.append(read_look(world.stores.artifacts, entry.payload["look"]))
    return _PROMOTING[0]


@pytest.mark.requirement("D7", "D28", "C30", "C25")
def test_a_good_version_goes_from_shadow_over_canary_to_everybody(world_with):
    world = world_with()
    first, second = versions(world)
    _, deployment = current(world.stores.ledger, "toy")
    on = deployment.challenger
    assert (deployment.champion, on.version, on.stage) == (first, second, "shadow")
    assert moves(world) == ["hold", "advance", "promote"]
    assert set(served(world, 7)["arm"]) == {"champion"}, "in shadow it serves nobody"
    canary = served(world, 9)
    assert set(canary["arm"]) == {"canary", "control", "champion"}
    assert set(canary.loc[canary["arm"] == "canary", "model_version"]) == {second}
    assert set(canary.loc[canary["arm"] != "canary", "model_version"]) == {first}
    assert canary.loc[canary["arm"] == "canary", "propensity"].unique() == [0.25]
    epoch, after = current(world.stores.ledger, "toy")
    assert (after.champion, after.previous, after.challenger, epoch) == (second, first, None, 4)
    assert after.serves_from == (START + timedelta(weeks=10)).isoformat()
    live(world, 10)
    assert set(served(world, 10)["model_version"]) == {second}


def test_both_answer_the_rows_that_they_are_compared_on(world_with):
    world = world_with()
    moves(world)
    beside = world.stores.lake.read("toy", "shadow", periods=[week(7)])
    assert len(beside) == len(served(world, 7))
    assert set(beside["model_version"]) == {versions(world)[1]}
    canary, told = served(world, 9), world.stores.lake.read("toy", "shadow", periods=[week(9)])
    answered = canary[canary["arm"].isin(["canary", "control"])]
    assert sorted(told["id"]) == sorted(answered["id"]), "of each the other model's answer, and of no other row"


@pytest.mark.requirement("D26", "C16")
def test_a_worse_version_goes_back_before_it_served_anybody(world_with):
    world = world_with(leaf=BAD)
    found = moves(world)
    assert found[-1] == "withdraw"
    first, _ = versions(world)
    _, deployment = current(world.stores.ledger, "toy")
    assert (deployment.champion, deployment.challenger) == (first, None)
    assert all(set(served(world, 7 + at)["model_version"]) == {first} for at in range(len(found)))
    entry = world.stores.ledger.latest("toy", "withdrawn")
    assert "online_loss" in entry.payload["words"]
    assert entry.payload["retrain_run"] == "run-7"


@pytest.mark.requirement("D23", "D28")
def test_a_worse_champion_is_rolled_back_after_the_release(world_with):
    """Without stages it serves at once; the one before it answers beside it, and shows it to be worse."""
    world = world_with(leaf=BAD, rollout="{watch_periods: 4, margin: 0.2}")
    first, second = versions(world)
    before = Deployment.from_state(world.stores.ledger.latest("toy", "released", first).payload["deployment"]["state"])
    assert current(world.stores.ledger, "toy")[1].champion == second
    found = moves(world)
    assert found[-1] == "rolled_back"
    _, after = current(world.stores.ledger, "toy")
    assert after.champion == first
    assert after.serving_digest == before.serving_digest
    assert world.stores.ledger.latest("toy", "rolled_back").actor == GUARD
    assert live(world, 7 + len(found)).move == "none", "what was rolled back to is not rolled back again"


def test_a_good_champion_stays_and_is_watched_no_longer_than_declared(world_with):
    world = world_with(rollout="{watch_periods: 2, margin: 0.2}")
    assert moves(world) == ["watched", "watched", "watched", "none", "none", "none"]
    assert week(9) not in world.stores.lake.periods("toy", "shadow")


@pytest.mark.fault("G19")
def test_what_cannot_be_told_holds_and_a_hold_has_an_end(world_with):
    world = world_with(rollout="{shadow_periods: 1, canary_shares: [0.1], margin: 0.0, max_periods: 4}")
    assert moves(world) == ["hold", "hold", "hold", "withdraw"]
    assert "not proved after 4 periods" in world.stores.ledger.latest("toy", "withdrawn").payload["words"]


@pytest.mark.requirement("D7", "D24", "C30")
def test_before_labels_come_an_estimate_leads_to_a_share_and_only_labels_to_everybody(world_with):
    world = world_with()
    for number in range(7, WEEKS):
        labels = world.stores.lake.read("toy", "labels", periods=[week(number)])
        labels["_known_time"] = labels["_event_time"] + timedelta(weeks=4)
        world.stores.lake.replace_partition("toy", "labels", week(number), labels)
    found = moves(world)
    assert found == ["hold", "advance", "hold", "hold", "hold", "promote"]
    looks = [
        read_look(world.stores.artifacts, entry.payload["look"])
        for entry in world.stores.ledger.entries(model="toy", action=LOOKED)
    ]
    for look in looks[1:3]:
        assert (look.result("online_loss").verdict, look.result("online_loss").n or 0) == ("INCONCLUSIVE", 0)
        assert look.result("label_free").verdict == "PASS"
    assert looks[-1].result("online_loss").verdict == "PASS"
    assert looks[-1].result("label_free") is None, "labels are there: nothing is guessed"
    canary = served(world, 9)
    assert {*canary["arm"]} == {"canary", "control", "champion"}


@pytest.mark.fault("G18")
def test_nothing_is_read_off_entities_that_were_answered_outside_their_arm(world_with):
    world = world_with()
    assert [live(world, 7).move, live(world, 8).move] == ["hold", "advance"]
    score_period(world.stores, world.declaration, week(9))
    rows = served(world, 9).drop(columns="_period")
    rows.loc[rows["arm"] == "champion", "arm"] = "canary"
    world.stores.lake.replace_partition("toy", "predictions", week(9), rows)
    report = roll(world.stores, world.declaration, week(9))
    assert (report.move, "nothing is read off" in report.words) == ("hold", True)
    assert {one.gate for one in report.results if one.verdict == "FAIL"} == {"sample_ratio", "exposure"}


@pytest.mark.fault("P25")
def test_a_declaration_that_changes_under_a_trial_ends_it(world_with):
    world = world_with()
    live(world, 7)
    declare(world.declaration.folder, rollout="{shadow_periods: 1, canary_shares: [0.5], margin: 9}")
    report = live(world.again(), 8)
    assert (report.move, "judged under policy" in report.words) == ("withdraw", True)


@pytest.mark.fault("P2", "P20")
def test_users_are_served_when_the_version_on_trial_cannot_answer(world_with):
    from retrain_pipeline.learning.versions import read_manifest

    world = world_with()
    assert [live(world, 7).move, live(world, 8).move] == ["hold", "advance"]
    first, second = versions(world)
    Path(world.stores.artifacts.path(read_manifest(world.stores, "toy", second).model_artifact)).unlink()
    report = score_period(world.stores, world.declaration, week(9))
    assert (report.rows, report.arms["fallback"] > 0, list(report.failures)) == (168, True, [second])
    assert set(served(world, 9)["model_version"]) == {first}
    assert roll(world.stores, world.declaration, week(9)).move == "withdraw"


@pytest.mark.fault("P11", "P20")
def test_a_version_whose_evidence_is_gone_is_not_promoted_but_goes_back(world_with):
    world = world_with()
    live(world, 7)
    _, deployment = current(world.stores.ledger, "toy")
    Path(world.stores.artifacts.path(deployment.challenger.evidence)).unlink()
    report = live(world, 8)
    assert (report.move, "proof" in report.words) == ("withdraw", True)


@pytest.mark.parametrize("gate", ["serves", "proof", "terms", "drill", "online_loss", "sample_ratio", "exposure"])
def test_a_look_without_one_of_its_results_promotes_nobody(world_with, gate):
    """Fail closed: take any result away from the look that promotes, and it holds."""
    from retrain_pipeline.release.look import next_step

    look = promoting(world_with)
    assert next_step(look).move == "promote"
    without = look.model_copy(update={"results": tuple(one for one in look.results if one.gate != gate)})
    assert next_step(without).move == "hold"
    doubted = [one.model_copy(update={"verdict": "INCONCLUSIVE"}) if one.gate == gate else one for one in look.results]
    assert next_step(look.model_copy(update={"results": tuple(doubted)})).move == "hold"


@pytest.mark.fault("P16", "P26")
def test_a_period_that_is_looked_at_or_scored_again_changes_nothing(world_with):
    world = world_with()
    live(world, 7)
    seq = world.stores.ledger.head().seq
    live(world, 7)
    assert world.stores.ledger.head().seq == seq
    live(world, 8)
    live(world, 9)
    rows = served(world, 9)
    rollback(world.stores, "toy", because="somebody does not like it at all", actor="test")
    assert score_period(world.stores, world.declaration, week(9)).changed is False
    assert served(world, 9).equals(rows), "who was in the canary then stays on record"


@pytest.mark.fault("P22", "P12")
def test_a_look_at_a_deployment_that_moved_on_changes_nothing(world_with):
    world = world_with(leaf=BAD)
    epoch, before = current(world.stores.ledger, "toy")
    assert moves(world)[-1] == "withdraw"
    done = world.stores.ledger.latest("toy", LOOKED).payload["look"]
    seq = world.stores.ledger.head().seq
    apply(world.stores, world.declaration, done, before, None, "the same again")
    other = read_look(world.stores.artifacts, done).model_copy(update={"period": "of an orphan"})
    with pytest.raises(StaleEpoch):
        apply(
            world.stores, world.declaration, world.stores.artifacts.put_json(other.document()), before, None, "orphan"
        )
    assert world.stores.ledger.head().seq == seq
    assert current(world.stores.ledger, "toy")[0] == epoch + 1


def test_a_rollback_ends_a_trial_with_the_champion_that_it_was_judged_against(world_with):
    world = world_with(rollout="{watch_periods: 0}")
    third = world.build(8, parent=versions(world)[1])
    declare(world.declaration.folder)
    world = world.again()
    world.judge(third, run_id="run-8")
    world.release(third, newest_evidence(world.stores, "toy", third), run_id="run-8")
    assert current(world.stores.ledger, "toy")[1].challenger.version == third
    after = rollback(world.stores, "toy", because="the champion is far off everywhere", actor="test")
    assert (after.champion, after.challenger) == (versions(world)[0], None)
    assert world.stores.ledger.latest("toy", "rolled_back").payload["withdraws"] == third


def test_a_newer_version_takes_the_place_of_the_one_on_trial(world_with):
    world = world_with()
    live(world, 7)
    second = versions(world)[1]
    third = world.build(8, parent=versions(world)[0])
    world.judge(third, run_id="run-8")
    world.release(third, newest_evidence(world.stores, "toy", third), run_id="run-8")
    _, deployment = current(world.stores.ledger, "toy")
    assert deployment.challenger.version == third
    assert world.stores.ledger.latest("toy", "staged").payload["replaces"] == second


def test_no_retrain_is_asked_for_while_a_version_is_on_trial(world_with):
    from retrain_pipeline.monitoring.monitor import monitor_period

    world = world_with()
    live(world, 7)
    monitor_period(world.stores, world.declaration.spec, week(7))
    decision = decide(read_state(world.stores.ledger, world.declaration.spec, False))
    assert decision.action == "wait"
    assert f"{versions(world)[1]} is on trial" in decision.reasons[-1]


def signalled(world: World, number: int, latency: float) -> None:
    import pandas as pd

    at = pd.Timestamp(START + timedelta(weeks=number))
    rows = pd.DataFrame({"signal": ["latency_ms_p95"], "value": [latency], "how": ["observed"]})
    world.stores.lake.replace_partition("toy", "signals", week(number), rows.assign(_event_time=at, _known_time=at))


@pytest.mark.requirement("C16", "C31")
def test_a_guardrail_that_breaks_after_a_release_takes_it_back(world_with):
    guarded = "{guardrails: {latency_ms_p95: {at_most: 20}}, watch_periods: 0}"
    world = world_with(rollout=guarded)
    first, second = versions(world)
    for number, latency in ((6, 4.0), (7, 5.0), (8, 50.0)):
        signalled(world, number, latency)
    assert moves(world, 7, 9) == ["watched", "rolled_back"]
    entry = world.stores.ledger.latest("toy", "rolled_back")
    assert (entry.subject, entry.payload["from"]) == (first, second)
    assert "latency_ms_p95 is 50" in entry.payload["because"]


def test_a_guardrail_that_was_broken_before_is_not_the_releases_doing(world_with):
    world = world_with(rollout="{guardrails: {latency_ms_p95: {at_most: 20}}, watch_periods: 0}")
    for number, latency in ((6, 40.0), (7, 50.0)):
        signalled(world, number, latency)
    assert moves(world, 7, 8) == ["watched"]


def test_a_share_of_the_entities_stays_with_the_earlier_model(world_with):
    world = world_with(rollout="{holdback_share: 0.2, watch_periods: 0}")
    first, second = versions(world)
    live(world, 7)
    rows = served(world, 7)
    assert set(rows.loc[rows["arm"] == "holdback", "model_version"]) == {first}
    assert set(rows.loc[rows["arm"] != "holdback", "model_version"]) == {second}
    assert (rows["arm"] == "holdback").mean() == pytest.approx(0.2, abs=0.1)
    third = world.build(8, parent=second)
    world.judge(third, run_id="run-8")
    world.release(third, newest_evidence(world.stores, "toy", third), run_id="run-8")
    _, deployment = current(world.stores.ledger, "toy")
    assert (deployment.champion, deployment.holdback.version) == (third, first), "frozen, whatever is released"


@pytest.mark.requirement("D15")
def test_a_look_is_read_again_by_digest_and_says_what_it_said(world_with):
    world = world_with()
    moves(world)
    entries = world.stores.ledger.entries(model="toy", action=LOOKED)
    assert [entry.payload["move"] for entry in entries] == ["hold", "advance", "promote"]
    look = read_look(world.stores.artifacts, entries[-1].payload["look"])
    assert {one.gate for one in look.results} >= {"serves", "proof", "terms", "online_loss", "sample_ratio", "exposure"}
    assert world.stores.ledger.verify().verdict == "PASS"
