"""`rollout`: the model on trial, or the champion that followed another, looked at in a period; on, hold or back."""

from collections.abc import Iterator

import dagster as dg

from retrain_pipeline.assets.common import check_specs, data_asset, data_root, metadata, run_actor
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration

CHECKS = {"trial": "The model on trial, or just released, is no worse than the one before it, on the same rows."}
BACK = frozenset({"withdraw", "rolled_back"})
ENDS = BACK | {"promote"}


def rollout_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/rollout`."""
    spec = declaration.spec

    @data_asset(
        declaration,
        "rollout",
        set(),
        ("monitoring",),
        "Stages of a release: shadow, canary, champion. What is shown to be worse goes back, before and after.",
        checks=check_specs(spec, "rollout", CHECKS, False),
    )
    def rollout(
        context: dg.AssetExecutionContext, stores: StoresResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        from retrain_pipeline.records.rollouts import results_table, stored_trial_plot
        from retrain_pipeline.records.settle import settle_move
        from retrain_pipeline.records.truth.before_release import verify_before_release
        from retrain_pipeline.release.rollout import roll
        from retrain_pipeline.release.state import current

        opened = stores.open()
        _, deployment = current(opened.ledger, spec.name)
        if deployment is not None and deployment.challenger is not None:
            verify_before_release(opened, declaration, actor=run_actor(context), run_id=context.run.run_id)
        moved = False
        for period in context.partition_keys:
            report = roll(
                opened, declaration, period, run_id=context.run.run_id, actor=run_actor(context), root=data_root()
            )
            moved = moved or report.move in ENDS
            numbers = {one.gate.replace(":", "_"): one.statistic for one in report.results}
            context.add_asset_metadata(metadata({"move": report.move, **numbers}), partition_key=period)
        if moved:
            settle_move(opened, declaration, run_actor(context))
        plot = stored_trial_plot(opened, spec.name)
        yield dg.AssetCheckResult(
            check_name="trial",
            asset_key=context.asset_key,
            passed=report.move not in BACK,
            severity=dg.AssetCheckSeverity.ERROR,
            description=report.words,
            metadata=metadata({"move": report.move, "look": report.look}),
        )
        yield dg.MaterializeResult(
            metadata=metadata(
                {
                    "move": report.move,
                    "words": report.words,
                    "champion": report.champion or "no champion yet",
                    "on_trial": report.challenger,
                    "stage": report.stage,
                    "share": report.share,
                    "results": dg.MetadataValue.md(results_table(report.results)) if report.results else None,
                    "trial_plot": dg.MetadataValue.path(opened.artifacts.path(plot)) if plot else None,
                }
            )
        )

    return rollout
