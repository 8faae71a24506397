"""The retrains that came to a judgement, and who was compared with whom: read from the ledger."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from retrain_pipeline.ledger.entries import DEPLOYMENT, Entry
from retrain_pipeline.periods import as_utc

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger

BUILT_IN = "built-in"
"""The policy of retrains that name none."""
_MONITORED_BEFORE = 256


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A retrain that came to its judgement against a champion. `seq` is the entry that ended it."""

    seq: int
    version: str
    against: str
    """The champion that it replaced, or that stayed."""
    outcome: Literal["released", "rejected"]
    policy: str
    kind: str
    reasons: tuple[str, ...]
    as_of: datetime
    until: datetime | None
    """Where the next change of the deployment begins; None while there is none."""


def judged_retrains(ledger: "Ledger", model: str) -> list[Judged]:
    """Return the retrains of a model that a champion was compared in, the oldest first."""
    entries = ledger.entries(model=model, action=("released", "rejected", "withdrawn", "rolled_back"))
    started = {entry.run_id: entry.payload for entry in ledger.entries(model=model, action="retrain_started")}
    found: list[Judged] = []
    champion: str | None = None
    for entry in entries:
        asked = started.get(entry.payload.get("retrain_run") or entry.run_id, {})
        own = champion if entry.action in ("rejected", "withdrawn") else entry.payload.get("previous")
        as_of = entry.payload.get("as_of") or asked.get("as_of")
        if DEPLOYMENT in entry.payload:
            found = [_ended(one, _moment(ledger, entry)) for one in found]
            champion = entry.payload[DEPLOYMENT]["state"]["champion"]
        if entry.action == "rolled_back" or own is None or as_of is None:
            continue
        found.append(
            Judged(
                seq=entry.seq,
                version=str(entry.subject),
                against=str(own),
                outcome="released" if entry.action == "released" else "rejected",
                policy=str(asked.get("policy") or BUILT_IN),
                kind=str(asked.get("kind") or entry.payload.get("trigger", {}).get("kind", "manual")),
                reasons=tuple(asked.get("reasons", ())),
                as_of=as_utc(datetime.fromisoformat(as_of)),
                until=None,
            )
        )
    return found


def _ended(one: Judged, moment: datetime) -> Judged:
    return one if one.until is not None else replace(one, until=max(moment, one.as_of))


def _moment(ledger: "Ledger", change: Entry) -> datetime:
    """Return from when on a change of the deployment serves: a rollback has no data of its own, it comes after what
    was monitored before it."""
    released = change.payload if change.action == "released" else {}
    as_of = released.get("serves_from") or released.get("as_of")
    if as_of is None:
        monitored = ledger.entries(model=change.model, action="monitored", limit=_MONITORED_BEFORE, newest_first=True)
        before = [entry.payload["as_of"] for entry in monitored if entry.seq < change.seq]
        as_of = before[0] if before else change.payload[DEPLOYMENT]["state"]["effective_as_of"]
    return as_utc(datetime.fromisoformat(as_of))
