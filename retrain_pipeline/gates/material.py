"""What a judgement is made of: both sides' predictions and losses on the same frozen rows, read from the stores."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.compatibility import Seen, seen_rows
from retrain_pipeline.gates.errors import EvidenceRefused
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.gates.kept import second_rows, without
from retrain_pipeline.learning.errors import FeaturesMissing, LossNotComputable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from retrain_pipeline.gates.evidence import Evidence
    from retrain_pipeline.learning.frames import Frames
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.learning.training_set import TrainingSet
    from retrain_pipeline.learning.versions import LoadedVersion
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores


@dataclass(frozen=True)
class Side:
    """One model and what it said of the evaluation rows. `predictions` and `losses` are None where it could not."""

    name: str
    takes: tuple[str, ...]
    pipeline: Any
    predictions: "pd.DataFrame | None"
    losses: "NDArray[np.float64] | None"
    why_not: str = ""


@dataclass(frozen=True)
class Material:
    """Everything that the gates look at, whole. Arrays are in the order of the evaluation rows."""

    spec: "ModelSpec"
    manifest: "VersionManifest"
    frozen: "TrainingSet"
    frames: "Frames"
    candidate: Side
    fidelity: str
    champion: Side | None
    anchor: Side | None
    """The champion that was shown to be better last, where that is another than the champion."""
    anchor_version: str | None
    champion_validated: float | None
    """The most that the champion's mean row loss was by its own evidence: mean and two standard errors."""
    earlier: "pd.DataFrame | None"
    """Rows as the champion learned from (its probe set): the schema before this one. None without a champion."""
    baselines: dict[str, Side | None]
    digests: "NDArray[np.uint64]"
    event_time: "pd.Series[Any]"
    candidate_seen: Seen
    champion_seen: Seen | None
    slices: "pd.DataFrame"
    model_bytes: int

    @property
    def unseen(self) -> "NDArray[np.bool_]":
        """The rows that the champion has not seen: those on which both sides are judged."""
        import numpy as np

        if self.champion_seen is None:
            return np.ones(len(self.digests), dtype=bool)
        return ~seen_rows(self.digests, self.event_time, self.champion_seen)

    @property
    def seed(self) -> int:
        """Seed of every bootstrap: the same rows give the same bounds."""
        return int(self.frozen.evaluation_row_digests_artifact[:8], 16)


def read_material(
    stores: "Stores", spec: "ModelSpec", loaded: "LoadedVersion", champion: str | None, champion_evidence: str | None
) -> Material:
    """Return the material for judging a loaded candidate against a champion version and what was validated of it.

    Rows that are kept back for a second validator (`gates.escalate`) are not in it.
    A champion, anchor or baseline that does not load is a side that could not answer, with the reason.

    Raises
    ------
    PermanentError
        When the frozen rows are not there any more.
    """
    from datetime import datetime

    from retrain_pipeline.lake.digests import row_digests
    from retrain_pipeline.learning.frames import slice_values
    from retrain_pipeline.learning.training_set import read_training_set

    manifest, frozen = loaded.manifest, loaded.manifest.frozen
    as_of = datetime.fromisoformat(frozen.as_of)
    frames = read_training_set(stores, frozen)
    kept = second_rows(stores, spec, frames.eval_keys, as_of)
    if kept.any():
        frames = without(frames, kept)
    champion_side, champion_seen, earlier = _champion(stores, spec, frames, champion)
    released_on = _evidence(stores, champion_evidence)
    anchor_version, anchor = _anchor(stores, spec, frames, loaded, champion_evidence, released_on)
    return Material(
        spec=spec,
        manifest=manifest,
        frozen=frozen,
        frames=frames,
        candidate=_asked("candidate", spec, frames, loaded.pipeline),
        fidelity=loaded.fidelity,
        champion=champion_side,
        anchor=anchor,
        anchor_version=anchor_version,
        champion_validated=_validated(released_on),
        earlier=earlier,
        baselines={name: _baseline(stores, spec, frames, manifest, name) for name in ("dummy", "linear")},
        digests=row_digests(frames.eval_keys),
        event_time=frames.eval_keys["_event_time"],
        candidate_seen=_seen(stores, "candidate", frozen),
        champion_seen=champion_seen,
        slices=slice_values(stores, spec, frames.eval_keys, as_of),
        model_bytes=len(stores.artifacts.get(manifest.model_artifact)),
    )


def losses_of(
    spec: "ModelSpec", frames: "Frames", predictions: "pd.DataFrame", truth: "NDArray[Any] | None" = None
) -> "NDArray[np.float64]":
    """Return the row losses of predictions of the evaluation rows, against their labels or others."""
    from retrain_pipeline.learning.losses import row_losses

    labels = frames.eval_y if truth is None else truth
    return row_losses(spec.problem.success.metric, spec.data.label.task, labels, predictions)


def _evidence(stores: "Stores", digest: str | None) -> "Evidence | None":
    try:
        return read_evidence(stores.artifacts, digest) if digest else None
    except EvidenceRefused:
        return None


def _validated(released_on: "Evidence | None") -> float | None:
    known = released_on.validated_loss if released_on is not None else None
    return known.mean + 2 * (known.se or 0.0) if known else None


def _anchor(
    stores: "Stores",
    spec: "ModelSpec",
    frames: "Frames",
    candidate: "LoadedVersion",
    champion_evidence: str | None,
    released_on: "Evidence | None",
) -> tuple[str | None, Side | None]:
    """Return the version that was shown to be better last, and what it says; None where that is the champion itself."""
    from retrain_pipeline.learning.versions import load_version

    if champion_evidence is None:
        return None, None
    if released_on is None:
        why = f"the champion's evidence {champion_evidence} cannot be read: what it may not fall behind is unknown"
        return None, Side("anchor", (), None, None, None, why)
    version = released_on.next_anchor
    if version in (None, released_on.version, candidate.manifest.version):
        return None, None
    try:
        return version, _asked("anchor", spec, frames, load_version(stores, spec.name, str(version)).pipeline)
    except PermanentError as error:
        return version, Side("anchor", (), None, None, None, f"anchor {version} does not load: {error}")


def _asked(name: str, spec: "ModelSpec", frames: "Frames", pipeline: Any) -> Side:
    from retrain_pipeline.learning.prediction import predict, used_columns

    numeric, categorical = used_columns(pipeline)
    takes = (*numeric, *categorical)
    try:
        predictions = predict(pipeline, spec.data.label.task, frames.eval_x).frame
        return Side(name, takes, pipeline, predictions, losses_of(spec, frames, predictions))
    except (FeaturesMissing, LossNotComputable) as error:
        return Side(name, takes, pipeline, None, None, str(error))


def _champion(
    stores: "Stores", spec: "ModelSpec", frames: "Frames", version: str | None
) -> "tuple[Side | None, Seen | None, pd.DataFrame | None]":
    from retrain_pipeline.learning.fingerprint import read_probe
    from retrain_pipeline.learning.versions import load_version

    if version is None:
        return None, None, None
    try:
        loaded = load_version(stores, spec.name, version)
    except PermanentError as error:
        import pandas as pd

        nothing = Seen("champion", None, pd.Timestamp.min.tz_localize("UTC"))
        return Side("champion", (), None, None, None, f"{version} does not load: {error}"), nothing, None
    side, seen = _asked("champion", spec, frames, loaded.pipeline), _seen(stores, "champion", loaded.manifest.frozen)
    return side, seen, read_probe(stores.artifacts.get(loaded.manifest.probe.artifact))[0]


def _baseline(
    stores: "Stores", spec: "ModelSpec", frames: "Frames", manifest: "VersionManifest", name: str
) -> Side | None:
    from retrain_pipeline.learning.versions import load_baseline

    try:
        return _asked(name, spec, frames, load_baseline(stores, manifest, name))
    except PermanentError:
        return None


def _seen(stores: "Stores", name: str, frozen: "TrainingSet") -> Seen:
    import pandas as pd

    from retrain_pipeline.learning.training_set import read_row_digests

    try:
        digests = read_row_digests(stores, frozen.row_digests_artifact)
    except PermanentError:
        digests = None
    return Seen(name, digests, pd.Timestamp(frozen.train_until))
