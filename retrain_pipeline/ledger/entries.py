"""What the ledger holds: entries in a hash chain, and one deployment row a model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from retrain_pipeline.canonical import NotCanonical, canonical_json, sha256
from retrain_pipeline.ledger.errors import EntryRefused, LedgerDamaged
from retrain_pipeline.names import check_name

FIRST_PREV = "0" * 64
"""The `prev_sha256` of the first entry."""

DEPLOYMENT = "deployment"
"""The payload key that only a change of the deployment writes: its new epoch, state and digest of the state."""

SIGNED_BY = "signed_by"
"""The payload key that only the ledger writes: the id of the key that signs the entry. It is inside the digest, so a
signature that is taken away is missed."""

_LONGEST_TEXT = 500
# Bytes belong into the artifacts and are named here by digest: reading a fleet's entries must stay cheap.
_LARGEST_PAYLOAD = 1 << 20
_SAFE_INTEGER = 1 << 53


class Head(NamedTuple):
    """The newest entry of a chain. Kept outside the ledger, it is an anchor that a rewritten chain cannot meet."""

    seq: int
    sha256: str


@dataclass(frozen=True)
class NewEntry:
    """What somebody did, before the ledger gives it a place.

    `key` makes the entry idempotent: the same key again returns the first entry and writes nothing. `epoch` is the
    deployment epoch that the actor saw; a change of the deployment sets it to the new epoch.
    """

    actor: str
    action: str
    model: str | None = None
    subject: str | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    epoch: int | None = None
    key: str | None = None


@dataclass(frozen=True)
class Entry:
    """One link of the chain. Order is `seq`; clocks may jump, so `at_utc` is for people."""

    seq: int
    prev_sha256: str
    at_utc: str
    mono_ns: int
    actor: str
    action: str
    model: str | None
    subject: str | None
    payload: dict[str, Any]
    run_id: str | None
    epoch: int | None
    sha256: str
    key: str = ""


@dataclass(frozen=True)
class DeploymentRow:
    """The deployment state of a model, and the entry that made it so. Epochs count from 1; 0 is "never deployed"."""

    model: str
    epoch: int
    state: dict[str, Any]
    state_digest: str
    changed_by_seq: int


def read_json(text: str) -> Any:
    """Return the value of canonical JSON text so that it has the same canonical text again.

    RFC 8785 spells the float 1e20 as an integer, and refuses integers beyond 2**53: those come back as floats.

    Examples
    --------
    >>> read_json('{"loss":100000000000000000000,"rows":3}')
    {'loss': 1e+20, 'rows': 3}
    """

    def number(digits: str) -> int | float:
        return int(digits) if len(digits) < 17 and abs(int(digits)) < _SAFE_INTEGER else float(digits)

    try:
        return json.loads(text, parse_int=number)
    except (ValueError, TypeError, RecursionError) as error:
        raise NotCanonical(f"not JSON: {error}") from error


def write_json(value: Any, what: str) -> str:
    """Return the canonical text of a payload or state.

    Raises
    ------
    EntryRefused
        When it is no JSON object, or larger than a mebibyte.
    """
    if not isinstance(value, Mapping):
        raise EntryRefused(f"{what}: expected a JSON object, got {type(value).__name__}")
    try:
        data = canonical_json(dict(value))
    except (NotCanonical, UnicodeEncodeError) as error:
        raise EntryRefused(f"{what}: {error}") from error
    if len(data) > _LARGEST_PAYLOAD:
        raise EntryRefused(f"{what}: {len(data)} bytes; put it into the artifacts and name its digest here")
    return data.decode()


def check_entry(new: NewEntry) -> None:
    """Refuse texts that could forge a line of a log, and the two payload keys that are not the caller's.

    Raises
    ------
    EntryRefused, NameRefused
        With the name of the field.
    """
    if new.model is not None:
        check_name(new.model, "model")
    for name in ("actor", "action", "subject", "run_id", "key"):
        text = getattr(new, name)
        if text is None and name not in ("actor", "action"):
            continue
        if not isinstance(text, str) or not text.isprintable() or not 0 < len(text) <= _LONGEST_TEXT:
            raise EntryRefused(f"{name} {text!r:.80}: expected 1 to {_LONGEST_TEXT} printable characters")
    if new.epoch is not None and not 0 <= new.epoch < _SAFE_INTEGER:
        raise EntryRefused(f"epoch {new.epoch}: expected a whole number from 0")
    for name, writer in ((DEPLOYMENT, "change_deployment"), (SIGNED_BY, "the ledger")):
        if name in new.payload:
            raise EntryRefused(f"payload key {name!r} is written by {writer} only")


def chain_digest(row: Mapping[Any, Any]) -> str:
    """Return the SHA-256 of an entry: of the canonical JSON of all it holds, its payload by digest, and of its place.

    Parameters
    ----------
    row
        The stored columns. `mono_ns` is hashed as text: a machine that is up for 104 days counts beyond 2**53.

    Raises
    ------
    NotCanonical
        When a column holds what no entry has: bytes, half of a surrogate pair.
    """
    return sha256(
        _canonical_columns(
            {
                "seq": row["seq"],
                "prev_sha256": row["prev_sha256"],
                "at_utc": row["at_utc"],
                "mono_ns": str(row["mono_ns"]),
                "actor": row["actor"],
                "action": row["action"],
                "model": row["model"],
                "subject": row["subject"],
                "payload_sha256": sha256(row["payload"].encode()),
                "run_id": row["run_id"],
                "epoch": row["epoch"],
                "key": row["key"],
            }
        )
    )


def _canonical_columns(columns: Mapping[str, Any]) -> bytes:
    """Return the canonical JSON of columns: texts, whole numbers and nulls under ASCII names.

    Of these `json` writes what RFC 8785 asks for, in a fraction of the time; and every entry is hashed at every read.
    """
    try:
        return json.dumps(columns, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise NotCanonical(f"not canonical JSON: {error}") from error


def as_entry(row: Mapping[Any, Any]) -> Entry:
    """Return the entry that a stored row holds, hashed again: nobody decides on an edited entry.

    Raises
    ------
    LedgerDamaged
        When the row is not what was written.
    """
    try:
        payload = read_json(row["payload"])
        if chain_digest(row) == row["sha256"] and isinstance(payload, dict):
            return Entry(**{**row, "payload": payload})
    except (NotCanonical, AttributeError):  # a number or bytes where a text was
        pass
    raise LedgerDamaged(f"entry {row['seq']} was edited; run verify, and restore the ledger from a backup")


def deployment_made_by(seq: int, epoch: int | None, model: str | None, payload: Any) -> DeploymentRow | None:
    """Return the deployment that an entry made, if it made one.

    Raises
    ------
    LedgerDamaged
        When the payload is none that this project writes.
    """
    try:
        change = payload.get(DEPLOYMENT)
        if change is None:
            return None
        made = DeploymentRow(str(model), change["epoch"], change["state"], change["state_sha256"], seq)
    except (AttributeError, TypeError, KeyError) as error:
        raise LedgerDamaged(f"entry {seq} was forged: its payload is none that this project writes") from error
    if made.epoch != epoch or not isinstance(epoch, int):
        raise LedgerDamaged(f"entry {seq} was forged: it is of epoch {epoch} and makes epoch {made.epoch}")
    return made
