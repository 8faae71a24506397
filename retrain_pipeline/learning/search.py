"""The search: every trial on the same rows, in an order that the seed decides, until the budget is spent."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from retrain_pipeline.canonical import sha256
from retrain_pipeline.lake.declared import Task
from retrain_pipeline.learning.budget import Meter, Purse
from retrain_pipeline.learning.candidates import build_pipeline, plan_columns
from retrain_pipeline.learning.frames import Frames
from retrain_pipeline.learning.guarded import FitFailed, converged, guarded
from retrain_pipeline.learning.losses import metric_value, row_losses
from retrain_pipeline.learning.prediction import aligned, predict
from retrain_pipeline.learning.training_set import MIN_TRAINING_ROWS
from retrain_pipeline.learning.validation import validation_split
from retrain_pipeline.learning.windows import Windows, windows_of
from retrain_pipeline.spec.model import Candidate, Metric, ModelSpec

if TYPE_CHECKING:
    import numpy as np

Status = Literal["ok", "failed", "over budget", "skipped"]


@dataclass(frozen=True)
class Trial:
    """One setting of one candidate. `loss` is the validation metric, None unless `status` is ok.

    `window` is a shorter window in periods; None for all training rows.
    """

    candidate: str
    params: dict[str, Any]
    status: Status
    reason: str
    loss: float | None
    wall_seconds: float
    peak_rss_mb: float
    window: int | None = None


Progress = Callable[[int, int, Trial], None]


class Bench:
    """The rows, the split and the seed that all trials share."""

    def __init__(self, spec: ModelSpec, frames: Frames, seed: int) -> None:
        self.spec, self.frames, self.seed = spec, frames, seed
        self.task: Task = frames.task
        self.metric: Metric = spec.problem.success.metric
        self.plan = plan_columns(frames.train_x)
        self.split = validation_split(frames, spec.training.validation_share)
        self.x = aligned(frames.train_x, list(self.plan.numeric), list(self.plan.categorical))
        self.times = frames.train_keys["_event_time"]
        self.kept: dict[int | None, tuple[Trial, np.ndarray[Any, Any]]] = {}
        """By window, the best trial and its validation losses."""

    @cached_property
    def windows(self) -> Windows:
        """The labelled periods of the training rows."""
        return windows_of(self.spec, self.times)

    @cached_property
    def shorter(self) -> list[int]:
        """The windows to try beside all rows, the longest first."""
        return self.windows.shorter(self.spec, self.split.fit) if self.spec.training.shorter_windows else []

    def within(self, window: int | None, rows: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """Return those of some rows that lie in a window that ends with the newest of them."""
        import numpy as np

        if window is None:
            return rows
        kept = self.windows.newest(rows, window)
        if len(kept) < MIN_TRAINING_ROWS:
            raise FitFailed(f"the window holds {len(kept)} rows, at least {MIN_TRAINING_ROWS} are needed")
        y = self.frames.train_y
        if self.task != "regression" and len(np.unique(y[kept])) < len(np.unique(y)):
            raise FitFailed("the window lacks a class that the training rows have")
        return kept

    def fitted(self, candidate: Candidate, params: Mapping[str, Any], rows: "np.ndarray[Any, Any] | None") -> Any:
        """Return the setting fitted on some training rows, or on all."""
        threads = self.spec.training.threads
        pipeline = build_pipeline(candidate, params, self.x, self.task, self.seed, threads=threads, plan=self.plan)
        if rows is None:
            return pipeline.fit(self.x, self.frames.train_y)
        return pipeline.fit(self.x.iloc[rows], self.frames.train_y[rows])

    def losses(self, pipeline: Any) -> "np.ndarray[Any, Any]":
        """Return the losses of the validation rows."""
        rows = self.split.validation
        answers = predict(pipeline, self.task, self.x.iloc[rows]).frame
        return row_losses(self.metric, self.task, self.frames.train_y[rows], answers)

    def loss(self, pipeline: Any) -> float:
        """Return the metric on the validation rows."""
        return metric_value(self.metric, self.losses(pipeline))

    def keep(self, trial: Trial, losses: "np.ndarray[Any, Any]") -> None:
        """Keep the losses of a good trial, where windows are compared and it is the best of its window yet."""
        best = self.kept.get(trial.window)
        if self.shorter and (best is None or (trial.loss or 0.0) < (best[0].loss or 0.0)):
            self.kept[trial.window] = (trial, losses)


def search(spec: ModelSpec, bench: Bench, seed: int, progress: Progress | None) -> list[Trial]:
    """Return the trials: all settings on the longest window, then the best of each candidate on the shorter ones."""
    purse, trials, plans = Purse(spec.training.budget), list[Trial](), []
    candidates = spec.training.candidates
    for name, candidate in candidates.items():
        own = int(sha256(f"{seed}:{name}".encode())[:8], 16)  # another candidate in the file moves no other's draw
        plans += [(name, candidate, one) for one in drawn_settings(candidate, spec.training.max_trials, own)]
    planned = len(plans) + len(bench.shorter) * len(candidates)

    def attempt(name: str, params: dict[str, Any], window: int | None) -> None:
        why = purse.spent()
        if why is not None:
            trials.append(Trial(name, params, "skipped", why, None, 0.0, 0.0, window))
        else:
            trials.append(_tried(bench, purse, name, candidates[name], params, window))
        if progress is not None:
            progress(len(trials), planned, trials[-1])

    for name, _, params in _in_rounds(plans):
        attempt(name, params, None)
    best = _best_settings(trials)
    for window in bench.shorter:
        for name, params in best.items():
            attempt(name, params, window)
    return trials


def _in_rounds(plans: list[tuple[str, Candidate, dict[str, Any]]]) -> list[tuple[str, Candidate, dict[str, Any]]]:
    """Order trials round by round: a budget that ends early has then tried every candidate, not only the first."""
    seen: Counter[str] = Counter()
    rounds = []
    for at, plan in enumerate(plans):
        rounds.append((seen[plan[0]], at, plan))
        seen[plan[0]] += 1
    return [plan for _, _, plan in sorted(rounds, key=lambda one: one[:2])]


def _best_settings(trials: list[Trial]) -> dict[str, dict[str, Any]]:
    """Return the setting of each candidate that did best; one of which no trial was good has none."""
    found: dict[str, Trial] = {}
    for trial in trials:
        if trial.loss is not None and trial.loss < _loss(found.get(trial.candidate)):
            found[trial.candidate] = trial
    return {name: trial.params for name, trial in found.items()}


def _loss(trial: Trial | None) -> float:
    return math.inf if trial is None or trial.loss is None else trial.loss


def drawn_settings(candidate: Candidate, max_trials: int, seed: int) -> list[dict[str, Any]]:
    """Return the settings to try, at most `max_trials`, in an order that the seed alone decides."""
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    if not candidate.search:
        return [{}]
    grid = ParameterGrid({name: list(values) for name, values in candidate.search.items()})
    if len(grid) <= max_trials:
        return list(grid)
    space = {name: list(values) for name, values in candidate.search.items()}
    return list(ParameterSampler(space, max_trials, random_state=seed))


def _tried(
    bench: Bench, purse: Purse, name: str, candidate: Candidate, params: dict[str, Any], window: int | None
) -> Trial:
    meter = Meter()

    def told(status: Status, reason: str, loss: float | None = None) -> Trial:
        return Trial(name, params, status, reason, loss, meter.wall_seconds, meter.peak_rss_mb, window)

    def scored() -> "np.ndarray[Any, Any]":
        rows = bench.within(window, bench.split.fit)
        return bench.losses(converged(lambda: bench.fitted(candidate, params, rows)))

    try:
        with meter:
            losses = guarded(scored)
    except FitFailed as failure:
        return told("failed", str(failure))
    loss = metric_value(bench.metric, losses)
    if not math.isfinite(loss):
        return told("failed", f"the validation loss is {loss}")
    if (why := purse.crossed_by(meter)) is not None:
        return told("over budget", why)
    trial = told("ok", "", loss)
    bench.keep(trial, losses)
    return trial
