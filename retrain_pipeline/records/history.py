"""What happened to a model and why, read from the stores as plain values: for the command line, the card and people."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.errors import EvidenceRefused
from retrain_pipeline.gates.evidence import Evidence, read_evidence
from retrain_pipeline.governance.halting import disagreement, halted_words
from retrain_pipeline.records.record import RECORDED
from retrain_pipeline.release.lineage import reigns, standing
from retrain_pipeline.release.state import Deployment

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.stores import Stores

_TOLD = ("words", "reason", "because", "reasons")


class UnknownVersion(PermanentError):
    """A version (or model) of which the ledger says nothing."""


@dataclass(frozen=True)
class Event:
    """One thing that happened to a model."""

    seq: int
    at_utc: str
    actor: str
    action: str
    subject: str | None
    words: str
    run_id: str | None
    payload: dict[str, Any] = field(repr=False, default_factory=dict)


@dataclass(frozen=True)
class GateLine:
    """One gate in a story."""

    gate: str
    verdict: str
    words: str


@dataclass(frozen=True)
class Story:
    """One version: why it exists, what it was judged on, and who it serves."""

    model: str
    version: str
    why: str
    as_of: str | None
    trigger: dict[str, Any]
    judged: str
    verdict: str | None
    mode: str | None
    champion: str | None
    evidence: str | None
    manifest: str
    gates: list[GateLine]
    serves: str
    events: list[Event]
    found: Evidence | None = field(repr=False, default=None)
    """The evidence itself."""
    replayed: str = "never judged"
    """What comes of judging again from the stored evidence alone."""
    halted: str | None = None
    """Why promotions of the model are halted: validators do not agree, and nobody has resolved it."""


def history(stores: "Stores", model: str) -> list[Event]:
    """Return everything that the ledger knows about a model, oldest first.

    Raises
    ------
    UnknownVersion
        When it knows nothing.
    """
    entries = stores.ledger.entries(model=model)
    if not entries:
        raise UnknownVersion(f"{model}: the ledger knows nothing of this model; `status` lists those that it knows")
    return [_event(entry) for entry in entries]


def explain(stores: "Stores", model: str, version: str) -> Story:
    """Return the story of one version.

    Raises
    ------
    UnknownVersion
        When the ledger has no entry about it.
    """
    entries = stores.ledger.entries(model=model, subject=version)
    registered = next((entry for entry in entries if entry.action == "candidate_registered"), None)
    if registered is None:
        known = [entry.subject or "" for entry in stores.ledger.entries(model=model, action="candidate_registered")]
        raise UnknownVersion(f"{model}: no version {version!r:.80}; there are: {', '.join(known[-10:]) or 'none'}")
    trigger = _trigger(stores, registered)
    judged = next((entry for entry in reversed(entries) if entry.action == "judged"), None)
    digest, evidence, words = _evidence_of(stores, judged)
    return Story(
        model=model,
        version=version,
        why=_why(stores, model, trigger),
        as_of=evidence.as_of if evidence else trigger.get("as_of"),
        trigger=trigger,
        judged=words,
        verdict=evidence.verdict.value if evidence else None,
        mode=evidence.mode if evidence else None,
        champion=evidence.champion if evidence else None,
        evidence=digest,
        manifest=str(registered.payload["manifest"]),
        gates=[GateLine(one.gate, one.verdict.value, one.words) for one in evidence.results] if evidence else [],
        serves=_serves(stores, model, version),
        events=[_event(entry) for entry in entries],
        found=evidence,
        replayed=_replayed(stores, judged, evidence),
        halted=halted_words(halt) if (halt := disagreement(stores.ledger, model)) is not None else None,
    )


def _event(entry: "Entry") -> Event:
    return Event(
        entry.seq, entry.at_utc, entry.actor, entry.action, entry.subject, told(entry), entry.run_id, entry.payload
    )


def told(entry: "Entry") -> str:
    """Return an entry in words."""
    payload = entry.payload
    if entry.action == "released":
        return f"{payload['version']} is champion after {payload.get('previous') or 'nobody'} ({payload.get('mode')})"
    if entry.action == "rolled_back":
        return f"back to {payload['version']} from {payload.get('from')}: {payload['because']}"
    if entry.action == "judged":
        bad = [f"{gate} {verdict}" for gate, verdict in sorted(payload["gates"].items()) if verdict != "PASS"]
        return str(payload["verdict"]) + (f" ({', '.join(bad)})" if bad else "")
    if entry.action == RECORDED:
        return f"{str(payload['kind']).replace('_', ' ')} of {entry.subject}"
    for name in _TOLD:
        if payload.get(name):
            value = payload[name]
            return "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return str(entry.action.replace("_", " "))


def _trigger(stores: "Stores", registered: "Entry") -> dict[str, Any]:
    """Return what asked for a version: the start of its run, else what its manifest says."""
    from retrain_pipeline.learning.versions import read_manifest

    model, version = registered.model or "", registered.subject or ""
    if registered.run_id:
        started = stores.ledger.entries(model=model, action="retrain_started", run_id=registered.run_id)
        if started:
            return dict(started[-1].payload)
    try:
        manifest = read_manifest(stores, model, version)
    except PermanentError:
        return {}
    return {**manifest.trigger.model_dump(mode="json"), "as_of": manifest.as_of}


def _why(stores: "Stores", model: str, trigger: dict[str, Any]) -> str:
    if not trigger:
        return "what asked for it is not on record any more"
    attempt = f", attempt {trigger['attempt']}" if trigger.get("attempt", 1) > 1 else ""
    words = f"{trigger['kind']} retrain as of {trigger['as_of']}{attempt}"
    for entry in stores.ledger.entries(model=model, action="monitored", newest_first=True):
        if entry.payload.get("as_of") == trigger["as_of"] and (seen := told(entry)) != entry.action:
            return f"{words}: {seen}"
    reasons = [str(one) for one in trigger.get("reasons") or ()]
    asked = [one for one in reasons if one.startswith(("performance", "drift", "policy", "max_age"))]
    return f"{words}: {'; '.join(asked)}" if asked else words


def _evidence_of(stores: "Stores", judged: "Entry | None") -> tuple[str | None, Evidence | None, str]:
    if judged is None:
        return None, None, "never judged"
    digest = str(judged.payload["evidence"])
    try:
        evidence = read_evidence(stores.artifacts, digest)
    except EvidenceRefused as error:
        return digest, None, f"judged, but its evidence cannot be read: {error}"
    rows = evidence.evaluation
    against = f"against {evidence.champion}" if evidence.champion else "with no champion to beat"
    return digest, evidence, f"{rows.rows} rows from {rows.from_} to {rows.until}, {against} ({evidence.mode})"


def _replayed(stores: "Stores", judged: "Entry | None", evidence: Evidence | None) -> str:
    from retrain_pipeline.gates.replay import contradictions

    if judged is None or evidence is None:
        return "never judged" if judged is None else "its evidence cannot be read"
    wrong = contradictions(stores, judged, evidence)
    return f"NOT THE SAME: {'; '.join(wrong)}" if wrong else f"same verdict: {evidence.verdict}"


def _serves(stores: "Stores", model: str, version: str) -> str:
    from retrain_pipeline.learning.versions import RETIRED

    retired = stores.ledger.latest(model, RETIRED, version)
    if retired is not None:
        stone = str(retired.payload["tombstone"])
        return f"retired on {retired.at_utc[:10]}, it serves nobody: {retired.payload['because']} (tombstone {stone})"
    past = [reign for reign in reigns(stores.ledger, model) if reign.version == version]
    row = stores.ledger.deployment(model)
    on = on_trial(Deployment.from_state(row.state)) if row else None
    if on is not None and on.startswith(f"{version}: "):
        return f"on trial beside the champion ({on.removeprefix(f'{version}: ')})"
    if not past:
        return "never released: it serves nobody"
    top = standing(reigns(stores.ledger, model))[-1]
    if top.version == version:
        return (
            f"champion since {top.deployment.released_at}: it serves periods from {top.deployment.effective_as_of} on"
        )
    return f"was champion from {past[0].deployment.released_at}; {top.version} serves now"


def on_trial(deployment: Deployment | None) -> str | None:
    """Return which version is on trial, and where it is; None without one."""
    on = deployment.challenger if deployment is not None else None
    if on is None:
        return None
    return f"{on.version}: {on.stage}" + (f" at {on.share:.0%}" if on.share else "")
