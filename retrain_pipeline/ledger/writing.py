"""Inside one write transaction: lock the head, look at what is there, add a link."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.canonical import sha256
from retrain_pipeline.ledger.entries import (
    DEPLOYMENT,
    SIGNED_BY,
    Entry,
    NewEntry,
    as_entry,
    chain_digest,
    read_json,
    write_json,
)
from retrain_pipeline.ledger.errors import KeyReused, LedgerDamaged, SignatureNeeded, StaleEpoch
from retrain_pipeline.ledger.schema import tables
from retrain_pipeline.ledger.signatures import SIGNING_ENDED, entry_statement
from retrain_pipeline.ledger.signing import ENTRY

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

    from retrain_pipeline.ledger.signing import SigningKey


@dataclass(frozen=True)
class Change:
    """The new deployment of a model, decided when the old one was at `expected_epoch`."""

    model: str
    expected_epoch: int
    state: str
    """Canonical JSON."""
    just_before: Callable[[], None] | None = None
    """Asked when nobody else can write any more, right before the change is made; what it raises stops the change."""

    @property
    def epoch(self) -> int:
        """The epoch that the change makes."""
        return self.expected_epoch + 1

    @property
    def state_digest(self) -> str:
        """SHA-256 of the state."""
        return sha256(self.state.encode())

    def as_columns(self, seq: int) -> dict[str, Any]:
        """The deployment row that entry `seq` makes."""
        return {"epoch": self.epoch, "state": self.state, "state_digest": self.state_digest, "changed_by_seq": seq}

    def recorded(self) -> dict[str, Any]:
        """What the entry says about it; enough to rebuild the row."""
        return {"epoch": self.epoch, "state": read_json(self.state), "state_sha256": self.state_digest}


def payload_of(new: NewEntry, change: Change | None, signer: "SigningKey | None" = None) -> str:
    """Return the canonical payload of an entry, with the deployment that it makes and the key that signs it."""
    payload = dict(new.payload) if change is None else {**new.payload, DEPLOYMENT: change.recorded()}
    if signer is not None:
        payload[SIGNED_BY] = signer.id
    return write_json(payload, f"payload of {new.action}")


def record(
    conn: "Connection",
    new: NewEntry,
    key: str,
    payload: str,
    change: Change | None,
    signer: "SigningKey | None" = None,
) -> Entry:
    """Add an entry, signed where there is a key, and change the deployment with it.

    Raises
    ------
    StaleEpoch
        When the deployment has moved on since the change was decided.
    KeyReused
        When the key belongs to an entry of another kind.
    SignatureNeeded
        When the entries before it are signed and there is no key.
    """
    from sqlalchemy import insert, select, update

    known = tables()
    head = locked_head(conn)
    earlier = conn.execute(select(known.entry).where(known.entry.c.key == key)).mappings().first()
    if earlier is not None:
        return _same(as_entry(earlier), new, change)
    if signer is None:
        _check_unsigned(conn, head["seq"])
    if change is not None:
        _check_epoch(conn, change)
        if change.just_before is not None:
            change.just_before()
    row = {
        "seq": head["seq"] + 1,
        "prev_sha256": head["sha256"],
        "at_utc": datetime.now(UTC).isoformat(timespec="microseconds"),
        "mono_ns": time.monotonic_ns(),
        "actor": new.actor,
        "action": new.action,
        "model": new.model,
        "subject": new.subject,
        "payload": payload,
        "run_id": new.run_id,
        "epoch": new.epoch if change is None else change.epoch,
        "key": key,
    }
    row["sha256"] = chain_digest(row)
    conn.execute(insert(known.entry).values(row))
    conn.execute(update(known.head).values(seq=row["seq"], sha256=row["sha256"]))
    if signer is not None:
        signature = signer.sign(ENTRY, entry_statement(row["sha256"]))
        conn.execute(insert(known.signature).values(seq=row["seq"], key_id=signer.id, signature=signature))
    if change is not None:
        put_deployment(conn, change.model, change.as_columns(row["seq"]))
    return as_entry(row)


def locked_head(conn: "Connection") -> "RowMapping":
    """Lock the one row that every writer locks (PostgreSQL; SQLite has one writer anyway) and return it."""
    from sqlalchemy import select

    head = conn.execute(select(tables().head).with_for_update()).mappings().first()
    if head is None:
        raise LedgerDamaged("the ledger lost its head row; run verify, and restore the ledger from a backup")
    return head


def _same(earlier: Entry, new: NewEntry, change: Change | None) -> Entry:
    kind = (earlier.action, earlier.model, DEPLOYMENT in earlier.payload)
    if kind != (new.action, new.model, change is not None):
        raise KeyReused(
            f"key {earlier.key!r} belongs to entry {earlier.seq} ({earlier.action} of {earlier.model}), "
            f"not to {new.action} of {new.model}; build the key from what is done and to what"
        )
    return earlier


def _check_unsigned(conn: "Connection", last: int) -> None:
    """Refuse an unsigned entry behind a signed one: a look at the last is enough, since all after it are signed."""
    from sqlalchemy import select

    entry, signature = tables().entry, tables().signature
    joined = select(entry.c.action).join(signature, signature.c.seq == entry.c.seq).where(entry.c.seq == last)
    action = conn.execute(joined).scalar()
    if action is not None and action != SIGNING_ENDED:
        raise SignatureNeeded(
            f"entry {last} is signed, and so must be what follows: set RETRAIN_LEDGER_KEY to the file of a key of the "
            "keyring (or end signing with a signed entry: retrain ledger end-signing)"
        )


def _check_epoch(conn: "Connection", change: Change) -> None:
    from sqlalchemy import select

    deployment = tables().deployment
    found = conn.execute(select(deployment.c.epoch).where(deployment.c.model == change.model)).scalar() or 0
    if found != change.expected_epoch:
        raise StaleEpoch(change.model, change.expected_epoch, found)


def put_deployment(conn: "Connection", model: str, row: Mapping[str, Any]) -> None:
    """Write the deployment row of a model; the caller holds the head."""
    from sqlalchemy import insert, update

    deployment = tables().deployment
    if conn.execute(update(deployment).where(deployment.c.model == model).values(**row)).rowcount == 0:
        conn.execute(insert(deployment).values(model=model, **row))
