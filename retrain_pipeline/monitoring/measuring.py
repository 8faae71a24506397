"""What monitoring reads of a period: streamed, or a column at a time, so that millions of rows of thirty stay small."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from retrain_pipeline.lake.tables import Lake
from retrain_pipeline.monitoring.errors import ProfilesDiffer
from retrain_pipeline.monitoring.profile import profile_column, profile_lazy
from retrain_pipeline.monitoring.reference import spoken
from retrain_pipeline.monitoring.summaries import ColumnProfile, Profile
from retrain_pipeline.spec.model import ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

# One read of label times holds about four times as many values as this has rows.
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
    through: datetime | None = None
    """Where the newest event period ends of which any label is known."""


def read_inputs(
    lake: Lake, spec: ModelSpec, period: str, end: datetime, reference: Profile, sample_rows: int
) -> Inputs:
    """Return the profiles of a period's features, known by `end`; a column that is gone or of another type is left out.

    Parameters
    ----------
    sample_rows
        Rows to draw (seeded) for the report; 0 for none.
    """
    stored = lake.partitions(spec.name, "features").get(period)
    rows = lake.lazy(spec.name, "features", [period], known_by=end)
    if stored is None or not stored.rows or rows is None:
        return Inputs()
    found = profile_lazy(rows, reference.edges)
    sample = _sample(rows, list(found.columns), found.rows, sample_rows, spec.training.seed) if sample_rows else None
    return Inputs(found.rows, found.columns, sample)


def _sample(rows: "pl.LazyFrame", names: Sequence[str], count: int, wanted: int, seed: int) -> "pd.DataFrame":
    """Return some rows, drawn with `seed`, in the order in which they are stored."""
    import numpy as np
    import polars as pl

    chosen = np.sort(np.random.default_rng(seed).choice(count, min(count, wanted), replace=False))
    drawn = (
        rows.select(names)
        .with_row_index("_row")
        .filter(pl.col("_row").is_in(pl.Series(chosen, dtype=pl.UInt32).implode()))
    )
    return drawn.drop("_row").collect(engine="streaming").to_pandas()


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
    found = _event_periods(lake, spec, counted)
    through = calendar.shift(max(found), 1) if found else None
    return Labels(min(len(found), spec.training.window_periods), sum(counted.values()), new, through)


def _event_periods(lake: Lake, spec: ModelSpec, counted: dict[str, int]) -> set[datetime]:
    calendar = spec.data.time.calendar()
    found: set[datetime] = set()
    batch: list[str] = []
    size = 0
    newest_first = list(reversed(counted))
    for index, period in enumerate(newest_first):
        batch.append(period)
        size += counted[period]
        if size < _VALUES_A_READ // 4 and len(batch) <= spec.training.window_periods and index + 1 < len(newest_first):
            continue
        times = lake.read(spec.name, "labels", periods=batch, columns=["_event_time"])["_event_time"]
        found |= {calendar.floor(moment) for moment in times.dt.floor("h").unique()}
        batch, size = [], 0
        if len(found) >= spec.training.window_periods:
            break
    return found
