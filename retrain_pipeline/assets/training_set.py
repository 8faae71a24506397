"""`training_set`: the rows that a candidate learns from and is judged on, as of one moment, frozen by digest."""

from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from retrain_pipeline.assets.common import (
    ATTEMPT_TAG,
    OOM_TAG,
    TRIGGER_TAG,
    asset_key,
    config_of,
    metadata,
    model_asset,
    run_actor,
    schema_of,
    upstream,
)
from retrain_pipeline.assets.failures import closing
from retrain_pipeline.assets.insight import MAX_COLUMNS
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores


class RetrainConfig(dg.Config):
    """Who asks for a model, as of when. A person who fills in nothing asks as of the newest monitored period."""

    as_of: str = Field(
        "", description="End of a period, ISO 8601 with a zone; empty: the end of the newest monitored period."
    )
    kind: str = Field("manual", description="Why: first_model, policy, performance, drift, max_age or manual.")
    mode: str = Field(
        "",
        description="What must be proved: first, non_inferiority or superiority; empty: what the state asks for.",
    )
    trigger_id: str = Field("", description="The evidence that asked; empty for a person.")
    reasons: list[str] = Field([], description="What was looked at, for the record.")
    attempt: int = Field(1, ge=1, description="Which attempt at this trigger it is.")


def training_set_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/training_set`."""
    spec = declaration.spec

    @model_asset(
        declaration,
        "training_set",
        {"deltalake"},
        ("features", "feedback"),
        "Labelled rows as of a moment, frozen by digest.",
        config_schema=schema_of(RetrainConfig),
    )
    def training_set(context: dg.AssetExecutionContext, stores: StoresResource) -> dg.MaterializeResult[None]:
        from retrain_pipeline.learning.frozen import record_training_set
        from retrain_pipeline.learning.kernel import oom_kills
        from retrain_pipeline.learning.training_set import freeze_training_set
        from retrain_pipeline.records.hypotheses import begin
        from retrain_pipeline.triggers.request import retrain_requested

        config = config_of(context, RetrainConfig)
        opened = stores.open()
        actor = run_actor(context)
        retrain = retrain_requested(
            opened.ledger,
            spec,
            run_id=context.run.run_id,
            as_of=config.as_of,
            kind=config.kind,
            mode=config.mode,
            trigger_id=config.trigger_id,
            attempt=config.attempt,
            actor=actor,
            reasons=config.reasons,
        )
        context.instance.add_run_tags(
            context.run.run_id,
            {TRIGGER_TAG: retrain.trigger_id, ATTEMPT_TAG: str(retrain.attempt), OOM_TAG: oom_kills() or ""},
        )
        with closing(opened.ledger, spec.name, context.run.run_id, asset_key(spec.name, "training_set")):
            begin(opened, declaration, retrain, actor)
            frozen = freeze_training_set(opened, spec, retrain.as_of)
            record_training_set(opened, frozen, run_id=context.run.run_id, actor=actor)
        return dg.MaterializeResult(
            metadata=metadata(
                {
                    "as_of": retrain.as_of.isoformat(),
                    "why": retrain.kind,
                    "training_rows": frozen.train_rows,
                    "evaluation_rows": frozen.evaluation_rows,
                    "train_from": frozen.train_from,
                    "train_until": frozen.train_until,
                    "evaluation_until": frozen.evaluation_until,
                    "features_version": frozen.features.version,
                    "labels_version": frozen.labels.version,
                    "digest": frozen.digest,
                }
            )
            | _lineage(declaration, opened),
            data_version=dg.DataVersion(frozen.digest),
        )

    return training_set


def _lineage(declaration: Declaration, stores: "Stores") -> dict[str, Any]:
    """Return ``dagster/column_lineage``: a feature comes from that of its name, the label from the source's column."""
    from retrain_pipeline.learning.team_code import code_digest
    from retrain_pipeline.records.insights import lineage_of_code
    from retrain_pipeline.records.record import RecordRefused

    spec = declaration.spec
    try:
        found = lineage_of_code(stores, spec.name, code_digest(declaration.folder))
    except RecordRefused:  # shown only: a damaged record stops no retrain, and the features say that they lack it
        return {}
    if found is None:
        return {}
    features = asset_key(spec.name, "features")
    deps = {name: [dg.TableColumnDep(features, name)] for name in sorted(found.sources)[:MAX_COLUMNS]}
    if spec.data.label.source is None:
        deps["label"] = [dg.TableColumnDep(upstream(declaration, "raw"), spec.data.label.column)]
    lineage = dg.TableColumnLineage(deps_by_column=deps)
    return {"dagster/column_lineage": dg.MetadataValue.column_lineage(lineage)}
