"""What the truth checks look at: stores, declaration, decision files, owners, git, and a portal where one was built."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.governance.owners import Owners, project_owners
from retrain_pipeline.records.cards import documented
from retrain_pipeline.records.kinds.card import ModelCard
from retrain_pipeline.records.record import RECORDED, Recorded, RecordRefused
from retrain_pipeline.records.truth.looked import NOTHING, Looked
from retrain_pipeline.spec.checklist import Checklist, ChecklistRefused, read_checklist
from retrain_pipeline.spec.decision import Decision, DecisionRefused, read_decisions
from retrain_pipeline.spec.risks import RiskAssessment, RisksRefused, read_risks

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.stores import Stores
    from retrain_pipeline.triggers.reconcile import KnownRun


@dataclass(frozen=True)
class OnRecord:
    """A card as it stands on record: its entry, its document and its Markdown, hashed as they were read."""

    entry: "Entry"
    record: ModelCard
    document: dict[str, Any]
    markdown: str

    @classmethod
    def read(cls, stores: "Stores", recorded: Recorded) -> "OnRecord":
        """Return the card of a record.

        Raises
        ------
        PermanentError
            When the record is none, or its bytes are missing, damaged or no document.
        """
        record = recorded.read(ModelCard)
        document = stores.artifacts.get_json(record.card_json)
        if not isinstance(document, dict):
            raise RecordRefused(f"card {record.card_json} is no JSON object")
        markdown = stores.artifacts.get(record.card_markdown).decode(errors="replace")
        return cls(recorded.entry, record, document, markdown)


@dataclass(frozen=True)
class Context:
    """What is looked at, of one model.

    Parameters
    ----------
    as_of
        The moment at which dates are compared; default: the newest moment that the model's ledger knows.
    only
        Versions whose documents are looked at; default: all that were ever released or put on trial.
    portal
        A folder with a built portal.
    runs
        Retrain runs that an orchestrator knows, where somebody asked it.
    looked
        What an earlier look found well: of records up to then, only those of `versions` and the newest of each kind
        are looked at again. Default: everything is looked at.
    """

    stores: "Stores"
    declaration: "Declaration"
    given_as_of: datetime | None = None
    only: tuple[str, ...] | None = None
    portal: Path | None = None
    runs: "Sequence[KnownRun] | None" = None
    looked: Looked = NOTHING

    @property
    def model(self) -> str:
        """The model's name."""
        return self.declaration.spec.name

    @property
    def folder(self) -> Path:
        """The folder of the declaration."""
        return self.declaration.folder

    @cached_property
    def entries(self) -> list["Entry"]:
        """All that the ledger knows of the model, oldest first."""
        return self.stores.ledger.entries(model=self.model)

    @cached_property
    def as_of(self) -> datetime:
        """The moment at which dates are compared.

        Periods are played later than they happened, so it is the newest moment that somebody looked at the model *as
        of*; where nobody did, that of the newest entry.
        """
        if self.given_as_of is not None:
            return self.given_as_of
        looked = [str(entry.payload["as_of"]) for entry in self.entries if entry.payload.get("as_of")]
        moments = [datetime.fromisoformat(text).astimezone(UTC) for text in looked]
        if not moments and self.entries:
            moments = [datetime.fromisoformat(self.entries[-1].at_utc)]
        return max(moments, default=datetime.now(UTC))

    @cached_property
    def versions(self) -> tuple[str, ...]:
        """Versions that must be documented, in the order in which they were released or put on trial."""
        if self.only is not None:
            return self.only
        return documented(self.entries)

    @cached_property
    def _decisions(self) -> tuple[list[Decision], list[DecisionRefused]]:
        return read_decisions(self.folder)

    @property
    def decisions(self) -> list[Decision]:
        """The decision files that read, by name."""
        return self._decisions[0]

    @property
    def refused_decisions(self) -> list[DecisionRefused]:
        """The decision files that do not read, with the reasons."""
        return self._decisions[1]

    @cached_property
    def recorded(self) -> list[Recorded | tuple["Entry", str]]:
        """Every record that is to be looked at, oldest first; of one whose bytes cannot be read, its entry and why."""
        found: list[Recorded | tuple[Entry, str]] = []
        entries = [one for one in self.entries if one.action == RECORDED]
        newest = {one.payload.get("kind"): one.seq for one in entries}
        for entry in entries:
            about = entry.seq in newest.values() or entry.subject in self.versions
            if entry.seq <= self.looked.until_seq and not about:
                continue
            try:
                digest = str(entry.payload["record"])
                document = self.stores.artifacts.get_json(digest)
                found.append(Recorded(entry, str(entry.payload["kind"]), entry.subject or "", digest, document))
            except (PermanentError, KeyError) as error:
                found.append((entry, str(error)))
        return found

    def records(self, kind: str) -> list[Recorded]:
        """Return the records of a kind that can be read, oldest first."""
        return [one for one in self.recorded if isinstance(one, Recorded) and one.kind == kind]

    @cached_property
    def risks(self) -> RiskAssessment | RisksRefused | None:
        """The risk assessment of the model's folder, why it does not read, or None where there is none."""
        try:
            return read_risks(self.folder)
        except RisksRefused as refusal:
            return refusal

    @cached_property
    def checklist(self) -> Checklist | ChecklistRefused | None:
        """The checklist of the model's folder, why it does not read, or None where there is none."""
        try:
            return read_checklist(self.folder)
        except ChecklistRefused as refusal:
            return refusal

    @cached_property
    def _cards(self) -> tuple[dict[str, "OnRecord"], dict[str, str]]:
        found, unread = dict[str, OnRecord](), dict[str, str]()
        newest = {one.subject: one for one in self.records(ModelCard.KIND) if one.subject in self.versions}
        for version in self.versions:
            if version in newest:
                try:
                    found[version] = OnRecord.read(self.stores, newest[version])
                except PermanentError as error:
                    unread[version] = f"it cannot be read: {error}"
        return found, unread

    @property
    def cards(self) -> dict[str, "OnRecord"]:
        """The newest card of each version that has one and is looked at."""
        return self._cards[0]

    @property
    def unread_cards(self) -> dict[str, str]:
        """Why the newest card of a version cannot be read, by version."""
        return self._cards[1]

    @cached_property
    def owners(self) -> Owners | None:
        """What `OWNERS.yaml` says; None without the file.

        Raises
        ------
        OwnersRefused
            When the file cannot be read.
        """
        return project_owners()
