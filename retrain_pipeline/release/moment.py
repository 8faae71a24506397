"""What must hold at the very moment of a promotion: asked before it, and again inside its transaction."""

from dataclasses import replace
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import GateResult, read_evidence
from retrain_pipeline.governance.halting import disagreement, halted_words
from retrain_pipeline.release.errors import ReleaseRefused
from retrain_pipeline.release.lineage import STAGED
from retrain_pipeline.release.permits import Permit, check_policy_accepted, find_permit
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.ledger.store import Ledger
    from retrain_pipeline.release.state import Challenger
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores

PERMIT = "permit"


def check_not_halted(ledger: "Ledger", model: str) -> None:
    """Refuse while validators do not agree and no person has resolved it.

    Raises
    ------
    ReleaseRefused
        With the version that they do not agree on, and the mend.
    """
    if (found := disagreement(ledger, model)) is not None:
        raise ReleaseRefused(halted_words(found))


def unless_halted(ledger: "Ledger", model: str, permit: Permit) -> Permit:
    """Return a permit that also asks, in the transaction, whether promotions are halted."""

    def still() -> None:
        check_not_halted(ledger, model)
        permit.check()

    return replace(permit, still=still)


def promotion_permit(stores: "Stores", declaration: "Declaration", on: "Challenger") -> Permit:
    """Return what lets a version that is on trial become champion, by what holds now.

    What a person permitted when the trial began is asked for again: it may have lapsed since, its key or role may be
    gone, the approver may count as an author now, or the policy be another. The word that began the trial may end it,
    too; a newer one as well.

    Raises
    ------
    ApprovalRefused
        When nothing lets it through any more, with why.
    ReleaseRefused
        When promotions are halted.
    PermanentError
        When its evidence or manifest cannot be read.
    """
    from retrain_pipeline.learning.versions import read_manifest

    model = declaration.spec.name
    check_not_halted(stores.ledger, model)
    evidence, manifest = read_evidence(stores.artifacts, on.evidence), read_manifest(stores, model, on.version)
    staging = staging_of(stores.ledger, model, on.version)
    check_policy_accepted(stores, evidence)
    begun = staging.seq if staging is not None and staging.payload.get("evidence") == on.evidence else None
    permit = find_permit(stores, declaration, evidence, on.evidence, manifest, begun=begun)

    def still() -> None:
        check_policy_accepted(stores, evidence)
        permit.check()

    return unless_halted(stores.ledger, model, replace(permit, still=still))


def permitted(stores: "Stores", declaration: "Declaration", on: "Challenger") -> GateResult | None:
    """Judge whether a version on trial could become champion now; None where nobody is asked and nothing is halted."""
    spec = declaration.spec
    if spec.rollout.approval == "none" and disagreement(stores.ledger, spec.name) is None:
        return None
    try:
        permit = promotion_permit(stores, declaration, on)
    except PermanentError as refusal:
        words = f"it may not become champion now: {refusal}"
        return GateResult(gate=PERMIT, verdict=Verdict.INCONCLUSIVE, words=words[:2000])
    by = f" of {permit.payload['by']} (entry {permit.payload['seq']})" if "by" in permit.payload else ""
    return GateResult(gate=PERMIT, verdict=Verdict.PASS, words=f"permitted now: {permit.payload['kind']}{by}")


def staging_of(ledger: "Ledger", model: str, version: str) -> "Entry | None":
    """Return the entry by which a retrain put a version on trial: how the trial ends is its outcome."""
    entries = ledger.entries(model=model, action=STAGED, subject=version)
    return next((entry for entry in reversed(entries) if "look" not in entry.payload), None)
