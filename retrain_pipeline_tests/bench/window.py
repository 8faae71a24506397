"""Training windows on real data: does choosing the window on the newest validation rows lower the later loss?

At every retrain time models are fitted on windows that end there, as the product fits them (the newest two batches
judge and do not train), chosen as the product chooses, and scored on the batches that follow. Needs the folder of real
sets (RETRAIN_SHARED_DATA, by default beside the checkout).
"""

import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from retrain_pipeline.learning.candidates import build_pipeline, plan_columns
from retrain_pipeline.learning.frames import Frames
from retrain_pipeline.learning.losses import row_losses
from retrain_pipeline.learning.prediction import aligned, predict
from retrain_pipeline.learning.validation import validation_split
from retrain_pipeline.learning.windows import Windows, choose_window
from retrain_pipeline.replay.history import History
from retrain_pipeline_tests.bench.tables import markdown_table, write_page
from retrain_pipeline_tests.bench.triggers import CHECKOUT, SETS, recipe, shared_folder

CACHE = CHECKOUT / "data" / "bench" / "window"
JUDGED = 2
SERVED = 4
"""Batches that a model serves before the next retrain."""
SHARE = 0.2
PARTS = (2, 4, 8)
"""A shorter window is the newest half, quarter or eighth of the window."""
ALL = 0
CALM, SUDDEN = "electricity, shuffled", "electricity, shuffled, changed half-way"
# A batch is a week or two of hours or half-hours, or (weather) a year of days: blocks are a day, for weather ten.
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


def retrains(name: str) -> Iterator[Retrain]:
    """Yield the retrains of a set, from the cache where they are."""
    one = SETS[name.split(",")[0]]
    history = one.history(shared_folder())
    history = {CALM: shuffled, SUDDEN: changed}.get(name, lambda same: same)(history)
    CACHE.mkdir(parents=True, exist_ok=True)
    for s in range(one.warm_up + JUDGED + 2, history.batches, 2 if history.batches < 60 else SERVED):
        file = CACHE / f"{name}-{s}.npz"
        if not file.exists():
            _store(file, retrain_at(history, s, one.window))
            print(f"\r{name} {s}/{history.batches}", end="", file=sys.stderr)
        with np.load(file, allow_pickle=False) as found:
            sizes = [int(key[1:]) for key in found if key.startswith("v")]
            yield Retrain(
                {size: found[f"v{size}"].astype(float) for size in sizes},
                pd.Series(pd.to_datetime(found["moments"], utc=True)),
                {size: float(found[f"a{size}"]) for size in sizes},
            )


def _store(file: Path, made: Retrain) -> None:
    moments = made.moments.dt.tz_localize(None).to_numpy()
    parts = {f"v{size}": one.astype(np.float32) for size, one in made.validation.items()}
    np.savez_compressed(
        file, moments=moments, **parts, **{f"a{size}": np.array(one) for size, one in made.later.items()}
    )


Rule = Callable[[Retrain, float], int]
"""From a retrain and the hours of a block to the window that it takes."""


def fixed(place: int, one: Retrain, _: float) -> int:
    """Return always the same window: 0 is the declared one, 1 its half, and so on."""
    return sizes_of(one)[place]


def all_history(one: Retrain, _: float) -> int:
    return ALL


def lowest(one: Retrain, _: float) -> int:
    """Return the window with the lowest validation loss, by however little."""
    return min(sizes_of(one), key=lambda size: float(one.validation[size].mean()))


def hindsight(one: Retrain, _: float) -> int:
    return min(sizes_of(one), key=lambda size: one.later[size])


def beyond_noise(alpha: float, places: tuple[int, ...], one: Retrain, block_hours: float) -> int:
    """Return what the product takes of the declared window and some shorter ones."""
    sizes = sizes_of(one)
    tried = {sizes[place]: one.validation[sizes[place]] for place in (0, *places) if place < len(sizes)}
    return choose_window(tried, one.moments, block_hours=block_hours, seed=0, alpha=alpha)[0]


def sizes_of(one: Retrain) -> list[int]:
    """Return the windows, the declared one first."""
    return sorted((size for size in one.validation if size != ALL), reverse=True)


EVERY = (1, 2, 3)
RULES: dict[str, Rule] = {
    "the declared window": partial(fixed, 0),
    "all history": all_history,
    "half of it": partial(fixed, 1),
    "a quarter of it": partial(fixed, 2),
    "an eighth of it": partial(fixed, 3),
    "lowest validation loss": lowest,
    "half if better beyond noise (5 %)": partial(beyond_noise, 0.05, (1,)),
    "**half if better beyond noise (1 %): the default**": partial(beyond_noise, 0.01, (1,)),
    "any if better beyond noise (16 %)": partial(beyond_noise, 0.16, EVERY),
    "any if better beyond noise (5 %)": partial(beyond_noise, 0.05, EVERY),
    "any if better beyond noise (1 %)": partial(beyond_noise, 0.01, EVERY),
    "best in hindsight": hindsight,
}


def main() -> None:
    """Measure everything and write the page."""
    found = {name: list(retrains(name)) for name in (*SETS, CALM, SUDDEN)}
    print(write_page("window", "How far back to learn: windows on real drift", _parts(found)).read_text())


def taken(rule: Rule, name: str, made: list[Retrain]) -> list[int]:
    """Return the window that a rule takes at each retrain."""
    block_hours = 24 / BLOCKS_PER_BATCH[name.split(",")[0]]
    return [rule(one, block_hours) for one in made]


def _parts(found: dict[str, list[Retrain]]) -> list[str]:
    change, shorter = [], []
    for label, rule in RULES.items():
        changes, shares = [], []
        for name, made in found.items():
            chosen = taken(rule, name, made)
            base = statistics.mean(one.later[sizes_of(one)[0]] for one in made)
            changes.append(statistics.mean(one.later[size] for one, size in zip(made, chosen, strict=True)) / base - 1)
            shares.append(sum(0 < size < sizes_of(one)[0] for one, size in zip(made, chosen, strict=True)) / len(made))
        real = changes[: len(SETS)]
        change.append(
            [label, *(f"{one:+.1%}" for one in changes), f"{statistics.mean(real):+.1%}", f"{max(real):+.1%}"]
        )
        shorter.append([label, *(f"{one:.0%}" for one in shares)])
    counts = ", ".join(f"{name} {len(made)}" for name, made in found.items())
    return [
        "Gradient-boosted trees of 100 iterations, retrained every four batches (weather: two) on windows that end "
        "two batches before, as the newest two judge; scored on the next four batches. The declared windows are those "
        "of `triggers.md`; shorter ones are the newest half, quarter and eighth. A rule sees the validation rows (the "
        f"newest fifth of the declared window's training rows) and nothing later. Retrains: {counts}. Two controls "
        "are made of electricity's rows in random order: one in which nothing changes, and one in which columns change "
        "their meaning half-way. The default was picked on these very sets, with one kind of model: one set of five "
        "wins much, where growth makes old rows wrong; on the others it loses a little each time it is taken, and is "
        "rarely.",
        "## Loss of the following batches, against the declared window\n\n"
        + markdown_table(["rule", *found, "mean of the real sets", "worst"], change),
        "## Retrains that took a shorter window\n\n" + markdown_table(["rule", *found], shorter),
    ]


if __name__ == "__main__":
    main()
