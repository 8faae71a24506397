"""Candidates: an estimator by import path, checked before anything is fitted, behind one preprocessing."""

import difflib
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.declared import Task
from retrain_pipeline.learning.errors import EstimatorRefused, FeaturesMissing
from retrain_pipeline.spec.model import Candidate

if TYPE_CHECKING:
    import pandas as pd

MAX_CATEGORIES = 64
"""Levels of one category that get a column of their own; the rarer ones share one, so memory stays bounded (I26)."""


@dataclass(frozen=True)
class ColumnPlan:
    """What the preprocessing does with each feature. `dropped` names the rule: ``all missing``, ``constant`` (I22)."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    dropped: dict[str, str] = field(default_factory=dict)

    @property
    def used(self) -> list[str]:
        """The features that the model is given, numeric first."""
        return [*self.numeric, *self.categorical]


def plan_columns(frame: "pd.DataFrame") -> ColumnPlan:
    """Return the plan for training features; sorted names, so that the order of columns changes nothing (I4).

    Raises
    ------
    FeaturesMissing
        When no feature is left.
    """
    numeric, categorical, dropped = [], [], {}
    for name in sorted(frame.columns):
        column = frame[name]
        if column.isna().all():
            dropped[name] = "all missing"
        elif column.nunique(dropna=False) == 1:
            dropped[name] = "constant"
        elif column.dtype == object:
            categorical.append(name)
        else:
            numeric.append(name)
    if not numeric and not categorical:
        raise FeaturesMissing(f"no feature is left to learn from; dropped: {dropped or 'none, there were none'}")
    return ColumnPlan(tuple(numeric), tuple(categorical), dropped)


def resolve_estimator(path: str) -> type[Any]:
    """Return the estimator class that an import path names.

    Raises
    ------
    EstimatorRefused
        When the path does not import, or what it names is no class with `fit` and `predict`; with the nearest name.
    """
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise EstimatorRefused(f"estimator {path!r}: {error}; install its package or correct the path") from error
    found = getattr(module, name, None)
    if found is None:
        near = difflib.get_close_matches(name, [one for one in dir(module) if not one.startswith("_")], n=1)
        hint = f"; did you mean {module_name}.{near[0]}?" if near else ""
        raise EstimatorRefused(f"estimator {path!r}: {module_name} has no {name!r}{hint}")
    if not inspect.isclass(found) or not all(callable(getattr(found, one, None)) for one in ("fit", "predict")):
        raise EstimatorRefused(f"estimator {path!r} is no class with fit and predict: name a scikit-learn estimator")
    return found


def build_estimator(candidate: Candidate, params: Mapping[str, Any], task: Task, seed: int, threads: int = 1) -> Any:
    """Return the unfitted estimator with its parameters, seeded, on `threads` threads.

    Raises
    ------
    EstimatorRefused
        For parameters that it does not have, and an estimator that is made for another task.
    """
    from sklearn.base import is_classifier, is_regressor

    found, wanted = resolve_estimator(candidate.estimator), {**candidate.params, **params}
    allowed = _parameters(found)
    unknown = sorted(set(wanted) - allowed) if allowed is not None else []
    if unknown:
        near = difflib.get_close_matches(unknown[0], sorted(allowed or ()), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise EstimatorRefused(f"estimator {candidate.estimator!r} has no parameter {unknown[0]!r}{hint}")
    try:
        estimator = found(**wanted)
        has = estimator.get_params()
    except (TypeError, AttributeError) as error:
        raise EstimatorRefused(f"estimator {candidate.estimator!r} with {wanted}: {error}") from error
    fits, kind = (is_regressor, "regressor") if task == "regression" else (is_classifier, "classifier")
    if not fits(estimator):
        raise EstimatorRefused(f"estimator {candidate.estimator!r} is no {kind}, and the label's task is {task}")
    ours = {"random_state": seed, "n_jobs": threads}
    if threads == 1 and found.__module__.startswith("sklearn."):
        del ours["n_jobs"]  # None is one thread there already, and some warn when it is set
    return estimator.set_params(**{name: value for name, value in ours.items() if name in has and name not in wanted})


def build_pipeline(
    candidate: Candidate,
    params: Mapping[str, Any],
    frame: "pd.DataFrame",
    task: Task,
    seed: int,
    *,
    threads: int = 1,
    plan: ColumnPlan | None = None,
) -> Any:
    """Return an unfitted scikit-learn Pipeline of the steps `prepare` and `estimator`.

    Parameters
    ----------
    frame
        Training features, from which the plan is made when none is given.

    Raises
    ------
    EstimatorRefused
        As `build_estimator`.
    """
    from sklearn.pipeline import Pipeline

    estimator = build_estimator(candidate, params, task, seed, threads)
    return Pipeline([("prepare", _preparation(estimator, plan or plan_columns(frame))), ("estimator", estimator)])


def _preparation(estimator: Any, plan: ColumnPlan) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler
    from sklearn.utils import get_tags

    # Estimators that take NaN are trees, which do not care about scale; the others are given neither NaN nor scale.
    numbers: Any = "passthrough"
    if not get_tags(estimator).input_tags.allow_nan:
        numbers = Pipeline(
            [("impute", SimpleImputer(strategy="median", keep_empty_features=True)), ("scale", StandardScaler())]
        )
    levels = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False)
    steps = [("numbers", numbers, list(plan.numeric)), ("levels", levels, list(plan.categorical))]
    return ColumnTransformer([step for step in steps if step[2]], sparse_threshold=0)


def _parameters(found: type[Any]) -> set[str] | None:
    """Return the names that the class takes, or None when it takes any (``**kwargs``)."""
    signature = inspect.signature(found)
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in signature.parameters.values()):
        return None
    return set(signature.parameters)
