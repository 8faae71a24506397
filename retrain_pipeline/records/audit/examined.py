"""What the items of the ML Test Score look at: a model's entries, and the champion's judgement and manifest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.gates.evidence import Evidence, GateResult, read_evidence
from retrain_pipeline.learning.manifest import VersionManifest
from retrain_pipeline.ledger.entries import Entry
from retrain_pipeline.ledger.past import PastLedger
from retrain_pipeline.records.record import RECORDED, Recorded
from retrain_pipeline.strict import Strict
from retrain_pipeline.verdicts import Verdict

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger
    from retrain_pipeline.spec.decision import Decision
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

AUDITED = "audit"
"""The action of a link to what this very audit looked at."""


class Link(Strict):
    """A piece of evidence: an entry of the ledger, when it was made, and the artifact in which the check stands."""

    what: str
    seq: int
    action: str
    at_utc: str
    digest: str | None = None


@dataclass(frozen=True)
class Answer:
    """What an item comes to. 1: automated and passed; 0.5: in part, or done and documented by hand; 0: no evidence."""

    score: float
    words: str
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Examined:
    """A model's record up to an entry. What is not among the entries did not happen.

    Parameters
    ----------
    entries
        Of the model, in order; audits left out.
    decisions
        The decision files of the model's folder.
    personal
        What this audit found of personal data.
    """

    stores: "Stores"
    spec: "ModelSpec"
    entries: Sequence[Entry]
    decisions: "Sequence[Decision]" = ()
    personal: GateResult | None = None

    @cached_property
    def ledger(self) -> PastLedger:
        """The ledger of these entries alone."""
        return PastLedger(self.entries, self.entries[-1].seq if self.entries else 0)

    @cached_property
    def then(self) -> "Stores":
        """The stores, with that ledger to read."""
        return replace(self.stores, ledger=cast("Ledger", self.ledger))

    @cached_property
    def champion(self) -> str | None:
        """The version that serves."""
        row = self.ledger.deployment(self.spec.name)
        return str(row.state["champion"]) if row else None

    @cached_property
    def registered(self) -> Entry | None:
        """The entry that put the champion on record."""
        return self._latest("candidate_registered")

    @cached_property
    def manifest(self) -> VersionManifest | None:
        """The champion's manifest; None where it cannot be read."""
        if self.registered is None:
            return None
        try:
            data = self.stores.artifacts.get(str(self.registered.payload["manifest"]))
            return VersionManifest.model_validate_json(data)
        except (PermanentError, ValueError):
            return None

    @cached_property
    def judged(self) -> Entry | None:
        """The judgement that the champion serves on: the newest whose evidence the deployment names."""
        row = self.ledger.deployment(self.spec.name)
        found = self.ledger.entries(model=self.spec.name, action="judged", subject=self.champion, newest_first=True)
        return next((one for one in found if row and one.payload["evidence"] == row.state["evidence"]), None)

    @cached_property
    def evidence(self) -> Evidence | None:
        """The evidence of that judgement; None where it cannot be read."""
        if self.judged is None:
            return None
        try:
            return read_evidence(self.stores.artifacts, str(self.judged.payload["evidence"]))
        except PermanentError:
            return None

    def gate(self, gate: str) -> GateResult | None:
        """Return what a gate found of the champion."""
        return self.evidence.result(gate) if self.evidence else None

    def by_gate(self, *gates: str, would: str) -> Answer:
        """Answer 1 where the champion passed the gates."""
        if self.judged is None:
            return Answer(0, f"no champion was judged; {would}")
        found = [self.gate(gate) for gate in gates]
        lacking = [
            gate for gate, one in zip(gates, found, strict=True) if one is None or one.verdict is not Verdict.PASS
        ]
        if lacking:
            return Answer(0, f"the champion has no PASS of {', '.join(lacking)}; {would}")
        words = "; ".join(f"{one.gate}: {one.words}" for one in found if one is not None)
        what = f"gate {', '.join(gates)} on {self.champion}"
        return Answer(1, words[:500], (link(what, self.judged, str(self.judged.payload["evidence"])),))

    def newest(self, action: str) -> Entry | None:
        """Return the newest entry of an action."""
        return self.ledger.latest(self.spec.name, action)

    def records(self, kind: str, subject: str | None = None) -> list[Recorded]:
        """Return the readable records of a kind, oldest first."""
        found = []
        for one in self.ledger.entries(model=self.spec.name, action=RECORDED, subject=subject):
            if one.payload["kind"] == kind:
                digest = str(one.payload["record"])
                try:
                    found.append(Recorded(one, kind, one.subject or "", digest, self.stores.artifacts.get_json(digest)))
                except PermanentError:
                    continue  # told by the check of references
        return found

    def _latest(self, action: str) -> Entry | None:
        return self.ledger.latest(self.spec.name, action, self.champion) if self.champion else None


def link(what: str, entry: Entry, digest: str | None = None) -> Link:
    """Return the link to an entry, and to the artifact in which the check stands."""
    return Link(what=what[:200], seq=entry.seq, action=entry.action, at_utc=entry.at_utc, digest=digest)


def of_record(what: str, recorded: Recorded) -> Link:
    """Return the link to a record."""
    return link(what, recorded.entry, recorded.digest)
