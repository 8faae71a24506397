"""The asset `records` under Dagster: what it enters, what its check finds, and a retrain that nobody agreed to."""

import dagster as dg
import pytest

from retrain_pipeline.assets.common import MODEL_TAG, SIDE_TAG
from retrain_pipeline.records.kinds.experiment import Experiment
from retrain_pipeline.records.record import records
from retrain_pipeline.records.settle import settle
from retrain_pipeline_tests.assets.conftest import open_project


def experiments(project):
    return [one.read(Experiment) for one in records(project.stores, "toy", Experiment.KIND)]


def check_of(run):
    (found,) = [one for one in run.get_asset_check_evaluations() if one.check_name == "experiments"]
    return found


@pytest.mark.requirement("A4", "A5", "A7", "B3", "D9")
def test_the_first_release_left_its_whole_record_and_agreements_are_older(released):
    (one,) = experiments(released)
    started = released.stores.ledger.entries(action="retrain_started")[0]
    assert (one.run_id, one.verdict, one.author) == (started.run_id, "released", "sensor:toy_retrain")
    kinds = {}
    for record in records(released.stores, "toy"):
        kinds.setdefault(record.kind, record.entry.seq)
    assert kinds["problem"] < kinds["protocol"] < started.seq < kinds["hypothesis"] < kinds["experiment"]
    assert {"release_note", "impact_brief", "data_sheet"} <= kinds.keys()
    note = next(records(released.stores, "toy", "release_note")).document
    brief = next(records(released.stores, "toy", "impact_brief")).document
    hypothesis = next(records(released.stores, "toy", "hypothesis"))
    assert (hypothesis.subject, note["run_id"]) == (one.run_id, one.run_id)  # from the hypothesis to what came of it
    assert one.version == note["subject"] == brief["subject"]
    event = released.instance.get_latest_materialization_event(dg.AssetKey(["toy", "records"]))
    shown = event.asset_materialization.metadata
    assert shown["experiment"].value == 1
    assert "serve" in shown["release_note"].value


@pytest.mark.requirement("A5", "A7")
def test_a_retrain_under_gates_that_nobody_agreed_to_is_refused_and_on_record(released):
    file = released.declaration.file
    file.write_text(file.read_text().replace("margin: 0.1,", "margin: 0.4,"))
    moved = open_project(released.folder, released.instance)
    run = moved.materialize("training_set", "candidate")
    assert not run.success
    failed = moved.stores.ledger.entries(action="retrain_failed", run_id=run.run_id)[0].payload
    assert failed["cause"] == "refused"
    assert "changed since the one on record: gates.margin" in failed["reason"]
    assert "retrain protocol register toy" in failed["reason"]
    assert not moved.stores.ledger.entries(action="training_set_frozen", run_id=run.run_id)
    settle(moved.stores, moved.declaration, "test")
    assert [one.verdict for one in experiments(moved)] == ["released", "retrain_failed"]
    assert experiments(moved)[1].hypothesis_seq is None
    assert moved.player.data(moved.period(6)).success  # the next period's rows bring the new protocol in
    assert moved.materialize("training_set").success
    moved.stores.close()


@pytest.mark.requirement("A7")
@pytest.mark.fault("G9")
def test_the_check_names_a_run_of_dagster_that_nobody_recorded(released):
    run = released.materialize("records")
    assert run.success
    assert check_of(run).passed
    job = released.definitions.resolve_implicit_global_asset_job_def()
    hidden = released.instance.create_run_for_job(
        job, tags={MODEL_TAG: "toy", SIDE_TAG: "model"}, status=dg.DagsterRunStatus.FAILURE
    )
    run = released.materialize("records")
    assert run.success
    found = check_of(run)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert f"toy {hidden.run_id}: failure, but no experiment" in found.description
