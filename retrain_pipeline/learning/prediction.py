"""Predictions of a fitted pipeline, with a count of what it had not met in training."""

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.declared import Task
from retrain_pipeline.learning.errors import AnswersNotFinite, FeaturesMissing
from retrain_pipeline.learning.losses import CLASS_PREFIX

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Predictions:
    """Predictions of rows.

    `frame` has the index of the features and the columns `prediction` (float; 0 or 1; or the class as text) and
    `score` (NaN; the probability of 1; or the highest probability), and for several classes ``p:<class>`` for each.
    `unseen` counts values of each category that training did not have, `missing` the missing values of each column;
    both name only columns where there are any (I27).
    """

    frame: "pd.DataFrame"
    unseen: dict[str, int]
    missing: dict[str, int]


def used_columns(pipeline: Any) -> tuple[list[str], list[str]]:
    """Return the numeric and the categorical features of a fitted pipeline."""
    columns = {name: list(names) for name, _, names in pipeline.named_steps["prepare"].transformers_}
    return columns.get("numbers", []), columns.get("levels", [])


def predict(pipeline: Any, task: Task, features: "pd.DataFrame") -> Predictions:
    """Predict rows; columns may come in any order, and others are ignored.

    Raises
    ------
    FeaturesMissing
        When a feature is not there, or holds text where the model learned numbers.
    AnswersNotFinite
        When an answer is NaN or infinite. A class from a NaN probability would look like an answer.
    """
    import numpy as np
    import pandas as pd

    numeric, categorical = used_columns(pipeline)
    given = aligned(features, numeric, categorical)
    gaps = given.isna().sum()
    unseen = _unseen(pipeline, given, categorical)
    missing = {str(name): int(count) for name, count in gaps.items() if count}
    if not len(given):
        kinds = {"regression": "float64", "binary": "int64", "multiclass": "object"}
        empty = {"prediction": pd.Series([], dtype=kinds[task]), "score": pd.Series([], dtype="float64")}
        return Predictions(pd.DataFrame(empty, index=features.index), {}, {})
    nothing = np.full(len(given), np.nan)
    if task == "regression":
        told = {"prediction": _finite(np.asarray(pipeline.predict(given), dtype=np.float64)), "score": nothing}
    elif not hasattr(pipeline, "predict_proba"):
        answers = pipeline.predict(given)
        told = {"prediction": answers.astype(np.int64 if task == "binary" else object), "score": nothing}
    else:
        told = _classified(task, _finite(pipeline.predict_proba(given)), pipeline.classes_)
    return Predictions(pd.DataFrame(told, index=features.index), unseen, missing)


def aligned(features: "pd.DataFrame", numeric: list[str], categorical: list[str]) -> "pd.DataFrame":
    """Return the named features in this order: float64 for the numeric ones, text or None for the categorical ones.

    Raises
    ------
    FeaturesMissing
        As `predict`.
    """
    import pandas as pd

    absent = [name for name in [*numeric, *categorical] if name not in features.columns]
    if absent:
        near = difflib.get_close_matches(absent[0], [str(name) for name in features.columns], n=1)
        hint = f"; is it {near[0]!r} now?" if near else ""
        raise FeaturesMissing(f"features {absent} are not in the frame{hint}: the model learned from them")
    columns: dict[str, Any] = {}
    for name in numeric:
        try:
            columns[name] = features[name].astype("float64").to_numpy()
        except (ValueError, TypeError) as error:
            raise FeaturesMissing(f"feature {name!r}: the model learned numbers from it, and now {error}") from error
    for name in categorical:
        columns[name] = _texts(features[name])
    return pd.DataFrame(columns, index=features.index)


def _texts(column: "pd.Series[Any]") -> Any:
    """Return an object array of text, None where a value is missing. Arrays, as a series costs more than a row does."""
    import numpy as np

    told = np.empty(len(column), dtype=object)
    values = zip(column.to_numpy(object), column.isna().to_numpy(), strict=True)
    told[:] = [None if gap else str(value) for value, gap in values]
    return told


def _finite(answers: Any) -> Any:
    import numpy as np

    good = np.isfinite(answers).reshape(len(answers), -1).all(axis=1)
    if not good.all():
        raise AnswersNotFinite(f"the model's answers for {int((~good).sum())} of {len(good)} rows are not finite")
    return answers


def _classified(task: Task, chances: Any, classes: Any) -> dict[str, Any]:
    import numpy as np

    if task == "multiclass":
        best = chances.argmax(axis=1)
        told = {"prediction": np.asarray(classes)[best].astype(object), "score": chances.max(axis=1)}
        return told | {f"{CLASS_PREFIX}{name}": chances[:, at] for at, name in enumerate(classes)}
    at = list(classes).index(1) if 1 in classes else None
    score = np.zeros(len(chances)) if at is None else chances[:, at].astype(np.float64)
    return {"prediction": (score >= 0.5).astype(np.int64), "score": score}


def _unseen(pipeline: Any, given: "pd.DataFrame", categorical: list[str]) -> dict[str, int]:
    if not categorical:
        return {}
    known = pipeline.named_steps["prepare"].named_transformers_["levels"].categories_
    counts = {}
    for name, levels in zip(categorical, known, strict=True):
        column = given[name].dropna()
        count = int((~column.isin([one for one in levels if isinstance(one, str)])).sum())
        if count:
            counts[name] = count
    return counts
