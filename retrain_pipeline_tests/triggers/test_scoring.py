"""Retrains scored later: beside the model that was replaced, on rows that came after both."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retrain_pipeline.learning.build import build_candidate
from retrain_pipeline.learning.manifest import TriggerRef
from retrain_pipeline.learning.training_set import freeze_training_set
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.triggers.judged import judged_retrains
from retrain_pipeline.triggers.report_card import HEADER, as_markdown, report_card
from retrain_pipeline.triggers.retrain import Retrain, start_retrain
from retrain_pipeline.triggers.scoring import SCORED, Score, score_retrains
from retrain_pipeline.verdicts import Verdict
from retrain_pipeline_tests.monitoring.conftest import World, new_world

FIRST = 5


def retrain(world: World, week: int, outcome: str = "released", kind: str = "performance") -> str:
    """Retrain as of the end of a week, and release or reject what came; return the version."""
    stores, name, run, as_of = world.stores, world.spec.name, f"run-{week}-{outcome}", world.end(week)
    start_retrain(
        stores.ledger,
        Retrain(model=name, run_id=run, trigger_id=run, kind=kind, attempt=1, as_of=as_of, mode="superiority"),
        "test",
    )
    frozen = freeze_training_set(stores, world.spec, as_of)
    made = build_candidate(
        stores, world.declaration, frozen, trigger=TriggerRef(kind=kind, id=run), run_id=run, actor="test"
    )
    row = stores.ledger.deployment(name)
    if outcome == "rejected":
        stores.ledger.append(NewEntry("test", "rejected", name, made.version, {"version": made.version}, run_id=run))
        return made.version
    previous = row.state["champion"] if row else None
    payload = {"version": made.version, "previous": previous, "as_of": as_of.isoformat()}
    state = {"champion": made.version, "effective_as_of": as_of.isoformat()}
    entry = NewEntry("test", "released", name, made.version, payload, run_id=run)
    stores.ledger.change_deployment(name, row.epoch if row else 0, state, entry)
    return made.version


def scored(world: World, week: int) -> list[Score]:
    return score_retrains(world.stores, world.spec, world.end(week))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Six weeks and a first champion; made once, to be copied."""
    world = new_world(tmp_path_factory.mktemp("scored"))
    for week in range(FIRST + 1):
        world.pass_week(week)
    retrain(world, FIRST, kind="first_model")
    world.stores.close()
    return world


@pytest.fixture
def lived(template: World, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Return a function that lets weeks pass after the sixth, with a slope of their own each."""
    shutil.copytree(template.declaration.folder.parents[1], tmp_path, dirs_exist_ok=True)
    world = new_world(tmp_path)
    world.raw = dict(template.raw)

    def live(slopes: dict[range, float]) -> World:
        for weeks, slope in slopes.items():
            for week in weeks:
                world.pass_week(week, slope=slope)
        return world

    yield live
    world.stores.close()


@pytest.mark.requirement("D16", "D49")
def test_a_retrain_after_a_real_change_is_worth_it(lived):
    world = lived({range(6, 16): -2.0})
    version = retrain(world, 11)
    (score,) = scored(world, 15)
    # The labels of the last week have not had their day.
    assert (score.periods, score.final, score.verdict) == (2, False, Verdict.PASS)
    assert score.judged.version == version
    assert score.rows == 2 * 168
    assert score.saved == pytest.approx(sum(one for *_, one in score.by_period))
    assert 0 < score.cost < score.low < score.saved < score.high
    assert "worth it" in score.words
    (entry,) = world.stores.ledger.entries(action=SCORED)
    assert (entry.subject, entry.payload["verdict"], entry.payload["saved"]) == (version, "PASS", score.saved)
    evidence = world.stores.artifacts.get_json(entry.payload["evidence"])
    assert evidence["judged"]["kind"] == "performance"
    assert [one["period"] for one in evidence["by_period"]] == [world.period(12), world.period(13)]


@pytest.mark.requirement("D16", "D49")
def test_a_retrain_on_noise_is_not_worth_its_cost(lived):
    world = lived({range(6, 13): 2.0})
    retrain(world, 7, kind="drift")
    (score,) = scored(world, 12)
    assert score.periods == 4
    assert score.verdict is Verdict.FAIL
    assert abs(score.saved) < score.high < score.cost
    assert "not worth it" in score.words


def test_scores_are_entered_once_as_periods_mature_and_once_at_the_end(lived):
    world = lived({range(6, 14): -2.0})
    retrain(world, 8)
    seen = []
    for week in range(8, 14):
        seen.append([(one.periods, one.final) for one in scored(world, week)])
        assert scored(world, week) == []
    assert seen == [[], [], [(1, False)], [(2, False)], [], [(4, False)]]
    retrain(world, 12)
    (last,) = scored(world, 13)
    assert (last.periods, last.final) == (4, True)
    assert scored(world, 13) == []
    assert len(world.stores.ledger.entries(action=SCORED)) == 4
    assert scored(world, 9) == []  # an older period monitored again


def test_without_labels_nothing_is_said(lived):
    world = lived({range(6, 9): -2.0})
    retrain(world, 8)
    for week in (9, 10, 11):
        world.pass_week(week)
        empty = world.stores.lake.read(world.spec.name, "labels", periods=[world.period(week)]).iloc[:0]
        world.stores.lake.replace_partition(world.spec.name, "labels", world.period(week), empty)
    (score,) = scored(world, 11)
    assert (score.verdict, score.saved, score.low) == (Verdict.INCONCLUSIVE, None, None)
    assert "too few labels" in score.words
    (row,) = report_card(world.stores.ledger, world.spec)
    assert (row.released, row.worth, row.not_worth) == (1, 0, 0)


def test_a_version_that_does_not_load_is_unsure_and_monitoring_goes_on(lived):
    world = lived({range(6, 11): -2.0})
    version = retrain(world, 8)
    (entry,) = [one for one in world.stores.ledger.entries(action="candidate_registered") if one.subject == version]
    Path(world.stores.artifacts.path(entry.payload["model_artifact"])).unlink()
    (score,) = scored(world, 10)
    assert score.verdict is Verdict.INCONCLUSIVE
    assert "cannot be scored" in score.words
    assert version in score.words


@pytest.mark.requirement("D49")
def test_a_rejected_candidate_is_scored_beside_the_champion_that_stayed(lived):
    world = lived({range(6, 15): -2.0})
    champion = world.stores.ledger.deployment("small").state["champion"]
    version = retrain(world, 11, "rejected")
    (score,) = scored(world, 14)
    assert (score.judged.version, score.judged.against, score.judged.outcome) == (version, champion, "rejected")
    assert score.verdict is Verdict.FAIL
    assert "wrongly rejected" in score.words
    (row,) = report_card(world.stores.ledger, world.spec)
    assert (row.rejected, row.wrongly, row.rightly, row.saved, row.cost) == (1, 1, 0, 0.0, 0.02)


def test_a_candidate_that_would_have_been_worse_was_rightly_rejected(lived):
    # Six weeks of another slope are learned just before they end.
    world = lived({range(6, 12): -2.0, range(12, 15): 2.0})
    retrain(world, 11, "rejected")
    (score,) = scored(world, 14)
    assert score.verdict is Verdict.PASS
    assert "rightly rejected" in score.words


def test_rows_beyond_the_cap_are_sampled_alike_each_time(lived, monkeypatch):
    world = lived({range(6, 12): -2.0})
    retrain(world, 9)
    monkeypatch.setattr("retrain_pipeline.triggers.scoring.MAX_ROWS", 100)
    monkeypatch.setattr("retrain_pipeline.triggers.scoring._enter", lambda *_: None)
    (one,), (two,) = scored(world, 11), scored(world, 11)
    assert one == two
    assert one.rows == 100


def test_a_rollback_ends_the_reign_with_what_was_monitored_before(lived):
    world = lived({range(6, 12): -2.0})
    first = world.stores.ledger.deployment("small").state["champion"]
    retrain(world, 8)
    ledger = world.stores.ledger
    ledger.append(NewEntry("test", "monitored", "small", world.period(9), {"as_of": world.end(9).isoformat()}))
    state = {"champion": first, "effective_as_of": world.end(FIRST).isoformat()}
    ledger.change_deployment("small", 2, state, NewEntry("test", "rolled_back", "small", first, {"version": first}))
    (judged,) = judged_retrains(ledger, "small")
    assert (judged.as_of, judged.until) == (world.end(8), world.end(9))
    (score,) = scored(world, 11)
    assert (score.periods, score.final) == (1, True)


@pytest.mark.requirement("D49")
def test_the_report_card_groups_by_policy_and_kind(lived):
    world = lived({range(6, 14): -2.0})
    retrain(world, 10)
    scored(world, 13)
    retrain(world, 13, kind="drift")
    drift, performance = report_card(world.stores.ledger, world.spec)
    assert (drift.policy, drift.kind, performance.kind) == ("built-in", "drift", "performance")
    assert (drift.released, drift.worth, drift.not_worth, drift.saved) == (1, 0, 0, 0.0)
    assert (performance.released, performance.worth) == (1, 1)
    assert performance.low < performance.saved < performance.high
    told = as_markdown((drift, performance)).splitlines()
    assert len(told) == 4
    assert all(line.count(" | ") == len(HEADER) - 1 for line in told)
