"""What all models share: a schedule a cadence, the alerts and the portal, over every model under `defs/`."""

import dagster as dg

from retrain_pipeline.assets.model import shared_definitions
from retrain_pipeline.components import RetrainedModel


@dg.definitions
def fleet(context: dg.ComponentLoadContext) -> dg.Definitions:
    """Return the fleet's schedules, sensors and portal."""
    models = context.component_tree.get_all_components(of_type=RetrainedModel)
    return shared_definitions([model.declaration for model in models if model.declaration and model.is_loaded()])
