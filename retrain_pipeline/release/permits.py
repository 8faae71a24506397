"""May this version be released, as far as people are concerned: by an approval, inside a plan, or over broken glass."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.governance.roles import check, project_roles
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.release import change_plan
from retrain_pipeline.release.approvals import MIN_REASON, Subject
from retrain_pipeline.release.authors import Authors, authors_of_file, authors_of_version
from retrain_pipeline.release.dissent import objections
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.release.overrides import unreviewed
from retrain_pipeline.release.standing import Standing, standing
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.gates.evidence import Evidence
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

POLICY_ACCEPTED = "policy_accepted"
AWAITING = "awaiting_approval"
"""The terminal entry of a retrain that passed and waits for a person."""


@dataclass(frozen=True)
class Permit:
    """Why a release may go ahead, and the question to ask again in its transaction."""

    payload: dict[str, Any]
    still: Callable[[], Any] | None = None

    def check(self) -> None:
        """Ask again.

        Raises
        ------
        ApprovalRefused
            When it does not hold any more.
        """
        if self.still is not None:
            self.still()


def version_subject(
    stores: "Stores", declaration: "Declaration", evidence: "Evidence", digest: str, manifest: "VersionManifest"
) -> Subject:
    """Return what an approval of a version must be bound to."""
    authors = authors_of_version(stores, declaration, manifest, evidence.champion)
    return Subject.of("release", declaration.spec, evidence.version, evidence.manifest, digest, authors)


def subject_that_waits(stores: "Stores", declaration: "Declaration", version: str = "") -> Subject:
    """Return what an approval of a version must be bound to, by its newest evidence; by default of the one that waits.

    Raises
    ------
    ApprovalRefused
        When none waits, or the evidence lets it be neither released nor tried: no approval makes a verdict another.
    """
    from retrain_pipeline.gates.evidence import read_evidence
    from retrain_pipeline.learning.versions import read_manifest
    from retrain_pipeline.release.stages import may_be_tried

    model = declaration.spec.name
    entry = stores.ledger.latest(model, "judged" if version else AWAITING, version or None)
    if entry is None or entry.subject is None:
        raise ApprovalRefused(
            f"{model} {version}: {'was never judged' if version else 'no version waits for an approval'}"
        )
    digest = str(entry.payload["evidence"])
    evidence = read_evidence(stores.artifacts, digest)
    if evidence.verdict is not Verdict.PASS and not may_be_tried(declaration.spec, evidence):
        words = f"{model} {entry.subject}: the verdict is {evidence.verdict}, and no approval makes it another"
        raise ApprovalRefused(f"{words}; see retrain explain {model} {entry.subject}")
    return version_subject(stores, declaration, evidence, digest, read_manifest(stores, model, entry.subject))


def override_subject(declaration: "Declaration", evidence: "Evidence", digest: str) -> Subject:
    """Return what an override must be bound to. Who wrote the change does not matter: a second person reviews it."""
    return Subject.of("override", declaration.spec, evidence.version, evidence.manifest, digest, Authors(()))


def plan_subject(declaration: "Declaration", plan: change_plan.ChangePlan) -> Subject:
    """Return what the approval of a change plan must be bound to."""
    authors = authors_of_file(declaration.folder / change_plan.FILE, declaration.spec.owners)
    return Subject.of("plan", declaration.spec, plan.id, plan.digest, None, authors)


def find_permit(
    stores: "Stores",
    declaration: "Declaration",
    evidence: "Evidence",
    digest: str,
    manifest: "VersionManifest",
    *,
    begun: int | None = None,
) -> Permit:
    """Return what lets a version through: nothing is needed, an approval, the change plan, an override; in this order.

    `begun` is the entry that put it on trial, where a trial is to end: what was used there may be used for this.

    Raises
    ------
    ApprovalRefused
        When nothing does, with why each does not.
    """
    if declaration.spec.rollout.approval == "none":
        return Permit({"kind": "none"})
    ways: dict[str, Callable[[], Permit]] = {
        "no approval": lambda: _by_statement(
            stores, version_subject(stores, declaration, evidence, digest, manifest), begun
        ),
        "outside the change plan": lambda: _by_plan(stores, declaration, manifest),
        "no override": lambda: _by_statement(stores, override_subject(declaration, evidence, digest), begun),
    }
    reasons, against = [], objections(stores.ledger, evidence.model, evidence.version)
    for words, way in ways.items():
        try:
            permit = way()
            return replace(permit, payload={**permit.payload, "dissent": [one.seq for one in against]})
        except ApprovalRefused as refusal:
            reasons.append(f"{words}: {refusal}")
    raise ApprovalRefused(
        f"{evidence.model} {evidence.version}: approval is required (rollout.approval); {'; '.join(reasons)}; "
        f"a person decides: retrain approve {evidence.model} {evidence.version} --because …"
    )


def permit_or_wait(
    stores: "Stores",
    declaration: "Declaration",
    evidence: "Evidence",
    digest: str,
    manifest: "VersionManifest",
    run_id: str | None,
    actor: str,
) -> Permit:
    """Return what lets the version through; else enter that it passed and waits for a person, and refuse.

    What was judged at an epoch that is over waits for nobody.

    Raises
    ------
    ApprovalRefused
        As `find_permit` and `check_policy_accepted`.
    """
    try:
        check_policy_accepted(stores, evidence)
        return find_permit(stores, declaration, evidence, digest, manifest)
    except ApprovalRefused as refusal:
        row = stores.ledger.deployment(evidence.model)
        # Where the deployment moved on meanwhile, another run may have used the approval: nobody is waited for.
        if (row.epoch if row is not None else 0) == evidence.epoch:
            _note_awaiting(stores, evidence, digest, str(refusal), run_id, actor)
        raise


def _note_awaiting(
    stores: "Stores", evidence: "Evidence", digest: str, words: str, run_id: str | None, actor: str
) -> None:
    stores.ledger.append(
        NewEntry(
            actor=actor,
            action=AWAITING,
            model=evidence.model,
            subject=evidence.version,
            payload={"evidence": digest, "manifest": evidence.manifest, "words": words[:2000]},
            run_id=run_id,
            key=f"{AWAITING}:{evidence.model}:{digest}:{run_id or ''}",
        )
    )


def _by_statement(stores: "Stores", subject: Subject, begun: int | None) -> Permit:
    def holds() -> Standing:
        return standing(stores.ledger, subject, begun=begun)

    found = holds()
    said = found.statement
    payload = {
        "kind": subject.kind,
        "seq": found.entry.seq,
        "nonce": said.nonce,
        "by": said.approver,
        "role": said.role,
    }
    return Permit(payload, holds)


def _by_plan(stores: "Stores", declaration: "Declaration", manifest: "VersionManifest") -> Permit:
    model = declaration.spec.name
    plan = change_plan.read_plan(declaration.folder)
    if plan is None:
        raise ApprovalRefused(f"{model}: there is no {change_plan.FILE}")
    subject = plan_subject(declaration, plan)

    def holds() -> tuple[Standing, change_plan.Anchor]:
        if against := objections(stores.ledger, model, manifest.version):
            raise ApprovalRefused(f"{against[0].actor} objected (entry {against[0].seq}); a person decides")
        if waiting := unreviewed(stores.ledger, model):
            raise ApprovalRefused(f"override {waiting[0].seq} waits for its review; until then a person decides")
        found, anchor = standing(stores.ledger, subject), change_plan.anchor_of(stores.ledger, model)
        change_plan.check_limits(plan, anchor, datetime.now(UTC))
        return found, anchor

    found, anchor = holds()
    excess = change_plan.check_covered(stores, declaration, plan, anchor, manifest)

    def still() -> None:
        if holds()[1].version != anchor.version:
            raise ApprovalRefused(f"{model}: the anchor moved meanwhile; release again")

    payload = {"kind": "plan", "seq": found.entry.seq, "plan": plan.id, "digest": plan.digest, "anchor": anchor.version}
    return Permit({**payload, "step": anchor.automatic + 1, "excess_loss": excess}, still)


def accept_policy(stores: "Stores", declaration: "Declaration", because: str, actor: str) -> str:
    """Enter that somebody who may change it accepts the declared policy of a model; return its digest.

    Raises
    ------
    NotAllowed
        When they have no role for it; the attempt is an entry.
    ApprovalRefused
        Without a reason.
    """
    from retrain_pipeline.gates.evidence import policy_digest

    spec, reason = declaration.spec, " ".join(because.split())
    if len(reason) < MIN_REASON:
        raise ApprovalRefused(f"{spec.name}: give a reason of at least {MIN_REASON} characters (because)")
    digest = policy_digest(spec)
    granted = check(stores.ledger, actor, "change_policy", spec.name, digest)
    payload = {"because": reason[:1000], **granted.payload()}
    stores.ledger.append(NewEntry(actor, POLICY_ACCEPTED, spec.name, digest, payload))
    return digest


def check_policy_accepted(stores: "Stores", evidence: "Evidence") -> None:
    """Refuse a version judged by another policy than the last one released, unless it was accepted by who may.

    Without a roles file nobody was named for it, and the change's review in git is all there is.

    Raises
    ------
    ApprovalRefused
        With the command.
    """
    from retrain_pipeline.gates.evidence import read_evidence

    released = stores.ledger.latest(evidence.model, "released")
    if project_roles() is None or released is None:
        return
    if read_evidence(stores.artifacts, str(released.payload["evidence"])).policy == evidence.policy:
        return
    accepted = stores.ledger.entries(model=evidence.model, action=POLICY_ACCEPTED, subject=evidence.policy, limit=1)
    if not accepted:
        raise ApprovalRefused(
            f"{evidence.model} {evidence.version}: gates, success or rollout are declared otherwise than at the last "
            f"release, and nobody who may has accepted that: retrain accept-policy {evidence.model} --because …"
        )
