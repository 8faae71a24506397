"""Broken labels planted into real sets, and the losses of models that learned from them.

Models are fitted, watched and judged on the labels as they came in; what counts is their loss on the true ones. Both
are kept in data/bench, one file a model.
"""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from retrain_pipeline.learning.losses import row_losses
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.replay.history import History
from retrain_pipeline.replay.matrix import MIN_FIRST, LossMatrix, Recipe, fit_at
from retrain_pipeline_tests.bench.triggers import CACHE, SETS, recipe, shared_folder
from retrain_pipeline_tests.bench.window import JUDGED

EVERY = 10
"""In each so many batches one fault begins, at a place that is drawn."""
ROWS_LATE = 6
LOST = 0.5
UNIT = 0.001
SEED = 0


@dataclass(frozen=True)
class Fault:
    """Labels broken in one way, so many batches in a row."""

    kind: str
    in_a_row: int

    def batches(self, history: History, warm_up: int) -> list[int]:
        """Return the batches with broken labels; the first model learned before them."""
        rng, first = np.random.default_rng(SEED), warm_up + JUDGED
        starts = [at + int(rng.integers(EVERY - self.in_a_row + 1)) for at in range(first, history.batches, EVERY)]
        return [b for start in starts for b in range(start, start + self.in_a_row) if b < history.batches]

    def planted(self, history: History, warm_up: int) -> History:
        """Return the history as a pipeline with the fault would have stored it."""
        y, rng = history.y.copy(), np.random.default_rng(SEED)
        for b in self.batches(history, warm_up):
            first, end = history.starts[b], history.starts[b + 1]
            y[first:end] = KINDS[self.kind](history, first, end, rng)
        return replace(history, y=y)


def _shifted(history: History, first: int, end: int, _: np.random.Generator) -> np.ndarray:
    return history.y[first - ROWS_LATE : end - ROWS_LATE]


def _values(history: History, first: int, end: int, rng: np.random.Generator) -> np.ndarray:
    told = history.y[first:end]
    if history.task == "regression":
        return told * UNIT
    return np.where(rng.random(len(told)) < LOST, 0, told)


KINDS: dict[str, Callable[[History, int, int, np.random.Generator], np.ndarray]] = {
    "shifted": _shifted,
    "wrong values": _values,
}


def matrices(name: str, fault: Fault, window: int) -> tuple[LossMatrix, LossMatrix]:
    """Return the losses on the labels that came in and on the true ones, of models that learned from the former."""
    true = SETS[name].history(shared_folder())
    seen, way = fault.planted(true, SETS[name].warm_up), recipe(true, window)
    folder = CACHE / "faults" / way.digest(seen)
    folder.mkdir(parents=True, exist_ok=True)
    models = range(MIN_FIRST, true.batches)
    missing = [s for s in models if not (folder / f"{s:05d}.npy").exists()]
    if missing:
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork")) as pool:
            list(pool.map(partial(_store, seen, true, way, folder), missing, chunksize=8))
    both = {s: np.load(folder / f"{s:05d}.npy", allow_pickle=False) for s in models}
    return LossMatrix(seen, {s: one[0] for s, one in both.items()}), LossMatrix(
        true, {s: one[1] for s, one in both.items()}
    )


def _store(seen: History, true: History, way: Recipe, folder: Path, s: int) -> None:
    """Fit model s on the labels that came in and store its row losses on both."""
    from threadpoolctl import threadpool_limits

    pipeline, begin = fit_at(seen, way, s), seen.starts[s]
    with threadpool_limits(1):
        answers = predict(pipeline, seen.task, seen.features.iloc[begin:]).frame
    sides = [row_losses(seen.metric, seen.task, one.y[begin:], answers) / true.scale for one in (seen, true)]
    part = folder / f"{s:05d}.part.npy"
    np.save(part, np.array(sides, dtype=np.float32), allow_pickle=False)
    part.replace(folder / f"{s:05d}.npy")
