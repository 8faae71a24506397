"""What was found of a new champion is on record before anything is done on it."""

import pytest

from retrain_pipeline.records.rollouts import stored_trial_plot, trial_points
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.rollout import GUARD
from retrain_pipeline.release.watch import WATCHED, read_watch
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.gates.world import versions
from retrain_pipeline_tests.release.staging import BAD, live, moves, week
from retrain_pipeline_tests.release.test_rollout import signalled


@pytest.mark.requirement("D15", "D28")
def test_every_look_at_a_new_champion_is_entered_with_what_was_found(world_with):
    world = world_with(leaf=BAD, rollout="{watch_periods: 4, margin: 0.2}")
    first, second = versions(world)
    found = moves(world)
    entries = world.stores.ledger.entries(model="toy", action=WATCHED)
    assert [entry.payload["period"] for entry in entries] == [week(7 + at) for at in range(len(found))]
    assert {(entry.subject, entry.payload["reference"]) for entry in entries} == {(second, first)}
    last = read_watch(world.stores.artifacts, entries[-1].payload["watch"])
    assert [one.gate for one in last.broken] == ["online_loss"]
    back = world.stores.ledger.latest("toy", "rolled_back")
    assert back.actor == GUARD
    assert entries[-1].seq < back.seq
    assert back.payload["because"] == last.words
    assert world.stores.ledger.verify().verdict is Verdict.PASS


def test_a_period_looked_at_again_enters_nothing_and_says_the_same(world_with):
    world = world_with(rollout="{watch_periods: 2, margin: 0.2}")
    one = live(world, 7)
    head = world.stores.ledger.head()
    assert live(world, 7) == one
    assert world.stores.ledger.head() == head
    assert one.look == world.stores.ledger.latest("toy", WATCHED).payload["watch"]


@pytest.mark.requirement("C31")
def test_a_breach_that_becomes_known_late_takes_the_champion_back_when_its_period_is_run_again(world_with):
    world = world_with(rollout="{guardrails: {latency_ms_p95: {at_most: 20}}, watch_periods: 0}")
    first, second = versions(world)
    for number, latency in ((6, 4.0), (7, 5.0)):
        signalled(world, number, latency)
    assert live(world, 7).move == "watched"
    signalled(world, 7, 50.0)
    assert live(world, 7).move == "rolled_back"
    entries = world.stores.ledger.entries(model="toy", action=WATCHED)
    assert [(entry.subject, entry.payload["period"]) for entry in entries] == [(second, week(7))] * 2
    assert world.stores.ledger.deployment("toy").state["champion"] == first


def test_the_picture_shows_a_champion_that_was_never_on_trial(world_with):
    world = world_with(leaf=BAD, rollout="{watch_periods: 4, margin: 0.2}")
    assert stored_trial_plot(world.stores, "toy") is None
    found = moves(world)
    version, points = trial_points(world.stores, "toy")
    assert version == versions(world)[1]
    assert [(point.stage, point.move) for point in points][-1] == ("champion", "withdraw")
    assert len(points) == len(found)
    assert points[-1].low > 0
    assert world.stores.artifacts.get(stored_trial_plot(world.stores, "toy")).startswith(b"\x89PNG")


def test_a_watch_that_is_none_is_refused(world_with):
    world = world_with(rollout="{watch_periods: 2, margin: 0.2}")
    look = live(world, 7).look
    document = world.stores.artifacts.get_json(look)
    for broken in ({**document, "results": [{}]}, {**document, "schema_": "other/1"}):
        digest = world.stores.artifacts.put_json(broken)
        with pytest.raises(ReleaseRefused, match=digest[:12]):
            read_watch(world.stores.artifacts, digest)
    with pytest.raises(ReleaseRefused, match="does not read"):
        read_watch(world.stores.artifacts, "0" * 64)
