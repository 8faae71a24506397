"""What the rows say: the measurements that a diagnosis stands on, from labelled rows of now and of before."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.declared import Task
from retrain_pipeline.monitoring.labelfree import LossGuess, calibrate, cbpe, dle
from retrain_pipeline.monitoring.performance import MIN_ROWS, LossEstimate, estimate
from retrain_pipeline.monitoring.poisoning import SURE_SHARE, Poisoning, classified, measured, poisoning
from retrain_pipeline.spec.model import Metric

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_FAR_QUANTILE = 0.99
_FAR_SD = 2.0
_FAR_SCALE = 3.0
_BACKWARDS = -0.5
_MIRRORED_APART = 0.3
_STRETCHES = 28


@dataclass(frozen=True)
class Scored:
    """Labelled rows that a model answered, in order of event time: n rows each.

    `answers` has `prediction` and `score`; `features` any columns; `truth` is as `learning.labels.encode_labels` spells
    it.
    """

    features: "pd.DataFrame"
    answers: "pd.DataFrame"
    truth: "NDArray[Any]"
    losses: "NDArray[np.float64]"
    event_time: "NDArray[np.datetime64]"

    @property
    def told(self) -> "NDArray[Any]":
        """What goes with labels: the score of a binary model where it has one, else the prediction."""
        import numpy as np

        score = self.answers["score"].to_numpy(dtype=np.float64)
        binary = not np.isnan(score).any() and self.truth.dtype.kind in "iub"
        return score if binary else self.answers["prediction"].to_numpy()

    def part(self, start: int, end: int | None = None) -> "Scored":
        """Return a stretch of the rows."""
        at = slice(start, end)
        return Scored(
            self.features.iloc[at], self.answers.iloc[at], self.truth[at], self.losses[at], self.event_time[at]
        )


@dataclass(frozen=True)
class Measured:
    """What rows of now say against rows of before: as `diagnosis.Evidence`, None where nothing can be said."""

    labels_turned: str | None = None
    labels_moved: str | None = None
    poisoning: Poisoning | None = None
    loss: float | None = None
    explained: LossGuess | None = None
    repaired_loss: float | None = None
    slope: tuple[float, float] | None = None
    intercept: tuple[float, float] | None = None


def guess_loss(
    task: Task, metric: Metric, before: Scored, features: "pd.DataFrame", answers: "pd.DataFrame", *, seed: int
) -> LossGuess:
    """Return the label-free estimate of the loss of rows: CBPE for binary scores, else direct loss estimation.

    Parameters
    ----------
    before
        Mature rows of the same model.
    features, answers
        Of the rows whose labels are not known, n rows each.
    """
    import numpy as np

    score = answers["score"].to_numpy(dtype=np.float64)
    if task == "binary" and len(score) and not np.isnan(score).any():
        known = before.answers["score"].to_numpy(dtype=np.float64)
        calibration = calibrate(known, before.truth)
        return cbpe(metric, calibration, score, answers["prediction"].to_numpy(dtype=np.float64))
    return _direct(before, features, answers, seed)


def _direct(before: Scored, features: "pd.DataFrame", answers: "pd.DataFrame", seed: int) -> LossGuess:
    import pandas as pd

    names = [name for name in before.features.columns if name in features]
    told = [
        pd.concat([one[names].reset_index(drop=True), side[["prediction", "score"]].reset_index(drop=True)], axis=1)
        for one, side in ((before.features, before.answers), (features, answers))
    ]
    return dle(before.losses, told[0], told[1], seed=seed)


def _explained(task: Task, metric: Metric, before: Scored, now: Scored, seed: int) -> LossGuess:
    """Return the estimate that lets inputs explain most: scores alone do not see that some inputs are harder."""
    both = [guess_loss(task, metric, before, now.features, now.answers, seed=seed)]
    if both[0].method == "cbpe":
        both.append(_direct(before, now.features, now.answers, seed))
    return max(both, key=lambda one: -1.0 if one.high is None else one.high)


def measure(
    task: Task, metric: Metric, before: Scored, now: Scored, *, validated: LossEstimate, block_hours: float, seed: int,
    explain: bool = True,
) -> Measured:  # fmt: skip
    """Return what labelled rows of now say; nothing where there are fewer than 50 on either side.

    Parameters
    ----------
    explain
        Ask for the label-free estimate too: it says how much of a risen loss inputs explain.
    """
    if min(len(before.truth), len(now.truth)) < MIN_ROWS:
        return Measured()
    slope, intercept = _calibration(task, now)
    return Measured(
        labels_turned=labels_turned(task, metric, now, validated, block_hours),
        labels_moved=labels_moved(task, before, now),
        poisoning=_poisoned(task, before, now),
        loss=float(now.losses.mean()),
        explained=_explained(task, metric, before, now, seed) if explain else None,
        repaired_loss=_repaired(task, metric, now),
        slope=slope,
        intercept=intercept,
    )


def labels_turned(
    task: Task, metric: Metric, now: Scored, validated: LossEstimate, block_hours: float, *, sure: float = 2.0
) -> str | None:
    """Return words when answers go with labels worse than chance, and as well as validated with labels turned round.

    Parameters
    ----------
    sure
        Standard errors below chance.
    """
    from retrain_pipeline.learning.concord import concord, relabelled
    from retrain_pipeline.learning.losses import row_losses

    values = concord(task, now.truth, now.told)
    if values is None:
        return None
    chance = 0.5 if task == "binary" else 0.0
    found = estimate(values, now.event_time, block_hours)
    if not found.mean + sure * found.se < chance:
        return None
    words = f"answers go with labels at {found.mean:.2f}, chance is {chance:g}"
    turned = row_losses(metric, task, relabelled(task, now.truth, now.answers["prediction"].to_numpy()), now.answers)
    after = estimate(turned, now.event_time, block_hours)
    explained = after.mean - 2 * after.se <= validated.mean + 2 * validated.se
    if task == "regression" and not explained:  # −y brings back no labels that were moved too: backwards is enough
        explained = found.mean + sure * found.se < _BACKWARDS
    return f"labels look inverted or recoded: {words}" if explained else None


def labels_moved(task: Task, before: Scored, now: Scored) -> str | None:
    """Return words when labels moved in level or scale as a mistake moves them, while answers stayed."""
    import numpy as np

    if task == "multiclass":
        return None
    first, last = (np.asarray(side.truth, dtype=np.float64) for side in (before, now))
    said = [np.asarray(side.told, dtype=np.float64) for side in (before, now)]
    stayed = abs(said[1].mean() - said[0].mean()) <= 0.5 * max(float(said[0].std()), 1e-12)
    words = f"label mean {last.mean():.4g}, before {first.mean():.4g}, while answers stayed"
    if task == "binary":
        way = abs(1 - 2 * first.mean())  # from the rate before to its mirror image; near one half they are alike
        far = way > _MIRRORED_APART and abs(last.mean() - (1 - first.mean())) < way / 4
    else:
        ratio = float(last.std()) / max(float(first.std()), 1e-12)
        rescaled = ratio > _FAR_SCALE or ratio < 1 / _FAR_SCALE
        far = abs(last.mean() - first.mean()) > _FAR_SD * float(first.std()) or rescaled
    return f"labels look recoded or rescaled: {words}" if far and stayed else None


def _poisoned(task: Task, before: Scored, now: Scored) -> Poisoning:
    import numpy as np

    if task == "regression":
        residuals = [s.truth.astype(np.float64) - s.answers["prediction"].to_numpy(np.float64) for s in (before, now)]
        usual, far = np.quantile(np.abs(residuals[0]), [0.5, _FAR_QUANTILE])
        sides = zip((before, now), residuals, strict=True)
        told = [measured(side.features, one, float(far), float(usual)) for side, one in sides]
        return poisoning(told[0], replace(told[1], times=_stretches(now.event_time)))
    scores = [np.nan_to_num(side.answers["score"].to_numpy(np.float64)) for side in (before, now)]
    confidence = [np.abs(one - 0.5) if task == "binary" else one for one in scores]
    cut = float(np.quantile(confidence[0], 1 - SURE_SHARE))
    judged = [
        classified(side.features, side.truth, side.answers["prediction"].to_numpy(), one, cut)
        for side, one in zip((before, now), confidence, strict=True)
    ]
    return poisoning(judged[0], replace(judged[1], times=_stretches(now.event_time)))


def _stretches(moments: "NDArray[np.datetime64]") -> "NDArray[np.int64]":
    """Return, per row, the number of the stretch of time that it lies in, of `_STRETCHES` equally long ones."""
    import numpy as np

    since = (moments - moments.min()).astype("timedelta64[us]").astype(np.float64)
    return np.asarray(since / (since.max() + 1) * _STRETCHES, dtype=np.int64)


def _calibration(task: Task, now: Scored) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Return slope and intercept of labels on scores, each with its standard error; binary scores alone have them."""
    found = None
    if task == "binary":
        found = calibrate(now.answers["score"].to_numpy(dtype="float64"), now.truth)
    return ((found.slope, found.slope_se), (found.intercept, found.intercept_se)) if found else (None, None)


def _repaired(task: Task, metric: Metric, now: Scored) -> float | None:
    """Return the loss of every other row once answers are recalibrated, by two numbers, on the rows between."""
    import numpy as np

    from retrain_pipeline.learning.losses import row_losses
    from retrain_pipeline.monitoring.labelfree import logit

    losses = []
    for parity in (0, 1):
        learn, judge = np.arange(len(now.truth)) % 2 == parity, np.arange(len(now.truth)) % 2 != parity
        answers = now.answers[judge].copy()
        if task == "binary":
            found = calibrate(now.answers["score"].to_numpy(dtype=np.float64)[learn], now.truth[learn])
            if found is None:
                return None
            at = logit(answers["score"].to_numpy(dtype=np.float64))
            answers["score"] = 1 / (1 + np.exp(-(found.intercept + found.slope * at)))
            answers["prediction"] = (answers["score"] >= 0.5).astype(np.int64)
        elif task == "regression":
            told = now.answers["prediction"].to_numpy(dtype=np.float64)
            if np.ptp(told[learn]) == 0:
                return None
            slope, level = np.polyfit(told[learn], now.truth[learn].astype(np.float64), 1)
            answers["prediction"] = level + slope * told[judge]
        else:
            return None
        losses.append(row_losses(metric, task, now.truth[judge], answers))
    return float(np.concatenate(losses).mean())
