"""Releasing: the evidence is read again by digest, everything it stands on is compared with now, and one transaction
makes the version champion. What Dagster shows of checks decides nothing here."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.gates.documentation import decision_digests
from retrain_pipeline.gates.errors import EvidenceRefused
from retrain_pipeline.gates.evidence import Evidence, policy_digest, read_evidence
from retrain_pipeline.governance.roles import check
from retrain_pipeline.ledger.entries import Entry, NewEntry
from retrain_pipeline.ledger.errors import StaleEpoch
from retrain_pipeline.release.documents import documented
from retrain_pipeline.release.drills import rehearsed
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.moment import check_not_halted, unless_halted
from retrain_pipeline.release.permits import Permit, permit_or_wait
from retrain_pipeline.release.proof import checked_evidence, loadable, not_passed
from retrain_pipeline.release.stages import holdback_after, may_be_tried, stage
from retrain_pipeline.release.state import Deployment, current, utc_now
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores


@dataclass(frozen=True)
class ReleaseOutcome:
    """What a release did. `released` is False when the version was champion, or on trial, by the same evidence already.

    With declared stages it is on trial first: `stage` says in which.
    """

    released: bool
    deployment: Deployment
    epoch: int
    words: str
    stage: str | None = None


def newest_evidence(stores: "Stores", model: str, version: str) -> str:
    """Return the digest of the newest evidence on a version.

    Raises
    ------
    ReleaseRefused
        When it was never judged.
    """
    entry = stores.ledger.latest(model, "judged", version)
    if entry is None:
        raise ReleaseRefused(f"{model} {version}: it was never judged; judge it first (materialize {model}/evaluation)")
    return str(entry.payload["evidence"])


def release(
    stores: "Stores", declaration: "Declaration", version: str, *, evidence_digest: str, run_id: str | None, actor: str
) -> ReleaseOutcome:
    """Make a version champion, or put it on trial where stages are declared (`rollout`), if its evidence says so and
    the world is still that of the evidence.

    Releasing the version that is champion by the same evidence changes nothing and says so.

    Raises
    ------
    ReleaseRefused
        When the evidence is missing, damaged, not on record, or of something else; when a gate is missing or the
        verdict is not PASS; when the run was closed as failed; when policy or code are no longer those that judged;
        when the way back was not rehearsed; when what is written about the champion does not verify and
        `gates.documentation` asks that it does; when validators do not agree and nobody has resolved it; when somebody
        changed the deployment since (then a `superseded` entry is written); or when the version does not load.
    ApprovalRefused
        When approval is required and nothing lets the version through (then an `awaiting_approval` entry is written).
    NotAllowed
        When `roles.yaml` does not let the actor release.
    """
    model = declaration.spec.name
    check(stores.ledger, actor, "release", model, version)
    evidence = checked_evidence(stores, declaration, version, evidence_digest)
    epoch, before = current(stores.ledger, model)
    if before is not None and (before.champion, before.evidence) == (version, evidence_digest):
        return ReleaseOutcome(False, before, epoch, f"{version} is champion by this evidence already")
    on = before.challenger if before is not None else None
    if before is not None and on is not None and (on.version, on.evidence) == (version, evidence_digest):
        return ReleaseOutcome(False, before, epoch, f"{version} is on trial by this evidence already", on.stage)
    _check_open(stores, model, version, run_id)
    check_not_halted(stores.ledger, model)
    _check_policy(declaration, evidence)
    if epoch != evidence.epoch:
        raise _superseded(stores, evidence, evidence_digest, epoch, before, run_id, actor)
    manifest = loadable(stores, declaration, evidence)
    if (way_back := rehearsed(stores.ledger, declaration.spec)).verdict is not Verdict.PASS:
        raise ReleaseRefused(f"{model} {version}: {way_back.words}")
    if (written := documented(stores.ledger, declaration.spec)).verdict is not Verdict.PASS:
        raise ReleaseRefused(f"{model} {version}: {written.words}")
    permit = permit_or_wait(stores, declaration, evidence, evidence_digest, manifest, run_id, actor)
    permit = unless_halted(stores.ledger, model, permit)
    try:
        if declaration.spec.rollout.staged and before is not None:
            tried = stage(stores, declaration.spec, evidence, evidence_digest, manifest, before, permit, run_id, actor)
            words = f"{version} is on trial beside {before.champion}"
            return ReleaseOutcome(True, tried, epoch + 1, words, tried.challenger.stage if tried.challenger else None)
        state = _state(declaration, manifest, evidence, evidence_digest, before)
        entry = stores.ledger.change_deployment(
            model,
            evidence.epoch,
            state.to_state(),
            _released(state, manifest, evidence, permit, run_id, actor),
            just_before=permit.check,
        )
    except StaleEpoch as stale:
        _, winner = current(stores.ledger, model)
        raise _superseded(stores, evidence, evidence_digest, stale.found, winner, run_id, actor) from stale
    words = f"{version} is champion after {state.previous or 'nobody'}"
    return ReleaseOutcome(True, Deployment.from_state(entry.payload["deployment"]["state"]), entry.epoch or 0, words)


def _check_open(stores: "Stores", model: str, version: str, run_id: str | None) -> None:
    """Refuse a run that was closed as failed or dead: what asked for it may have been answered by another since."""
    closed = run_id and stores.ledger.entries(model=model, action="retrain_failed", run_id=run_id, limit=1)
    if closed:
        raise ReleaseRefused(
            f"{model} {version}: run {run_id} was closed as failed (entry {closed[0].seq}: "
            f"{closed[0].payload.get('reason')}) and may not release; materialize {model}/release in a new run"
        )


def _check_policy(declaration: "Declaration", evidence: Evidence) -> None:
    from retrain_pipeline.learning.environment import code_revision

    what = f"{evidence.model} {evidence.version}"
    if (now := policy_digest(declaration.spec)) != evidence.policy:
        raise ReleaseRefused(
            f"{what}: judged under policy {evidence.policy[:12]}, the declaration now says {now[:12]} "
            "(gates, problem.success or rollout were edited); judge it again"
        )
    if decision_digests(declaration.folder) != evidence.decisions:
        raise ReleaseRefused(f"{what}: decision files were edited since it was judged; judge it again")
    commit = code_revision(declaration.folder)[0].commit
    if commit != evidence.code.commit:
        raise ReleaseRefused(f"{what}: judged by code {evidence.code.commit}, this is {commit}; judge it again")


def _state(
    declaration: "Declaration", manifest: "VersionManifest", evidence: Evidence, digest: str, before: Deployment | None
) -> Deployment:
    as_of = datetime.fromisoformat(manifest.as_of)
    return Deployment(
        model=manifest.model,
        champion=manifest.version,
        previous=before.champion if before else None,
        manifest=evidence.manifest,
        previous_manifest=before.manifest if before else None,
        evidence=digest,
        feature_code=manifest.feature_code_digest,
        spec=manifest.spec_digest,
        effective_as_of=manifest.as_of,
        released_at=utc_now(),
        holdback=holdback_after(declaration.spec, before, evidence.epoch, as_of),
        collection=declaration.spec.collection_digest,
    )


def _released(
    state: Deployment, manifest: "VersionManifest", evidence: Evidence, permit: Permit, run_id: str | None, actor: str
) -> NewEntry:
    loss = evidence.validated_loss
    return NewEntry(
        actor=actor,
        action="released",
        model=state.model,
        subject=state.champion,
        payload={
            "version": state.champion,
            "evidence": state.evidence,
            "previous": state.previous,
            "as_of": state.effective_as_of,
            "trigger": manifest.trigger.model_dump(mode="json"),
            "mode": evidence.mode,
            "validated_loss": loss.model_dump(mode="json") if loss else None,
            "manifest": state.manifest,
            "permit": permit.payload,
        },
        run_id=run_id,
        # The epoch is part of it: a version that was rolled back and judged anew is another release.
        key=f"released:{state.model}:{evidence.epoch}:{state.evidence}",
    )


def _superseded(
    stores: "Stores",
    evidence: Evidence,
    digest: str,
    epoch: int,
    found: Deployment | None,
    run_id: str | None,
    actor: str,
) -> ReleaseRefused:
    """Enter that somebody else was first, and return the refusal that names both."""
    champion = found.champion if found else "nobody"
    words = (
        f"{evidence.version} was judged at epoch {evidence.epoch} against {evidence.champion or 'nobody'}, "
        f"but the deployment is at epoch {epoch} with {champion}"
    )
    stores.ledger.append(
        NewEntry(
            actor=actor,
            action="superseded",
            model=evidence.model,
            subject=evidence.version,
            payload={
                "evidence": digest,
                "judged_epoch": evidence.epoch,
                "found_epoch": epoch,
                "champion": champion,
                "words": words,
            },
            run_id=run_id,
            key=f"superseded:{evidence.model}:{digest}:{epoch}:{run_id or ''}",
        )
    )
    return ReleaseRefused(f"{evidence.model}: {words}; judge it against the champion of now")


def reject(
    stores: "Stores", declaration: "Declaration", version: str, *, evidence_digest: str, run_id: str | None, actor: str
) -> Entry:
    """Enter that a candidate did not pass: the terminal entry of its retrain, with the gates that stopped it.

    Raises
    ------
    ReleaseRefused
        When the evidence passes (release it), or is of another version.
    """
    model = declaration.spec.name
    try:
        evidence = read_evidence(stores.artifacts, evidence_digest)
    except EvidenceRefused as error:
        raise ReleaseRefused(f"{model} {version}: {error}") from error
    if (evidence.model, evidence.version) != (model, version):
        raise ReleaseRefused(f"{model} {version}: the evidence is of {evidence.model} {evidence.version}")
    if evidence.verdict is Verdict.PASS or may_be_tried(declaration.spec, evidence):
        words = "the evidence passes, or lets it go to trial; there is nothing to reject"
        raise ReleaseRefused(f"{model} {version}: {words}")
    payload: dict[str, Any] = {
        "version": version,
        "evidence": evidence_digest,
        "verdict": evidence.verdict.value,
        "failed": _gates(evidence, Verdict.FAIL),
        "inconclusive": _gates(evidence, Verdict.INCONCLUSIVE),
        "words": not_passed(evidence)[:4000],
    }
    return stores.ledger.append(
        NewEntry(
            actor=actor,
            action="rejected",
            model=model,
            subject=version,
            payload=payload,
            run_id=run_id,
            epoch=evidence.epoch,
            key=f"rejected:{model}:{evidence_digest}:{run_id or ''}",
        )
    )


def close_failed(stores: "Stores", model: str, run_id: str, reason: str, *, actor: str) -> Entry | None:
    """Enter that a retrain ended without a verdict, unless it has its terminal entry already."""
    from retrain_pipeline.triggers.retrain import close_retrain

    return close_retrain(stores.ledger, model, run_id, reason, actor)


def _gates(evidence: Evidence, verdict: Verdict) -> list[str]:
    return [result.gate for result in evidence.results if result.verdict is verdict]
