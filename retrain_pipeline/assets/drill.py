"""`drill`: the way back rehearsed, in a copy; and the schedule that holds it where it is declared to be due."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from retrain_pipeline.assets.common import check_specs, metadata, model_asset, run_actor
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.assets.schedules import side_schedule
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger

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

    def is_due(ledger: "Ledger", spec: ModelSpec) -> bool:
        from retrain_pipeline.release.drills import is_due as drill_is_due

        return drill_is_due(ledger, spec)

    words = "Rehearses the rollback of every model whose drill is due by rollout.drill_periods."
    return side_schedule("drills", "drill", "45 5 * * *", words, declarations, is_due)
