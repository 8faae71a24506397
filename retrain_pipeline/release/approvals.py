"""Approvals: a person's signed word on one version, by one evidence, for one place, until a moment.

A statement binds the digests of what it approves, the environment, the ledger and the policy; who signed it, and in
which role. It is checked when it is used, and again inside the transaction that makes the version champion.
"""

import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from retrain_pipeline.gates.evidence import Digest, policy_digest
from retrain_pipeline.governance.errors import NotAllowed
from retrain_pipeline.governance.roles import Action, Roles, check, is_person, note_refusal, project_roles
from retrain_pipeline.ledger.entries import Entry, NewEntry
from retrain_pipeline.release.authors import Authors
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.strict import Strict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.signing import SigningKey
    from retrain_pipeline.ledger.store import Ledger
    from retrain_pipeline.spec.model import ModelSpec

PURPOSE = "retrain approval/1"
ENVIRONMENT = "RETRAIN_ENVIRONMENT"
"""Environment variable: what this deployment is called, for example ``production``."""
MIN_REASON, MAX_REASON = 10, 1000
"""Characters of a reason."""

Kind = Literal["release", "plan", "override"]
ENTERED: dict[Kind, str] = {"release": "approved", "plan": "plan_approved", "override": "override_granted"}
"""The action of the entry of each kind of statement."""
APPROVAL_WITHDRAWN = "approval_withdrawn"
"""The action of the entry after which the approvals of its version before it hold no more."""
ACTION_OF: dict[Kind, Action] = {"release": "approve", "plan": "approve", "override": "override"}
LONGEST: dict[Kind, timedelta] = {
    "release": timedelta(days=30),
    "plan": timedelta(days=366),
    "override": timedelta(hours=72),
}


class Statement(Strict):
    """What a person says, whole: this is what the signature covers."""

    schema_: Literal["approval/1"] = Field("approval/1", alias="schema", serialization_alias="schema")
    kind: Kind
    model: str
    subject: str
    """The version, or the id of the change plan."""
    subject_digest: Digest
    """Of the version's manifest, or of the change plan."""
    evidence: Digest | None
    environment: str
    ledger: Digest
    """Digest of the ledger's first entry: another ledger is another place."""
    policy: Digest
    roles: Digest | None
    approver: str
    role: str
    authors: tuple[str, ...]
    granted_at: str
    expires_at: str
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    because: str = Field(min_length=MIN_REASON, max_length=MAX_REASON)

    def document(self) -> dict[str, Any]:
        """Return the statement as JSON values."""
        return self.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class Subject:
    """What a statement is asked for or of: all that it must be bound to."""

    kind: Kind
    model: str
    name: str
    digest: str
    evidence: str | None
    policy: str
    authors: Authors

    @classmethod
    def of(cls, kind: Kind, spec: "ModelSpec", name: str, digest: str, evidence: str | None, by: Authors) -> "Subject":
        """Return the subject of a kind of statement on a model."""
        return cls(kind, spec.name, name, digest, evidence, policy_digest(spec), by)


def environment() -> str:
    """Return what this deployment is called; ``default`` where nobody named it."""
    return os.environ.get(ENVIRONMENT, "").strip() or "default"


def grant(
    ledger: "Ledger", subject: Subject, *, actor: str, key: "SigningKey | None", because: str, expires_hours: float
) -> Entry:
    """Enter a person's statement on a subject and return the entry.

    Parameters
    ----------
    actor
        Who says so. With a key it is the key's owner, whoever is logged in.
    key
        The person's private key. Without one the statement counts only where `roles.yaml` has `unsigned_approvals`.

    Raises
    ------
    NotAllowed
        When the person has no role for it, is no person, or made the change; the attempt is an entry.
    ApprovalRefused
        Without a reason or a signature, with a key of nobody, or for longer than a statement may hold.
    """
    because, roles = " ".join(because.split()), project_roles()
    if not MIN_REASON <= len(because) <= MAX_REASON:  # what is signed is never cut
        limits = f"at least {MIN_REASON} characters, at most {MAX_REASON}"
        raise ApprovalRefused(f"{subject.model}: give a reason of {limits} (because)")
    longest = LONGEST[subject.kind] // timedelta(hours=1)
    if not 0 < expires_hours <= longest:  # nor is NaN
        raise ApprovalRefused(f"{subject.model}: expires_hours {expires_hours}: more than 0, at most {longest}")
    actor = speaker(ledger, subject.model, actor, key, roles)
    action = ACTION_OF[subject.kind]
    granted = check(ledger, actor, action, subject.model, subject.name)
    _check_independent(ledger, subject, actor, action, roles)
    now = datetime.now(UTC)
    statement = Statement(
        kind=subject.kind,
        model=subject.model,
        subject=subject.name,
        subject_digest=subject.digest,
        evidence=subject.evidence,
        environment=environment(),
        ledger=first_digest(ledger),
        policy=subject.policy,
        roles=granted.policy,
        approver=actor,
        role=granted.role,
        authors=subject.authors.names,
        granted_at=now.isoformat(timespec="seconds"),
        expires_at=(now + timedelta(hours=expires_hours)).isoformat(timespec="seconds"),
        nonce=secrets.token_hex(16),
        because=because,
    )
    return enter(ledger, statement, key)


def enter(ledger: "Ledger", statement: Statement, key: "SigningKey | None") -> Entry:
    """Enter a statement, signed where there is a key."""
    payload = {
        "statement": statement.document(),
        "key": key.id if key else None,
        "signature": key.sign(PURPOSE, statement.document()) if key else None,
        "because": statement.because,
        "expires_at": statement.expires_at,
    }
    return ledger.append(
        NewEntry(
            actor=statement.approver,
            action=ENTERED[statement.kind],
            model=statement.model,
            subject=statement.subject,
            payload=payload,
            key=f"{ENTERED[statement.kind]}:{statement.nonce}",
        )
    )


def withdraw_approval(
    ledger: "Ledger", model: str, version: str, *, actor: str, key: "SigningKey | None", because: str
) -> Entry:
    """Enter that the approvals of a version that are on record hold no more; a newer one may be given.

    Whoever may approve may withdraw, their own word and others'.

    Raises
    ------
    NotAllowed
        When the person may not approve; the attempt is an entry.
    ApprovalRefused
        Without a reason, a signature where words are signed, or an approval to withdraw.
    """
    because, roles = " ".join(because.split()), project_roles()
    if len(because) < MIN_REASON:
        raise ApprovalRefused(f"{model}: give a reason of at least {MIN_REASON} characters (because)")
    given = ledger.latest(model, ENTERED["release"], version)
    if given is None:
        raise ApprovalRefused(f"{model} {version}: there is no approval to withdraw")
    actor = speaker(ledger, model, actor, key, roles)
    granted = check(ledger, actor, "approve", model, version)
    payload = {"because": because[:MAX_REASON], **granted.payload()}
    return ledger.append(NewEntry(actor, APPROVAL_WITHDRAWN, model, version, payload))


def speaker(ledger: "Ledger", model: str, actor: str, key: "SigningKey | None", roles: Roles | None) -> str:
    """Return who speaks: with a key its owner, whoever is logged in; without one the actor, where that counts.

    Raises
    ------
    ApprovalRefused
        Without a key where `roles.yaml` does not have `unsigned_approvals`, or with a key of nobody.
    """
    if key is not None:
        owner = ledger.keyring().find(key.id)
        if owner is None:
            raise ApprovalRefused(f"{model}: key {key.file} is not in the keyring; add it in a reviewed change")
        return owner.owner
    if roles is None or not roles.unsigned_approvals:
        raise ApprovalRefused(
            f"{model}: a person's word is signed: give your key (--key, RETRAIN_PERSON_KEY; `retrain keys new NAME` "
            "makes one), or set unsigned_approvals in roles.yaml and know that it proves nothing"
        )
    return actor


def _check_independent(ledger: "Ledger", subject: Subject, actor: str, action: Action, roles: Roles | None) -> None:
    """Refuse, on record, a machine's word and an author's approval. An override may be an author's: it is reviewed."""
    if not is_person(actor):
        words = f"{action} of {subject.model} refused to {actor}: only a person may"
    elif subject.kind != "override" and subject.authors.include(actor, roles):
        words = f"{action} of {subject.model} {subject.name} refused to {actor}: an author does not approve the change"
    else:
        return
    note_refusal(ledger, actor, action, subject.model, subject.name, words, roles)
    raise NotAllowed(words)


def first_digest(ledger: "Ledger") -> str:
    """Return the digest of the ledger's first entry."""
    first = ledger.entries(limit=1)
    if not first:
        raise ApprovalRefused(f"{ledger.place}: empty, so there is nothing to approve")
    return first[0].sha256
