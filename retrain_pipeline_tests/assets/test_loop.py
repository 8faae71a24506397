"""The loop under Dagster, on a small model: what Dagster does not protect against, we do."""

import json
import socket
from pathlib import Path

import dagster as dg
import pytest

from retrain_pipeline.assets.triggers import alerts_sensor
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline_tests.assets.conftest import DEFS, FEATURES, toy_rows


def sensor_tick(project, sensor_name: str, cursor: str | None = None):
    with dg.build_sensor_context(
        instance=project.instance,
        definitions=project.definitions,
        cursor=cursor,
        resources=dict(project.definitions.resources),
    ) as context:
        return project.definitions.resolve_sensor_def(sensor_name).evaluate_tick(context)


@pytest.mark.requirement("D3", "D20")
def test_drift_is_found_and_a_better_model_released(released):
    project = released
    played = project.play(6, 14)
    why = [p.why for p in played if p.retrain_ok]
    assert "policy" in why, played
    entries = project.stores.ledger.entries(model="toy", action="released")
    assert len(entries) >= 2
    assert entries[-1].payload["validated_loss"]["mean"] < 0.25
    assert project.stores.ledger.verify().problems == []


@pytest.mark.dagster_fact("K9")
@pytest.mark.requirement("D6")
def test_release_alone_without_verdict_is_refused(make_project):
    project = make_project()
    for week in range(4):
        assert project.player.data(project.period(week)).success
    assert project.materialize("training_set", "candidate").success
    run = project.materialize("release")
    assert not run.success
    assert "never judged" in str(run.failure_data_for_node("toy__release"))
    assert project.stores.ledger.deployment("toy") is None


@pytest.mark.dagster_fact("K2")
@pytest.mark.fault("S9")
def test_a_forged_check_promotes_nothing(make_project):
    defs = DEFS.replace("margin: 0.1", "margin: 0.1, min_rows: 100000").replace("min_rows: 50, ", "")
    project = make_project(defs=defs)
    played = project.play(0, 6)
    assert not any(p.retrain_ok for p in played)
    for gate in [c.name for c in project.definitions.resolve_asset_graph().asset_check_keys]:
        project.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(["toy", "evaluation"]), check_name=gate, passed=True, metadata={}
            )
        )
    project.instance.report_runless_asset_event(dg.AssetMaterialization(["toy", "evaluation"]))
    assert not project.materialize("release").success
    assert project.stores.ledger.deployment("toy") is None


@pytest.mark.dagster_fact("K5")
def test_nothing_of_ours_goes_through_dagsters_storage(released):
    home = Path(released.instance.storage_directory())
    logs = (".db", ".db-wal", ".db-shm", ".out", ".err", ".complete")  # event log, and what steps printed
    stored = [path for path in home.rglob("*") if path.is_file() and path.suffix not in logs]
    assert stored == []


@pytest.mark.dagster_fact("K6", "K11")
@pytest.mark.fault("P15")
def test_a_failing_trainer_is_asked_at_most_as_often_as_declared(make_project):
    defs = DEFS.replace(
        "sklearn.linear_model.LogisticRegression", "sklearn.linear_model.LogisticRegression, params: {C: -1}"
    )
    project = make_project(defs=defs)
    project.play(0, 4)
    keys = []
    for _ in range(8):
        asked = project.player.ask()
        if isinstance(asked, dg.RunRequest):
            keys.append(asked.run_key)
            assert not project.player.retrain(asked).success
    assert len(keys) == len(set(keys)) <= 2
    assert [e.payload["attempt"] for e in project.stores.ledger.entries(model="toy", action="retrain_started")] == [
        1,
        2,
    ]
    assert len(project.stores.ledger.entries(model="toy", action="retrain_failed")) == 2


@pytest.mark.fault("P24")
def test_deleted_runs_do_not_make_the_trigger_ask_again(released):
    before = released.stores.ledger.deployment("toy")
    for run in released.instance.get_runs():
        released.instance.delete_run(run.run_id)
    released.instance.wipe_assets([dg.AssetKey(["toy", "release"])])
    tick = sensor_tick(released, "toy_retrain")
    assert not tick.run_requests, tick.run_requests
    assert released.stores.ledger.deployment("toy") == before
    assert released.player.step(released.period(6)).data_ok


@pytest.mark.dagster_fact("K10")
@pytest.mark.requirement("D33")
def test_a_rejected_candidate_and_a_broken_contract_raise_alerts(make_project, tmp_path):
    rows = toy_rows()
    rows.loc[rows["id"].str.startswith("r05"), "a"] = 99.0
    project = make_project(rows=rows, defs=DEFS.replace("at_most: 0.45", "at_most: 0.0001"))
    played = project.play(0, 6)
    assert [p.data_ok for p in played] == [True] * 5 + [False]
    tick = sensor_tick(project, "alerts")
    kinds = {json.loads(line)["kind"] for line in (tmp_path / "state" / "alerts.jsonl").read_text().splitlines()}
    assert {"rejected", "contract_failed"} <= kinds
    told = len(project.stores.ledger.entries(action="alerted"))
    again = sensor_tick(project, "alerts", cursor=tick.cursor)
    assert len(project.stores.ledger.entries(action="alerted")) == told
    assert "told 0 alerts" in again.skip_message


@pytest.mark.dagster_fact("K15")
def test_a_tick_reads_stored_verdicts_and_takes_under_a_second(released):
    import time

    started = time.perf_counter()
    tick = sensor_tick(released, "toy_retrain")
    assert time.perf_counter() - started < 1
    assert tick.skip_message


def test_a_skip_says_what_was_looked_at(released):
    words = sensor_tick(released, "toy_retrain").skip_message
    assert "2024-02-1" in words, words


@pytest.mark.dagster_fact("K16")
def test_events_hold_scalars_and_links_only(released):
    for run in released.instance.get_runs():
        for record in released.instance.all_logs(run.run_id):
            assert len(dg.serialize_value(record)) < 20_000, record.dagster_event.event_type_value


@pytest.mark.dagster_fact("K17")
@pytest.mark.requirement("D13")
def test_a_played_period_connects_to_nothing_outside(make_project, monkeypatch):
    asked = []
    connect = socket.socket.connect

    def watched(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            asked.append(address)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: asked.append(args) or [])
    project = make_project(defs=DEFS.replace("every: 100", "every: 1"))
    assert project.play(0, 1)[0].data_ok
    assert asked == []
    assert not project.instance.telemetry_enabled


@pytest.mark.requirement("D38")
def test_a_retrain_repeated_as_of_the_same_moment_gives_the_same_model(released):
    started = released.stores.ledger.entries(model="toy", action="retrain_started")[-1]
    released.play(6, 8)
    config = {"ops": {"toy__training_set": {"config": {"as_of": started.payload["as_of"], "mode": "first"}}}}
    released.materialize("training_set", "candidate", run_config=config)
    entries = released.stores.ledger.entries(model="toy", action="training_set_frozen")
    assert entries[-1].payload["digest"] == entries[0].payload["digest"]
    # the weeks between may have brought a retrain of their own
    built = [released.stores.ledger.entries(model="toy", action="candidate_built")[at] for at in (0, -1)]
    assert built[0].run_id != built[1].run_id
    # the repeated one has another parent (there is a champion now), and so another name; it behaves the same
    manifests = [read_manifest(released.stores, "toy", entry.subject) for entry in built]
    assert manifests[0].prediction_fingerprint == manifests[1].prediction_fingerprint


def test_a_person_can_ask_from_the_launchpad_with_nothing_filled_in(released):
    run = released.materialize("training_set", "candidate", "evaluation")
    started = released.stores.ledger.entries(model="toy", action="retrain_started", run_id=run.run_id)
    assert started[0].payload["kind"] == "manual"
    assert started[0].payload["mode"] == "superiority"


def test_a_request_that_makes_no_sense_is_refused_and_on_record(released):
    config = {"ops": {"toy__training_set": {"config": {"as_of": "2024-02-07T12:00:00+00:00"}}}}
    run = released.materialize("training_set", run_config=config)
    assert not run.success
    assert "not the end of a week" in str(run.failure_data_for_node("toy__training_set"))


def test_a_backfill_is_one_run_and_leaves_out_only_what_is_broken(make_project):
    rows = toy_rows()
    rows.loc[rows["id"].str.startswith("r02"), "a"] = 99.0
    project = make_project(rows=rows)
    job = project.definitions.resolve_implicit_global_asset_job_def()
    run = job.get_subset(
        asset_selection={dg.AssetKey(["toy", "raw"]), dg.AssetKey(["toy", "features"])}
    ).execute_in_process(
        instance=project.instance,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags={
            "dagster/asset_partition_range_start": project.period(0),
            "dagster/asset_partition_range_end": project.period(4),
        },
    )
    assert run.success
    assert project.stores.lake.periods("toy", "raw") == [project.period(w) for w in (0, 1, 3, 4)]
    failed = project.stores.ledger.entries(model="toy", action="contract_failed")
    assert {e.payload["period"] for e in failed} == {project.period(2)}


def test_features_that_know_the_future_stop_the_period(make_project):
    peeking = FEATURES.replace('assign(ab=rows["a"] * rows["b"])', 'assign(ab=rows["a"].shift(-1).fillna(0.0))')
    project = make_project(features=peeking)
    played = project.play(0, 1)
    assert not played[0].data_ok
    assert project.stores.lake.periods("toy", "features") == []


def test_alert_sensor_names_only_its_models():
    assert alerts_sensor(["a"]).name == "alerts"


@pytest.mark.requirement("D51")
def test_the_record_is_replayed_on_demand_with_a_table_and_a_picture(released):
    run = released.materialize("replay", run_config={"ops": {"toy__replay": {"config": {"policies": ["periodic:2"]}}}})
    assert run.success
    (materialized,) = run.asset_materializations_for_node("toy__replay")
    metadata = materialized.metadata
    assert [record.data["policy"] for record in metadata["policies"].value.records] == ["periodic:2"]
    assert Path(metadata["picture"].value).read_bytes().startswith(b"\x89PNG")


@pytest.mark.requirement("D7", "C30")
def test_a_drift_is_answered_by_stages_where_they_are_declared(make_project):
    """The retrain's run ends with a trial; later periods' runs take it on to everybody, and the sensor waits for it."""
    rollout = "  rollout: {shadow_periods: 1, canary_shares: [0.5], margin: 0.1, max_periods: 8}\n"
    project = make_project(defs=DEFS + rollout)
    project.play(0, 14)
    ledger = project.stores.ledger
    told = [
        (entry.action, entry.payload.get("stage"))
        for entry in ledger.entries(model="toy", action=("staged", "released", "withdrawn"))
    ]
    assert told[0] == ("released", None), "the first model has nothing to be compared with"
    assert told[1:4] == [("staged", "shadow"), ("staged", "canary"), ("released", None)]
    second = ledger.entries(model="toy", action="released")[1]
    staged = ledger.entries(model="toy", action="staged")[0]
    assert second.payload["retrain_run"] == staged.run_id
    asked = ledger.entries(model="toy", action="retrain_started")
    between = [one for one in asked if staged.seq < one.seq < second.seq]
    assert between == [], "nothing is asked for while a version is on trial"
    checks = project.instance.event_log_storage.get_asset_check_summary_records(
        [dg.AssetCheckKey(dg.AssetKey(["toy", "rollout"]), "trial")]
    )
    (shown,) = checks.values()
    assert shown.last_check_execution_record.event.dagster_event.event_specific_data.passed
