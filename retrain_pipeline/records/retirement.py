"""Retiring a version: it serves no more, its model's bytes may go, and a tombstone says what was there and why.

Manifest, evidence, card and records stay, so that whatever cites the version still finds what it cites.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import read_evidence
from retrain_pipeline.governance.roles import check
from retrain_pipeline.learning.versions import REGISTERED, RETIRED, read_manifest
from retrain_pipeline.ledger.entries import NewEntry
from retrain_pipeline.records.kinds.tombstone import Tombstone
from retrain_pipeline.records.record import Recorded, enter, records
from retrain_pipeline.release.change_plan import anchor_of
from retrain_pipeline.release.errors import ApprovalRefused
from retrain_pipeline.release.lineage import CHANGES, STAGED, WITHDRAWN, reigns, standing
from retrain_pipeline.release.state import Deployment

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.ledger.store import Ledger
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

MIN_REASON = 10
TARGETS = 5
"""Champions below the present one that a rollback may still go back to: who goes back further retrains instead."""
_DECIDED = ("rejected", "superseded", "withdrawn")
"""Entries after which the fate of a version is known; and any later change of the deployment ends what was judged
before it."""


class RetirementRefused(PermanentError):
    """A version that may not be retired: it serves, or something may go back to it."""


@dataclass(frozen=True)
class Due:
    """A version that serves nobody and never will, older than what is declared to be kept."""

    version: str
    periods: int
    size_bytes: int


@dataclass(frozen=True)
class Retired:
    """A tombstone on record, and whether the model's bytes were taken away now."""

    tombstone: Recorded
    entry: "Entry"
    removed: bool


def kept_versions(stores: "Stores", model: str) -> dict[str, str]:
    """Return the versions that may not be retired, each with what it is kept as."""
    ledger = stores.ledger
    kept: dict[str, str] = {}
    stack = [one.version for one in standing(reigns(ledger, model))]
    for version in stack[-1 - TARGETS : -1]:
        kept[version] = "a champion that a rollback may go back to"
    with suppress(ApprovalRefused):  # no person let a version through: there is none
        kept[anchor_of(ledger, model).version] = "the anchor that automatic releases are counted from"
    changed = ledger.latest(model, CHANGES)
    for entry in ledger.entries(model=model, action=REGISTERED, after_seq=changed.seq if changed else 0):
        if ledger.latest(model, _DECIDED, entry.subject) is None and not _failed(ledger, entry):
            kept[str(entry.subject)] = "a version that nothing is decided of yet"
    row = ledger.deployment(model)
    if row is not None:
        now = Deployment.from_state(row.state)
        roles = {
            "the champion before": now.previous,
            "the version on trial": now.challenger.version if now.challenger else None,
            "the holdback": now.holdback.version if now.holdback else None,
            "the champion": now.champion,
        }
        kept |= {version: words for words, version in roles.items() if version is not None}
        with suppress(PermanentError):  # evidence that is gone names nobody; judging says so itself
            held_to = read_evidence(stores.artifacts, now.evidence).next_anchor
            if held_to is not None:
                kept.setdefault(held_to, "the version that candidates are held to (docs/gates.md)")
    return kept


def due_for_retirement(stores: "Stores", spec: "ModelSpec") -> list[Due]:
    """Return what `rollout.retire_periods` asks to retire, the oldest first; nothing where it is not declared."""
    limit, calendar = spec.rollout.retire_periods, spec.data.time.calendar()
    if limit is None:
        return []
    monitored = stores.ledger.latest(spec.name, "monitored")
    now = datetime.fromisoformat(monitored.payload["as_of"]) if monitored else calendar.origin
    kept, gone, found = kept_versions(stores, spec.name), tombstones(stores, spec.name), list[Due]()
    for entry in stores.ledger.entries(model=spec.name, action=REGISTERED):
        version = str(entry.subject)
        if version in kept or version in gone:
            continue
        manifest = read_manifest(stores, spec.name, version)
        age = calendar.periods_since(datetime.fromisoformat(manifest.as_of), now)
        if age > limit:
            found.append(Due(version, age, manifest.size_bytes))
    return sorted(found, key=lambda one: (-one.periods, one.version))


def retire(
    stores: "Stores", model: str, version: str, *, why: str, by: str, actor: str, remove: bool = False
) -> Retired:
    """Enter a tombstone for a version and, if asked, take its model's bytes away; done again it goes on from there.

    Parameters
    ----------
    why
        The reason, at least 10 characters.
    by
        Who decided it; `actor` is who types.
    remove
        Take the bytes away. Those that another version has too stay.

    Raises
    ------
    NotAllowed
        When `roles.yaml` does not let the actor retire.
    RetirementRefused
        Of a version that serves, is on trial, is undecided, or that something may go back to; without a reason.
    VersionNotLoadable
        When there is no such version.
    """
    granted = check(stores.ledger, actor, "retire", model, version)
    manifest = read_manifest(stores, model, version)
    entry = stores.ledger.latest(model, RETIRED, version)
    if entry is None:
        _check_free(stores, model, version)
        why, by = " ".join(why.split()), " ".join(by.split())
        if len(why) < MIN_REASON or not by:
            raise RetirementRefused(
                f"{model} {version}: say who decided it, and why in at least {MIN_REASON} characters"
            )
        judged = stores.ledger.latest(model, "judged", version)
        stone = Tombstone.make(
            model=model,
            subject=version,
            as_of=manifest.as_of,
            manifest=_registered(stores, model, version),
            evidence=judged.payload["evidence"] if judged else None,
            model_artifact=manifest.model_artifact,
            size_bytes=manifest.size_bytes,
            served=_served(stores, model, version),
            why=why,
            decided_by=by,
        )
        recorded = enter(stores, stone, actor=actor)
        payload = {"tombstone": recorded.payload["record"], "because": why, "decided_by": by, **granted.payload()}
        key = f"{RETIRED}:{model}:{version}"
        entry = stores.ledger.append(NewEntry(actor, RETIRED, model, version, payload, key=key))
    return Retired(tombstones(stores, model)[version], entry, remove and _removed(stores, model, version))


def tombstones(stores: "Stores", model: str) -> dict[str, Recorded]:
    """Return the tombstone of each retired version of a model."""
    return {one.subject: one for one in records(stores, model, Tombstone.KIND)}


def removed_digests(stores: "Stores", model: str) -> dict[str, str]:
    """Return the version by digest of model bytes that a tombstone says may be gone: no dead references."""
    return {one.document["model_artifact"]: version for version, one in tombstones(stores, model).items()}


def _check_free(stores: "Stores", model: str, version: str) -> None:
    kept = kept_versions(stores, model).get(version)
    if kept is not None:
        raise RetirementRefused(f"{model} {version} is {kept}: it is not retired while it is that")


def _removed(stores: "Stores", model: str, version: str) -> bool:
    """Take the bytes away, unless the version serves after all (a release was faster) or another one has them too."""
    _check_free(stores, model, version)
    artifact = read_manifest(stores, model, version).model_artifact
    gone = {model: set(tombstones(stores, model))}
    for entry in stores.ledger.entries(action=REGISTERED):
        owner = str(entry.model)
        if entry.payload.get("model_artifact") != artifact or (owner, entry.subject) == (model, version):
            continue
        if entry.subject not in gone.setdefault(owner, set(tombstones(stores, owner))):
            return False
    return stores.artifacts.remove(artifact)


def _failed(ledger: "Ledger", registered: "Entry") -> bool:
    run = registered.run_id
    return run is not None and bool(
        ledger.entries(model=registered.model, action="retrain_failed", run_id=run, limit=1)
    )


def _registered(stores: "Stores", model: str, version: str) -> str:
    entry = stores.ledger.latest(model, REGISTERED, version)
    return str(entry.payload["manifest"]) if entry else ""


def _served(stores: "Stores", model: str, version: str) -> str:
    past = [one for one in reigns(stores.ledger, model) if one.version == version]
    if past:
        return f"champion from {past[0].deployment.released_at}, {len(past)} time(s)"
    tried = stores.ledger.latest(model, (STAGED, WITHDRAWN), version)
    return "on trial only" if tried is not None else "nobody"
