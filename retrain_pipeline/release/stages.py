"""Changes of who is on trial: staged, moved on, made champion, taken back. Each is one compare-and-swap."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import sha256
from retrain_pipeline.governance.roles import check
from retrain_pipeline.ledger.entries import NewEntry
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
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

HELD = "promotion_held"
"""The action of the entry that says why a version that proved itself is not made champion."""
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

    What people permit, they permit here for the trial; before it becomes champion they are asked again.

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
    stores: "Stores", declaration: "Declaration", look_digest: str, before: Deployment, run_id: str | None, actor: str
) -> tuple[Step, Deployment]:
    """Do what a stored look says, if the deployment is still the one that was looked at.

    The look is read again by digest and its step worked out again from its results. Whoever must permit a promotion is
    asked again, the last time inside its transaction; where they do not any more, it is held, and an entry says why.

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
        return _promote(stores, declaration, look, step, look_digest, before, challenger, run_id, actor)
    state, entry = {"advance": _advanced, "withdraw": _withdrawn}[step.move](
        stores, look, step, look_digest, before, challenger
    )
    _change(stores, look, look_digest, state, entry, run_id, actor)
    return step, state


def _change(
    stores: "Stores",
    look: Look,
    look_digest: str,
    state: Deployment,
    entry: tuple[str, dict[str, Any]],
    run_id: str | None,
    actor: str,
    just_before: Callable[[], None] | None = None,
) -> None:
    new = NewEntry(
        actor=actor,
        action=entry[0],
        model=look.model,
        subject=look.version,
        payload=entry[1],
        run_id=run_id,
        key=f"{entry[0]}:{look.model}:{look.epoch}:{look_digest}",
    )
    stores.ledger.change_deployment(look.model, look.epoch, state.to_state(), new, just_before=just_before)


def _promote(
    stores: "Stores",
    declaration: "Declaration",
    look: Look,
    step: Step,
    look_digest: str,
    before: Deployment,
    on: Challenger,
    run_id: str | None,
    actor: str,
) -> tuple[Step, Deployment]:
    """Make the version on trial champion, by what permits it now; else enter why it is held."""
    from retrain_pipeline.release.moment import promotion_permit

    try:
        permit = promotion_permit(stores, declaration, on)
        state, entry = _promoted(stores, declaration.spec, look, step, look_digest, before, on, permit)
        _change(stores, look, look_digest, state, entry, run_id, actor, permit.check)
    except ReleaseRefused as refusal:
        words = f"{look.version} is not made champion: {refusal}"[:2000]
        payload = {"version": look.version, "evidence": on.evidence, "look": look_digest, "words": words}
        key = f"{HELD}:{look.model}:{look.epoch}:{look_digest}"
        stores.ledger.append(NewEntry(actor, HELD, look.model, look.version, payload, run_id, look.epoch, key))
        return Step("hold", words, on.stage, on.share), before
    return step, state


Changed = tuple[Deployment, tuple[str, dict[str, Any]]]


def _advanced(stores: "Stores", look: Look, step: Step, digest: str, before: Deployment, on: Challenger) -> Changed:
    moved = on.model_copy(update={"stage": step.stage, "share": step.share, "stage_from": look.as_of})
    words = f"{look.version} goes on to {_named(step.stage, step.share)}: {step.words}"
    payload = {"version": look.version, "stage": step.stage, "share": step.share, "from": _named(on.stage, on.share)}
    told = {**payload, "evidence": on.evidence, "look": digest, "words": words[:4000]}
    return before.model_copy(update={"challenger": moved}), (STAGED, told)


def _withdrawn(stores: "Stores", look: Look, step: Step, digest: str, before: Deployment, on: Challenger) -> Changed:
    from retrain_pipeline.release.moment import staging_of

    words = f"{look.version} goes back from {_named(on.stage, on.share)}: {step.words}"
    payload = {"version": look.version, "stage": on.stage, "share": on.share, "evidence": on.evidence}
    staging = staging_of(stores.ledger, look.model, look.version)
    run = staging.run_id if staging is not None else None
    told = {**payload, "look": digest, "retrain_run": run, "words": words[:4000]}
    return before.model_copy(update={"challenger": None}), (WITHDRAWN, told)


def _promoted(
    stores: "Stores",
    spec: "ModelSpec",
    look: Look,
    step: Step,
    digest: str,
    before: Deployment,
    on: Challenger,
    permit: "Permit",
) -> Changed:
    from datetime import datetime

    from retrain_pipeline.gates.evidence import read_evidence
    from retrain_pipeline.learning.versions import read_manifest
    from retrain_pipeline.release.moment import staging_of

    evidence = read_evidence(stores.artifacts, on.evidence)
    manifest = read_manifest(stores, look.model, look.version)
    as_of, staging = datetime.fromisoformat(on.effective_as_of), staging_of(stores.ledger, look.model, look.version)
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
        "permit": permit.payload,
        "retrain_run": staging.run_id if staging is not None else None,
        "words": f"{on.version} serves everybody after {_named(on.stage, on.share)}: {step.words}"[:4000],
    }
    return state, ("released", payload)


def _named(stage: str, share: float) -> str:
    return f"{stage} at {share:.0%}" if share else stage
