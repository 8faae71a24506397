"""`feedback`: the labels that became known in a period, joined to the predictions that they answer."""

from collections.abc import Iterator

import dagster as dg

from retrain_pipeline.assets.common import asset_key, check_result, check_specs, data_asset, data_root, metadata
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration

CHECKS = {"labels": "Labels have a usable value and answer a row that we have."}


def feedback_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/feedback`."""
    spec, lane = declaration.spec, declaration.lane

    @data_asset(
        declaration,
        "feedback",
        {"deltalake"},
        ("predictions", asset_key(lane.of, "feedback")) if lane else ("raw", "predictions"),
        "Labels as they mature, beside what was predicted.",
        checks=() if lane else check_specs(spec, "feedback", CHECKS, False),
    )
    def feedback(
        context: dg.AssetExecutionContext, stores: StoresResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        from retrain_pipeline.lake.ingest import ingest_labels
        from retrain_pipeline.monitoring.feedback import update_feedback

        opened = stores.open()
        taken, reports = [], []
        for period in context.partition_keys:
            if lane is None:  # else the model has taken them
                taken.append((period, ingest_labels(opened.lake, spec.data, spec.name, period, root=data_root())))
            reports.append(update_feedback(opened, spec, period))
        if taken:
            yield check_result(
                spec.name, "feedback", "labels", [(p, check) for p, r in taken for check in r.checks], stops=False
            )
        last = reports[-1]
        yield dg.MaterializeResult(
            metadata=metadata(
                {
                    "periods": len(reports),
                    "labels": sum(r.labels for r in reports),
                    "labels_rejected": sum(r.rejected for _, r in taken),
                    "answered_predictions": sum(r.rows for r in reports),
                    "maturity": {period: round(share, 4) for period, share in last.maturity.items()} or None,
                }
            )
        )

    return feedback
