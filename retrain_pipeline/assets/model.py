"""A declaration becomes a model's asset group; all declarations together get their schedules and the alert sensor."""

from collections.abc import Callable, Sequence
from typing import get_args

import dagster as dg

from retrain_pipeline.assets.approval import approval_asset
from retrain_pipeline.assets.audit import audit_asset, audit_schedule
from retrain_pipeline.assets.candidate import candidate_asset
from retrain_pipeline.assets.drill import drill_asset, drill_schedule
from retrain_pipeline.assets.evaluation import evaluation_asset
from retrain_pipeline.assets.features import features_asset
from retrain_pipeline.assets.feedback import feedback_asset
from retrain_pipeline.assets.insight import insight_asset
from retrain_pipeline.assets.model_card import model_card_asset
from retrain_pipeline.assets.monitoring import monitoring_asset
from retrain_pipeline.assets.portal import portal_definitions
from retrain_pipeline.assets.predictions import predictions_asset
from retrain_pipeline.assets.raw import raw_asset
from retrain_pipeline.assets.records import records_asset
from retrain_pipeline.assets.release import release_asset
from retrain_pipeline.assets.replay import replay_asset
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.assets.rollout import rollout_asset
from retrain_pipeline.assets.schedules import data_schedule
from retrain_pipeline.assets.training_set import training_set_asset
from retrain_pipeline.assets.triggers import alerts_sensor, retrain_sensor
from retrain_pipeline.periods import Cadence
from retrain_pipeline.spec.declaration import Declaration

BUILDERS = (
    raw_asset,
    features_asset,
    predictions_asset,
    feedback_asset,
    monitoring_asset,
    rollout_asset,
    training_set_asset,
    candidate_asset,
    evaluation_asset,
    release_asset,
    insight_asset,
    model_card_asset,
    records_asset,
    drill_asset,
    audit_asset,
    replay_asset,
)


def model_definitions(declaration: Declaration) -> dg.Definitions:
    """Return the assets, checks and retrain sensor of one model."""
    return dg.Definitions(
        assets=[build(declaration) for build in _builders(declaration)],
        sensors=[retrain_sensor(declaration)],
    )


def _builders(declaration: Declaration) -> tuple[Callable[[Declaration], dg.AssetsDefinition], ...]:
    if declaration.lane is not None:
        return tuple(build for build in BUILDERS if build is not raw_asset)
    asks = declaration.spec.rollout.approval == "required"
    return (*BUILDERS, approval_asset) if asks else BUILDERS


def fleet_definitions(declarations: Sequence[Declaration]) -> dg.Definitions:
    """Return what all models share: a schedule a cadence, and the alerts."""
    by_cadence: dict[Cadence, list[Declaration]] = {cadence: [] for cadence in get_args(Cadence)}
    for declaration in sorted(declarations, key=lambda d: d.spec.name):
        by_cadence[declaration.spec.data.time.period].append(declaration)
    named = [declaration.spec.name for declaration in declarations if declaration.lane is None]
    return dg.Definitions(
        schedules=[
            *(data_schedule(cadence, models) for cadence, models in by_cadence.items() if models),
            drill_schedule(declarations),
            audit_schedule(declarations),
        ],
        # a lane's own sensor closes what died in it, as the lane; a location of lanes alone may not enter alerts
        sensors=[alerts_sensor(named)] if named or not declarations else [],
    )


def shared_definitions(declarations: Sequence[Declaration]) -> dg.Definitions:
    """Return what a code location has beside its models: schedules, alerts and the portal."""
    return dg.Definitions.merge(fleet_definitions(declarations), portal_definitions(declarations))


def project_definitions(declarations: Sequence[Declaration], stores: StoresResource | None = None) -> dg.Definitions:
    """Return a whole project over some declarations, as the code location has it; for tests and for playing history."""
    return dg.Definitions.merge(
        *(model_definitions(declaration) for declaration in declarations),
        fleet_definitions(declarations),
        dg.Definitions(resources={"stores": stores or StoresResource()}, executor=dg.in_process_executor),
    )
