"""Who answers the rows of a period: decided by the deployment of its time, and the same at every repeat."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from retrain_pipeline.release.lineage import deployed_at, reigns, standing
from retrain_pipeline.release.router import Routing, Share
from retrain_pipeline.release.state import Deployment, current

if TYPE_CHECKING:
    import pandas as pd

    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores


@dataclass(frozen=True)
class Plan:
    """Who answers whom in a period. `beside` answers rows without serving them, to be compared with who does."""

    routing: Routing | None
    beside: str | None = None
    epoch: int | None = None
    words: str = ""


def plan_period(stores: "Stores", spec: "ModelSpec", start: datetime, earlier: "pd.DataFrame") -> Plan:
    """Return who answers the rows of the period that begins at `start`.

    Parameters
    ----------
    earlier
        The predictions that the period has: the deployment by which they were made is followed again. Else the newest
        champion, of those that no rollback has undone, whose data ended by `start`; and if it is the one of now, the
        challenger, the holdback, or the champion before it, where their time has come.
    """
    if len(earlier):
        return _again(stores, spec, start, earlier)
    stack = standing(reigns(stores.ledger, spec.name))
    reign = next((one for one in reversed(stack) if one.deployment.as_of <= start), None)
    if reign is None:
        why = f"no champion whose data ended by {start.isoformat()}" if stack else "no champion yet"
        return Plan(None, words=why)
    words = f"{reign.version}, champion with data up to {reign.deployment.effective_as_of}"
    epoch, deployment = current(stores.ledger, spec.name)
    if deployment is None or reign is not stack[-1]:
        return Plan(Routing(reign.version), epoch=reign.entry.epoch, words=words)
    return _of(spec, deployment, epoch, start, words, released=reign.entry.action == "released")


def _again(stores: "Stores", spec: "ModelSpec", start: datetime, earlier: "pd.DataFrame") -> Plan:
    """Return the plan that a period was scored by."""
    version = str(earlier["model_version"].iloc[0])
    epochs = [int(epoch) for epoch in earlier["epoch"].dropna().unique()] if "epoch" in earlier else []
    deployment = deployed_at(stores.ledger, spec.name, epochs[0]) if epochs else None
    if deployment is None:
        return Plan(Routing(version), words=f"{version} scored this period before")
    epoch = epochs[0]
    made = next(one for one in reversed(reigns(stores.ledger, spec.name)) if (one.entry.epoch or 0) <= epoch)
    words = f"{deployment.champion} scored this period before"
    if deployment.as_of > start:  # an earlier champion's period that was first scored under a later one
        return Plan(Routing(version), epoch=epoch, words=words)
    return _of(spec, deployment, epoch, start, words, released=made.entry.action == "released")


def _of(spec: "ModelSpec", deployment: Deployment, epoch: int, start: datetime, words: str, *, released: bool) -> Plan:
    challenger, held = deployment.challenger, deployment.holdback
    staged = challenger is not None and _moment(challenger.effective_as_of) <= start
    canary = None
    if challenger is not None and staged and challenger.share and _moment(challenger.stage_from) <= start:
        canary = Share(challenger.version, challenger.share, challenger.salt)
    frozen = Share(held.version, held.share, held.salt) if held and _moment(held.effective_as_of) <= start else None
    beside = None
    if challenger is not None and staged:
        beside = challenger.version
    elif released and is_watched(spec, deployment, start):
        beside = deployment.previous
    return Plan(Routing(deployment.champion, canary, frozen), beside, epoch, words)


def is_watched(spec: "ModelSpec", deployment: Deployment, start: datetime) -> bool:
    """Return whether a period lies in the time in which the champion before answers beside the one that follows it."""
    if deployment.previous is None:
        return False
    age = spec.data.time.calendar().periods_since(deployment.since, start)
    return 0 <= age < spec.rollout.watch_periods


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
