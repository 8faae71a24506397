"""A small world for the tests of monitoring: weeks of rows, a champion that was really fitted, and what it answered."""

import shutil
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from retrain_pipeline.learning.build import build_candidate
from retrain_pipeline.learning.features import load_features, update_features
from retrain_pipeline.learning.losses import row_losses
from retrain_pipeline.learning.manifest import TriggerRef
from retrain_pipeline.learning.training_set import freeze_training_set, read_training_set
from retrain_pipeline.learning.versions import LoadedVersion, load_version
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.monitoring.feedback import update_feedback
from retrain_pipeline.monitoring.monitor import MonitoringReport, monitor_period
from retrain_pipeline.monitoring.reference import store_reference
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores, open_stores

START = datetime(2024, 1, 1, tzinfo=UTC)
FEATURES = """
def build(rows):
    return rows[["x", "z", "kind"]]
"""


def declared(**changes: Any) -> ModelSpec:
    """Return the declaration of the small world; `changes` replace keys of its label and of whole sections."""
    value: dict[str, Any] = {
        "name": "small",
        "problem": {
            "statement": "How much will be sold in an hour?",
            "business_metric": {"name": "waste", "direction": "down"},
            "success": {"metric": "mae", "at_most": 10.0},
        },
        "data": {
            "source": {"kind": "csv", "path": "small.csv"},
            "key": ["id"],
            "time": {"column": "at", "period": "week", "start": date(2024, 1, 1)},
            "label": {"column": "y", "task": "regression", "delay_hours": 24, **changes.get("label", {})},
            "columns": {
                "x": {"dtype": "float", "nullable": True},
                "z": {"dtype": "float", "nullable": True},
                "kind": {"dtype": "category", "nullable": True},
            },
        },
        "training": {
            "window_periods": 8,
            "min_periods": 3,
            "evaluation_periods": 2,
            "candidates": {"ridge": {"estimator": "sklearn.linear_model.Ridge"}},
        },
        "report": {"max_rows": 100, "every": 1000, **changes.get("report", {})},
        "trigger": changes.get("trigger", {}),
        "gates": changes.get("gates", {}),
        "signals": changes.get("signals", {}),
    }
    return ModelSpec.model_validate(value)


def week_rows(
    week: int, rows: int = 168, *, slope: float = 2.0, shift: float = 0.0, kinds: str = "abc"
) -> pd.DataFrame:
    """Return the raw rows of a week, one an hour: y = slope·x + noise."""
    rng = np.random.default_rng([7, week])
    start = START + timedelta(weeks=week)
    times = pd.to_datetime([start + timedelta(hours=168 * i / rows) for i in range(rows)], utc=True).as_unit("us")
    frame = pd.DataFrame(
        {
            "id": np.arange(rows) + week * 100_000,
            "x": rng.normal(shift, 1, rows),
            "z": rng.exponential(1, rows),
            "kind": rng.choice(list(kinds), rows),
            "_event_time": times,
            "_known_time": times,
        }
    )
    return frame.assign(y=slope * frame["x"] + rng.normal(0, 0.5, rows))


@dataclass
class World:
    """The stores of the small world, a calendar of weeks, and its champion."""

    stores: Stores
    declaration: Declaration
    raw: dict[int, pd.DataFrame] = field(default_factory=dict)
    champion: LoadedVersion | None = None

    @property
    def spec(self) -> ModelSpec:
        return self.declaration.spec

    def period(self, week: int) -> str:
        return f"{START + timedelta(weeks=week):%Y-%m-%d}"

    def end(self, week: int) -> datetime:
        return START + timedelta(weeks=week + 1)

    def pass_week(self, week: int, **kinds: Any) -> None:
        """Let a week happen: raw rows, features, the labels that become known, the champion's predictions, feedback."""
        lake, name = self.stores.lake, self.spec.name
        self.raw[week] = week_rows(week, **kinds)
        lake.replace_partition(name, "raw", self.period(week), self.raw[week])
        code = load_features(self.declaration.folder, self.spec.features)
        assert update_features(lake, code, self.spec, self.period(week)).write is not None
        self.predict(week)
        self.know_labels(week)
        update_feedback(self.stores, self.spec, self.period(week))

    def know_labels(self, week: int, extra: pd.DataFrame | None = None) -> None:
        """Write the labels that became known in a week: those of events `delay_hours` before."""
        delay = pd.Timedelta(hours=self.spec.data.label.delay_hours)
        every = pd.concat(self.raw.values())
        labels = every[["id", "_event_time"]].assign(label=every["y"], _known_time=every["_event_time"] + delay)
        known = labels[(labels["_known_time"] >= self.end(week - 1)) & (labels["_known_time"] < self.end(week))]
        both = known if extra is None else pd.concat([known, extra])
        self.stores.lake.replace_partition(self.spec.name, "labels", self.period(week), both)

    def predict(self, week: int) -> None:
        """Let the champion answer the features of a week."""
        if self.champion is None:
            return
        features = self.stores.lake.read(self.spec.name, "features", periods=[self.period(week)])
        answers = self.champion.predict(features).frame
        table = features[["id", "_event_time", "_known_time"]].join(answers)
        table = table.assign(model_version=self.champion.manifest.version, arm="champion", latency_ms=0.5)
        self.stores.lake.replace_partition(self.spec.name, "predictions", self.period(week), table)

    def release(self, after: int, *, with_reference: bool = True) -> str:
        """Fit a model as of the end of a week and make it champion, with its loss on the evaluation rows as promise."""
        stores, name = self.stores, self.spec.name
        frozen = freeze_training_set(stores, self.spec, self.end(after))
        trigger = TriggerRef(kind="manual", id="test")
        manifest = build_candidate(stores, self.declaration, frozen, trigger=trigger, run_id=None, actor="test")
        self.champion = load_version(stores, name, manifest.version)
        if with_reference:
            store_reference(stores, self.spec, manifest.version)
        frames = read_training_set(stores, frozen)
        losses = row_losses("mae", "regression", frames.eval_y, self.champion.predict(frames.eval_x).frame)
        promise = {"mean": float(losses.mean()), "se": float(losses.std() / len(losses) ** 0.5), "n": len(losses)}
        as_of = self.end(after).isoformat()
        row = stores.ledger.deployment(name)
        stores.ledger.change_deployment(
            name,
            row.epoch if row else 0,
            {"champion": manifest.version, "effective_as_of": as_of},
            NewEntry(
                "test", "released", name, manifest.version, {"validated_loss": promise, "as_of": as_of}, key=f"r{after}"
            ),
        )
        return manifest.version

    def monitor(self, week: int) -> MonitoringReport:
        return monitor_period(self.stores, self.spec, self.period(week))


def new_world(folder: Path, **changes: Any) -> World:
    """Return the small world with its stores in a folder and some changes of its declaration."""
    models = folder / "models" / "small"
    models.mkdir(parents=True, exist_ok=True)
    (models / "features.py").write_text(textwrap.dedent(FEATURES))
    return World(open_stores(folder / "home"), Declaration(declared(**changes), models, models / "defs.yaml"))


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Return a function that makes the small world with some changes of its declaration."""
    made: list[World] = []

    def make(**changes: Any) -> World:
        made.append(new_world(tmp_path, **changes))
        return made[-1]

    yield make
    for world in made:
        world.stores.close()


@pytest.fixture(scope="session")
def six_weeks(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Six weeks without a model, and a champion from the end of the sixth; made once, to be copied."""
    world = new_world(tmp_path_factory.mktemp("six_weeks"))
    for week in range(6):
        world.pass_week(week)
    world.release(5)
    world.stores.close()
    return world


@pytest.fixture
def world(six_weeks: World, tmp_path: Path) -> Iterator[World]:
    """A copy of the world of six weeks and a champion."""
    shutil.copytree(six_weeks.declaration.folder.parents[1], tmp_path, dirs_exist_ok=True)
    world = new_world(tmp_path)
    world.raw, world.champion = dict(six_weeks.raw), six_weeks.champion
    yield world
    world.stores.close()
