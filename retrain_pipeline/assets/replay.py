"""`replay`: what other trigger policies would have done over the model's record; on demand."""

import dagster as dg
from pydantic import Field

from retrain_pipeline.assets.common import config_of, model_asset, schema_of
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration


class ReplayConfig(dg.Config):
    """What is compared; nothing filled in compares the declared cost and the usual policies."""

    policies: list[str] = Field([], description="Trigger policies by name; empty: the usual ones.")
    costs: list[float] = Field([], description="Costs of a retrain; empty: the declared one.")


def replay_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/replay`."""
    spec = declaration.spec

    words = "What other trigger policies would have done over the model's record; on demand."

    @model_asset(declaration, "replay", {"scikitlearn"}, ("feedback",), words, config_schema=schema_of(ReplayConfig))
    def replay(context: dg.AssetExecutionContext, stores: StoresResource) -> dg.MaterializeResult[None]:
        from retrain_pipeline.replay.decisions import redecide
        from retrain_pipeline.replay.picture import frontier_plot
        from retrain_pipeline.replay.report import POLICIES, replay_model
        from retrain_pipeline.triggers.cost import retrain_cost

        config = config_of(context, ReplayConfig)
        opened = stores.open()
        found = replay_model(
            opened,
            spec,
            config.policies or POLICIES,
            config.costs or [retrain_cost(opened.ledger, spec)],
            stores.folder() / "replay",
            progress=lambda done, total: context.log.info(f"{done} of {total} models fitted"),
        )
        decisions = redecide(opened.ledger, spec)
        picture = opened.artifacts.put(frontier_plot(found.frontier, found.outcomes, f"{spec.name}: loss by retrains"))
        rows = [dg.TableRecord(dict(row)) for row in found.rows()]
        return dg.MaterializeResult(
            metadata={
                "policies": dg.MetadataValue.table(rows),
                "picture": dg.MetadataValue.path(opened.artifacts.path(picture)),
                "periods_served": len(found.outcomes[0].episode.losses),
                "decisions": len(decisions),
                "decisions_taken_again_alike": sum(one.same for one in decisions),
            }
        )

    return replay
