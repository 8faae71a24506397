"""Who was champion when, and what was deployed at each epoch: read from ledger entries, which hold each state whole."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrain_pipeline.ledger.entries import DEPLOYMENT, Entry
from retrain_pipeline.release.state import Deployment

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger

CHANGES = ("released", "rolled_back")
"""Entries that make a version champion."""
STAGED, WITHDRAWN = "staged", "withdrawn"


@dataclass(frozen=True)
class Reign:
    """A deployment and the entry that made it."""

    entry: Entry
    deployment: Deployment

    @property
    def version(self) -> str:
        """The champion."""
        return self.deployment.champion


def reigns(ledger: "Ledger", model: str) -> list[Reign]:
    """Return every deployment that a model had, oldest first."""
    entries = ledger.entries(model=model, action=CHANGES)
    return [
        Reign(entry, Deployment.from_state(entry.payload[DEPLOYMENT]["state"]))
        for entry in entries
        if DEPLOYMENT in entry.payload
    ]


def deployed_at(ledger: "Ledger", model: str, epoch: int) -> Deployment | None:
    """Return the deployment of an epoch, or None where there was none."""
    for entry in ledger.entries(model=model, action=(*CHANGES, STAGED, WITHDRAWN)):
        if entry.epoch == epoch and DEPLOYMENT in entry.payload:
            return Deployment.from_state(entry.payload[DEPLOYMENT]["state"])
    return None


def standing(history: list[Reign]) -> list[Reign]:
    """Return the champions that no rollback has undone, oldest first; the last one serves.

    A release stands on the champions before it. A rollback to one of them undoes all above it; a rollback to a version
    that was undone before puts it on top again. Where a version was released once more over its successors, the newest
    place is the one that a rollback goes back to. Each reign returned is the newest of its place.
    """
    stack: list[Reign] = []
    for reign in history:
        if reign.entry.action == "rolled_back":
            stack = stack[: newest_place(stack, reign.version)]  # all of it, where it is nowhere
        stack.append(reign)
    return stack


def newest_place(stack: list[Reign], version: str) -> int | None:
    """Return where in a line of champions a version is, the newest place where it is there twice; None: nowhere."""
    places = [at for at, one in enumerate(stack) if one.version == version]
    return places[-1] if places else None
