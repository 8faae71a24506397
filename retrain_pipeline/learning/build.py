"""Build a candidate: from a frozen training set to a registered version."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.checks import Check
from retrain_pipeline.learning.agreement import features_agree
from retrain_pipeline.learning.environment import code_revision, environment, lock_text
from retrain_pipeline.learning.errors import FeatureContractBroken
from retrain_pipeline.learning.fingerprint import prediction_fingerprint, probe_bytes, probe_set
from retrain_pipeline.learning.fitting import FitResult, fit_candidates
from retrain_pipeline.learning.kept_code import keep_code
from retrain_pipeline.learning.manifest import Columns, Probe, TriggerRef, Validation, VersionManifest, version_id
from retrain_pipeline.learning.persistence import dump_model
from retrain_pipeline.learning.search import Progress
from retrain_pipeline.learning.team_code import FeatureCode, load_features
from retrain_pipeline.learning.training_set import TrainingSet, read_training_set
from retrain_pipeline.learning.versions import load_version, register
from retrain_pipeline.spec.declaration import Declaration
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.stores import Stores
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["build_candidate", "load_version"]


def build_candidate(
    stores: Stores,
    declaration: Declaration,
    training_set: TrainingSet,
    *,
    trigger: TriggerRef | Mapping[str, Any],
    run_id: str | None,
    actor: str,
    parent: str | None = None,
    progress: Progress | None = None,
) -> VersionManifest:
    """Fit the declared candidates on the frozen rows and register the best as a version.

    Everything that the version names is stored before the one ledger entry (`candidate_registered`) that makes it
    exist, so a crash leaves bytes that nobody names. The same training set, declaration, code and parent give the same
    version, and the manifest that was registered first is returned.

    Parameters
    ----------
    trigger
        What asked for it: kind, id and attempt.
    parent
        Version that it is to replace; default the present champion, if there is one.
    progress
        As `fit_candidates`.

    Raises
    ------
    SnapshotChanged, RowsOverlap
        When the frozen rows are not there any more.
    FeatureCodeRefused
        When the team's module does not load.
    FeatureContractBroken
        When the frozen features are not those that the present code makes.
    AllCandidatesFailed, EstimatorRefused
        As `fit_candidates`.
    NotReproducible
        As `register`.
    """
    spec = declaration.spec
    code = load_features(declaration.folder, spec.features)
    keep_code(stores.artifacts, declaration.folder)
    frames = read_training_set(stores, training_set)
    agreement = features_agree(stores.lake, code, spec, training_set, frames)
    if agreement.verdict is Verdict.FAIL:
        raise FeatureContractBroken(agreement.words)
    result = fit_candidates(spec, frames, progress=progress)
    stored = _store(stores, result, frames.train_x)
    asked = {
        "trigger": TriggerRef.model_validate(trigger),
        "run_id": run_id,
        "parent": parent or _champion(stores, spec.name),
    }
    manifest = _manifest(stores, declaration, training_set, code, result, {**stored, **asked}, agreement)
    return register(stores, manifest, actor=actor)


def _champion(stores: Stores, model: str) -> str | None:
    row = stores.ledger.deployment(model)
    champion = None if row is None else row.state.get("champion")
    return champion if isinstance(champion, str) else None


def _store(stores: Stores, result: FitResult, train_x: "pd.DataFrame") -> dict[str, Any]:
    """Store the bytes of the winner, its probe, the baselines and the leaderboard; return their digests."""
    best, artifacts = result.best.pipeline, stores.artifacts
    probe = probe_set(train_x[result.plan.used])
    data = dump_model(best)
    return {
        "model_artifact": artifacts.put(data),
        "size_bytes": len(data),
        "prediction_fingerprint": prediction_fingerprint(best, probe),
        "probe": Probe(artifact=artifacts.put(probe_bytes(best, probe)), rows=len(probe)),
        "baselines": {name: artifacts.put(dump_model(one.pipeline)) for name, one in sorted(result.baselines.items())},
        "leaderboard": artifacts.put_json(_leaderboard(result)),
    }


def _manifest(
    stores: Stores,
    declaration: Declaration,
    training_set: TrainingSet,
    code: FeatureCode,
    result: FitResult,
    known: dict[str, Any],
    agreement: Check,
) -> VersionManifest:
    spec, best = declaration.spec, result.best
    revision, patch = code_revision(declaration.folder)
    if patch:
        stores.artifacts.put(patch)
    stores.artifacts.put(lock_text())
    as_of = datetime.fromisoformat(training_set.as_of)
    version = version_id(
        as_of,
        training_set=training_set.digest,
        spec=spec.digest,
        feature_code=code.digest,
        candidate=best.name,
        params=best.params,
        seed=spec.training.seed,
        fingerprint=known["prediction_fingerprint"],
        parent=known["parent"],
    )
    return VersionManifest(
        model=spec.name,
        version=version,
        as_of=training_set.as_of,
        task=training_set.task,
        training_set=training_set.to_json(),
        feature_code_digest=code.digest,
        feature_agreement=f"{agreement.verdict}: {agreement.words}",
        spec_digest=stores.artifacts.put_json(spec.model_dump(mode="json")),
        code=revision,
        environment=environment(spec.training.threads),
        **_outcome(spec, result),
        created_at=datetime.now(UTC),
        **known,
    )


def _outcome(spec: ModelSpec, result: FitResult) -> dict[str, Any]:
    """Return what the manifest says of the search."""
    best, plan = result.best, result.plan
    return {
        "seed": spec.training.seed,
        "candidate": best.name,
        "estimator": best.estimator,
        "params": best.params,
        "window": best.window,
        "columns": Columns(numeric=plan.numeric, categorical=plan.categorical, dropped=plan.dropped),
        "validation": Validation(
            metric=spec.problem.success.metric,
            loss=best.validation_loss,
            split=result.split.kind,
            rows=len(result.split.validation),
        ),
        "search_complete": result.complete,
    }


def _leaderboard(result: FitResult) -> dict[str, Any]:
    return {
        "trials": [asdict(trial) for trial in result.trials],
        "baselines": {
            name: {"estimator": one.estimator, "params": one.params, "loss": one.validation_loss}
            for name, one in sorted(result.baselines.items())
        },
        "winner": {"candidate": result.best.name, "params": result.best.params, "loss": result.best.validation_loss},
        "window": result.best.window.model_dump(mode="json") if result.best.window else None,
        "windows": [asdict(step) for step in result.windows],
        "split": result.split.kind,
    }
