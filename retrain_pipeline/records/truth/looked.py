"""What an earlier look at the documents found well, on record: a run looks at what is new, an audit at everything.

Documents are stored by digest and never change, so one that was of its schema stays so. What may change is whether its
bytes are there, and that is what the weekly audit reads and hashes anew, all of it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.canonical import digest_of
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.records.truth.context import Context
    from retrain_pipeline.records.truth.verify import Verified
    from retrain_pipeline.stores import Stores

LOOKED = "documents_looked_at"
"""The action of the entry; its payload says up to which entry records are well, and whose frozen rows were hashed."""
_OF_RECORDS = ("schema", "placeholders", "protocol", "escaped")
"""Checks that look at records one by one."""


@dataclass(frozen=True)
class Looked:
    """What need not be read again."""

    until_seq: int = 0
    """Records up to this entry passed every check."""
    rows: frozenset[str] = frozenset()
    """Versions whose frozen rows hashed to what was frozen."""


NOTHING = Looked()


def looked_at(stores: "Stores", model: str) -> Looked:
    """Return what earlier looks found well; nothing where there was none."""
    newest = stores.ledger.latest(model, LOOKED)
    if newest is None:
        return NOTHING
    return Looked(int(newest.payload["until_seq"]), frozenset(newest.payload["rows"]))


def note_look(context: "Context", found: "Verified", *, actor: str, run_id: str | None) -> None:
    """Enter what was found well, where that is not what is on record; the rest is looked at again next time."""
    records_well = all(found.of(name).verdict is Verdict.PASS for name in _OF_RECORDS)
    until = max((one.seq for one in context.entries if one.action != LOOKED), default=0)
    now = Looked(
        until if records_well else context.looked.until_seq,
        frozenset(context.versions) if found.of("digests").verdict is Verdict.PASS else frozenset(),
    )
    if now == context.looked:
        return
    payload = {"until_seq": now.until_seq, "rows": sorted(now.rows)}
    key = f"{LOOKED}:{context.model}:{digest_of([payload, context.looked.until_seq, sorted(context.looked.rows)])}"
    context.stores.ledger.append(NewEntry(actor, LOOKED, context.model, None, payload, run_id, key=key))


def serving(stores: "Stores", model: str) -> tuple[str, ...]:
    """Return who may have to answer: the champion, the one before it, and the version on trial."""
    row = stores.ledger.deployment(model)
    if row is None:
        return ()
    trial = (row.state.get("challenger") or {}).get("version")
    return tuple(dict.fromkeys(str(one) for one in (row.state.get("previous"), row.state["champion"], trial) if one))
