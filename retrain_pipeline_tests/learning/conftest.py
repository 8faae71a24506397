"""Worlds for the tests of learning, empty or with twelve days behind them."""

import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retrain_pipeline.lake.declared import Task
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores, open_stores
from retrain_pipeline_tests.learning.small_world import DAYS, FEATURES, World, declared


@pytest.fixture
def world(stores: Stores, tmp_path: Path) -> Callable[..., World]:
    """Make an empty world from a declaration and the text of its features.py."""

    def make(spec: ModelSpec | None = None, features: str = FEATURES) -> World:
        return World(stores, _declaration(tmp_path, spec or declared(), features))

    return make


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Task], Path]:
    """Worlds that lived once; tests get copies."""
    homes: dict[str, Path] = {}

    def home(task: Task) -> Path:
        if task not in homes:
            folder = tmp_path_factory.mktemp(f"template-{task}")
            stores = open_stores(folder / "home")
            World(stores, _declaration(folder, declared(task), FEATURES)).live(DAYS)
            stores.close()
            homes[task] = folder / "home"
        return homes[task]

    return home


@pytest.fixture
def lived(templates: Callable[[Task], Path], tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Make a world with twelve days of raw rows, features and labels; the declaration may be another than lived by."""
    opened: list[Stores] = []

    def make(task: Task = "binary", spec: ModelSpec | None = None, features: str = FEATURES) -> World:
        home = tmp_path / f"lived-{len(opened)}"
        shutil.copytree(templates(task), home)
        opened.append(open_stores(home))
        return World(opened[-1], _declaration(tmp_path, spec or declared(task), features))

    yield make
    for stores in opened:
        stores.close()


def _declaration(folder: Path, spec: ModelSpec, features: str) -> Declaration:
    place = folder / "models" / "loans"
    place.mkdir(parents=True, exist_ok=True)
    (place / "features.py").write_text(textwrap.dedent(features))
    return Declaration(spec, place, place / "defs.yaml")
