"""Before labels come: what the answers of both models on the new rows say of their losses."""

from datetime import datetime
from typing import TYPE_CHECKING

from retrain_pipeline.gates.evidence import GateResult
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

    from retrain_pipeline.learning.frames import Frames
    from retrain_pipeline.monitoring.labelfree import LossGuess
    from retrain_pipeline.release.comparison import Pair
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores


def label_free(stores: "Stores", spec: "ModelSpec", pair: "Pair", as_of: datetime) -> GateResult:
    """Judge the estimated loss of the model on trial against that of its reference, on the rows of the trial.

    Both estimates are made by `monitoring.labelfree` from the frozen evaluation rows of the trial's version, which
    both answer here, by one method: PASS when its estimate is at most the reference's and the margin, and never FAIL:
    an estimate that knows no label sends nobody back.
    """
    from retrain_pipeline.learning.training_set import read_training_set
    from retrain_pipeline.learning.versions import read_manifest

    frames = read_training_set(stores, read_manifest(stores, spec.name, pair.trial).frozen)
    now = _new_features(stores, spec, pair.since, as_of)
    ours, theirs = (_guess(stores, spec, version, frames, now) for version in (pair.trial, pair.reference))
    if ours.estimate is None or theirs.estimate is None:
        words = f"{ours.words}; {theirs.words}"
        return GateResult(gate="label_free", verdict=Verdict.INCONCLUSIVE, words=words)
    if ours.method != theirs.method:  # a model without probabilities; each method errs in its own way
        words = (
            f"no label is mature; the loss of {pair.trial} is estimated by {ours.method} and that of {pair.reference} "
            f"by {theirs.method}: they are not compared"
        )
        return GateResult(gate="label_free", verdict=Verdict.INCONCLUSIVE, words=words)
    allowed = theirs.estimate * (1 + spec.rollout.margin)
    words = (
        f"no label is mature; by {ours.method} a loss of {ours.estimate:.4g} for {pair.trial} and "
        f"{theirs.estimate:.4g} for {pair.reference}, allowed {allowed:.4g} (an estimate blind to what labels will say)"
    )
    verdict = Verdict.PASS if ours.estimate <= allowed else Verdict.INCONCLUSIVE
    return GateResult(
        gate="label_free", verdict=verdict, statistic=ours.estimate, threshold=allowed, n=ours.n, words=words
    )


def _new_features(stores: "Stores", spec: "ModelSpec", since: datetime, as_of: datetime) -> "pd.DataFrame":
    periods = spec.data.time.calendar().keys_between(since, as_of)
    return stores.lake.read(spec.name, "features", periods=periods, known_by=as_of)


def _guess(stores: "Stores", spec: "ModelSpec", version: str, frames: "Frames", now: "pd.DataFrame") -> "LossGuess":
    from retrain_pipeline.errors import PermanentError
    from retrain_pipeline.learning.losses import row_losses
    from retrain_pipeline.learning.prediction import predict
    from retrain_pipeline.learning.versions import load_version
    from retrain_pipeline.monitoring.evidence import Scored, guess_loss
    from retrain_pipeline.monitoring.labelfree import LossGuess

    task, metric = spec.data.label.task, spec.problem.success.metric
    if now.empty:
        return LossGuess("none", "no rows to estimate on")
    try:
        pipeline = load_version(stores, spec.name, version).pipeline
        before = predict(pipeline, task, frames.eval_x).frame
        told = predict(pipeline, task, now).frame
    except PermanentError as error:
        return LossGuess("none", f"{version}: {error}")
    losses = row_losses(metric, task, frames.eval_y, before)
    mature = Scored(frames.eval_x, before, frames.eval_y, losses, frames.eval_keys["_event_time"].to_numpy())
    names = [name for name in frames.eval_x.columns if name in now]
    return guess_loss(task, metric, mature, now[names], told[["prediction", "score"]], seed=spec.training.seed)
