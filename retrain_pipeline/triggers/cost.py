"""What a retrain costs: as declared, or what the newest one was measured to take, at a declared price."""

from typing import TYPE_CHECKING

from retrain_pipeline.spec.model import ModelSpec

if TYPE_CHECKING:
    from retrain_pipeline.ledger.past import Asked

BUILT = "candidate_built"


def retrain_cost(ledger: "Asked", spec: ModelSpec) -> float:
    """Return the cost of a retrain in the unit of losses; the declared one until a retrain was measured."""
    price = spec.trigger.cost_per_hour
    if price is None:
        return spec.trigger.retrain_cost
    newest = ledger.latest(spec.name, BUILT)
    seconds = newest.payload.get("fit_seconds") if newest is not None else None
    return spec.trigger.retrain_cost if seconds is None else price * seconds / 3600
