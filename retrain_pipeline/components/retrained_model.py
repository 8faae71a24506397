"""`RetrainedModel`: one `defs.yaml` becomes one model's assets, checks and sensor."""

import logging
import os
import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import RootModel

from retrain_pipeline.assets.model import model_definitions
from retrain_pipeline.lanes import is_loaded
from retrain_pipeline.spec.declaration import Declaration, DeclarationRefused, read_declaration
from retrain_pipeline.spec.errors import Problem
from retrain_pipeline.spec.model import ModelSpec

_log = logging.getLogger("retrain_pipeline")


@cache
def _declaration_schema(*args: Any, **kwargs: Any) -> dict[str, Any]:
    # Pydantic takes 40 ms for it, and a code location asks for it of models and of lanes.
    schema = ModelSpec.model_json_schema(*args, **kwargs)
    features = schema["properties"]["features"]
    # `features: features.build` is short for a mapping with `build`
    schema["properties"]["features"] = {"anyOf": [{"type": "string"}, features]}
    return schema


class DeclaredAttributes(RootModel[dict[str, Any]]):
    """What stands under `attributes`: taken as it is; our own reader names every mistake at once."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the schema of the declaration, for `dg check yaml`, `dg list components` and editors."""
        return deepcopy(_declaration_schema(*args, **kwargs))


class ModelScaffolder(dg.Scaffolder):
    """Writes a model folder that loads at once."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write `defs.yaml`, `features.py` and a first decision into the folder that `dg scaffold defs` was given."""
        from retrain_pipeline.spec.template import scaffold

        # Dagster has no `-` in the names of groups and sensors
        scaffold(request.target_path, request.target_path.name.replace("-", "_"))


def declaration_key(folder: Path) -> dg.AssetKey:
    """Return `<folder>/declaration`, with the folders between `defs/models` (or `defs`) and the folder before it."""
    parts = folder.parts
    if "defs" in parts:
        parts = parts[len(parts) - parts[::-1].index("defs") :]
        parts = parts[1:] if parts[0] == "models" and len(parts) > 1 else parts
    else:
        parts = parts[-1:]
    return dg.AssetKey([*(re.sub(r"[^A-Za-z0-9_-]", "_", part) for part in parts), "declaration"])


def refused_definitions(folder: Path, words: str) -> dg.Definitions:
    """Return the one asset that stands for a declaration that cannot be used: it says what is wrong, and fails."""
    _log.error("%s", words)

    @dg.asset(
        key=declaration_key(folder),
        group_name=re.sub(r"[^A-Za-z0-9_]", "_", folder.name),
        description=f"**This declaration is refused.**\n\n```\n{words}\n```",
    )
    def declaration() -> None:
        raise dg.Failure(words, allow_retries=False)

    return dg.Definitions(assets=[declaration])


def check_dagster_name(declaration: Declaration) -> Declaration:
    """Return the declaration if Dagster can have a group and a sensor of the model's name.

    Raises
    ------
    DeclarationRefused
        When the name holds `-`, which the stores allow and Dagster does not.
    """
    name = declaration.spec.name
    if "-" in name:
        words = f"Dagster has no '-' in the names of groups and sensors: use {name.replace('-', '_')}"
        raise DeclarationRefused(declaration.file, [Problem("name", 0, 0, repr(name), words)])
    return declaration


@dg.scaffold_with(ModelScaffolder)
class RetrainedModel(dg.Component):
    """A model that is kept fresh: declared in `defs.yaml`, features in `features.py`, reasons in `decisions/`.

    Gives the assets raw, features, predictions, feedback and monitoring (a partition per period), training_set,
    candidate, evaluation, release, insight, model_card and records (a materialization per version), their checks, and
    the sensor that asks for a retrain. Every default can be seen in the file that `dg scaffold defs` writes.
    """

    def __init__(
        self, folder: Path, declaration: Declaration | None, refusal: DeclarationRefused | None = None
    ) -> None:
        self.folder = folder
        self.declaration = declaration
        self.refusal = refusal

    @classmethod
    def get_model_cls(cls) -> type[DeclaredAttributes]:
        """Return the type of the attributes."""
        return DeclaredAttributes

    @classmethod
    def load(cls, attributes: Any, context: dg.ComponentLoadContext) -> "RetrainedModel":
        """Read the declaration of the folder again, strictly; a refused one is kept with its reasons."""
        folder = Path(context.path)
        try:
            return cls(folder, check_dagster_name(read_declaration(folder)))
        except DeclarationRefused as refusal:
            return cls(folder, None, refusal)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the model's definitions, or the one asset that says why there are none."""
        if self.declaration is None:
            return refused_definitions(self.folder, str(self.refusal))
        return model_definitions(self.declaration) if self.is_loaded() else dg.Definitions()

    def is_loaded(self) -> bool:
        """Return whether this code location has it: lanes can have one of their own (RETRAIN_LANES)."""
        return self.declaration is not None and is_loaded(self.declaration.lane, os.environ)
