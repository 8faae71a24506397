"""A small world for judging and releasing: real stores with features and labels, and fitted versions on record."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from retrain_pipeline.gates.judge import judge
from retrain_pipeline.learning.build import build_candidate
from retrain_pipeline.learning.features import load_features, update_features
from retrain_pipeline.learning.manifest import TriggerRef
from retrain_pipeline.learning.training_set import freeze_training_set
from retrain_pipeline.release.release import release
from retrain_pipeline.spec.declaration import Declaration, read_declaration
from retrain_pipeline.stores import Stores, open_stores

START = datetime(2024, 1, 1, tzinfo=UTC)

DEFS = """\
type: retrain_pipeline.components.RetrainedModel
attributes:
  name: toy
  owners: ["team:toys"]
  problem:
    statement: How much a toy weighs by its size, so that the post is paid right.
    business_metric: {{name: postage_lost, direction: down}}
    success: {success}
  data:
    source: {{kind: csv, path: toys.csv}}
    key: [id]
    time: {{column: at, period: day, start: 2024-01-01}}
    label: {{column: y, task: {task}}}
    columns:
      a: {{dtype: float}}
      b: {{dtype: float}}
      shop: {{dtype: category, values: ["north", "south"]}}
  training:
    window_periods: 40
    min_periods: 12
    evaluation_periods: 10
    candidates: {candidates}
  gates: {{margin: 0.05, slices: [shop], latency_ms_p95: 500}}
{more}
"""
KINDS = {
    "regression": (
        "{metric: mae, at_most: 5}",
        "{tree: {estimator: sklearn.tree.DecisionTreeRegressor, params: {min_samples_leaf: 8}}}",
    ),
    "binary": (
        "{metric: brier, at_most: 0.25}",
        "{tree: {estimator: sklearn.tree.DecisionTreeClassifier, params: {min_samples_leaf: 25}}}",
    ),
    "multiclass": (
        "{metric: error, at_most: 0.9}",
        "{tree: {estimator: sklearn.tree.DecisionTreeClassifier, params: {min_samples_leaf: 25}}}",
    ),
}
FEATURES = '''\
"""Features of the toys."""


def build(rows):
    """Return the columns, and how far a is from 0."""
    return rows[["a", "b", "shop"]].assign(size=rows["a"].abs())
'''


def write_folder(folder: Path, task: str = "regression", more: str = "", success: str | None = None) -> Declaration:
    """Write a team's folder and return its declaration."""
    (folder / "decisions").mkdir(parents=True, exist_ok=True)
    (folder / "decisions" / "0001-tree.md").write_text("# A tree\n\nBecause the effect of a has a corner.\n")
    (folder / "features.py").write_text(FEATURES)
    own, candidates = KINDS[task]
    text = DEFS.format(task=task, success=success or own, candidates=candidates, more=more)
    (folder / "defs.yaml").write_text(text)
    return read_declaration(folder)


def toys(days: int, task: str, seed: int = 5, first: int = 0) -> pd.DataFrame:
    """Return 24 rows a day. The label has a corner in `a` that no straight line follows."""
    rng = np.random.default_rng([seed, first])
    n = days * 24
    at = pd.date_range(START + timedelta(days=first), periods=n, freq="h", tz="UTC").as_unit("us")
    a, b = rng.normal(size=n), rng.normal(size=n)
    signal = 3 * np.abs(a) + b - 2.4
    if task == "regression":
        y = signal + rng.normal(0, 0.5, n)
    elif task == "binary":
        y = (rng.random(n) < 1 / (1 + np.exp(-1.5 * signal))).astype(float)
    else:
        y = np.digitize(signal + rng.normal(0, 0.5, n), [-1.0, 1.0]).astype(float)
    shop = np.where(rng.random(n) < 0.5, "north", "south")
    ids = [f"t{first + hour // 24:03d}-{hour % 24:02d}" for hour in range(n)]
    return pd.DataFrame({"id": ids, "a": a, "b": b, "shop": shop, "y": y, "_event_time": at, "_known_time": at})


def deliver(stores: Stores, declaration: Declaration, rows: pd.DataFrame) -> None:
    """Put rows into raw, labels and features, as the data side would."""
    spec = declaration.spec
    code = load_features(declaration.folder, spec.features)
    key = rows["_event_time"].dt.strftime("%Y-%m-%d")
    for period, part in rows.groupby(key):
        stores.lake.replace_partition(spec.name, "raw", str(period), part)
        marks = part[["id", "y", "_event_time", "_known_time"]].rename(columns={"y": "label"})
        stores.lake.replace_partition(spec.name, "labels", str(period), marks)
        report = update_features(stores.lake, code, spec, str(period))
        assert report.write is not None, report.checks


@dataclass
class World:
    """Stores and a declaration."""

    stores: Stores
    declaration: Declaration
    home: Path

    @property
    def model(self) -> str:
        return self.declaration.spec.name

    def build(self, day: int, parent: str | None = None) -> str:
        """Fit and register a version as of a day; return it."""
        frozen = freeze_training_set(self.stores, self.declaration.spec, START + timedelta(days=day))
        trigger = TriggerRef(kind="scheduled", id=f"day-{day}")
        made = build_candidate(
            self.stores, self.declaration, frozen, trigger=trigger, parent=parent, run_id=f"run-{day}", actor="test"
        )
        return made.version

    def judge(self, version: str, mode: str = "non_inferiority", run_id: str = "run-judge"):
        return judge(self.stores, self.declaration, version, mode=mode, run_id=run_id, actor="test")

    def release(self, version: str, digest: str, run_id: str = "run-release"):
        return release(
            self.stores, self.declaration, version, evidence_digest=digest, run_id=run_id, actor="test"
        )

    def judged_release(self, version: str, mode: str = "non_inferiority", run_id: str = "run-release") -> str:
        """Judge and release a version; return the evidence's digest."""
        evidence, digest = self.judge(version, mode, run_id)
        assert evidence.verdict == "PASS", [one for one in evidence.results if one.verdict != "PASS"]
        assert self.release(version, digest, run_id).released
        return digest

    def copy(self, target: Path, ledger_url: str | None = None) -> "World":
        """Return the same world in another folder; with a ledger elsewhere, the entries are entered there again."""
        shutil.copytree(self.home, target / "home")
        shutil.copytree(self.declaration.folder, target / "toy")
        stores = open_stores(target / "home", ledger_url=ledger_url)
        return World(stores, read_declaration(target / "toy"), target / "home")


def make_world(folder: Path, task: str = "regression", days: int = 60) -> World:
    """Return a world with delivered rows and no version."""
    declaration = write_folder(folder / "toy", task)
    stores = open_stores(folder / "home")
    deliver(stores, declaration, toys(days, task))
    return World(stores, declaration, folder / "home")
