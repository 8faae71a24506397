"""Scoring a period: by the version that serves it, once and for all."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.errors import PermanentError
from retrain_pipeline.release.errors import ServingRefused
from retrain_pipeline.release.lineage import reigns, standing

if TYPE_CHECKING:
    import pandas as pd

    from retrain_pipeline.learning.versions import LoadedVersion
    from retrain_pipeline.spec.declaration import Declaration
    from retrain_pipeline.spec.model import ModelSpec
    from retrain_pipeline.stores import Stores

CHAMPION = "champion"
# Rows are scored in batches, and a row's latency is its share of its batch: enough batches for a 95th percentile.
_BATCHES = 5


@dataclass(frozen=True)
class ScoringReport:
    """What became of one period: rows, by which version, how fast, and what the model had not met in training."""

    model: str
    period: str
    rows: int
    version: str | None
    words: str
    latency_ms_p95: float | None = None
    unseen: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    changed: bool = False


def score_period(
    stores: "Stores", declaration: "Declaration", period: str, *, known_at: datetime | None = None
) -> ScoringReport:
    """Score the features of a period and put the predictions in the lake.

    Who scores: the version that scored the period before, if any (a repeat changes nothing); else the newest champion,
    of those that no rollback has undone, whose data ended by the start of the period; else nobody, and the partition is
    present and empty. So a back-fill of an old period is never scored by a model that has seen it.

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
    version, words = _in_charge(stores, spec, period, start, earlier)
    if version is None or features.empty:
        words = words if version is None else f"the period has no rows to score; {words}"
        write = stores.lake.replace_partition(spec.name, "predictions", period, _no_rows(features))
        return ScoringReport(spec.name, period, 0, version, words, changed=write.changed)
    return _scored(stores, spec, period, features, earlier, version, words)


def _in_charge(
    stores: "Stores", spec: "ModelSpec", period: str, start: datetime, earlier: "pd.DataFrame"
) -> tuple[str | None, str]:
    if len(earlier):
        version = str(earlier["model_version"].iloc[0])
        return version, f"{version} scored this period before"
    stack = standing(reigns(stores.ledger, spec.name))
    reign = next((one for one in reversed(stack) if one.deployment.as_of <= start), None)
    if reign is not None:
        return reign.version, f"{reign.version}, champion with data up to {reign.deployment.effective_as_of}"
    if stack:
        return None, f"no champion whose data ended by {start.isoformat()}"
    return None, "no champion yet"


def _scored(
    stores: "Stores",
    spec: "ModelSpec",
    period: str,
    features: "pd.DataFrame",
    earlier: "pd.DataFrame",
    version: str,
    words: str,
) -> ScoringReport:
    from retrain_pipeline.learning.versions import load_version

    try:
        loaded = load_version(stores, spec.name, version)
        told, unseen, missing = _predictions(spec, loaded, features)
    except PermanentError as error:
        raise ServingRefused(
            f"{spec.name} {period}: {version} cannot score it: {error}; roll back to a version that can, or retrain"
        ) from error
    changed = not _same(told, earlier)
    if changed:
        stores.lake.replace_partition(spec.name, "predictions", period, told)
    else:
        told = earlier
    p95 = float(told["latency_ms"].quantile(0.95))
    return ScoringReport(spec.name, period, len(told), version, words, p95, unseen, missing, changed)


def _predictions(
    spec: "ModelSpec", loaded: "LoadedVersion", features: "pd.DataFrame"
) -> "tuple[pd.DataFrame, dict[str, int], dict[str, int]]":
    """Return the rows of the predictions table, and the counts of unseen categories and missing values."""
    import pandas as pd

    from retrain_pipeline.learning.prediction import predict

    parts, unseen, missing = [], dict[str, int](), dict[str, int]()
    size = -(-len(features) // _BATCHES)
    for at in range(0, len(features), size):
        batch = features.iloc[at : at + size]
        started = time.perf_counter_ns()
        answers = predict(loaded.pipeline, spec.data.label.task, batch)
        milliseconds = (time.perf_counter_ns() - started) / 1e6 / len(batch)
        parts.append(answers.frame.assign(latency_ms=milliseconds))
        for total, counts in ((unseen, answers.unseen), (missing, answers.missing)):
            for name, count in counts.items():
                total[name] = total.get(name, 0) + count
    head = features[[*spec.data.key, "_event_time"]]
    table = head.assign(_known_time=features["_event_time"], model_version=loaded.manifest.version, arm=CHAMPION)
    return table.join(pd.concat(parts)), unseen, missing


def _same(told: "pd.DataFrame", earlier: "pd.DataFrame") -> bool:
    """Were these rows scored just so before? The time that it took does not count."""
    from retrain_pipeline.lake.digests import frame_digest

    timeless = told.drop(columns="latency_ms")
    if len(earlier) != len(told) or not set(timeless.columns) <= set(earlier.columns):
        return False
    return frame_digest(timeless) == frame_digest(earlier[timeless.columns])


def _no_rows(features: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    times: dict[str, Any] = {
        name: pd.Series([], dtype="datetime64[us, UTC]") for name in ("_event_time", "_known_time")
    }
    return pd.DataFrame(times)
