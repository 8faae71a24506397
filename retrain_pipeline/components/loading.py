"""Loading the defs folder so that one file that nobody can read does not hide the others."""

import importlib
import logging
from pathlib import Path

import dagster as dg
import yaml
from dagster.components.core.component_tree import ComponentTreeException
from dagster_shared.check import CheckError
from dagster_shared.record import replace

from retrain_pipeline.assets.model import shared_definitions
from retrain_pipeline.components.retrained_model import RetrainedModel, refused_definitions
from retrain_pipeline.spec.declaration import DeclarationRefused, declared_name, is_declaration, read_declaration
from retrain_pipeline.spec.errors import YamlRefused
from retrain_pipeline.spec.yaml import read_yaml_file

FILE = "defs.yaml"
# What Dagster raises for a file that it cannot use: its own errors, PyYAML's, pydantic's and text that is not UTF-8
# (both ValueError), and the type of a component or its module that is not there.
UNUSABLE = (
    dg.DagsterError, ComponentTreeException, CheckError, yaml.YAMLError, ValueError, ImportError, SyntaxError,
)  # fmt: skip

_log = logging.getLogger("retrain_pipeline")


def load_defs_folder(package: Path) -> dg.Definitions:
    """Return the definitions of the project's defs folder.

    When a `defs.yaml` breaks the load, each other folder is loaded on its own, and the broken one gets an asset that
    says what is wrong. When no such file is at fault, the error of the load stands.
    """
    files = sorted((package / "defs").rglob(FILE))
    known = known_troubles(files)
    if known:
        definitions, _ = one_by_one(package, files, known)
        return definitions
    try:
        return dg.load_from_defs_folder(path_within_project=package)
    except UNUSABLE:
        definitions, broken = one_by_one(package, files, {})
        if not broken:
            raise
    return definitions


def known_troubles(files: list[Path]) -> dict[Path, str]:
    """Return the models' files that our reader refuses as YAML, and those whose name another one declares too."""
    names: dict[str, list[Path]] = {}
    troubles = {}
    for file in files:
        try:
            document = read_yaml_file(file)
        except YamlRefused as refusal:
            if any(kind in file.read_bytes() for kind in (b".RetrainedModel", b".Lane")):
                troubles[file] = str(refusal)
            continue
        if is_declaration(document.at(("type",))):
            names.setdefault(declared_name(document), []).append(file)
    for name, same in names.items():
        if len(same) > 1:
            folders = ", ".join(file.parent.name for file in same)
            words = f"{FILE}: the name {name!r} is declared by {folders}; give each its own"
            troubles |= {file: "\n".join([words, *refusal_of(file)]) for file in same}
    return troubles


def one_by_one(package: Path, files: list[Path], known: dict[Path, str]) -> tuple[dg.Definitions, list[Path]]:
    """Return what each folder gives on its own, and the files that give nothing but their refusal.

    A file above others (Dagster's own component for a folder of folders) would load them again, so it is left out.
    """
    parts, models, broken = [], [], []
    for file in files:
        if any(other != file and other.is_relative_to(file.parent) for other in files):
            _log.warning("%s is left out while a declaration below %s cannot be used", file, package / "defs")
            continue
        if file in known:
            broken.append(file)
            parts.append(refused_definitions(file.parent, known[file]))
            continue
        try:
            module = ".".join((package.name, *file.parent.relative_to(package).parts))
            tree = dg.ComponentTree.from_module(importlib.import_module(module), project_root=package)
            parts.append(replace(tree.build_defs(), component_tree=None))  # Dagster merges at most one tree
            models += tree.get_all_components(of_type=RetrainedModel)
        except UNUSABLE as error:
            broken.append(file)
            parts.append(refused_definitions(file.parent, why_refused(file, error)))
    fleet = shared_definitions([model.declaration for model in models if model.declaration and model.is_loaded()])
    return dg.Definitions.merge(*parts, fleet), broken


def refusal_of(file: Path) -> list[str]:
    """Return what our reader says against a declaration: one text, or none."""
    try:
        read_declaration(file.parent)
    except DeclarationRefused as refusal:
        return [str(refusal)]
    return []


def why_refused(file: Path, error: BaseException) -> str:
    """Return what is wrong with a file: what our reader says, with every place, and else what Dagster says."""
    while error.__cause__ is not None:  # Dagster's outer errors draw the tree of folders
        error = error.__cause__
    return "".join(refusal_of(file)) or f"{file} is refused: {type(error).__name__}: {error}"
