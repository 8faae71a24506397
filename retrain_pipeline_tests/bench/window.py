"""Training windows on real data: does choosing the window on the newest validation rows lower the later loss?

At every retrain time models are fitted on windows that end there, as the product fits them (the newest two batches
judge and do not train), chosen as the product chooses, and scored on the batches that follow. Needs the folder of real
sets (RETRAIN_SHARED_DATA, by default beside the checkout).
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from retrain_pipeline.learning.candidates import build_pipeline, plan_columns
from retrain_pipeline.learning.frames import Frames
from retrain_pipeline.learning.losses import row_losses
from retrain_pipeline.learning.prediction import aligned, predict
from retrain_pipeline.learning.validation import validation_split
from retrain_pipeline.replay.history import History
from retrain_pipeline_tests.bench.triggers import CHECKOUT, recipe

CACHE = CHECKOUT / "data" / "bench" / "window"
JUDGED = 2
SERVED = 4
"""Batches that a model serves before the next retrain."""
SHARE = 0.2
PARTS = (2, 3, 4, 8)
"""A shorter window is the newest half, third, quarter or eighth of the window."""
ALL = 0
# A batch is a week of half-hours, or of hours, or (weather) a year of days: blocks are a day, or ten for weather.
BLOCKS_PER_BATCH = {"bike_demand": 7, "electricity": 7, "noaa_weather": 36, "beijing_pm25": 14, "metro_traffic": 14}


@dataclass(frozen=True)
class Retrain:
    """One retrain time: by window, validation row losses and the mean loss of the batches that follow."""

    validation: dict[int, np.ndarray]
    moments: pd.Series
    later: dict[int, float]


def frames_at(history: History, s: int, window: int) -> tuple[Frames, np.ndarray]:
    """Return the rows that a retrain at the start of batch s has, and the batch of each training row."""
    first, cut = history.starts[max(0, s - window)], history.starts[s - JUDGED]
    batch = np.repeat(np.arange(history.batches), np.diff(history.starts))
    inside = (np.arange(len(batch)) - np.asarray(history.starts)[batch]) / np.diff(history.starts)[batch]
    # The row's place in its batch stands for its time: a batch is a day here.
    times = pd.Timestamp("2000-01-01", tz="UTC") + pd.to_timedelta(batch + inside, unit="D")
    keys = pd.DataFrame({"id": range(len(batch)), "_event_time": times})
    x, y = history.features.iloc[first:cut].reset_index(drop=True), history.y[first:cut]
    own = keys.iloc[first:cut].reset_index(drop=True)
    return Frames(x, y, own, x.iloc[:0], y[:0], own.iloc[:0], history.task), batch[first:cut]


def losses(history: History, frames: Frames, rows: np.ndarray, asked: pd.DataFrame, truth: np.ndarray) -> np.ndarray:
    """Return the losses of rows by a model fitted on some training rows."""
    x, y = frames.train_x.iloc[rows], frames.train_y[rows]
    plan = plan_columns(x)
    given = aligned(x, list(plan.numeric), list(plan.categorical))
    pipeline = build_pipeline(recipe(history, None).candidate, {}, given, history.task, 0, plan=plan).fit(given, y)
    answers = predict(pipeline, history.task, asked).frame
    return row_losses(history.metric, history.task, truth, answers) / history.scale


def retrain_at(history: History, s: int, window: int) -> Retrain:
    """Return what a retrain at the start of batch s sees and what comes of it."""
    from threadpoolctl import threadpool_limits

    whole, batches = frames_at(history, s, s)
    inside = np.flatnonzero(batches >= s - window)
    kept = frames_at(history, s, window)[0]
    split = validation_split(kept, SHARE)
    fit, validation = inside[split.fit], inside[split.validation]
    later = slice(history.starts[s], history.starts[min(s + SERVED, history.batches)])
    scored: dict[int, np.ndarray] = {}
    after: dict[int, float] = {}
    with threadpool_limits(1):
        for size in [ALL, window, *sorted({max(JUDGED + 1, window // part) for part in PARTS}, reverse=True)]:
            both = []
            for rows in (fit, inside):
                old = np.flatnonzero(batches < s - window) if size == ALL else np.empty(0, dtype=int)
                newest = Windows(batches, JUDGED).newest(rows, size) if 0 < size < window else rows
                both.append(np.concatenate([old, newest]))
            scored[size] = losses(history, whole, both[0], whole.train_x.iloc[validation], whole.train_y[validation])
            asked, truth = history.features.iloc[later], history.y[later]
            after[size] = float(losses(history, whole, both[1], asked, truth).mean())
    return Retrain(scored, whole.train_keys["_event_time"].iloc[validation].reset_index(drop=True), after)


def retrains(name: str, history: History, window: int, warm_up: int, step: int) -> Iterator[Retrain]:
    """Yield the retrains of a set, from the cache where they are."""
    CACHE.mkdir(parents=True, exist_ok=True)
    for s in range(warm_up + JUDGED + 2, history.batches, step):
        file = CACHE / f"{name}-{s}.npz"
        if not file.exists():
            made = retrain_at(history, s, window)
            moments = made.moments.dt.tz_localize(None).to_numpy()
            parts = {f"v{size}": one.astype(np.float32) for size, one in made.validation.items()}
            after = {f"a{size}": np.array(one) for size, one in made.later.items()}
            np.savez_compressed(file, moments=moments, **parts, **after)
            print(f"\r{name} {s}/{history.batches}", end="", file=sys.stderr)
        with np.load(file, allow_pickle=False) as found:
            sizes = [int(key[1:]) for key in found if key.startswith("v")]
            yield Retrain(
                {size: found[f"v{size}"].astype(float) for size in sizes},
                pd.Series(pd.to_datetime(found["moments"], utc=True)),
                {size: float(found[f"a{size}"]) for size in sizes},
            )


def shuffled(history: History) -> History:
    """Return a history without drift: its rows in random order."""
    order = np.random.default_rng(0).permutation(len(history.y))
    return replace(history, features=history.features.iloc[order].reset_index(drop=True), y=history.y[order])


def changed(history: History) -> History:
    """Return a shuffled history in which, from its middle on, every column means what its neighbour meant."""
    calm = shuffled(history)
    middle, features = history.starts[history.batches // 2], calm.features.astype(float)
    features.iloc[middle:] = np.roll(features.iloc[middle:].to_numpy(), 1, axis=1)
    return replace(calm, features=features)
