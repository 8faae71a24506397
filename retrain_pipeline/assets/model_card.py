"""`model_card`: what a released version is, written from the stores."""

import dagster as dg

from retrain_pipeline.assets.common import markdown, model_asset
from retrain_pipeline.assets.portal import portal_page
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.spec.declaration import Declaration


def model_card_asset(declaration: Declaration) -> dg.AssetsDefinition:
    """Return the asset `<model>/model_card`."""
    spec = declaration.spec

    # After the measurements, which never fail a run: the card names the limitations that they show.
    deps = ("release", "insight")

    @model_asset(declaration, "model_card", {"markdown"}, deps, "The card of the released version.")
    def model_card(context: dg.AssetExecutionContext, stores: StoresResource) -> dg.MaterializeResult[None]:
        from retrain_pipeline.records.card import write_card
        from retrain_pipeline.triggers.retrain import subject_of

        opened = stores.open()
        version = subject_of(opened.ledger, spec.name, ("released", "staged"), context.run.run_id)
        card = write_card(opened, declaration, version)
        return dg.MaterializeResult(
            metadata={
                "version": version,
                "card": markdown(opened.artifacts.get(card.markdown).decode()),
                "file": dg.MetadataValue.path(opened.artifacts.path(card.markdown)),
                "digest": card.json,
                "portal": portal_page(stores, spec.name, version),
            }
        )

    return model_card
