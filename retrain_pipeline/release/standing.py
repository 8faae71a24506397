"""Whether a person's statement holds: at the moment of its use, by everything that it was bound to."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import ValidationError

from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.governance.roles import Roles, is_person, project_roles
from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.ledger.signatures import KEY_RETIRED
from retrain_pipeline.release.approvals import (
    ACTION_OF,
    APPROVAL_WITHDRAWN,
    ENTERED,
    LONGEST,
    PURPOSE,
    Statement,
    Subject,
    environment,
    first_digest,
)
from retrain_pipeline.release.errors import ApprovalRefused

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger

_TOLERANCE = timedelta(minutes=5)
"""By which the clocks of who grants and who uses may differ."""


@dataclass(frozen=True)
class Standing:
    """A statement that holds now, and the entry that it is."""

    statement: Statement
    entry: Entry


def standing(ledger: "Ledger", subject: Subject, now: datetime | None = None, *, begun: int | None = None) -> Standing:
    """Return the newest statement on a subject that holds now.

    Parameters
    ----------
    begun
        The entry that began what is to end now (a trial): it used the statement for the same thing.

    Raises
    ------
    ApprovalRefused
        When there is none, or none holds: with the reason of the newest.
    """
    entries = ledger.entries(model=subject.model, action=ENTERED[subject.kind], subject=subject.name, newest_first=True)
    reasons = []
    for entry in entries:
        try:
            return _holding(ledger, subject, entry, now or datetime.now(UTC), begun)
        except ApprovalRefused as refusal:
            reasons.append(str(refusal))
    words = reasons[0] if reasons else f"there is no {ENTERED[subject.kind].replace('_', ' ')} entry"
    raise ApprovalRefused(f"{subject.model} {subject.name}: {words}")


def _holding(ledger: "Ledger", subject: Subject, entry: Entry, now: datetime, begun: int | None) -> Standing:
    statement = read_statement(entry)
    roles = project_roles()
    _check_signed(ledger, entry, statement, roles)
    _check_bound(ledger, subject, statement)
    _check_not_withdrawn(ledger, entry, statement)
    _check_fresh(ledger, entry, statement, now, begun)
    try:
        if roles is not None:
            roles.role_for(statement.approver, ACTION_OF[subject.kind], subject.model, now)
    except NotAllowed as refusal:
        raise ApprovalRefused(f"entry {entry.seq}: {refusal}") from refusal
    if not is_person(statement.approver):
        raise ApprovalRefused(f"entry {entry.seq}: {statement.approver} is no person")
    if subject.kind != "override" and subject.authors.include(statement.approver, roles):
        raise ApprovalRefused(f"entry {entry.seq}: {statement.approver} is an author of the change")
    return Standing(statement, entry)


def read_statement(entry: Entry) -> Statement:
    """Return the statement of an entry.

    Raises
    ------
    ApprovalRefused
        When there is none in it.
    """
    try:
        return Statement.model_validate(entry.payload.get("statement"), strict=False)
    except ValidationError as error:
        raise ApprovalRefused(f"entry {entry.seq}: no statement: {error.errors()[0]['msg']}") from error


def _check_signed(ledger: "Ledger", entry: Entry, statement: Statement, roles: Roles | None) -> None:
    key_id, signature = entry.payload.get("key"), entry.payload.get("signature")
    where = f"entry {entry.seq}"
    if signature is None:
        if roles is None or not roles.unsigned_approvals:
            raise ApprovalRefused(f"{where}: it is not signed")
        return
    key = ledger.keyring().find(str(key_id))
    if key is None:
        raise ApprovalRefused(f"{where}: signed by key {key_id}, which is not in the keyring")
    if ledger.entries(action=KEY_RETIRED, subject=key.id, limit=1):
        raise ApprovalRefused(f"{where}: signed by key {key.name}, which is retired")
    if not key.signed(PURPOSE, statement.document(), str(signature)):
        raise ApprovalRefused(f"{where}: the signature is not that of key {key.name} on this statement")
    if key.owner != statement.approver:
        raise ApprovalRefused(f"{where}: {statement.approver}'s word, signed by the key of {key.owner}")


def _check_bound(ledger: "Ledger", subject: Subject, statement: Statement) -> None:
    wanted = {
        "kind": subject.kind,
        "model": subject.model,
        "subject": subject.name,
        "subject_digest": subject.digest,
        "evidence": subject.evidence,
        "environment": environment(),
        "ledger": first_digest(ledger),
        "policy": subject.policy,
    }
    for name, value in wanted.items():
        if (said := getattr(statement, name)) != value:
            raise ApprovalRefused(
                f"the approval is of another {name.replace('_', ' ')}: {said!s:.40}, now {value!s:.40}"
            )


def _check_not_withdrawn(ledger: "Ledger", entry: Entry, statement: Statement) -> None:
    if statement.kind != "release" or entry.model is None:
        return
    gone = ledger.latest(entry.model, APPROVAL_WITHDRAWN, entry.subject)
    if gone is not None and gone.seq > entry.seq:
        raise ApprovalRefused(f"entry {entry.seq}: it was withdrawn by {gone.actor} (entry {gone.seq})")


def _check_fresh(ledger: "Ledger", entry: Entry, statement: Statement, now: datetime, begun: int | None = None) -> None:
    granted, expires = (datetime.fromisoformat(text) for text in (statement.granted_at, statement.expires_at))
    if not granted - _TOLERANCE <= now < expires:
        raise ApprovalRefused(
            f"it holds from {statement.granted_at} until {statement.expires_at}, and it is {now:%F %T}"
        )
    if expires - granted > LONGEST[statement.kind]:
        raise ApprovalRefused(f"it was given until {statement.expires_at}: longer than a statement may hold")
    twins = ledger.entries(model=entry.model, action=tuple(ENTERED.values()))
    same = [one.seq for one in twins if (one.payload.get("statement") or {}).get("nonce") == statement.nonce]
    if same != [entry.seq]:
        raise ApprovalRefused(f"its nonce is in entries {', '.join(map(str, same))}: it was replayed")
    used = [
        one.seq
        for one in ledger.entries(model=entry.model, action=("released", "staged"))
        if (one.payload.get("permit") or {}).get("nonce") == statement.nonce and one.seq != begun
    ]
    if used and statement.kind != "plan":
        raise ApprovalRefused(f"entry {used[0]} used it already")
