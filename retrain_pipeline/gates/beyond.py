"""Gates that need more than frozen rows and models: a fit, a process, the team's folder. A replay takes their stored
results."""

from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.coverage import changed_fields
from retrain_pipeline.gates.documentation import documentation
from retrain_pipeline.gates.evidence import GateResult, Mode, read_evidence
from retrain_pipeline.gates.fresh import footprint, measure
from retrain_pipeline.gates.guard import guard
from retrain_pipeline.gates.operation import latency_of
from retrain_pipeline.gates.refits import reproducible, seed_noise_of
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.gates.material import Material
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.ledger.entries import DeploymentRow
    from retrain_pipeline.ledger.past import Asked
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores


def look_beyond(
    stores: "Stores",
    declaration: "Declaration",
    material: "Material",
    mode: Mode,
    deployed: "DeploymentRow | None" = None,
) -> tuple[GateResult, ...]:
    """Return the results of those of these gates that the declaration requires, in the order of `required_gates`.

    Where memory is limited, latency is measured in the same fresh process, and its result stands for that of `look`.
    """
    gates, version = declaration.spec.gates, material.manifest.version
    required, found = required_gates(gates), dict[str, GateResult]()
    if "reproducible" in required:
        found["reproducible"] = reproducible(stores, declaration, version)
    if "seed_noise" in required:
        reference = material.baselines["dummy"] if material.champion is None else material.champion
        found["seed_noise"] = seed_noise_of(material, reference, mode, gates.refits - 1)
    if "documentation" in required:
        found["documentation"] = _documented(stores, declaration, material, deployed)
    if "guard" in required:
        found["guard"] = guard_now(stores, material.manifest, deployed.state["champion"] if deployed else None)
    if gates.max_rss_mb is not None:
        found |= _fresh(stores, material, gates.max_rss_mb)
    return tuple(found[gate] for gate in required if gate in found)


def guard_now(
    stores: "Stores", manifest: "VersionManifest", champion: str | None, ledger: "Asked | None" = None
) -> GateResult:
    """Judge an update by the guard evidence that is on record now, or was in a ledger of then."""
    from retrain_pipeline.learning.versions import registered_manifest

    digest = registered_manifest(stores, manifest.model, manifest.version)
    return guard(ledger or stores.ledger, stores.artifacts, manifest, digest, champion)


def _documented(
    stores: "Stores", declaration: "Declaration", material: "Material", deployed: "DeploymentRow | None"
) -> GateResult:
    from retrain_pipeline.learning.versions import read_manifest

    if deployed is None:
        return documentation(declaration.folder, None, [], declaration.spec.name)
    now = material.manifest
    try:
        then = read_manifest(stores, now.model, deployed.state["champion"])
        before = read_evidence(stores.artifacts, deployed.state["evidence"]).decisions
        specs = [stores.artifacts.get_json(one.spec_digest) for one in (then, now)]
    except PermanentError as error:
        words = f"what stood when the champion was judged cannot be read: {error}"
        return GateResult(gate="documentation", verdict=Verdict.INCONCLUSIVE, words=words[:2000])
    moved = then.feature_code_digest != now.feature_code_digest
    changed = changed_fields(*specs, features_changed=moved)
    return documentation(declaration.folder, before, changed, now.model)


def _fresh(stores: "Stores", material: "Material", max_rss_mb: float) -> dict[str, GateResult]:
    model = stores.artifacts.get(material.manifest.model_artifact)
    try:
        measured = measure(model, material.frames.eval_x, material.frames.task)
    except OSError as error:
        return {"footprint": footprint(None, max_rss_mb=max_rss_mb, why_not=str(error))}
    return {
        "footprint": footprint(measured, max_rss_mb=max_rss_mb),
        "latency": latency_of(measured.latency_ms_p95, material.spec.gates.latency_ms_p95, "in a fresh process"),
    }
