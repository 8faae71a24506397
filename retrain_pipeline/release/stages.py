"""Changes of who is on trial: staged, moved on, made champion, taken back. Each is one compare-and-swap."""

from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import sha256
from retrain_pipeline.governance.roles import check
from retrain_pipeline.ledger.entries import Entry, NewEntry
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.lineage import STAGED, WITHDRAWN
from retrain_pipeline.release.look import Look, Step, next_step, read_look, stages
from retrain_pipeline.release.state import Challenger, Deployment, Holdback, utc_now
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from retrain_pipeline.gates.evidence import Evidence
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.release.permits import Permit
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

OPEN_QUESTIONS = frozenset({"quality", "slices"})
"""Gates that a rollout by stages answers too, with more rows: where these alone cannot tell, it may go to trial."""


def may_be_tried(spec: "ModelSpec", evidence: "Evidence") -> bool:
    """Return whether a candidate without a PASS may go to trial: stages are declared, and nothing failed."""
    left = {result.gate: result.verdict for result in evidence.results if result.verdict is not Verdict.PASS}
    known = set(left) <= OPEN_QUESTIONS and all(verdict is Verdict.INCONCLUSIVE for verdict in left.values())
    return spec.rollout.staged and evidence.champion is not None and bool(left) and known


def holdback_after(spec: "ModelSpec", before: Deployment | None, epoch: int, as_of: "datetime") -> Holdback | None:
    """Return the holdback that goes with the deployment after `epoch`: the one there is, until it is too old."""
    share = spec.rollout.holdback_share
    if not share or before is None:
        return None
    held = before.holdback
    if held is not None and held.share == share:
        from datetime import datetime

        frozen = datetime.fromisoformat(held.effective_as_of)
        if spec.data.time.calendar().periods_since(frozen, as_of) < spec.rollout.holdback_periods:
            return held
    return Holdback(
        version=before.champion,
        manifest=before.manifest,
        effective_as_of=before.effective_as_of,
        share=share,
        salt=_salt("holdback", spec.name, before.champion, epoch),
    )


def _salt(what: str, model: str, version: str, epoch: int) -> str:
    """Return a salt that no other rollout has: an epoch is one change of one deployment (G18)."""
    return sha256(f"{what}:{model}:{version}:{epoch}".encode())[:32]


def stage(
    stores: "Stores",
    spec: "ModelSpec",
    evidence: "Evidence",
    digest: str,
    manifest: "VersionManifest",
    before: Deployment,
    permit: "Permit",
    run_id: str | None,
    actor: str,
) -> Deployment:
    """Put a judged version on trial beside the champion, in the first declared stage.

    What people permit, they permit here: the stages that follow are what was permitted.

    Raises
    ------
    StaleEpoch
        When the deployment has moved on since it was judged.
    """
    name, share, _ = stages(spec.rollout)[0]
    challenger = Challenger(
        version=manifest.version,
        manifest=evidence.manifest,
        evidence=digest,
        feature_code=manifest.feature_code_digest,
        spec=manifest.spec_digest,
        effective_as_of=manifest.as_of,
        stage=name,
        share=share,
        salt=_salt("rollout", spec.name, manifest.version, evidence.epoch),
        stage_from=manifest.as_of,
    )
    state = before.model_copy(update={"schema_": "deployment/2", "challenger": challenger})
    replaced = before.challenger.version if before.challenger else None
    payload = {
        "version": manifest.version,
        "evidence": digest,
        "verdict": evidence.verdict.value,
        "stage": name,
        "share": share,
        "as_of": manifest.as_of,
        "mode": evidence.mode,
        "permit": permit.payload,
        "replaces": replaced,
        "words": f"{manifest.version} goes on trial beside {before.champion}: {_named(name, share)}",
    }
    entry = NewEntry(
        actor=actor,
        action=STAGED,
        model=spec.name,
        subject=manifest.version,
        payload=payload,
        run_id=run_id,
        key=f"staged:{spec.name}:{evidence.epoch}:{digest}",
    )
    stores.ledger.change_deployment(spec.name, evidence.epoch, state.to_state(), entry, just_before=permit.check)
    return state


def apply(
    stores: "Stores", spec: "ModelSpec", look_digest: str, before: Deployment, run_id: str | None, actor: str
) -> tuple[Step, Deployment]:
    """Do what a stored look says, if the deployment is still the one that was looked at.

    The look is read again by digest and its step worked out again from its results.

    Raises
    ------
    StaleEpoch
        When the deployment has moved on.
    ReleaseRefused
        When the look is of another challenger, or cannot be read.
    NotAllowed
        When `roles.yaml` does not let the actor release.
    """
    look = read_look(stores.artifacts, look_digest)
    challenger = before.challenger
    if challenger is None or (challenger.version, challenger.evidence) != (look.version, look.evidence):
        raise ReleaseRefused(f"{look.model}: look {look_digest[:12]} is of {look.version}, which is not on trial")
    step = next_step(look)
    if step.move == "hold":
        return step, before
    if step.move == "promote":
        check(stores.ledger, actor, "release", look.model, look.version)
    state, entry = {"advance": _advanced, "promote": _promoted, "withdraw": _withdrawn}[step.move](
        stores, spec, look, step, look_digest, before, challenger
    )
    new = NewEntry(
        actor=actor,
        action=entry[0],
        model=look.model,
        subject=look.version,
        payload=entry[1],
        run_id=run_id,
        key=f"{entry[0]}:{look.model}:{look.epoch}:{look_digest}",
    )
    stores.ledger.change_deployment(look.model, look.epoch, state.to_state(), new)
    return step, state


Changed = tuple[Deployment, tuple[str, dict[str, Any]]]


def _advanced(
    stores: "Stores", spec: "ModelSpec", look: Look, step: Step, digest: str, before: Deployment, on: Challenger
) -> Changed:
    moved = on.model_copy(update={"stage": step.stage, "share": step.share, "stage_from": look.as_of})
    words = f"{look.version} goes on to {_named(step.stage, step.share)}: {step.words}"
    payload = {"version": look.version, "stage": step.stage, "share": step.share, "from": _named(on.stage, on.share)}
    told = {**payload, "evidence": on.evidence, "look": digest, "words": words[:4000]}
    return before.model_copy(update={"challenger": moved}), (STAGED, told)


def _withdrawn(
    stores: "Stores", spec: "ModelSpec", look: Look, step: Step, digest: str, before: Deployment, on: Challenger
) -> Changed:
    words = f"{look.version} goes back from {_named(on.stage, on.share)}: {step.words}"
    payload = {"version": look.version, "stage": on.stage, "share": on.share, "evidence": on.evidence}
    staging = _staging(stores, look)
    run = staging.run_id if staging is not None else None
    told = {**payload, "look": digest, "retrain_run": run, "words": words[:4000]}
    return before.model_copy(update={"challenger": None}), (WITHDRAWN, told)


def _promoted(
    stores: "Stores", spec: "ModelSpec", look: Look, step: Step, digest: str, before: Deployment, on: Challenger
) -> Changed:
    from datetime import datetime

    from retrain_pipeline.gates.evidence import read_evidence
    from retrain_pipeline.learning.versions import read_manifest

    evidence = read_evidence(stores.artifacts, on.evidence)
    manifest = read_manifest(stores, look.model, look.version)
    as_of, staging = datetime.fromisoformat(on.effective_as_of), _staging(stores, look)
    state = Deployment(
        model=look.model,
        champion=on.version,
        previous=before.champion,
        manifest=on.manifest,
        previous_manifest=before.manifest,
        evidence=on.evidence,
        feature_code=on.feature_code,
        spec=on.spec,
        effective_as_of=on.effective_as_of,
        released_at=utc_now(),
        serves_from=look.as_of,
        holdback=holdback_after(spec, before, look.epoch, as_of),
        collection=spec.collection_digest,
    )
    payload = {
        "version": on.version,
        "evidence": on.evidence,
        "look": digest,
        "previous": before.champion,
        "as_of": on.effective_as_of,
        "serves_from": look.as_of,
        "trigger": manifest.trigger.model_dump(mode="json"),
        "mode": evidence.mode,
        "validated_loss": evidence.validated_loss.model_dump(mode="json") if evidence.validated_loss else None,
        "manifest": on.manifest,
        "permit": staging.payload.get("permit") if staging is not None else None,
        "retrain_run": staging.run_id if staging is not None else None,
        "words": f"{on.version} serves everybody after {_named(on.stage, on.share)}: {step.words}"[:4000],
    }
    return state, ("released", payload)


def _staging(stores: "Stores", look: Look) -> Entry | None:
    """Return the entry by which a retrain put a version on trial: how the trial ends is its outcome."""
    entries = stores.ledger.entries(model=look.model, action=STAGED, subject=look.version)
    return next((entry for entry in reversed(entries) if "look" not in entry.payload), None)


def _named(stage: str, share: float) -> str:
    return f"{stage} at {share:.0%}" if share else stage
