"""References: what a version's training rows looked like, kept for as long as the version may serve."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.monitoring.errors import ReferenceMissing
from retrain_pipeline.monitoring.profile import Profile, profile
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import pandas as pd

PROFILED = "profiled"


@dataclass(frozen=True)
class Reference:
    """Profiles of a version's training features and of what it predicts on them; `sample`: some rows, as parquet."""

    features: Profile
    predictions: Profile | None
    sample: str


def store_reference(
    stores: Stores,
    spec: ModelSpec,
    version: str,
    train_features: "pd.DataFrame | None" = None,
    *,
    actor: str = "pipeline",
) -> str:
    """Profile the training features of a version and what it predicts on them; return the digest of the profile.

    Parameters
    ----------
    train_features
        The training rows, features only; default: read again from the version's frozen training set.

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

    loaded = load_version(stores, spec.name, version)
    if train_features is None:
        train_features = read_training_set(stores, loaded.manifest.frozen).train_x
    answers = profile(spoken(loaded.predict(train_features).frame, spec))
    sample = train_features.sample(min(len(train_features), spec.report.max_rows), random_state=spec.training.seed)
    target = io.BytesIO()
    sample.sort_index().reset_index(drop=True).to_parquet(target)
    value = {
        "schema": "reference/1",
        "features": profile(train_features).to_json(),
        "predictions": answers.to_json(),
        "sample": stores.artifacts.put(target.getvalue()),
    }
    digest = stores.artifacts.put_json(value)
    entry = stores.ledger.append(
        NewEntry(
            actor=actor,
            action=PROFILED,
            model=spec.name,
            subject=version,
            payload={"profile": digest, "sample": value["sample"], "rows": len(train_features)},
            key=f"{PROFILED}:{spec.name}:{version}",
        )
    )
    return str(entry.payload["profile"])


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
    answers = value["predictions"]
    return Reference(
        Profile.from_json(value["features"]), None if answers is None else Profile.from_json(answers), value["sample"]
    )


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
