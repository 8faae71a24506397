"""A small world for judging and releasing: real stores with features and labels, and fitted versions on record."""

import atexit
import functools
import shutil
import tempfile
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
from retrain_pipeline.ledger.entries import DEPLOYMENT, Entry, NewEntry
from retrain_pipeline.ledger.store import Ledger
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
    time: {{column: at, period: week, start: 2024-01-01}}
    label: {{column: y, task: {task}}}
    columns:
      a: {{dtype: float}}
      b: {{dtype: float}}
      shop: {{dtype: category, values: ["north", "south"]}}
  training:
    window_periods: 8
    min_periods: 4
    evaluation_periods: 2
    candidates: {candidates}
  gates: {{margin: 0.08, slices: [shop], latency_ms_p95: 500}}
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
    """Return the columns."""
    return rows[["a", "b", "shop"]]
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


def toys(weeks: int, task: str, seed: int = 5, first: int = 0) -> pd.DataFrame:
    """Return a row an hour from week `first` on. The label has a corner in `a` that no straight line follows."""
    rng = np.random.default_rng([seed, first])
    n = weeks * 168
    at = pd.date_range(START + timedelta(weeks=first), periods=n, freq="h", tz="UTC").as_unit("us")
    a, b = rng.normal(size=n), rng.normal(size=n)
    signal = 3 * np.abs(a) + b - 2.4
    if task == "regression":
        y = signal + rng.normal(0, 0.5, n)
    elif task == "binary":
        y = (rng.random(n) < 1 / (1 + np.exp(-1.5 * signal))).astype(float)
    else:
        y = np.digitize(signal + rng.normal(0, 0.5, n), [-1.0, 1.0]).astype(float)
    shop = np.where(rng.random(n) < 0.5, "north", "south")
    ids = [f"t{first * 168 + hour:05d}" for hour in range(n)]
    return pd.DataFrame({"id": ids, "a": a, "b": b, "shop": shop, "y": y, "_event_time": at, "_known_time": at})


def deliver(stores: Stores, declaration: Declaration, rows: pd.DataFrame) -> None:
    """Put rows into raw, labels and features, as the data side would."""
    spec = declaration.spec
    code = load_features(declaration.folder, spec.features)
    calendar = spec.data.time.calendar()
    key = rows["_event_time"].map(calendar.key)
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

    def build(self, week: int, parent: str | None = None) -> str:
        """Fit and register a version as of the start of a week; return it."""
        frozen = freeze_training_set(self.stores, self.declaration.spec, START + timedelta(weeks=week))
        trigger = TriggerRef(kind="scheduled", id=f"week-{week}")
        made = build_candidate(
            self.stores, self.declaration, frozen, trigger=trigger, parent=parent, run_id=f"run-{week}", actor="test"
        )
        return made.version

    def judge(self, version: str, mode: str = "non_inferiority", run_id: str = "run-judge"):
        return judge(self.stores, self.declaration, version, mode=mode, run_id=run_id, actor="test")

    def release(self, version: str, digest: str, run_id: str = "run-release"):
        return release(self.stores, self.declaration, version, evidence_digest=digest, run_id=run_id, actor="test")

    def judged_release(self, version: str, mode: str = "non_inferiority", run_id: str = "run-release") -> str:
        """Judge and release a version; return the evidence's digest."""
        evidence, digest = self.judge(version, mode, run_id)
        assert evidence.verdict == "PASS", [one for one in evidence.results if one.verdict != "PASS"]
        assert self.release(version, digest, run_id).released
        return digest

    def copy(self, target: Path, ledger_url: str | None = None) -> "World":
        """Return the same world in another folder; with a ledger elsewhere, the entries are entered there again."""
        self.stores.close()
        shutil.copytree(self.home, target / "home")
        shutil.copytree(self.declaration.folder, target / "toy")
        stores = open_stores(target / "home", ledger_url=ledger_url)
        if ledger_url:
            for entry in self.stores.ledger.entries():
                enter_again(stores.ledger, entry)
        return World(stores, read_declaration(target / "toy"), target / "home")

    def again(self) -> "World":
        """Return the world with its declaration read anew."""
        return World(self.stores, read_declaration(self.declaration.folder), self.home)


def enter_again(ledger: Ledger, entry: Entry) -> None:
    """Enter what another ledger holds."""
    payload = dict(entry.payload)
    deployment = payload.pop(DEPLOYMENT, None)
    new = NewEntry(entry.actor, entry.action, entry.model, entry.subject, payload, entry.run_id, entry.epoch, entry.key)
    if deployment is None:
        ledger.append(new)
    else:
        ledger.change_deployment(entry.model or "", deployment["epoch"] - 1, deployment["state"], new)


@functools.cache
def template(task: str = "regression") -> World:
    """Return a world, made once, to be copied: `first` is champion at epoch 1, two more versions are judged against it.

    The versions are those of the weeks 6, 7 and 8, in the ledger's order.
    """
    folder = Path(tempfile.mkdtemp(prefix="world-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    world = make_world(folder, task)
    first = world.build(6)
    world.judged_release(first, "first", "run-6")
    for week in (7, 8):
        version = world.build(week, parent=first)
        world.judge(version, run_id=f"run-{week}")
    return world


def versions(world: World) -> list[str]:
    """Return the registered versions in order."""
    return [str(one.subject) for one in world.stores.ledger.entries(action="candidate_registered")]


def make_world(folder: Path, task: str = "regression", weeks: int = 8) -> World:
    """Return a world with delivered rows and no version."""
    declaration = write_folder(folder / "toy", task)
    stores = open_stores(folder / "home")
    deliver(stores, declaration, toys(weeks, task))
    return World(stores, declaration, folder / "home")
