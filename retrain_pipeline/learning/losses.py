"""The loss of each row. Lower is better; everything that compares models compares means of these."""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.declared import Task
from retrain_pipeline.learning.errors import LossNotComputable
from retrain_pipeline.spec.model import Metric

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

STRETCHES = 14
_LEAST_IN_A_STRETCH = 4
CLIP = 1e-15
"""Probabilities are kept this far from 0 and 1 in the logarithm: one sure mistake costs 34.5, not infinity."""
CLASS_PREFIX = "p:"
"""Columns ``p:<class>`` of multiclass predictions hold the probability of each class."""


def row_losses(
    metric: Metric, task: Task, y: "np.ndarray[Any, Any] | pd.Series[Any]", predictions: "pd.DataFrame"
) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return one loss per row, shape ``(rows,)``.

    `mae`: absolute error. `rmse`: squared error, whose mean's root is the metric. `error`: 0 or 1. `brier`: squared
    error of the probability (several classes: summed over them, Brier 1950). `log_loss`: −log of the true class's
    probability, clipped at 1e-15.

    Parameters
    ----------
    y
        Labels as `learning.labels.encode_labels` spells them.
    predictions
        Columns `prediction` and `score`, and ``p:<class>`` for several classes, one row per label.

    Raises
    ------
    LossNotComputable
        When the predictions have no probabilities and the metric needs them.
    """
    import numpy as np

    truth = np.asarray(y)
    if len(truth) != len(predictions):
        raise LossNotComputable(f"{len(truth)} labels for {len(predictions)} predictions: join them first")
    if task == "regression":
        difference = predictions["prediction"].to_numpy(dtype=np.float64) - truth.astype(np.float64)
        return np.asarray(np.abs(difference) if metric == "mae" else np.square(difference), dtype=np.float64)
    if metric == "error":
        return np.asarray(predictions["prediction"].to_numpy() != truth, dtype=np.float64)
    if task == "binary":
        chance = predictions["score"].to_numpy(dtype=np.float64)
        if np.isnan(chance).all() and len(chance):
            raise LossNotComputable(f"{metric} needs probabilities: use an estimator with predict_proba")
        if metric == "brier":
            return np.asarray(np.square(chance - truth), dtype=np.float64)
        return np.asarray(-np.log(np.clip(np.where(truth == 1, chance, 1.0 - chance), CLIP, 1.0)), dtype=np.float64)
    return _multiclass(metric, truth, predictions)


def metric_value(metric: Metric, losses: "np.ndarray[Any, Any]") -> float:
    """Return the metric of row losses: their mean, or for `rmse` the root of it. NaN when there are no rows.

    Examples
    --------
    >>> import numpy as np
    >>> metric_value("rmse", np.array([9.0, 25.0, 2.0])), metric_value("mae", np.array([1.0, 2.0]))
    (3.4641016151377544, 1.5)
    """
    import math

    if len(losses) == 0:
        return math.nan
    mean = float(losses.mean())
    return math.sqrt(mean) if metric == "rmse" else mean


def mean_error(differences: "np.ndarray[Any, Any]") -> float:
    """Return the standard error of the mean of row values, in order of time: rows near each other may be alike.

    It is that of the means of `STRETCHES` runs of neighbouring rows (batch means: Conway 1963); of the rows themselves
    where they are fewer than four a run; infinite for fewer than two rows.
    """
    import numpy as np

    rows = len(differences)
    if rows < 2:
        return float("inf")
    values = np.asarray(differences, dtype=np.float64)
    size = rows // STRETCHES
    if size >= _LEAST_IN_A_STRETCH:
        values = values[: size * STRETCHES].reshape(STRETCHES, size).mean(axis=1)
    return float(values.std(ddof=1) / len(values) ** 0.5)


def scale_of(metric: Metric, y: "np.ndarray[Any, Any]") -> float:
    """Return the size of a label in the unit of row losses; 1 for classification.

    Losses over it are in the unit that the cost of a retrain is declared in: shares of a label.
    """
    import numpy as np

    if metric == "mae":
        return float(np.abs(y.astype(np.float64)).mean()) or 1.0
    if metric == "rmse":
        return float(np.square(y.astype(np.float64)).mean()) or 1.0
    return 1.0


def _multiclass(
    metric: Metric, truth: "np.ndarray[Any, Any]", predictions: "pd.DataFrame"
) -> "np.ndarray[Any, np.dtype[np.float64]]":
    import numpy as np

    columns = [name for name in predictions.columns if name.startswith(CLASS_PREFIX)]
    if not columns:
        raise LossNotComputable(f"{metric} needs the probability of each class: columns {CLASS_PREFIX}<class>")
    chances = predictions[columns].to_numpy(dtype=np.float64)
    # A class that the model never saw has probability 0, in both losses.
    hit = truth[:, None] == np.array([name.removeprefix(CLASS_PREFIX) for name in columns])[None, :]
    own = np.where(hit, chances, 0.0).sum(axis=1)
    if metric == "brier":
        return np.asarray(np.square(chances).sum(axis=1) - 2.0 * own + 1.0, dtype=np.float64)
    return np.asarray(-np.log(np.clip(own, CLIP, 1.0)), dtype=np.float64)
