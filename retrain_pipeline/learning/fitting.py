"""Fitting: a seeded search, validated on the newest training rows, within a budget, beside two baselines.

Settings are searched on the longest window; the best of each candidate is then tried on the shorter ones.
"""

import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from retrain_pipeline.learning.budget import memory_limit
from retrain_pipeline.learning.candidates import ColumnPlan
from retrain_pipeline.learning.errors import AllCandidatesFailed
from retrain_pipeline.learning.frames import Frames
from retrain_pipeline.learning.guarded import FitFailed, converged, guarded
from retrain_pipeline.learning.search import Bench, Progress, Trial, search
from retrain_pipeline.learning.validation import Split
from retrain_pipeline.learning.windows import Comparison, FitWindow, choose_window
from retrain_pipeline.spec.model import Candidate, ModelSpec

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Fitted:
    """A pipeline fitted on all rows of its window, and the validation loss of its setting on the newest of them."""

    name: str
    estimator: str
    params: dict[str, Any]
    pipeline: Any
    validation_loss: float
    wall_seconds: float
    window: FitWindow | None = None
    """None for all training rows."""


@dataclass(frozen=True)
class FitResult:
    """The winner, what was tried on the way, and the baselines (`dummy`, `linear`)."""

    best: Fitted
    trials: list[Trial]
    baselines: dict[str, Fitted]
    plan: ColumnPlan
    split: Split
    complete: bool
    """False when the budget ended the search: then a repeat may try more, or less."""
    windows: tuple[Comparison, ...] = ()


def fit_candidates(
    spec: ModelSpec, frames: Frames, seed: int | None = None, progress: Progress | None = None
) -> FitResult:
    """Search the candidates' settings, refit the best on all training rows, and return it.

    At most `training.max_trials` settings per candidate are drawn by the seed. Each is fitted on the older training
    rows and scored on the newest `validation_share`; evaluation rows are never touched. Ties go to what was declared
    first. The best setting of each candidate is tried on each of `training.window_choices` too, and a shorter window is
    taken when it is better beyond noise. A loss that is NaN, a fit that raises, that does not converge or that alone
    crosses the budget is a trial that failed, and is recorded (P27).

    Parameters
    ----------
    seed
        Default `training.seed`.
    progress
        Called with (trials done, trials planned, the trial) after each.

    Raises
    ------
    AllCandidatesFailed
        When no trial gave a finite loss.
    EstimatorRefused
        When a declared estimator or parameter does not exist.
    """
    from threadpoolctl import threadpool_limits

    seed = spec.training.seed if seed is None else seed
    with threadpool_limits(spec.training.threads), memory_limit(spec.training.budget):
        bench = Bench(spec, frames, seed)
        baselines, failed = _fit_baselines(spec, bench)
        trials = search(spec, bench, seed, progress)
        chosen, steps = _chosen_window(spec, bench, seed)
        best, trials = _refitted(spec, bench, trials, chosen)
    complete = all(trial.status not in ("skipped", "over budget") for trial in trials)
    return FitResult(best, [*failed, *trials], baselines, bench.plan, bench.split, complete, tuple(steps))


def refit(
    spec: ModelSpec,
    candidate: Candidate,
    params: Mapping[str, Any],
    frames: Frames,
    seed: int,
    window: FitWindow | None = None,
) -> Any:
    """Return one setting fitted on all training rows or those of a window, on `training.threads` threads."""
    from threadpoolctl import threadpool_limits

    rows = None if window is None else window.rows_of(frames.train_keys["_event_time"])
    with threadpool_limits(spec.training.threads), memory_limit(spec.training.budget):
        return Bench(spec, frames, seed).fitted(candidate, params, rows)


def _fit_baselines(spec: ModelSpec, bench: Bench) -> tuple[dict[str, Fitted], list[Trial]]:
    """Return the baselines, and a failed trial for each that could not be fitted: the gate misses it then."""
    fitted, failed = dict[str, Fitted](), list[Trial]()
    for name, candidate in _baselines(spec).items():
        try:
            fitted[name] = guarded(partial(_baseline, bench, name, candidate))
        except FitFailed as failure:
            failed.append(Trial(name, {}, "failed", str(failure), None, 0.0, 0.0))
    return fitted, failed


def _baseline(bench: Bench, name: str, candidate: Candidate) -> Fitted:
    """Return a baseline; one that does not converge quite is still a baseline."""
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loss = bench.loss(bench.fitted(candidate, {}, bench.split.fit))
        pipeline = bench.fitted(candidate, {}, None)
    return Fitted(name, candidate.estimator, dict(candidate.params), pipeline, loss, time.monotonic() - started)


def _baselines(spec: ModelSpec) -> dict[str, Candidate]:
    if spec.data.label.task == "regression":
        middle = "mean" if spec.problem.success.metric == "rmse" else "median"
        return {
            "dummy": Candidate(estimator="sklearn.dummy.DummyRegressor", params={"strategy": middle}),
            "linear": Candidate(estimator="sklearn.linear_model.Ridge"),
        }
    return {
        "dummy": Candidate(estimator="sklearn.dummy.DummyClassifier", params={"strategy": "prior"}),
        "linear": Candidate(estimator="sklearn.linear_model.LogisticRegression", params={"max_iter": 1000}),
    }


def _chosen_window(spec: ModelSpec, bench: Bench, seed: int) -> tuple[Trial | None, list[Comparison]]:
    """Return the trial whose shorter window is taken, or None, and the comparisons."""
    if None not in bench.kept or len(bench.kept) < 2:
        return None, []
    named = {window or spec.training.window_periods: kept for window, kept in bench.kept.items()}
    moments = bench.times.iloc[bench.split.validation]
    losses = {window: losses for window, (_, losses) in named.items()}
    window, steps = choose_window(losses, moments, block_hours=spec.gates.block_hours, seed=seed)
    chosen = named[window][0]
    return (chosen if chosen.window is not None else None), steps


def _refitted(spec: ModelSpec, bench: Bench, trials: list[Trial], chosen: Trial | None) -> tuple[Fitted, list[Trial]]:
    """Refit the best setting on all rows of its window; one that fails there gives way to the next.

    A shorter window that was not chosen is no candidate, however low its loss.
    """
    import numpy as np

    trials, order = list(trials), list(spec.training.candidates)
    good = [
        (trial is not chosen, trial.loss, order.index(trial.candidate), at)
        for at, trial in enumerate(trials)
        if trial.loss is not None and (trial.window is None or trial is chosen)
    ]
    for _, loss, _, at in sorted(good):
        trial = trials[at]
        candidate = spec.training.candidates[trial.candidate]
        started = time.monotonic()
        try:
            rows = None if trial.window is None else bench.within(trial.window, np.arange(len(bench.times)))
            pipeline = guarded(partial(_refit_sound, bench, candidate, trial.params, rows))
        except FitFailed as failure:
            trials[at] = replace(trial, status="failed", reason=f"refit on all training rows: {failure}", loss=None)
            continue
        params, seconds = {**candidate.params, **trial.params}, time.monotonic() - started
        window = None if trial.window is None or rows is None else FitWindow.of(trial.window, bench.times.iloc[rows])
        return Fitted(trial.candidate, candidate.estimator, params, pipeline, loss, seconds, window), trials
    raise AllCandidatesFailed(spec.name, {trial.candidate: trial.reason for trial in reversed(trials)})


def _refit_sound(
    bench: Bench, candidate: Candidate, params: dict[str, Any], rows: "np.ndarray[Any, Any] | None"
) -> Any:
    pipeline = converged(lambda: bench.fitted(candidate, params, rows))
    if not math.isfinite(bench.loss(pipeline)):
        raise FitFailed("its loss is not finite")
    return pipeline
