"""Streams without drift, and the summaries of their periods: what detectors are calibrated on."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from retrain_pipeline.monitoring.profile import edges_of
from retrain_pipeline.monitoring.summaries import NumericProfile, Profile, grid_of

COLUMNS = 10
SHARED = Path(os.environ.get("RETRAIN_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
REAL = {
    "bike_demand": "bike_demand/hour.csv",
    "electricity": "electricity/electricity.csv.gz",
    "noaa_weather": "noaa_weather/noaa_weather.csv.gz",
    "beijing_pm25": "beijing_pm25/beijing_pm25.parquet",
    "metro_traffic": "metro_traffic/metro_traffic.parquet",
}


def stream(kind: str, rows: int, periods: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``periods × rows × columns`` without drift: `iid`, `ar0.5`, `ar0.9`, `seasonal` (a day and a week),
    `season52`: a wave of one standard deviation over so many periods, or `periods0.9`: rows that are independent around
    a level that is AR(1) from period to period, 0.3 sd."""
    total = rows * periods
    if kind.startswith("ar"):
        values = _autoregressive(total, float(kind[2:]), rng)
    else:
        values = rng.normal(size=(total, COLUMNS))
    if kind.startswith("periods"):
        values += 0.3 * np.repeat(_autoregressive(periods, float(kind[7:]), rng), rows, axis=0)
    if kind.startswith("season") and kind[6:].isdigit():
        phase = rng.uniform(0, 2 * np.pi, COLUMNS)
        values += np.sin(2 * np.pi * np.arange(total)[:, None] / rows / int(kind[6:]) + phase)
    if kind == "seasonal":  # seven periods are a week, a period is a day; every column peaks at an hour of its own
        phase = rng.uniform(0, 2 * np.pi, COLUMNS)
        at = np.arange(total)[:, None] / rows
        values += np.sin(2 * np.pi * at + phase) + 0.5 * np.sin(2 * np.pi * at / 7 + phase)
    return values.reshape(periods, rows, COLUMNS)


def _autoregressive(rows: int, rho: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(size=(rows + 500, COLUMNS)) * (1 - rho**2) ** 0.5
    found: np.ndarray = lfilter([1], [1, -rho], noise, axis=0)[500:]
    return found


def real_shuffles(rows: int, periods: int, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the numbers of every real set, its rows in random order: whatever their shape, nothing drifts."""
    for name in REAL:
        values = _real(name)
        if len(values) >= rows * periods:
            chosen = rng.permutation(len(values))[: rows * periods]
            yield name, values[chosen].reshape(periods, rows, -1)


@cache
def _real(name: str) -> np.ndarray:
    file = SHARED / REAL[name]
    if not file.exists():
        return np.empty((0, 0))
    frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    return frame.select_dtypes("number").to_numpy(dtype=float)


def summarized(values: np.ndarray, cells: list[tuple[float, ...]]) -> Profile:
    """Return the summary of ``rows × columns``, as the pass of `profile` makes it, without its cost a call."""
    return Profile(len(values), {f"x{i}": _column(values[:, i], cuts) for i, cuts in enumerate(cells)})


def _column(values: np.ndarray, edges: tuple[float, ...]) -> NumericProfile:
    present = values[np.isfinite(values)]
    counts = np.bincount(np.searchsorted(edges[1:-1], present, side="left"), minlength=len(edges) - 1)
    below, above = int((present < edges[0]).sum()), int((present > edges[-1]).sum())
    counts[0] -= below
    counts[-1] -= above
    origin, step = grid_of(edges)
    steps = np.floor((present - origin) / step + 0.5)
    return NumericProfile(
        edges=edges,
        counts=tuple(counts.tolist()),
        below=below,
        above=above,
        nulls=len(values) - len(present),
        count=len(present),
        total=int(steps.sum()),
        squares=int((steps * steps).sum()),
        min=float(present.min()) if len(present) else None,
        max=float(present.max()) if len(present) else None,
    )


def cells_of(values: np.ndarray) -> list[tuple[float, ...]]:
    """Return the cells of ``rows × columns`` as a reference."""
    return [edges_of(pd.Series(values[:, i])) for i in range(values.shape[1])]  # type: ignore[misc]
