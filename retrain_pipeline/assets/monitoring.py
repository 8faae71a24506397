"""`monitoring`: how a period compares with what the champion was trained on and promised."""

from collections.abc import Iterator

import dagster as dg

from retrain_pipeline.assets.common import check_result, check_specs, data_asset, data_root, metadata
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.lake.checks import Check
from retrain_pipeline.spec.declaration import Declaration

CHECKS = {
    "performance": "The champion's loss on mature labels against its validated loss.",
    "drift": "Feature columns against the champion's training rows, beyond a minimum effect.",
}


def monitoring_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/monitoring`."""
    spec = declaration.spec

    @data_asset(
        spec,
        "monitoring",
        {"deltalake", "evidently"},
        ("features", "predictions", "feedback"),
        "Drift, performance, latency and errors of a period; the stored verdict that the trigger reads.",
        checks=check_specs(spec, "monitoring", CHECKS, False),
    )
    def monitoring(
        context: dg.AssetExecutionContext, stores: StoresResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        from retrain_pipeline.monitoring.monitor import monitor_period

        opened = stores.open()
        last = [monitor_period(opened, spec, period, root=data_root()) for period in context.partition_keys][-1]
        performance, drift = last.performance, last.drift
        parts = {
            "performance": Check("performance", performance.verdict, performance.words, {}),
            "drift": Check("drift", drift.verdict, drift.words, {}),
        }
        for name, check in parts.items():
            yield check_result(spec.name, "monitoring", name, [(last.period, check)], stops=False)
        links = {
            f"{name}_report": dg.MetadataValue.path(opened.artifacts.path(digest))
            for name, digest in (("full", last.report), ("evidently", last.evidently))
            if digest
        }
        yield dg.MaterializeResult(
            metadata=metadata(
                {
                    "verdict": last.verdict.value,
                    "champion": last.champion or "no champion yet",
                    "loss": performance.mean,
                    "validated_loss": performance.validated,
                    "labels_judged": performance.n,
                    "max_drift": drift.max_effect,
                    "drifted_columns": ", ".join(drift.columns) or None,
                    "latency_ms_p95": last.latency_ms_p95,
                    "unseen_categories": last.unseen,
                    "diagnosis": last.diagnosis.words,
                    "estimated_loss": last.late.guess.estimate if last.late else None,
                }
            )
            | links
            | {"signals": dg.MetadataValue.md(last.signals.markdown())}
        )

    return monitoring
