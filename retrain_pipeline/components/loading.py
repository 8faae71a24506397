"""Loading the defs folder so that one file that nobody can read does not hide the others."""

import importlib
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from retrain_pipeline.assets.model import fleet_definitions
from retrain_pipeline.components.retrained_model import RetrainedModel, refused_definitions

FILE = "defs.yaml"
TOP_KEYS = {"type", "attributes", "requirements", "post_processing", "template_vars_module"}


def unreadable(file: Path) -> str | None:
    """Return why Dagster itself would stumble over a file, or None. What it can read, the component judges."""
    try:
        documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return f"{file.name} is not YAML: {error}"
    for document in documents:
        if not isinstance(document, dict) or not isinstance(document.get("type"), str):
            return f"{file.name}: expected a mapping with a `type`"
        if not isinstance(document.get("attributes", {}), dict):
            return f"{file.name}: `attributes` is not a mapping"
        if unknown := sorted(str(key) for key in set(document) - TOP_KEYS):
            return f"{file.name}: unknown key {unknown[0]!r}; allowed: {', '.join(sorted(TOP_KEYS))}"
    return None


def troubles_of(files: list[Path]) -> dict[Path, str]:
    """Return the files that would break the load of all others: unreadable ones, and names declared twice."""
    troubles: dict[Path, str] = {}
    names: dict[Any, list[Path]] = {}
    for file in files:
        if words := unreadable(file):
            troubles[file] = words
            continue
        document = next(iter(yaml.safe_load_all(file.read_text(encoding="utf-8"))))
        if document["type"].endswith(".RetrainedModel"):
            names.setdefault(str(document.get("attributes", {}).get("name")), []).append(file)
    for name, same in names.items():
        if len(same) > 1:
            folders = ", ".join(file.parent.name for file in same)
            troubles |= dict.fromkeys(same, f"{FILE}: the name {name!r} is declared by {folders}; give each its own")
    return troubles


def load_defs_folder(package: Path) -> dg.Definitions:
    """Return the definitions of the project's defs folder.

    When a `defs.yaml` would break the load, each other model folder is loaded on its own, and the broken one gets an
    asset that says what is wrong.
    """
    files = sorted((package / "defs").rglob(FILE))
    troubles = troubles_of(files)
    if not troubles:
        return dg.load_from_defs_folder(path_within_project=package)
    parts, models = [], []
    for file in files:
        if file in troubles:
            parts.append(refused_definitions(file.parent, troubles[file]))
        else:
            module = ".".join((package.name, *file.parent.relative_to(package).parts))
            tree = dg.ComponentTree.from_module(importlib.import_module(module), project_root=package)
            parts.append(tree.build_defs())
            models += tree.get_all_components(of_type=RetrainedModel)
    fleet = fleet_definitions([model.declaration for model in models if model.declaration])
    return dg.Definitions.merge(*parts, fleet)
