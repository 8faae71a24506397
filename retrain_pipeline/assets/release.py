"""`release`: the deployment state moves to a version whose evidence passes, and to no other."""

import dagster as dg

from retrain_pipeline.assets.common import asset_key, metadata, model_asset, run_actor
from retrain_pipeline.assets.failures import closing
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration


def release_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/release`."""
    spec = declaration.spec

    @model_asset(
        declaration,
        "release",
        set(),
        ("evaluation",),
        "Re-reads the evidence by digest and makes the version champion; with declared stages it is on trial first.",
    )
    def release(context: dg.AssetExecutionContext, stores: StoresResource) -> dg.MaterializeResult[None]:
        from retrain_pipeline.records.truth.before_release import verify_before_release
        from retrain_pipeline.release.release import newest_evidence
        from retrain_pipeline.release.release import release as release_version
        from retrain_pipeline.triggers.retrain import subject_of

        opened = stores.open()
        with closing(opened.ledger, spec.name, context.run.run_id, asset_key(spec.name, "release")):
            version = subject_of(opened.ledger, spec.name, "candidate_built", context.run.run_id)
            evidence_digest = newest_evidence(opened, spec.name, version)
            actor = run_actor(context)
            verify_before_release(opened, declaration, actor=actor, run_id=context.run.run_id)
            outcome = release_version(
                opened,
                declaration,
                version,
                evidence_digest=evidence_digest,
                run_id=context.run.run_id,
                actor=actor,
            )
        return dg.MaterializeResult(
            metadata=metadata(
                {
                    "champion": outcome.deployment.champion,
                    "on_trial": f"{version}: {outcome.stage}" if outcome.stage else None,
                    "previous": outcome.deployment.previous or "none",
                    "epoch": outcome.epoch,
                    "evidence": evidence_digest,
                    "words": outcome.words,
                }
            ),
            data_version=dg.DataVersion(version),
        )

    return release
