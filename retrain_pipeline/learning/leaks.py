"""Does one feature alone give the label away? Then it was made from it, or is known only after it."""

import math
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.checks import Check
from retrain_pipeline.lake.declared import Task
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.learning.errors import FeatureContractBroken, TooFewToProbe
from retrain_pipeline.learning.labels import encode_labels, join_labels
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import numpy as np
    import pandas as pd

    Rebuild = Callable[[pd.DataFrame, datetime, datetime], pd.DataFrame]

MIN_ROWS = 200
"""Fewer labelled rows than this prove nothing."""
MIN_PER_CLASS = 10
"""With one positive in 200 rows, one feature in a hundred has AUC 0.995 by luck."""
THRESHOLD = 0.995
_MAX_ROWS = 2000
_PERIODS = 8
_ROWS_BEFORE = 100_000
"""Rows of raw before the first labelled one that features are made anew of, at most: a period may have millions."""


def knows_the_label(features: "pd.DataFrame", labels: "pd.Series[Any]", task: Task) -> list[tuple[str, float]]:
    """Return the features that give the label away on their own, with their score, worst first.

    Each feature is scored alone. The score is the best of: a tree fitted on the first two thirds of the rows and scored
    on the last third (AUC; for several classes the smallest one-against-rest AUC; R² for regression), and for numbers
    the AUC either way of the feature itself, or its squared correlation and squared rank correlation with the label.

    Parameters
    ----------
    features
        Feature columns only, in time order, index as `labels`.
    labels
        The labels of the same rows.

    Raises
    ------
    TooFewToProbe
        With fewer than 200 rows, or fewer than 10 rows of a class.
    """
    from threadpoolctl import threadpool_limits

    y = encode_labels(labels, task)
    _check_enough(y, task)
    found = []
    with threadpool_limits(1):
        for name in sorted(features.columns):
            score = _score(features[name], y, task)
            if score >= THRESHOLD:
                found.append((name, round(score, 6)))
    return sorted(found, key=lambda one: (-one[1], one[0]))


def label_leak_check(lake: Lake, spec: ModelSpec, period: str, rebuild: "Rebuild") -> Check:
    """Return the check `label_leak`: features of the newest labelled rows, made anew, against their labels.

    This looks for a leak and trains nothing, so it may use every label there is, whatever its known time.

    Parameters
    ----------
    rebuild
        Makes features of raw rows, given the rows and the start and end of the time that is asked for. Stored features
        would not do: they may come from older code, which did not leak yet.
    """
    calendar = spec.data.time.calendar()
    start, end = calendar.bounds(period)
    since = calendar.key(max(calendar.shift(start, -_PERIODS), calendar.origin))
    periods = [one for one in lake.periods(spec.name, "labels") if one >= since]
    labels = lake.read(spec.name, "labels", periods=periods)
    labels = labels if labels.empty else labels[labels["_event_time"] < end].tail(_MAX_ROWS)
    if labels.empty:
        return Check("label_leak", Verdict.INCONCLUSIVE, "no labels are known yet", {"rows": 0})
    first, last = (calendar.floor(moment) for moment in (labels["_event_time"].min(), labels["_event_time"].max()))
    first = max(first, calendar.shift(last, 1 - _PERIODS))
    wanted = calendar.keys_between(calendar.shift(first, -spec.features.history_periods), calendar.shift(last, 1))
    raw = lake.read(spec.name, "raw", periods=wanted)
    if not raw.empty:
        # rows come in time order: every labelled one, and enough before them for what looks back
        times = raw["_event_time"]
        lowest = int(times.searchsorted(labels["_event_time"].min())) - _ROWS_BEFORE
        stop = int(times.searchsorted(labels["_event_time"].max(), side="right"))
        raw = raw.iloc[max(0, lowest) : stop].copy()
    if raw.empty:
        return Check("label_leak", Verdict.INCONCLUSIVE, "raw has none of the labelled rows", {"rows": 0})
    try:
        features = rebuild(raw, first, calendar.shift(last, 1))
        rows = join_labels(features, labels, spec.data.key)
        names = [name for name in features.columns if not name.startswith("_") and name not in spec.data.key]
        guilty = knows_the_label(rows[names], rows["label"], spec.data.label.task)
    except (TooFewToProbe, FeatureContractBroken) as error:
        return Check("label_leak", Verdict.INCONCLUSIVE, str(error), {})
    if guilty:
        told = ", ".join(f"{name} ({score:.4f})" for name, score in guilty)
        words = f"{told}: one feature alone gives the label away; drop it, or declare when it is really known"
        return Check("label_leak", Verdict.FAIL, words, {"rows": len(rows), "columns": told})
    words = f"no feature alone gives the label away in {len(rows)} rows"
    return Check("label_leak", Verdict.PASS, words, {"rows": len(rows)})


def _check_enough(y: "np.ndarray[Any, Any]", task: Task) -> None:
    import numpy as np

    if len(y) < MIN_ROWS:
        raise TooFewToProbe(f"{len(y)} labelled rows: a leak is looked for from {MIN_ROWS} on")
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        raise TooFewToProbe("the labels have one value only: nothing can give it away")
    if task != "regression" and counts.min() < MIN_PER_CLASS:
        rarest = classes[counts.argmin()]
        raise TooFewToProbe(
            f"class {rarest!s:.60} has {counts.min()} rows: a leak is looked for from {MIN_PER_CLASS} on"
        )


def _score(column: "pd.Series[Any]", y: "np.ndarray[Any, Any]", task: Task) -> float:
    import numpy as np
    import pandas as pd

    if column.dtype == object:
        # Levels in order of first appearance: a tree can cut any of them out.
        values = pd.factorize(column)[0].astype("float64")
        direct = 0.0
    else:
        values = column.astype("float64").to_numpy()
        direct = _direct(values, y, task)
    # Missing values are a level of their own below all others: missingness can give a label away too.
    lowest = np.nanmin(values) - 1.0 if np.isfinite(values).any() else 0.0
    return max(direct, _tree(np.where(np.isnan(values), lowest, values).reshape(-1, 1), y, task))


def _direct(values: "np.ndarray[Any, Any]", y: "np.ndarray[Any, Any]", task: Task) -> float:
    import numpy as np
    from scipy import stats

    known = np.isfinite(values)
    values, y = values[known], y[known]
    # Of a column that is mostly missing this is no evidence about the label as a whole.
    if task == "multiclass" or known.mean() < 0.5 or len(values) < 3 or np.ptp(values) == 0 or len(np.unique(y)) < 2:
        return 0.0
    if task == "binary":
        auc = _auc(y == y.max(), values)
        return max(auc, 1.0 - auc)
    straight = float(np.corrcoef(values, y)[0, 1]) ** 2
    ranked = float(stats.spearmanr(values, y).statistic) ** 2
    return max(_finite(straight), _finite(ranked))


def _tree(values: "np.ndarray[Any, Any]", y: "np.ndarray[Any, Any]", task: Task) -> float:
    import numpy as np
    from sklearn.metrics import r2_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    cut = 2 * len(y) // 3
    if task == "regression":
        model = DecisionTreeRegressor(max_leaf_nodes=256, random_state=0).fit(values[:cut], y[:cut])
        return _finite(float(r2_score(y[cut:], model.predict(values[cut:]))))
    # Classes that only one side has cannot be ranked; what the tree says about the others is still evidence.
    shared = np.intersect1d(y[:cut], y[cut:])
    seen = np.isin(y[cut:], shared)
    if len(shared) < 2:
        return 0.0
    tree = DecisionTreeClassifier(max_leaf_nodes=64, random_state=0).fit(values[:cut], y[:cut])
    chances = tree.predict_proba(values[cut:][seen])
    truth = y[cut:][seen]
    return min(_auc(truth == one, chances[:, list(tree.classes_).index(one)]) for one in shared)


def _auc(positive: "np.ndarray[Any, Any]", scores: "np.ndarray[Any, Any]") -> float:
    """Return the area under the ROC curve, from the Mann-Whitney statistic.

    scikit-learn's own spends most of its time on checking input, and this is asked for each column of each period.
    """
    from scipy.stats import rankdata

    n = int(positive.sum())
    above = rankdata(scores)[positive].sum() - n * (n + 1) / 2
    return float(above / (n * (len(positive) - n)))


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0
