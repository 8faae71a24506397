"""`portal`: the records of all models as pages, brought up to date every morning and after any card on request."""

import os
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from retrain_pipeline.assets.common import asset_key
from retrain_pipeline.assets.graph import graph_of
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.assets.schedules import ALL_ASSETS_JOB
from retrain_pipeline.spec.declaration import Declaration

PORTAL = "portal"
PLACE = "RETRAIN_PORTAL"
"""Environment variable: the folder of the portal. Default: `portal` beside the stores."""


def portal_folder(stores: StoresResource) -> Path:
    """Return where the portal is."""
    return Path(os.environ.get(PLACE) or stores.folder() / PORTAL).absolute()


def portal_page(stores: StoresResource, model: str, version: str) -> dg.MetadataValue:
    """Return a link to a version's page, for the metadata of what is made about it."""
    from retrain_pipeline.records.portal.links import version_page

    return dg.MetadataValue.path(portal_folder(stores) / version_page(model, version))


def portal_asset(declarations: Sequence[Declaration]) -> dg.AssetsDefinition:
    """Return the asset `portal` of a project."""
    deps = [asset_key(one.spec.name, "records") for one in declarations if one.lane is None]

    @dg.asset(
        key=dg.AssetKey([PORTAL]),
        deps=deps,
        group_name="fleet",
        kinds={"html"},
        description=(
            "A static site of every record: models, versions, experiments, decisions, lineage, gates and their "
            "evidence. Its first page is in the metadata `index`; it needs no server."
        ),
    )
    def portal(context: dg.AssetExecutionContext, stores: StoresResource) -> dg.MaterializeResult[None]:
        from retrain_pipeline.records.portal.build import build_portal

        built = build_portal(stores.open(), portal_folder(stores), graph=graph_of(declarations))
        return dg.MaterializeResult(
            metadata={
                "index": dg.MetadataValue.path(built.index),
                "url": dg.MetadataValue.url(built.index.as_uri()),
                "models": built.models,
                "versions": built.versions,
                "pages": built.pages,
                "written": built.made,
                "removed": built.removed,
            }
        )

    return portal


def portal_schedule() -> dg.ScheduleDefinition:
    """Return the schedule that brings the portal up to date every morning, after the data of the night."""

    @dg.schedule(
        name="portal_every_day",
        cron_schedule="15 6 * * *",
        job_name=ALL_ASSETS_JOB,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Brings the portal up to date: only pages whose records changed are written.",
    )
    def portal_every_day(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        day = f"{context.scheduled_execution_time:%Y%m%d}"
        return dg.RunRequest(run_key=f"portal-{day}", asset_selection=[dg.AssetKey([PORTAL])])

    return portal_every_day


def portal_definitions(declarations: Sequence[Declaration]) -> dg.Definitions:
    """Return the portal of a project; of a code location of lanes alone none, it would leave out their models."""
    if all(one.lane is not None for one in declarations):
        return dg.Definitions()
    return dg.Definitions(assets=[portal_asset(declarations)], schedules=[portal_schedule()])
