"""Who serves, since when, and what was promised of it: read from the ledger."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from retrain_pipeline.monitoring.performance import LossEstimate
from retrain_pipeline.periods import as_utc
from retrain_pipeline.spec.model import ModelSpec

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger


@dataclass(frozen=True)
class Champion:
    """The champion of a deployment. It may know what was known by `as_of`, and serves the periods from there on."""

    version: str
    as_of: datetime
    validated: LossEstimate | None


def read_champion(ledger: "Ledger", spec: ModelSpec) -> Champion | None:
    """Return the champion of now and its validated loss, or None before the first release; two questions."""
    row = ledger.deployment(spec.name)
    if row is None:
        return None
    version = str(row.state["champion"])
    as_of = as_utc(datetime.fromisoformat(row.state["effective_as_of"]))
    return Champion(version, as_of, promised(ledger, spec, version))


def promised(ledger: "Ledger", spec: ModelSpec, version: str) -> LossEstimate | None:
    """Return the validated loss of a version at its release; None when there is none on record."""
    released = ledger.latest(spec.name, "released", version)
    loss = released.payload.get("validated_loss") if released else None
    if released is None or loss is None or loss["se"] is None or not loss["n"]:
        return None
    blocks = _evaluation_blocks(spec, as_utc(datetime.fromisoformat(released.payload["as_of"])))
    dof = float(max(min(blocks, int(loss["n"])) - 1, 1))
    return LossEstimate(float(loss["mean"]), float(loss["se"]), dof, int(loss["n"]), blocks)


def _evaluation_blocks(spec: ModelSpec, as_of: datetime) -> int:
    """Blocks in the evaluation periods: what the standard error of the validated loss was estimated from."""
    start = spec.data.time.calendar().shift(as_of, -spec.training.evaluation_periods)
    return max(int((as_of - start).total_seconds() / 3600 / spec.gates.block_hours), 1)
