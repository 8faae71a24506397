"""Does the update change what is collected, or how users behave? The gate only reads what was found and is on record.

The place of that evidence: an entry `guarded` of the version, whose payload names a `GuardEvidence` artifact by digest
(``evidence``) and repeats its verdict (``verdict``). The newest such entry counts. Whoever compares streams with their
baselines writes both with `store_guard`; this gate asks whether they are of this very update, and whether the baseline
is one: nothing of a rollout may be in it (G17).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import Digest, GateResult
from retrain_pipeline.ledger.entries import DEPLOYMENT, Entry, NewEntry
from retrain_pipeline.spec.model import collection_digest
from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.artifacts import Artifacts
    from retrain_pipeline.learning.manifest import VersionManifest
    from retrain_pipeline.ledger.past import Asked
    from retrain_pipeline.ledger.store import Ledger

GATE, GUARDED = "guard", "guarded"
Words = Annotated[str, Field(min_length=1, max_length=2000)]


class GuardEvidence(Strict):
    """What was found of one update, against a baseline from before it."""

    schema_: Literal["guard/1"] = Field("guard/1", alias="schema", serialization_alias="schema")
    model: str
    version: str
    manifest: Digest
    champion: str | None
    """Who served while the baseline was taken."""
    collection: Digest
    """What is collected, by the version's declaration: `collection_of`."""
    baseline_from: AwareDatetime
    baseline_until: AwareDatetime
    verdict: Verdict
    words: Words

    @model_validator(mode="after")
    def _coherent(self) -> "GuardEvidence":
        if not self.baseline_from < self.baseline_until:
            raise ValueError("baseline_until is not after baseline_from")
        return self


def store_guard(ledger: "Ledger", artifacts: "Artifacts", found: GuardEvidence, *, actor: str) -> Entry:
    """Store guard evidence, then enter it, and return the entry."""
    digest = artifacts.put_json(found.model_dump(mode="json", by_alias=True))
    payload = {"evidence": digest, "verdict": found.verdict.value, "words": found.words}
    key = f"{GUARDED}:{found.model}:{digest}"
    return ledger.append(NewEntry(actor, GUARDED, found.model, found.version, payload, key=key))


def collection_of(artifacts: "Artifacts", manifest: "VersionManifest") -> str:
    """Return the digest of what a version's declaration collects: equal to its `ModelSpec.collection_digest`."""
    return collection_digest(artifacts.get_json(manifest.spec_digest))


def guard(
    ledger: "Asked", artifacts: "Artifacts", manifest: "VersionManifest", manifest_digest: str, champion: str | None
) -> GateResult:
    """Judge an update by the newest guard evidence on record. What is missing or of something else is INCONCLUSIVE."""
    model, version = manifest.model, manifest.version
    entry = ledger.latest(model, GUARDED, version)
    if entry is None:
        others = ledger.latest(model, GUARDED)
        other = f" (the newest is of {others.subject})" if others is not None else ""
        return _refused(
            f"gates.guard is required, and no entry `{GUARDED}` of {version} is on record{other}: compare what is "
            "collected and what users do with a baseline from before the update, and enter what was found"
        )
    digest = str(entry.payload.get("evidence"))
    try:
        found = GuardEvidence.model_validate(artifacts.get_json(digest), strict=False)
        collection = collection_of(artifacts, manifest)
    except (PermanentError, ValidationError, KeyError) as error:
        return _refused(f"the guard evidence {digest[:12]} of entry {entry.seq} cannot be read: {error}")
    wrong = next(_wrong(entry, found, manifest, manifest_digest, champion, collection), None)
    if wrong is None:
        wrong = _overlaps(ledger.entries(model=model), found, datetime.fromisoformat(manifest.as_of))
    if wrong is not None:
        return _refused(f"the guard evidence of entry {entry.seq} is refused: {wrong}")
    words = f"entry {entry.seq}, baseline {found.baseline_from:%F} to {found.baseline_until:%F}: {found.words}"
    return GateResult(gate=GATE, verdict=found.verdict, words=words[:2000])


def _refused(words: str) -> GateResult:
    return GateResult(gate=GATE, verdict=Verdict.INCONCLUSIVE, words=words[:2000])


def _wrong(
    entry: Entry, found: GuardEvidence, manifest: "VersionManifest", digest: str, champion: str | None, collection: str
) -> Iterator[str]:
    """Yield what the evidence is of that this update is not."""
    wanted = {
        "model": manifest.model,
        "version": manifest.version,
        "manifest": digest,
        "champion": champion,
        "collection": collection,
        "verdict": entry.payload.get("verdict"),
    }
    for name, now in wanted.items():
        if (then := getattr(found, name)) != now:
            yield f"it is of another {name}: {then!s:.40}, and this is {now!s:.40}; it is stale, look again"


def _overlaps(entries: Sequence[Entry], found: GuardEvidence, rollout: datetime) -> str | None:
    """Return why a baseline is none: it reaches into this rollout, or a canary served while it was taken."""
    if found.baseline_until > rollout:
        return (
            f"its baseline lasts until {found.baseline_until:%F %H:%M}, and the rollout may begin at {rollout:%F %H:%M}"
        )
    for version, start, end in canaries(entries):
        if found.baseline_from < (end or found.baseline_until) and start < found.baseline_until:
            until = f"{end:%F %H:%M}" if end else "now"
            return f"a canary of {version} served from {start:%F %H:%M} until {until}, while its baseline was taken"
    return None


def canaries(entries: Sequence[Entry]) -> list[tuple[str, datetime, datetime | None]]:
    """Return which versions served a share of the users besides the champion, from when until when (None: still).

    From the deployments that entries made; the end is that of the last period that was looked at.
    """
    begun, ended, on = dict[str, datetime](), dict[str, datetime](), None
    for entry in entries:
        if (made := entry.payload.get(DEPLOYMENT)) is not None:
            challenger = made["state"].get("challenger") or {}
            on = challenger["version"] if challenger.get("share") else None
            if on is not None:
                begun.setdefault(on, datetime.fromisoformat(challenger["stage_from"]))
        elif entry.action == "rollout_looked" and entry.payload.get("stage") == "canary" and entry.subject:
            ended[entry.subject] = datetime.fromisoformat(entry.payload["as_of"])
    return [
        (version, start, None if version == on else max(start, ended.get(version, start)))
        for version, start in begun.items()
    ]
