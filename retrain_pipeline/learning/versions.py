"""Versions: registered by one ledger entry, loaded through it, and checked on the way in."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from retrain_pipeline.artifacts import ArtifactMissing
from retrain_pipeline.learning.errors import (
    FingerprintChanged,
    ModelDamaged,
    ModelOfOtherVersion,
    NotReproducible,
    VersionNotLoadable,
    VersionRetired,
)
from retrain_pipeline.learning.fingerprint import largest_difference, prediction_fingerprint, read_probe
from retrain_pipeline.learning.manifest import VersionManifest
from retrain_pipeline.learning.persistence import load_model
from retrain_pipeline.learning.prediction import Predictions, predict
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.stores import Stores

if TYPE_CHECKING:
    import pandas as pd

REGISTERED = "candidate_registered"
RETIRED = "retired"
"""The action of the entry after which a version is not loaded any more; it names the tombstone."""


@dataclass(frozen=True)
class LoadedVersion:
    """A version that may predict. `fidelity` says how its fingerprint compared: ``same`` or ``within tolerance``."""

    manifest: VersionManifest
    pipeline: Any
    fidelity: str

    @cached_property
    def features(self) -> list[str]:
        """The features that it needs."""
        return [*self.manifest.columns.numeric, *self.manifest.columns.categorical]

    def predict(self, features: "pd.DataFrame") -> Predictions:
        """Predict rows, as `learning.prediction.predict`."""
        return predict(self.pipeline, self.manifest.task, features)


def register(stores: Stores, manifest: VersionManifest, *, actor: str) -> VersionManifest:
    """Put a version on record, once, and return the manifest that is on record.

    The artifacts that the manifest names must be stored already: bytes first, then the one entry that makes them real.

    Raises
    ------
    NotReproducible
        When the ledger has a version of the same inputs, code and environment that answers otherwise (P28). The
        alarm is an `alerted` entry.
    VersionNotLoadable
        When an artifact that the manifest names is not stored.
    """
    absent = [digest for digest in manifest.artifacts if not stores.artifacts.exists(digest)]
    if absent:
        raise VersionNotLoadable(f"version {manifest.version} names artifacts that are not stored: {absent}")
    _alarm_when_unrepeatable(stores, manifest, actor)
    payload = {
        # Not RFC 8785, which writes 1.0 as 1: to an estimator `max_features` 1.0 is all of them and 1 is one.
        "manifest": stores.artifacts.put(json.dumps(manifest.to_json(), sort_keys=True, allow_nan=False).encode()),
        "inputs": manifest.inputs_digest,
        "fingerprint": manifest.prediction_fingerprint,
        "model_artifact": manifest.model_artifact,
        "training_set": manifest.training_set["digest"],
        "candidate": manifest.candidate,
        "parent": manifest.parent,
        "complete": manifest.search_complete,
    }
    entry = stores.ledger.append(
        NewEntry(
            actor=actor,
            action=REGISTERED,
            model=manifest.model,
            subject=manifest.version,
            payload=payload,
            run_id=manifest.run_id,
            key=f"{REGISTERED}:{manifest.model}:{manifest.version}",
        )
    )
    return _manifest(stores, manifest.model, manifest.version, entry.payload["manifest"])


def registered_manifest(stores: Stores, model: str, version: str) -> str:
    """Return the digest of a registered version's manifest.

    Raises
    ------
    VersionNotLoadable
        When the ledger does not know the version.
    """
    entry = stores.ledger.latest(model, REGISTERED, version)
    if entry is None:
        raise VersionNotLoadable(
            f"model {model!r} has no version {version!r} in the ledger: bytes without an entry are no version"
        )
    return str(entry.payload["manifest"])


def read_manifest(stores: Stores, model: str, version: str) -> VersionManifest:
    """Return the manifest of a registered version.

    Raises
    ------
    VersionNotLoadable
        When the ledger does not know the version, or its manifest is gone or damaged.
    """
    return _manifest(stores, model, version, registered_manifest(stores, model, version))


def load_version(stores: Stores, model: str, version: str) -> LoadedVersion:
    """Return a version ready to predict, its answers to the probe set compared with those on record.

    On the platform that wrote it the fingerprint must be the same. Under another minor version of scikit-learn, or on
    another platform, it is revalidated: the answers must lie within the tolerance.

    Raises
    ------
    VersionNotLoadable
        When entry, manifest, model bytes or probe are missing or damaged (P20).
    VersionRetired
        When it was retired: with the digest of its tombstone.
    ModelOfOtherVersion
        When another minor version of scikit-learn wrote it and the answers differ (P29).
    FingerprintChanged
        When the answers differ otherwise.
    UntrustedModel
        When the bytes name unreviewed types (S2).
    """
    manifest = read_manifest(stores, model, version)
    what = f"version {version} of {model!r}"
    _check_not_retired(stores, model, version)
    data, probe_data = (_bytes(stores, digest, what) for digest in (manifest.model_artifact, manifest.probe.artifact))
    written, here = manifest.environment.packages.get("scikit-learn", "unknown"), _sklearn()
    try:
        pipeline = load_model(data)
    except ModelDamaged as error:
        if _minor(written) != _minor(here):
            raise ModelOfOtherVersion(_other_version(what, written, here, str(error))) from error
        raise
    fidelity, difference = _fidelity(manifest, pipeline, probe_data)
    if fidelity is None and _minor(written) != _minor(here):
        raise ModelOfOtherVersion(_other_version(what, written, here, f"its answers differ by {difference:.3g}"))
    if fidelity is None:
        raise FingerprintChanged(
            f"{what}: its answers to the probe set differ by {difference:.3g} from those on record; "
            "restore the environment of its manifest, or retrain"
        )
    return LoadedVersion(manifest, pipeline, fidelity)


def load_baseline(stores: Stores, manifest: VersionManifest, name: str) -> Any:
    """Return the pipeline of a baseline of a version (`dummy`, `linear`).

    Raises
    ------
    VersionNotLoadable
        When the version has no such baseline.
    """
    if name not in manifest.baselines:
        raise VersionNotLoadable(f"version {manifest.version} of {manifest.model!r} has no baseline {name!r}")
    return load_model(_bytes(stores, manifest.baselines[name], f"baseline {name!r} of version {manifest.version}"))


def _check_not_retired(stores: Stores, model: str, version: str) -> None:
    entry = stores.ledger.latest(model, RETIRED, version)
    if entry is not None:
        raise VersionRetired(
            f"version {version} of {model!r} was retired by entry {entry.seq} ({entry.payload['because']}): it serves "
            f"no more; its tombstone is {entry.payload['tombstone']}, and evidence and manifest are kept"
        )


def _fidelity(manifest: VersionManifest, pipeline: Any, probe_data: bytes) -> tuple[str | None, float]:
    from sklearn.exceptions import NotFittedError

    probe, recorded = read_probe(probe_data)
    try:
        if prediction_fingerprint(pipeline, probe) == manifest.prediction_fingerprint:
            return "same", 0.0
        difference = largest_difference(pipeline, probe, recorded)
    except (AttributeError, ValueError, TypeError, KeyError, NotFittedError):
        return None, float("inf")  # a pipeline that cannot answer answers otherwise
    moved = manifest.environment.packages.get("scikit-learn") != _sklearn() or _elsewhere(manifest)
    if moved and difference <= manifest.probe.max_abs_tolerance:
        return "within tolerance", difference
    return None, difference


def _elsewhere(manifest: VersionManifest) -> bool:
    from retrain_pipeline.learning.environment import environment

    now, then = environment(), manifest.environment
    return (now.platform, now.cpu) != (then.platform, then.cpu) or now.packages != then.packages


def _manifest(stores: Stores, model: str, version: str, digest: str) -> VersionManifest:
    what = f"the manifest of version {version} of {model!r}"
    try:
        manifest = VersionManifest.model_validate_json(_bytes(stores, digest, what))
    except ValidationError as error:
        raise VersionNotLoadable(f"{what} does not read: {error}") from error
    if (manifest.model, manifest.version) != (model, version):
        raise VersionNotLoadable(f"{what} is of version {manifest.version} of {manifest.model!r}")
    return manifest


def _bytes(stores: Stores, digest: str, what: str) -> bytes:
    try:
        return stores.artifacts.get(digest)
    except ArtifactMissing as error:
        raise VersionNotLoadable(f"{what} is not loadable: {error}") from error


def _alarm_when_unrepeatable(stores: Stores, manifest: VersionManifest, actor: str) -> None:
    for entry in stores.ledger.entries(model=manifest.model, action=REGISTERED):
        known = entry.payload
        same_inputs = known.get("inputs") == manifest.inputs_digest
        if not same_inputs or known.get("fingerprint") == manifest.prediction_fingerprint:
            continue
        if not (known.get("complete") and manifest.search_complete):
            continue  # a search that the clock ended may end elsewhere: the manifest says so
        differences = [
            f"{name}: {before!r} then, {now!r} now"
            for name, before, now in (
                ("candidate", known.get("candidate"), manifest.candidate),
                ("fingerprint", str(known.get("fingerprint"))[:12], manifest.prediction_fingerprint[:12]),
            )
            if before != now
        ]
        stores.ledger.append(
            NewEntry(
                actor=actor,
                action="alerted",
                model=manifest.model,
                subject=str(entry.subject),
                payload={"kind": "not_reproducible", "differences": differences, "inputs": manifest.inputs_digest},
                run_id=manifest.run_id,
            )
        )
        raise NotReproducible(manifest.model, str(entry.subject), differences)


def _other_version(what: str, written: str, here: str, found: str) -> str:
    return f"{what} was written by scikit-learn {written}, this is {here}, and {found}: install the other, or retrain"


def _sklearn() -> str:
    import sklearn

    return str(sklearn.__version__)


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
