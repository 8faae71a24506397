"""The manifest of a version: everything that made it, by digest. It is written once and names all that must be kept."""

import math
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.lake.declared import Task
from retrain_pipeline.learning.environment import CodeRevision, Environment
from retrain_pipeline.learning.training_set import TrainingSet
from retrain_pipeline.learning.windows import FitWindow
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TriggerRef(Strict):
    """What asked for the retrain."""

    kind: str
    id: str
    attempt: int = Field(1, ge=1)


class Validation(Strict):
    """The winner's loss on the validation rows."""

    metric: str
    loss: float
    split: Literal["time", "time within class"]
    rows: int


class Probe(Strict):
    """The fixed questions of the fingerprint: a parquet artifact of features and recorded answers."""

    artifact: Digest
    rows: int
    rounding: float = 1e-9
    max_abs_tolerance: float = 1e-6


class Columns(Strict):
    """What the model does with the features: `dropped` names the rule for each that it does not use."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    dropped: dict[str, str]


class VersionManifest(Strict):
    """One version of a model. `model_artifact`, `leaderboard` and other digests are addresses in the artifact store."""

    schema_version: Literal[1] = 1
    model: str
    version: str
    parent: str | None
    as_of: str
    task: Task
    training_set: dict[str, Any]
    """`TrainingSet.to_json()`: the snapshots of features and labels, the window, the row digests."""
    feature_code_digest: Digest
    feature_agreement: str
    """Whether the present feature code makes the frozen features: a verdict and words."""
    spec_digest: Digest
    """Digest of the declaration with defaults filled in, and the address of its JSON."""
    code: CodeRevision
    environment: Environment
    seed: int
    candidate: str
    estimator: str
    params: dict[str, Any]
    window: FitWindow | None = None
    """The part of the training set that it was fitted on; None for all of it."""
    columns: Columns
    validation: Validation
    leaderboard: Digest
    search_complete: bool
    model_artifact: Digest
    size_bytes: int
    prediction_fingerprint: Digest
    probe: Probe
    baselines: dict[str, Digest]
    trigger: TriggerRef
    run_id: str | None
    created_at: datetime

    @property
    def frozen(self) -> TrainingSet:
        """The training set."""
        return TrainingSet.from_json(self.training_set)

    @property
    def validation_loss(self) -> float:
        """The winner's metric on the validation rows."""
        return self.validation.loss

    @property
    def inputs_digest(self) -> str:
        """SHA-256 of all that should decide the model: data, declaration, code, seed and environment."""
        return digest_of(
            {
                "training_set": self.training_set["digest"],
                "spec": self.spec_digest,
                "features": self.feature_code_digest,
                "code": self.code.model_dump(mode="json"),
                "environment": self.environment.digest,
                "seed": self.seed,
            }
        )

    @property
    def artifacts(self) -> list[str]:
        """Digests of everything that this version needs kept, sorted."""
        rows = [self.training_set[name] for name in ("row_digests_artifact", "evaluation_row_digests_artifact")]
        patch = [self.code.diff_digest] if self.code.diff_digest else []
        own = [self.model_artifact, self.leaderboard, self.probe.artifact, self.spec_digest]
        return sorted({*own, *rows, *patch, *self.baselines.values()})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return self.model_dump(mode="json")


def version_id(
    as_of: datetime,
    *,
    training_set: str,
    spec: str,
    feature_code: str,
    candidate: str,
    params: dict[str, Any],
    seed: int,
    fingerprint: str,
    parent: str | None,
) -> str:
    """Return ``<yyyymmdd>-<8 hex>`` from what decides how the version behaves: no time, no run.

    A repeated retrain of one moment therefore has the same version.
    """
    digest = digest_of(
        {
            "training_set": training_set,
            "spec": spec,
            "feature_code": feature_code,
            "candidate": candidate,
            "params": params,
            "seed": seed,
            "fingerprint": fingerprint,
            "parent": parent,
        }
    )
    return f"{as_of:%Y%m%d}-{digest[:8]}"


def fit_seconds(stores: "Stores", manifest: VersionManifest) -> float:
    """Return what the fits of a version's search took together."""
    trials = stores.artifacts.get_json(manifest.leaderboard)["trials"]
    return math.fsum(trial["wall_seconds"] for trial in trials)
