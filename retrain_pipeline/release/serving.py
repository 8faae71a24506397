"""Scoring a period: by the versions that the deployment of its time names, once and for all."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.release.errors import ServingRefused
from retrain_pipeline.release.plan import Plan, plan_period
from retrain_pipeline.release.router import CHAMPION, Routing
from retrain_pipeline.release.scoring import Asked, served, unserved

if TYPE_CHECKING:
    import pandas as pd

    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

__all__ = ["CHAMPION", "ScoringReport", "score_period"]


@dataclass(frozen=True)
class ScoringReport:
    """What became of one period: rows, by whom, how fast, and what the models had not met in training."""

    model: str
    period: str
    rows: int
    version: str | None
    words: str
    latency_ms_p95: float | None = None
    unseen: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    changed: bool = False
    arms: dict[str, int] = field(default_factory=dict)
    beside: str | None = None
    """Who answered beside, without serving."""
    failures: dict[str, str] = field(default_factory=dict)
    """Versions beside the champion that could not answer, and why."""


def score_period(
    stores: "Stores", declaration: "Declaration", period: str, *, known_at: datetime | None = None
) -> ScoringReport:
    """Score the features of a period and put the predictions in the lake.

    Who scores: those who scored the period before, if any (a repeat changes nothing); else the newest champion, of
    those that no rollback has undone, whose data ended by the start of the period; else nobody, and the partition is
    present and empty. So a back-fill of an old period is never scored by a model that has seen it. While a challenger
    is staged it answers its share, or beside the champion: what was not served is in the table `shadow`.

    Parameters
    ----------
    known_at
        Only features known by then; default all.

    Raises
    ------
    ServingRefused
        When the version in charge cannot be loaded or cannot take the features.
    PeriodRefused
        When the period is none of the calendar.
    """
    spec = declaration.spec
    start, _ = spec.data.time.calendar().bounds(period)
    features = stores.lake.read(spec.name, "features", periods=[period], known_by=known_at)
    earlier = stores.lake.read(spec.name, "predictions", periods=[period])
    plan = plan_period(stores, spec, start, earlier)
    if plan.routing is None or features.empty:
        champion = plan.routing.champion if plan.routing else None
        words = plan.words if champion is None else f"the period has no rows to score; {plan.words}"
        write = stores.lake.replace_partition(spec.name, "predictions", period, _no_rows())
        return ScoringReport(spec.name, period, 0, champion, words, changed=write.changed)
    return _scored(stores, spec, period, features, earlier, plan, plan.routing)


def _scored(
    stores: "Stores",
    spec: "ModelSpec",
    period: str,
    features: "pd.DataFrame",
    earlier: "pd.DataFrame",
    plan: Plan,
    routing: Routing,
) -> ScoringReport:
    asked = Asked(stores, spec)
    try:
        told = served(asked, plan, routing, features)
    except PermanentError as error:
        raise ServingRefused(
            f"{spec.name} {period}: {routing.champion} cannot score it: {error}; "
            "roll back to a version that can, or retrain"
        ) from error
    beside = unserved(asked, plan, routing, features, told)
    if len(beside):
        stores.lake.replace_partition(spec.name, "shadow", period, beside)
    changed = not _same(told, earlier)
    if changed:
        stores.lake.replace_partition(spec.name, "predictions", period, told)
    else:
        told = earlier
    return ScoringReport(
        spec.name,
        period,
        len(told),
        routing.champion,
        plan.words,
        float(told["latency_ms"].quantile(0.95)),
        dict(asked.unseen),
        dict(asked.missing),
        changed,
        {str(arm): int(count) for arm, count in told["arm"].value_counts().sort_index().items()},
        plan.beside if len(beside) else None,
        asked.failures,
    )


def _same(told: "pd.DataFrame", earlier: "pd.DataFrame") -> bool:
    """Were these rows scored just so before? The time that it took does not count."""
    from retrain_pipeline.lake.digests import frame_digest

    timeless = told.drop(columns="latency_ms")
    if len(earlier) != len(told) or not set(timeless.columns) <= set(earlier.columns):
        return False
    return frame_digest(timeless) == frame_digest(earlier[timeless.columns])


def _no_rows() -> "pd.DataFrame":
    import pandas as pd

    times: dict[str, Any] = {
        name: pd.Series([], dtype="datetime64[us, UTC]") for name in ("_event_time", "_known_time")
    }
    return pd.DataFrame(times)
