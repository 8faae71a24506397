"""Dissent: a person's objection to a version, kept beside the decision whatever is decided."""

from typing import TYPE_CHECKING

from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.governance.roles import is_person
from retrain_pipeline.ledger.entries import Entry, NewEntry
from retrain_pipeline.release.approvals import MIN_REASON
from retrain_pipeline.release.errors import ApprovalRefused

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger

DISSENTED = "dissented"


def dissent(ledger: "Ledger", model: str, version: str, *, because: str, actor: str) -> Entry:
    """Enter an objection to a version. It needs no role, cannot be taken back, and takes the version out of the plan.

    Raises
    ------
    NotAllowed
        When a machine objects: gates are for that.
    ApprovalRefused
        Without a reason, or when the ledger knows no such version.
    """
    reason = " ".join(because.split())
    if len(reason) < MIN_REASON:
        raise ApprovalRefused(f"{model} {version}: say why, in at least {MIN_REASON} characters (because)")
    if not is_person(actor):
        raise NotAllowed(f"{actor} is no person: objections are people's")
    if not ledger.entries(model=model, subject=version, limit=1):
        raise ApprovalRefused(f"{model}: the ledger knows no version {version!r:.80}; see retrain history {model}")
    return ledger.append(NewEntry(actor, DISSENTED, model, version, {"because": reason[:1000]}))


def objections(ledger: "Ledger", model: str, version: str) -> list[Entry]:
    """Return the objections to a version, oldest first."""
    return ledger.entries(model=model, action=DISSENTED, subject=version)
