"""Rows are answered as a batch of them would be, by one whole deployment, whatever happens meanwhile."""

import threading
from pathlib import Path

import pytest

from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.release.errors import ServingRefused
from retrain_pipeline.release.release import newest_evidence
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.release.service import Service
from retrain_pipeline.release.serving import score_period
from retrain_pipeline_tests.gates.world import make_world, versions

WEEK = "2024-02-19"


@pytest.fixture
def rows(world):
    return world.stores.lake.read("toy", "features", periods=[WEEK])


def held_back(world):
    """The world after a release that leaves a share of the entities with the first version."""
    path = world.declaration.folder / "defs.yaml"
    path.write_text(f"{path.read_text().rstrip()}\n  rollout: {{holdback_share: 0.3, watch_periods: 0}}\n")
    world = world.again()
    second = versions(world)[1]
    _, evidence = world.judge(second, run_id="run-again")
    world.release(second, evidence)
    return world


@pytest.mark.requirement("C25")
def test_a_row_gets_the_answer_that_a_batch_gives_it(world, rows):
    world = held_back(world)
    score_period(world.stores, world.declaration, WEEK)
    batch = world.stores.lake.read("toy", "predictions", periods=[WEEK]).set_index("id")
    service = Service(world.stores, world.declaration.spec)
    for at in (0, 7, 50, 167):
        one = rows.iloc[[at]]
        told, logged = service.answer(one).iloc[0], batch.loc[one["id"].iloc[0]]
        for name in ("prediction", "model_version", "arm", "propensity", "epoch"):
            assert told[name] == logged[name], name
    assert set(service.answer(rows)["arm"]) == {"champion", "holdback"}


def test_a_release_and_a_rollback_are_followed(world, rows):
    service = Service(world.stores, world.declaration.spec, refresh_seconds=0)
    first, second, _ = versions(world)
    assert set(service.answer(rows)["model_version"]) == {first}
    world.release(second, newest_evidence(world.stores, "toy", second))
    assert set(service.answer(rows)["model_version"]) == {second}
    rollback(world.stores, "toy", because="it was far off everywhere", actor="test")
    assert set(service.answer(rows)["model_version"]) == {first}


@pytest.mark.fault("P33")
def test_a_new_champion_that_does_not_load_takes_nobodys_place(world, rows):
    service = Service(world.stores, world.declaration.spec, refresh_seconds=0)
    first, second, _ = versions(world)
    service.answer(rows)
    world.release(second, newest_evidence(world.stores, "toy", second))
    Path(world.stores.artifacts.path(read_manifest(world.stores, "toy", second).model_artifact)).unlink()
    assert set(service.answer(rows)["model_version"]) == {first}
    assert "does not serve" in service.trouble


@pytest.mark.fault("P33")
def test_readers_see_one_whole_deployment_while_it_changes(world, rows):
    world = held_back(world)
    service, seen, stop = Service(world.stores, world.declaration.spec, refresh_seconds=0), set(), threading.Event()

    def read() -> None:
        while not stop.is_set():
            told = service.answer(rows.head(20))
            seen.add((told["epoch"].iloc[0], tuple(told["epoch"].unique()), tuple(told["model_version"])))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(4):
        rollback(world.stores, "toy", to=versions(world)[number % 2], because=f"to and fro, {number}", actor="test")
    stop.set()
    for reader in readers:
        reader.join(30)
    by_epoch = {}
    for epoch, epochs, answered in seen:
        assert epochs == (epoch,)
        assert by_epoch.setdefault(epoch, answered) == answered, "one deployment, one way to answer"


def test_users_of_a_model_that_is_lost_get_the_champion(world, rows):
    world = held_back(world)
    first, second, _ = versions(world)
    Path(world.stores.artifacts.path(read_manifest(world.stores, "toy", first).model_artifact)).unlink()
    told = Service(world.stores, world.declaration.spec).answer(rows)
    assert set(told["model_version"]) == {second}
    assert set(told["arm"]) == {"champion", "fallback"}


def test_before_a_release_and_without_its_entity_a_row_is_refused(world, rows, tmp_path):
    with pytest.raises(ServingRefused, match="need id"):
        Service(world.stores, world.declaration.spec).answer(rows.drop(columns="id"))
    other = make_world(tmp_path / "other", weeks=1)
    with pytest.raises(ServingRefused, match="nothing was ever released"):
        Service(other.stores, other.declaration.spec).answer(rows)
    other.stores.close()
