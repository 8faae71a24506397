"""A team's feature module, loaded by file path: never through sys.path, never from a stale cache."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from retrain_pipeline.canonical import sha256
from retrain_pipeline.learning.errors import FeatureCodeRefused
from retrain_pipeline.spec.model import Features

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FeatureCode:
    """A team's feature function and what identifies its code."""

    build: "Callable[[pd.DataFrame], pd.DataFrame]"
    digest: str
    """SHA-256 over the names and bytes of every ``.py`` file in the folder."""
    reference: str
    """Where the function is, for people: ``features.py:build``."""


def code_digest(folder: Path) -> str:
    """Return the SHA-256 over the relative names and bytes of the ``.py`` files under `folder`, in name order."""
    return sha256(code_index(code_files(folder)))


def code_files(folder: Path) -> dict[str, bytes]:
    """Return the bytes of the ``.py`` files under `folder` by relative name, in name order."""
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.py")}
    found = {name: path for name, path in sorted(names.items()) if "__pycache__" not in path.parts and path.is_file()}
    return {name: path.read_bytes() for name, path in found.items()}


def code_index(files: Mapping[str, bytes]) -> bytes:
    """Return a line for each file, its name and digest: the SHA-256 of these lines is the digest of the code."""
    return "".join(f"{name}\0{sha256(data)}\n" for name, data in files.items()).encode()


def load_features(folder: Path, features: Features) -> FeatureCode:
    """Return the team's function, its code read anew from `folder`.

    ``features.build`` is the function `build` of ``<folder>/features.py``. The module may import its neighbours
    relatively (``from . import holidays``).

    Raises
    ------
    FeatureCodeRefused
        When the file is absent, does not load, or has no such function.
    """
    *modules, function = features.build.split(".")
    path = folder.joinpath(*modules).with_suffix(".py")
    where = f"features.build {features.build!r}"
    if not path.is_file():
        raise FeatureCodeRefused(f"{where}: {path} is not a file: write the module there, or name another")
    digest = code_digest(folder)
    module = _load(folder.resolve(), digest, ".".join(modules), where)
    build = getattr(module, function, None)
    if not inspect.isfunction(build):
        known = sorted(name for name, value in vars(module).items() if inspect.isfunction(value))
        raise FeatureCodeRefused(f"{where}: {path.name} has no function {function!r}; it has {known}")
    return FeatureCode(build, digest, f"{path.relative_to(folder).as_posix()}:{function}")


def _load(folder: Path, digest: str, module: str, where: str) -> ModuleType:
    # A package of its own for each folder and state of the code: two models' `features` never meet, and an edited
    # file is another module.
    package = f"retrain_team_{sha256(f'{folder}:{digest}'.encode())[:16]}"
    if package not in sys.modules:
        root = ModuleType(package)
        root.__path__ = []
        sys.modules[package] = root
        sys.meta_path.append(_FolderFinder(package, folder))
    try:
        return importlib.import_module(f"{package}.{module}")
    except (SyntaxError, ImportError) as error:
        raise FeatureCodeRefused(f"{where}: the module does not load: {error}") from error


class _FreshLoader(SourceFileLoader):
    """Compiles the source each time: a .pyc is trusted by second and size, so a quick edit would run old code."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


class _FolderFinder(MetaPathFinder):
    """Finds the modules of one team's folder under its package name, and nothing else."""

    def __init__(self, package: str, folder: Path) -> None:
        self._prefix = package + "."
        self._folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(self._prefix):
            return None
        base = self._folder.joinpath(*fullname.removeprefix(self._prefix).split("."))
        if (base / "__init__.py").is_file():
            file, inside = base / "__init__.py", [str(base)]
        elif base.with_suffix(".py").is_file():
            file, inside = base.with_suffix(".py"), None
        else:
            return None
        loader = _FreshLoader(fullname, str(file))
        return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=inside)
