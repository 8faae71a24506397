"""Fitting: a seeded search, validated on the newest training rows, within a budget, beside two baselines."""

import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from retrain_pipeline.canonical import sha256
from retrain_pipeline.errors import RetrainError
from retrain_pipeline.lake.declared import Task
from retrain_pipeline.learning.budget import Meter, Purse
from retrain_pipeline.learning.candidates import ColumnPlan, build_pipeline, plan_columns
from retrain_pipeline.learning.errors import AllCandidatesFailed, AnswersNotFinite
from retrain_pipeline.learning.frames import Frames
from retrain_pipeline.learning.losses import metric_value, row_losses
from retrain_pipeline.learning.prediction import predict
from retrain_pipeline.learning.validation import Split, validation_split
from retrain_pipeline.spec.model import Candidate, Metric, ModelSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Status = Literal["ok", "failed", "over budget", "skipped"]


@dataclass(frozen=True)
class Trial:
    """One setting of one candidate. `loss` is the validation metric, None unless `status` is ok."""

    candidate: str
    params: dict[str, Any]
    status: Status
    reason: str
    loss: float | None
    wall_seconds: float
    peak_rss_mb: float


@dataclass(frozen=True)
class Fitted:
    """A pipeline fitted on all training rows, and the validation loss of its setting on the newest of them."""

    name: str
    estimator: str
    params: dict[str, Any]
    pipeline: Any
    validation_loss: float
    wall_seconds: float


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


Progress = Callable[[int, int, Trial], None]


def fit_candidates(
    spec: ModelSpec, frames: Frames, seed: int | None = None, progress: Progress | None = None
) -> FitResult:
    """Search the candidates' settings, refit the best on all training rows, and return it.

    At most `training.max_trials` settings per candidate are drawn by the seed. Each is fitted on the older training
    rows and scored on the newest `validation_share`; evaluation rows are never touched. Ties go to what was declared
    first. A loss that is NaN, a fit that raises, that does not converge or that alone crosses the budget is a trial
    that failed, and is recorded (P27).

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
    with threadpool_limits(spec.training.threads):
        bench = _Bench(spec, frames, seed)
        baselines, failed = _fit_baselines(spec, bench)
        trials, complete = _search(spec, bench, seed, progress)
        best, trials = _refitted(spec, bench, trials)
    return FitResult(best, [*failed, *trials], baselines, bench.plan, bench.split, complete)


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


def refit(
    spec: ModelSpec,
    candidate: Candidate,
    params: Mapping[str, Any],
    frames: Frames,
    seed: int,
) -> Any:
    """Return one setting fitted on all training rows, on `training.threads` threads."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(spec.training.threads):
        return _Bench(spec, frames, seed).fitted(candidate, params, None)


class _Bench:
    """The rows, the split and the seed that all trials share."""

    def __init__(self, spec: ModelSpec, frames: Frames, seed: int) -> None:
        self.spec, self.frames, self.seed = spec, frames, seed
        self.task: Task = frames.task
        self.metric: Metric = spec.problem.success.metric
        self.plan = plan_columns(frames.train_x)
        self.split = validation_split(frames, spec.training.validation_share)
        self.x = _given(frames.train_x, self.plan)

    def fitted(self, candidate: Candidate, params: Mapping[str, Any], rows: "np.ndarray[Any, Any] | None") -> Any:
        """Return the setting fitted on some training rows, or on all."""
        threads = self.spec.training.threads
        pipeline = build_pipeline(candidate, params, self.x, self.task, self.seed, threads=threads, plan=self.plan)
        if rows is None:
            return pipeline.fit(self.x, self.frames.train_y)
        return pipeline.fit(self.x.iloc[rows], self.frames.train_y[rows])

    def loss(self, pipeline: Any) -> float:
        """Return the metric on the validation rows."""
        rows = self.split.validation
        answers = predict(pipeline, self.task, self.x.iloc[rows]).frame
        return metric_value(self.metric, row_losses(self.metric, self.task, self.frames.train_y[rows], answers))

    def baseline(self, name: str, candidate: Candidate) -> Fitted:
        """Return a baseline; one that does not converge quite is still a baseline."""
        started = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loss = self.loss(self.fitted(candidate, {}, self.split.fit))
            pipeline = self.fitted(candidate, {}, None)
        return Fitted(name, candidate.estimator, dict(candidate.params), pipeline, loss, time.monotonic() - started)


def _fit_baselines(spec: ModelSpec, bench: _Bench) -> tuple[dict[str, Fitted], list[Trial]]:
    """Return the baselines, and a failed trial for each that could not be fitted: the gate misses it then."""
    fitted, failed = dict[str, Fitted](), list[Trial]()
    for name, candidate in _baselines(spec).items():
        try:
            fitted[name] = _guarded(partial(bench.baseline, name, candidate))
        except _FitFailed as failure:
            failed.append(Trial(name, {}, "failed", str(failure), None, 0.0, 0.0))
    return fitted, failed


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


def _search(spec: ModelSpec, bench: _Bench, seed: int, progress: Progress | None) -> tuple[list[Trial], bool]:
    purse, trials, plans = Purse(spec.training.budget), list[Trial](), []
    for name, candidate in spec.training.candidates.items():
        own = int(sha256(f"{seed}:{name}".encode())[:8], 16)  # another candidate in the file moves no other's draw
        plans += [(name, candidate, one) for one in drawn_settings(candidate, spec.training.max_trials, own)]
    for name, candidate, params in _in_rounds(plans):
        why = purse.spent()
        if why is not None:
            trials.append(Trial(name, params, "skipped", why, None, 0.0, 0.0))
        else:
            trials.append(_tried(bench, purse, name, candidate, params))
        if progress is not None:
            progress(len(trials), len(plans), trials[-1])
    return trials, all(trial.status not in ("skipped", "over budget") for trial in trials)


def _in_rounds(plans: list[tuple[str, Candidate, dict[str, Any]]]) -> list[tuple[str, Candidate, dict[str, Any]]]:
    """Order trials round by round: a budget that ends early has then tried every candidate, not only the first."""
    seen: Counter[str] = Counter()
    rounds = []
    for at, plan in enumerate(plans):
        rounds.append((seen[plan[0]], at, plan))
        seen[plan[0]] += 1
    return [plan for _, _, plan in sorted(rounds, key=lambda one: one[:2])]


def _tried(bench: _Bench, purse: Purse, name: str, candidate: Candidate, params: dict[str, Any]) -> Trial:
    meter = Meter()

    def told(status: Status, reason: str, loss: float | None = None) -> Trial:
        return Trial(name, params, status, reason, loss, meter.wall_seconds, meter.peak_rss_mb)

    try:
        with meter:
            loss = _guarded(lambda: bench.loss(_converged(lambda: bench.fitted(candidate, params, bench.split.fit))))
    except _FitFailed as failure:
        return told("failed", str(failure))
    if not math.isfinite(loss):
        return told("failed", f"the validation loss is {loss}")
    why = purse.crossed_by(meter)
    return told("ok", "", loss) if why is None else told("over budget", why)


def _refitted(spec: ModelSpec, bench: _Bench, trials: list[Trial]) -> tuple[Fitted, list[Trial]]:
    """Refit the best setting on all training rows; one that fails there gives way to the next."""
    trials, order = list(trials), list(spec.training.candidates)
    good = [(trial.loss, order.index(trial.candidate), at) for at, trial in enumerate(trials) if trial.loss is not None]
    for loss, _, at in sorted(good):
        trial = trials[at]
        candidate = spec.training.candidates[trial.candidate]
        started = time.monotonic()
        try:
            pipeline = _guarded(partial(_refit_sound, bench, candidate, trial.params))
        except _FitFailed as failure:
            trials[at] = replace(trial, status="failed", reason=f"refit on all training rows: {failure}", loss=None)
            continue
        params, seconds = {**candidate.params, **trial.params}, time.monotonic() - started
        return Fitted(trial.candidate, candidate.estimator, params, pipeline, loss, seconds), trials
    raise AllCandidatesFailed(spec.name, {trial.candidate: trial.reason for trial in reversed(trials)})


def _refit_sound(bench: _Bench, candidate: Candidate, params: dict[str, Any]) -> Any:
    pipeline = _converged(lambda: bench.fitted(candidate, params, None))
    if not math.isfinite(bench.loss(pipeline)):
        raise _FitFailed("its loss is not finite")
    return pipeline


def _converged(fit: Callable[[], Any]) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", ConvergenceWarning)
        return fit()


class _FitFailed(Exception):
    """A fit that came to nothing, and why."""


def _guarded(work: Callable[[], Any]) -> Any:
    """Return the result of work inside an estimator, or raise _FitFailed with the reason for the record.

    What we raise ourselves about a declaration is no failed trial and passes through.
    """
    try:
        return work()
    except AnswersNotFinite as error:
        raise _FitFailed(str(error)) from error
    except (RetrainError, _FitFailed):
        raise
    except MemoryError as error:
        raise _FitFailed("out of memory") from error
    except Exception as error:  # the boundary to other people's code, which raises what it likes
        raise _FitFailed(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error


def _given(frame: "pd.DataFrame", plan: ColumnPlan) -> "pd.DataFrame":
    from retrain_pipeline.learning.prediction import aligned

    return aligned(frame, list(plan.numeric), list(plan.categorical))
