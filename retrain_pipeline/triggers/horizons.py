"""What a release was worth 30, 60 and 90 days on: its lift, how steady that was, and what keeping it up cost.

Read from the scores of `triggers.scoring`: nothing is fitted or predicted here. A reign that ended before a horizon is
told up to its end, and nothing is told of the time beyond the periods that scoring looks at.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from retrain_pipeline.periods import as_utc
from retrain_pipeline.spec.model import ModelSpec
from retrain_pipeline.triggers.cost import retrain_cost
from retrain_pipeline.triggers.judged import Judged, judged_retrains
from retrain_pipeline.triggers.scoring import SCORED

if TYPE_CHECKING:
    from retrain_pipeline.ledger.store import Ledger
    from retrain_pipeline.stores import Stores

DAYS = (30, 60, 90)
HEADER = ("version", "instead of", "days", "periods", "lift a period", "steady", "upkeep")


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """A release, some days on.

    Attributes
    ----------
    lift
        Mean of what a period's mean loss fell by against the model that it replaced, in the unit of
        `trigger.retrain_cost`; `se` is its standard error from period to period, None for a single one.
    steady
        Share of the periods in which the new model was not worse, 0 to 1.
    upkeep
        Retrains begun within the days, its own included, times what a retrain cost: released, rejected and failed
        ones alike.
    open
        Whether labels of some period within the days have still to mature or to be scored.
    """

    version: str
    against: str
    days: int
    periods: int
    lift: float | None
    se: float | None
    steady: float | None
    upkeep: float
    open: bool

    def cells(self) -> tuple[str, ...]:
        """Return the row of a table under `HEADER`."""
        lift = "no labels yet" if self.lift is None else f"{self.lift:.4g}"
        lift += "" if self.se is None else f" ± {self.se:.2g}"
        steady = "" if self.steady is None else f"{self.steady:.0%}"
        days = f"{self.days}{' (not over)' if self.open else ''}"
        return (self.version, self.against, days, str(self.periods), lift, steady, f"{self.upkeep:.4g}")


def horizons(stores: "Stores", spec: ModelSpec) -> tuple[Horizon, ...]:
    """Return a row per release and number of days, the oldest release first.

    Raises
    ------
    ArtifactDamaged, ArtifactMissing
        When a score that the ledger names is not what it was.
    """
    newest = {entry.payload["judged"]: entry.payload for entry in stores.ledger.entries(model=spec.name, action=SCORED)}
    begun = _begun(stores.ledger, spec.name)
    found = []
    for release in judged_retrains(stores.ledger, spec.name):
        if release.outcome != "released":
            continue
        score = newest.get(release.seq)
        saved = _by_end(stores, spec, score["evidence"]) if score else {}
        cost = score["cost"] if score else retrain_cost(stores.ledger, spec)
        found += [_at(release, days, saved, begun, cost, final=bool(score and score["final"])) for days in DAYS]
    return tuple(found)


def _begun(ledger: "Ledger", model: str) -> list[datetime]:
    entries = ledger.entries(model=model, action="retrain_started")
    return [as_utc(datetime.fromisoformat(entry.payload["as_of"])) for entry in entries if entry.payload.get("as_of")]


def _by_end(stores: "Stores", spec: ModelSpec, evidence: str) -> dict[datetime, float]:
    """Return what was saved in each scored period, by the moment at which the period ended."""
    calendar = spec.data.time.calendar()
    by_period = stores.artifacts.get_json(evidence)["by_period"]
    return {calendar.bounds(one["period"])[1]: float(one["saved"]) for one in by_period}


def _at(
    release: Judged, days: int, saved: dict[datetime, float], begun: list[datetime], cost: float, *, final: bool
) -> Horizon:
    until = release.as_of + timedelta(days=days)
    over = min(until, release.until or until)
    within = [value for end, value in sorted(saved.items()) if end <= until]
    count = len(within)
    lift = math.fsum(within) / count if count else None
    se = None
    if lift is not None and count > 1:
        se = math.sqrt(math.fsum((value - lift) ** 2 for value in within) / (count - 1) / count)
    return Horizon(
        version=release.version,
        against=release.against,
        days=days,
        periods=count,
        lift=lift,
        se=se,
        steady=sum(value >= 0 for value in within) / count if count else None,
        upkeep=cost * sum(release.as_of <= moment < over for moment in begun),
        open=not final and max(saved, default=release.as_of) < until,
    )
