"""What Dagster loads: the defs folder, the executor, the stores."""

from pathlib import Path

import dagster as dg

from retrain_pipeline.quick import quickly


@dg.definitions
def defs() -> dg.Definitions:
    """Return everything under `defs/`, run in one process by default (elsewhere each step imports all again)."""
    with quickly():  # our own modules are a part of what is loaded
        from retrain_pipeline.assets.resources import StoresResource
        from retrain_pipeline.components.loading import load_defs_folder

        return dg.Definitions.merge(
            load_defs_folder(Path(__file__).parent),
            dg.Definitions(resources={"stores": StoresResource()}, executor=dg.in_process_executor),
        )
