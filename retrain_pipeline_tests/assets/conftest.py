"""A small model in a folder of its own, and a player over real stores and a real Dagster instance on disk."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.assets.model import project_definitions
from retrain_pipeline.assets.playback import Player
from retrain_pipeline.assets.resources import StoresResource
from retrain_pipeline.cli.play import quiet_dagster
from retrain_pipeline.spec.declaration import Declaration, read_declaration
from retrain_pipeline.stores import Stores

CHECKOUT = Path(__file__).parents[2]
WEEKS = pd.date_range("2024-01-01", periods=30, freq="7D", tz="UTC")

DEFS = """\
type: retrain_pipeline.components.RetrainedModel
attributes:
  name: toy
  problem:
    statement: A small world in which a drift is planted, for tests.
    business_metric: {name: errors, direction: down}
    success: {metric: error, at_most: 0.45}
  data:
    source: {kind: csv, path: toy.csv}
    key: [id]
    time: {column: at, period: week, start: 2024-01-01}
    label: {column: y, task: binary, delay_hours: 24}
    columns:
      a: {dtype: float, range: [-10, 10]}
      b: {dtype: float, range: [-10, 10]}
      kind: {dtype: category, values: ["x", "y", "z"]}
  training:
    window_periods: 6
    min_periods: 4
    evaluation_periods: 2
    candidates:
      logistic: {estimator: sklearn.linear_model.LogisticRegression}
  trigger: {cooldown_periods: 2, max_attempts: 2, max_age_periods: 20}
  gates: {margin: 0.1, min_rows: 50, latency_ms_p95: 500}
  report: {max_rows: 100, every: 100}
"""

FEATURES = '''\
"""Features of the toy."""

import pandas as pd


def build(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns and a product."""
    return rows[["a", "b", "kind"]].assign(ab=rows["a"] * rows["b"])
'''


def toy_rows(weeks: int = 14, rows_a_week: int = 140, drift_week: int | None = 8, seed: int = 3) -> pd.DataFrame:
    """Return seeded rows; from the drift week on the sign of `a`'s effect turns."""
    frames = []
    for week in range(weeks):
        rng = np.random.default_rng([seed, week])
        a, b = rng.normal(size=rows_a_week), rng.normal(size=rows_a_week)
        sign = -1.0 if drift_week is not None and week >= drift_week else 1.0
        y = (sign * 2.5 * a + b + rng.normal(size=rows_a_week) * 0.5 > 0).astype(int)
        at = WEEKS[week] + pd.to_timedelta(np.linspace(0, 7 * 24 * 3600 - 600, rows_a_week).astype(int), unit="s")
        frames.append(
            pd.DataFrame(
                {
                    "id": [f"r{week:02d}-{i:03d}" for i in range(rows_a_week)],
                    "at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "a": a.round(6),
                    "b": b.round(6),
                    "kind": rng.choice(["x", "y", "z"], rows_a_week),
                    "y": y,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


@dataclass
class Project:
    """A played project: its declaration, definitions, stores and instance."""

    declaration: Declaration
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    stores: Stores
    player: Player
    folder: Path

    def period(self, week: int) -> str:
        return f"{WEEKS[week]:%Y-%m-%d}"

    def play(self, first: int, last: int) -> list:
        return [self.player.step(self.period(week)) for week in range(first, last)]

    def materialize(self, *assets: str, **kwargs) -> dg.ExecuteInProcessResult:
        """Run some of the model's assets in one run, as a person would from the UI."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        keys = {dg.AssetKey([self.declaration.spec.name, asset]) for asset in assets}
        config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **kwargs.pop("run_config", {})}
        return job.get_subset(asset_selection=keys).execute_in_process(
            instance=self.instance, raise_on_error=False, run_config=config, **kwargs
        )


def write_model(folder: Path, defs: str = DEFS, features: str = FEATURES) -> Path:
    """Write a model folder and return it."""
    (folder / "decisions").mkdir(parents=True)
    (folder / "defs.yaml").write_text(defs)
    (folder / "features.py").write_text(features)
    (folder / "decisions" / "0001-why.md").write_text("# Why\nBecause it is a test.\n")
    return folder


def open_project(folder: Path, instance: dg.DagsterInstance) -> Project:
    """Return the project that lies in a folder: its model, its state, and Dagster's."""
    declaration = read_declaration(folder / "models" / "toy")
    resource = StoresResource(home=str(folder / "state"))
    definitions = project_definitions([declaration], resource)
    return Project(
        declaration, definitions, instance, resource.open(), Player(definitions, instance, declaration), folder
    )


@contextmanager
def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Point the environment at a folder and yield the Dagster instance in it."""
    quiet_dagster()
    home = folder / "dagster"
    home.mkdir(exist_ok=True)
    shutil.copyfile(CHECKOUT / "dagster.yaml", home / "dagster.yaml")
    monkeypatch.setenv("RETRAIN_ROOT", str(folder / "data"))
    monkeypatch.setenv("RETRAIN_HOME", str(folder / "state"))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        yield instance


def write_project(folder: Path, rows: pd.DataFrame | None = None, defs: str = DEFS, features: str = FEATURES) -> None:
    """Write the toy's rows and files."""
    (folder / "data").mkdir(exist_ok=True)
    (toy_rows() if rows is None else rows).to_csv(folder / "data" / "toy.csv", index=False)
    write_model(folder / "models" / "toy", defs, features)


@pytest.fixture
def make_project(tmp_path, monkeypatch):
    """Return a function that writes the toy's rows and files, and gives the project over them."""
    with opened(tmp_path, monkeypatch) as instance:

        def make(rows: pd.DataFrame | None = None, defs: str = DEFS, features: str = FEATURES) -> Project:
            write_project(tmp_path, rows, defs, features)
            return open_project(tmp_path, instance)

        yield make


@pytest.fixture(scope="session")
def played_folder(tmp_path_factory) -> Path:
    """A folder in which the toy's first model was released in its fifth week, by the sensor's asking."""
    folder = tmp_path_factory.mktemp("played")
    with pytest.MonkeyPatch.context() as monkeypatch, opened(folder, monkeypatch) as instance:
        write_project(folder)
        project = open_project(folder, instance)
        played = project.play(0, 6)
        assert [(p.why, p.retrain_ok) for p in played if p.retrain_run] == [("first_model", True)], played
        project.stores.close()
    return folder


@pytest.fixture
def released(played_folder, tmp_path, monkeypatch) -> Iterator[Project]:
    """A copy of that folder, to go on from."""
    shutil.copytree(played_folder, tmp_path, dirs_exist_ok=True)
    with opened(tmp_path, monkeypatch) as instance:
        project = open_project(tmp_path, instance)
        yield project
        project.stores.close()
