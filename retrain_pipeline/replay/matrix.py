"""Losses of every model on every later batch: computed once, then policies replay by look-up.

Model s is fitted on the batches before s (the newest `window` of them) and scored on batch s and all later ones. With
labels that come late the model that a retrain at t gives is model ``known[t]``: it learned what was known at t.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.files import write_whole
from retrain_pipeline.learning.errors import TwinNotMade
from retrain_pipeline.learning.losses import mean_error, row_losses
from retrain_pipeline.learning.twins import fit_twin
from retrain_pipeline.replay.errors import HistoryRefused
from retrain_pipeline.replay.history import History
from retrain_pipeline.spec.model import Candidate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_FIRST = 2
"""No model is fitted on fewer batches."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Recipe:
    """How a model of the replay is made; `window` batches, None for all history."""

    candidate: Candidate
    window: int | None = None
    seed: int = 0

    def digest(self, history: History) -> str:
        """Name the matrix of a history: the same rows, recipe and scikit-learn give the same losses."""
        import sklearn

        recipe = {"candidate": self.candidate.model_dump(mode="json"), "window": self.window, "seed": self.seed}
        return digest_of({"history": history.digest, "sklearn": sklearn.__version__, "first": MIN_FIRST, **recipe})


@dataclass(frozen=True)
class LossMatrix:
    """Row losses of model s on the rows from its batch on: ``rows[s]`` has shape (n − starts[s],), scaled."""

    history: History
    rows: "dict[int, NDArray[np.float32]]"
    fit_seconds: dict[int, float] = field(default_factory=dict)
    _noise: dict[tuple[int, int], float] = field(default_factory=dict, repr=False)

    @cached_property
    def mean(self) -> "NDArray[np.float64]":
        """Mean loss of model s on batch t, shape (batches, batches); NaN where t < s or there is no model s."""
        import numpy as np

        starts = np.asarray(self.history.starts)
        found = np.full((self.history.batches, self.history.batches), np.nan)
        for s, losses in self.rows.items():
            sums = np.add.reduceat(losses.astype(np.float64), starts[s:-1] - starts[s])
            found[s, s:] = sums / np.diff(starts)[s:]
        return found

    def noise(self, s: int, t: int) -> float:
        """Return the standard error of the difference in mean loss of model s and model t on batch t."""
        if (s, t) not in self._noise:
            self._noise[s, t] = mean_error(self.of(s, t) - self.of(t, t))
        return self._noise[s, t]

    def of(self, s: int, t: int) -> "NDArray[np.float32]":
        """Return the row losses of model s on batch t."""
        starts = self.history.starts
        return self.rows[s][starts[t] - starts[s] : starts[t + 1] - starts[s]]


def loss_matrix(
    history: History, recipe: Recipe, cache: Path, *, workers: int = 1, progress: Progress | None = None
) -> LossMatrix:
    """Return the losses of all models, from the cache where they are; an interrupted computation goes on from there.

    Parameters
    ----------
    cache
        Folder for matrices, each under its digest; one file a model.
    workers
        Processes that fit, each on one thread.
    progress
        Called with (models done, models in all).

    Raises
    ------
    EstimatorRefused
        When the recipe's estimator or a parameter does not exist.
    """
    import numpy as np

    folder = cache / recipe.digest(history)
    folder.mkdir(parents=True, exist_ok=True)
    models = range(MIN_FIRST, history.batches)
    missing = [s for s in models if not (folder / f"{s:05d}.npy").exists()]
    done = len(models) - len(missing)
    if progress is not None:
        progress(done, len(models))
    for _ in _fitted(history, recipe, folder, missing, workers):
        done += 1
        if progress is not None:
            progress(done, len(models))
    rows, seconds = {}, {}
    for s in models:
        stored = np.load(folder / f"{s:05d}.npy", allow_pickle=False)
        rows[s], seconds[s] = stored[1:], float(stored[0])
    return LossMatrix(history, rows, seconds)


def _fitted(history: History, recipe: Recipe, folder: Path, models: list[int], workers: int) -> Any:
    """Fit models and yield each when its losses are stored; forked processes share the history's memory."""
    if workers < 2 or len(models) < 2 or not hasattr(os, "fork"):
        for s in models:
            _store(history, recipe, folder, s)
            yield s
        return
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    _JOB[:] = [(history, recipe, folder)]
    # The largest first, so that no process is left alone with one at the end.
    with ProcessPoolExecutor(min(workers, len(models)), mp_context=get_context("fork")) as pool:
        for one in as_completed([pool.submit(_store_shared, s) for s in sorted(models, reverse=True)]):
            yield one.result()
    _JOB.clear()


_JOB: list[tuple[History, Recipe, Path]] = []


def _store_shared(s: int) -> int:
    _store(*_JOB[0], s)
    return s


def _store(history: History, recipe: Recipe, folder: Path, s: int) -> None:
    """Fit model s and store its seconds and its row losses."""
    import io

    import numpy as np

    started = time.perf_counter()
    try:
        pipeline = fit_at(history, recipe, s)
    except TwinNotMade as error:
        raise HistoryRefused(
            f"{history.name}: the model before batch {history.keys[s]} could not be fitted ({error}); take larger "
            "batches or a longer window"
        ) from error
    seconds = time.perf_counter() - started
    losses = losses_from(history, pipeline, s)
    target = io.BytesIO()
    np.save(target, np.concatenate([[np.float32(seconds)], losses]).astype(np.float32), allow_pickle=False)
    write_whole(folder / f"{s:05d}.npy", target.getvalue())


def fit_at(history: History, recipe: Recipe, s: int) -> Any:
    """Return the pipeline fitted on the batches before s, on one thread."""
    begin = history.starts[0 if recipe.window is None else max(0, s - recipe.window)]
    rows = slice(begin, history.starts[s])
    return fit_twin(recipe.candidate, history.features.iloc[rows], history.y[rows], history.task, recipe.seed)


def losses_from(history: History, pipeline: Any, s: int) -> "NDArray[np.float64]":
    """Return the scaled loss of every row from batch s on."""
    from threadpoolctl import threadpool_limits

    from retrain_pipeline.learning.prediction import predict

    begin = history.starts[s]
    with threadpool_limits(1):
        answers = predict(pipeline, history.task, history.features.iloc[begin : history.starts[-1]]).frame
    found: NDArray[np.float64] = row_losses(history.metric, history.task, history.y[begin:], answers) / history.scale
    return found
