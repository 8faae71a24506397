"""Twins: models made alike on the rows of two moments, so that only the age of what they know differs.

A twin has the champion's estimator and parameters and no search. It learns what a retrain of its moment would have
learned: the champion's window of periods whose labels had their declared delay, without the newest
`training.evaluation_periods`, which a retrain keeps for judging.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.declared import Task
from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.learning.errors import TwinNotMade
from retrain_pipeline.spec.model import Candidate, ModelSpec
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MAX_ROWS = 20_000
"""A twin learns from so many rows at most, evenly drawn; both of a pair from as many, so that they stay comparable."""


@dataclass(frozen=True)
class Recipe:
    """How a model is made: without a search, on the newest so many periods, those that judge it counted in."""

    candidate: Candidate
    periods: int


def champion_recipe(stores: Stores, spec: ModelSpec, version: str | None) -> Recipe:
    """Return how a version was made, without the search; the first declared candidate where there is no version."""
    candidate = next(iter(spec.training.candidates.values()))
    if version is None:
        return Recipe(candidate, spec.training.window_periods)
    from retrain_pipeline.learning.versions import read_manifest

    made = read_manifest(stores, spec.name, version)
    candidate = candidate.model_copy(update={"estimator": made.estimator, "params": made.params, "search": {}})
    return Recipe(candidate, made.window.periods if made.window else spec.training.window_periods)


def fit_twin(candidate: Candidate, features: "pd.DataFrame", y: "np.ndarray[Any, Any]", task: Task, seed: int) -> Any:
    """Return a pipeline of a candidate, fitted on one thread.

    Raises
    ------
    EstimatorRefused
        When the estimator or a parameter does not exist.
    TwinNotMade
        When the estimator cannot be fitted on these rows.
    """
    from threadpoolctl import threadpool_limits

    from retrain_pipeline.learning.candidates import build_pipeline, plan_columns
    from retrain_pipeline.learning.prediction import aligned

    plan = plan_columns(features)
    given = aligned(features, list(plan.numeric), list(plan.categorical))
    pipeline = build_pipeline(candidate, {}, given, task, seed, plan=plan)
    try:
        with threadpool_limits(1):
            return pipeline.fit(given, y)
    except Exception as error:  # the boundary to other people's code, which raises what it likes
        told = " ".join(str(error).split())[:300]
        raise TwinNotMade(f"{candidate.estimator} on {len(y)} rows: {type(error).__name__}: {told}") from error


def twin_periods(lake: Lake, spec: ModelSpec, recipe: Recipe, until: datetime, as_of: datetime) -> list[str]:
    """Return the periods that a twin learns from: ended by `until`, their labels due by `as_of`."""
    calendar = spec.data.time.calendar()
    due = min(until, as_of - timedelta(hours=spec.data.label.delay_hours))
    stored = lake.partitions(spec.name, "features")
    ended = [p for p, one in stored.items() if one.rows and calendar.bounds(p)[1] <= due]
    return ended[-recipe.periods : -spec.training.evaluation_periods]


def labelled_rows(
    lake: Lake, spec: ModelSpec, periods: Sequence[str], known_by: datetime, max_rows: int = MAX_ROWS
) -> "tuple[pd.DataFrame, np.ndarray[Any, Any]] | None":
    """Return the features and labels of some periods as they were known at a moment; None where there are none.

    Of more than `max_rows` rows every k-th is taken, by the order in which they are stored.

    Returns
    -------
    DataFrame, ndarray
        Features, columns sorted, in order of event time; labels as `learning.labels.encode_labels` spells them.
    """
    import polars as pl

    from retrain_pipeline.learning.labels import encode_labels, join_labels

    calendar, stored = spec.data.time.calendar(), lake.partitions(spec.name, "features")
    if not periods:
        return None
    # A label is never known before its event: earlier partitions hold none of these.
    delivered = [p for p in lake.periods(spec.name, "labels") if periods[0] <= p and calendar.bounds(p)[1] <= known_by]
    features = lake.lazy(spec.name, "features", periods, known_by=known_by)
    labels = lake.lazy(spec.name, "labels", delivered, known_by=known_by)
    if features is None or labels is None:
        return None
    every = -(-sum(stored[p].rows for p in periods) // max_rows)
    if every > 1:
        features = features.with_row_index("_row").filter(pl.col("_row") % every == 0).drop("_row")
    drawn = features.collect(engine="streaming")
    identity = [*spec.data.key, "_event_time"]
    marks = labels.select([*identity, "label", "_known_time"]).join(drawn.lazy().select(identity), identity, "semi")
    rows = join_labels(drawn.to_pandas(), marks.collect(engine="streaming").to_pandas(), spec.data.key)
    if rows.empty:
        return None
    names = [name for name in rows.columns if not name.startswith("_") and name not in (*spec.data.key, "label")]
    return rows[sorted(names)], encode_labels(rows["label"], spec.data.label.task)
