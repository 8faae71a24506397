"""Streams of losses for the benchmark of loss detectors: null, risen, and real ones without drift."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

VALIDATED = 2000
BASE = 0.20


def ar(rng: np.random.Generator, n: int, rho: float) -> np.ndarray:
    """Return a standard normal AR(1) series."""
    steps = rng.normal(size=n) * (1 - rho**2) ** 0.5
    steps[0] /= (1 - rho**2) ** 0.5
    for i in range(1, n):
        steps[i] += rho * steps[i - 1]
    return steps


def errors(kind: str, rng: np.random.Generator, n: int, rise: float = 0.0, at: int = 0) -> np.ndarray:
    """Return 0/1 errors of rows at 20 %, from row `at` on at 20 % + `rise`; dependence by a normal copula."""
    from scipy.stats import norm

    chance = np.where(np.arange(n) < at, BASE, BASE + rise)
    if kind == "season":  # a day of 48 rows
        chance = chance + 0.1 * np.sin(2 * np.pi * (np.arange(n) + rng.integers(48)) / 48)
    rho = float(kind.removeprefix("ar")) if kind.startswith("ar") else 0.0
    return (norm.cdf(ar(rng, n, rho)) < chance).astype(np.float64)


def days(kind: str, rng: np.random.Generator, n: int, sd: float = 0.3, rise: float = 0.0, at: int = 0) -> np.ndarray:
    """Return daily mean losses around 1, from day `at` on around 1 + `rise`."""
    shapes = {
        "normal": lambda: rng.normal(size=n),
        "exponential": lambda: rng.exponential(size=n) - 1,
        "log-normal": lambda: (np.exp(rng.normal(size=n)) - np.e**0.5) / ((np.e - 1) * np.e) ** 0.5,
        "season": lambda: 0.7 * rng.normal(size=n) + np.sin(2 * np.pi * (np.arange(n) + rng.integers(7)) / 7),
    }
    z = shapes[kind]() if kind in shapes else ar(rng, n, float(kind.removeprefix("ar")))
    return np.maximum(1 + sd * z + np.where(np.arange(n) < at, 0.0, rise), 0)


def real_losses(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield row losses of a boosted model on real rows in random order: no drift, real shapes.

    Errors of electricity and weather; absolute errors of bicycles, particles and traffic.
    """
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    sets = {
        "electricity": ("electricity/electricity.csv.gz", "price_up", ["timestamp"]),
        "noaa_weather": ("noaa_weather/noaa_weather.csv.gz", "rain", ["timestamp"]),
        "bike_demand": ("bike_demand/hour.csv", "cnt", ["instant", "dteday", "casual", "registered"]),
        "beijing_pm25": ("beijing_pm25/beijing_pm25.parquet", "pm_data", ["time"]),
        "metro_traffic": ("metro_traffic/metro_traffic.parquet", "traffic_volume", ["date_time"]),
    }
    for name, (path, label, dropped) in sets.items():
        file = folder / path
        if not file.exists():
            continue
        frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
        frame = frame[frame[label].notna()].sample(frac=1.0, random_state=0)
        x = frame.drop(columns=[label, *dropped], errors="ignore")
        x = x.apply(lambda c: c if c.dtype.kind in "fiub" else c.astype("category").cat.codes).astype("float64")
        y, third = frame[label].to_numpy(), len(frame) // 3
        kind = HistGradientBoostingClassifier if set(np.unique(y)) <= {0, 1} else HistGradientBoostingRegressor
        model = kind(random_state=0).fit(x.iloc[:third], y[:third])
        told = model.predict(x.iloc[third:])
        yield name, np.abs(told - y[third:]).astype(np.float64)
