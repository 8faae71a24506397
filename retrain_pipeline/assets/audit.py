"""`audit`: what is overdue, dead, outdated or private in a model's record; and the schedule that looks once a week."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from retrain_pipeline.assets.common import check_specs, markdown, metadata, model_asset, run_actor
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.assets.schedules import side_schedule
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger


def audit_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/audit`."""
    from retrain_pipeline.records.audit.checks import CHECKS

    spec = declaration.spec

    @model_asset(
        declaration,
        "audit",
        {"markdown"},
        ("records",),
        "Reviews that are overdue, references that are dead, decisions that are outdated, versions to retire, personal "
        "data in texts; who filled in the records, and the ML Test Score with its evidence.",
        checks=check_specs(spec, "audit", CHECKS, False),
    )
    def audit(
        context: dg.AssetExecutionContext, stores: StoresResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        from datetime import UTC, datetime

        from retrain_pipeline.records.audit.annex import annex, as_markdown
        from retrain_pipeline.records.audit.look import audit as look_over
        from retrain_pipeline.records.audit.look import examined
        from retrain_pipeline.records.audit.page import page

        opened = stores.open()
        today = datetime.now(UTC).date()
        found = look_over(opened, declaration, today=today, actor=run_actor(context), run_id=context.run.run_id)
        for result in found.checks:
            yield dg.AssetCheckResult(
                check_name=result.gate,
                asset_key=context.asset_key,
                passed=result.verdict is Verdict.PASS,
                severity=dg.AssetCheckSeverity.WARN,
                description=result.words,
                metadata={
                    "verdict": result.verdict.value,
                    **metadata({"found": result.statistic, "looked_at": result.n}),
                },
            )
        score = found.test_score
        told = {
            "ml_test_score": score["score"],
            **{f"ml_test_score_{name}": one for name, one in score["sections"].items()},
        }
        told |= {"findings": len(found.findings), "machine_filled": found.machine_share}
        points = annex(examined(opened, declaration), declaration.folder)
        pages = {"audit": page(found), "annex_iv": as_markdown(spec.name, points)}
        told |= {name: markdown(text) for name, text in pages.items()}
        yield dg.MaterializeResult(metadata=metadata({**told, "looked_until": found.looked_until}))

    return audit


def audit_schedule(declarations: Sequence[Declaration]) -> dg.ScheduleDefinition:
    """Return the schedule that audits every model that the ledger knows, once a week."""

    def is_known(ledger: "Ledger", spec: ModelSpec) -> bool:
        return bool(ledger.entries(model=spec.name, limit=1))

    words = "Audits the record of every model, on Mondays."
    return side_schedule("audits", "audit", "15 6 * * 1", words, declarations, is_known)
