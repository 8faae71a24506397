"""The asset graph as plain data, from the definitions themselves: for pages that know nothing of Dagster."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from retrain_pipeline.assets.common import DATA_SIDE
from retrain_pipeline.spec.declaration import Declaration


def graph_of(declarations: Sequence[Declaration]) -> dict[str, list[dict[str, Any]]]:
    """Return the assets of each model: `key`, `deps` (keys), `kinds`, `side` (``data`` or ``model``) and `words`."""
    from retrain_pipeline.assets.model import model_definitions

    found = {}
    for declaration in declarations:
        specs = [
            spec
            for asset in model_definitions(declaration).assets or ()
            if isinstance(asset, dg.AssetsDefinition)
            for spec in asset.specs
        ]
        found[declaration.spec.name] = [_plain(spec) for spec in sorted(specs, key=lambda one: one.key)]
    return found


def _plain(spec: dg.AssetSpec) -> dict[str, Any]:
    return {
        "key": spec.key.to_user_string(),
        "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
        "kinds": sorted(spec.kinds),
        "side": "data" if spec.key.path[-1] in DATA_SIDE else "model",
        "words": spec.description or "",
    }
