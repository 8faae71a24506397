"""What monitoring reads of a period: a column at a time, so that a million rows of thirty columns stay small."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.monitoring.errors import ProfilesDiffer
from retrain_pipeline.monitoring.profile import ColumnProfile, Profile, profile_column
from retrain_pipeline.monitoring.reference import spoken
from retrain_pipeline.spec.model import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

# One read holds about this many values; the features of a small period come in one go.
_VALUES_A_READ = 4_000_000


@dataclass(frozen=True)
class Inputs:
    """Profiles of a period's features in the reference's cells, and a sample of its rows (None: not asked for)."""

    rows: int = 0
    columns: dict[str, ColumnProfile] = field(default_factory=dict)
    sample: "pd.DataFrame | None" = None


@dataclass(frozen=True)
class Answers:
    """What the champion answered in a period. `profile` is in the cells of its answers on the training rows."""

    rows: int = 0
    profile: ColumnProfile | None = None
    latency_ms_mean: float | None = None
    latency_ms_p95: float | None = None


@dataclass(frozen=True)
class Labels:
    """How many labels there are. `periods` counts event periods, up to `training.window_periods`."""

    periods: int
    total: int
    new: int
    """Known after the champion's `as_of`: what a retrain could learn that the champion could not."""


def read_inputs(
    lake: Lake, spec: ModelSpec, period: str, end: datetime, reference: Profile, sample_rows: int
) -> Inputs:
    """Return the profiles of a period's features, known by `end`; a column that is gone or of another type is left out.

    Parameters
    ----------
    sample_rows
        Rows to draw (seeded) for the report; 0 for none.
    """
    import numpy as np
    import pandas as pd

    stored = lake.partitions(spec.name, "features").get(period)
    rows = stored.rows if stored else 0
    if not rows:
        return Inputs()
    there = set(lake.read(spec.name, "features", periods=[]).columns)
    names = [name for name in reference.columns if name in there]
    profiles: dict[str, ColumnProfile] = {}
    drawn: dict[str, pd.Series[Any]] = {}
    for part in _parts(names, rows):
        frame = lake.read(spec.name, "features", periods=[period], known_by=end, columns=part)
        rows = len(frame)
        chosen = None
        if sample_rows:
            rng = np.random.default_rng(spec.training.seed)
            chosen = np.sort(rng.choice(rows, min(rows, sample_rows), replace=False))
        for name in part:
            try:
                profiles[name] = profile_column(frame[name], reference.columns[name].edges)
            except ProfilesDiffer:
                continue
            if chosen is not None:
                drawn[name] = frame[name].iloc[chosen].reset_index(drop=True)
    return Inputs(rows, profiles, pd.DataFrame(drawn) if sample_rows else None)


def _parts(names: Sequence[str], rows: int) -> Iterator[list[str]]:
    width = max(_VALUES_A_READ // max(rows, 1), 1)
    for start in range(0, len(names), width):
        yield list(names[start : start + width])


def read_answers(lake: Lake, spec: ModelSpec, period: str, version: str, reference: Profile | None) -> Answers:
    """Return what a version answered in a period, and how fast."""
    stored = lake.partitions(spec.name, "predictions").get(period)
    if stored is None or not stored.rows:
        return Answers()
    columns = ["prediction", "score", "model_version", "latency_ms"]
    frame = lake.read(spec.name, "predictions", periods=[period], columns=columns)
    frame = frame[frame["model_version"] == version]
    if frame.empty:
        return Answers()
    latency = frame["latency_ms"].dropna()
    found = None
    if reference is not None:
        try:
            found = profile_column(spoken(frame, spec)["prediction"], reference.columns["prediction"].edges)
        except ProfilesDiffer:
            found = None
    mean, p95 = (float(latency.mean()), float(latency.quantile(0.95))) if len(latency) else (None, None)
    return Answers(len(frame), found, mean, p95)


def read_labels(lake: Lake, spec: ModelSpec, end: datetime, champion_as_of: datetime | None) -> Labels:
    """Count labels known by `end`: from the table's log alone; but event periods are read, from the newest back.

    A label of a partition became known within its period; so those of the periods from the champion's `as_of` on are
    the ones that it could not know.
    """
    calendar = spec.data.time.calendar()
    counted = {
        period: partition.rows
        for period, partition in lake.partitions(spec.name, "labels").items()
        if partition.rows and calendar.bounds(period)[1] <= end
    }
    new = sum(n for p, n in counted.items() if champion_as_of is None or calendar.bounds(p)[0] >= champion_as_of)
    return Labels(_event_periods(lake, spec, counted), sum(counted.values()), new)


def _event_periods(lake: Lake, spec: ModelSpec, counted: dict[str, int]) -> int:
    calendar = spec.data.time.calendar()
    found: set[str] = set()
    batch: list[str] = []
    size = 0
    newest_first = list(reversed(counted))
    for index, period in enumerate(newest_first):
        batch.append(period)
        size += counted[period]
        if size < _VALUES_A_READ // 4 and len(batch) <= spec.training.window_periods and index + 1 < len(newest_first):
            continue
        times = lake.read(spec.name, "labels", periods=batch, columns=["_event_time"])["_event_time"]
        found |= {calendar.key(moment) for moment in times.dt.floor("h").unique()}
        batch, size = [], 0
        if len(found) >= spec.training.window_periods:
            return spec.training.window_periods
    return len(found)
