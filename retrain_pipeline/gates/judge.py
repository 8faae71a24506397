"""Judging a candidate: every gate looks, the evidence is stored by digest, and the ledger says that it was judged."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.budget import Rows, account, question
from retrain_pipeline.gates.documentation import decision_digests
from retrain_pipeline.gates.errors import JudgementRefused
from retrain_pipeline.gates.escalation import GATE as ESCALATION
from retrain_pipeline.gates.escalation import answer, escalate, halt_entry, since_second
from retrain_pipeline.gates.evidence import (
    Anchored,
    Escalation,
    EvaluationRows,
    Evidence,
    GateResult,
    Mode,
    ValidatedLoss,
    evidence_schema,
    policy_document,
    read_evidence,
    store_evidence,
)
from retrain_pipeline.gates.required import required_gates
from retrain_pipeline.gates.turning import turning
from retrain_pipeline.learning.paired import block_mean_interval
from retrain_pipeline.ledger.entries import Entry, NewEntry
from retrain_pipeline.verdicts import Verdict, worst

if TYPE_CHECKING:
    from retrain_pipeline.gates.material import Material
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.learning.training_set import TrainingSet
    from retrain_pipeline.ledger.entries import DeploymentRow
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores


class Judgement(NamedTuple):
    """Evidence and the digest under which it is stored."""

    evidence: Evidence
    digest: str


def judge(
    stores: "Stores", declaration: "Declaration", version: str, *, mode: Mode, run_id: str | None, actor: str
) -> Judgement:
    """Judge a registered version against the champion on the version's frozen evaluation rows.

    The deployment's epoch is read before anything else: a release on this evidence holds only while it stands. The same
    inputs give the same judgement and one ledger entry (`judged`), however often they are judged; only measured times
    differ. A version that is champion already is not judged anew: the judgement it was released on is returned.

    Parameters
    ----------
    mode
        `first` without a champion; `superiority` where nothing was wrong; `non_inferiority` where the champion's
        decay called for the refresh.

    Raises
    ------
    JudgementRefused
        When the mode does not fit the deployment.
    VersionNotLoadable
        When the version is not registered.
    """
    from retrain_pipeline.learning.versions import read_manifest, registered_manifest

    spec = declaration.spec
    deployed = stores.ledger.deployment(spec.name)
    if deployed is not None and deployed.state["champion"] == version:
        digest = str(deployed.state["evidence"])
        return Judgement(read_evidence(stores.artifacts, digest), digest)
    _check_mode(spec.name, mode, deployed)
    manifest = read_manifest(stores, spec.name, version)
    digest = registered_manifest(stores, spec.name, version)
    terms = _terms(stores, declaration, manifest, digest, deployed, mode)
    looked = _look(stores, declaration, version, deployed, mode, terms["budget"].spent)
    return _record(stores, _evidence(terms, manifest.frozen, looked), run_id, actor)


def _check_mode(model: str, mode: Mode, deployed: "DeploymentRow | None") -> None:
    if mode not in ("first", "non_inferiority", "superiority"):
        raise JudgementRefused(f"{model}: mode {mode!r:.40}: first, non_inferiority or superiority")
    if deployed is None and mode != "first":
        raise JudgementRefused(f"{model}: mode {mode!r} needs a champion, and there is none: judge with mode 'first'")
    if deployed is not None and mode == "first":
        champion = deployed.state["champion"]
        raise JudgementRefused(f"{model}: {champion} is champion: judge against it, not with mode 'first'")


def _terms(
    stores: "Stores",
    declaration: "Declaration",
    manifest: "VersionManifest",
    manifest_digest: str,
    deployed: "DeploymentRow | None",
    mode: Mode,
) -> dict[str, Any]:
    """Return what is judged, by what policy and code, and at what level: all that is settled before anything is looked
    at. The policy is stored, so that the judgement can be replayed under it."""
    from retrain_pipeline.learning.environment import code_revision

    spec, frozen = declaration.spec, manifest.frozen
    terms = {
        "model": manifest.model,
        "version": manifest.version,
        "manifest": manifest_digest,
        "champion": deployed.state["champion"] if deployed else None,
        "champion_manifest": deployed.state["manifest"] if deployed else None,
        "epoch": deployed.epoch if deployed else 0,
        "mode": mode,
        "policy": stores.artifacts.put_json(policy_document(spec)),
        "code": code_revision(declaration.folder)[0],
    }
    return terms | {
        "required": required_gates(spec.gates),
        "decisions": decision_digests(declaration.folder),
        "budget": account(
            stores.ledger,
            stores.artifacts,
            spec.name,
            alpha=spec.gates.alpha,
            mode=mode,
            asked=question(terms, spec),
            rows=Rows(frozen.evaluation_row_digests_artifact, frozen.evaluation_from, frozen.evaluation_until),
        ),
    }


class Looked(NamedTuple):
    """What came of looking at everything."""

    results: tuple[GateResult, ...]
    loss: ValidatedLoss | None = None
    plots: Mapping[str, str] = MappingProxyType({})
    escalation: Escalation | None = None
    anchor: str | None = None
    anchored: Anchored | None = None


def _look(
    stores: "Stores",
    declaration: "Declaration",
    version: str,
    deployed: "DeploymentRow | None",
    mode: Mode,
    spent: float,
) -> Looked:
    """Return all results; where the candidate or its rows are not there, all are INCONCLUSIVE and say why."""
    from retrain_pipeline.gates.anchor import beside_anchor
    from retrain_pipeline.gates.beyond import look_beyond
    from retrain_pipeline.gates.looking import look_beside
    from retrain_pipeline.gates.material import read_material
    from retrain_pipeline.gates.operation import fingerprint
    from retrain_pipeline.learning.versions import load_version

    spec = declaration.spec
    gates = required_gates(spec.gates)
    try:
        loaded = load_version(stores, spec.name, version)
    except PermanentError as error:
        told = (*_could_not_look(str(error), gates, "fingerprint"), fingerprint("", None, str(error)))
        return Looked(told)
    try:
        champion = (deployed.state["champion"], deployed.state["evidence"]) if deployed else (None, None)
        material = read_material(stores, spec, loaded, *champion)
    except PermanentError as error:
        return Looked(_could_not_look(str(error), gates))
    beside = beside_anchor(material, spent)
    found = {one.gate: one for one in look_beside(beside, material, mode, spent)}
    found |= {one.gate: one for one in look_beyond(stores, declaration, material, mode, deployed)}
    escalation = None
    if spec.gates.escalate is not None:
        others = [found[gate] for gate in gates if gate in found]
        since, keep = since_second(stores.ledger, spec.name), stores.artifacts.put
        escalation = escalate(stores, material, mode, others, champion[0], since, keep)
        found[ESCALATION] = answer(escalation, others)
    results = tuple(found[gate] for gate in gates if gate in found)
    anchor = material.anchor_version
    return Looked(
        results,
        _validated_loss(material),
        _plots(stores, material),
        escalation,
        anchor,
        beside if anchor is not None else None,
    )


def _could_not_look(why: str, gates: tuple[str, ...], *but: str) -> tuple[GateResult, ...]:
    words = f"could not look: {why}"[:2000]
    return tuple(GateResult(gate=gate, verdict=Verdict.INCONCLUSIVE, words=words) for gate in gates if gate not in but)


def _validated_loss(material: "Material") -> ValidatedLoss | None:
    import numpy as np

    from retrain_pipeline.learning.losses import metric_value

    losses, gates = material.candidate.losses, material.spec.gates
    if losses is None or not len(losses) or not np.isfinite(losses).all():
        return None
    found = block_mean_interval(
        losses, material.event_time, block_hours=gates.block_hours, alpha=gates.alpha, seed=material.seed
    )
    metric = material.spec.problem.success.metric
    return ValidatedLoss(
        metric=metric,
        mean=found.mean,
        se=found.se if np.isfinite(found.se) else None,
        value=metric_value(metric, losses),
        n=found.n,
    )


def _plots(stores: "Stores", material: "Material") -> dict[str, str]:
    """Store the pictures of a judgement; a side that has no losses has none."""
    import numpy as np

    from retrain_pipeline.gates.pairs import paired
    from retrain_pipeline.gates.plots import calibration_plot, difference_plot, residual_plot

    plots, told, truth = dict[str, bytes](), material.candidate.predictions, material.frames.eval_y
    name = f"{material.spec.name} {material.manifest.version}"
    champion = material.champion.predictions if material.champion is not None else None
    if told is not None and material.frames.task == "binary" and told["score"].notna().all():
        theirs = champion["score"].to_numpy() if champion is not None and champion["score"].notna().all() else None
        plots["calibration"] = calibration_plot(
            told["score"].to_numpy(), truth.astype(float), theirs, f"{name}: calibration"
        )
    if told is not None and material.frames.task == "regression" and np.isfinite(told["prediction"]).all():
        plots["residuals"] = residual_plot(told["prediction"].to_numpy(), truth, f"{name}: residuals")
    judged = paired(material, material.baselines["dummy"] if material.champion is None else material.champion)
    if judged is not None and len(judged.candidate) and np.isfinite(judged.candidate - judged.reference).all():
        against = "the dummy's" if material.champion is None else "the champion's"
        plots["difference"] = difference_plot(
            judged.candidate - judged.reference,
            judged.event_time,
            judged.block_hours,
            judged.interval(),
            f"{name}: {judged.metric} row loss minus {against}",
        )
    return {plot: stores.artifacts.put(data) for plot, data in plots.items()}


def _evidence(terms: Mapping[str, Any], frozen: "TrainingSet", looked: Looked) -> Evidence:
    results, loss, plots, escalation, anchor, anchored = looked
    return Evidence(
        **terms,
        schema=evidence_schema(anchor, escalation, anchored),
        anchor=anchor,
        anchored=anchored,
        escalation=escalation,
        as_of=frozen.as_of,
        training_set=frozen.digest,
        evaluation=EvaluationRows(
            rows=frozen.evaluation_rows,
            digest=frozen.evaluation_row_digests_artifact,
            **{"from": frozen.evaluation_from, "until": frozen.evaluation_until},
        ),
        results=results,
        verdict=worst(result.verdict for result in results),
        turning=turning(results),
        validated_loss=loss,
        plots=dict(plots),
    )


def _record(stores: "Stores", evidence: Evidence, run_id: str | None, actor: str) -> Judgement:
    """Store the evidence, then enter it; a judgement that is on record already is returned as it was."""
    digest = store_evidence(stores.artifacts, evidence)
    entry = stores.ledger.append(judged_entry(evidence, digest, run_id, actor))
    recorded = str(entry.payload["evidence"])
    if (halted := halt_entry(evidence, recorded, run_id, actor)) is not None:
        stores.ledger.append(halted)
    return Judgement(evidence if recorded == digest else read_evidence(stores.artifacts, recorded), recorded)


def judged_entry(evidence: Evidence, digest: str, run_id: str | None, actor: str) -> NewEntry:
    """Return the entry of a judgement: its evidence by digest, and what the error budget is counted from."""
    rows = evidence.evaluation
    asked = evidence.escalation is not None and evidence.escalation.second is not None
    escalated = {"escalated": list(evidence.escalation.called)} if asked and evidence.escalation else {}
    return NewEntry(
        actor=actor,
        action="judged",
        model=evidence.model,
        subject=evidence.version,
        payload={
            "evidence": digest,
            "verdict": evidence.verdict.value,
            "gates": {result.gate: result.verdict.value for result in evidence.results},
            "mode": evidence.mode,
            "champion": evidence.champion,
            "question": evidence.budget.question,
            "alpha_spent": evidence.budget.spent,
            "rows": {"digest": rows.digest, "from": rows.from_, "until": rows.until},
            **escalated,
        },
        run_id=run_id,
        epoch=evidence.epoch,
        key=f"judged:{evidence.model}:{evidence.judgement_digest}",
    )


def tells_of(entry: Entry, evidence: Evidence, digest: str) -> bool:
    """Return whether a `judged` entry is the one that the judge of this evidence wrote."""
    said = judged_entry(evidence, digest, entry.run_id, entry.actor)
    same = (entry.model, entry.subject, entry.epoch, entry.key) == (said.model, said.subject, said.epoch, said.key)
    return same and entry.payload == dict(said.payload)
