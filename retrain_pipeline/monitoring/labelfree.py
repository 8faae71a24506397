"""The loss of rows whose labels are not known yet, estimated from what the model answered.

- **CBPE** for binary classifiers: with a score that says how likely 1 is, the expected loss of a row follows from the
  score alone (the idea of NannyML's confidence-based performance estimation). Scores are first calibrated on mature
  rows, as a logistic function of their logit (Platt 1999; Cox 1958 for slope and intercept).
- **Direct loss estimation** for everything else: small boosted trees learn the loss of a row from its features and the
  answer, on mature rows. What they miss is measured on the newest fifth of those, which they are not fitted on.

Both see only inputs and answers. When the world answers the same inputs otherwise (concept drift) they go on saying
what they learned, and `BLIND` says so wherever an estimate is shown. So each estimate is kept, and scored when the
truth is known.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.learning.losses import CLIP
from retrain_pipeline.spec.model import Metric

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

BLIND = "blind to concept drift: it knows inputs and answers, not labels"
MIN_ROWS = 200
"""Mature rows that an estimate is made from, at least."""
MIN_PER_CLASS = 20
_HELD_OUT = 0.2
_RIDGE = 1e-3
_STEPS = 50
_Z = 1.96


@dataclass(frozen=True)
class LossGuess:
    """An estimated mean loss of `n` rows, with a 95 % interval. `method`: cbpe or dle; no estimate where None."""

    method: str
    words: str
    n: int = 0
    estimate: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Calibration:
    """How labels follow scores: logit P(1) = intercept + slope·logit(score); (0, 1) says that scores are right."""

    intercept: float
    slope: float
    intercept_se: float
    slope_se: float
    covariance: float
    n: int


def logit(score: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return log(s/(1 − s)), s kept 1e-6 from 0 and 1."""
    import numpy as np

    kept = np.clip(score, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(kept / (1 - kept)))


def calibrate(score: "NDArray[np.float64]", truth: "NDArray[Any]") -> Calibration | None:
    """Fit slope and intercept of 0/1 labels on scores (Newton's method, a slight ridge towards (0, 1)).

    Returns
    -------
    Calibration or None
        None with fewer than 200 rows, fewer than 20 of a class, scores that are not finite, or all of one value.
    """
    import numpy as np

    y = np.asarray(truth, dtype=np.float64)
    few = len(y) < MIN_ROWS or min(y.sum(), len(y) - y.sum()) < MIN_PER_CLASS
    if few or not np.isfinite(score).all() or np.ptp(score) == 0:
        return None
    x = np.column_stack([np.ones(len(y)), logit(score)])
    beta = prior = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        p = _sigmoid(x @ beta)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + _RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, x.T @ (y - p) - _RIDGE * (beta - prior))
        # A step of Newton's may overshoot where scores are far out.
        beta = beta + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if float(np.abs(step).max()) < 1e-10:
            break
    covariance = np.linalg.inv(hessian)
    a, b, se_a, se_b = (float(one) for one in (*beta, covariance[0, 0] ** 0.5, covariance[1, 1] ** 0.5))
    return Calibration(a, b, se_a, se_b, float(covariance[0, 1]), len(y))


def cbpe(
    metric: Metric, calibration: Calibration | None, score: "NDArray[np.float64]", prediction: "NDArray[np.float64]"
) -> LossGuess:
    """Estimate the mean loss of binary rows from their scores.

    Parameters
    ----------
    calibration
        From mature rows of the same model; None gives no estimate.
    score, prediction
        P(1) as the model said it, and 0 or 1; shape (n,).

    Notes
    -----
    The interval has the labels' own noise (they are not drawn yet) and the error of the calibration (delta method).
    """
    import numpy as np

    n = len(score)
    if calibration is None or not n or not np.isfinite(score).all():
        why = "no rows with scores" if calibration is not None else f"fewer than {MIN_ROWS} mature rows to calibrate on"
        return LossGuess("cbpe", f"no estimate: {why}", n)
    at = logit(score)
    chance = _sigmoid(calibration.intercept + calibration.slope * at)
    if_one, if_none = _binary_losses(metric, score, prediction)
    estimate = float((chance * if_one + (1 - chance) * if_none).mean())
    weight = chance * (1 - chance) * (if_one - if_none)
    noise = float((weight * (if_one - if_none)).sum()) / n**2
    by = (float(weight.mean()), float((weight * at).mean()))
    fit = (by[0] * calibration.intercept_se) ** 2 + (by[1] * calibration.slope_se) ** 2
    half = _Z * math.sqrt(max(noise + fit + 2 * by[0] * by[1] * calibration.covariance, 0.0))
    return _guess("cbpe", n, estimate, half, f"calibrated on {calibration.n} mature rows")


def dle(
    losses: "NDArray[np.float64]", mature: "pd.DataFrame", now: "pd.DataFrame", *, seed: int, blocks_now: int = 1
) -> LossGuess:
    """Estimate the mean loss of rows from what mature rows of like features and answers had.

    Parameters
    ----------
    losses
        Of the mature rows, in order of event time, shape (m,).
    mature, now
        Features and answers of both, the same columns: numbers, or texts that are read as categories.
    blocks_now
        Periods in `now`: what was missed from block to block averages out over them.

    Notes
    -----
    The interval is what the trees missed of the held-out rows: the variance of their residuals within and between
    fifths of time, and their mean. Single-threaded and seeded: the same rows give the same estimate.
    """
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    n, m = len(now), len(losses)
    if m < MIN_ROWS or not n or not np.isfinite(losses).all():
        why = "no rows" if not n else f"{m} mature rows with a loss, at least {MIN_ROWS} are needed"
        return LossGuess("dle", f"no estimate: {why}", n)
    x, x_now = _numbers(mature, now)
    shape = {"max_iter": 60, "max_leaf_nodes": 8, "learning_rate": 0.1, "min_samples_leaf": 20}
    cut = round(m * (1 - _HELD_OUT))
    with threadpool_limits(1):
        trial = HistGradientBoostingRegressor(**shape, early_stopping=False, random_state=seed).fit(
            x[:cut], losses[:cut]
        )
        missed = losses[cut:] - trial.predict(x[cut:])
        model = HistGradientBoostingRegressor(**shape, early_stopping=False, random_state=seed).fit(x, losses)
        # A loss is not negative, whatever a sum of trees says.
        estimate = float(np.clip(model.predict(x_now), 0.0, None).mean())
    between = np.array([part.mean() for part in np.array_split(missed, 5)])
    variance = float(missed.var()) / n + float(between.var(ddof=1)) / blocks_now + float(missed.mean()) ** 2
    return _guess("dle", n, estimate, _Z * math.sqrt(variance), f"learned from {m} mature rows")


def _guess(method: str, n: int, estimate: float, half: float, how: str) -> LossGuess:
    low, high = max(estimate - half, 0.0), estimate + half
    words = f"loss about {estimate:.4g} [{low:.4g}, {high:.4g}] by {method}, n={n}, {how}; {BLIND}"
    return LossGuess(method, words, n, estimate, low, high)


def _sigmoid(x: "NDArray[np.float64]") -> "NDArray[np.float64]":
    import numpy as np

    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))


def _binary_losses(
    metric: Metric, score: "NDArray[np.float64]", prediction: "NDArray[np.float64]"
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return the loss of each row if its label is 1, and if it is 0: as `learning.losses.row_losses`."""
    import numpy as np

    if metric == "error":
        return np.asarray(prediction != 1, dtype=np.float64), np.asarray(prediction != 0, dtype=np.float64)
    if metric == "brier":
        return np.asarray((1 - score) ** 2), np.asarray(score**2)
    return np.asarray(-np.log(np.clip(score, CLIP, 1.0))), np.asarray(-np.log(np.clip(1 - score, CLIP, 1.0)))


def _numbers(mature: "pd.DataFrame", now: "pd.DataFrame") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return both frames as numbers; texts by their place among those of the mature rows, others as missing.

    Columns of one value, or none, are left out: nothing can be learned from them.
    """
    import numpy as np
    import pandas as pd

    sides: list[list[Any]] = [[], []]
    for name in mature.columns:
        if mature[name].nunique() < 2:
            continue
        numeric = mature[name].dtype.kind in "fiub" and now[name].dtype.kind in "fiub"
        levels = [] if numeric else sorted({str(value) for value in mature[name].dropna()})
        for side, frame in zip(sides, (mature, now), strict=True):
            if numeric:
                side.append(frame[name].astype("float64").to_numpy())
            else:
                codes = pd.Categorical(frame[name].map(str, na_action="ignore"), categories=levels).codes
                side.append(np.where(codes < 0, np.nan, codes.astype(np.float64)))
    if not sides[0]:
        return np.zeros((len(mature), 1)), np.zeros((len(now), 1))
    first, second = (np.column_stack(side) for side in sides)
    return first, second
