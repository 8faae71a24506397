"""`drill`: the way back rehearsed, in a copy; and the schedule that holds it where it is declared to be due."""

from collections.abc import Iterator, Sequence

import dagster as dg

from retrain_pipeline.assets.common import (
    MODEL_TAG,
    SIDE_TAG,
    asset_keys,
    check_specs,
    metadata,
    model_asset,
    run_actor,
)
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.assets.schedules import ALL_ASSETS_JOB
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.verdicts import Verdict

CHECKS = {"way_back": "The earlier champion serves again within a second, with the same answers, in a copy."}


def drill_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/drill`."""
    spec = declaration.spec

    @model_asset(
        declaration,
        "drill",
        set(),
        ("release",),
        "A real rollback in a copy of the record: golden answers compared, time measured. Failed or overdue, it stops "
        "the next release.",
        checks=check_specs(spec, "drill", CHECKS, False),
    )
    def drill(
        context: dg.AssetExecutionContext, stores: StoresResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        from retrain_pipeline.release.drills import drill as hold_drill

        report = hold_drill(stores.open(), spec, run_id=context.run.run_id, actor=run_actor(context))
        told = {
            "verdict": report.verdict.value,
            "words": report.words,
            "champion": report.champion,
            "target": report.target,
            "seconds": report.seconds,
            "golden_rows": report.golden_rows,
        }
        yield dg.AssetCheckResult(
            check_name="way_back",
            asset_key=context.asset_key,
            passed=report.verdict is Verdict.PASS,
            severity=dg.AssetCheckSeverity.ERROR if report.verdict is Verdict.FAIL else dg.AssetCheckSeverity.WARN,
            description=report.words,
            metadata=metadata({"seconds": report.seconds}),
        )
        yield dg.MaterializeResult(metadata=metadata(told))

    return drill


def drill_schedule(declarations: Sequence[Declaration]) -> dg.ScheduleDefinition:
    """Return the schedule that rehearses the way back of every model whose declared drill is due."""

    @dg.schedule(
        name="drills",
        cron_schedule="45 5 * * *",
        job_name=ALL_ASSETS_JOB,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Rehearses the rollback of every model whose drill is due by rollout.drill_periods.",
    )
    def drills(
        context: dg.ScheduleEvaluationContext, stores: StoresResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        from retrain_pipeline.release.drills import is_due

        ledger = stores.open().ledger
        due = [one.spec.name for one in declarations if is_due(ledger, one.spec)]
        for model in due:
            yield dg.RunRequest(
                run_key=f"drill-{model}-{context.scheduled_execution_time:%Y%m%d}",
                asset_selection=asset_keys(model, ["drill"]),
                tags={MODEL_TAG: model, SIDE_TAG: "drill"},
            )
        if not due:
            yield dg.SkipReason(f"no drill is due, in {len(declarations)} models")

    return drills
