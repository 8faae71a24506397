"""Who scores a period, and that a repeat scores nothing else."""

import os

import pytest

from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.release.errors import ServingRefused
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.release.serving import score_period
from retrain_pipeline_tests.gates.world import World, deliver, make_world, toys, versions, write_folder

WEEKS = ["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22", "2024-01-29", "2024-02-05", "2024-02-12", "2024-02-19"]


def score(world, week, **more):
    return score_period(world.stores, world.declaration, WEEKS[week], **more)


def table(world, week):
    return world.stores.lake.read("toy", "predictions", periods=[WEEKS[week]])


def test_a_champion_scores_the_periods_after_its_data_and_none_before(world):
    """The first version knows the weeks 0 to 5: it serves week 6, and nobody serves week 5."""
    first = versions(world)[0]
    report = score(world, 6)
    assert (report.rows, report.version, report.changed) == (168, first, True)
    assert report.latency_ms_p95 > 0
    found = table(world, 6)
    assert list(found["model_version"].unique()) == [first]
    assert list(found["arm"].unique()) == ["champion"]
    assert (found["_known_time"] == found["_event_time"]).all()
    assert found[["id", "prediction", "latency_ms"]].notna().all().all()
    early = score(world, 5)
    assert (early.rows, early.version) == (0, None)
    assert "no champion whose data ended by" in early.words
    assert WEEKS[5] in world.stores.lake.periods("toy", "predictions"), "empty is not missing"


def test_before_the_first_release_nobody_scores(tmp_path):
    world = make_world(tmp_path, weeks=1)
    report = score(world, 0)
    assert (report.rows, report.version, report.words) == (0, None, "no champion yet")
    assert score(world, 0).changed is False


@pytest.mark.fault("P16", "P26")
def test_a_repeat_is_scored_by_the_same_version_and_writes_nothing(world):
    first, second, _ = versions(world)
    score(world, 7)
    before = table(world, 7), world.stores.lake.version("toy", "predictions")
    world.release(second, newest_evidence(world.stores, "toy", second))
    report = score(world, 7)
    assert (report.version, report.changed) == (first, False)
    assert "before" in report.words
    assert table(world, 7).equals(before[0])
    assert world.stores.lake.version("toy", "predictions") == before[1]


@pytest.mark.fault("P31")
def test_an_old_period_is_scored_by_the_champion_of_its_time(world):
    """After the version that knows week 6 was released, week 6 is still the first one's, week 7 the second's."""
    first, second, _ = versions(world)
    world.release(second, newest_evidence(world.stores, "toy", second))
    assert score(world, 6).version == first
    assert score(world, 7).version == second
    assert score(world, 2).version is None


def test_what_was_rolled_back_serves_nothing_new(world):
    first, second, _ = versions(world)
    world.release(second, newest_evidence(world.stores, "toy", second))
    rollback(world.stores, "toy", because="it was far off everywhere", actor="test")
    assert score(world, 7).version == first


@pytest.mark.fault("I11")
def test_restated_rows_are_scored_again_by_the_same_version(world):
    first = versions(world)[0]
    score(world, 6)
    frame = world.stores.lake.read("toy", "features", periods=[WEEKS[6]]).drop(columns="_period")
    world.stores.lake.replace_partition("toy", "features", WEEKS[6], frame.assign(a=frame["a"] + 1))
    report = score(world, 6)
    assert (report.version, report.changed, report.rows) == (first, True, 168)


@pytest.mark.fault("I27")
def test_what_the_model_had_not_met_is_counted(world):
    frame = world.stores.lake.read("toy", "features", periods=[WEEKS[6]]).drop(columns="_period")
    frame.loc[:4, "shop"] = "moon"
    frame.loc[:2, "a"] = None
    world.stores.lake.replace_partition("toy", "features", WEEKS[6], frame)
    report = score(world, 6)
    assert report.unseen == {"shop": 5}
    assert report.missing == {"a": 3}
    assert table(world, 6)["prediction"].notna().all()


def test_only_what_was_known_by_a_moment_is_scored(world):
    from datetime import UTC, datetime

    report = score(world, 6, known_at=datetime(2024, 2, 14, tzinfo=UTC))
    assert report.rows == 49


def test_a_period_without_rows_is_present_and_empty(world):
    report = score_period(world.stores, world.declaration, "2024-03-04")
    assert (report.rows, report.version) == (0, versions(world)[0])
    assert "no rows" in report.words
    assert "2024-03-04" in world.stores.lake.periods("toy", "predictions")


@pytest.mark.fault("P2", "P20")
def test_a_champion_whose_bytes_are_gone_is_named_with_the_mend(world):
    manifest = read_manifest(world.stores, "toy", versions(world)[0])
    os.unlink(world.stores.artifacts.path(manifest.model_artifact))
    with pytest.raises(ServingRefused, match="roll back to a version that can"):
        score(world, 6)
    assert table(world, 6).empty


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes_and_scores_are_in_the_table(tmp_path, task):
    world = make_world(tmp_path, task, weeks=6)
    world.judged_release(world.build(6), "first")
    rows = toys(1, task, first=6)
    deliver(world.stores, world.declaration, rows)
    report = score(world, 6)
    assert report.rows == 168
    found = table(world, 6)
    assert found["score"].between(0, 1).all()
    agreed = found.merge(rows, on="id")
    assert (agreed["prediction"].astype(float) == agreed["y"]).mean() > 0.6


def test_a_world_is_its_own(tmp_path):
    """Another model's stores know nothing of this one's champion."""
    from retrain_pipeline.stores import open_stores

    other = World(open_stores(tmp_path / "home"), write_folder(tmp_path / "toy"), tmp_path / "home")
    assert score(other, 0).words == "no champion yet"
