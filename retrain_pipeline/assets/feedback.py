"""`feedback`: the labels that became known in a period, joined to the predictions that they answer."""

import dagster as dg

from retrain_pipeline.assets.common import data_root, data_side_settings, metadata
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration


def feedback_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/feedback`."""
    spec = declaration.spec

    @dg.asset(
        **data_side_settings(
            spec, "feedback", {"deltalake"}, ("raw", "predictions"), "Labels as they mature, beside what was predicted."
        )
    )
    def feedback(context: dg.AssetExecutionContext, stores: StoresResource) -> dg.MaterializeResult[None]:
        from retrain_pipeline.lake.ingest import ingest_labels
        from retrain_pipeline.monitoring.feedback import update_feedback

        opened = stores.open()
        reports = []
        rejected = 0
        for period in context.partition_keys:
            labels = ingest_labels(opened.lake, spec.data, spec.name, period, root=data_root())
            rejected += labels.rejected
            reports.append(update_feedback(opened, spec, period))
        last = reports[-1]
        return dg.MaterializeResult(
            metadata=metadata(
                {
                    "periods": len(reports),
                    "labels": sum(r.labels for r in reports),
                    "labels_rejected": rejected,
                    "answered_predictions": sum(r.rows for r in reports),
                    "maturity": {period: round(share, 4) for period, share in last.maturity.items()} or None,
                }
            )
        )

    return feedback
