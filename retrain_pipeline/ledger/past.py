"""The ledger as it was: the same questions, answered as of an earlier entry."""

from collections.abc import Sequence
from typing import Protocol, TypedDict, Unpack

from retrain_pipeline.ledger.entries import DeploymentRow, Entry, deployment_made_by


class Question(TypedDict, total=False):
    """What entries must match; see `Ledger.entries`."""

    model: str | None
    action: str | Sequence[str] | None
    subject: str | None
    run_id: str | None
    after_seq: int
    limit: int | None
    newest_first: bool


class Asked(Protocol):
    """What can be asked of a ledger, now or then; `Ledger` says what each question means."""

    def entries(self, **asked: Unpack[Question]) -> list[Entry]:
        """Return the entries that match all that is given."""

    def latest(self, model: str, action: str | Sequence[str], subject: str | None = None) -> Entry | None:
        """Return the newest entry of an action about a model."""

    def deployment(self, model: str) -> DeploymentRow | None:
        """Return the deployment of a model."""


class PastLedger:
    """A ledger after its entry `upto`, in memory.

    Parameters
    ----------
    whole
        Entries in order, of one model or of all: what is not among them did not happen.
    """

    def __init__(self, whole: Sequence[Entry], upto: int) -> None:
        self._known = [entry for entry in whole if entry.seq <= upto]

    def entries(self, **asked: Unpack[Question]) -> list[Entry]:
        """Return the entries that match all that is given; see `Ledger.entries`."""
        action, after = asked.get("action"), asked.get("after_seq", 0)
        actions = (action,) if isinstance(action, str) else action
        found = [
            entry
            for entry in (reversed(self._known) if asked.get("newest_first") else self._known)
            if entry.seq > after
            and asked.get("model") in (None, entry.model)
            and asked.get("subject") in (None, entry.subject)
            and asked.get("run_id") in (None, entry.run_id)
            and (actions is None or entry.action in actions)
        ]
        return found[: asked.get("limit")]

    def latest(self, model: str, action: str | Sequence[str], subject: str | None = None) -> Entry | None:
        """Return the newest entry of an action about a model (and a subject)."""
        found = self.entries(model=model, action=action, subject=subject, limit=1, newest_first=True)
        return found[0] if found else None

    def deployment(self, model: str) -> DeploymentRow | None:
        """Return what served then: the newest entry that changed the deployment says it whole."""
        for one in reversed(self._known):
            if one.model == model and (made := deployment_made_by(one.seq, one.epoch, one.model, one.payload)):
                return made
        return None
