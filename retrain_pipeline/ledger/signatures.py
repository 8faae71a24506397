"""What a walk over the chain makes of signatures: who signed, who had to, and who may not any more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from retrain_pipeline.ledger.entries import SIGNED_BY
from retrain_pipeline.ledger.keyring import Keyring
from retrain_pipeline.ledger.signing import ENTRY

KEY_RETIRED, SIGNING_ENDED = "key_retired", "signing_ended"
"""Signed entries: the key in `subject` signs nothing after this; entries after this need no signature."""


def entry_statement(sha256: str) -> dict[str, Any]:
    """Return what the signature of an entry covers: its chain digest, and with it all that came before."""
    return {"sha256": sha256}


@dataclass
class SignatureWalk:
    """The state of a walk: once an entry is signed, all after it are, until a signed `signing_ended`."""

    keyring: Keyring
    report: Callable[[str], None]
    asked: bool = False
    signed: int = 0
    retired: set[str] = field(default_factory=set)

    def step(self, row: Mapping[Any, Any], payload: Any) -> None:
        """Look at the signature of the next entry, whose payload is believed (it has its digest)."""
        if row["seq"] == self.keyring.signs_from:
            self.asked = True
        promised = payload.get(SIGNED_BY) if isinstance(payload, dict) else None
        if promised is None and row["key_id"] is None:
            if self.asked:
                self.report(f"entry {row['seq']} is not signed, but signing had begun")
            return
        self.asked = True
        if (problem := self._problem(row, promised)) is not None:
            self.report(f"entry {row['seq']} {problem}")
            return
        self.signed += 1
        if row["action"] == KEY_RETIRED:
            self.retired.add(str(row["subject"]))
        if row["action"] == SIGNING_ENDED:
            self.asked = False

    def finish(self, last_seq: int) -> None:
        """Compare with what the keyring knows of the ledger."""
        begun = self.keyring.signs_from
        if begun is not None and last_seq < begun:
            self.report(f"the keyring says that entry {begun} is signed, but the chain ends with entry {last_seq}")

    def _problem(self, row: Mapping[Any, Any], promised: Any) -> str | None:
        if row["key_id"] is None:
            return f"says that key {promised} signed it, but its signature is missing"
        if row["key_id"] != promised:
            return f"has a signature of key {row['key_id']}, but says {promised or 'nobody'} signed it"
        key = self.keyring.find(promised)
        if key is None:
            return f"is signed by key {promised}, which is not in the keyring"
        if promised in self.retired:
            return f"is signed by key {key.name}, which was retired before"
        if not key.signed(ENTRY, entry_statement(row["sha256"]), row["signature"]):
            return f"has a signature that is not that of key {key.name}"
        return None
