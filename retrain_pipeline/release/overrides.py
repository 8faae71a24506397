"""Break-glass: a person lets a version through without an approval. It is loud, it ends, a second person reviews it.

An override stands in for the approval only. Gates, bytes, code and epoch are asked for all the same: who needs a model
that no gate passes needs a rollback, not a release.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.governance.roles import check, is_person, note_refusal, project_roles, same_person
from retrain_pipeline.ledger.entries import Entry, NewEntry
from retrain_pipeline.release.approvals import ENTERED, MIN_REASON, speaker
from retrain_pipeline.release.errors import ApprovalRefused

if TYPE_CHECKING:
    from retrain_pipeline.ledger.signing import SigningKey
    from retrain_pipeline.ledger.store import Ledger

REVIEWED = "override_reviewed"


def unreviewed(ledger: "Ledger", model: str | None = None) -> list[Entry]:
    """Return the overrides that nobody has reviewed, used or not, lapsed or not, oldest first."""
    reviewed = {entry.payload["of_seq"] for entry in ledger.entries(model=model, action=REVIEWED)}
    granted = ledger.entries(model=model, action=ENTERED["override"])
    return [entry for entry in granted if entry.seq not in reviewed]


def review(
    ledger: "Ledger", model: str, seq: int | None, *, actor: str, key: "SigningKey | None", because: str
) -> Entry:
    """Enter a second person's review of an override, by default of the model's oldest that has none.

    Raises
    ------
    NotAllowed
        When the reviewer has no role for it, is no person, or is who overrode; the attempt is an entry.
    ApprovalRefused
        When there is nothing to review, or no reason.
    """
    because, roles = " ".join(because.split()), project_roles()
    if len(because) < MIN_REASON:
        raise ApprovalRefused(f"{model}: say what you found, in at least {MIN_REASON} characters (because)")
    waiting = unreviewed(ledger, model)
    found = next((entry for entry in waiting if seq in (None, entry.seq)), None)
    if found is None:
        known = ", ".join(str(entry.seq) for entry in waiting) or "none"
        asked = "override" if seq is None else f"override {seq}"
        raise ApprovalRefused(f"{model}: no {asked} waits for a review; waiting: {known}")
    actor = speaker(ledger, model, actor, key, roles)
    granted = check(ledger, actor, "review_override", model, found.subject)
    if not is_person(actor) or same_person(roles, actor, found.actor):
        words = f"review of override {found.seq} of {model} refused to {actor}: {found.actor} made it"
        note_refusal(ledger, actor, "review_override", model, found.subject, words, roles)
        raise NotAllowed(words)
    payload = {"of_seq": found.seq, "by": found.actor, "because": because[:1000], **granted.payload()}
    new = NewEntry(actor, REVIEWED, model, found.subject, payload, key=f"{REVIEWED}:{found.seq}")
    return ledger.append(new)


def banner(ledger: "Ledger", now: datetime | None = None) -> list[str]:
    """Return a line for each override that waits for its review."""
    now = now or datetime.now(UTC)
    lines = []
    for entry in unreviewed(ledger):
        ends = datetime.fromisoformat(entry.payload["expires_at"])
        until = f"until {ends:%F %H:%M} UTC" if now < ends else f"lapsed {ends:%F %H:%M} UTC"
        lines.append(
            f"OVERRIDE {entry.seq} of {entry.model} {entry.subject} by {entry.actor}, {until}, not reviewed: "
            f"{entry.payload['because']}"
        )
    return lines
