"""Who serves each model, since when, and how its last judgement ended."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lanes import ENDED, OPENED
from retrain_pipeline.records.history import on_trial
from retrain_pipeline.release.documents import VERIFIED
from retrain_pipeline.release.state import Deployment

if TYPE_CHECKING:
    from retrain_pipeline.ledger.entries import Entry
    from retrain_pipeline.stores import Stores

_ACTIONS = (
    OPENED,
    ENDED,
    "retrain_requested",
    "retrain_started",
    "training_set_frozen",
    "candidate_registered",
    "profiled",
    "judged",
    "staged",
    "rollout_looked",
    "champion_watched",
    "withdrawn",
    "drilled",
    "drill_failed",
    VERIFIED,
    "released",
    "rejected",
    "retrain_failed",
    "superseded",
    "awaiting_approval",
    "dissented",
    "approved",
    "approval_withdrawn",
    "plan_approved",
    "policy_accepted",
    "override_granted",
    "override_reviewed",
    "refused",
    "rolled_back",
    "retired",
    "monitored",
    "data_doubted",
    "retraining_halted",
    "retraining_resumed",
    "escalation_halted",
    "promotion_held",
    "retrain_scored",
    "review_opened",
    "contract_failed",
    "run_failed",
    "alerted",
)


@dataclass(frozen=True)
class ModelStatus:
    """Who serves a model, since when, and how its last judgement ended."""

    model: str
    champion: str | None
    previous: str | None
    on_trial: str | None
    """A version that is staged, and where it is."""
    epoch: int
    as_of: str | None
    released_at: str | None
    validated_loss: float | None
    metric: str | None
    last_verdict: str | None
    last_action: str
    last_at_utc: str
    lane_of: str | None = None
    """Of a lane: the model that it runs beside."""
    ended: bool = False


def status(stores: "Stores") -> list[ModelStatus]:
    """Return the state of every model that the ledger knows, by name."""
    rows = {row.model: row for row in stores.ledger.deployments()}
    # One question an action, whatever the length of the ledger.
    latest = {action: stores.ledger.latest_by_model(action) for action in _ACTIONS}
    judged, newest = latest["judged"], dict[str, "Entry"]()
    for model, entry in (pair for found in latest.values() for pair in found.items()):
        newest[model] = max(newest.get(model, entry), entry, key=lambda one: one.seq)
    found = []
    for model in sorted(newest):
        row, last = rows.get(model), newest[model]
        deployment = Deployment.from_state(row.state) if row else None
        loss = _validated_loss(stores, model, deployment)
        found.append(
            ModelStatus(
                model=model,
                champion=deployment.champion if deployment else None,
                previous=deployment.previous if deployment else None,
                on_trial=on_trial(deployment),
                epoch=row.epoch if row else 0,
                as_of=deployment.effective_as_of if deployment else None,
                released_at=deployment.released_at if deployment else None,
                validated_loss=loss.get("value"),
                metric=loss.get("metric"),
                last_verdict=judged[model].payload["verdict"] if model in judged else None,
                last_action=last.action,
                last_at_utc=last.at_utc,
                lane_of=latest[OPENED][model].payload["of"] if model in latest[OPENED] else None,
                ended=model in latest[ENDED],
            )
        )
    return found


def _validated_loss(stores: "Stores", model: str, deployment: Deployment | None) -> dict[str, Any]:
    if deployment is None:
        return {}
    released = stores.ledger.latest(model, "released", deployment.champion)
    return dict((released.payload.get("validated_loss") or {}) if released else {})
