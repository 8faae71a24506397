"""`predictions`: the rows of a period, scored by whoever the deployment state says."""

import dagster as dg

from retrain_pipeline.assets.common import data_asset, metadata
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration


def predictions_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/predictions`."""

    @data_asset(
        declaration,
        "predictions",
        {"scikitlearn", "deltalake"},
        ("features",),
        "Rows scored by the champion of their time, or who is on trial.",
    )
    def predictions(context: dg.AssetExecutionContext, stores: StoresResource) -> dg.MaterializeResult[None]:
        from retrain_pipeline.release.serving import score_period

        opened = stores.open()
        reports = [score_period(opened, declaration, period) for period in context.partition_keys]
        last = reports[-1]
        return dg.MaterializeResult(
            metadata=metadata(
                {
                    "periods": len(reports),
                    "rows": sum(r.rows for r in reports),
                    "model_version": last.version or "no champion yet",
                    "arms": ", ".join(f"{arm} {rows}" for arm, rows in last.arms.items()) or None,
                    "answers_beside": last.beside,
                    "could_not_answer": "; ".join(f"{v}: {why}" for v, why in last.failures.items())[:500] or None,
                    "latency_ms_p95": last.latency_ms_p95,
                    "unseen_categories": sum(sum(r.unseen.values()) for r in reports),
                    "missing_values": sum(sum(r.missing.values()) for r in reports),
                }
            )
        )

    return predictions
