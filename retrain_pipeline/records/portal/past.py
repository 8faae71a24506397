"""A model as the ledger knew it after an entry: its versions, runs, reigns and records, as plain values."""

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from retrain_pipeline.ledger.entries import DEPLOYMENT, Entry, deployment_made_by
from retrain_pipeline.records.history import told
from retrain_pipeline.records.portal.facts import Facts
from retrain_pipeline.records.record import RECORDED
from retrain_pipeline.release.lineage import Reign, standing
from retrain_pipeline.release.state import Deployment

if TYPE_CHECKING:
    from retrain_pipeline.stores import Stores

RELEASES = ("released", "rolled_back")
ENDS = ("released", "staged", "rejected", "superseded", "awaiting_approval", "retrain_failed", "run_failed")
"""What a retrain may end in, in the words of the ledger."""


@dataclass(frozen=True)
class Version:
    """A registered version and what was entered about it. `facts` and `judged` are as `facts.Facts` tells them."""

    name: str
    entry: Entry
    facts: dict[str, Any]
    evidence: str | None
    judged: dict[str, Any]
    entries: list[Entry] = field(repr=False)

    @property
    def told_loss(self) -> dict[str, Any]:
        """Metric, value and rows of the loss that it was judged with; None each where it was not."""
        loss = self.judged.get("loss") or {}
        return {name: loss.get(name) for name in ("metric", "value", "n")}

    @property
    def loss(self) -> float | None:
        """The loss that it was judged with."""
        value = self.told_loss["value"]
        return None if value is None else float(value)

    @property
    def verdict(self) -> str:
        """The verdict of its last judgement, or that there is none."""
        return str(self.judged.get("verdict") or ("UNREADABLE" if self.evidence else "NEVER JUDGED"))


@dataclass(frozen=True)
class Run:
    """A retrain, from what asked for it to what it came to; a run that made no version is one, too."""

    run_id: str
    seq: int
    """Its first entry."""
    at_utc: str
    as_of: str | None
    kind: str
    reasons: list[str]
    version: str | None
    ended: str
    words: str
    """What it came to, in words."""


@dataclass(frozen=True)
class Kept:
    """A record that was entered: its kind, subject, digest, entry, and what overviews need of it."""

    kind: str
    subject: str
    digest: str
    entry: Entry
    facts: dict[str, Any]


class Past:
    """All that was entered about a model up to an entry.

    Parameters
    ----------
    until
        The last entry that counts; None: all.
    """

    def __init__(self, stores: "Stores", facts: Facts, model: str, until: int | None) -> None:
        found = stores.ledger.entries(model=model)
        self.model, self.facts = model, facts
        self.entries = [one for one in found if until is None or one.seq <= until]
        self.of_subject: dict[str, list[Entry]] = defaultdict(list)
        self.of_action: dict[str, list[Entry]] = defaultdict(list)
        for one in self.entries:
            self.of_action[one.action].append(one)
            if one.subject:
                self.of_subject[one.subject].append(one)
        self.versions = [self._version(one) for one in _first_of_each(self.of_action["candidate_registered"])]
        self.version = {one.name: one for one in self.versions}
        self.reigns = [
            Reign(one, Deployment.from_state(one.payload[DEPLOYMENT]["state"]))
            for one in self.entries
            if one.action in RELEASES and DEPLOYMENT in one.payload
        ]
        self.standing = standing(self.reigns)
        self.first_reign = {one.version: one for one in reversed(self.reigns)}
        self.monitored = {str(one.payload.get("as_of")): one for one in reversed(self.of_action["monitored"])}
        """The first entry about each monitored period, by the period's end."""
        self.records = [
            Kept(
                str(one.payload["kind"]),
                one.subject or "",
                str(one.payload["record"]),
                one,
                facts.record(str(one.payload["record"])),
            )
            for one in self.of_action[RECORDED]
        ]
        self.notes = {one.subject: one for one in self.records if one.kind == "release_note"}
        """The newest release note of each version."""
        self.runs = self._runs()
        self.run = {one.run_id: one for one in self.runs}
        self.compared: dict[tuple[str, str], Any] = {}
        """What differs between two versions, once somebody asked (`changes.changes`)."""

    @cached_property
    def champion(self) -> str | None:
        """Who serves."""
        return self.standing[-1].version if self.standing else None

    @cached_property
    def deployment(self) -> Deployment | None:
        """What is deployed, with whoever is on trial."""
        for one in reversed(self.entries):
            if DEPLOYMENT in one.payload and deployment_made_by(one.seq, one.epoch, one.model, one.payload):
                return Deployment.from_state(one.payload[DEPLOYMENT]["state"])
        return None

    @cached_property
    def declaration(self) -> dict[str, Any]:
        """What overviews need of the newest declaration that made a version."""
        digest = self.versions[-1].facts.get("spec") if self.versions else None
        return self.facts.declaration(digest) if digest else self.facts.undeclared()

    def serves(self, version: str) -> str:
        """Say whom a version serves."""
        deployment = self.deployment
        on = deployment.challenger if deployment is not None else None
        if on is not None and on.version == version:
            return f"on trial ({on.stage}" + (f" at {on.share:.0%})" if on.share else ")")
        first = self.first_reign.get(version)
        if first is None:
            return "never released"
        if self.champion == version:
            return f"champion since {self.standing[-1].deployment.released_at[:10]}"
        return f"was champion from {first.deployment.released_at[:10]}"

    def _version(self, entry: Entry) -> Version:
        name = entry.subject or ""
        entries = self.of_subject[name]
        judged = next((one for one in reversed(entries) if one.action == "judged"), None)
        digest = str(judged.payload["evidence"]) if judged is not None else None
        return Version(
            name,
            entry,
            self.facts.manifest(str(entry.payload["manifest"])),
            digest,
            self.facts.evidence(digest) if digest else {},
            entries,
        )

    def _runs(self) -> list[Run]:
        of_run: dict[str, list[Entry]] = defaultdict(list)
        for one in self.entries:
            if one.run_id:
                of_run[one.run_id].append(one)
        runs = []
        for run_id, entries in of_run.items():
            started = next((one for one in entries if one.action == "retrain_started"), None)
            made = next((one for one in entries if one.action == "candidate_registered"), None)
            first = started or made
            if first is None:
                continue
            version = made.subject if made else None
            facts = self.version[version].facts if version in self.version else {}
            ended = [one for one in entries if one.action in ENDS]
            payload = started.payload if started else dict(facts.get("trigger") or {})
            runs.append(
                Run(
                    run_id,
                    first.seq,
                    first.at_utc,
                    payload.get("as_of") or facts.get("as_of"),
                    str(payload.get("kind") or "unknown"),
                    [str(one) for one in payload.get("reasons") or ()],
                    version,
                    ended[-1].action if ended else "no end on record",
                    "; ".join(told(one) for one in ended),
                )
            )
        return sorted(runs, key=lambda one: (one.at_utc, one.run_id))


def _first_of_each(entries: list[Entry]) -> list[Entry]:
    found: dict[str, Entry] = {}
    for one in entries:
        found.setdefault(one.subject or "", one)
    return list(found.values())
