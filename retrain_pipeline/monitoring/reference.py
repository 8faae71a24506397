"""References: what a version's training rows looked like, kept for as long as the version may serve."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.monitoring.errors import ReferenceMissing
from retrain_pipeline.monitoring.joint import MAX_CLASSES, class_name
from retrain_pipeline.monitoring.profile import profile
from retrain_pipeline.monitoring.summaries import Profile, with_edges, without_edges
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PROFILED = "profiled"


@dataclass(frozen=True)
class Reference:
    """Profiles of a version's training features and of what it predicts on them; `sample`: some rows, as parquet.

    The same of each period of the training window, in time order and in the same cells: what the null of the drift
    check is learned from. Versions that were profiled before these were kept have none.
    """

    features: Profile
    predictions: Profile | None
    sample: str
    feature_periods: tuple[Profile, ...] = ()
    prediction_periods: tuple[Profile, ...] = ()
    classes: tuple[str, ...] | None = None
    """Of the label in training; None for a number."""


def store_reference(stores: Stores, spec: ModelSpec, version: str, *, actor: str = "pipeline") -> str:
    """Profile the training features of a version and what it predicts on them; return the digest of the profile.

    The rows that it was fitted on are read again from its frozen training set, as one and period by period.

    Raises
    ------
    VersionNotLoadable
        When the version is not registered, or cannot be loaded.
    SnapshotChanged
        When the training set no longer reads as it was frozen.
    """
    if (known := stores.ledger.latest(spec.name, PROFILED, version)) is not None:
        return str(known.payload["profile"])
    from retrain_pipeline.learning.training_set import read_training_set
    from retrain_pipeline.learning.versions import load_version
    from retrain_pipeline.learning.windows import learned_from

    loaded = load_version(stores, spec.name, version)
    frames = learned_from(read_training_set(stores, loaded.manifest.frozen), loaded.manifest.window)
    features, keys = frames.train_x, frames.train_keys
    answers = spoken(loaded.predict(features).frame, spec)
    sample = features.sample(min(len(features), spec.report.max_rows), random_state=spec.training.seed)
    target = io.BytesIO()
    sample.sort_index().reset_index(drop=True).to_parquet(target)
    periods = keys["_event_time"].map(spec.data.time.calendar().key).to_numpy()
    value = {
        "schema": "reference/2",
        "features": _profiles(features, periods),
        "predictions": _profiles(answers, periods),
        "sample": stores.artifacts.put(target.getvalue()),
        "classes": None if spec.data.label.task == "regression" else _classes(frames.train_y),
    }
    digest = stores.artifacts.put_json(value)
    entry = stores.ledger.append(
        NewEntry(
            actor=actor,
            action=PROFILED,
            model=spec.name,
            subject=version,
            payload={"profile": digest, "sample": value["sample"], "rows": len(features)},
            key=f"{PROFILED}:{spec.name}:{version}",
        )
    )
    return str(entry.payload["profile"])


def _classes(labels: "np.ndarray[Any, Any]") -> list[str]:
    return sorted({class_name(label) for label in labels.tolist()})[:MAX_CLASSES]


def _profiles(frame: "pd.DataFrame", periods: Any) -> dict[str, Any]:
    """Return the profile of all rows and of those of each period, as JSON values, the cells said once."""
    whole = profile(frame)
    parts = [(key, profile(frame[periods == key], whole.edges)) for key in sorted(set(periods))]
    return {"whole": whole.to_json(), "periods": [{"period": key, **without_edges(one)} for key, one in parts]}


def read_reference(stores: Stores, model: str, version: str) -> Reference:
    """Return the reference of a version.

    Raises
    ------
    ReferenceMissing
        When the version was never profiled.
    ArtifactMissing, ArtifactDamaged
        When its bytes are gone or others.
    """
    entry = stores.ledger.latest(model, PROFILED, version)
    if entry is None:
        raise ReferenceMissing(f"{model} {version} has no reference profile: profile it (store_reference)")
    value = stores.artifacts.get_json(entry.payload["profile"])
    features, feature_periods = _read_profiles(value["features"])
    predictions, prediction_periods = _read_profiles(value["predictions"])
    if features is None:
        raise ReferenceMissing(f"{model} {version} has an empty reference profile: release another version")
    classes = value.get("classes")
    named = None if classes is None else tuple(classes)
    return Reference(features, predictions, value["sample"], feature_periods, prediction_periods, named)


def _read_profiles(value: Mapping[str, Any] | None) -> tuple[Profile | None, tuple[Profile, ...]]:
    """Return the profile of all rows and those of the periods; schema 1 had the former alone."""
    if value is None:
        return None, ()
    if "whole" not in value:
        return Profile.from_json(value), ()
    whole = Profile.from_json(value["whole"])
    return whole, tuple(with_edges(one, whole.edges) for one in value["periods"])


def read_sample(stores: Stores, reference: Reference) -> "pd.DataFrame":
    """Return the sampled training rows."""
    import pandas as pd

    return pd.read_parquet(io.BytesIO(stores.artifacts.get(reference.sample)))


def spoken_column(spec: ModelSpec) -> str:
    """Return the column that says most of what a model answers: the score of a binary one, else the prediction."""
    return "score" if spec.data.label.task == "binary" else "prediction"


def spoken(answers: "pd.DataFrame", spec: ModelSpec) -> "pd.DataFrame":
    """Return what a model answered as one column `prediction`: scores of a binary one where it has them."""
    column = spoken_column(spec)
    if column == "score" and answers["score"].isna().all():
        column = "prediction"
    return answers[[column]].rename(columns={column: "prediction"})
