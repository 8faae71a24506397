"""A retrain that is refused and shows the champion to be behind its anchor: what Dagster does and shows."""

import pytest

from retrain_pipeline.assets.model import project_definitions
from retrain_pipeline.assets.playback import Player
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.periods import as_utc
from retrain_pipeline.records.kinds.card import ModelCard
from retrain_pipeline.records.kinds.postmortem import Postmortem
from retrain_pipeline.records.record import records
from retrain_pipeline.release.anchor import ANCHOR
from retrain_pipeline.release.state import current
from retrain_pipeline.triggers.retrain import Retrain, note_candidate, start_retrain
from retrain_pipeline_tests.assets.conftest import Project, opened
from retrain_pipeline_tests.gates.world import START
from retrain_pipeline_tests.release.season import make_season


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The project over a world after its season: a retrain is under way, and its candidate is not judged."""
    world, first, second, third = make_season(tmp_path / "season")
    retrain = Retrain(
        model="toy", run_id="run-20", trigger_id="drift", kind="drift", attempt=1, mode="non_inferiority",
        as_of=as_utc(START),
    )  # fmt: skip
    start_retrain(world.stores.ledger, retrain, "sensor:toy_retrain")
    note_candidate(world.stores.ledger, "toy", third, "run-20", "sensor:toy_retrain")
    resource = StoresResource(home=str(world.home))
    definitions = project_definitions([world.declaration], resource)
    with opened(tmp_path, monkeypatch) as instance:
        monkeypatch.setenv("RETRAIN_HOME", str(world.home))
        player = Player(definitions, instance, world.declaration)
        yield Project(world.declaration, definitions, instance, world.stores, player, tmp_path), first, second, third


@pytest.mark.slow
@pytest.mark.requirement("D26", "D29", "D42")
def test_the_anchor_serves_again_and_the_records_are_written_at_once(project):
    made, first, second, third = project
    found = made.materialize("evaluation")
    assert current(made.stores.ledger, "toy")[1].champion == first
    actions = [(one.action, one.subject) for one in made.stores.ledger.entries(model="toy", run_id=found.run_id)]
    assert actions == [("judged", third), ("rejected", third)]
    back = made.stores.ledger.latest("toy", "rolled_back", first)
    assert (back.actor, back.payload["from"]) == (ANCHOR, second)
    [event] = found.asset_materializations_for_node("toy__evaluation")
    shown = {name: value.value for name, value in event.metadata.items()}
    assert shown["anchor_serves_again"] == first
    assert shown["anchor"] == back.payload["because"]
    failed = [one.check_name for one in found.get_asset_check_evaluations() if not one.passed]
    assert "quality" in failed
    [postmortem] = records(made.stores, "toy", Postmortem.KIND)
    assert postmortem.document["by"] == ANCHOR
    assert {one.subject for one in records(made.stores, "toy", ModelCard.KIND)} >= {first, second}
