"""A lane runs its model's graph beside it, tries to write what is the model's, and is compared, taken over, ended."""

import hashlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from retrain_pipeline.assets.model import project_definitions
from retrain_pipeline.assets.playback import Player
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.cli import places
from retrain_pipeline.cli.main import app
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.records.side_by_side import side_by_side
from retrain_pipeline.records.status import status
from retrain_pipeline.release.errors import ServingRefused
from retrain_pipeline.release.service import Service
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.verdicts import Verdict

LANE = """\
type: retrain_pipeline.components.Lane
attributes:
  of: toy
  name: blind
  why: How much is lost without the strongest column?
  features: features.build
  training:
    candidates:
      logistic: {estimator: sklearn.linear_model.LogisticRegression, params: {C: 0.5}}
  gates: {margin: 0.2}
"""
# The team's own code has the process that it runs in; it tries what there is to try, and goes on when it is refused.
FEATURES = '''\
"""Features of an experiment, and attacks on the model beside which it runs."""

import os
from contextlib import suppress

import pandas as pd

from retrain_pipeline.assets.resources import environment_stores
from retrain_pipeline.errors import PermanentError
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release.rollback import rollback
from retrain_pipeline.stores import open_stores
from retrain_pipeline.triggers.halts import halt


def attacks(stores):
    ledger, lake = stores.ledger, stores.lake
    yield lambda: ledger.change_deployment("toy", 1, {"champion": "mine"}, NewEntry("lab", "released"))
    yield lambda: rollback(stores, "toy", because="I say so", actor="lab")
    yield lambda: ledger.append(NewEntry("lab", "approved", "toy", "v2"))
    yield lambda: ledger.append(NewEntry("lab", "retrain_started", "toy", run_id="r"))
    yield lambda: halt(ledger, "toy", "I say so", "lab")
    yield lambda: ledger.restore_deployments("lab")
    for table in ("raw", "features", "labels", "predictions", "feedback", "monitoring"):
        yield lambda: lake.update_partition("toy", table, "2024-01-01", lambda rows: rows.iloc[:1])


def build(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what is left without `a`."""
    for stores in (environment_stores(), open_stores(os.environ["RETRAIN_HOME"])):
        for attack in attacks(stores):
            with suppress(PermanentError):
                attack()
    return rows[["b", "kind"]]
'''


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file under a folder."""
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*") if file.is_file()}


def due(definitions: dg.Definitions, project, moment: datetime) -> dict[str, str]:
    """Return the period, or the first and the last, that the schedule asks for at a moment, by model."""
    schedule = definitions.resolve_schedule_def("data_every_week")
    with dg.build_schedule_context(
        instance=project.instance,
        repository_def=definitions.get_repository_def(),
        scheduled_execution_time=moment,
        resources={"stores": StoresResource(home=str(project.folder / "state"))},
    ) as context:
        requests = schedule.evaluate_tick(context).run_requests
    names = ("dagster/partition", "dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    return {
        one.tags["retrain/model"]: " ".join(one.tags[name] for name in names if name in one.tags) for one in requests
    }


@pytest.mark.slow
@pytest.mark.requirement("D41", "D42")
def test_an_experiment_runs_beside_a_model_and_nothing_of_the_model_changes(released, monkeypatch):
    folder = released.folder / "models" / "toy__blind"
    folder.mkdir()
    (folder / "defs.yaml").write_text(LANE)
    (folder / "features.py").write_text(FEATURES)
    lane = read_declaration(folder)
    stores, state = released.stores, released.folder / "state"
    both = project_definitions([released.declaration, lane], StoresResource(home=str(state)))
    assert due(both, released, datetime(2024, 2, 20, tzinfo=UTC)) == {
        "toy": "2024-02-12",
        "toy__blind": "2024-01-01 2024-02-05",  # as far as its model has come
    }
    entries, row, tables = (
        stores.ledger.entries(model="toy"),
        stores.ledger.deployment("toy"),
        contents(state / "lake" / "toy"),
    )

    player = Player(both, released.instance, lane)
    assert player.backfill(released.period(0), released.period(3)).success
    asked = player.ask()
    assert isinstance(asked, dg.RunRequest)
    assert player.retrain(asked).success
    assert player.backfill(released.period(4), released.period(5)).success

    assert stores.ledger.entries(model="toy") == entries
    assert stores.ledger.deployment("toy") == row
    assert contents(state / "lake" / "toy") == tables
    assert {entry.model for entry in stores.ledger.entries(after_seq=entries[-1].seq)} == {"toy__blind"}
    assert stores.ledger.verify().verdict is Verdict.PASS
    refused = {entry.payload["attempted"] for entry in stores.ledger.entries(model="toy__blind", action="refused")}
    assert refused >= {"released", "approved", "retrain_started", "retraining_halted", "deployments_restored"}
    assert {f"write of the table {table}" for table in ("raw", "features", "labels", "predictions")} <= refused

    # it did what a model does, by its own recipe, over the model's rows and labels
    own = stores.ledger.deployment("toy__blind")
    manifest = read_manifest(stores, "toy__blind", own.state["champion"])
    assert (manifest.columns.numeric, manifest.params["C"]) == (("b",), 0.5)
    assert manifest.frozen.labels.model == "toy"
    assert not (state / "lake" / "toy__blind" / "raw").exists()
    served = stores.lake.read("toy__blind", "predictions", periods=[released.period(5)])
    assert set(served["model_version"]) == {own.state["champion"]}
    with pytest.raises(ServingRefused, match="a lane serves nobody"):
        Service(stores, lane.spec).serving()
    assert [(one.model, one.lane_of) for one in status(stores)] == [("toy", None), ("toy__blind", "toy")]

    # what it lost without the column shows on the rows that both answered, each side's labels mature
    now, loops = side_by_side(stores, lane.spec, lane.lane)
    assert now.compared == f"{own.state['champion']} beside {row.state['champion']}, the champions of now"
    assert now.rows == loops.rows > 200
    assert (now.verdict, now.low > 0.1, now.lane_loss > now.model_loss) == (Verdict.FAIL, True, True)

    monkeypatch.setattr(places, "DEFS", released.folder / "models")
    files = contents(released.folder / "models")
    told = CliRunner().invoke(app, ["lane", "adopt", "toy__blind"], catch_exceptions=False).output
    assert "params: {C: 0.5}" in told
    assert '-    return rows[["a", "b", "kind"]].assign' in told
    assert contents(released.folder / "models") == files
    told = CliRunner().invoke(app, ["lane", "end", "toy__blind", "--because", "it needs a"], catch_exceptions=False)
    assert "git rm -r" in told.output
    ended = stores.ledger.latest("toy__blind", "lane_ended")
    assert (ended.payload["because"], ended.payload["compared"][0]["verdict"]) == ("it needs a", "FAIL")
    assert "the lane was ended: it needs a" in str(player.ask())
    assert due(both, released, datetime(2024, 2, 20, tzinfo=UTC)) == {"toy": "2024-02-12"}
    shutil.rmtree(folder)  # its assets go with its folder, and its record stays
    assert CliRunner().invoke(app, ["lane", "compare", "toy__blind"]).exit_code == 1
    assert "lane_ended" in CliRunner().invoke(app, ["history", "toy__blind"], catch_exceptions=False).output
    assert stores.ledger.entries(model="toy") == entries
