"""A small world for the tests of learning: days of rows whose labels come two days late."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from retrain_pipeline.learning.features import load_features, update_features
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 12

FEATURES = """
import pandas as pd


def build(rows: pd.DataFrame) -> pd.DataFrame:
    out = rows[["income", "age"]].copy()
    out["town"] = rows["town"].astype("category")
    out["hour"] = rows["at"].dt.hour
    out["income_before"] = rows["income"].shift(1)
    return out
"""


def declared(task: str = "binary", **changes: Any) -> ModelSpec:
    """Return a declaration; `changes` replace keys of `training`, or whole top-level keys."""
    forest = {"estimator": "sklearn.tree.DecisionTreeClassifier", "search": {"max_depth": [2, 4]}}
    metric = "log_loss"
    if task == "regression":
        forest, metric = {"estimator": "sklearn.tree.DecisionTreeRegressor", "search": {"max_depth": [2, 4]}}, "mae"
    training = {
        "window_periods": 8,
        "window_choices": (),
        "min_periods": 3,
        "evaluation_periods": 2,
        "candidates": {"tree": forest},
    }
    top = {name: changes.pop(name) for name in ("gates", "features", "problem") if name in changes}
    value = {
        "name": "loans",
        "problem": {
            "statement": "Will a loan be paid back in time?",
            "business_metric": {"name": "losses", "direction": "down"},
            "success": {"metric": metric, "at_most": 1000.0},
        },
        "data": {
            "source": {"kind": "csv", "path": "loans.csv"},
            "key": ["id"],
            "time": {"column": "at", "period": "day", "start": date(2024, 1, 1)},
            "label": {"column": "paid", "task": task, "delay_hours": 48},
            "columns": {
                "income": {"dtype": "float", "nullable": True},
                "age": {"dtype": "int"},
                "town": {"dtype": "category", "nullable": True},
            },
        },
        "training": {**training, **changes},
    }
    return ModelSpec.model_validate({**value, **top})


def raw_day(day: int, rows: int = 60, task: str = "binary", seed: int = 0) -> pd.DataFrame:
    """Return the raw rows of a day, with the label `paid` in them."""
    rng = np.random.default_rng([seed, day])
    start = START + timedelta(days=day)
    times = pd.to_datetime(
        [start + timedelta(minutes=int(24 * 60 * at / rows)) for at in range(rows)], utc=True
    ).as_unit("us")
    frame = pd.DataFrame(
        {
            "id": np.arange(rows) + day * 100_000,
            "income": rng.normal(10, 3, rows),
            "age": rng.integers(20, 70, rows),
            "town": rng.choice(["oslo", "bergen", "voss"], rows),
            "_event_time": times,
            "_known_time": times,
        }
    )
    frame.loc[frame.index % 13 == 5, "income"] = np.nan
    frame.loc[frame.index % 17 == 3, "town"] = None
    signal = frame["income"].fillna(10) - 10 + 2 * (frame["town"] == "oslo") + rng.normal(0, 1, rows)
    frame["paid"] = {
        "regression": signal,
        "binary": (signal > 0).astype("int64"),
        "multiclass": np.select([signal > 2, signal < -2], ["early", "never"], "late"),
    }[task]
    return frame


def labels_of(raw: pd.DataFrame, delay_hours: float = 48) -> pd.DataFrame:
    """Return the labels table's rows of raw rows."""
    known = raw["_event_time"] + pd.Timedelta(hours=delay_hours)
    return pd.DataFrame(
        {"id": raw["id"], "label": raw["paid"], "_event_time": raw["_event_time"], "_known_time": known}
    )


@dataclass
class World:
    """A model's folder and stores, with as many days of data as were put in."""

    stores: Stores
    declaration: Declaration

    @property
    def spec(self) -> ModelSpec:
        return self.declaration.spec

    def put_labels(self, labels: pd.DataFrame) -> None:
        """Write labels into the partitions of the periods in which they became known."""
        calendar = self.spec.data.time.calendar()
        # A label known at the end of a period belongs to it: a computation as of that moment has it.
        moments = labels["_known_time"] - pd.Timedelta(microseconds=1)
        for period, rows in labels.groupby(moments.map(calendar.key)):
            old = self.stores.lake.read(self.spec.name, "labels", periods=[str(period)])
            times = dict.fromkeys(("_event_time", "_known_time"), "datetime64[us, UTC]")
            both = rows if old.empty else pd.concat([old[rows.columns].astype(times), rows.astype(times)])
            self.stores.lake.replace_partition(self.spec.name, "labels", str(period), both)

    def put_raw(self, raw: pd.DataFrame) -> None:
        """Write raw rows into the partitions of their events."""
        calendar = self.spec.data.time.calendar()
        for period, rows in raw.groupby(raw["_event_time"].map(calendar.key)):
            self.stores.lake.replace_partition(self.spec.name, "raw", str(period), rows)

    def put_features(self, periods: list[str]) -> None:
        """Compute the features of periods from raw."""
        code = load_features(self.declaration.folder, self.spec.features)
        for period in periods:
            report = update_features(self.stores.lake, code, self.spec, period)
            assert report.write is not None, report.checks

    def live(self, days: int, **kinds: Any) -> "World":
        """Let days pass: raw, features, labels."""
        raws = [raw_day(day, task=self.spec.data.label.task, **kinds) for day in range(days)]
        for raw in raws:
            self.put_raw(raw)
        calendar = self.spec.data.time.calendar()
        self.put_features([calendar.key(START + timedelta(days=day)) for day in range(days)])
        self.put_labels(pd.concat([labels_of(raw) for raw in raws]))
        return self


def day(number: float) -> datetime:
    """Return the moment that many days after the start."""
    return START + timedelta(days=number)
