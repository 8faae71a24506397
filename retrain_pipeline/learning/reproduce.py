"""Do it again: fit a version from its manifest and compare what it does."""

from dataclasses import dataclass

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.learning.environment import Environment, code_revision, environment
from retrain_pipeline.learning.fingerprint import largest_difference, prediction_fingerprint, read_probe
from retrain_pipeline.learning.fitting import refit
from retrain_pipeline.learning.manifest import VersionManifest
from retrain_pipeline.learning.team_code import code_digest
from retrain_pipeline.learning.training_set import read_training_set
from retrain_pipeline.learning.versions import read_manifest
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.spec.model import Candidate
from retrain_pipeline.stores import Stores


@dataclass(frozen=True)
class Reproduction:
    """`same` says whether the refit answers the probe set as the version does.

    `differences` names what differs now, by layer, whether or not the answers do.
    Layers: ``data``, ``declaration``, ``features``, ``code``, ``environment``, ``answers``.
    """

    same: bool
    differences: list[str]


def reproduce(stores: Stores, declaration: Declaration, version: str) -> Reproduction:
    """Fit the setting of a registered version again on its frozen rows and compare fingerprints.

    Nothing is written.

    Raises
    ------
    VersionNotLoadable
        When the version is not on record.
    """
    manifest = read_manifest(stores, declaration.spec.name, version)
    differences = _surroundings(declaration, manifest)
    try:
        frames = read_training_set(stores, manifest.frozen)
    except PermanentError as error:
        return Reproduction(False, [f"data: {error}", *differences])
    candidate = Candidate(estimator=manifest.estimator, params=manifest.params)
    pipeline = refit(declaration.spec, candidate, {}, frames, manifest.seed, manifest.window)
    probe, recorded = read_probe(stores.artifacts.get(manifest.probe.artifact))
    same = prediction_fingerprint(pipeline, probe) == manifest.prediction_fingerprint
    if not same:
        far = largest_difference(pipeline, probe, recorded)
        differences.append(f"answers: they differ by {far:.3g} (tolerance {manifest.probe.max_abs_tolerance:g})")
    return Reproduction(same, differences)


def _surroundings(declaration: Declaration, manifest: VersionManifest) -> list[str]:
    revision, _ = code_revision(declaration.folder)
    pairs = [
        ("declaration", manifest.spec_digest, declaration.spec.digest),
        ("features", manifest.feature_code_digest, code_digest(declaration.folder)),
        ("code", manifest.code.commit, revision.commit),
        ("code patch", manifest.code.diff_digest, revision.diff_digest),
    ]
    told = [f"{name}: {str(then)[:12]} then, {str(now)[:12]} now" for name, then, now in pairs if then != now]
    return told + environment_differences(manifest.environment, environment(declaration.spec.training.threads))


def environment_differences(then: Environment, now: Environment) -> list[str]:
    """Return in words what differs between two environments: platform, threads, packages."""
    before, after = then.model_dump(exclude={"packages"}), now.model_dump(exclude={"packages"})
    told = [
        f"environment: {name} {before[name]} then, {after[name]} now" for name in before if before[name] != after[name]
    ]
    for name in sorted(then.packages.keys() | now.packages.keys()):
        old, new = then.packages.get(name, "absent"), now.packages.get(name, "absent")
        if old != new:
            told.append(f"environment: package {name} {old} then, {new} now")
    return told
