"""Loading the defs folder so that one file that nobody can read does not hide the others."""

import importlib
import logging
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import dagster as dg
import yaml
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.core.decl import build_filesystem_component_decl_from_context
from dagster.components.core.defs_module import ComponentPath
from dagster_shared.check import CheckError
from dagster_shared.record import record, replace

from retrain_pipeline.components.retrained_model import refused_definitions
from retrain_pipeline.spec.declaration import DeclarationRefused, declared_name, is_declaration, read_declaration
from retrain_pipeline.spec.errors import YamlRefused
from retrain_pipeline.spec.yaml import read_yaml_file, reading_once

FILE = "defs.yaml"
# What Dagster raises for a file that it cannot use: its own errors, PyYAML's, pydantic's and text that is not UTF-8
# (both ValueError), and the type of a component or its module that is not there.
UNUSABLE = (
    dg.DagsterError, ComponentTreeException, CheckError, yaml.YAMLError, ValueError, ImportError, SyntaxError,
)  # fmt: skip

_log = logging.getLogger("retrain_pipeline")


def load_defs_folder(package: Path) -> dg.Definitions:
    """Return the definitions of the project's defs folder.

    When a `defs.yaml` breaks the load, each other folder and each Python file is loaded on its own, and the broken one
    gets an asset that says what is wrong. When no such file is at fault, the error of the load stands.
    """
    files = sorted((package / "defs").rglob(FILE))
    with reading_once(), _without_warnings():
        known = known_troubles(files)
        if known:
            definitions, _ = one_by_one(package, files, known)
            return definitions
        try:
            return project_tree(package).build_defs()
        except UNUSABLE:
            definitions, broken = one_by_one(package, files, {})
            if not broken:
                raise
        return definitions


@contextmanager
def _without_warnings() -> Iterator[None]:
    # What `dg.load_from_defs_folder` keeps quiet about, too: Dagster's own use of what it calls beta.
    with warnings.catch_warnings():
        for kind in (dg.BetaWarning, dg.PreviewWarning, dg.SupersessionWarning, DeprecationWarning):
            warnings.simplefilter("ignore", kind)
        yield


def project_tree(package: Path) -> dg.ComponentTree:
    """Return the project's tree of components, the one that `dg.load_from_defs_folder` makes.

    Dagster reads `pyproject.toml` twice for it, by a parser that keeps comments: a thirtieth of the time of 20 models.
    """
    above = (folder for folder in (package, *package.parents) if (folder / "pyproject.toml").is_file())
    project = next(above, package)  # a wheel carries its own in the package
    declared = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"]["dg"]["project"]
    return dg.ComponentTree(
        defs_module=_module(package, package / "defs"),
        project_root=project,
        code_location_name=declared.get("code_location_name") or project.name,
    )


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


def _stands_above(file: Path, files: list[Path]) -> bool:
    return any(other != file and other.is_relative_to(file.parent) for other in files)


def _module(package: Path, folder: Path) -> ModuleType:
    return importlib.import_module(".".join((package.name, *folder.relative_to(package).parts)))


@record(checked=False)
class _TreeOfOne(dg.ComponentTree):
    """The defs folder as one Python file sees it while some folder is broken: with the components of the others."""

    file: Path
    others: Sequence[dg.ComponentTree]

    def find_root_decl(self) -> Any:
        """Return what Dagster finds in the file."""
        context = self.decl_load_context.for_component_loc(ComponentPath.from_path(self.file))
        return build_filesystem_component_decl_from_context(context)

    def get_all_components(self, of_type: type[Any]) -> list[Any]:
        """Return the components of the folders that could be loaded."""
        return [found for tree in self.others for found in tree.get_all_components(of_type)]


def _of_python(package: Path, file: Path, others: Sequence[dg.ComponentTree]) -> dg.Definitions:
    folder = package / "defs"
    tree = _TreeOfOne(defs_module=_module(package, folder), project_root=package, file=file, others=others)
    return replace(tree.build_defs(file), component_tree=None)


def one_by_one(package: Path, files: list[Path], known: dict[Path, str]) -> tuple[dg.Definitions, list[Path]]:
    """Return what each folder gives on its own, and the files that give nothing but their refusal.

    A file above others (Dagster's own component for a folder of folders) would load them again, so it is left out.
    Python files that stand in no folder of these are loaded last, since what they define may be about all models.
    """
    parts: list[dg.Definitions] = []
    trees: list[dg.ComponentTree] = []
    broken: list[Path] = []
    for file in files:
        if _stands_above(file, files):
            _log.warning("%s is left out while a declaration below %s cannot be used", file, package / "defs")
            continue
        if file in known:
            broken.append(file)
            parts.append(refused_definitions(file.parent, known[file]))
            continue
        try:
            tree = dg.ComponentTree.from_module(_module(package, file.parent), project_root=package)
            parts.append(replace(tree.build_defs(), component_tree=None))  # Dagster merges at most one tree
            trees.append(tree)
        except UNUSABLE as error:
            broken.append(file)
            parts.append(refused_definitions(file.parent, why_refused(file, error)))
    if broken:
        owned = [file.parent for file in files if not _stands_above(file, files)]
        for one in sorted((package / "defs").rglob("*.py")):
            if not any(map(one.is_relative_to, owned)):
                parts.append(_of_python(package, one, trees))
    return dg.Definitions.merge(*parts), broken


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
