"""A small world in which one cause at a time can be changed between two versions."""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.insight.recipe import Purse
from retrain_pipeline.insight.split import Split, split_change
from retrain_pipeline.learning.features import load_features, update_features
from retrain_pipeline.spec.declaration import read_declaration
from retrain_pipeline.stores import open_stores
from retrain_pipeline_tests.gates.world import World, deliver, toys

DEFS = """\
type: retrain_pipeline.components.RetrainedModel
attributes:
  name: toy
  problem:
    statement: How much a toy weighs by its size, so that the post is paid right.
    business_metric: {name: postage_lost, direction: down}
    success: {metric: mae, at_most: 5}
  data:
    source: {kind: csv, path: toys.csv}
    key: [id]
    time: {column: at, period: week, start: 2024-01-01}
    label: {column: y, task: regression}
    columns:
      a: {dtype: float}
      b: {dtype: float}
      shop: {dtype: category, values: ["north", "south"]}
  training:
    window_periods: 6
    min_periods: 4
    evaluation_periods: 2
    window_choices: []
    seed: 0
    candidates: {tree: {estimator: sklearn.tree.DecisionTreeRegressor, params: {min_samples_leaf: 8}}}
  gates: {slices: [shop]}
"""
FEATURES = """\
def build(rows):
    return rows[["a", "b", "shop"]]
"""


@dataclass
class Bench:
    """A world whose declaration, code and rows can be changed between builds."""

    world: World

    def declare(self, *changes: tuple[str, str]) -> None:
        """Write the declaration with texts replaced."""
        text = DEFS
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (self.world.declaration.folder / "defs.yaml").write_text(text)
        self.world = World(self.world.stores, read_declaration(self.world.declaration.folder), self.world.home)

    def code(self, text: str) -> None:
        """Write the feature code and compute the features of the first six periods again."""
        folder, spec = self.world.declaration.folder, self.world.declaration.spec
        (folder / "features.py").write_text(text)
        code = load_features(folder, spec.features)
        for period in self.world.stores.lake.periods("toy", "raw")[:6]:
            report = update_features(self.world.stores.lake, code, spec, period)
            assert report.write is not None, report.checks

    def labels(self, rows: pd.DataFrame) -> None:
        """Put other labels of some rows into the lake."""
        calendar = self.world.declaration.spec.data.time.calendar()
        marks = rows[["id", "y", "_event_time", "_known_time"]].rename(columns={"y": "label"})
        for period, part in marks.groupby(rows["_event_time"].map(calendar.key)):
            self.world.stores.lake.replace_partition("toy", "labels", str(period), part)

    def build(self, week: int = 6) -> str:
        """Fit a version as of a week."""
        return self.world.build(week)

    def split(self, old: str, new: str, seeds: int = 2, seconds: float = 300) -> Split:
        """Return the split of the change between two versions."""
        return split_change(self.world.stores, "toy", old, new, seeds=seeds, purse=Purse(seconds))


def noisy(rows: pd.DataFrame, weeks: int, seed: int = 1) -> pd.DataFrame:
    """Return the rows of the first weeks with labels that say nothing."""
    early = rows.iloc[: weeks * 168].copy()
    early["y"] = np.random.default_rng(seed).permutation(early["y"].to_numpy()) + 2.0
    return early


@functools.cache
def template() -> World:
    """Return eight weeks of toys without a version, made once, to be copied."""
    place = Path(tempfile.mkdtemp(prefix="bench-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    folder = place / "toy"
    (folder / "decisions").mkdir(parents=True)
    (folder / "decisions" / "0001-tree.md").write_text("# A tree\n\nThe effect of a has a corner.\n")
    (folder / "features.py").write_text(FEATURES)
    (folder / "defs.yaml").write_text(DEFS)
    made = World(open_stores(place / "home"), read_declaration(folder), place / "home")
    deliver(made.stores, made.declaration, toys(8, "regression"))
    return made


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Eight weeks of toys, no version."""
    made = template().copy(tmp_path)
    yield Bench(made)
    made.stores.close()
