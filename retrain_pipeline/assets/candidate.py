"""`candidate`: the best of the declared candidates, fitted on the frozen training rows and registered as a version."""

import dagster as dg

from retrain_pipeline.assets.common import asset_key, metadata, model_asset, run_actor
from retrain_pipeline.assets.failures import closing
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration


def candidate_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/candidate`."""
    spec = declaration.spec

    @model_asset(
        declaration,
        "candidate",
        {"scikitlearn"},
        ("training_set",),
        "The fitted model, its manifest and baselines.",
        pool="lanes" if declaration.lane else "training",  # no experiment keeps a model waiting
    )
    def candidate(context: dg.AssetExecutionContext, stores: StoresResource) -> dg.MaterializeResult[None]:
        from retrain_pipeline.learning.build import build_candidate
        from retrain_pipeline.learning.frozen import recorded_training_set
        from retrain_pipeline.learning.manifest import TriggerRef, fit_seconds
        from retrain_pipeline.monitoring.reference import store_reference
        from retrain_pipeline.triggers.retrain import note_candidate, retrain_of, subject_of

        opened = stores.open()
        with closing(opened.ledger, spec.name, context.run.run_id, asset_key(spec.name, "candidate")):
            deployed = opened.ledger.deployment(spec.name)
            retrain = retrain_of(opened.ledger, spec.name, context.run.run_id)
            digest = subject_of(opened.ledger, spec.name, "training_set_frozen", context.run.run_id)
            manifest = build_candidate(
                opened,
                declaration,
                recorded_training_set(opened, digest),
                trigger=TriggerRef(kind=retrain.kind, id=retrain.trigger_id, attempt=retrain.attempt),
                parent=deployed.state["champion"] if deployed else None,
                run_id=context.run.run_id,
                actor=run_actor(context),
            )
            store_reference(opened, spec, manifest.version)
            note_candidate(
                opened.ledger,
                spec.name,
                manifest.version,
                context.run.run_id,
                run_actor(context),
                fit_seconds=fit_seconds(opened, manifest),
            )
        return dg.MaterializeResult(
            metadata=metadata(
                {
                    "version": manifest.version,
                    "estimator": manifest.estimator,
                    "candidate": manifest.candidate,
                    "validation_loss": manifest.validation.loss,
                    "shorter_window_periods": manifest.window.periods if manifest.window else None,
                    "size_kb": round(manifest.size_bytes / 1024, 1),
                    "parent": manifest.parent or "none",
                    "fingerprint": manifest.prediction_fingerprint,
                    "dagster/code_version": manifest.feature_code_digest[:12],
                }
            )
            | {"leaderboard": dg.MetadataValue.path(opened.artifacts.path(manifest.leaderboard))},
            data_version=dg.DataVersion(manifest.version),
        )

    return candidate
