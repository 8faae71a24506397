"""A version's recipe and rows, read from the stores, to be fitted again with something changed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from retrain_pipeline.learning.frames import Frames
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores


class NotMeasured(PermanentError):
    """What cannot be measured of a version, and why."""


@dataclass(frozen=True)
class Made:
    """A version as it was made: manifest, the declaration of then, the frozen rows without those kept back."""

    manifest: "VersionManifest"
    spec: "ModelSpec"
    frames: "Frames"

    @property
    def as_of(self) -> datetime:
        """The moment that it knew."""
        return datetime.fromisoformat(self.manifest.as_of)

    @property
    def draw(self) -> int:
        """Seed of whatever is drawn about it: the same rows give the same numbers."""
        return int(self.manifest.frozen.evaluation_row_digests_artifact[:8], 16)

    @cached_property
    def refitted_losses(self) -> "NDArray[np.float64]":
        """Row losses of the recipe as it is, fitted again: what refits with a change are compared with."""
        return losses_on(self.spec, fitted(self), self.frames.eval_x, self.frames.eval_y)


def declared_then(stores: "Stores", manifest: "VersionManifest") -> "ModelSpec":
    """Return the declaration that a version was made by.

    Raises
    ------
    NotMeasured
        When it is not stored, or of a format that does not read any more.
    """
    from pydantic import ValidationError

    from retrain_pipeline.spec.model import ModelSpec

    try:
        return ModelSpec.model_validate_json(stores.artifacts.get(manifest.spec_digest))
    except (PermanentError, ValidationError) as error:
        told = " ".join(str(error).split())[:300]
        raise NotMeasured(f"the declaration of version {manifest.version} does not read: {told}") from error


def made(stores: "Stores", model: str, version: str) -> Made:
    """Return a version as it was made.

    Raises
    ------
    VersionNotLoadable
        When it is not on record.
    NotMeasured
        When its declaration does not read, or no row is left to judge on.
    SnapshotChanged, RowsOverlap
        When its rows are not there any more.
    """
    from retrain_pipeline.gates.kept import second_rows, without
    from retrain_pipeline.learning.training_set import read_training_set
    from retrain_pipeline.learning.versions import read_manifest

    manifest = read_manifest(stores, model, version)
    spec = declared_then(stores, manifest)
    frames = read_training_set(stores, manifest.frozen)
    kept = second_rows(stores, spec, frames.eval_keys, datetime.fromisoformat(manifest.as_of))
    if kept.any():
        frames = without(frames, kept)
    if not len(frames.eval_y):
        raise NotMeasured(f"version {version}: no evaluation row is left to measure on")
    return Made(manifest, spec, frames)


def fitted(one: Made, frames: "Frames | None" = None, params: Mapping[str, Any] | None = None, seed: int = 0) -> Any:
    """Return the recipe fitted again: on other frames, with other parameters, its seed moved on by so many.

    Raises
    ------
    FitFailed
        When the fit comes to nothing.
    """
    from retrain_pipeline.learning.fitting import refit
    from retrain_pipeline.learning.guarded import guarded
    from retrain_pipeline.spec.model import Candidate

    manifest = one.manifest
    setting = Candidate(estimator=manifest.estimator, params=dict(manifest.params if params is None else params))
    own = (manifest.seed + seed) % 2**32
    return guarded(partial(refit, one.spec, setting, {}, frames or one.frames, own, manifest.window))


def losses_on(spec: "ModelSpec", pipeline: Any, x: "pd.DataFrame", y: "NDArray[Any]") -> "NDArray[np.float64]":
    """Return the row losses of a pipeline on features and labels, shape (rows,)."""
    from retrain_pipeline.learning.losses import row_losses
    from retrain_pipeline.learning.prediction import predict

    task = spec.data.label.task
    return row_losses(spec.problem.success.metric, task, y, predict(pipeline, task, x).frame)


def drop_features(frames: "Frames", names: Sequence[str]) -> "Frames":
    """Return frames without some features."""
    gone = [name for name in names if name in frames.train_x.columns]
    return replace(frames, train_x=frames.train_x.drop(columns=gone), eval_x=frames.eval_x.drop(columns=gone))


@dataclass
class Purse:
    """Seconds that refits may take: none begins when they are spent, and what was not reached is kept by name."""

    seconds: float
    not_reached: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    def allows(self, what: str) -> bool:
        """Return whether there is time to begin; if not, note what was not reached."""
        if time.monotonic() - self._began < self.seconds:
            return True
        self.not_reached.append(f"{what}: the {self.seconds:g} s of report.insight.budget_seconds were spent")
        return False
