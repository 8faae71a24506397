"""Sensors: one a model that asks for a retrain, one for all that raises alerts. They read verdicts, never data."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from retrain_pipeline.assets.common import (
    ALIVE,
    ATTEMPT_TAG,
    MODEL_SIDE,
    MODEL_TAG,
    SIDE_TAG,
    TRIGGER_TAG,
    WHY_TAG,
    asset_key,
    asset_keys,
    is_in_flight,
)
from retrain_pipeline.assets.endings import ending_of
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.lanes import acting, ended
from retrain_pipeline.spec.declaration import Declaration

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger
    from retrain_pipeline.triggers.policy import TriggerDecision

RETRAIN_SECONDS = 60
ALERT_SECONDS = 30
RUNS_A_TICK = 50


def is_alive(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Return whether Dagster knows the run and has not seen it end."""
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in ALIVE


def _run_request(model: str, decision: "TriggerDecision") -> dg.RunRequest:
    from retrain_pipeline.triggers.state import run_key

    config = {
        "as_of": decision.as_of.isoformat(),
        "kind": decision.kind,
        "mode": decision.mode,
        "trigger_id": decision.trigger_id,
        "attempt": decision.attempt,
        "reasons": list(decision.reasons),
    }
    return dg.RunRequest(
        run_key=run_key(model, decision),
        asset_selection=asset_keys(model, MODEL_SIDE),
        run_config={"ops": {asset_key(model, "training_set").to_python_identifier(): {"config": config}}},
        tags={
            MODEL_TAG: model,
            SIDE_TAG: "model",
            TRIGGER_TAG: decision.trigger_id,
            ATTEMPT_TAG: str(decision.attempt),
            WHY_TAG: decision.kind,
        },
    )


def retrain_sensor(declaration: Declaration) -> dg.SensorDefinition:
    """Return the sensor that asks for a retrain of one model, and says what it looked at when it does not."""
    spec, lane = declaration.spec, declaration.lane

    @dg.sensor(
        name=f"{spec.name}_retrain",
        asset_selection=dg.AssetSelection.assets(*asset_keys(spec.name, MODEL_SIDE)),
        minimum_interval_seconds=RETRAIN_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks for a retrain of {spec.name} when the stored evidence says that it is time.",
    )
    def retrain(context: dg.SensorEvaluationContext, stores: StoresResource) -> dg.RunRequest | dg.SkipReason:
        from retrain_pipeline.records.experiments import lacks_experiment, write_experiments
        from retrain_pipeline.triggers.halts import fleet_use
        from retrain_pipeline.triggers.policy import decide
        from retrain_pipeline.triggers.retrain import close_dead
        from retrain_pipeline.triggers.state import read_state

        with acting(lane):
            opened = stores.open()
        ledger = opened.ledger
        if (end := ended(ledger, lane)) is not None:
            return dg.SkipReason(f"the lane was ended: {end.payload['because']}; remove its folder")
        in_flight = is_in_flight(context.instance, spec.name, "model")
        if not in_flight:
            close_dead(
                ledger,
                spec.name,
                lambda run_id: is_alive(context.instance, run_id),
                actor=f"sensor:{spec.name}_retrain",
                ending=lambda run_id: ending_of(context.instance, run_id),
            )
            # what was rejected or failed never comes to the asset that writes records
            if lacks_experiment(opened, spec.name):
                write_experiments(opened, declaration, f"sensor:{spec.name}_retrain")
        fleet = fleet_use(ledger, os.environ, lane=lane)
        decision = decide(read_state(ledger, spec, in_flight=in_flight, fleet=fleet))
        if decision.action == "wait":
            return dg.SkipReason("; ".join(decision.reasons))
        return _run_request(spec.name, decision)

    return retrain


def _note_ended_runs(context: dg.SensorEvaluationContext, ledger: "Ledger", models: Sequence[str]) -> None:
    """Give the ended runs of our models the entries that they lack: failed and cancelled ones, and silent retrains.

    Dagster's failure sensors miss what never started, and a retrain that it saw succeed and that no entry ends.
    """
    from retrain_pipeline.alerts import note_failed_run
    from retrain_pipeline.triggers.retrain import TERMINAL, close_retrain

    ended = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
    silent = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS], tags={SIDE_TAG: "model"})
    found = [run for asked in (silent, ended) for run in reversed(context.instance.get_runs(asked, limit=RUNS_A_TICK))]
    for run in found:
        model, is_retrain = run.tags.get(MODEL_TAG, ""), run.tags.get(SIDE_TAG) == "model"
        told = TERMINAL if is_retrain else ("contract_failed", "run_failed")
        if model not in models or ledger.entries(model=model, action=told, run_id=run.run_id, limit=1):
            continue
        how = ending_of(context.instance, run.run_id)
        if is_retrain:
            close_retrain(ledger, model, run.run_id, how.words, "sensor:alerts", how.cause)
        else:
            note_failed_run(ledger, model, run.run_id, how.words)


def alerts_sensor(models: Sequence[str]) -> dg.SensorDefinition:
    """Return the sensor that turns failed gates, contracts and runs of all models into alerts."""

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=ALERT_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Enters failed gates, failed contracts and failed runs in the ledger, and tells the notifiers.",
    )
    def alerts(context: dg.SensorEvaluationContext, stores: StoresResource) -> dg.SensorResult | dg.SkipReason:
        from retrain_pipeline.alerts import notifiers_from_environment, raise_alerts

        opened = stores.open()
        _note_ended_runs(context, opened.ledger, models)
        before = int(context.cursor or 0)
        told, seq, troubles = raise_alerts(opened.ledger, notifiers_from_environment(stores.folder()), before)
        for trouble in troubles:
            context.log.error(trouble)
        return dg.SensorResult(
            skip_reason=dg.SkipReason(f"told {len(told)} alerts from ledger entries {before + 1} to {seq}"),
            cursor=str(seq),
        )

    return alerts
